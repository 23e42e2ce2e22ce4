//! `RLIMIT_CPU`: `SIGXCPU` each second beyond the soft limit, `SIGKILL` at the hard one.

use std::sync::{Arc, Weak};

use super::clock::{CpuKind, TimeSource};
use super::timer::{Setting, Target, Timer};
use crate::signal::{SigInfo, Signal};
use crate::task::{INFINITY, Resource, Task, ThreadGroup};

const SECOND: u64 = 1_000_000_000;

/// Looks at the limits whenever another second may be used up.
pub struct Watch {
    group: Weak<ThreadGroup>,
}

/// The timer of a process with a limit.
pub type CpuLimit = Timer<Watch>;

impl Target for Watch {
    fn expired(&self, _count: u64) {
        let Some(group) = self.group.upgrade() else { return };
        let used = group.cpu_time_ns() / SECOND;
        let limit = group.rlimit(Resource::Cpu);
        if limit.hard != INFINITY && used >= limit.hard {
            let _ = group.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
        } else if limit.soft != INFINITY && used >= limit.soft {
            let _ = group.send_signal(SigInfo::kernel(Signal::SIGXCPU));
        }
    }
}

/// Called when a process gets a new `RLIMIT_CPU`, by `setrlimit(2)` or from its parent.
pub fn rlimit_cpu_changed(task: &Task) {
    let limit = task.group.rlimit(Resource::Cpu);
    let group = Arc::downgrade(&task.group);
    let mut timers = task.group.timers.lock();
    let first = limit.soft.min(limit.hard);
    if first == INFINITY {
        if let Some(timer) = timers.cpu_limit.take() {
            drop(timers);
            timer.stop();
        }
        return;
    }
    let make = || {
        let source = TimeSource::Process(group.clone(), CpuKind::Prof);
        Timer::new(&task.kernel, source, Watch { group })
    };
    let timer = timers.cpu_limit.get_or_insert_with(make).clone();
    drop(timers);
    timer.set(Setting {
        at: Some(first.max(1).saturating_mul(SECOND)),
        interval: SECOND,
    });
}
