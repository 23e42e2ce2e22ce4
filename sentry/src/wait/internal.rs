//! Waiting on a queue from a future of the Sentry's own, which is no guest task and takes no signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use super::queue::{Events, Listener, WaitKey, WaitQueue};
use crate::sync::Mutex;

/// A listener that one future awaits.
#[derive(Default)]
pub struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// Returns once it was rung since the last return.
    pub async fn rung(&self) {
        std::future::poll_fn(|cx| {
            if self.rung.swap(false, Ordering::SeqCst) {
                return Poll::Ready(());
            }
            *self.waker.lock() = Some(cx.waker().clone());
            // Between the look and the waker.
            if self.rung.swap(false, Ordering::SeqCst) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Listener for Bell {
    fn notify(&self, _events: Events) {
        self.rung.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

/// A standing registration with one queue.
pub struct InternalWait {
    queue: Arc<WaitQueue>,
    key: WaitKey,
    bell: Arc<Bell>,
}

impl InternalWait {
    /// Registers for every event. Look at the condition after this and after each [`InternalWait::changed`].
    pub fn new(queue: &Arc<WaitQueue>) -> InternalWait {
        let bell: Arc<Bell> = Arc::default();
        let key = queue.listen(Events::all(), bell.clone());
        InternalWait {
            queue: queue.clone(),
            key,
            bell,
        }
    }

    /// Returns once the queue was woken since the last return.
    pub async fn changed(&self) {
        self.bell.rung().await;
    }
}

impl Drop for InternalWait {
    fn drop(&mut self) {
        self.queue.remove(self.key);
    }
}
