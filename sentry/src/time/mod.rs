//! Clocks and timers (`time(7)`).

pub mod clock;
mod cpu_limit;
pub mod itimer;
mod namespace;
pub mod posix;
pub mod timer;
pub mod timerfd;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::task::ThreadGroup;

pub use cpu_limit::rlimit_cpu_changed;
pub use namespace::{Offset, Shifted, TimeNamespace};

/// Interval and POSIX timers of a process. A fork starts with none.
#[derive(Default)]
pub struct ProcessTimers {
    itimers: [Option<Arc<itimer::Itimer>>; 3],
    posix: BTreeMap<i32, Arc<posix::PosixTimer>>,
    next_id: i32,
    cpu_limit: Option<Arc<cpu_limit::CpuLimit>>,
}

/// `execve(2)`: POSIX timers go, interval timers stay.
pub fn exec_process(group: &ThreadGroup) {
    let gone = std::mem::take(&mut group.timers.lock().posix);
    for timer in gone.values() {
        timer.stop();
    }
}

/// The process has ended: nothing fires any more.
pub fn exit_process(group: &ThreadGroup) {
    let timers = std::mem::take(&mut *group.timers.lock());
    for timer in timers.posix.values() {
        timer.stop();
    }
    for timer in timers.itimers.iter().flatten() {
        timer.stop();
    }
    if let Some(limit) = timers.cpu_limit {
        limit.stop();
    }
}
