//! Changing trees of mounts: attach, copy, move, unmount, pivot, with propagation.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::locked::{self, Locks};
use super::peers::{self, Propagation};
use super::{Mount, MountNamespace, Place, key};
use crate::fs::dentry::Dentry;
use crate::fs::namei::Path;

/// Most mounts of one namespace (`/proc/sys/fs/mount-max`).
const MOUNT_MAX: usize = 100_000;

/// What becomes of shared mounts in a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyPeers {
    /// The copy joins the group.
    Share,
    /// The copy receives from the group.
    Slave,
}

fn copy_one(mount: &Arc<Mount>, root: &Arc<Dentry>, how: CopyPeers) -> Arc<Mount> {
    let copy = Mount::with_locks(
        &mount.table,
        mount.sb.clone(),
        root.clone(),
        mount.flags(),
        &mount.source,
        Locks::copy(&mount.locks),
    );
    let old = mount.propagation.lock().clone();
    let new = match (how, old.group) {
        (CopyPeers::Slave, Some(group)) => Propagation {
            group: None,
            master: Some(group),
            unbindable: false,
        },
        (_, group) => Propagation {
            group,
            master: old.master,
            unbindable: false,
        },
    };
    peers::set(&copy, new);
    copy
}

/// Copies the mount, showing `root`, and with `recursive` the mounts below `root`. Gives the copy and old id to new mount.
pub(super) fn copy_tree(
    mount: &Arc<Mount>,
    root: &Arc<Dentry>,
    recursive: bool,
    how: CopyPeers,
) -> Result<(Arc<Mount>, HashMap<u64, Arc<Mount>>)> {
    let top = copy_one(mount, root, how);
    let mut map = HashMap::from([(mount.id, top.clone())]);
    // Each with all below it before its next sibling: that is the order of the copies' numbers.
    let below = |old: &Arc<Mount>, new: &Arc<Mount>| -> Vec<(Arc<Mount>, Arc<Mount>)> {
        let children = old.children().into_iter().rev();
        children.map(|child| (child, new.clone())).collect()
    };
    let mut todo = if recursive { below(mount, &top) } else { Vec::new() };
    while let Some((child, new_parent)) = todo.pop() {
        let Some(place) = child.place.lock().clone() else {
            continue;
        };
        let hidden = Arc::ptr_eq(&new_parent, &top) && !root.is_ancestor_of(&place.dentry);
        if hidden || child.propagation.lock().unbindable {
            continue;
        }
        let copy = copy_one(&child, &child.root, how);
        link(&copy, &new_parent, &place.dentry);
        map.insert(child.id, copy.clone());
        if map.len() > MOUNT_MAX {
            return Err(Errno::ENOSPC);
        }
        todo.extend(below(&child, &copy));
    }
    Ok((top, map))
}

fn link(mount: &Arc<Mount>, parent: &Arc<Mount>, dentry: &Arc<Dentry>) {
    dentry.add_mount();
    *mount.place.lock() = Some(Place {
        parent: Arc::downgrade(parent),
        dentry: dentry.clone(),
    });
    parent.children.lock().insert(key(dentry), mount.clone());
}

fn unlink(mount: &Arc<Mount>) {
    let Some(place) = mount.place.lock().take() else { return };
    place.dentry.remove_mount();
    if let Some(parent) = place.parent.upgrade() {
        parent.children.lock().remove(&key(&place.dentry));
    }
}

fn set_namespace(mount: &Arc<Mount>, ns: &Weak<MountNamespace>) {
    for mount in mount.subtree() {
        *mount.ns.lock() = ns.clone();
    }
}

fn topmost(mut path: Path) -> Path {
    while let Some(over) = path.mnt.child_at(&path.dentry) {
        path = over.root_path();
    }
    path
}

fn attach_locked(mount: &Arc<Mount>, to: &Path) -> Result<()> {
    let ns = to.mnt.ns.lock().clone();
    if let Some(ns) = ns.upgrade()
        && ns.list().len() + mount.subtree().len() > MOUNT_MAX
    {
        return Err(Errno::ENOSPC);
    }
    let shared = to.mnt.propagation.lock().group.is_some();
    if shared {
        for m in mount.subtree() {
            peers::make_shared(&m);
        }
    }
    let receivers = peers::receivers(&to.mnt);
    link(mount, &to.mnt, &to.dentry);
    set_namespace(mount, &ns);
    for (receiver, slave) in receivers {
        if !receiver.root.is_ancestor_of(&to.dentry) {
            continue;
        }
        let how = if slave { CopyPeers::Slave } else { CopyPeers::Share };
        let (copy, _) = copy_tree(mount, &mount.root, true, how)?;
        if slave && receiver.propagation.lock().group.is_some() {
            copy.subtree().iter().for_each(peers::make_shared);
        }
        let at = topmost(Path {
            mnt: receiver.clone(),
            dentry: to.dentry.clone(),
        });
        link(&copy, &at.mnt, &at.dentry);
        let there = receiver.ns.lock().clone();
        set_namespace(&copy, &there);
        let owner = |ns: &Weak<MountNamespace>| ns.upgrade().map(|ns| ns.user_ns.id);
        if owner(&there) != owner(&ns) {
            locked::lock_tree(&copy);
        }
    }
    Ok(())
}

/// Puts a mount that is in no tree at a place, over what is mounted there, and at the same place of the peers.
pub fn attach(mount: &Arc<Mount>, to: &Path) -> Result<()> {
    let _lock = mount.table.lock.lock();
    let to = topmost(to.clone());
    if to.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    // `do_add_mount`: refuse the same file system twice at one place.
    if Arc::ptr_eq(&to.mnt.sb, &mount.sb)
        && Arc::ptr_eq(&to.mnt.root, &to.dentry)
        && Arc::ptr_eq(&to.dentry, &mount.root)
    {
        return Err(Errno::EBUSY);
    }
    if mount.root.inode().is_dir() != to.dentry.inode().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    attach_locked(mount, &to)
}

/// A copy of what a place shows (`MS_BIND`), in no tree.
pub fn bind_copy(from: &Path, recursive: bool) -> Result<Arc<Mount>> {
    let _lock = from.mnt.table.lock.lock();
    if from.mnt.propagation.lock().unbindable {
        return Err(Errno::EINVAL);
    }
    if !recursive && locked::has_locked_children(from) {
        return Err(Errno::EINVAL);
    }
    let copy = copy_tree(&from.mnt, &from.dentry, recursive, CopyPeers::Share)?.0;
    copy.lock_place(false);
    Ok(copy)
}

/// `OPEN_TREE_CLONE`: like [`bind_copy`].
pub fn detached_copy(from: &Path, recursive: bool) -> Result<Arc<Mount>> {
    bind_copy(from, recursive)
}

/// `MS_MOVE`: takes the mount at `from` to `to`. Both are in the caller's namespace, or the mount is in none.
pub fn move_mount(from: &Path, to: &Path) -> Result<()> {
    let _lock = from.mnt.table.lock.lock();
    let to = topmost(to.clone());
    let mount = &from.mnt;
    if !Arc::ptr_eq(&mount.root, &from.dentry) || to.dentry.is_unlinked() || mount.is_locked() {
        return Err(Errno::EINVAL);
    }
    if mount.root.inode().is_dir() != to.dentry.inode().is_dir() {
        return Err(Errno::EINVAL);
    }
    let old = mount.mounted_on();
    match &old {
        // The root of a namespace does not move.
        None if mount.namespace().is_some() => return Err(Errno::EINVAL),
        Some(parent) if parent.mnt.propagation.lock().group.is_some() => return Err(Errno::EINVAL),
        _ => {}
    }
    if to.mnt.propagation.lock().group.is_some() && mount.subtree().iter().any(|m| m.propagation.lock().unbindable) {
        return Err(Errno::EINVAL);
    }
    // Not below itself.
    let mut above = Some(to.mnt.clone());
    while let Some(m) = above {
        if Arc::ptr_eq(&m, mount) {
            return Err(Errno::ELOOP);
        }
        above = m.mounted_on().map(|p| p.mnt);
    }
    unlink(mount);
    attach_locked(mount, &to)
}

/// References that a mount at its place has when only its tree and the caller know it.
const QUIET: usize = 2;

fn is_busy(mount: &Arc<Mount>, held: usize) -> bool {
    !mount.children.lock().is_empty() || Arc::strong_count(mount) > held
}

fn take_apart(mount: &Arc<Mount>) {
    for m in mount.subtree() {
        unlink(&m);
        peers::make_private(&m, false);
        *m.ns.lock() = Weak::new();
    }
}

/// Unmounts what `path` is the root of (`umount2(2)`). The caller gives its only reference.
pub fn umount(path: Path, detach: bool, expire: bool) -> Result<()> {
    let Path { mnt, dentry } = path;
    drop(dentry);
    let table = mnt.table.clone();
    let _lock = table.lock.lock();
    let Some(place) = mnt.place.lock().clone().filter(|_| !mnt.is_locked()) else {
        return Err(Errno::EINVAL);
    };
    if !detach && is_busy(&mnt, QUIET) {
        return Err(Errno::EBUSY);
    }
    if expire && !mnt.expiring.swap(true, Ordering::Relaxed) {
        return Err(Errno::EAGAIN);
    }
    if let Some(parent) = place.parent.upgrade() {
        for (receiver, _) in peers::receivers(&parent) {
            let copy = receiver.children.lock().get(&key(&place.dentry)).cloned();
            // Two references: the receiver's and this one.
            if let Some(copy) = copy
                && Arc::ptr_eq(&copy.root, &mnt.root)
                && (detach || !is_busy(&copy, QUIET))
            {
                take_apart(&copy);
            }
        }
    }
    take_apart(&mnt);
    Ok(())
}

/// Changes how the mount, or with `recursive` all below, takes part in propagation. One of `MS_SHARED`, `MS_SLAVE`,
/// `MS_PRIVATE`, `MS_UNBINDABLE`.
pub fn set_propagation(mount: &Arc<Mount>, kind: u64, recursive: bool) -> Result<()> {
    let _lock = mount.table.lock.lock();
    let all = if recursive {
        mount.subtree()
    } else {
        vec![mount.clone()]
    };
    for m in &all {
        match kind {
            0x10_0000 => peers::make_shared(m),
            0x8_0000 => peers::make_slave(m),
            0x4_0000 => peers::make_private(m, false),
            0x2_0000 => peers::make_private(m, true),
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(())
}

/// `pivot_root(2)`: `new` becomes the root of the namespace, the old root goes to `put_old` below it. The caller has
/// checked permission and moves the tasks' roots.
pub fn pivot_root(root: &Path, new: &Path, put_old: &Path) -> Result<()> {
    let _lock = new.mnt.table.lock.lock();
    let ns = root.mnt.namespace().ok_or(Errno::EINVAL)?;
    let same_ns = |m: &Arc<Mount>| m.namespace().is_some_and(|n| Arc::ptr_eq(&n, &ns));
    let shared = |m: Option<Path>| m.is_some_and(|p| p.mnt.propagation.lock().group.is_some());
    if put_old.mnt.propagation.lock().group.is_some() || shared(new.mnt.mounted_on()) || shared(root.mnt.mounted_on()) {
        return Err(Errno::EINVAL);
    }
    if !same_ns(&new.mnt) || !same_ns(&put_old.mnt) || new.mnt.is_locked() {
        return Err(Errno::EINVAL);
    }
    if new.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    if Arc::ptr_eq(&new.mnt, &root.mnt) || Arc::ptr_eq(&put_old.mnt, &root.mnt) {
        return Err(Errno::EBUSY);
    }
    if !Arc::ptr_eq(&root.mnt.root, &root.dentry) || !Arc::ptr_eq(&new.mnt.root, &new.dentry) {
        return Err(Errno::EINVAL);
    }
    let old_place = root.mnt.mounted_on();
    let is_ns_root = ns.root().is_ok_and(|r| Arc::ptr_eq(&r, &root.mnt));
    if (old_place.is_none() && !is_ns_root) || new.mnt.mounted_on().is_none() {
        return Err(Errno::EINVAL);
    }
    if !is_below(put_old, new) || !is_below(new, root) {
        return Err(Errno::EINVAL);
    }
    if root.mnt.is_locked() {
        new.mnt.lock_place(true);
        root.mnt.lock_place(false);
    }
    unlink(&new.mnt);
    unlink(&root.mnt);
    match old_place {
        Some(place) => link(&new.mnt, &place.mnt, &place.dentry),
        None => *ns.root.lock() = Some(new.mnt.clone()),
    }
    let put_old = topmost(put_old.clone());
    link(&root.mnt, &put_old.mnt, &put_old.dentry);
    Ok(())
}

/// True if `path` is `top` or below it, as `is_path_reachable`.
fn is_below(path: &Path, top: &Path) -> bool {
    let mut at = path.clone();
    while !Arc::ptr_eq(&at.mnt, &top.mnt) {
        match at.mnt.mounted_on() {
            Some(up) => at = up,
            None => return false,
        }
    }
    top.dentry.is_ancestor_of(&at.dentry)
}
