//! Interrupting a context without losing the wish.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use super::thread::Thread;
use crate::Interrupter;

const RUNNING: u8 = 1;
const WISH: u8 = 2;

/// Shared by a context and those who interrupt it.
pub(super) struct Kick {
    state: AtomicU8,
    /// Changes at `execve`.
    thread: Mutex<Arc<Thread>>,
}

impl Kick {
    pub(super) fn new(thread: Arc<Thread>) -> Arc<Kick> {
        Arc::new(Kick {
            state: AtomicU8::new(0),
            thread: Mutex::new(thread),
        })
    }

    /// Before guest code runs; false if it must not, the wish is consumed then.
    pub(super) fn start(&self) -> bool {
        if self.state.fetch_or(RUNNING, Ordering::AcqRel) & WISH == 0 {
            return true;
        }
        self.state.store(0, Ordering::Release);
        false
    }

    /// Guest code has stopped by itself; a wish stays.
    pub(super) fn stop(&self) {
        self.state.fetch_and(!RUNNING, Ordering::AcqRel);
    }

    /// Guest code was stopped by the signal; false if nobody wishes it any more.
    pub(super) fn stop_interrupted(&self) -> bool {
        self.state.swap(0, Ordering::AcqRel) & WISH != 0
    }

    pub(super) fn follow(&self, thread: Arc<Thread>) {
        *self.thread.lock() = thread;
    }
}

impl Interrupter for Kick {
    fn interrupt(&self) {
        // A signal without a wish, from a race lost here, is swallowed by the context.
        if self.state.fetch_or(WISH, Ordering::AcqRel) == RUNNING {
            let thread = Arc::clone(&*self.thread.lock());
            thread.interrupt();
        }
    }
}
