//! Mode, owner and size.

use abi::{Errno, SysResult};

use crate::fs::namei::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Lookup, lookup};
use crate::fs::perm::{self, MAY_WRITE};
use crate::fs::{FileType, Path, attr};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `chmod(2)`
pub(in super::super) fn sys_chmod(cx: &mut Cx, path: UserAddr, mode: u32) -> SysResult<u64> {
    sys_fchmodat2(cx, AT_FDCWD, path, mode, 0)
}

/// `fchmod(2)`
pub(in super::super) fn sys_fchmod(cx: &mut Cx, fd: i32, mode: u32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    attr::chmod(&cx.task, &file.path, mode)?;
    Ok(0)
}

/// `fchmodat(2)`
pub(in super::super) fn sys_fchmodat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32) -> SysResult<u64> {
    sys_fchmodat2(cx, dirfd, path, mode, 0)
}

/// `fchmodat2(2)`
pub(in super::super) fn sys_fchmodat2(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    mode: u32,
    flags: i32,
) -> SysResult<u64> {
    let place = named(cx, dirfd, path, flags)?;
    attr::chmod(&cx.task, &place, mode)?;
    Ok(0)
}

/// What a call with `AT_*` flags is about.
fn named(cx: &Cx, dirfd: i32, path: UserAddr, flags: i32) -> SysResult<Path> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = cx.read_path(path)?;
    Ok(lookup(&cx.task, dirfd, &path, Lookup::from_at(flags))?)
}

/// Ids of the caller's user namespace as global ones; -1 leaves it.
fn chown(cx: &Cx, place: &Path, owner: u32, group: u32) -> SysResult<u64> {
    let ns = cx.task.cred().user_ns.clone();
    let uid = (owner != u32::MAX).then(|| ns.uid_in(owner)).transpose()?;
    let gid = (group != u32::MAX).then(|| ns.gid_in(group)).transpose()?;
    attr::chown(&cx.task, place, uid, gid)?;
    Ok(0)
}

/// `chown(2)`
pub(in super::super) fn sys_chown(cx: &mut Cx, path: UserAddr, owner: u32, group: u32) -> SysResult<u64> {
    sys_fchownat(cx, AT_FDCWD, path, owner, group, 0)
}

/// `fchown(2)`
pub(in super::super) fn sys_fchown(cx: &mut Cx, fd: i32, owner: u32, group: u32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    chown(cx, &file.path, owner, group)
}

/// `lchown(2)`
pub(in super::super) fn sys_lchown(cx: &mut Cx, path: UserAddr, owner: u32, group: u32) -> SysResult<u64> {
    sys_fchownat(cx, AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW)
}

/// `fchownat(2)`
pub(in super::super) fn sys_fchownat(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    owner: u32,
    group: u32,
    flags: i32,
) -> SysResult<u64> {
    let place = named(cx, dirfd, path, flags)?;
    chown(cx, &place, owner, group)
}

/// `truncate(2)` (`vfs_truncate`)
pub(in super::super) async fn sys_truncate(cx: &mut Cx, path: UserAddr, length: i64) -> SysResult<u64> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, AT_FDCWD, &path, Lookup::FOLLOW)?;
    match place.inode().kind {
        FileType::Directory => return Err(Errno::EISDIR.into()),
        FileType::Regular => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    perm::want_write(&place.mnt)?;
    perm::inode(Some(&cx.task), &cx.task.cred(), place.inode(), MAY_WRITE)?;
    if crate::fs::lease::in_the_way(place.inode(), true) {
        crate::fs::lease::wait_broken(&cx.task, place.inode(), true, false).await?;
    }
    let _writer = place.inode().hold_write()?;
    super::super::rw::check_new_size(cx, place.inode().stat()?.size, length)?;
    attr::set_size(&cx.task, &place, length)?;
    Ok(0)
}
