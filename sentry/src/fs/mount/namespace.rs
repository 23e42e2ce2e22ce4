//! Mount namespaces.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::tree::{self, CopyPeers};
use super::{Mount, MountFlags};
use crate::cred::UserNamespace;
use crate::fs::context::FsContext;
use crate::fs::namei::Path;
use crate::fs::super_block::SuperBlock;
use crate::kernel::Kernel;
use crate::sync::Mutex;

/// The mounts that a set of processes sees.
pub struct MountNamespace {
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Owner.
    pub user_ns: Arc<UserNamespace>,
    pub(super) root: Mutex<Option<Arc<Mount>>>,
}

impl MountNamespace {
    /// The first namespace, with one mount at its root.
    pub fn new_root(kernel: &Arc<Kernel>, sb: Arc<SuperBlock>, flags: MountFlags, source: &[u8]) -> Result<Arc<Self>> {
        let root = sb.root_dentry()?;
        let mount = Mount::new(&kernel.vfs.mounts, sb, root, flags, source);
        let ns = Arc::new(MountNamespace {
            id: kernel.unique_id(),
            user_ns: kernel.root_user_ns.clone(),
            root: Mutex::new(Some(mount.clone())),
        });
        *mount.ns.lock() = Arc::downgrade(&ns);
        Ok(ns)
    }

    /// The mount at the root.
    pub fn root(&self) -> Result<Arc<Mount>> {
        self.root.lock().clone().ok_or(Errno::EINVAL)
    }

    /// The root directory, with what is mounted over it.
    pub fn root_path(&self) -> Result<Path> {
        let mut path = self.root()?.root_path();
        while let Some(over) = path.mnt.child_at(&path.dentry) {
            path = over.root_path();
        }
        Ok(path)
    }

    /// All mounts in the order in which they were made, as Linux lists them.
    pub fn list(&self) -> Vec<Arc<Mount>> {
        let mut all = self.root.lock().as_ref().map(Mount::subtree).unwrap_or_default();
        all.sort_by_key(|mount| mount.id);
        all
    }

    /// `CLONE_NEWNS`: a copy of the tree; root and working directory of `fs` move to the copies of their mounts. In another
    /// user namespace shared mounts become slaves.
    pub fn copy(&self, kernel: &Arc<Kernel>, user_ns: &Arc<UserNamespace>, fs: &FsContext) -> Result<Arc<Self>> {
        let _lock = kernel.vfs.mounts.lock.lock();
        let how = if user_ns.id == self.user_ns.id {
            CopyPeers::Share
        } else {
            CopyPeers::Slave
        };
        let old_root = self.root()?;
        let (new_root, map) = tree::copy_tree(&old_root, &old_root.root, true, how)?;
        let ns = Arc::new(MountNamespace {
            id: kernel.unique_id(),
            user_ns: user_ns.clone(),
            root: Mutex::new(Some(new_root.clone())),
        });
        if how == CopyPeers::Slave {
            super::locked::lock_tree(&new_root);
        }
        for mount in new_root.subtree() {
            *mount.ns.lock() = Arc::downgrade(&ns);
        }
        let moved = |path: Path| relocate(&map, path);
        fs.set_root(moved(fs.root()));
        fs.set_cwd(moved(fs.cwd()));
        Ok(ns)
    }
}

fn relocate(map: &HashMap<u64, Arc<Mount>>, path: Path) -> Path {
    match map.get(&path.mnt.id) {
        Some(mnt) => Path {
            mnt: mnt.clone(),
            dentry: path.dentry,
        },
        None => path,
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        // Mounts still in use outlive the namespace, each on its own.
        let Some(root) = self.root.lock().take() else { return };
        for mount in root.subtree() {
            super::peers::make_private(&mount, false);
            if let Some(place) = mount.place.lock().take() {
                place.dentry.remove_mount();
            }
            mount.children.lock().clear();
            *mount.ns.lock() = Weak::new();
            mount.expiring.store(false, Ordering::Relaxed);
        }
    }
}
