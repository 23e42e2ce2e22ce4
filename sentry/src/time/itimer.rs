//! Interval timers (`setitimer(2)`, `alarm(2)`).

use std::sync::{Arc, Weak};

use rustix::time::ClockId;

use super::clock::{CpuKind, TimeSource};
use super::timer::{Target, Timer};
use crate::signal::{SigInfo, Signal};
use crate::task::{Task, ThreadGroup};

/// `ITIMER_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Wall time: `SIGALRM`.
    Real = 0,
    /// User time: `SIGVTALRM`.
    Virtual = 1,
    /// User and system time: `SIGPROF`.
    Prof = 2,
}

impl Which {
    /// None: `EINVAL`.
    pub fn new(n: i32) -> Option<Which> {
        Some(match n {
            0 => Which::Real,
            1 => Which::Virtual,
            2 => Which::Prof,
            _ => return None,
        })
    }
}

/// Sends the timer's signal.
pub struct Alarm {
    group: Weak<ThreadGroup>,
    signal: Signal,
}

/// One of the three.
pub type Itimer = Timer<Alarm>;

impl Target for Alarm {
    fn expired(&self, _count: u64) {
        if let Some(group) = self.group.upgrade() {
            let _ = group.send_signal(SigInfo::kernel(self.signal));
        }
    }
}

/// The timer of the task's process, made when first used.
pub fn of(task: &Task, which: Which) -> Arc<Itimer> {
    let group = Arc::downgrade(&task.group);
    let mut timers = task.group.timers.lock();
    let make = || {
        let (source, signal) = match which {
            Which::Real => (TimeSource::Host(ClockId::Monotonic), Signal::SIGALRM),
            Which::Virtual => (TimeSource::Process(group.clone(), CpuKind::Virt), Signal::SIGVTALRM),
            Which::Prof => (TimeSource::Process(group.clone(), CpuKind::Prof), Signal::SIGPROF),
        };
        Timer::new(&task.kernel, source, Alarm { group, signal })
    };
    match timers.itimers.get_mut(which as usize) {
        Some(slot) => slot.get_or_insert_with(make).clone(),
        None => make(),
    }
}
