//! Sending: the queueing rules of `signal(7)`.
//!
//! A sender holds the group's `state` lock throughout, so that of two conflicting signals (stop and continue, kill and
//! anything) all threads see the same order.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::action::STOP_SIGNALS;
use super::info::code;
use super::{SIG_DFL, SigAction, SigInfo, SigSet, Signal};
use crate::task::{GroupState, Resource, Task, ThreadGroup};
use crate::wait::Events;

impl ThreadGroup {
    /// Sends to the process: any thread that does not block the signal takes it. `EAGAIN` if a real-time signal does not fit
    /// into the queue.
    pub fn send_signal(&self, info: SigInfo) -> Result<()> {
        self.send(info, None, false)
    }

    /// Like [`ThreadGroup::send_signal`], from outside the process's pid namespace or from the kernel: `SIGKILL` and
    /// `SIGSTOP` reach even the first process of a pid namespace.
    pub fn send_signal_forced(&self, info: SigInfo) -> Result<()> {
        self.send(info, None, true)
    }

    fn send(&self, info: SigInfo, to: Option<&Task>, force: bool) -> Result<()> {
        let mut state = self.state.lock();
        if state.threads().is_empty() {
            // A zombie: the signal is sent and means nothing.
            return Ok(());
        }
        let signal = info.signal;
        self.prepare(&mut state, signal);
        if signal == Signal::SIGKILL && (force || !self.shielded()) {
            state.begin_exit(Signal::SIGKILL.number());
            return Ok(());
        }
        let traced = to.is_some_and(Task::is_traced) || (to.is_none() && state.threads().iter().any(|t| t.is_traced()));
        if !traced && self.is_ignored(&state, to, signal, force) {
            return Ok(());
        }
        let limit = usize::try_from(self.rlimit(Resource::Sigpending).soft).unwrap_or(usize::MAX);
        let queued = match to {
            Some(task) => task.signals.lock().pending.push(info, limit),
            None => self.pending.lock().push(info, limit),
        };
        if !queued {
            let full = signal.is_realtime() && info.code != code::SI_USER;
            return if full { Err(Errno::EAGAIN) } else { Ok(()) };
        }
        match to {
            Some(task) => {
                if !task.signals.lock().blocked.contains(signal) {
                    task.interrupt();
                }
            }
            None => wake_taker(&state, signal),
        }
        drop(state);
        self.signal_wait.wake(Events::IN);
        Ok(())
    }

    /// Stop signals and `SIGCONT` undo each other as soon as they are sent, whatever is blocked or handled.
    fn prepare(&self, state: &mut GroupState, signal: Signal) {
        let discard = if STOP_SIGNALS.contains(signal) {
            SigSet::EMPTY.with(Signal::SIGCONT)
        } else if signal == Signal::SIGCONT {
            STOP_SIGNALS
        } else {
            return;
        };
        self.pending.lock().discard(discard);
        for thread in state.threads() {
            thread.signals.lock().pending.discard(discard);
        }
        if signal == Signal::SIGCONT {
            state.resume();
        }
    }

    fn is_ignored(&self, state: &GroupState, to: Option<&Task>, signal: Signal, force: bool) -> bool {
        let blocked = |t: &Task| t.signals.lock().blocked.contains(signal);
        let kept = match to {
            Some(task) => blocked(task),
            None => state
                .threads()
                .iter()
                .find(|t| t.is_leader())
                .or(state.threads().first())
                .is_some_and(|t| blocked(t)),
        };
        if kept && signal != Signal::SIGKILL {
            return false;
        }
        let action = self.handlers().lock().get(signal);
        if self.shielded() && action.handler == SIG_DFL && !(force && signal.is_kernel_only()) {
            return true;
        }
        action.ignores(signal)
    }
}

/// Interrupts one thread that can take a signal of the process: the leader if it can, else any.
fn wake_taker(state: &GroupState, signal: Signal) {
    let wants = |t: &&Arc<Task>| {
        let signals = t.signals.lock();
        !signals.exiting && (signal == Signal::SIGKILL || (!signals.blocked.contains(signal) && !signals.in_stop))
    };
    let leader = state.threads().iter().find(|t| t.is_leader()).filter(wants);
    if let Some(task) = leader.or_else(|| state.threads().iter().find(wants)) {
        task.interrupt();
    }
}

impl Task {
    /// Sends to this thread (`tgkill(2)`).
    pub fn send_signal(&self, info: SigInfo) -> Result<()> {
        self.group.send(info, Some(self), false)
    }

    /// Sends a signal that an instruction of the thread itself has caused: it is delivered even if blocked or ignored, then
    /// by the default action.
    pub fn force_signal(&self, info: SigInfo) {
        let signal = info.signal;
        let handlers = self.group.handlers();
        {
            let mut handlers = handlers.lock();
            let mut signals = self.signals.lock();
            let action = handlers.get(signal);
            if signals.blocked.contains(signal) || action.handler == super::SIG_IGN {
                handlers.set(signal, SigAction::default());
            }
            signals.blocked = signals.blocked.without(signal);
            signals.pending.push_front(info);
        }
        self.interrupt();
    }

    /// Sends `SIGSEGV` for a frame that cannot be written or read (`SI_KERNEL`). If that was the frame of `SIGSEGV` itself,
    /// the process ends.
    pub(crate) fn force_sigsegv(&self, of: Option<Signal>) {
        // A process that the host has killed, for want of memory, takes no frame: that is what it dies of.
        if self.mm().is_some_and(|mm| !mm.aspace().is_alive()) {
            self.group.exit(Signal::SIGKILL.number());
            self.interrupt();
            return;
        }
        if of == Some(Signal::SIGSEGV) {
            let handlers = self.group.handlers();
            handlers.lock().set(Signal::SIGSEGV, SigAction::default());
        }
        self.force_signal(SigInfo::kernel(Signal::SIGSEGV));
    }
}
