//! Clocks by their number (`clock_gettime(2)`). Host clocks are passed through: the vDSO shows the same.

use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;
use rustix::time::{ClockId, clock_getres, clock_gettime};

use crate::task::{Task, ThreadGroup};

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "clock_gettime(2) documents each name")]
pub enum Clock {
    Realtime,
    Monotonic,
    ProcessCpu,
    ThreadCpu,
    MonotonicRaw,
    RealtimeCoarse,
    MonotonicCoarse,
    Boottime,
    RealtimeAlarm,
    BoottimeAlarm,
    Tai,
    /// Processor time of a process or thread by its id (`clock_getcpuclockid(3)`); 0 is the caller.
    CpuOf {
        id: i32,
        thread: bool,
        kind: CpuKind,
    },
}

/// Which processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuKind {
    /// User and system.
    Prof,
    /// User.
    Virt,
    /// As the scheduler counts.
    Sched,
}

impl Clock {
    /// None: no such clock (`EINVAL`).
    pub fn new(id: i32) -> Option<Clock> {
        Some(match id {
            0 => Clock::Realtime,
            1 => Clock::Monotonic,
            2 => Clock::ProcessCpu,
            3 => Clock::ThreadCpu,
            4 => Clock::MonotonicRaw,
            5 => Clock::RealtimeCoarse,
            6 => Clock::MonotonicCoarse,
            7 => Clock::Boottime,
            8 => Clock::RealtimeAlarm,
            9 => Clock::BoottimeAlarm,
            11 => Clock::Tai,
            id if id < 0 => {
                let kind = match id & 3 {
                    0 => CpuKind::Prof,
                    1 => CpuKind::Virt,
                    2 => CpuKind::Sched,
                    _ => return None,
                };
                Clock::CpuOf {
                    id: !(id >> 3),
                    thread: id & 4 != 0,
                    kind,
                }
            }
            _ => return None,
        })
    }

    fn host(self) -> Option<ClockId> {
        Some(match self {
            Clock::Realtime => ClockId::Realtime,
            Clock::Monotonic => ClockId::Monotonic,
            Clock::MonotonicRaw => ClockId::MonotonicRaw,
            Clock::RealtimeCoarse => ClockId::RealtimeCoarse,
            Clock::MonotonicCoarse => ClockId::MonotonicCoarse,
            Clock::Boottime | Clock::BoottimeAlarm => ClockId::Boottime,
            Clock::RealtimeAlarm => ClockId::Realtime,
            Clock::Tai => ClockId::Tai,
            Clock::ProcessCpu | Clock::ThreadCpu | Clock::CpuOf { .. } => return None,
        })
    }

    /// Timers and sleeps wake the machine.
    pub fn is_alarm(self) -> bool {
        matches!(self, Clock::RealtimeAlarm | Clock::BoottimeAlarm)
    }

    /// `timer_create(2)` takes it.
    pub fn has_timers(self) -> bool {
        !matches!(
            self,
            Clock::MonotonicRaw | Clock::RealtimeCoarse | Clock::MonotonicCoarse
        )
    }

    /// `clock_nanosleep(2)` takes it.
    pub fn has_sleep(self) -> bool {
        self.has_timers() && self != Clock::ThreadCpu
    }

    /// Bound to what it counts for, from the view of `task`. `EINVAL` if that process or thread does not exist.
    pub fn resolve(self, task: &Arc<Task>) -> Result<TimeSource> {
        if let Some(host) = self.host() {
            return Ok(TimeSource::Host(host));
        }
        let (id, thread, kind) = match self {
            Clock::CpuOf { id, thread, kind } => (id, thread, kind),
            Clock::ThreadCpu => (0, true, CpuKind::Sched),
            _ => (0, false, CpuKind::Sched),
        };
        let tasks = &task.kernel.tasks;
        if thread {
            let found = match id {
                0 => Some(task.clone()),
                _ => tasks
                    .task(task.pid_ns(), id)
                    .filter(|t| t.group.tgid == task.group.tgid),
            };
            let found = found.ok_or(Errno::EINVAL)?;
            return Ok(TimeSource::Thread(Arc::downgrade(&found), kind));
        }
        let found = match id {
            0 => Some(task.group.clone()),
            _ => tasks.process(task.pid_ns(), id),
        };
        Ok(TimeSource::Process(Arc::downgrade(&found.ok_or(Errno::EINVAL)?), kind))
    }

    /// Resolution in nanoseconds.
    pub fn resolution(self) -> u64 {
        self.host().map_or(1, |host| to_ns(clock_getres(host)))
    }
}

/// What a time is read from.
#[derive(Clone, Debug)]
pub enum TimeSource {
    /// A clock of the host.
    Host(ClockId),
    /// Processor time of a process.
    Process(Weak<ThreadGroup>, CpuKind),
    /// Processor time of a thread.
    Thread(Weak<Task>, CpuKind),
}

impl std::fmt::Debug for ThreadGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreadGroup({})", self.tgid)
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Task({})", self.tid)
    }
}

fn to_ns(ts: rustix::time::Timespec) -> u64 {
    let sec = u64::try_from(ts.tv_sec).unwrap_or(0);
    sec.saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(ts.tv_nsec).unwrap_or(0))
}

impl TimeSource {
    /// Nanoseconds now; none once the process or thread is gone.
    pub fn now(&self) -> Option<u64> {
        // Guest code's time is all user time: the Sentry works on its own account.
        match self {
            TimeSource::Host(id) => Some(to_ns(clock_gettime(*id))),
            TimeSource::Process(group, _) => Some(group.upgrade()?.cpu_time_ns()),
            TimeSource::Thread(task, _) => Some(task.upgrade()?.cpu_ns()),
        }
    }

    /// Advances only while guest code runs.
    pub fn is_cpu(&self) -> bool {
        !matches!(self, TimeSource::Host(_))
    }

    /// Makes running threads show how far they are by the next look.
    pub fn refresh(&self) {
        match self {
            TimeSource::Host(_) => {}
            TimeSource::Process(group, _) => {
                for task in group.upgrade().map(|g| g.threads()).unwrap_or_default() {
                    task.interrupt();
                }
            }
            TimeSource::Thread(task, _) => {
                if let Some(task) = task.upgrade() {
                    task.interrupt();
                }
            }
        }
    }
}

/// `CLOCK_REALTIME` in nanoseconds.
pub fn realtime_now() -> u64 {
    to_ns(clock_gettime(ClockId::Realtime))
}

/// `CLOCK_BOOTTIME` in nanoseconds.
pub fn boottime_now() -> u64 {
    to_ns(clock_gettime(ClockId::Boottime))
}

#[cfg(test)]
mod tests {
    use super::{Clock, CpuKind};

    #[test]
    fn negative_numbers_name_processes_and_threads() {
        // MAKE_PROCESS_CPUCLOCK(100, CPUCLOCK_SCHED), MAKE_THREAD_CPUCLOCK(7, CPUCLOCK_VIRT)
        let process = (!100 << 3) | 2;
        let thread = (!7 << 3) | 4 | 1;
        let cpu = |id, thread, kind| Some(Clock::CpuOf { id, thread, kind });
        assert_eq!(Clock::new(process), cpu(100, false, CpuKind::Sched));
        assert_eq!(Clock::new(thread), cpu(7, true, CpuKind::Virt));
        assert_eq!(Clock::new((!3 << 3) | 3), None);
        assert_eq!(Clock::new(10), None);
        assert_eq!(Clock::new(12), None);
    }
}
