//! The hierarchies of a container.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::Errno;
use abi::errno::Result;

use super::{DeviceList, Group};
use crate::boot::config::{CgroupConfig, HierarchyConfig};
use crate::fs::impls::pseudo::Attr;
use crate::kernel::Kernel;
use crate::sync::RwLock;
use crate::task::DeviceRule;

/// Most groups that a container may have, and most hierarchies.
const MAX_GROUPS: usize = 10_000;
const MAX_HIERARCHIES: usize = 64;

/// A tree of groups.
pub struct Hierarchy {
    /// What the host has of it. Number 0 is the one of cgroup v2.
    pub config: HierarchyConfig,
    /// The container's group.
    pub top: Arc<Group>,
}

impl Hierarchy {
    /// Whether the controller is one of its.
    pub fn has(&self, controller: &str) -> bool {
        self.config.controllers.iter().any(|c| c == controller)
    }

    /// Of cgroup v2.
    pub fn is_v2(&self) -> bool {
        self.config.id == 0
    }

    /// Controllers and name, as `/proc/PID/cgroup` and mount options have them.
    pub fn label(&self) -> String {
        if self.is_v2() {
            return String::new();
        }
        let mut words = self.config.controllers.clone();
        words.extend(self.config.name.iter().map(|name| format!("name={name}")));
        words.join(",")
    }
}

/// All of a container's. Others may come by `mount(2)`; none goes.
pub struct Hierarchies {
    list: RwLock<Vec<Arc<Hierarchy>>>,
    /// Controllers that the kernel has, in its order.
    pub controllers: Vec<String>,
    /// What no group of the container may have more of.
    pub given: DeviceList,
    groups: AtomicUsize,
}

impl Hierarchies {
    /// As the host's are; where nothing is known of them, cgroup v2 alone.
    pub fn new(kernel: &Kernel, config: &CgroupConfig, rules: &[DeviceRule]) -> Hierarchies {
        let given = DeviceList::new(rules);
        let alone = [HierarchyConfig::default()];
        let list = match config.hierarchies.as_slice() {
            [] => alone.as_slice(),
            list => list,
        };
        let make = |config: &HierarchyConfig| {
            let top = Group::new(kernel.unique_id(), config.id, given.clone());
            Arc::new(Hierarchy {
                config: config.clone(),
                top,
            })
        };
        Hierarchies {
            list: RwLock::new(list.iter().map(make).collect()),
            controllers: config.controllers.clone(),
            given,
            groups: AtomicUsize::new(0),
        }
    }

    /// All of them, in the order in which they were made.
    pub fn all(&self) -> Vec<Arc<Hierarchy>> {
        self.list.read().clone()
    }

    /// The one with that number.
    pub fn find(&self, id: u32) -> Option<Arc<Hierarchy>> {
        self.list.read().iter().find(|h| h.config.id == id).cloned()
    }

    /// The one that has the controller.
    pub fn with(&self, controller: &str) -> Option<Arc<Hierarchy>> {
        self.list.read().iter().find(|h| h.has(controller)).cloned()
    }

    /// A new one, of controllers that no other has.
    pub fn make(&self, kernel: &Kernel, controllers: Vec<String>, name: Option<String>) -> Result<Arc<Hierarchy>> {
        let mut list = self.list.write();
        if list.len() >= MAX_HIERARCHIES {
            return Err(Errno::ENOSPC);
        }
        if list.iter().any(|h| controllers.iter().any(|c| h.has(c))) {
            return Err(Errno::EBUSY);
        }
        let id = list.iter().map(|h| h.config.id).max().unwrap_or(0).saturating_add(1);
        let made = Arc::new(Hierarchy {
            config: HierarchyConfig {
                id,
                controllers,
                name,
                ..HierarchyConfig::default()
            },
            top: Group::new(kernel.unique_id(), id, self.given.clone()),
        });
        list.push(made.clone());
        Ok(made)
    }

    /// `mkdir(2)`
    pub fn add_group(&self, kernel: &Kernel, parent: &Arc<Group>, name: &[u8], maker: Attr) -> Result<Arc<Group>> {
        if self.groups.fetch_add(1, Ordering::Relaxed) >= MAX_GROUPS {
            self.groups.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        }
        parent.add(kernel.unique_id(), name, maker).inspect_err(|_| {
            self.groups.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// `rmdir(2)`, when nothing runs in it.
    pub(crate) fn remove_group(&self, group: &Group) -> Result<()> {
        group.detach()?;
        self.groups.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Groups of a hierarchy.
    pub fn count(&self, hierarchy: &Hierarchy) -> usize {
        hierarchy.top.subtree().len()
    }
}
