//! Processes: making, replacing, ending, waiting.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `clone(2)`
pub(super) async fn sys_clone(
    cx: &mut Cx,
    flags: u64,
    stack: u64,
    parent_tid: UserAddr,
    child_tid: UserAddr,
    tls: u64,
) -> SysResult<u64> {
    let _ = (cx, flags, stack, parent_tid, child_tid, tls);
    Err(Errno::ENOSYS.into())
}

/// `clone3(2)`
pub(super) async fn sys_clone3(cx: &mut Cx, args: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, args, size);
    Err(Errno::ENOSYS.into())
}

/// `fork(2)`
pub(super) async fn sys_fork(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `vfork(2)`
pub(super) async fn sys_vfork(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `execve(2)`
pub(super) async fn sys_execve(cx: &mut Cx, path: UserAddr, argv: UserAddr, envp: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, argv, envp);
    Err(Errno::ENOSYS.into())
}

/// `execveat(2)`
pub(super) async fn sys_execveat(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    argv: UserAddr,
    envp: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, dirfd, path, argv, envp, flags);
    Err(Errno::ENOSYS.into())
}

/// `exit(2)`
pub(super) async fn sys_exit(cx: &mut Cx, status: i32) -> SysResult<u64> {
    let _ = (cx, status);
    Err(Errno::ENOSYS.into())
}

/// `exit_group(2)`
pub(super) async fn sys_exit_group(cx: &mut Cx, status: i32) -> SysResult<u64> {
    let _ = (cx, status);
    Err(Errno::ENOSYS.into())
}

/// `wait4(2)`
pub(super) async fn sys_wait4(
    cx: &mut Cx,
    pid: i32,
    wstatus: UserAddr,
    options: i32,
    rusage: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, pid, wstatus, options, rusage);
    Err(Errno::ENOSYS.into())
}

/// `waitid(2)`
pub(super) async fn sys_waitid(
    cx: &mut Cx,
    idtype: i32,
    id: i32,
    infop: UserAddr,
    options: i32,
    rusage: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, idtype, id, infop, options, rusage);
    Err(Errno::ENOSYS.into())
}

/// `set_tid_address(2)`
pub(super) fn sys_set_tid_address(cx: &mut Cx, tidptr: UserAddr) -> SysResult<u64> {
    let _ = (cx, tidptr);
    Err(Errno::ENOSYS.into())
}

/// `unshare(2)`
pub(super) fn sys_unshare(cx: &mut Cx, flags: u64) -> SysResult<u64> {
    let _ = (cx, flags);
    Err(Errno::ENOSYS.into())
}

/// `setns(2)`
pub(super) fn sys_setns(cx: &mut Cx, fd: i32, nstype: i32) -> SysResult<u64> {
    let _ = (cx, fd, nstype);
    Err(Errno::ENOSYS.into())
}

/// `pidfd_open(2)`
pub(super) fn sys_pidfd_open(cx: &mut Cx, pid: i32, flags: u32) -> SysResult<u64> {
    let _ = (cx, pid, flags);
    Err(Errno::ENOSYS.into())
}

/// `pidfd_getfd(2)`
pub(super) fn sys_pidfd_getfd(cx: &mut Cx, pidfd: i32, targetfd: i32, flags: u32) -> SysResult<u64> {
    let _ = (cx, pidfd, targetfd, flags);
    Err(Errno::ENOSYS.into())
}

/// `pidfd_send_signal(2)`
pub(super) fn sys_pidfd_send_signal(cx: &mut Cx, pidfd: i32, sig: i32, info: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, pidfd, sig, info, flags);
    Err(Errno::ENOSYS.into())
}

/// `kcmp(2)`
pub(super) fn sys_kcmp(cx: &mut Cx, pid1: i32, pid2: i32, kind: i32, idx1: u64, idx2: u64) -> SysResult<u64> {
    let _ = (cx, pid1, pid2, kind, idx1, idx2);
    Err(Errno::ENOSYS.into())
}

/// `ptrace(2)`
pub(super) async fn sys_ptrace(cx: &mut Cx, request: u64, pid: i32, addr: u64, data: u64) -> SysResult<u64> {
    let _ = (cx, request, pid, addr, data);
    Err(Errno::ENOSYS.into())
}
