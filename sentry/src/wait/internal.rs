//! Waiting on a queue from a future of the Sentry's own, which is no guest task and takes no signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use super::queue::{Events, Listener, WaitKey, WaitQueue};
use crate::sync::Mutex;

#[derive(Default)]
struct Shared {
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Listener for Shared {
    fn notify(&self, _events: Events) {
        self.fired.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

/// A standing registration with one queue.
pub struct InternalWait {
    queue: Arc<WaitQueue>,
    key: WaitKey,
    shared: Arc<Shared>,
}

impl InternalWait {
    /// Registers for every event. Look at the condition after this and after each [`InternalWait::changed`].
    pub fn new(queue: &Arc<WaitQueue>) -> InternalWait {
        let shared: Arc<Shared> = Arc::default();
        let key = queue.listen(Events::all(), shared.clone());
        InternalWait {
            queue: queue.clone(),
            key,
            shared,
        }
    }

    /// Returns once the queue was woken since the last return.
    pub async fn changed(&self) {
        std::future::poll_fn(|cx| {
            if self.shared.fired.swap(false, Ordering::SeqCst) {
                return Poll::Ready(());
            }
            *self.shared.waker.lock() = Some(cx.waker().clone());
            if self.shared.fired.swap(false, Ordering::SeqCst) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Drop for InternalWait {
    fn drop(&mut self) {
        self.queue.remove(self.key);
    }
}
