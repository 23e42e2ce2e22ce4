//! Interval timers, POSIX timers, timerfds.

use std::sync::Arc;

use abi::time::{Itimerspec, Itimerval, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, Sigevent, Timeval};
use abi::{Errno, SysResult};

use super::{itimerspec_ns, to_itimerspec};
use crate::cred::cap;
use crate::fs::namei::anon_file;
use crate::fs::{File, OpenFlags};
use crate::signal::Signal;
use crate::task::Cx;
use crate::time::clock::Clock;
use crate::time::itimer::{self, Which};
use crate::time::posix::{self, Notify};
use crate::time::timer::Setting;
use crate::time::timerfd::TimerFd;
use crate::usermem::UserAddr;

const SECOND: u64 = 1_000_000_000;

/// `alarm(2)`
pub(in crate::syscalls) fn sys_alarm(cx: &mut Cx, seconds: u32) -> SysResult<u64> {
    let timer = itimer::of(&cx.task, Which::Real);
    let at = (seconds > 0).then(|| timer.now().saturating_add(u64::from(seconds) * SECOND));
    let (left, _) = timer.set(Setting { at, interval: 0 });
    // Rounded, but never to zero while an alarm was set.
    let whole = left / SECOND;
    let up = left % SECOND >= SECOND / 2 || (whole == 0 && left > 0);
    Ok(whole + u64::from(up))
}

fn to_itimerval((left, interval): (u64, u64)) -> Itimerval {
    let value = if left == 0 { 0 } else { left.max(1000) };
    Itimerval {
        interval: Timeval::from_ns(interval),
        value: Timeval::from_ns(value),
    }
}

/// `getitimer(2)`
pub(in crate::syscalls) fn sys_getitimer(cx: &mut Cx, which: i32, curr: UserAddr) -> SysResult<u64> {
    let which = Which::new(which).ok_or(Errno::EINVAL)?;
    let now = itimer::of(&cx.task, which).get();
    cx.write_obj(curr, &to_itimerval(now))?;
    Ok(0)
}

/// `setitimer(2)`
pub(in crate::syscalls) fn sys_setitimer(cx: &mut Cx, which: i32, new: UserAddr, old: UserAddr) -> SysResult<u64> {
    let setting = match new.nonnull() {
        Some(new) => cx.read_obj(new)?,
        None => Itimerval::default(),
    };
    let value = setting.value.to_ns().ok_or(Errno::EINVAL)?;
    let interval = setting.interval.to_ns().ok_or(Errno::EINVAL)?;
    let which = Which::new(which).ok_or(Errno::EINVAL)?;
    let timer = itimer::of(&cx.task, which);
    let at = (value > 0).then(|| timer.now().saturating_add(value));
    let before = timer.set(Setting { at, interval });
    if let Some(old) = old.nonnull() {
        cx.write_obj(old, &to_itimerval(before))?;
    }
    Ok(0)
}

/// `timer_create(2)`
pub(in crate::syscalls) fn sys_timer_create(
    cx: &mut Cx,
    clockid: i32,
    sevp: UserAddr,
    timerid: UserAddr,
) -> SysResult<u64> {
    let event: Option<Sigevent> = match sevp.nonnull() {
        Some(sevp) => Some(cx.read_obj(sevp)?),
        None => None,
    };
    let clock = Clock::new(clockid).ok_or(Errno::EINVAL)?;
    if !clock.has_timers() {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let notify = match event {
        None => Notify::Process(Signal::SIGALRM),
        Some(event) => notify(cx, &event)?,
    };
    if clock.is_alarm() && !cx.task.cred().has_cap(cap::WAKE_ALARM) {
        return Err(Errno::EPERM.into());
    }
    let source = clock.resolve(&cx.task)?;
    let id = posix::create(&cx.task, source, notify, event.map(|e| e.value))?;
    if let Err(e) = cx.write_obj(timerid, &id) {
        posix::delete(&cx.task, id)?;
        return Err(e.into());
    }
    Ok(0)
}

fn notify(cx: &Cx, event: &Sigevent) -> Result<Notify, Errno> {
    let signal = Signal::new(event.signo).ok_or(Errno::EINVAL);
    match event.notify {
        SIGEV_NONE => Ok(Notify::Nobody),
        SIGEV_SIGNAL | SIGEV_THREAD => Ok(Notify::Process(signal?)),
        SIGEV_THREAD_ID => {
            let task = cx.task.kernel.tasks.task(cx.task.pid_ns(), event.tid);
            let task = task
                .filter(|t| t.group.tgid == cx.task.group.tgid)
                .ok_or(Errno::EINVAL)?;
            Ok(Notify::Thread(signal?, Arc::downgrade(&task)))
        }
        _ => Err(Errno::EINVAL),
    }
}

const TIMER_ABSTIME: i32 = 1;

/// `timer_settime(2)`
pub(in crate::syscalls) fn sys_timer_settime(
    cx: &mut Cx,
    timerid: i32,
    flags: i32,
    new: UserAddr,
    old: UserAddr,
) -> SysResult<u64> {
    if new.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let spec: Itimerspec = cx.read_obj(new)?;
    let (value, interval) = itimerspec_ns(&spec)?;
    let timer = posix::get(&cx.task, timerid)?;
    let at = match value {
        0 => None,
        value if flags & TIMER_ABSTIME != 0 => Some(cx.task.ns().time.on_host_by(timer.source(), value)),
        value => Some(timer.now().saturating_add(value)),
    };
    timer.target.reset();
    let before = timer.set(Setting { at, interval });
    if let Some(old) = old.nonnull() {
        cx.write_obj(old, &to_itimerspec(before))?;
    }
    Ok(0)
}

/// `timer_gettime(2)`
pub(in crate::syscalls) fn sys_timer_gettime(cx: &mut Cx, timerid: i32, curr: UserAddr) -> SysResult<u64> {
    let timer = posix::get(&cx.task, timerid)?;
    cx.write_obj(curr, &to_itimerspec(timer.get()))?;
    Ok(0)
}

/// `timer_getoverrun(2)`
pub(in crate::syscalls) fn sys_timer_getoverrun(cx: &mut Cx, timerid: i32) -> SysResult<u64> {
    Ok(posix::get(&cx.task, timerid)?.target.overrun())
}

/// `timer_delete(2)`
pub(in crate::syscalls) fn sys_timer_delete(cx: &mut Cx, timerid: i32) -> SysResult<u64> {
    posix::delete(&cx.task, timerid)?;
    Ok(0)
}

const TFD_NONBLOCK: i32 = 0o4000;
const TFD_CLOEXEC: i32 = 0o2_000_000;
const TFD_TIMER_ABSTIME: i32 = 1;
const TFD_TIMER_CANCEL_ON_SET: i32 = 2;

/// `timerfd_create(2)`
pub(in crate::syscalls) fn sys_timerfd_create(cx: &mut Cx, clockid: i32, flags: i32) -> SysResult<u64> {
    if flags & !(TFD_NONBLOCK | TFD_CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let clock = match Clock::new(clockid) {
        Some(
            clock
            @ (Clock::Realtime | Clock::Monotonic | Clock::Boottime | Clock::RealtimeAlarm | Clock::BoottimeAlarm),
        ) => clock,
        _ => return Err(Errno::EINVAL.into()),
    };
    if clock.is_alarm() && !cx.task.cred().has_cap(cap::WAKE_ALARM) {
        return Err(Errno::EPERM.into());
    }
    let timer = TimerFd::new(&cx.task.kernel, clock, clock.resolve(&cx.task)?);
    let mut open = OpenFlags::RDWR;
    open.set(OpenFlags::NONBLOCK, flags & TFD_NONBLOCK != 0);
    let file = anon_file(&cx.task.kernel, "[timerfd]", timer, open);
    let fd = cx
        .task
        .files()
        .add(file, flags & TFD_CLOEXEC != 0, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}

fn timerfd(file: &File) -> Result<&TimerFd, Errno> {
    file.downcast::<TimerFd>().ok_or(Errno::EINVAL)
}

/// `timerfd_settime(2)`
pub(in crate::syscalls) fn sys_timerfd_settime(
    cx: &mut Cx,
    fd: i32,
    flags: i32,
    new: UserAddr,
    old: UserAddr,
) -> SysResult<u64> {
    let spec: Itimerspec = cx.read_obj(new)?;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (value, interval) = itimerspec_ns(&spec)?;
    let file = cx.task.files().get(fd)?;
    let timer = timerfd(&file)?;
    let absolute = flags & TFD_TIMER_ABSTIME != 0;
    let at = (value > 0).then(|| match absolute {
        true => cx.task.ns().time.on_host_by(timer.source(), value),
        false => value,
    });
    let before = timer.set(at, !absolute, interval, flags);
    if let Some(old) = old.nonnull() {
        cx.write_obj(old, &to_itimerspec(before))?;
    }
    Ok(0)
}

/// `timerfd_gettime(2)`
pub(in crate::syscalls) fn sys_timerfd_gettime(cx: &mut Cx, fd: i32, curr: UserAddr) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    let now = timerfd(&file)?.get();
    cx.write_obj(curr, &to_itimerspec(now))?;
    Ok(0)
}
