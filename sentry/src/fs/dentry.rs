//! Names in trees, and the cache of them.
//!
//! A dentry stands for an inode under a name in its parent. Dentries are a cache: a file system must be able to find each
//! object again when its dentry has been dropped. That a name does *not* exist is cached too, as a [`Child::Negative`] of
//! the parent; a [`Dentry`] itself always has an inode.
//!
//! Locks: `dir_lock` of a directory (held while the file system is asked or told about names in it), then `children`
//! (held for moments). Only rename takes two `dir_lock`s, under the super block's `rename_lock`.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use super::inode::Inode;
use crate::sync::{Mutex, MutexGuard};

/// A name in a file system's tree.
pub struct Dentry {
    inode: Arc<Inode>,
    link: Mutex<LinkTo>,
    children: Mutex<HashMap<Box<[u8]>, Child>>,
    dir_lock: Mutex<()>,
    /// The name was removed while the dentry was in use.
    unlinked: AtomicBool,
    /// Used since the cache last looked.
    referenced: AtomicBool,
    /// How many mounts, in all namespaces, have this as their place.
    mounts: AtomicU32,
    /// Text that stands for the whole path (`pipe:[5]`).
    anonymous: Option<Box<[u8]>>,
}

struct LinkTo {
    /// None for the root of a tree.
    parent: Option<Arc<Dentry>>,
    name: Box<[u8]>,
}

/// What is known of a name.
#[derive(Clone)]
pub enum Child {
    /// It exists.
    Positive(Arc<Dentry>),
    /// It does not.
    Negative,
}

/// Names of one file system in the order in which they came, for dropping those not used (`struct super_block`'s `s_dentry_lru`).
pub struct DentryCache {
    /// Most of them (`SuperOps::cached_names`).
    max: usize,
    names: Mutex<VecDeque<(Weak<Dentry>, Box<[u8]>)>>,
}

impl Dentry {
    fn make(inode: Arc<Inode>, parent: Option<Arc<Dentry>>, name: &[u8], anonymous: Option<Box<[u8]>>) -> Arc<Dentry> {
        Arc::new(Dentry {
            inode,
            link: Mutex::new(LinkTo {
                parent,
                name: name.into(),
            }),
            children: Mutex::new(HashMap::new()),
            dir_lock: Mutex::new(()),
            unlinked: AtomicBool::new(false),
            referenced: AtomicBool::new(true),
            mounts: AtomicU32::new(0),
            anonymous,
        })
    }

    /// The root of a file system's tree.
    pub fn new_root(inode: Arc<Inode>) -> Arc<Dentry> {
        Dentry::make(inode, None, b"", None)
    }

    /// Stands alone; its path is `text`.
    pub fn new_anonymous(inode: Arc<Inode>, text: &[u8]) -> Arc<Dentry> {
        Dentry::make(inode, None, b"", Some(text.into()))
    }

    /// A file that never had a name (`O_TMPFILE`), in the tree of `parent`.
    pub fn new_unnamed(inode: Arc<Inode>, parent: &Arc<Dentry>, name: &[u8]) -> Arc<Dentry> {
        let dentry = Dentry::make(inode, Some(parent.clone()), name, None);
        dentry.unlinked.store(true, Ordering::Release);
        dentry
    }

    /// What the name stands for.
    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    /// The directory that holds the name; none for a root.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.link.lock().parent.clone()
    }

    /// The root of the tree that it is in.
    pub fn topmost(self: &Arc<Self>) -> Arc<Dentry> {
        let mut at = self.clone();
        while let Some(up) = at.parent() {
            at = up;
        }
        at
    }

    /// The name.
    pub fn name(&self) -> Vec<u8> {
        self.link.lock().name.to_vec()
    }

    /// The text of a dentry of an anonymous file system.
    pub fn anonymous_text(&self) -> Option<&[u8]> {
        self.anonymous.as_deref()
    }

    /// True once the name is gone; a directory is then dead.
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Acquire)
    }

    /// Something may be mounted here, in some namespace.
    pub fn is_mountpoint(&self) -> bool {
        self.mounts.load(Ordering::Acquire) > 0
    }

    pub(super) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
    }

    /// True if `self` is `other` or above it.
    pub fn is_ancestor_of(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut at = Some(other.clone());
        while let Some(dentry) = at {
            if Arc::ptr_eq(&dentry, self) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }

    /// Held while the file system is asked about or changes names of this directory.
    pub fn lock_dir(&self) -> MutexGuard<'_, ()> {
        self.dir_lock.lock()
    }

    /// What the cache knows of a name.
    pub fn cached(&self, name: &[u8]) -> Option<Child> {
        let children = self.children.lock();
        let child = children.get(name)?;
        if let Child::Positive(dentry) = child
            && !dentry.referenced.load(Ordering::Relaxed)
        {
            dentry.referenced.store(true, Ordering::Relaxed);
        }
        Some(child.clone())
    }

    /// Records that the name stands for this inode; gives the dentry, the old one if that was so already.
    pub fn insert(self: &Arc<Self>, name: &[u8], inode: Arc<Inode>) -> Arc<Dentry> {
        let mut children = self.children.lock();
        let old = children.get(name);
        if let Some(Child::Positive(old)) = old
            && Arc::ptr_eq(&old.inode, &inode)
        {
            return old.clone();
        }
        let known = old.is_some();
        let dentry = Dentry::make(inode, Some(self.clone()), name, None);
        if let Some(Child::Positive(old)) = children.insert(name.into(), Child::Positive(dentry.clone())) {
            old.unlinked.store(true, Ordering::Release);
        }
        drop(children);
        if !known {
            self.inode.sb.dentries.add(self, name);
        }
        dentry
    }

    /// Records that the name does not exist.
    pub fn insert_negative(self: &Arc<Self>, name: &[u8]) {
        let old = self.children.lock().insert(name.into(), Child::Negative);
        match old {
            None => self.inode.sb.dentries.add(self, name),
            Some(Child::Positive(dentry)) => dentry.unlinked.store(true, Ordering::Release),
            Some(Child::Negative) => {}
        }
    }

    /// The name was removed from the file system.
    pub fn remove_child(&self, name: &[u8]) {
        // The entry stays as a negative one: what is removed is often looked for again (`rm -rf`, lock files).
        if let Some(child) = self.children.lock().get_mut(name)
            && let Child::Positive(dentry) = std::mem::replace(child, Child::Negative)
        {
            dentry.unlinked.store(true, Ordering::Release);
        }
    }

    /// Forgets what is known of a name, without saying that it is gone.
    pub fn forget_child(&self, name: &[u8]) {
        self.children.lock().remove(name);
    }

    /// Forgets names whose dentries nobody uses, below this one too.
    pub fn forget_unused(&self) {
        let children: Vec<Arc<Dentry>> = {
            let mut map = self.children.lock();
            map.retain(|_, c| matches!(c, Child::Positive(_)));
            let positive = map.values().filter_map(|c| match c {
                Child::Positive(d) => Some(d.clone()),
                Child::Negative => None,
            });
            positive.collect()
        };
        for child in children {
            child.forget_unused();
        }
        self.children.lock().retain(|_, c| match c {
            Child::Positive(d) => Arc::strong_count(d) > 1 || d.is_mountpoint(),
            Child::Negative => false,
        });
    }

    /// Takes the tree below apart: nobody will walk it again.
    pub(super) fn forget_tree(&self) {
        let mut todo: Vec<Child> = self.children.lock().drain().map(|(_, c)| c).collect();
        while let Some(child) = todo.pop() {
            if let Child::Positive(dentry) = child {
                todo.extend(dentry.children.lock().drain().map(|(_, c)| c));
            }
        }
    }

    /// A rename has been done: moves the dentry under its new name. With `exchange`, what stands there comes back.
    pub(super) fn renamed(
        self: &Arc<Self>,
        name: &[u8],
        to: &Arc<Dentry>,
        to_name: &[u8],
        child: &Arc<Dentry>,
        exchange: Option<&Arc<Dentry>>,
    ) {
        let known = to.cached(to_name).is_some();
        if exchange.is_none() {
            to.remove_child(to_name);
        }
        let back = match exchange {
            Some(other) => {
                *other.link.lock() = LinkTo {
                    parent: Some(self.clone()),
                    name: name.into(),
                };
                Child::Positive(other.clone())
            }
            None => Child::Negative,
        };
        self.children.lock().insert(name.into(), back);
        *child.link.lock() = LinkTo {
            parent: Some(to.clone()),
            name: to_name.into(),
        };
        to.children
            .lock()
            .insert(to_name.into(), Child::Positive(child.clone()));
        if !known {
            to.inode.sb.dentries.add(to, to_name);
        }
    }

    /// Gives an unnamed file the name that `linkat(2)` gave it.
    pub(super) fn named(&self, parent: &Arc<Dentry>, name: &[u8]) {
        *self.link.lock() = LinkTo {
            parent: Some(parent.clone()),
            name: name.into(),
        };
        self.unlinked.store(false, Ordering::Release);
    }
}

impl DentryCache {
    pub(super) fn new(max: usize) -> DentryCache {
        DentryCache {
            max,
            names: Mutex::default(),
        }
    }

    /// Notes a new name and drops a few old ones where there are too many.
    fn add(&self, parent: &Arc<Dentry>, name: &[u8]) {
        let mut dropped = Vec::new();
        let mut names = self.names.lock();
        names.push_back((Arc::downgrade(parent), name.into()));
        let mut tries = 0;
        while names.len() > self.max && tries < 8 {
            tries += 1;
            let Some((weak, name)) = names.pop_front() else { break };
            let Some(parent) = weak.upgrade() else { continue };
            // Another thread may hold the children and wait for `names`.
            let Some(mut children) = parent.children.try_lock() else {
                names.push_back((weak, name));
                continue;
            };
            let keep = match children.get(&name) {
                None => false,
                Some(Child::Negative) => {
                    children.remove(&name);
                    false
                }
                Some(Child::Positive(dentry)) => {
                    let used = dentry.referenced.swap(false, Ordering::Relaxed)
                        || Arc::strong_count(dentry) > 1
                        || dentry.is_mountpoint()
                        || dentry.children.try_lock().is_none_or(|c| !c.is_empty());
                    if !used {
                        dropped.extend(children.remove(&name));
                    }
                    used
                }
            };
            drop(children);
            if keep {
                names.push_back((weak, name));
            }
        }
        drop(names);
        // Inodes end here, without the lock.
        drop(dropped);
    }
}
