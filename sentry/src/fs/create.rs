//! New names: nodes, directories, symbolic and hard links.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::dentry::{Child, Dentry};
use super::inode::{Inode, NewNode};
use super::namei::{Last, Parent, Path, child_locked};
use super::perm;
use super::stat::{FileType, S_ISVTX};
use super::watch;
use crate::cred::{Cred, cap};
use crate::task::{DeviceRule, Task};

/// Who makes it; no task while a container is built.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// The task, for file systems that look at it.
    pub task: Option<&'a Arc<Task>>,
    /// Credentials that count.
    pub cred: &'a Cred,
    /// Mask of permission bits.
    pub umask: u32,
}

/// Adds a name made by `make`, after Linux's checks in Linux's order (`filename_create`, `may_create`).
fn add(
    who: Who<'_>,
    at: &Parent,
    is_dir: bool,
    before: impl FnOnce() -> Result<()>,
    make: impl FnOnce(&Arc<Inode>, &[u8]) -> Result<Arc<Inode>>,
) -> Result<Path> {
    let Last::Norm(name) = &at.last else {
        return Err(Errno::EEXIST);
    };
    let dir = &at.dir;
    let lock = dir.dentry.lock_dir();
    if let Child::Positive(_) = child_locked(&dir.dentry, name)? {
        return Err(Errno::EEXIST);
    }
    if at.slash && !is_dir {
        return Err(Errno::ENOENT);
    }
    perm::want_write(&dir.mnt)?;
    before()?;
    perm::may_create(who.task, who.cred, dir)?;
    let inode = make(dir.inode(), name)?;
    let dentry = dir.dentry.insert(name, inode);
    drop(lock);
    watch::notify_dir(dir.inode(), watch::mask::CREATE, name, is_dir, 0);
    Ok(Path {
        mnt: dir.mnt.clone(),
        dentry,
    })
}

fn node(who: Who<'_>, dir: &Inode, mode: u32, rdev: u64) -> Result<NewNode> {
    let (uid, gid, mode) = perm::new_owner(who.cred, &dir.stat()?, mode);
    Ok(NewNode { mode, uid, gid, rdev })
}

/// `mknod(2)`; also regular files and, for `bind(2)`, sockets.
pub fn mknod(who: Who<'_>, at: &Parent, mode: u32, rdev: u64) -> Result<Path> {
    let kind = FileType::from_mode(mode).ok_or(Errno::EINVAL)?;
    if kind == FileType::Directory {
        return Err(Errno::EPERM);
    }
    if kind == FileType::Symlink {
        return Err(Errno::EINVAL);
    }
    let device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
    let mode = (mode & 0o7777 & !who.umask) | kind.mode_bits();
    let rdev = if device { rdev } else { 0 };
    // A character device 0/0 is a whiteout, which anybody may make.
    let needs_cap = device && (kind == FileType::BlockDevice || rdev != 0);
    let before = || match (needs_cap, who.task) {
        (true, _) if !who.cred.has_cap(cap::MKNOD) => Err(Errno::EPERM),
        (true, Some(task)) => task.check_device(kind, rdev, DeviceRule::MKNOD),
        _ => Ok(()),
    };
    add(who, at, false, before, |dir, name| {
        dir.ops.create(dir, name, &node(who, dir, mode, rdev)?)
    })
}

/// `mkdir(2)`
pub fn mkdir(who: Who<'_>, at: &Parent, mode: u32) -> Result<Path> {
    let mode = (mode & (0o777 | S_ISVTX) & !who.umask) | FileType::Directory.mode_bits();
    add(
        who,
        at,
        true,
        || Ok(()),
        |dir, name| dir.ops.create(dir, name, &node(who, dir, mode, 0)?),
    )
}

/// `symlink(2)`
pub fn symlink(who: Who<'_>, at: &Parent, target: &[u8]) -> Result<Path> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mode = 0o777 | FileType::Symlink.mode_bits();
    add(
        who,
        at,
        false,
        || Ok(()),
        |dir, name| dir.ops.symlink(dir, name, target, &node(who, dir, mode, 0)?),
    )
}

/// `link(2)`
pub fn link(who: Who<'_>, old: &Path, at: &Parent) -> Result<()> {
    let Last::Norm(name) = &at.last else {
        return Err(Errno::EEXIST);
    };
    let dir = &at.dir;
    let lock = dir.dentry.lock_dir();
    if let Child::Positive(_) = child_locked(&dir.dentry, name)? {
        return Err(Errno::EEXIST);
    }
    if at.slash {
        return Err(Errno::ENOENT);
    }
    perm::want_write(&dir.mnt)?;
    // Linux compares mounts, then file systems (`do_linkat`, `vfs_link`).
    if !Arc::ptr_eq(&old.mnt, &dir.mnt) {
        return Err(Errno::EXDEV);
    }
    perm::may_create(who.task, who.cred, dir)?;
    if !Arc::ptr_eq(&old.inode().sb, &dir.inode().sb) {
        return Err(Errno::EXDEV);
    }
    let inode = old.inode();
    if inode.is_dir() {
        return Err(Errno::EPERM);
    }
    let linkable = inode.linkable.load(std::sync::atomic::Ordering::Acquire);
    if !linkable && old.dentry.is_unlinked() && inode.stat()?.nlink == 0 {
        return Err(Errno::ENOENT);
    }
    dir.inode().ops.link(dir.inode(), name, inode)?;
    relink(old, &dir.dentry, name);
    drop(lock);
    watch::notify_inode(inode, watch::mask::ATTRIB);
    watch::notify_dir(dir.inode(), watch::mask::CREATE, name, false, 0);
    Ok(())
}

fn relink(old: &Path, dir: &Arc<Dentry>, name: &[u8]) {
    let unnamed = old.dentry.is_unlinked() && old.dentry.parent().is_some();
    dir.insert(name, old.inode().clone());
    if unnamed {
        // An `O_TMPFILE` file that now has a name.
        old.dentry.named(dir, name);
    }
}
