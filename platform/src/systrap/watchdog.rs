//! Guest threads that do not follow an interrupt.
//!
//! Guest code can forge a signal frame that blocks the interrupt signal, and then run on without a call. Such a thread could
//! not be stopped, nor its task be killed. Honest threads answer in microseconds, or as soon as they get a core again: a process
//! that burns seconds of processor time with an interrupt pending is ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::thread::Thread;
use crate::host::vm;

/// First look.
const PATIENCE: Duration = Duration::from_secs(2);
/// Processor time that an honest process cannot use between the signal and its handler.
const LIMIT_NS: u64 = 3_000_000_000;

/// Interrupts that were sent.
#[derive(Default)]
pub(super) struct Watchdog {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    expected: Vec<Expected>,
    ended: bool,
}

struct Expected {
    thread: Arc<Thread>,
    bells: u64,
    since: Instant,
    /// Processor time of the process at the first look.
    cpu_ns: Option<u64>,
}

impl Watchdog {
    /// A thread was sent the signal.
    pub(super) fn expect(&self, thread: &Arc<Thread>) {
        let bells = thread.bells();
        let mut inner = self.inner.lock();
        // One entry per thread and hand-over is enough.
        if inner.expected.len() > 64 {
            inner.expected.retain(|e| !e.thread.responded(e.bells));
        }
        if inner
            .expected
            .iter()
            .any(|e| e.bells == bells && Arc::ptr_eq(&e.thread, thread))
        {
            return;
        }
        inner.expected.push(Expected {
            thread: Arc::clone(thread),
            bells,
            since: Instant::now(),
            cpu_ns: None,
        });
        // It sleeps for long unless there is something to look at.
        if inner.expected.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// The platform is closed.
    pub(super) fn end(&self) {
        self.inner.lock().ended = true;
        self.changed.notify_one();
    }

    /// The watchdog's own thread.
    pub(super) fn run(&self) {
        let mut inner = self.inner.lock();
        while !inner.ended {
            if inner.expected.is_empty() {
                self.changed.wait(&mut inner);
            } else {
                self.changed.wait_for(&mut inner, PATIENCE);
                inner.expected.retain_mut(|e| !e.thread.responded(e.bells) && e.bears());
            }
        }
    }
}

impl Expected {
    /// Whether to go on waiting; else the process was ended.
    fn bears(&mut self) -> bool {
        if self.since.elapsed() < PATIENCE {
            return true;
        }
        let Some(now) = self.thread.process.host.with_alive(vm::process_cpu_ns) else {
            return false;
        };
        let first = *self.cpu_ns.get_or_insert(now);
        if now.saturating_sub(first) < LIMIT_NS {
            return true;
        }
        self.thread.process.host.kill();
        false
    }
}
