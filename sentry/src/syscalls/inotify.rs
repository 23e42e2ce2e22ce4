//! `inotify(7)` and `fanotify(7)`.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `inotify_init(2)`
pub(super) fn sys_inotify_init(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `inotify_init1(2)`
pub(super) fn sys_inotify_init1(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    let _ = (cx, flags);
    Err(Errno::ENOSYS.into())
}

/// `inotify_add_watch(2)`
pub(super) fn sys_inotify_add_watch(cx: &mut Cx, fd: i32, path: UserAddr, mask: u32) -> SysResult<u64> {
    let _ = (cx, fd, path, mask);
    Err(Errno::ENOSYS.into())
}

/// `inotify_rm_watch(2)`
pub(super) fn sys_inotify_rm_watch(cx: &mut Cx, fd: i32, wd: i32) -> SysResult<u64> {
    let _ = (cx, fd, wd);
    Err(Errno::ENOSYS.into())
}

/// `fanotify_init(2)`
pub(super) fn sys_fanotify_init(cx: &mut Cx, flags: u32, event_f_flags: u32) -> SysResult<u64> {
    let _ = (cx, flags, event_f_flags);
    Err(Errno::ENOSYS.into())
}

/// `fanotify_mark(2)`
pub(super) fn sys_fanotify_mark(
    cx: &mut Cx,
    fd: i32,
    flags: u32,
    mask: u64,
    dirfd: i32,
    path: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, fd, flags, mask, dirfd, path);
    Err(Errno::ENOSYS.into())
}
