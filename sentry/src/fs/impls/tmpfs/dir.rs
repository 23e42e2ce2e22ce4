//! Directories of tmpfs: names in the order of their making, each with a cookie that never changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::fs::inode::Inode;

/// Cookies of names start here; 0 and 1 are `.` and `..`.
pub(super) const FIRST_COOKIE: u64 = 2;

/// Names in one directory.
pub(super) struct Dir {
    names: HashMap<Box<[u8]>, (u64, Arc<Inode>)>,
    order: BTreeMap<u64, Box<[u8]>>,
    next: u64,
    /// Inode number of the directory above.
    pub(super) parent: u64,
    /// How many of the names are directories.
    pub(super) subdirs: u32,
}

impl Dir {
    pub(super) fn new(parent: u64) -> Dir {
        Dir {
            names: HashMap::new(),
            order: BTreeMap::new(),
            next: FIRST_COOKIE,
            parent,
            subdirs: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<Inode>> {
        self.names.get(name).map(|(_, inode)| inode)
    }

    /// Adds a name that is not there.
    pub(super) fn add(&mut self, name: &[u8], inode: Arc<Inode>) -> Result<()> {
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if inode.is_dir() {
            self.subdirs += 1;
        }
        let cookie = self.next;
        self.next += 1;
        self.order.insert(cookie, name.into());
        self.names.insert(name.into(), (cookie, inode));
        Ok(())
    }

    /// Takes a name out.
    pub(super) fn remove(&mut self, name: &[u8]) -> Result<Arc<Inode>> {
        let (cookie, inode) = self.names.remove(name).ok_or(Errno::ENOENT)?;
        self.order.remove(&cookie);
        if inode.is_dir() {
            self.subdirs = self.subdirs.saturating_sub(1);
        }
        Ok(inode)
    }

    /// Puts another inode under a name; gives what was there.
    pub(super) fn replace(&mut self, name: &[u8], inode: Arc<Inode>) -> Result<Arc<Inode>> {
        let new_is_dir = inode.is_dir();
        let slot = self.names.get_mut(name).ok_or(Errno::ENOENT)?;
        let old = std::mem::replace(&mut slot.1, inode);
        self.subdirs = (self.subdirs + u32::from(new_is_dir)).saturating_sub(u32::from(old.is_dir()));
        Ok(old)
    }

    /// Entries from a cookie on.
    pub(super) fn from(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], &Arc<Inode>)> {
        self.order
            .range(cookie..)
            .filter_map(|(&cookie, name)| Some((cookie, &**name, &self.names.get(name)?.1)))
    }
}
