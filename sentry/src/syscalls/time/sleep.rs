//! Sleeping.

use abi::time::Timespec;
use abi::{Errno, Restart, SysError, SysResult};

use crate::cred::cap;
use crate::executor::Executor;
use crate::task::Cx;
use crate::time::clock::{Clock, TimeSource};
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker};

const TIMER_ABSTIME: i32 = 1;

/// How long to sleep before processor time is looked at again.
const CPU_LOOK_NS: u64 = 10_000_000;

/// `nanosleep(2)`
pub(in crate::syscalls) async fn sys_nanosleep(cx: &mut Cx, req: UserAddr, rem: UserAddr) -> SysResult<u64> {
    let req: Timespec = cx.read_obj(req)?;
    let ns = req.to_ns().ok_or(Errno::EINVAL)?;
    relative(cx, ns, rem).await
}

async fn relative(cx: &mut Cx, ns: u64, rem: UserAddr) -> SysResult<u64> {
    let fresh = Executor::now().saturating_add(ns);
    let deadline = cx.deadline(Some(fresh));
    match Blocker::new(&cx.task, deadline).sleep().await {
        Ok(()) | Err(Blocked::TimedOut) => Ok(0),
        Err(Blocked::Interrupted) => {
            let left = deadline.unwrap_or(fresh).saturating_sub(Executor::now());
            if left == 0 {
                return Ok(0);
            }
            if let Some(rem) = rem.nonnull() {
                cx.write_obj(rem, &Timespec::from_ns(left))?;
            }
            Err(cx.restart_with(deadline))
        }
    }
}

/// `clock_nanosleep(2)`
pub(in crate::syscalls) async fn sys_clock_nanosleep(
    cx: &mut Cx,
    clockid: i32,
    flags: i32,
    request: UserAddr,
    remain: UserAddr,
) -> SysResult<u64> {
    let clock = Clock::new(clockid).ok_or(Errno::EINVAL)?;
    if !clock.has_sleep() {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if clock.is_alarm() && !cx.task.cred().has_cap(cap::WAKE_ALARM) {
        return Err(Errno::EPERM.into());
    }
    let request: Timespec = cx.read_obj(request)?;
    let ns = request.to_ns().ok_or(Errno::EINVAL)?;
    let source = clock.resolve(&cx.task)?;
    if let TimeSource::Thread(..) = source {
        // A thread cannot sleep on its own processor time, and others' is not offered.
        return Err(Errno::EINVAL.into());
    }
    let absolute = flags & TIMER_ABSTIME != 0;
    if !source.is_cpu() && !absolute {
        return relative(cx, ns, remain).await;
    }
    let start = source.now().ok_or(Errno::EINVAL)?;
    let until = match absolute {
        true => cx.task.ns().time.on_host_by(&source, ns),
        false => start.saturating_add(ns),
    };
    loop {
        let Some(now) = source.now() else { return Ok(0) };
        let left = until.saturating_sub(now);
        if left == 0 {
            return Ok(0);
        }
        let pause = if source.is_cpu() { left.min(CPU_LOOK_NS) } else { left };
        source.refresh();
        let deadline = Executor::now().saturating_add(pause);
        if Blocker::new(&cx.task, Some(deadline)).sleep().await == Err(Blocked::Interrupted) {
            return Err(SysError::Restart(Restart::NoHand));
        }
    }
}
