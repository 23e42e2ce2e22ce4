//! Limits, priorities, scheduling.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `getrlimit(2)`
pub(super) fn sys_getrlimit(cx: &mut Cx, resource: u32, rlim: UserAddr) -> SysResult<u64> {
    let _ = (cx, resource, rlim);
    Err(Errno::ENOSYS.into())
}

/// `setrlimit(2)`
pub(super) fn sys_setrlimit(cx: &mut Cx, resource: u32, rlim: UserAddr) -> SysResult<u64> {
    let _ = (cx, resource, rlim);
    Err(Errno::ENOSYS.into())
}

/// `prlimit64(2)`
pub(super) fn sys_prlimit64(
    cx: &mut Cx,
    pid: i32,
    resource: u32,
    new_limit: UserAddr,
    old_limit: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, pid, resource, new_limit, old_limit);
    Err(Errno::ENOSYS.into())
}

/// `getrusage(2)`
pub(super) fn sys_getrusage(cx: &mut Cx, who: i32, usage: UserAddr) -> SysResult<u64> {
    let _ = (cx, who, usage);
    Err(Errno::ENOSYS.into())
}

/// `getpriority(2)`
pub(super) fn sys_getpriority(cx: &mut Cx, which: i32, who: i32) -> SysResult<u64> {
    let _ = (cx, which, who);
    Err(Errno::ENOSYS.into())
}

/// `setpriority(2)`
pub(super) fn sys_setpriority(cx: &mut Cx, which: i32, who: i32, prio: i32) -> SysResult<u64> {
    let _ = (cx, which, who, prio);
    Err(Errno::ENOSYS.into())
}

/// `sched_yield(2)`
pub(super) async fn sys_sched_yield(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `sched_setparam(2)`
pub(super) fn sys_sched_setparam(cx: &mut Cx, pid: i32, param: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, param);
    Err(Errno::ENOSYS.into())
}

/// `sched_getparam(2)`
pub(super) fn sys_sched_getparam(cx: &mut Cx, pid: i32, param: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, param);
    Err(Errno::ENOSYS.into())
}

/// `sched_setscheduler(2)`
pub(super) fn sys_sched_setscheduler(cx: &mut Cx, pid: i32, policy: i32, param: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, policy, param);
    Err(Errno::ENOSYS.into())
}

/// `sched_getscheduler(2)`
pub(super) fn sys_sched_getscheduler(cx: &mut Cx, pid: i32) -> SysResult<u64> {
    let _ = (cx, pid);
    Err(Errno::ENOSYS.into())
}

/// `sched_get_priority_max(2)`
pub(super) fn sys_sched_get_priority_max(cx: &mut Cx, policy: i32) -> SysResult<u64> {
    let _ = (cx, policy);
    Err(Errno::ENOSYS.into())
}

/// `sched_get_priority_min(2)`
pub(super) fn sys_sched_get_priority_min(cx: &mut Cx, policy: i32) -> SysResult<u64> {
    let _ = (cx, policy);
    Err(Errno::ENOSYS.into())
}

/// `sched_rr_get_interval(2)`
pub(super) fn sys_sched_rr_get_interval(cx: &mut Cx, pid: i32, tp: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, tp);
    Err(Errno::ENOSYS.into())
}

/// `sched_setaffinity(2)`
pub(super) fn sys_sched_setaffinity(cx: &mut Cx, pid: i32, cpusetsize: u32, mask: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, cpusetsize, mask);
    Err(Errno::ENOSYS.into())
}

/// `sched_getaffinity(2)`
pub(super) fn sys_sched_getaffinity(cx: &mut Cx, pid: i32, cpusetsize: u32, mask: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, cpusetsize, mask);
    Err(Errno::ENOSYS.into())
}

/// `sched_setattr(2)`
pub(super) fn sys_sched_setattr(cx: &mut Cx, pid: i32, attr: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, pid, attr, flags);
    Err(Errno::ENOSYS.into())
}

/// `sched_getattr(2)`
pub(super) fn sys_sched_getattr(cx: &mut Cx, pid: i32, attr: UserAddr, size: u32, flags: u32) -> SysResult<u64> {
    let _ = (cx, pid, attr, size, flags);
    Err(Errno::ENOSYS.into())
}

/// `ioprio_set(2)`
pub(super) fn sys_ioprio_set(cx: &mut Cx, which: i32, who: i32, ioprio: i32) -> SysResult<u64> {
    let _ = (cx, which, who, ioprio);
    Err(Errno::ENOSYS.into())
}

/// `ioprio_get(2)`
pub(super) fn sys_ioprio_get(cx: &mut Cx, which: i32, who: i32) -> SysResult<u64> {
    let _ = (cx, which, who);
    Err(Errno::ENOSYS.into())
}
