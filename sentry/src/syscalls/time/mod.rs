//! Clocks and timers (`time(7)`).

mod clocks;
mod sleep;
mod timers;

pub(super) use clocks::{
    sys_adjtimex, sys_clock_adjtime, sys_clock_getres, sys_clock_gettime, sys_clock_settime, sys_gettimeofday,
    sys_settimeofday, sys_time, sys_times,
};
pub(super) use sleep::{sys_clock_nanosleep, sys_nanosleep};
pub(super) use timers::{
    sys_alarm, sys_getitimer, sys_setitimer, sys_timer_create, sys_timer_delete, sys_timer_getoverrun,
    sys_timer_gettime, sys_timer_settime, sys_timerfd_create, sys_timerfd_gettime, sys_timerfd_settime,
};

use abi::Errno;
use abi::time::{Itimerspec, Timespec};

/// A valid setting in nanoseconds: first expiration and period.
fn itimerspec_ns(spec: &Itimerspec) -> Result<(u64, u64), Errno> {
    let value = spec.value.to_ns().ok_or(Errno::EINVAL)?;
    let interval = spec.interval.to_ns().ok_or(Errno::EINVAL)?;
    Ok((value, interval))
}

/// Time left and period as a structure.
fn to_itimerspec((left, interval): (u64, u64)) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_ns(interval),
        value: Timespec::from_ns(left),
    }
}
