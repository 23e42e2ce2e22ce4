//! Opening, closing and controlling file descriptors.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `open(2)`
pub(super) async fn sys_open(cx: &mut Cx, path: UserAddr, flags: i32, mode: u32) -> SysResult<u64> {
    let _ = (cx, path, flags, mode);
    Err(Errno::ENOSYS.into())
}

/// `openat(2)`
pub(super) async fn sys_openat(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: i32, mode: u32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, flags, mode);
    Err(Errno::ENOSYS.into())
}

/// `openat2(2)`
pub(super) async fn sys_openat2(cx: &mut Cx, dirfd: i32, path: UserAddr, how: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, dirfd, path, how, size);
    Err(Errno::ENOSYS.into())
}

/// `creat(2)`
pub(super) async fn sys_creat(cx: &mut Cx, path: UserAddr, mode: u32) -> SysResult<u64> {
    let _ = (cx, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `close(2)`
pub(super) fn sys_close(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let _ = (cx, fd);
    Err(Errno::ENOSYS.into())
}

/// `close_range(2)`
pub(super) fn sys_close_range(cx: &mut Cx, first: u32, last: u32, flags: u32) -> SysResult<u64> {
    let _ = (cx, first, last, flags);
    Err(Errno::ENOSYS.into())
}

/// `dup(2)`
pub(super) fn sys_dup(cx: &mut Cx, oldfd: i32) -> SysResult<u64> {
    let _ = (cx, oldfd);
    Err(Errno::ENOSYS.into())
}

/// `dup2(2)`
pub(super) fn sys_dup2(cx: &mut Cx, oldfd: i32, newfd: i32) -> SysResult<u64> {
    let _ = (cx, oldfd, newfd);
    Err(Errno::ENOSYS.into())
}

/// `dup3(2)`
pub(super) fn sys_dup3(cx: &mut Cx, oldfd: i32, newfd: i32, flags: i32) -> SysResult<u64> {
    let _ = (cx, oldfd, newfd, flags);
    Err(Errno::ENOSYS.into())
}

/// `fcntl(2)`
pub(super) async fn sys_fcntl(cx: &mut Cx, fd: i32, cmd: i32, arg: u64) -> SysResult<u64> {
    let _ = (cx, fd, cmd, arg);
    Err(Errno::ENOSYS.into())
}

/// `ioctl(2)`
pub(super) async fn sys_ioctl(cx: &mut Cx, fd: i32, request: u32, arg: u64) -> SysResult<u64> {
    let _ = (cx, fd, request, arg);
    Err(Errno::ENOSYS.into())
}

/// `flock(2)`
pub(super) async fn sys_flock(cx: &mut Cx, fd: i32, operation: i32) -> SysResult<u64> {
    let _ = (cx, fd, operation);
    Err(Errno::ENOSYS.into())
}

/// `name_to_handle_at(2)`
pub(super) fn sys_name_to_handle_at(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    handle: UserAddr,
    mount_id: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, dirfd, path, handle, mount_id, flags);
    Err(Errno::ENOSYS.into())
}

/// `open_by_handle_at(2)`
pub(super) fn sys_open_by_handle_at(cx: &mut Cx, mount_fd: i32, handle: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, mount_fd, handle, flags);
    Err(Errno::ENOSYS.into())
}

/// `memfd_create(2)`
pub(super) fn sys_memfd_create(cx: &mut Cx, name: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, name, flags);
    Err(Errno::ENOSYS.into())
}
