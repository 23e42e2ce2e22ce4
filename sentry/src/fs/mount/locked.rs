//! What a namespace of an ordinary user may not change of the mounts that it got from one with more rights
//! (`mount_namespaces(7)`): uncover what a mount hides, or take back a restriction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::errno::Result;

use super::{Mount, MountFlags, MountNamespace};
use crate::fs::SuperBlock;
use crate::fs::namei::Path;

/// `MNT_LOCKED`: the mount stays where it is.
const PLACE: u64 = 1 << 32;
/// `MNT_LOCK_ATIME`: updates of access times stay as they are.
const ATIME: u64 = 1 << 33;
/// Flags that stay once they are set.
const STICKY: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NODEV)
    .union(MountFlags::NOSUID)
    .union(MountFlags::NOEXEC);
const ATIMES: MountFlags = MountFlags::NOATIME
    .union(MountFlags::NODIRATIME)
    .union(MountFlags::RELATIME);

/// The locks of one mount.
#[derive(Default)]
pub(super) struct Locks(AtomicU64);

impl Locks {
    pub(super) fn copy(from: &Locks) -> Locks {
        Locks(AtomicU64::new(from.0.load(Ordering::Relaxed)))
    }

    fn has(&self, bits: u64) -> bool {
        self.0.load(Ordering::Relaxed) & bits != 0
    }

    fn add(&self, bits: u64) {
        self.0.fetch_or(bits, Ordering::Relaxed);
    }
}

impl Mount {
    /// It hides something that its namespace may not see.
    pub fn is_locked(&self) -> bool {
        self.locks.has(PLACE)
    }

    pub(super) fn lock_place(&self, on: bool) {
        match on {
            true => self.locks.add(PLACE),
            false => {
                self.locks.0.fetch_and(!PLACE, Ordering::Relaxed);
            }
        }
    }

    /// Changes the flags, unless that takes a locked one away (`can_change_locked_flags`).
    pub fn change_flags(&self, new: MountFlags) -> Result<()> {
        self.check_flags(new)?;
        self.set_flags(new);
        Ok(())
    }

    /// `EPERM` where [`Mount::change_flags`] would give it.
    pub fn check_flags(&self, new: MountFlags) -> Result<()> {
        let sticky = MountFlags::from_bits_truncate(self.locks.0.load(Ordering::Relaxed)) & STICKY;
        let atime = self.locks.has(ATIME) && (new ^ self.flags()).intersects(ATIMES);
        if atime || !new.contains(sticky) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

/// A tree that came from a namespace of other users (`lock_mnt_tree`).
pub(super) fn lock_tree(top: &Arc<Mount>) {
    for mount in top.subtree() {
        mount.locks.add(ATIME | (mount.flags() & STICKY).bits());
        if !Arc::ptr_eq(&mount, top) {
            mount.lock_place(true);
        }
    }
}

/// Something below the place is hidden by a mount that is locked: a copy without that mount would show it.
pub fn has_locked_children(place: &Path) -> bool {
    let below = |child: &Arc<Mount>| {
        child
            .mounted_on()
            .is_some_and(|on| place.dentry.is_ancestor_of(&on.dentry))
    };
    place
        .mnt
        .children()
        .iter()
        .any(|child| child.is_locked() && below(child))
}

/// Whether a new mount of a file system that shows the kernel would show more than the namespace sees already
/// (`mount_too_revealing`). The restrictions of what it sees go on to the new mount.
pub fn too_revealing(ns: &MountNamespace, new: &Arc<Mount>) -> bool {
    if ns.user_ns.parent.is_none() || !matches!(new.sb.fstype, "proc" | "sysfs") {
        return false;
    }
    let like = ns
        .list()
        .into_iter()
        .find(|seen| is_as_open(seen, &new.sb, new.flags()));
    let Some(like) = like else { return true };
    let kept = ATIME | MountFlags::RDONLY.bits();
    new.locks.add(like.locks.0.load(Ordering::Relaxed) & kept);
    false
}

/// All of the same file system, with no more restrictions, and nothing of it hidden for good.
fn is_as_open(seen: &Arc<Mount>, sb: &Arc<SuperBlock>, new: MountFlags) -> bool {
    let whole = seen.sb.root().is_ok_and(|root| Arc::ptr_eq(&root, seen.root.inode()));
    let whole = whole && sb.fstype == seen.sb.fstype;
    let readonly = seen.locks.has(MountFlags::RDONLY.bits()) || seen.sb.readonly.load(Ordering::Relaxed);
    let atime = seen.locks.has(ATIME) && (new ^ seen.flags()).intersects(ATIMES);
    whole
        && (!readonly || new.contains(MountFlags::RDONLY))
        && !atime
        && !seen.children().iter().any(|child| child.is_locked())
}
