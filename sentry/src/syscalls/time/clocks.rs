//! Reading and setting clocks.

use abi::time::{NSEC_PER_SEC, Timespec, Timeval, Timex, Tms};
use abi::{Errno, SysResult};

use crate::cred::cap;
use crate::executor::Executor;
use crate::task::Cx;
use crate::time::clock::{Clock, realtime_now};
use crate::usermem::UserAddr;

/// Nanoseconds of a clock tick (`sysconf(_SC_CLK_TCK)` is 100).
const TICK_NS: u64 = 10_000_000;

/// `time(2)`
pub(in crate::syscalls) fn sys_time(cx: &mut Cx, tloc: UserAddr) -> SysResult<u64> {
    let now = realtime_now() / 1_000_000_000;
    if let Some(tloc) = tloc.nonnull() {
        cx.write_obj(tloc, &now)?;
    }
    Ok(now)
}

/// `gettimeofday(2)`
pub(in crate::syscalls) fn sys_gettimeofday(cx: &mut Cx, tv: UserAddr, tz: UserAddr) -> SysResult<u64> {
    if let Some(tv) = tv.nonnull() {
        cx.write_obj(tv, &Timeval::from_ns(realtime_now()))?;
    }
    if let Some(tz) = tz.nonnull() {
        cx.write_obj(tz, &[0i32; 2])?;
    }
    Ok(0)
}

/// `settimeofday(2)`: checked, then refused. The clock is the host's.
pub(in crate::syscalls) fn sys_settimeofday(cx: &mut Cx, tv: UserAddr, tz: UserAddr) -> SysResult<u64> {
    if let Some(tv) = tv.nonnull() {
        let tv: Timeval = cx.read_obj(tv)?;
        tv.to_ns().ok_or(Errno::EINVAL)?;
    }
    if let Some(tz) = tz.nonnull() {
        let _: [i32; 2] = cx.read_obj(tz)?;
    }
    Err(Errno::EPERM.into())
}

/// `clock_gettime(2)`
pub(in crate::syscalls) fn sys_clock_gettime(cx: &mut Cx, clockid: i32, tp: UserAddr) -> SysResult<u64> {
    let clock = Clock::new(clockid).ok_or(Errno::EINVAL)?;
    let source = clock.resolve(&cx.task)?;
    if source.is_cpu() {
        cx.task.note_cpu_ns(cx.ctx.cpu_time_ns());
    }
    let now = source.now().ok_or(Errno::EINVAL)?;
    let now = cx.task.ns().time.shown_by(&source, now);
    cx.write_obj(tp, &Timespec::from_ns(now))?;
    Ok(0)
}

/// `clock_settime(2)`: checked, then refused. The clock is the host's.
pub(in crate::syscalls) fn sys_clock_settime(cx: &mut Cx, clockid: i32, tp: UserAddr) -> SysResult<u64> {
    let clock = Clock::new(clockid).ok_or(Errno::EINVAL)?;
    let cpu = matches!(clock, Clock::ProcessCpu | Clock::ThreadCpu | Clock::CpuOf { .. });
    if clock != Clock::Realtime && !cpu {
        return Err(Errno::EINVAL.into());
    }
    let ts: Timespec = cx.read_obj(tp)?;
    if cpu {
        clock.resolve(&cx.task)?;
    } else if !ts.is_valid() {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::EPERM.into())
}

/// `clock_getres(2)`
pub(in crate::syscalls) fn sys_clock_getres(cx: &mut Cx, clockid: i32, res: UserAddr) -> SysResult<u64> {
    let clock = Clock::new(clockid).ok_or(Errno::EINVAL)?;
    clock.resolve(&cx.task)?;
    if let Some(res) = res.nonnull() {
        cx.write_obj(res, &Timespec::from_ns(clock.resolution()))?;
    }
    Ok(0)
}

/// `times(2)`
pub(in crate::syscalls) fn sys_times(cx: &mut Cx, buf: UserAddr) -> SysResult<u64> {
    let ticks = |ns: u64| (ns / TICK_NS).cast_signed();
    if let Some(buf) = buf.nonnull() {
        cx.task.note_cpu_ns(cx.ctx.cpu_time_ns());
        let own = cx.task.group.usage();
        let children = cx.task.group.children_usage();
        let tms = Tms {
            utime: ticks(own.user_ns),
            stime: ticks(own.system_ns),
            cutime: ticks(children.user_ns),
            cstime: ticks(children.system_ns),
        };
        cx.write_obj(buf, &tms)?;
    }
    Ok(Executor::now() / TICK_NS)
}

const ADJ_OFFSET: u32 = 1;
const ADJ_TICK: u32 = 0x4000;
const ADJ_ADJTIME: u32 = 0x8000;
const ADJ_OFFSET_READONLY: u32 = 0x2000;
const ADJ_NANO: u32 = 0x2000;
const ADJ_SETOFFSET: u32 = 0x100;
const STA_UNSYNC: i32 = 0x40;
const TIME_ERROR: u64 = 5;

/// `adjtimex(2)`: tells; changes are refused.
pub(in crate::syscalls) fn sys_adjtimex(cx: &mut Cx, buf: UserAddr) -> SysResult<u64> {
    let asked: Timex = cx.read_obj(buf)?;
    let read_only = if asked.modes & ADJ_ADJTIME != 0 {
        // adjtime(3): a single offset, or a question for what is left of one.
        if asked.modes & ADJ_OFFSET == 0 {
            return Err(Errno::EINVAL.into());
        }
        asked.modes & ADJ_OFFSET_READONLY != 0
    } else {
        asked.modes == 0
    };
    if !read_only {
        if !cx.task.cred().has_cap(cap::SYS_TIME) {
            return Err(Errno::EPERM.into());
        }
        if asked.modes & ADJ_TICK != 0 && !(9000..=11000).contains(&asked.tick) {
            return Err(Errno::EINVAL.into());
        }
        let unit = if asked.modes & ADJ_NANO != 0 {
            NSEC_PER_SEC
        } else {
            1_000_000
        };
        if asked.modes & ADJ_SETOFFSET != 0 && !(0..unit).contains(&asked.time.usec) {
            return Err(Errno::EINVAL.into());
        }
        return Err(Errno::EPERM.into());
    }
    let answer = Timex {
        maxerror: 16_000_000,
        esterror: 16_000_000,
        status: STA_UNSYNC,
        constant: 2,
        precision: 1,
        tolerance: 32_768_000,
        time: Timeval::from_ns(realtime_now()),
        tick: 10_000,
        modes: asked.modes,
        ..Timex::default()
    };
    cx.write_obj(buf, &answer)?;
    Ok(TIME_ERROR)
}

/// `clock_adjtime(2)`
pub(in crate::syscalls) fn sys_clock_adjtime(cx: &mut Cx, clockid: i32, buf: UserAddr) -> SysResult<u64> {
    match Clock::new(clockid) {
        Some(Clock::Realtime) => sys_adjtimex(cx, buf),
        Some(_) => {
            let _: Timex = cx.read_obj(buf)?;
            Err(Errno::EOPNOTSUPP.into())
        }
        None => Err(Errno::EINVAL.into()),
    }
}
