//! Timers of the executor: an ordered map and one host timerfd that is set to the earliest.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use abi::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

use crate::sync::Mutex;
use crate::wait::{Events, Listener};

/// Names a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    at: u64,
    id: u64,
}

pub(super) enum Action {
    Wake(Waker),
    Notify(Arc<dyn Listener>),
}

#[derive(Default)]
struct State {
    pending: BTreeMap<TimerKey, Action>,
    next_id: u64,
    armed: Option<u64>,
}

pub(super) struct Timers {
    state: Mutex<State>,
    pub(super) fd: OwnedFd,
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(super) fn now() -> u64 {
    let ts = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(ts.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(ts.tv_nsec).unwrap_or(0))
}

impl Timers {
    pub(super) fn new() -> abi::errno::Result<Timers> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|e| Errno::from_raw(e.raw_os_error()))?;
        Ok(Timers {
            state: Mutex::new(State::default()),
            fd,
        })
    }

    fn arm(&self, state: &mut State) {
        let first = state.pending.keys().next().map(|k| k.at);
        // A later wake-up than needed is wrong, an earlier one only idle: rearm when it moves forward or away.
        if first == state.armed || (first.is_none() && state.armed.is_none()) {
            return;
        }
        if let (Some(first), Some(armed)) = (first, state.armed)
            && armed < first
        {
            return;
        }
        let at = first.unwrap_or(0);
        let it_value = Timespec {
            tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0),
        };
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value,
        };
        if timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec).is_ok() {
            state.armed = first;
        }
    }

    pub(super) fn add(&self, at: u64, action: Action) -> TimerKey {
        // Zero would disarm the timerfd.
        let at = at.max(1);
        let mut state = self.state.lock();
        let key = TimerKey { at, id: state.next_id };
        state.next_id += 1;
        state.pending.insert(key, action);
        self.arm(&mut state);
        key
    }

    pub(super) fn cancel(&self, key: TimerKey) {
        self.state.lock().pending.remove(&key);
    }

    /// Carries out what is due.
    pub(super) fn fire(&self) {
        let now = now();
        let mut due = Vec::new();
        let mut state = self.state.lock();
        state.armed = None;
        while let Some(entry) = state.pending.first_entry() {
            if entry.key().at > now {
                break;
            }
            due.push(entry.remove());
        }
        self.arm(&mut state);
        drop(state);
        for action in due {
            match action {
                Action::Wake(waker) => waker.wake(),
                Action::Notify(listener) => listener.notify(Events::IN),
            }
        }
    }
}
