//! Waiting for several files.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `poll(2)`
pub(super) async fn sys_poll(cx: &mut Cx, fds: UserAddr, nfds: u32, timeout: i32) -> SysResult<u64> {
    let _ = (cx, fds, nfds, timeout);
    Err(Errno::ENOSYS.into())
}

/// `ppoll(2)`
pub(super) async fn sys_ppoll(
    cx: &mut Cx,
    fds: UserAddr,
    nfds: u32,
    tmo: UserAddr,
    sigmask: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let _ = (cx, fds, nfds, tmo, sigmask, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `select(2)`
pub(super) async fn sys_select(
    cx: &mut Cx,
    nfds: i32,
    readfds: UserAddr,
    writefds: UserAddr,
    exceptfds: UserAddr,
    timeout: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, nfds, readfds, writefds, exceptfds, timeout);
    Err(Errno::ENOSYS.into())
}

/// `pselect6(2)`
pub(super) async fn sys_pselect6(
    cx: &mut Cx,
    nfds: i32,
    readfds: UserAddr,
    writefds: UserAddr,
    exceptfds: UserAddr,
    timeout: UserAddr,
    sigmask: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, nfds, readfds, writefds, exceptfds, timeout, sigmask);
    Err(Errno::ENOSYS.into())
}

/// `epoll_create(2)`
pub(super) fn sys_epoll_create(cx: &mut Cx, size: i32) -> SysResult<u64> {
    let _ = (cx, size);
    Err(Errno::ENOSYS.into())
}

/// `epoll_create1(2)`
pub(super) fn sys_epoll_create1(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    let _ = (cx, flags);
    Err(Errno::ENOSYS.into())
}

/// `epoll_ctl(2)`
pub(super) fn sys_epoll_ctl(cx: &mut Cx, epfd: i32, op: i32, fd: i32, event: UserAddr) -> SysResult<u64> {
    let _ = (cx, epfd, op, fd, event);
    Err(Errno::ENOSYS.into())
}

/// `epoll_wait(2)`
pub(super) async fn sys_epoll_wait(
    cx: &mut Cx,
    epfd: i32,
    events: UserAddr,
    maxevents: i32,
    timeout: i32,
) -> SysResult<u64> {
    let _ = (cx, epfd, events, maxevents, timeout);
    Err(Errno::ENOSYS.into())
}

/// `epoll_pwait(2)`
pub(super) async fn sys_epoll_pwait(
    cx: &mut Cx,
    epfd: i32,
    events: UserAddr,
    maxevents: i32,
    timeout: i32,
    sigmask: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let _ = (cx, epfd, events, maxevents, timeout, sigmask, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `epoll_pwait2(2)`
pub(super) async fn sys_epoll_pwait2(
    cx: &mut Cx,
    epfd: i32,
    events: UserAddr,
    maxevents: i32,
    timeout: UserAddr,
    sigmask: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let _ = (cx, epfd, events, maxevents, timeout, sigmask, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `eventfd(2)`
pub(super) fn sys_eventfd(cx: &mut Cx, initval: u32) -> SysResult<u64> {
    let _ = (cx, initval);
    Err(Errno::ENOSYS.into())
}

/// `eventfd2(2)`
pub(super) fn sys_eventfd2(cx: &mut Cx, initval: u32, flags: i32) -> SysResult<u64> {
    let _ = (cx, initval, flags);
    Err(Errno::ENOSYS.into())
}
