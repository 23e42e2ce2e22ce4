//! Attributes of files.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `stat(2)`
pub(super) fn sys_stat(cx: &mut Cx, path: UserAddr, statbuf: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, statbuf);
    Err(Errno::ENOSYS.into())
}

/// `fstat(2)`
pub(super) fn sys_fstat(cx: &mut Cx, fd: i32, statbuf: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, statbuf);
    Err(Errno::ENOSYS.into())
}

/// `lstat(2)`
pub(super) fn sys_lstat(cx: &mut Cx, path: UserAddr, statbuf: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, statbuf);
    Err(Errno::ENOSYS.into())
}

/// `newfstatat(2)`
pub(super) fn sys_newfstatat(cx: &mut Cx, dirfd: i32, path: UserAddr, statbuf: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, statbuf, flags);
    Err(Errno::ENOSYS.into())
}

/// `statx(2)`
pub(super) fn sys_statx(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    flags: i32,
    mask: u32,
    statxbuf: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, dirfd, path, flags, mask, statxbuf);
    Err(Errno::ENOSYS.into())
}

/// `statfs(2)`
pub(super) fn sys_statfs(cx: &mut Cx, path: UserAddr, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, buf);
    Err(Errno::ENOSYS.into())
}

/// `fstatfs(2)`
pub(super) fn sys_fstatfs(cx: &mut Cx, fd: i32, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, buf);
    Err(Errno::ENOSYS.into())
}

/// `ustat(2)`
pub(super) fn sys_ustat(cx: &mut Cx, dev: u64, ubuf: UserAddr) -> SysResult<u64> {
    let _ = (cx, dev, ubuf);
    Err(Errno::ENOSYS.into())
}

/// `access(2)`
pub(super) fn sys_access(cx: &mut Cx, path: UserAddr, mode: i32) -> SysResult<u64> {
    let _ = (cx, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `faccessat(2)`
pub(super) fn sys_faccessat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `faccessat2(2)`
pub(super) fn sys_faccessat2(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: i32, flags: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, mode, flags);
    Err(Errno::ENOSYS.into())
}

/// `chmod(2)`
pub(super) fn sys_chmod(cx: &mut Cx, path: UserAddr, mode: u32) -> SysResult<u64> {
    let _ = (cx, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `fchmod(2)`
pub(super) fn sys_fchmod(cx: &mut Cx, fd: i32, mode: u32) -> SysResult<u64> {
    let _ = (cx, fd, mode);
    Err(Errno::ENOSYS.into())
}

/// `fchmodat(2)`
pub(super) fn sys_fchmodat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `fchmodat2(2)`
pub(super) fn sys_fchmodat2(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32, flags: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, mode, flags);
    Err(Errno::ENOSYS.into())
}

/// `chown(2)`
pub(super) fn sys_chown(cx: &mut Cx, path: UserAddr, owner: u32, group: u32) -> SysResult<u64> {
    let _ = (cx, path, owner, group);
    Err(Errno::ENOSYS.into())
}

/// `fchown(2)`
pub(super) fn sys_fchown(cx: &mut Cx, fd: i32, owner: u32, group: u32) -> SysResult<u64> {
    let _ = (cx, fd, owner, group);
    Err(Errno::ENOSYS.into())
}

/// `lchown(2)`
pub(super) fn sys_lchown(cx: &mut Cx, path: UserAddr, owner: u32, group: u32) -> SysResult<u64> {
    let _ = (cx, path, owner, group);
    Err(Errno::ENOSYS.into())
}

/// `fchownat(2)`
pub(super) fn sys_fchownat(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    owner: u32,
    group: u32,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, dirfd, path, owner, group, flags);
    Err(Errno::ENOSYS.into())
}

/// `truncate(2)`
pub(super) fn sys_truncate(cx: &mut Cx, path: UserAddr, length: i64) -> SysResult<u64> {
    let _ = (cx, path, length);
    Err(Errno::ENOSYS.into())
}

/// `utime(2)`
pub(super) fn sys_utime(cx: &mut Cx, path: UserAddr, times: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, times);
    Err(Errno::ENOSYS.into())
}

/// `utimes(2)`
pub(super) fn sys_utimes(cx: &mut Cx, path: UserAddr, times: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, times);
    Err(Errno::ENOSYS.into())
}

/// `futimesat(2)`
pub(super) fn sys_futimesat(cx: &mut Cx, dirfd: i32, path: UserAddr, times: UserAddr) -> SysResult<u64> {
    let _ = (cx, dirfd, path, times);
    Err(Errno::ENOSYS.into())
}

/// `utimensat(2)`
pub(super) fn sys_utimensat(cx: &mut Cx, dirfd: i32, path: UserAddr, times: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, times, flags);
    Err(Errno::ENOSYS.into())
}
