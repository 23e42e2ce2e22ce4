//! Resource usage (`getrusage(2)`).

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
}

impl Usage {
    /// Adds times; the larger resident set stays.
    pub fn add(&mut self, other: &Usage) {
        self.user_ns = self.user_ns.saturating_add(other.user_ns);
        self.system_ns = self.system_ns.saturating_add(other.system_ns);
        self.max_rss_kib = self.max_rss_kib.max(other.max_rss_kib);
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
        let rss = self.mm().map_or(0, |mm| mm.aspace().usage().0);
        Usage {
            user_ns: self.cpu_ns(),
            system_ns: 0,
            max_rss_kib: rss / 1024,
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
        }
        sum.user_ns = sum.user_ns.max(self.cpu_time_ns());
        if let Some(first) = threads.first() {
            sum.max_rss_kib = sum.max_rss_kib.max(first.usage().max_rss_kib);
        }
        sum
    }

    /// Of children that were waited for.
    pub fn children_usage(&self) -> Usage {
        self.usage.lock().children
    }
}
