//! Waiting for a host fd from a future of the Sentry's own (control connections, consoles), which is no guest task.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::{Executor, FdEvents, FdKey};
use crate::wait::Bell;

/// A host fd with its readiness. The fd itself may be blocking: callers use `MSG_DONTWAIT` or know it to be ready.
pub struct HostFd {
    fd: Arc<OwnedFd>,
    executor: Arc<Executor>,
    bell: Arc<Bell>,
    key: Option<FdKey>,
}

impl HostFd {
    /// Watches an fd for these events. A regular file is always ready.
    pub fn new(executor: &Arc<Executor>, fd: Arc<OwnedFd>, events: FdEvents) -> HostFd {
        let bell: Arc<Bell> = Arc::default();
        let key = executor.watch_fd(fd.as_fd(), events, bell.clone()).ok();
        // The first look is the caller's.
        HostFd {
            fd,
            executor: executor.clone(),
            bell,
            key,
        }
    }

    /// The fd.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Returns after something has changed since the last return. The caller has found the fd not ready.
    pub async fn changed(&self) {
        if self.key.is_some() {
            self.bell.rung().await;
        }
    }
}

impl Drop for HostFd {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.executor.unwatch_fd(self.fd.as_fd(), key);
        }
    }
}
