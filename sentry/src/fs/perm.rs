//! Permission to use an inode (`path_resolution(7)`, `capabilities(7)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

use super::inode::Inode;
use super::mount::Mount;
use super::namei::Path;
use super::stat::{FileType, S_ISGID, S_ISVTX, Stat};
use crate::cred::{Cred, cap};
use crate::task::{DeviceRule, Task};

/// To execute, or to search a directory.
pub const MAY_EXEC: u32 = 1;
/// To write.
pub const MAY_WRITE: u32 = 2;
/// To read.
pub const MAY_READ: u32 = 4;

/// The capability holds for this inode: its owner and group are known in the user namespace (`capable_wrt_inode_uidgid`).
pub fn capable(cred: &Cred, st: &Stat, cap: u32) -> bool {
    use crate::cred::OVERFLOW_ID;
    cred.has_cap(cap)
        && (cred.user_ns.parent.is_none()
            || ((cred.user_ns.uid_out(st.uid) != OVERFLOW_ID || st.uid == OVERFLOW_ID)
                && (cred.user_ns.gid_out(st.gid) != OVERFLOW_ID || st.gid == OVERFLOW_ID)))
}

/// Owner, or as good as (`inode_owner_or_capable`).
pub fn owner_or_capable(cred: &Cred, st: &Stat) -> bool {
    cred.fsuid == st.uid || capable(cred, st, cap::FOWNER)
}

/// Mode bits, then capabilities, like `generic_permission`.
pub fn generic(cred: &Cred, st: &Stat, want: u32) -> Result<()> {
    let granted = if cred.fsuid == st.uid {
        st.mode >> 6
    } else if cred.in_group(st.gid) {
        st.mode >> 3
    } else {
        st.mode
    };
    if want & !granted & 7 == 0 {
        return Ok(());
    }
    let dir = st.file_type() == FileType::Directory;
    let read_only = want & MAY_WRITE == 0;
    if dir {
        if (read_only && capable(cred, st, cap::DAC_READ_SEARCH)) || capable(cred, st, cap::DAC_OVERRIDE) {
            return Ok(());
        }
    } else {
        if want == MAY_READ && capable(cred, st, cap::DAC_READ_SEARCH) {
            return Ok(());
        }
        // Executing needs one execute bit, whoever asks.
        if (want & MAY_EXEC == 0 || st.mode & 0o111 != 0) && capable(cred, st, cap::DAC_OVERRIDE) {
            return Ok(());
        }
    }
    Err(Errno::EACCES)
}

/// Like `inode_permission`.
pub fn inode(task: Option<&Arc<Task>>, cred: &Cred, inode: &Inode, want: u32) -> Result<()> {
    if want & MAY_WRITE != 0
        && inode.sb.readonly.load(Ordering::Relaxed)
        && matches!(inode.kind, FileType::Regular | FileType::Directory | FileType::Symlink)
    {
        return Err(Errno::EROFS);
    }
    if let Some(task) = task
        && let Some(result) = inode.ops.permission(inode, task, want)
    {
        return result;
    }
    let st = inode.stat()?;
    generic(cred, &st, want)?;
    match task {
        Some(task) if matches!(inode.kind, FileType::CharDevice | FileType::BlockDevice) => {
            let read = if want & MAY_READ != 0 { DeviceRule::READ } else { 0 };
            let write = if want & MAY_WRITE != 0 { DeviceRule::WRITE } else { 0 };
            task.check_device(inode.kind, st.rdev, read | write)
        }
        _ => Ok(()),
    }
}

/// Like `mnt_want_write`.
pub fn want_write(mnt: &Mount) -> Result<()> {
    if mnt.is_readonly() { Err(Errno::EROFS) } else { Ok(()) }
}

/// To add a name to a directory (`may_create`).
pub fn may_create(task: Option<&Arc<Task>>, cred: &Cred, dir: &Path) -> Result<()> {
    if dir.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    inode(task, cred, dir.inode(), MAY_WRITE | MAY_EXEC)
}

/// To remove a name from a directory (`may_delete`). `dir_wanted`: whether the victim must be a directory or must not.
pub fn may_delete(
    task: Option<&Arc<Task>>,
    cred: &Cred,
    dir: &Path,
    victim: &Arc<Inode>,
    dir_wanted: Option<bool>,
) -> Result<()> {
    inode(task, cred, dir.inode(), MAY_WRITE | MAY_EXEC)?;
    let dir_st = dir.inode().stat()?;
    if dir_st.mode & S_ISVTX != 0 && cred.fsuid != dir_st.uid {
        let st = victim.stat()?;
        if cred.fsuid != st.uid && !capable(cred, &st, cap::FOWNER) {
            return Err(Errno::EPERM);
        }
    }
    match (dir_wanted, victim.is_dir()) {
        (Some(true), false) => return Err(Errno::ENOTDIR),
        (Some(false), true) => return Err(Errno::EISDIR),
        _ => {}
    }
    if dir.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    Ok(())
}

/// Group and mode of a new node: a set-group-id directory gives its group, and the bit on to directories
/// (`inode_init_owner`, `mode_strip_sgid`).
pub fn new_owner(cred: &Cred, dir: &Stat, mode: u32) -> (u32, u32, u32) {
    if dir.mode & S_ISGID == 0 {
        return (cred.fsuid, cred.fsgid, mode);
    }
    let is_dir = FileType::from_mode(mode) == Some(FileType::Directory);
    let mut mode = mode;
    if is_dir {
        mode |= S_ISGID;
    } else if mode & (S_ISGID | 0o010) == (S_ISGID | 0o010)
        && !cred.in_group(dir.gid)
        && !capable(cred, dir, cap::FSETID)
    {
        mode &= !S_ISGID;
    }
    (cred.fsuid, dir.gid, mode)
}
