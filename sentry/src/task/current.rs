//! The task on whose behalf this thread works, like Linux's `current`.
//!
//! Files whose contents depend on the reader or whose writes depend on the writer's credentials (`/proc`) ask for it: the
//! file interface does not carry it. Set while a task's future is polled; never survives an `.await` of somebody else.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use super::Task;
use crate::executor::Executor;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Task>>> = const { RefCell::new(None) };
}

/// The task being polled on this thread; none in work of the kernel's own.
pub fn current() -> Option<Arc<Task>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Polls `future` as the work of `task`.
pub(super) async fn as_current(task: Arc<Task>, future: impl Future<Output = ()> + Send) {
    let mut future = Box::pin(future);
    let mut slot = Some(task);
    std::future::poll_fn(move |cx| {
        // Two exchanges of a pointer, no reference counting.
        CURRENT.with_borrow_mut(|c| std::mem::swap(c, &mut slot));
        let began = Executor::now();
        let result = future.as_mut().poll(cx);
        let worked = Executor::now().saturating_sub(began);
        CURRENT.with_borrow_mut(|c| std::mem::swap(c, &mut slot));
        if let Some(task) = &slot {
            task.add_system_ns(worked);
        }
        result
    })
    .await;
}
