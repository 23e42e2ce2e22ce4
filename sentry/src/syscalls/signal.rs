//! Signals (`signal(7)`).

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `rt_sigaction(2)`
pub(super) fn sys_rt_sigaction(
    cx: &mut Cx,
    signum: i32,
    act: UserAddr,
    oldact: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let _ = (cx, signum, act, oldact, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `rt_sigprocmask(2)`
pub(super) fn sys_rt_sigprocmask(
    cx: &mut Cx,
    how: i32,
    set: UserAddr,
    oldset: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let _ = (cx, how, set, oldset, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `rt_sigreturn(2)`
pub(super) async fn sys_rt_sigreturn(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `rt_sigpending(2)`
pub(super) fn sys_rt_sigpending(cx: &mut Cx, set: UserAddr, sigsetsize: usize) -> SysResult<u64> {
    let _ = (cx, set, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `rt_sigtimedwait(2)`
pub(super) async fn sys_rt_sigtimedwait(
    cx: &mut Cx,
    set: UserAddr,
    info: UserAddr,
    timeout: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let _ = (cx, set, info, timeout, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `rt_sigqueueinfo(2)`
pub(super) fn sys_rt_sigqueueinfo(cx: &mut Cx, pid: i32, sig: i32, info: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, sig, info);
    Err(Errno::ENOSYS.into())
}

/// `rt_tgsigqueueinfo(2)`
pub(super) fn sys_rt_tgsigqueueinfo(cx: &mut Cx, tgid: i32, tid: i32, sig: i32, info: UserAddr) -> SysResult<u64> {
    let _ = (cx, tgid, tid, sig, info);
    Err(Errno::ENOSYS.into())
}

/// `rt_sigsuspend(2)`
pub(super) async fn sys_rt_sigsuspend(cx: &mut Cx, mask: UserAddr, sigsetsize: usize) -> SysResult<u64> {
    let _ = (cx, mask, sigsetsize);
    Err(Errno::ENOSYS.into())
}

/// `sigaltstack(2)`
pub(super) fn sys_sigaltstack(cx: &mut Cx, ss: UserAddr, old_ss: UserAddr) -> SysResult<u64> {
    let _ = (cx, ss, old_ss);
    Err(Errno::ENOSYS.into())
}

/// `pause(2)`
pub(super) async fn sys_pause(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `kill(2)`
pub(super) fn sys_kill(cx: &mut Cx, pid: i32, sig: i32) -> SysResult<u64> {
    let _ = (cx, pid, sig);
    Err(Errno::ENOSYS.into())
}

/// `tkill(2)`
pub(super) fn sys_tkill(cx: &mut Cx, tid: i32, sig: i32) -> SysResult<u64> {
    let _ = (cx, tid, sig);
    Err(Errno::ENOSYS.into())
}

/// `tgkill(2)`
pub(super) fn sys_tgkill(cx: &mut Cx, tgid: i32, tid: i32, sig: i32) -> SysResult<u64> {
    let _ = (cx, tgid, tid, sig);
    Err(Errno::ENOSYS.into())
}

/// `signalfd(2)`
pub(super) fn sys_signalfd(cx: &mut Cx, fd: i32, mask: UserAddr, sizemask: usize) -> SysResult<u64> {
    let _ = (cx, fd, mask, sizemask);
    Err(Errno::ENOSYS.into())
}

/// `signalfd4(2)`
pub(super) fn sys_signalfd4(cx: &mut Cx, fd: i32, mask: UserAddr, sizemask: usize, flags: i32) -> SysResult<u64> {
    let _ = (cx, fd, mask, sizemask, flags);
    Err(Errno::ENOSYS.into())
}

/// `restart_syscall(2)`
pub(super) async fn sys_restart_syscall(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}
