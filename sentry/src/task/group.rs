//! Thread groups: processes.

use super::rlimit::{Resource, Rlimit, Rlimits};
use crate::signal::{PendingSignals, SigHandlers};
use crate::sync::Mutex;

/// A process, like `struct signal_struct` with its `sighand_struct`.
pub struct ThreadGroup {
    /// Process id in the first pid namespace.
    pub tgid: i32,
    /// Sent to the process.
    pub pending: Mutex<PendingSignals>,
    /// What it does with signals.
    pub handlers: Mutex<SigHandlers>,
    /// Interval and POSIX timers.
    pub timers: Mutex<crate::time::ProcessTimers>,
    rlimits: Mutex<Rlimits>,
}

impl ThreadGroup {
    /// All limits.
    pub fn rlimits(&self) -> Rlimits {
        self.rlimits.lock().clone()
    }

    /// A limit (`getrlimit(2)`).
    pub fn rlimit(&self, resource: Resource) -> Rlimit {
        self.rlimits.lock().get(resource)
    }
}
