//! Signal state of a thread, and changing its mask.

use super::{AltStack, PendingSignals, SigInfo, SigSet};
use crate::task::Task;

/// Signal state of one thread.
#[derive(Clone, Default)]
pub struct TaskSignals {
    /// Sent to this thread.
    pub pending: PendingSignals,
    /// Blocked now.
    pub blocked: SigSet,
    /// The mask to go back to once a signal was delivered (`sigsuspend`, `ppoll`, `epoll_pwait`).
    pub saved_blocked: Option<SigSet>,
    /// `sigaltstack(2)`
    pub altstack: AltStack,
    /// The thread has seen the stop that its process is in.
    pub(crate) in_stop: bool,
    /// The thread is ending: signals to the process go to others.
    pub(crate) exiting: bool,
}

impl Task {
    /// Signals blocked now.
    pub fn sigmask(&self) -> SigSet {
        self.signals.lock().blocked
    }

    /// Replaces the mask. Newly unblocked signals are delivered before guest code goes on.
    pub fn set_sigmask(&self, mask: SigSet) {
        let mask = mask.minus(SigSet::UNBLOCKABLE);
        let newly = {
            let mut signals = self.signals.lock();
            let old = std::mem::replace(&mut signals.blocked, mask);
            mask.minus(old)
        };
        if !newly.is_empty() {
            self.retarget(newly);
        }
        self.recalc_pending();
    }

    /// A mask for the time of one call (`ppoll(2)`, `sigsuspend(2)`): the old one comes back when the call is over, after
    /// the handler of the signal that ended it, if one did. Ended by [`Task::end_temporary_sigmask`].
    pub fn set_temporary_sigmask(&self, mask: SigSet) {
        {
            let mut signals = self.signals.lock();
            if signals.saved_blocked.is_none() {
                signals.saved_blocked = Some(signals.blocked);
            }
        }
        self.set_sigmask(mask);
    }

    /// The call was not interrupted: the old mask is back at once.
    pub fn end_temporary_sigmask(&self) {
        let saved = self.signals.lock().saved_blocked.take();
        if let Some(mask) = saved {
            self.set_sigmask(mask);
        }
    }

    /// Pending for the thread or its process.
    pub fn pending_signals(&self) -> SigSet {
        let shared = self.group.pending.lock().set();
        shared.union(self.signals.lock().pending.set())
    }

    /// True if a signal that is not blocked is pending.
    pub fn has_deliverable(&self) -> bool {
        let shared = self.group.pending.lock().set();
        let signals = self.signals.lock();
        !shared.union(signals.pending.set()).minus(signals.blocked).is_empty()
    }

    /// Makes the task look at its signals if there is one to deliver.
    pub(crate) fn recalc_pending(&self) {
        if self.has_deliverable() {
            self.interrupt();
        }
    }

    /// Takes the next pending signal in `wanted`: the thread's own first, as Linux does.
    pub(crate) fn dequeue_signal(&self, wanted: SigSet) -> Option<SigInfo> {
        if let Some(info) = self.signals.lock().pending.take(wanted) {
            return Some(info);
        }
        self.group.pending.lock().take(wanted)
    }

    /// Signals of the process that this thread takes no longer: another thread may.
    pub(crate) fn retarget(&self, which: SigSet) {
        let waiting = SigSet(self.group.pending.lock().set().0 & which.0);
        if waiting.is_empty() {
            return;
        }
        for other in self.group.threads() {
            if other.tid != self.tid && other.has_deliverable() {
                other.interrupt();
            }
        }
    }
}
