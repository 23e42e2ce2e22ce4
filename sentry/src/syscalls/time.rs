//! Clocks and timers (`time(7)`).

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `time(2)`
pub(super) fn sys_time(cx: &mut Cx, tloc: UserAddr) -> SysResult<u64> {
    let _ = (cx, tloc);
    Err(Errno::ENOSYS.into())
}

/// `gettimeofday(2)`
pub(super) fn sys_gettimeofday(cx: &mut Cx, tv: UserAddr, tz: UserAddr) -> SysResult<u64> {
    let _ = (cx, tv, tz);
    Err(Errno::ENOSYS.into())
}

/// `settimeofday(2)`
pub(super) fn sys_settimeofday(cx: &mut Cx, tv: UserAddr, tz: UserAddr) -> SysResult<u64> {
    let _ = (cx, tv, tz);
    Err(Errno::ENOSYS.into())
}

/// `clock_gettime(2)`
pub(super) fn sys_clock_gettime(cx: &mut Cx, clockid: i32, tp: UserAddr) -> SysResult<u64> {
    let _ = (cx, clockid, tp);
    Err(Errno::ENOSYS.into())
}

/// `clock_settime(2)`
pub(super) fn sys_clock_settime(cx: &mut Cx, clockid: i32, tp: UserAddr) -> SysResult<u64> {
    let _ = (cx, clockid, tp);
    Err(Errno::ENOSYS.into())
}

/// `clock_getres(2)`
pub(super) fn sys_clock_getres(cx: &mut Cx, clockid: i32, res: UserAddr) -> SysResult<u64> {
    let _ = (cx, clockid, res);
    Err(Errno::ENOSYS.into())
}

/// `clock_nanosleep(2)`
pub(super) async fn sys_clock_nanosleep(
    cx: &mut Cx,
    clockid: i32,
    flags: i32,
    request: UserAddr,
    remain: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, clockid, flags, request, remain);
    Err(Errno::ENOSYS.into())
}

/// `nanosleep(2)`
pub(super) async fn sys_nanosleep(cx: &mut Cx, req: UserAddr, rem: UserAddr) -> SysResult<u64> {
    let _ = (cx, req, rem);
    Err(Errno::ENOSYS.into())
}

/// `alarm(2)`
pub(super) fn sys_alarm(cx: &mut Cx, seconds: u32) -> SysResult<u64> {
    let _ = (cx, seconds);
    Err(Errno::ENOSYS.into())
}

/// `getitimer(2)`
pub(super) fn sys_getitimer(cx: &mut Cx, which: i32, curr: UserAddr) -> SysResult<u64> {
    let _ = (cx, which, curr);
    Err(Errno::ENOSYS.into())
}

/// `setitimer(2)`
pub(super) fn sys_setitimer(cx: &mut Cx, which: i32, new: UserAddr, old: UserAddr) -> SysResult<u64> {
    let _ = (cx, which, new, old);
    Err(Errno::ENOSYS.into())
}

/// `timer_create(2)`
pub(super) fn sys_timer_create(cx: &mut Cx, clockid: i32, sevp: UserAddr, timerid: UserAddr) -> SysResult<u64> {
    let _ = (cx, clockid, sevp, timerid);
    Err(Errno::ENOSYS.into())
}

/// `timer_settime(2)`
pub(super) fn sys_timer_settime(cx: &mut Cx, timerid: i32, flags: i32, new: UserAddr, old: UserAddr) -> SysResult<u64> {
    let _ = (cx, timerid, flags, new, old);
    Err(Errno::ENOSYS.into())
}

/// `timer_gettime(2)`
pub(super) fn sys_timer_gettime(cx: &mut Cx, timerid: i32, curr: UserAddr) -> SysResult<u64> {
    let _ = (cx, timerid, curr);
    Err(Errno::ENOSYS.into())
}

/// `timer_getoverrun(2)`
pub(super) fn sys_timer_getoverrun(cx: &mut Cx, timerid: i32) -> SysResult<u64> {
    let _ = (cx, timerid);
    Err(Errno::ENOSYS.into())
}

/// `timer_delete(2)`
pub(super) fn sys_timer_delete(cx: &mut Cx, timerid: i32) -> SysResult<u64> {
    let _ = (cx, timerid);
    Err(Errno::ENOSYS.into())
}

/// `timerfd_create(2)`
pub(super) fn sys_timerfd_create(cx: &mut Cx, clockid: i32, flags: i32) -> SysResult<u64> {
    let _ = (cx, clockid, flags);
    Err(Errno::ENOSYS.into())
}

/// `timerfd_settime(2)`
pub(super) fn sys_timerfd_settime(cx: &mut Cx, fd: i32, flags: i32, new: UserAddr, old: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, flags, new, old);
    Err(Errno::ENOSYS.into())
}

/// `timerfd_gettime(2)`
pub(super) fn sys_timerfd_gettime(cx: &mut Cx, fd: i32, curr: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, curr);
    Err(Errno::ENOSYS.into())
}

/// `times(2)`
pub(super) fn sys_times(cx: &mut Cx, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, buf);
    Err(Errno::ENOSYS.into())
}

/// `adjtimex(2)`
pub(super) fn sys_adjtimex(cx: &mut Cx, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, buf);
    Err(Errno::ENOSYS.into())
}

/// `clock_adjtime(2)`
pub(super) fn sys_clock_adjtime(cx: &mut Cx, clockid: i32, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, clockid, buf);
    Err(Errno::ENOSYS.into())
}
