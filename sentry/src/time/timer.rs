//! A timer on any clock: once or with a period, counting what it missed. Interval timers, POSIX timers and timerfds are
//! targets of it.

use std::sync::{Arc, Weak};

use crate::executor::{Executor, TimerKey};
use crate::sync::Mutex;
use crate::wait::{Events, Listener};

use super::clock::TimeSource;

/// Shortest time between two looks at a periodic timer; what was missed is counted.
const MIN_PERIOD_NS: u64 = 50_000;
/// Looks at processor-time timers, like a 250 Hz tick, and the longest pause between two while the process sleeps.
const TICK_NS: u64 = 4_000_000;
const IDLE_TICK_NS: u64 = 500_000_000;

/// What expires.
pub trait Target: Send + Sync + 'static {
    /// The timer has expired `count` times (at least once) since the last call. No lock of the timer is held.
    fn expired(&self, count: u64);
}

/// When a timer expires, on its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Next expiration; none: disarmed.
    pub at: Option<u64>,
    /// Period; 0 for once.
    pub interval: u64,
}

#[derive(Default)]
struct State {
    setting: Setting,
    key: Option<TimerKey>,
    /// Processor-time clocks: when last looked at, and how long the pause is.
    seen: u64,
    pause: u64,
}

/// A timer.
pub struct Timer<T: Target> {
    me: Weak<Timer<T>>,
    executor: Arc<Executor>,
    source: TimeSource,
    cpus: u64,
    state: Mutex<State>,
    /// Told of expirations.
    pub target: T,
}

impl<T: Target> Timer<T> {
    /// Disarmed.
    pub fn new(kernel: &crate::kernel::Kernel, source: TimeSource, target: T) -> Arc<Timer<T>> {
        Arc::new_cyclic(|me| Timer {
            me: me.clone(),
            executor: kernel.executor.clone(),
            source,
            cpus: u64::from(kernel.config.cpus.max(1)),
            state: Mutex::default(),
            target,
        })
    }

    /// The clock now; where its process is gone, the end of time.
    pub fn now(&self) -> u64 {
        self.source.now().unwrap_or(u64::MAX)
    }

    /// Its clock.
    pub fn source(&self) -> &TimeSource {
        &self.source
    }

    /// Sets or disarms it; gives the time that was left, with the period.
    pub fn set(&self, setting: Setting) -> (u64, u64) {
        let now = self.now();
        let mut state = self.state.lock();
        let old = left(&state.setting, now);
        state.setting = setting;
        state.pause = 0;
        self.arm(&mut state, now);
        drop(state);
        // What lies in the past expires before the call returns.
        self.look();
        old
    }

    /// Time left (0: disarmed) and the period.
    pub fn get(&self) -> (u64, u64) {
        left(&self.state.lock().setting, self.now())
    }

    /// Number of its clock.
    pub fn clock(&self) -> i32 {
        match &self.source {
            TimeSource::Host(id) => *id as i32,
            TimeSource::Process(..) => 2,
            TimeSource::Thread(..) => 3,
        }
    }

    /// Disarms it.
    pub fn stop(&self) {
        self.set(Setting::default());
    }

    /// Tells the target of what is due.
    pub fn look(&self) {
        let count = self.take_due(false);
        if count > 0 {
            self.target.expired(count);
        }
    }

    /// How often it has expired since the last look, which this is then; the caller tells. With `periodic`, only if it has a period.
    pub(super) fn take_due(&self, periodic: bool) -> u64 {
        let now = self.now();
        let mut state = self.state.lock();
        let Some(at) = state.setting.at.filter(|&at| at <= now) else {
            return 0;
        };
        if periodic && state.setting.interval == 0 {
            return 0;
        }
        let count = match (now - at).checked_div(state.setting.interval) {
            None => {
                state.setting.at = None;
                1
            }
            Some(missed) => {
                let next = (missed + 1).saturating_mul(state.setting.interval).saturating_add(at);
                state.setting.at = Some(next);
                missed + 1
            }
        };
        self.arm(&mut state, now);
        count
    }

    /// Asks the executor for the next look.
    fn arm(&self, state: &mut State, now: u64) {
        if let Some(key) = state.key.take() {
            self.executor.cancel(key);
        }
        let (Some(at), Some(me)) = (state.setting.at, self.me.upgrade()) else {
            return;
        };
        let left = at.saturating_sub(now);
        let wait = if self.source.is_cpu() {
            if self.source.now().is_none() {
                return;
            }
            // Several processors may work for the process. While none does, look ever more rarely.
            let idle = state.seen == now;
            state.seen = now;
            state.pause = if idle {
                (state.pause * 2).clamp(TICK_NS, IDLE_TICK_NS)
            } else {
                TICK_NS
            };
            (left / self.cpus).max(state.pause)
        } else if state.setting.interval > 0 {
            left.max(MIN_PERIOD_NS.min(state.setting.interval))
        } else {
            left
        };
        state.key = Some(self.executor.notify_at(Executor::now().saturating_add(wait), me));
    }
}

fn left(setting: &Setting, now: u64) -> (u64, u64) {
    // An armed timer never shows zero, which would mean disarmed.
    let left = setting.at.map_or(0, |at| at.saturating_sub(now).max(1));
    (left, setting.interval)
}

impl<T: Target> Listener for Timer<T> {
    fn notify(&self, _events: Events) {
        let now = self.now();
        let mut state = self.state.lock();
        state.key = None;
        if state.setting.at.is_some_and(|at| at > now) {
            self.source.refresh();
            self.arm(&mut state, now);
            return;
        }
        drop(state);
        self.look();
    }
}
