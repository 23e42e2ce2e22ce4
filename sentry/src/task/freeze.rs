//! Freezing every task of the sandbox (`runsc pause`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::{Task, TaskTable};
use crate::sync::Mutex;

/// Frozen or not, and who waits for the thaw.
#[derive(Default)]
pub(super) struct Freezer {
    frozen: AtomicBool,
    sleepers: Mutex<Vec<Waker>>,
}

impl TaskTable {
    /// Stops every task before it runs guest code again.
    pub fn freeze(&self) {
        self.freezer.frozen.store(true, Ordering::SeqCst);
        for task in self.all_tasks() {
            task.interrupt();
        }
    }

    /// Lets all go on.
    pub fn thaw(&self) {
        self.freezer.frozen.store(false, Ordering::SeqCst);
        for waker in self.freezer.sleepers.lock().drain(..) {
            waker.wake();
        }
    }

    /// Whether any task is in guest code.
    pub fn runs_guest(&self) -> bool {
        self.all_tasks().iter().any(|task| task.in_guest.load(Ordering::SeqCst))
    }

    /// True between [`TaskTable::freeze`] and [`TaskTable::thaw`].
    pub fn is_frozen(&self) -> bool {
        self.freezer.frozen.load(Ordering::SeqCst)
    }
}

impl Task {
    /// Sleeps while the sandbox is frozen.
    pub(crate) async fn while_frozen(&self) {
        let tasks = &self.kernel.tasks;
        let thawed = || {
            if !tasks.is_frozen() {
                return Some(());
            }
            tasks.freezer.sleepers.lock().push(self.waker());
            // The thaw may have come between the look and the registration.
            (!tasks.is_frozen()).then_some(())
        };
        let _ = self.park(thawed).await;
    }
}
