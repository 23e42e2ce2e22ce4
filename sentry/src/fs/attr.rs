//! Changing attributes, with Linux's permission rules (`setattr_prepare`, `notify_change`).

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::inode::SetAttr;
use super::namei::Path;
use super::perm::{self, MAY_WRITE};
use super::stat::{FileType, S_ISGID, S_ISUID, Stat, Timestamp};
use super::watch::{self, mask};
use crate::cred::{Cred, cap};
use crate::task::Task;

/// The mode without set-user-id and set-group-id, if writing to the file must take them away (`file_remove_privs`).
pub fn without_privileges(cred: &Cred, st: &Stat) -> Option<u32> {
    if st.file_type() != FileType::Regular || perm::capable(cred, st, cap::FSETID) {
        return None;
    }
    strip(st)
}

/// The mode without set-user-id and, where it means that, set-group-id; none if nothing changes.
fn strip(st: &Stat) -> Option<u32> {
    let mut mode = st.mode & 0o7777 & !S_ISUID;
    if mode & 0o010 != 0 {
        mode &= !S_ISGID;
    }
    (mode != st.mode & 0o7777).then_some(mode)
}

fn apply(path: &Path, change: &SetAttr) -> Result<()> {
    path.inode().ops.set_attr(path.inode(), change)?;
    watch::notify(&path.dentry, mask::ATTRIB);
    Ok(())
}

/// `chmod(2)`
pub fn chmod(task: &Arc<Task>, path: &Path, mode: u32) -> Result<()> {
    perm::want_write(&path.mnt)?;
    let cred = task.cred();
    let st = path.inode().stat()?;
    if !perm::owner_or_capable(&cred, &st) {
        return Err(Errno::EPERM);
    }
    if path.inode().kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut mode = mode & 0o7777;
    if !cred.in_group(st.gid) && !perm::capable(&cred, &st, cap::FSETID) {
        mode &= !S_ISGID;
    }
    apply(
        path,
        &SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        },
    )
}

/// `chown(2)`; ids are global ones, none leaves it.
pub fn chown(task: &Arc<Task>, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    perm::want_write(&path.mnt)?;
    let cred = task.cred();
    let st = path.inode().stat()?;
    let owner = cred.fsuid == st.uid;
    if let Some(uid) = uid
        && !(owner && uid == st.uid)
        && !perm::capable(&cred, &st, cap::CHOWN)
    {
        return Err(Errno::EPERM);
    }
    if let Some(gid) = gid
        && !(owner && (gid == st.gid || cred.in_group(gid)))
        && !perm::capable(&cred, &st, cap::CHOWN)
    {
        return Err(Errno::EPERM);
    }
    let mut change = SetAttr {
        uid,
        gid,
        ..SetAttr::default()
    };
    if st.file_type() != FileType::Directory {
        change.mode = strip(&st);
        if st.mode & (S_ISGID | 0o010) == S_ISGID && !cred.in_group(st.gid) && !perm::capable(&cred, &st, cap::FSETID) {
            change.mode = Some(change.mode.unwrap_or(st.mode & 0o7777) & !S_ISGID);
        }
    }
    apply(path, &change)
}

/// What to set a time to (`utimensat(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `UTIME_NOW`
    Now,
    /// `UTIME_OMIT`
    Omit,
    /// This.
    To(Timestamp),
}

/// `utimensat(2)`: both now needs write permission or ownership, anything else ownership.
pub fn set_times(task: &Arc<Task>, path: &Path, atime: SetTime, mtime: SetTime) -> Result<()> {
    if atime == SetTime::Omit && mtime == SetTime::Omit {
        return Ok(());
    }
    perm::want_write(&path.mnt)?;
    let cred = task.cred();
    let st = path.inode().stat()?;
    let owner = perm::owner_or_capable(&cred, &st);
    if atime == SetTime::Now && mtime == SetTime::Now {
        if !owner {
            perm::inode(Some(task), &cred, path.inode(), MAY_WRITE)?;
        }
    } else if !owner {
        return Err(Errno::EPERM);
    }
    let now = Timestamp::now();
    let value = |t: SetTime| match t {
        SetTime::Now => Some(now),
        SetTime::Omit => None,
        SetTime::To(t) => Some(t),
    };
    apply(
        path,
        &SetAttr {
            atime: value(atime),
            mtime: value(mtime),
            ..SetAttr::default()
        },
    )
}

/// Sets the size of a file that may be written (`do_truncate`).
pub fn set_size(task: &Arc<Task>, path: &Path, size: u64) -> Result<()> {
    let st = path.inode().stat()?;
    let change = SetAttr {
        size: Some(size),
        mode: without_privileges(&task.cred(), &st),
        ..SetAttr::default()
    };
    path.inode().ops.set_attr(path.inode(), &change)?;
    watch::notify(&path.dentry, mask::MODIFY);
    Ok(())
}

/// Before a write: takes set-user-id and set-group-id away where needed.
pub fn before_write(task: &Arc<Task>, path: &Path) -> Result<()> {
    let inode = path.inode();
    let cred = task.cred();
    if inode.kind != FileType::Regular || (cred.has_cap(cap::FSETID) && cred.user_ns.parent.is_none()) {
        return Ok(());
    }
    if let Some(mode) = without_privileges(&cred, &inode.stat()?) {
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        inode.ops.set_attr(inode, &change)?;
    }
    Ok(())
}
