//! Numbers of `/proc/sys` that steer the whole kernel. Those of a namespace are in the namespace.

use std::sync::atomic::{AtomicI64, Ordering};

/// A number that may be changed while others read it.
#[derive(Debug)]
pub struct Tunable(AtomicI64);

impl Tunable {
    /// With its first value.
    pub const fn new(value: i64) -> Tunable {
        Tunable(AtomicI64::new(value))
    }

    /// Its value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Its value as a size or count; negative counts as none.
    pub fn count(&self) -> u64 {
        u64::try_from(self.get()).unwrap_or(0)
    }

    /// Replaces it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Named as the files are.
#[derive(Debug)]
pub struct Sysctl {
    /// `kernel.pid_max`
    pub pid_max: Tunable,
    /// `kernel.threads-max`
    pub threads_max: Tunable,
    /// `fs.nr_open`
    pub nr_open: Tunable,
    /// `fs.file-max`
    pub file_max: Tunable,
    /// `fs.pipe-max-size`
    pub pipe_max_size: Tunable,
    /// `fs.aio-max-nr`
    pub aio_max_nr: Tunable,
    /// `fs.lease-break-time`, seconds
    pub lease_break_time: Tunable,
    /// `fs.leases-enable`
    pub leases_enable: Tunable,
    /// `fs.inotify.max_queued_events`
    pub inotify_queued: Tunable,
    /// `fs.inotify.max_user_instances`
    pub inotify_instances: Tunable,
    /// `fs.inotify.max_user_watches`
    pub inotify_watches: Tunable,
    /// `net.core.somaxconn`
    pub somaxconn: Tunable,
}

impl Default for Sysctl {
    fn default() -> Sysctl {
        Sysctl {
            pid_max: Tunable::new(4_194_304),
            threads_max: Tunable::new(65536),
            nr_open: Tunable::new(1_048_576),
            file_max: Tunable::new(i64::MAX),
            pipe_max_size: Tunable::new(1_048_576),
            aio_max_nr: Tunable::new(65536),
            lease_break_time: Tunable::new(45),
            leases_enable: Tunable::new(1),
            inotify_queued: Tunable::new(16384),
            inotify_instances: Tunable::new(128),
            inotify_watches: Tunable::new(65536),
            somaxconn: Tunable::new(4096),
        }
    }
}
