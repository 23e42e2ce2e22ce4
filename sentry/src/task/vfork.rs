//! `vfork(2)`: the parent sleeps until the child gives its memory back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Task;
use super::park::Killed;

/// The child's promise to its parent.
pub(super) struct Vfork {
    done: AtomicBool,
    parent: Arc<Task>,
}

impl Vfork {
    pub(super) fn new(parent: &Arc<Task>) -> Arc<Vfork> {
        Arc::new(Vfork {
            done: AtomicBool::new(false),
            parent: parent.clone(),
        })
    }

    /// Sleeps until the child has begun a new program or ended. Only a kill ends it early.
    pub(super) async fn wait(&self) -> Result<(), Killed> {
        let done = || self.done.load(Ordering::SeqCst).then_some(());
        self.parent.park(done).await
    }
}

impl Task {
    /// The task no longer uses its parent's memory: it has ended or begun a new program.
    pub(crate) fn finish_vfork(&self) {
        let vfork = self.vfork.lock().take();
        if let Some(vfork) = vfork {
            vfork.done.store(true, Ordering::SeqCst);
            vfork.parent.wake();
        }
    }
}
