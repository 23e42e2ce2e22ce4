//! Resource usage (`getrusage(2)`).

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Task, ThreadGroup};

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User time, nanoseconds.
    pub user_ns: u64,
    /// System time, nanoseconds.
    pub system_ns: u64,
    /// Largest resident set, KiB.
    pub max_rss_kib: u64,
    /// Page faults served without a disk.
    pub minor_faults: u64,
    /// Page faults that read from one.
    pub major_faults: u64,
}

/// What a process has read and written by system calls (`/proc/PID/io`).
#[derive(Debug, Default)]
pub struct IoCounters {
    /// Bytes read.
    pub read_bytes: AtomicU64,
    /// Bytes written.
    pub written_bytes: AtomicU64,
    /// Calls that read.
    pub reads: AtomicU64,
    /// Calls that wrote.
    pub writes: AtomicU64,
}

impl IoCounters {
    /// One call that read so many bytes.
    pub fn read(&self, bytes: u64) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// One call that wrote so many bytes.
    pub fn wrote(&self, bytes: u64) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Usage {
    /// Adds times; the larger resident set stays.
    pub fn add(&mut self, other: &Usage) {
        self.user_ns = self.user_ns.saturating_add(other.user_ns);
        self.system_ns = self.system_ns.saturating_add(other.system_ns);
        self.max_rss_kib = self.max_rss_kib.max(other.max_rss_kib);
        self.minor_faults = self.minor_faults.saturating_add(other.minor_faults);
        self.major_faults = self.major_faults.saturating_add(other.major_faults);
    }
}

#[derive(Default)]
pub(super) struct GroupUsage {
    /// Of threads that have ended.
    pub(super) dead: Usage,
    /// Of children that were waited for, and theirs.
    pub(super) children: Usage,
}

impl Task {
    /// Of this thread.
    pub fn usage(&self) -> Usage {
        let mm = self.mm();
        let rss = mm.as_ref().map_or(0, |mm| mm.aspace().usage().0);
        // Of the whole process: the platform does not tell threads apart.
        let (minor_faults, major_faults) = mm.map_or((0, 0), |mm| mm.aspace().faults());
        Usage {
            user_ns: self.cpu_ns(),
            system_ns: self.system_ns(),
            max_rss_kib: rss / 1024,
            minor_faults,
            major_faults,
        }
    }
}

impl ThreadGroup {
    /// Processor time of all threads as of now: the platform may know it while they run.
    pub fn cpu_time_ns(&self) -> u64 {
        let dead = self.usage.lock().dead;
        let threads = self.threads();
        let mut sum = dead.user_ns.saturating_add(dead.system_ns);
        for thread in &threads {
            sum = sum.saturating_add(thread.cpu_ns());
        }
        let running = threads
            .first()
            .and_then(|t| t.mm())
            .and_then(|mm| mm.aspace().cpu_time_ns());
        sum.max(running.unwrap_or(0))
    }

    /// Of all threads, those that ended included.
    pub fn usage(&self) -> Usage {
        let threads = self.threads();
        let mut sum = self.usage.lock().dead;
        for thread in &threads {
            sum.user_ns = sum.user_ns.saturating_add(thread.cpu_ns());
            sum.system_ns = sum.system_ns.saturating_add(thread.system_ns());
        }
        sum.user_ns = sum.user_ns.max(self.cpu_time_ns());
        if let Some(first) = threads.first() {
            let now = first.usage();
            sum.max_rss_kib = sum.max_rss_kib.max(now.max_rss_kib);
            sum.minor_faults = sum.minor_faults.max(now.minor_faults);
            sum.major_faults = sum.major_faults.max(now.major_faults);
        }
        sum
    }

    /// Of children that were waited for.
    pub fn children_usage(&self) -> Usage {
        self.usage.lock().children
    }
}
