//! Sleeping in ways that ordinary signals do not end.

use std::task::Poll;

use super::Task;

/// The task was killed while it slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

impl Task {
    /// Sleeps until `done` gives a value or the task is killed. Whoever makes `done` true wakes the task ([`Task::interrupt`]
    /// does), or the object's queue does where the caller has registered the task's waker.
    pub async fn park<T>(&self, mut done: impl FnMut() -> Option<T>) -> Result<T, Killed> {
        std::future::poll_fn(|_| {
            if let Some(value) = done() {
                Poll::Ready(Ok(value))
            } else if self.is_killed() {
                Poll::Ready(Err(Killed))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}
