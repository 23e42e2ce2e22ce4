//! Waiting for a host fd from a future of the Sentry's own (control connections, consoles), which is no guest task.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use super::{Executor, FdEvents, FdKey};
use crate::sync::Mutex;
use crate::wait::{Events, Listener};

#[derive(Default)]
struct Signal {
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Listener for Signal {
    fn notify(&self, _events: Events) {
        self.fired.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

/// A host fd with its readiness. The fd itself may be blocking: callers use `MSG_DONTWAIT` or know it to be ready.
pub struct HostFd {
    fd: Arc<OwnedFd>,
    executor: Arc<Executor>,
    signal: Arc<Signal>,
    key: Option<FdKey>,
}

impl HostFd {
    /// Watches an fd for these events. A regular file is always ready.
    pub fn new(executor: &Arc<Executor>, fd: Arc<OwnedFd>, events: FdEvents) -> HostFd {
        let signal: Arc<Signal> = Arc::default();
        let key = executor.watch_fd(fd.as_fd(), events, signal.clone()).ok();
        // The first look is the caller's.
        HostFd {
            fd,
            executor: executor.clone(),
            signal,
            key,
        }
    }

    /// The fd.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Returns after something has changed since the last return. The caller has found the fd not ready.
    pub async fn changed(&self) {
        std::future::poll_fn(|cx| {
            if self.key.is_none() || self.signal.fired.swap(false, Ordering::SeqCst) {
                return Poll::Ready(());
            }
            *self.signal.waker.lock() = Some(cx.waker().clone());
            if self.signal.fired.swap(false, Ordering::SeqCst) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Drop for HostFd {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.executor.unwatch_fd(self.fd.as_fd(), key);
        }
    }
}
