//! Mounts and mount namespaces (`mount_namespaces(7)`).
//!
//! A mount shows a tree (a dentry and all below) at a place: a dentry as seen through another mount. Namespaces are trees of
//! mounts. One lock, [`MountTable::lock`], orders all changes of all trees, since propagation crosses namespaces; a path
//! walk takes only the short lock of each mount's `children`.

mod locked;
mod namespace;
mod peers;
pub mod tree;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bitflags::bitflags;

use super::dentry::Dentry;
use super::namei::Path;
use super::super_block::SuperBlock;
use crate::sync::Mutex;

pub use locked::{has_locked_children, too_revealing};
pub use namespace::MountNamespace;
pub use peers::{PeerGroup, Propagation};
pub use tree::{attach, bind_copy, detached_copy, move_mount, pivot_root, set_propagation, umount};

bitflags! {
    /// Flags of one mount, `MS_*` values of `mount(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MountFlags: u64 {
        /// `MS_RDONLY`
        const RDONLY = 1;
        /// `MS_NOSUID`
        const NOSUID = 2;
        /// `MS_NODEV`
        const NODEV = 4;
        /// `MS_NOEXEC`
        const NOEXEC = 8;
        /// `MS_NOSYMFOLLOW`
        const NOSYMFOLLOW = 256;
        /// `MS_NOATIME`
        const NOATIME = 1024;
        /// `MS_NODIRATIME`
        const NODIRATIME = 2048;
        /// `MS_RELATIME`
        const RELATIME = 1 << 21;
    }
}

impl MountFlags {
    /// Out of the flags of `mount(2)`: `relatime` unless told otherwise.
    pub fn from_mount(flags: u64) -> MountFlags {
        const MS_STRICTATIME: u64 = 1 << 24;
        let mut out = MountFlags::from_bits_truncate(flags) - MountFlags::RELATIME;
        if !out.contains(MountFlags::NOATIME) && flags & MS_STRICTATIME == 0 {
            out |= MountFlags::RELATIME;
        }
        out
    }

    /// As `/proc/mounts` shows them, without the leading `ro` or `rw`.
    pub fn show(self) -> String {
        let names = [
            (MountFlags::NOSUID, ",nosuid"),
            (MountFlags::NODEV, ",nodev"),
            (MountFlags::NOEXEC, ",noexec"),
            (MountFlags::NOATIME, ",noatime"),
            (MountFlags::NODIRATIME, ",nodiratime"),
            (MountFlags::RELATIME, ",relatime"),
            (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
        ];
        names
            .iter()
            .filter(|(f, _)| self.contains(*f))
            .map(|(_, n)| *n)
            .collect()
    }
}

/// What all mounts of a kernel share: the lock over their trees, and numbers.
pub struct MountTable {
    /// Held while any tree of mounts changes.
    pub(super) lock: Mutex<()>,
    next_id: AtomicU64,
    next_group: AtomicU64,
}

impl MountTable {
    /// Nothing mounted yet.
    pub fn new() -> Arc<MountTable> {
        Arc::new(MountTable {
            lock: Mutex::new(()),
            next_id: AtomicU64::new(20),
            next_group: AtomicU64::new(1),
        })
    }
}

/// Where a mount is mounted.
#[derive(Clone)]
struct Place {
    parent: Weak<Mount>,
    dentry: Arc<Dentry>,
}

/// A file system tree at a place, like `struct mount`.
pub struct Mount {
    /// Number, as in `/proc/PID/mountinfo`.
    pub id: u64,
    /// The file system.
    pub sb: Arc<SuperBlock>,
    /// What of it the mount shows.
    pub root: Arc<Dentry>,
    /// Name of the source, for `/proc/mounts`.
    pub source: Vec<u8>,
    pub(super) table: Arc<MountTable>,
    flags: AtomicU64,
    locks: locked::Locks,
    place: Mutex<Option<Place>>,
    /// By address of the dentry mounted on, which the child's place keeps alive.
    children: Mutex<HashMap<usize, Arc<Mount>>>,
    propagation: Mutex<Propagation>,
    /// The namespace that it belongs to; none once unmounted, or of the kernel's own.
    ns: Mutex<Weak<MountNamespace>>,
    /// `MNT_EXPIRE` was tried and it was not used since.
    expiring: AtomicBool,
    /// Of the kernel itself (pipes, sockets): never in a namespace.
    internal: OnceLock<()>,
}

fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry).addr()
}

impl Mount {
    /// A mount that is in no tree yet.
    pub fn new(
        table: &Arc<MountTable>,
        sb: Arc<SuperBlock>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: &[u8],
    ) -> Arc<Mount> {
        Mount::with_locks(table, sb, root, flags, source, locked::Locks::default())
    }

    fn with_locks(
        table: &Arc<MountTable>,
        sb: Arc<SuperBlock>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: &[u8],
        locks: locked::Locks,
    ) -> Arc<Mount> {
        sb.mounted();
        Arc::new(Mount {
            id: table.next_id.fetch_add(1, Ordering::Relaxed),
            sb,
            root,
            source: source.to_vec(),
            table: table.clone(),
            flags: AtomicU64::new(flags.bits()),
            locks,
            place: Mutex::new(None),
            children: Mutex::new(HashMap::new()),
            propagation: Mutex::new(Propagation::default()),
            ns: Mutex::new(Weak::new()),
            expiring: AtomicBool::new(false),
            internal: OnceLock::new(),
        })
    }

    /// Numbers of `statmount(2)` begin above this, so that they are not taken for those of `mountinfo`.
    pub const UNIQUE_BASE: u64 = 1 << 31;

    /// A number that no other mount ever had (`STATX_MNT_ID_UNIQUE`).
    pub fn unique_id(&self) -> u64 {
        Mount::UNIQUE_BASE.saturating_add(self.id)
    }

    /// One of the kernel's own, which no namespace shows.
    pub(super) fn new_internal(table: &Arc<MountTable>, sb: Arc<SuperBlock>, root: Arc<Dentry>) -> Arc<Mount> {
        let mount = Mount::new(table, sb, root, MountFlags::empty(), b"none");
        let _ = mount.internal.set(());
        mount
    }

    /// True for the kernel's own mounts.
    pub fn is_internal(&self) -> bool {
        self.internal.get().is_some()
    }

    /// Flags now.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the flags.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Nothing may be changed through this mount.
    pub fn is_readonly(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY) || self.sb.readonly.load(Ordering::Relaxed)
    }

    /// What is mounted on `dentry` as seen through this mount.
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        self.expiring.store(false, Ordering::Relaxed);
        self.children.lock().get(&key(dentry)).cloned()
    }

    /// The place that it is mounted on; none for the root of a tree.
    pub fn mounted_on(&self) -> Option<Path> {
        let place = self.place.lock();
        let place = place.as_ref()?;
        Some(Path {
            mnt: place.parent.upgrade()?,
            dentry: place.dentry.clone(),
        })
    }

    /// The root of the mount as a place.
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path {
            mnt: self.clone(),
            dentry: self.root.clone(),
        }
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> Option<Arc<MountNamespace>> {
        self.ns.lock().upgrade()
    }

    /// How it takes part in propagation, for `/proc/PID/mountinfo`: (peer group, master group, unbindable).
    pub fn propagation(&self) -> (Option<u64>, Option<u64>, bool) {
        let p = self.propagation.lock();
        (
            p.group.as_ref().map(|g| g.id),
            p.master.as_ref().map(|g| g.id),
            p.unbindable,
        )
    }

    /// Mounts on this one.
    pub fn children(&self) -> Vec<Arc<Mount>> {
        let mut all: Vec<_> = self.children.lock().values().cloned().collect();
        all.sort_by_key(|m| m.id);
        all
    }

    /// This mount and all on it, parents first.
    pub fn subtree(self: &Arc<Self>) -> Vec<Arc<Mount>> {
        let mut all = vec![self.clone()];
        let mut i = 0;
        while let Some(mount) = all.get(i) {
            let children = mount.children();
            all.extend(children);
            i += 1;
        }
        all
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Children of a tree that is dropped as a whole (`open_tree(2)` and a closed fd).
        if let Some(place) = self.place.get_mut().take() {
            place.dentry.remove_mount();
        }
        self.sb.unmounted();
    }
}
