//! Pending signals and what a process does with each.

use std::collections::VecDeque;

use super::info::Detail;
use super::{SigInfo, SigSet, Signal};

/// `struct sigaction` as the kernel keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigAction {
    /// `SIG_DFL` (0), `SIG_IGN` (1) or an address.
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// `sa_restorer`
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// `SIG_DFL`
pub const SIG_DFL: u64 = 0;
/// `SIG_IGN`
pub const SIG_IGN: u64 = 1;

/// Actions of a process (`CLONE_SIGHAND` shares them), like `struct sighand_struct`.
#[derive(Clone)]
pub struct SigHandlers {
    actions: [SigAction; 64],
}

impl Default for SigHandlers {
    fn default() -> Self {
        SigHandlers {
            actions: [SigAction::default(); 64],
        }
    }
}

fn index(signal: Signal) -> usize {
    usize::try_from(signal.number() - 1).unwrap_or(0)
}

impl SigHandlers {
    /// What is done about the signal.
    pub fn get(&self, signal: Signal) -> SigAction {
        self.actions.get(index(signal)).copied().unwrap_or_default()
    }

    /// Sets it; gives the old one.
    pub fn set(&mut self, signal: Signal, action: SigAction) -> SigAction {
        match self.actions.get_mut(index(signal)) {
            Some(slot) => std::mem::replace(slot, action),
            None => SigAction::default(),
        }
    }

    /// `execve(2)`: handlers become the default, ignored signals stay ignored.
    pub fn reset_for_exec(&mut self) {
        for action in &mut self.actions {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = SigAction {
                handler,
                ..SigAction::default()
            };
        }
    }
}

/// Signals that wait for delivery, to a task or to a process.
#[derive(Clone, Default)]
pub struct PendingSignals {
    set: SigSet,
    queue: VecDeque<SigInfo>,
}

impl PendingSignals {
    /// Which are pending.
    pub fn set(&self) -> SigSet {
        self.set
    }

    /// Adds one; a standard signal that is pending already is not queued twice. False if it was dropped for that reason
    /// or, for a real-time signal with data, because `limit` are queued (`RLIMIT_SIGPENDING`).
    pub fn push(&mut self, info: SigInfo, limit: usize) -> bool {
        let known = self.set.contains(info.signal);
        if !info.signal.is_realtime() && known {
            return false;
        }
        if info.signal.is_realtime() && self.queue.len() >= limit {
            return false;
        }
        self.set = self.set.with(info.signal);
        self.queue.push_back(info);
        true
    }

    /// Adds one that comes before all others of its number; none of these is lost.
    pub(crate) fn push_front(&mut self, info: SigInfo) {
        if !info.signal.is_realtime() {
            self.queue.retain(|i| i.signal != info.signal);
        }
        self.set = self.set.with(info.signal);
        self.queue.push_front(info);
    }

    /// Takes the next one in `wanted`: synchronous ones first, then lowest number, then oldest.
    pub fn take(&mut self, wanted: SigSet) -> Option<SigInfo> {
        const SYNCHRONOUS: SigSet = SigSet((1 << 10) | (1 << 6) | (1 << 3) | (1 << 4) | (1 << 7) | (1 << 30));
        let ready = SigSet(self.set.0 & wanted.0);
        let signal = SigSet(ready.0 & SYNCHRONOUS.0).first().or_else(|| ready.first())?;
        let at = self.queue.iter().position(|i| i.signal == signal)?;
        let info = self.queue.remove(at);
        if !self.queue.iter().any(|i| i.signal == signal) {
            self.set = self.set.without(signal);
        }
        info
    }

    /// If a signal of that POSIX timer is pending, counts further expirations in it.
    pub(crate) fn add_overrun(&mut self, id: i32, count: u64) -> bool {
        self.queue.iter_mut().any(|info| match &mut info.detail {
            Detail::Timer { id: of, overrun, .. } if *of == id => {
                *overrun = overrun.saturating_add(i32::try_from(count).unwrap_or(i32::MAX));
                true
            }
            _ => false,
        })
    }

    /// Forgets all that are in `which`.
    pub fn discard(&mut self, which: SigSet) {
        self.set = self.set.minus(which);
        self.queue.retain(|i| !which.contains(i.signal));
    }
}
