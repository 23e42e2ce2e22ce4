//! Clocks and timers.

/// Interval and POSIX timers of a process.
#[derive(Default)]
pub struct ProcessTimers {}
