//! Which groups a thread is in.

use std::sync::Arc;

use super::{Group, Hierarchies};

/// The groups of a thread that is not in the container's own of every hierarchy, like `struct css_set`. Replaced, never changed.
#[derive(Clone)]
pub struct Groups {
    /// One for each hierarchy in which it is below the top.
    list: Vec<Arc<Group>>,
    /// The one whose limit of tasks counts.
    pids: Option<Arc<Group>>,
}

impl Groups {
    /// What `old` becomes by a move to `group`; none: the container's own everywhere.
    pub fn moved(old: Option<&Groups>, group: &Arc<Group>, hierarchies: &Hierarchies) -> Option<Arc<Groups>> {
        let mut list = old.map_or_else(Vec::new, |old| old.list.clone());
        list.retain(|g| g.hierarchy != group.hierarchy);
        if !group.is_top() {
            list.push(group.clone());
        }
        if list.is_empty() {
            return None;
        }
        let counts = hierarchies.with("pids").map(|h| h.config.id);
        let pids = list.iter().find(|g| Some(g.hierarchy) == counts).cloned();
        Some(Arc::new(Groups { list, pids }))
    }

    /// The one in that hierarchy; none: the top.
    pub fn of(&self, hierarchy: u32) -> Option<&Arc<Group>> {
        self.list.iter().find(|g| g.hierarchy == hierarchy)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.list.iter()
    }

    /// The one whose tasks are counted.
    pub fn pids(&self) -> Option<&Arc<Group>> {
        self.pids.as_ref()
    }
}
