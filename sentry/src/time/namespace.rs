//! Time namespaces (`time_namespaces(7)`): where the monotonic clocks and the boot clock stand. Inside the Sentry times are
//! the host's; they are translated where guests give and get them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use abi::Errno;
use abi::errno::Result;
use rustix::time::ClockId;

use super::clock::{TimeSource, boottime_now};
use crate::cred::UserNamespace;
use crate::executor::Executor;
use crate::sync::Mutex;

/// `KTIME_SEC_MAX`
const SECONDS_MAX: i64 = 9_223_372_036;
const SECOND: i128 = 1_000_000_000;

/// A clock that can be shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shifted {
    /// `CLOCK_MONOTONIC`, and with it its coarse and its raw kind.
    Monotonic,
    /// `CLOCK_BOOTTIME`
    Boottime,
}

/// What is added to a clock: seconds, and nanoseconds below a second.
pub type Offset = (i64, u32);

/// A time namespace.
pub struct TimeNamespace {
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Whose `CAP_SYS_TIME` may set the offsets.
    pub user_ns: Arc<UserNamespace>,
    monotonic_ns: AtomicI64,
    boottime_ns: AtomicI64,
    /// A task has been in it: the offsets stay.
    entered: Mutex<bool>,
}

impl TimeNamespace {
    /// The one whose clocks are the host's.
    pub fn root(id: u64, user_ns: Arc<UserNamespace>) -> Arc<TimeNamespace> {
        Arc::new(TimeNamespace {
            id,
            user_ns,
            monotonic_ns: AtomicI64::new(0),
            boottime_ns: AtomicI64::new(0),
            entered: Mutex::new(true),
        })
    }

    /// One that begins with the offsets of this one, which may still be set.
    pub fn child(&self, id: u64, user_ns: Arc<UserNamespace>) -> Arc<TimeNamespace> {
        Arc::new(TimeNamespace {
            id,
            user_ns,
            monotonic_ns: AtomicI64::new(self.of(Shifted::Monotonic)),
            boottime_ns: AtomicI64::new(self.of(Shifted::Boottime)),
            entered: Mutex::new(false),
        })
    }

    /// A task is in it from now on.
    pub fn enter(&self) {
        *self.entered.lock() = true;
    }

    /// `/proc/PID/timens_offsets`: all or none.
    pub fn set(&self, offsets: &[(Shifted, Offset)]) -> Result<()> {
        let mut all = Vec::new();
        for &(clock, offset) in offsets {
            all.push((clock, checked(clock, offset)?));
        }
        let entered = self.entered.lock();
        if *entered {
            return Err(Errno::EACCES);
        }
        for (clock, ns) in all {
            self.slot(clock).store(ns, Ordering::Relaxed);
        }
        Ok(())
    }

    fn slot(&self, clock: Shifted) -> &AtomicI64 {
        match clock {
            Shifted::Monotonic => &self.monotonic_ns,
            Shifted::Boottime => &self.boottime_ns,
        }
    }

    fn of(&self, clock: Shifted) -> i64 {
        self.slot(clock).load(Ordering::Relaxed)
    }

    /// As it was set.
    pub fn offset(&self, clock: Shifted) -> Offset {
        let ns = self.of(clock);
        let below = ns.rem_euclid(1_000_000_000);
        (ns.div_euclid(1_000_000_000), u32::try_from(below).unwrap_or(0))
    }

    /// Its clocks are not the host's.
    pub fn is_shifted(&self) -> bool {
        self.of(Shifted::Monotonic) != 0 || self.of(Shifted::Boottime) != 0
    }

    /// A time of the host's clock as the namespace shows it.
    pub fn shown(&self, clock: Shifted, ns: u64) -> u64 {
        ns.saturating_add_signed(self.of(clock))
    }

    /// A time that a guest gave, on the host's clock; what was before that began has passed.
    pub fn on_host(&self, clock: Shifted, ns: u64) -> u64 {
        let offset = self.of(clock);
        match u64::try_from(offset) {
            Ok(offset) => ns.saturating_sub(offset),
            Err(_) => ns.saturating_add(offset.unsigned_abs()),
        }
    }

    /// [`TimeNamespace::shown`] of any clock.
    pub fn shown_by(&self, source: &TimeSource, ns: u64) -> u64 {
        shifted(source).map_or(ns, |clock| self.shown(clock, ns))
    }

    /// [`TimeNamespace::on_host`] of any clock.
    pub fn on_host_by(&self, source: &TimeSource, ns: u64) -> u64 {
        shifted(source).map_or(ns, |clock| self.on_host(clock, ns))
    }
}

fn shifted(source: &TimeSource) -> Option<Shifted> {
    let TimeSource::Host(id) = source else { return None };
    match id {
        ClockId::Monotonic | ClockId::MonotonicRaw | ClockId::MonotonicCoarse => Some(Shifted::Monotonic),
        ClockId::Boottime => Some(Shifted::Boottime),
        _ => None,
    }
}

/// An offset in nanoseconds. The clock must show a time that is not negative and far from the end of all time.
fn checked(clock: Shifted, (seconds, below): Offset) -> Result<i64> {
    if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
        return Err(Errno::ERANGE);
    }
    let now = match clock {
        Shifted::Monotonic => Executor::now(),
        Shifted::Boottime => boottime_now(),
    };
    let offset = i128::from(seconds) * SECOND + i128::from(below);
    let shown = (offset + i128::from(now)).div_euclid(SECOND);
    if !(0..=i128::from(SECONDS_MAX / 2)).contains(&shown) {
        return Err(Errno::ERANGE);
    }
    i64::try_from(offset).map_err(|_| Errno::ERANGE)
}
