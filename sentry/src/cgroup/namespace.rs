//! Cgroup namespaces (`cgroup_namespaces(7)`): whose group is shown as the root.

use std::sync::Arc;

use super::{Group, Groups, Hierarchy};
use crate::cred::UserNamespace;
use crate::task::{Cgroup, Task};

/// A cgroup namespace.
pub struct CgroupNamespace {
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Who may administer it.
    pub user_ns: Arc<UserNamespace>,
    root: Option<Root>,
}

/// The groups that its maker was in.
struct Root {
    container: Arc<Cgroup>,
    groups: Option<Arc<Groups>>,
}

impl CgroupNamespace {
    /// The first one: it shows the paths that the host has.
    pub fn first(id: u64, user_ns: Arc<UserNamespace>) -> Arc<CgroupNamespace> {
        Arc::new(CgroupNamespace {
            id,
            user_ns,
            root: None,
        })
    }

    /// One of a container, or made by a task: its group of each hierarchy is the root.
    pub fn new(
        id: u64,
        user_ns: Arc<UserNamespace>,
        container: &Arc<Cgroup>,
        groups: Option<Arc<Groups>>,
    ) -> Arc<CgroupNamespace> {
        let container = container.clone();
        Arc::new(CgroupNamespace {
            id,
            user_ns,
            root: Some(Root { container, groups }),
        })
    }

    /// Whether it is the host's, where all hierarchies are made.
    pub fn is_first(&self) -> bool {
        self.root.is_none()
    }

    /// The group that a mount shows at its top, for a task of that container.
    pub fn root_of(&self, container: &Cgroup, hierarchy: &Hierarchy) -> Arc<Group> {
        let root = self.root.as_ref().filter(|r| std::ptr::eq(&*r.container, container));
        let group = root.and_then(|r| r.groups.as_ref()?.of(hierarchy.config.id));
        group.unwrap_or(&hierarchy.top).clone()
    }

    /// Path of a task's group as members see it (`cgroup_path_ns`).
    pub fn path_of(&self, task: &Task, hierarchy: &Hierarchy) -> Vec<u8> {
        let group = task.group_in(hierarchy);
        let mut path = self.path(hierarchy, &group);
        if group.is_removed() {
            path.extend(b" (deleted)");
        }
        path
    }

    /// Path of a group of `hierarchy`.
    pub fn path(&self, hierarchy: &Hierarchy, group: &Arc<Group>) -> Vec<u8> {
        let there = whole(hierarchy, group);
        let here = match &self.root {
            None => Vec::new(),
            Some(root) => match root.container.hierarchies.find(hierarchy.config.id) {
                Some(mine) => whole(&mine, &self.root_of(&root.container, &mine)),
                None => Vec::new(),
            },
        };
        let common = there.iter().zip(&here).take_while(|(a, b)| a == b).count();
        let up = std::iter::repeat_n(b"..".as_slice(), here.len().saturating_sub(common));
        let down = there.iter().skip(common).map(Vec::as_slice);
        let mut path = Vec::new();
        for part in up.chain(down) {
            path.push(b'/');
            path.extend(part);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }
}

/// All names from the host's root on.
fn whole(hierarchy: &Hierarchy, group: &Arc<Group>) -> Vec<Vec<u8>> {
    let outside = hierarchy.config.group.split('/').filter(|part| !part.is_empty());
    let mut path: Vec<Vec<u8>> = outside.map(|part| part.as_bytes().to_vec()).collect();
    path.extend(group.path());
    path
}
