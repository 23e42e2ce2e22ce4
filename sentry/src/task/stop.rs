//! Job control: stopping all threads of a process, going on, and telling the parent.

use super::{GroupState, Task, ThreadGroup};
use crate::signal::Signal;
use crate::signal::info::code;

impl GroupState {
    /// Threads that have not ended.
    pub(crate) fn threads(&self) -> &[std::sync::Arc<Task>] {
        &self.threads
    }

    /// A stop signal left the queue; until the stop begins a `SIGCONT` can still undo it.
    pub(crate) fn note_stop_taken(&mut self) {
        self.stop_taken = true;
    }

    /// The stop that is in force or under way.
    pub(crate) fn stop_signal(&self) -> Option<Signal> {
        self.stop
    }

    /// `SIGCONT` was sent.
    pub(crate) fn resume(&mut self) {
        self.stop_taken = false;
        let Some(signal) = self.stop.take() else { return };
        // A stop that was not complete is told all the same, as Linux does.
        let what = if self.stopped {
            code::CLD_CONTINUED
        } else {
            code::CLD_STOPPED
        };
        self.tell_parent = Some((what, signal));
        self.stopped = false;
        for thread in &self.threads {
            thread.signals.lock().in_stop = false;
            thread.end_listening();
            thread.interrupt();
        }
    }

    /// All threads have seen the stop.
    fn all_in_stop(&self) -> bool {
        self.threads.iter().all(|t| t.signals.lock().in_stop)
    }
}

impl ThreadGroup {
    /// The default action of a stop signal.
    pub(crate) fn begin_stop(&self, signal: Signal) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.stop_taken) || state.is_exiting() || state.exec.is_some() || state.stop.is_some()
        {
            return;
        }
        state.stop = Some(signal);
        for thread in &state.threads {
            thread.interrupt();
        }
    }

    /// A thread has ended, perhaps the last one that a stop waited for.
    pub(super) fn recheck_stop(&self) -> Option<Signal> {
        let mut state = self.state.lock();
        let signal = state.stop?;
        if state.stopped || state.threads.is_empty() || !state.all_in_stop() {
            return None;
        }
        state.stopped = true;
        Some(signal)
    }
}

impl Task {
    /// Sleeps while its process is stopped.
    pub(crate) async fn stop_if_asked(&self) {
        loop {
            {
                let state = self.group.state.lock();
                if state.stop.is_none() || state.is_exiting() {
                    return;
                }
                self.signals.lock().in_stop = true;
            }
            if let Some(signal) = self.group.recheck_stop() {
                self.kernel.tasks.child_stopped(&self.group, signal);
            }
            let going_on = || (!self.signals.lock().in_stop).then_some(());
            if self.park(going_on).await.is_err() {
                return;
            }
            self.clear_interrupted();
            self.recalc_pending();
            self.tell_parent();
            self.while_frozen().await;
        }
    }

    /// Tells the parent of a stop or continuation, if no other thread has.
    pub(crate) fn tell_parent(&self) {
        let what = self.group.state.lock().tell_parent.take();
        match what {
            Some((code::CLD_CONTINUED, _)) => self.kernel.tasks.child_continued(&self.group),
            Some((_, signal)) => self.kernel.tasks.child_stopped(&self.group, signal),
            None => {}
        }
    }
}
