//! Names that go: `unlink(2)` and `rmdir(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::create::Who;
use super::dentry::Child;
use super::namei::{Last, Parent, child_locked};
use super::perm;
use super::watch::{self, mask};

/// `unlink(2)`
pub fn unlink(who: Who<'_>, at: &Parent) -> Result<()> {
    let Last::Norm(name) = &at.last else {
        return Err(Errno::EISDIR);
    };
    let dir = &at.dir;
    perm::want_write(&dir.mnt)?;
    let lock = dir.dentry.lock_dir();
    let Child::Positive(victim) = child_locked(&dir.dentry, name)? else {
        return Err(Errno::ENOENT);
    };
    let inode = victim.inode().clone();
    if at.slash {
        return Err(if inode.is_dir() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    perm::may_delete(who.task, who.cred, dir, &inode, Some(false))?;
    if victim.is_mountpoint() && dir.mnt.child_at(&victim).is_some() {
        return Err(Errno::EBUSY);
    }
    dir.inode().ops.unlink(dir.inode(), name, &inode)?;
    dir.dentry.remove_child(name);
    drop(lock);
    watch::notify_inode(&inode, mask::ATTRIB);
    watch::notify_dir(dir.inode(), mask::DELETE, name, false, 0);
    drop(victim);
    watch::gone(&inode);
    Ok(())
}

/// `rmdir(2)`
pub fn rmdir(who: Who<'_>, at: &Parent) -> Result<()> {
    let name = match &at.last {
        Last::Norm(name) => name,
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Dot => return Err(Errno::EINVAL),
        Last::Root => return Err(Errno::EBUSY),
    };
    let dir = &at.dir;
    perm::want_write(&dir.mnt)?;
    let lock = dir.dentry.lock_dir();
    let Child::Positive(victim) = child_locked(&dir.dentry, name)? else {
        return Err(Errno::ENOENT);
    };
    let inode = victim.inode().clone();
    perm::may_delete(who.task, who.cred, dir, &inode, Some(true))?;
    if victim.is_mountpoint() && dir.mnt.child_at(&victim).is_some() {
        return Err(Errno::EBUSY);
    }
    {
        // Nobody adds a name to it meanwhile. A lock below the parent's, as a tree walk takes them.
        let _victim = victim.lock_dir();
        dir.inode().ops.rmdir(dir.inode(), name, &inode)?;
        dir.dentry.remove_child(name);
    }
    drop(lock);
    watch::notify_dir(dir.inode(), mask::DELETE, name, true, 0);
    watch::gone(&Arc::clone(&inode));
    Ok(())
}
