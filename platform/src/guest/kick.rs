//! Interrupting a context without losing the wish.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::Interrupter;

const RUNNING: u8 = 1;
const WISH: u8 = 2;

/// A host thread that can be made to stop running guest code.
pub(crate) trait Target: Send + Sync + 'static {
    /// Sends the signal. The stop may come when nobody wishes it any more.
    fn interrupt(self: &Arc<Self>);
}

/// Shared by a context and those who interrupt it.
pub(crate) struct Kick<T> {
    state: AtomicU8,
    /// Changes at `execve`.
    thread: Mutex<Arc<T>>,
}

impl<T: Target> Kick<T> {
    pub(crate) fn new(thread: Arc<T>) -> Arc<Kick<T>> {
        Arc::new(Kick {
            state: AtomicU8::new(0),
            thread: Mutex::new(thread),
        })
    }

    /// Before guest code runs; false if it must not, the wish is consumed then.
    pub(crate) fn start(&self) -> bool {
        if self.state.fetch_or(RUNNING, Ordering::AcqRel) & WISH == 0 {
            return true;
        }
        self.state.store(0, Ordering::Release);
        false
    }

    /// Guest code has stopped by itself; a wish stays.
    pub(crate) fn stop(&self) {
        self.state.fetch_and(!RUNNING, Ordering::AcqRel);
    }

    /// Guest code was stopped by the signal; false if nobody wishes it any more.
    pub(crate) fn stop_interrupted(&self) -> bool {
        self.state.swap(0, Ordering::AcqRel) & WISH != 0
    }

    pub(crate) fn thread(&self) -> Arc<T> {
        Arc::clone(&*self.thread.lock())
    }

    pub(crate) fn follow(&self, thread: Arc<T>) {
        *self.thread.lock() = thread;
    }
}

impl<T: Target> Interrupter for Kick<T> {
    fn interrupt(&self) {
        // A signal without a wish, from a race lost here, is swallowed by the context.
        if self.state.fetch_or(WISH, Ordering::AcqRel) == RUNNING {
            self.thread().interrupt();
        }
    }
}
