//! POSIX timers (`timer_create(2)`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::clock::TimeSource;
use super::timer::{Target, Timer};
use crate::signal::info::{Detail, code};
use crate::signal::{SigInfo, Signal};
use crate::task::{Task, ThreadGroup};

/// Whom an expiration is told.
pub enum Notify {
    /// `SIGEV_NONE`
    Nobody,
    /// `SIGEV_SIGNAL`, `SIGEV_THREAD`
    Process(Signal),
    /// `SIGEV_THREAD_ID`
    Thread(Signal, Weak<Task>),
}

/// A timer's way of telling.
pub struct Event {
    id: i32,
    group: Weak<ThreadGroup>,
    notify: Notify,
    value: u64,
    /// Of the signal taken last.
    overrun: AtomicU64,
}

/// A timer with an id.
pub type PosixTimer = Timer<Event>;

impl Target for Event {
    fn expired(&self, count: u64) {
        let Some(group) = self.group.upgrade() else { return };
        let task = match &self.notify {
            Notify::Nobody => return,
            Notify::Process(_) => None,
            Notify::Thread(_, task) => match task.upgrade() {
                Some(task) => Some(task),
                None => return,
            },
        };
        // One signal of a timer is pending at most; further expirations count up in it.
        let pending = match &task {
            Some(task) => task.signals.lock().pending.add_overrun(self.id, count),
            None => group.pending.lock().add_overrun(self.id, count),
        };
        if pending {
            return;
        }
        let (Notify::Process(signal) | Notify::Thread(signal, _)) = &self.notify else {
            return;
        };
        let info = SigInfo {
            signal: *signal,
            errno: 0,
            code: code::SI_TIMER,
            detail: Detail::Timer {
                id: self.id,
                overrun: number(count - 1),
                value: self.value,
            },
        };
        let _ = match task {
            Some(task) => task.send_signal(info),
            None => group.send_signal(info),
        };
    }
}

impl Event {
    /// `timer_getoverrun(2)`
    pub fn overrun(&self) -> u64 {
        self.overrun.load(Ordering::Relaxed)
    }

    /// It is set anew: there is no last signal.
    pub fn reset(&self) {
        self.overrun.store(0, Ordering::Relaxed);
    }
}

/// As `si_overrun` has it, `DELAYTIMER_MAX` at most.
fn number(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A signal was taken from its queue. If a timer sent it, what has expired until now are its overruns too, and these are what
/// `timer_getoverrun(2)` gives until the next one is taken.
pub fn signal_taken(group: &ThreadGroup, info: &mut SigInfo) {
    let Detail::Timer { id, overrun, .. } = &mut info.detail else {
        return;
    };
    let Some(timer) = group.timers.lock().posix.get(id).cloned() else {
        return;
    };
    *overrun = overrun.saturating_add(number(timer.take_due(true)));
    let count = u64::from(overrun.unsigned_abs());
    timer.target.overrun.store(count, Ordering::Relaxed);
}

/// Makes a timer; gives its id. `value` is taken from the id where none is given.
pub fn create(task: &Task, source: TimeSource, notify: Notify, value: Option<u64>) -> Result<i32> {
    let group = Arc::downgrade(&task.group);
    let limit = task.rlimit(crate::task::Resource::Sigpending).soft;
    let mut timers = task.group.timers.lock();
    if abi::conv::usize64(timers.posix.len()) >= limit {
        return Err(Errno::EAGAIN);
    }
    let mut id = timers.next_id;
    while timers.posix.contains_key(&id) {
        id = id.checked_add(1).unwrap_or(0);
    }
    timers.next_id = id.checked_add(1).unwrap_or(0);
    let event = Event {
        id,
        group,
        notify,
        value: value.unwrap_or(u64::from(id.cast_unsigned())),
        overrun: AtomicU64::new(0),
    };
    timers.posix.insert(id, Timer::new(&task.kernel, source, event));
    Ok(id)
}

/// The timer with that id. `EINVAL` if there is none.
pub fn get(task: &Task, id: i32) -> Result<Arc<PosixTimer>> {
    task.group.timers.lock().posix.get(&id).cloned().ok_or(Errno::EINVAL)
}

/// `/proc/PID/timers`
pub fn show(task: &Task) -> String {
    let timers: Vec<Arc<PosixTimer>> = task.group.timers.lock().posix.values().cloned().collect();
    let show = |timer: &Arc<PosixTimer>| {
        let event = &timer.target;
        let (signal, how, id) = match &event.notify {
            Notify::Nobody => (0, "none/pid", task.group.tgid),
            Notify::Process(signal) => (signal.number(), "signal/pid", task.group.tgid),
            Notify::Thread(signal, task) => (signal.number(), "signal/tid", task.upgrade().map_or(0, |t| t.tid)),
        };
        let clock = timer.clock();
        format!(
            "ID: {}\nsignal: {signal}/{:016x}\nnotify: {how}.{id}\nClockID: {clock}\n",
            event.id, event.value
        )
    };
    timers.iter().map(show).collect()
}

/// `timer_delete(2)`
pub fn delete(task: &Task, id: i32) -> Result<()> {
    let timer = task.group.timers.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
    timer.stop();
    Ok(())
}
