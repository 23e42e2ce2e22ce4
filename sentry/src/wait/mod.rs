//! Blocking, written once: queues that objects wake, and the wait that tasks do on them.
//!
//! The shape of every blocking call: try; on `EAGAIN` register; try again; sleep until woken, timed out or interrupted by a
//! signal; try again. [`Blocker`] carries it, so that `EINTR`, time-outs and lost wake-ups have one home.

mod blocker;
mod internal;
mod queue;

pub use blocker::{Blocked, Blocker, Deadline};
pub use internal::{Bell, InternalWait};
pub use queue::{Events, Listener, WaitKey, WaitQueue};

/// Lets other tasks run once.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Sleeps until that point of `CLOCK_MONOTONIC`, as work of the kernel's own that no signal ends.
pub async fn sleep_until(executor: &crate::executor::Executor, at: u64) {
    let mut armed = false;
    std::future::poll_fn(|cx| {
        if crate::executor::Executor::now() >= at {
            return std::task::Poll::Ready(());
        }
        if !std::mem::replace(&mut armed, true) {
            executor.wake_at(at, cx.waker().clone());
        }
        std::task::Poll::Pending
    })
    .await;
}
