//! A group: a directory of a hierarchy, and what is set and counted for those in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::DeviceList;
use crate::fs::impls::pseudo::Attr;
use crate::sync::Mutex;

/// Most groups beneath one another.
const MAX_DEPTH: usize = 64;

/// A group of one hierarchy.
pub struct Group {
    /// Never given to another one.
    pub id: u64,
    /// The hierarchy's number.
    pub hierarchy: u32,
    /// Last part of its path; empty at the top.
    pub name: Vec<u8>,
    /// Whose its files and its directory were made to be.
    pub maker: Attr,
    parent: Option<Weak<Group>>,
    children: Mutex<BTreeMap<Vec<u8>, Arc<Group>>>,
    removed: AtomicBool,
    /// Threads in it and beneath, as the pids controller counts. Changed under the task table's lock; not kept for the top.
    pub tasks: AtomicU64,
    /// Most that there were.
    pub most_tasks: AtomicU64,
    /// Most there may be; `u64::MAX`: no limit.
    pub max_tasks: AtomicU64,
    /// Tasks that could not be made for that.
    pub refused: AtomicU64,
    frozen: AtomicBool,
    /// What may be used.
    pub devices: Mutex<DeviceList>,
    /// User and system time, in nanoseconds, of threads that have ended or left. Not kept for the top.
    used: [AtomicU64; 2],
    /// What was written to files that keep it.
    values: Mutex<HashMap<String, String>>,
    /// Owner and mode of its files and, without a name, its directory, where they were changed.
    pub attrs: Mutex<HashMap<Option<String>, Attr>>,
}

impl Group {
    /// The top of a hierarchy.
    pub(super) fn new(id: u64, hierarchy: u32, devices: DeviceList) -> Arc<Group> {
        Arc::new(Group::made(id, hierarchy, b"", Attr::root(0o755), devices))
    }

    fn made(id: u64, hierarchy: u32, name: &[u8], maker: Attr, devices: DeviceList) -> Group {
        Group {
            id,
            hierarchy,
            name: name.to_vec(),
            maker,
            parent: None,
            children: Mutex::default(),
            removed: AtomicBool::new(false),
            tasks: AtomicU64::new(0),
            most_tasks: AtomicU64::new(0),
            max_tasks: AtomicU64::new(u64::MAX),
            refused: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            devices: Mutex::new(devices),
            used: [const { AtomicU64::new(0) }; 2],
            values: Mutex::default(),
            attrs: Mutex::default(),
        }
    }

    /// The group above; none at the top.
    pub fn parent(&self) -> Option<Arc<Group>> {
        self.parent.as_ref().and_then(Weak::upgrade)
    }

    /// The container's own.
    pub fn is_top(&self) -> bool {
        self.parent.is_none()
    }

    /// It, then those above it up to the top.
    pub fn upwards(self: &Arc<Group>) -> impl Iterator<Item = Arc<Group>> {
        std::iter::successors(Some(self.clone()), |group| group.parent())
    }

    /// Whether it is `other` or beneath it.
    pub fn is_within(self: &Arc<Group>, other: &Arc<Group>) -> bool {
        self.upwards().any(|group| Arc::ptr_eq(&group, other))
    }

    /// Names on the way from the top.
    pub fn path(self: &Arc<Group>) -> Vec<Vec<u8>> {
        let mut path: Vec<Vec<u8>> = self.upwards().filter(|g| !g.is_top()).map(|g| g.name.clone()).collect();
        path.reverse();
        path
    }

    /// Those right beneath it.
    pub fn children(&self) -> Vec<Arc<Group>> {
        self.children.lock().values().cloned().collect()
    }

    /// One of them.
    pub fn child(&self, name: &[u8]) -> Option<Arc<Group>> {
        self.children.lock().get(name).cloned()
    }

    /// It and all beneath it, parents first.
    pub fn subtree(self: &Arc<Group>) -> Vec<Arc<Group>> {
        let mut all = vec![self.clone()];
        let mut at = 0;
        while let Some(group) = all.get(at) {
            let children = group.children();
            all.extend(children);
            at = at.saturating_add(1);
        }
        all
    }

    /// `mkdir(2)`
    pub(super) fn add(self: &Arc<Group>, id: u64, name: &[u8], maker: Attr) -> Result<Arc<Group>> {
        if self.upwards().count() >= MAX_DEPTH {
            return Err(Errno::EAGAIN);
        }
        let devices = self.devices.lock().clone();
        let child = Arc::new(Group {
            parent: Some(Arc::downgrade(self)),
            ..Group::made(id, self.hierarchy, name, maker, devices)
        });
        let mut children = self.children.lock();
        if self.is_removed() {
            return Err(Errno::ENODEV);
        }
        if children.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        children.insert(name.to_vec(), child.clone());
        Ok(child)
    }

    /// `rmdir(2)`, when nothing runs in it.
    pub(super) fn detach(&self) -> Result<()> {
        let Some(parent) = self.parent() else {
            return Err(Errno::EBUSY);
        };
        let mine = self.children.lock();
        if !mine.is_empty() {
            return Err(Errno::EBUSY);
        }
        self.removed.store(true, Ordering::SeqCst);
        drop(mine);
        parent.children.lock().remove(&self.name);
        Ok(())
    }

    /// `rmdir(2)` was there: what is still open gives `ENODEV`.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    /// Frozen by a write to its own file.
    pub fn is_frozen_itself(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Gives what it was.
    pub(crate) fn set_frozen(&self, on: bool) -> bool {
        self.frozen.swap(on, Ordering::SeqCst)
    }

    /// Frozen by a group above it.
    pub fn is_frozen_above(&self) -> bool {
        self.parent().is_some_and(|p| p.upwards().any(|g| g.is_frozen_itself()))
    }

    /// What was written to the file.
    pub fn value(&self, file: &str) -> Option<String> {
        self.values.lock().get(file).cloned()
    }

    /// A number that was written to the file.
    pub fn number(&self, file: &str) -> Option<i64> {
        self.value(file)?.parse().ok()
    }

    /// Keeps it.
    pub fn set_value(&self, file: &str, value: String) {
        self.values.lock().insert(file.to_owned(), value);
    }

    /// A controller is taken from it, with all that is kept in its files.
    pub fn forget(&self, controller: &str) {
        let other = |file: &str| file.split('.').next() != Some(controller);
        self.values.lock().retain(|file, _| other(file));
        self.attrs.lock().retain(|file, _| file.as_deref().is_none_or(other));
        if controller == "pids" {
            self.max_tasks.store(u64::MAX, Ordering::Relaxed);
            self.refused.store(0, Ordering::Relaxed);
            self.most_tasks
                .store(self.tasks.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// User and system time of those that are not in it any more.
    pub fn used(&self) -> [u64; 2] {
        [0, 1].map(|i| self.used.get(i).map_or(0, |n| n.load(Ordering::Relaxed)))
    }

    /// Adds to that, here and above.
    pub(crate) fn charge(self: &Arc<Group>, times: [u64; 2]) {
        for group in self.upwards() {
            for (sum, time) in group.used.iter().zip(times) {
                sum.fetch_add(time, Ordering::Relaxed);
            }
        }
    }
}
