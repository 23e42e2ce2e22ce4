//! `rename(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::create::Who;
use super::dentry::{Child, Dentry};
use super::namei::{Last, Parent, Path, child_locked};
use super::perm::{self, MAY_WRITE};
use super::watch::{self, mask};
use crate::sync::MutexGuard;

/// `RENAME_NOREPLACE`
pub const RENAME_NOREPLACE: u32 = 1;
/// `RENAME_EXCHANGE`
pub const RENAME_EXCHANGE: u32 = 2;
/// `RENAME_WHITEOUT`
pub const RENAME_WHITEOUT: u32 = 4;

/// Both directories, the upper first, under the file system's rename lock.
fn lock_both<'a>(a: &'a Arc<Dentry>, b: &'a Arc<Dentry>) -> (MutexGuard<'a, ()>, Option<MutexGuard<'a, ()>>) {
    if Arc::ptr_eq(a, b) {
        return (a.lock_dir(), None);
    }
    // `rmdir` takes a directory and then one below it; so must this.
    let (first, second) = if b.is_ancestor_of(a) { (b, a) } else { (a, b) };
    let first = first.lock_dir();
    (first, Some(second.lock_dir()))
}

/// Moves a name.
pub fn rename(who: Who<'_>, from: &Parent, to: &Parent, flags: u32) -> Result<()> {
    let (old_dir, new_dir) = (&from.dir, &to.dir);
    if !Arc::ptr_eq(&old_dir.mnt, &new_dir.mnt) {
        return Err(Errno::EXDEV);
    }
    let Last::Norm(old_name) = &from.last else {
        return Err(Errno::EBUSY);
    };
    let Last::Norm(new_name) = &to.last else {
        return Err(match flags & RENAME_NOREPLACE {
            0 => Errno::EBUSY,
            _ => Errno::EEXIST,
        });
    };
    perm::want_write(&old_dir.mnt)?;
    let sb = old_dir.inode().sb.clone();
    let _rename = sb.rename_lock.lock();
    let locks = lock_both(&old_dir.dentry, &new_dir.dentry);
    let Child::Positive(old) = child_locked(&old_dir.dentry, old_name)? else {
        return Err(Errno::ENOENT);
    };
    let new = match child_locked(&new_dir.dentry, new_name)? {
        Child::Positive(new) => Some(new),
        Child::Negative => None,
    };
    check(from, to, &old, new.as_ref(), flags)?;
    let (source, target) = (old.inode().clone(), new.as_ref().map(|n| n.inode().clone()));
    if target.as_ref().is_some_and(|t| Arc::ptr_eq(t, &source)) {
        return Ok(());
    }
    permit(who, from, to, &old, new.as_ref(), flags)?;
    for dentry in [Some(&old), new.as_ref()].into_iter().flatten() {
        if dentry.is_mountpoint() && old_dir.mnt.child_at(dentry).is_some() {
            return Err(Errno::EBUSY);
        }
    }
    old_dir
        .inode()
        .ops
        .rename(old_dir.inode(), old_name, new_dir.inode(), new_name, flags)?;
    let exchange = flags & RENAME_EXCHANGE != 0;
    let back = new.as_ref().filter(|_| exchange);
    old_dir.dentry.renamed(old_name, &new_dir.dentry, new_name, &old, back);
    if flags & RENAME_WHITEOUT != 0 {
        old_dir.dentry.forget_child(old_name);
    }
    drop(locks);
    announce(old_dir, old_name, new_dir, new_name, &old);
    if let Some(new) = new {
        if exchange {
            announce(new_dir, new_name, old_dir, old_name, &new);
        } else {
            let inode = new.inode().clone();
            drop(new);
            watch::notify_inode(&inode, mask::ATTRIB);
            watch::gone(&inode);
        }
    }
    Ok(())
}

/// What needs no permission to be wrong (`do_renameat2`).
fn check(from: &Parent, to: &Parent, old: &Arc<Dentry>, new: Option<&Arc<Dentry>>, flags: u32) -> Result<()> {
    let exchange = flags & RENAME_EXCHANGE != 0;
    if flags & RENAME_NOREPLACE != 0 && new.is_some() {
        return Err(Errno::EEXIST);
    }
    if exchange {
        let Some(new) = new else { return Err(Errno::ENOENT) };
        if !new.inode().is_dir() && to.slash {
            return Err(Errno::ENOTDIR);
        }
    }
    if !old.inode().is_dir() && (from.slash || (!exchange && to.slash)) {
        return Err(Errno::ENOTDIR);
    }
    if old.is_ancestor_of(&to.dir.dentry) {
        return Err(Errno::EINVAL);
    }
    if new.is_some_and(|new| new.is_ancestor_of(&from.dir.dentry)) {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    Ok(())
}

/// `vfs_rename`
fn permit(
    who: Who<'_>,
    from: &Parent,
    to: &Parent,
    old: &Arc<Dentry>,
    new: Option<&Arc<Dentry>>,
    flags: u32,
) -> Result<()> {
    let exchange = flags & RENAME_EXCHANGE != 0;
    let is_dir = old.inode().is_dir();
    perm::may_delete(who.task, who.cred, &from.dir, old.inode(), None)?;
    match new {
        None => perm::may_create(who.task, who.cred, &to.dir)?,
        Some(new) => {
            let wanted = (!exchange).then_some(is_dir);
            perm::may_delete(who.task, who.cred, &to.dir, new.inode(), wanted)?;
        }
    }
    // A directory that gets another parent is itself written to.
    if !Arc::ptr_eq(&from.dir.dentry, &to.dir.dentry) {
        if is_dir {
            perm::inode(who.task, who.cred, old.inode(), MAY_WRITE)?;
        }
        if let Some(new) = new.filter(|n| exchange && n.inode().is_dir()) {
            perm::inode(who.task, who.cred, new.inode(), MAY_WRITE)?;
        }
    }
    Ok(())
}

fn announce(old_dir: &Path, old_name: &[u8], new_dir: &Path, new_name: &[u8], moved: &Arc<Dentry>) {
    let cookie = watch::cookie(&old_dir.inode().sb);
    let is_dir = moved.inode().is_dir();
    let within = match Arc::ptr_eq(old_dir.inode(), new_dir.inode()) {
        true => mask::DN_RENAME,
        false => 0,
    };
    watch::notify_dir(old_dir.inode(), mask::MOVED_FROM | within, old_name, is_dir, cookie);
    watch::notify_dir(new_dir.inode(), mask::MOVED_TO, new_name, is_dir, cookie);
    watch::notify_inode(moved.inode(), mask::MOVE_SELF);
}
