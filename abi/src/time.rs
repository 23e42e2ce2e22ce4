//! Times (`timespec(3type)`, `timer_create(2)`, `times(2)`, `adjtimex(2)`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct timespec`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds.
    pub nsec: i64,
}

/// `struct timeval`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub sec: i64,
    /// Microseconds.
    pub usec: i64,
}

/// `struct itimerspec`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Itimerspec {
    /// Period; zero for once.
    pub interval: Timespec,
    /// First expiration; zero disarms.
    pub value: Timespec,
}

/// `struct itimerval`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Itimerval {
    /// Period; zero for once.
    pub interval: Timeval,
    /// First expiration; zero disarms.
    pub value: Timeval,
}

/// `struct tms`, in clock ticks.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "times(2) documents each name")]
pub struct Tms {
    pub utime: i64,
    pub stime: i64,
    pub cutime: i64,
    pub cstime: i64,
}

/// `struct sigevent`
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sigevent {
    /// `sigev_value`
    pub value: u64,
    /// `sigev_signo`
    pub signo: i32,
    /// `SIGEV_*`
    pub notify: i32,
    /// `sigev_notify_thread_id`
    pub tid: i32,
    /// Up to 64 bytes.
    pub pad: [i32; 11],
}

/// `SIGEV_SIGNAL`
pub const SIGEV_SIGNAL: i32 = 0;
/// `SIGEV_NONE`
pub const SIGEV_NONE: i32 = 1;
/// `SIGEV_THREAD`
pub const SIGEV_THREAD: i32 = 2;
/// `SIGEV_THREAD_ID`
pub const SIGEV_THREAD_ID: i32 = 4;

/// `struct timex`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "adjtimex(2) documents each name")]
pub struct Timex {
    pub modes: u32,
    pub pad0: u32,
    pub offset: i64,
    pub freq: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i32,
    pub pad1: i32,
    pub constant: i64,
    pub precision: i64,
    pub tolerance: i64,
    pub time: Timeval,
    pub tick: i64,
    pub ppsfreq: i64,
    pub jitter: i64,
    pub shift: i32,
    pub pad2: i32,
    pub stabil: i64,
    pub jitcnt: i64,
    pub calcnt: i64,
    pub errcnt: i64,
    pub stbcnt: i64,
    pub tai: i32,
    pub pad3: [i32; 11],
}

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: i64 = 1_000_000_000;

impl Timespec {
    /// From nanoseconds.
    pub const fn from_ns(ns: u64) -> Timespec {
        Timespec {
            sec: (ns / 1_000_000_000).cast_signed(),
            nsec: (ns % 1_000_000_000).cast_signed(),
        }
    }

    /// Not negative, and less than a second of nanoseconds (`timespec64_valid`).
    pub const fn is_valid(&self) -> bool {
        self.sec >= 0 && self.nsec >= 0 && self.nsec < NSEC_PER_SEC
    }

    /// Nanoseconds, if valid. What is too large becomes the largest time (`KTIME_MAX`).
    pub fn to_ns(&self) -> Option<u64> {
        if !self.is_valid() {
            return None;
        }
        let ns = self.sec.saturating_mul(NSEC_PER_SEC).saturating_add(self.nsec);
        Some(ns.cast_unsigned())
    }
}

impl Timeval {
    /// From nanoseconds, rounded down.
    pub const fn from_ns(ns: u64) -> Timeval {
        Timeval {
            sec: (ns / 1_000_000_000).cast_signed(),
            usec: (ns % 1_000_000_000 / 1000).cast_signed(),
        }
    }

    /// Nanoseconds; none if negative or with a full second of microseconds.
    pub fn to_ns(&self) -> Option<u64> {
        if self.sec < 0 || self.usec < 0 || self.usec >= 1_000_000 {
            return None;
        }
        let ns = self.sec.saturating_mul(NSEC_PER_SEC).saturating_add(self.usec * 1000);
        Some(ns.cast_unsigned())
    }
}
