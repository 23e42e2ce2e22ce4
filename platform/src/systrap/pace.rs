//! When to look for a request instead of sleeping until the doorbell.
//!
//! A doorbell costs two switches; where a second core is free, a guest thread that makes one call after the other is served
//! without any. It pays for one thread that has the sandbox to itself. With several, the core that spins is the core that
//! one of them lacks, and the doorbell hands it over better.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::thread::Thread;

/// Calls in a row by one thread, with nobody else's between them, after which it is watched.
const STREAK: u32 = 6;
/// The longest row that is asked for, after watching in vain again and again.
const STREAK_MAX: u32 = 4096;
/// How long the leader watches. About two doorbells: no wrong guess costs much more than the right one.
const WATCH: Duration = Duration::from_micros(20);
/// Turns of the stub's wait loop: about as long.
const STUB_TURNS: u32 = 250;

/// Follows who calls.
pub(super) struct Pace {
    /// There is a core to spare.
    possible: bool,
    state: Mutex<State>,
}

struct State {
    /// Whose call came last; only compared, never followed.
    last: usize,
    streak: u32,
    /// The row that is asked for.
    need: u32,
    /// Whom to watch.
    watched: Option<Arc<Thread>>,
}

impl Pace {
    pub(super) fn new() -> Pace {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let state = State {
            last: 0,
            streak: 0,
            need: STREAK,
            watched: None,
        };
        Pace {
            possible: cores > 1,
            state: Mutex::new(state),
        }
    }

    /// A thread has called.
    pub(super) fn called(&self, thread: &Thread) {
        if !self.possible {
            return;
        }
        let mut state = self.state.lock();
        let this = std::ptr::from_ref(thread).addr();
        if state.last == this {
            state.streak = state.streak.saturating_add(1);
        } else {
            (state.last, state.streak, state.watched) = (this, 0, None);
        }
    }

    /// A thread is let go on: how many turns it shall wait for the answer to its next call before it rings.
    pub(super) fn turns(&self, thread: &Arc<Thread>) -> u32 {
        if !self.possible {
            return 0;
        }
        let mut state = self.state.lock();
        if state.last == Arc::as_ptr(thread).addr() && state.streak >= state.need {
            state.watched = Some(Arc::clone(thread));
            return STUB_TURNS;
        }
        0
    }

    /// Looks for the next call of the watched thread, if there is one; true if it came. Ends early when `stop` says so.
    pub(super) fn watch(&self, stop: impl Fn() -> bool) -> bool {
        let Some(thread) = self.state.lock().watched.take() else {
            return false;
        };
        let end = Instant::now() + WATCH;
        loop {
            for _ in 0..16 {
                if thread.has_called() {
                    self.succeeded();
                    return thread.spotted();
                }
                std::hint::spin_loop();
            }
            if stop() {
                return false;
            }
            if Instant::now() > end {
                self.failed();
                return false;
            }
        }
    }

    fn succeeded(&self) {
        let mut state = self.state.lock();
        state.need = (state.need / 2).max(STREAK);
    }

    fn failed(&self) {
        let mut state = self.state.lock();
        state.need = state.need.saturating_mul(2).min(STREAK_MAX);
        state.streak = 0;
    }
}
