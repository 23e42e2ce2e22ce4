//! The waiting side: a task that sleeps on one queue or on several.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use abi::{Errno, Restart, SysError};
use smallvec::SmallVec;

use super::queue::{Events, WaitKey, WaitQueue};
use crate::executor::{Executor, TimerKey};
use crate::task::Task;

/// A point of `CLOCK_MONOTONIC` in nanoseconds; none waits for ever.
pub type Deadline = Option<u64>;

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// A signal, stop or kill wants the task's attention.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

impl Blocked {
    /// As the error of a call that restarts under `SA_RESTART` and gives `on_timeout` when late.
    pub fn or_restart(self, on_timeout: Errno) -> SysError {
        match self {
            Blocked::Interrupted => SysError::Restart(Restart::Sys),
            Blocked::TimedOut => SysError::Errno(on_timeout),
        }
    }

    /// As the error of a call that a handled signal always ends with `EINTR` (`signal(7)`).
    pub fn or_eintr(self, on_timeout: Errno) -> SysError {
        match self {
            Blocked::Interrupted => SysError::Restart(Restart::NoHand),
            Blocked::TimedOut => SysError::Errno(on_timeout),
        }
    }
}

/// One blocking call's registrations. Dropping it ends them all.
///
/// ```ignore
/// let mut b = Blocker::new(&cx.task, deadline);
/// loop {
///     match pipe.try_read(..) {
///         Err(Errno::EAGAIN) => b.wait_on(&pipe.queue, Events::READ).await?,
///         done => return done,
///     }
/// }
/// ```
pub struct Blocker {
    task: Arc<Task>,
    deadline: Deadline,
    fired: Arc<AtomicBool>,
    queues: SmallVec<[(Arc<WaitQueue>, WaitKey); 2]>,
    timer: Option<TimerKey>,
    exclusive: bool,
}

impl Blocker {
    /// Nothing registered yet.
    pub fn new(task: &Arc<Task>, deadline: Deadline) -> Blocker {
        Blocker {
            task: task.clone(),
            deadline,
            fired: Arc::new(AtomicBool::new(false)),
            queues: SmallVec::new(),
            timer: None,
            exclusive: false,
        }
    }

    /// Makes registrations exclusive: of several such waiters one wake-up reaches one (`accept(2)`, futexes).
    pub fn exclusive(mut self) -> Blocker {
        self.exclusive = true;
        self
    }

    /// Registers with one more queue.
    pub fn register(&mut self, queue: &Arc<WaitQueue>, events: Events) {
        let key = queue.register(events, self.exclusive, self.task.waker(), self.fired.clone());
        self.queues.push((queue.clone(), key));
    }

    /// Set by whoever ends the wait by other means than a queue (futexes); pair it with [`Blocker::waker`].
    pub fn fired(&self) -> Arc<AtomicBool> {
        self.fired.clone()
    }

    /// Wakes the waiting task.
    pub fn waker(&self) -> std::task::Waker {
        self.task.waker()
    }

    /// The first call registers and returns at once, so that the caller tries again with nothing to miss; later ones sleep.
    pub async fn wait_on(&mut self, queue: &Arc<WaitQueue>, events: Events) -> Result<(), Blocked> {
        if self.queues.is_empty() {
            self.register(queue, events);
            return Ok(());
        }
        self.sleep().await
    }

    /// Sleeps until a registered queue is woken. The caller has looked at the condition since it registered.
    pub async fn sleep(&mut self) -> Result<(), Blocked> {
        std::future::poll_fn(|_| {
            if self.fired.swap(false, Ordering::SeqCst) {
                return Poll::Ready(Ok(()));
            }
            if self.task.is_interrupted() {
                return Poll::Ready(Err(Blocked::Interrupted));
            }
            if let Some(at) = self.deadline {
                let executor = &self.task.kernel.executor;
                if Executor::now() >= at {
                    return Poll::Ready(Err(Blocked::TimedOut));
                }
                if self.timer.is_none() {
                    self.timer = Some(executor.wake_at(at, self.task.waker()));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        let spent = self.exclusive && self.fired.load(Ordering::SeqCst);
        for (queue, key) in self.queues.drain(..) {
            queue.remove(key);
            if spent {
                // A wake-up that this wait did not use is somebody else's.
                queue.wake(Events::all());
            }
        }
        if let Some(timer) = self.timer.take() {
            self.task.kernel.executor.cancel(timer);
        }
    }
}
