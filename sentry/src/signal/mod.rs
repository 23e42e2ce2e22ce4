//! Signals (`signal(7)`): numbers, sets, queues, delivery.

pub mod info;
pub mod queue;
pub mod set;

mod action;
mod altstack;
pub(crate) mod deliver;
mod frame;
mod mask;
mod permission;
mod send;
pub mod signalfd;

pub use action::{DefaultAction, SaFlags};
pub use altstack::AltStack;
pub(crate) use frame::pop as frame_pop;
pub use info::SigInfo;
pub use mask::TaskSignals;
pub use permission::{may_kill, sender_info};
pub use queue::{PendingSignals, SIG_DFL, SIG_IGN, SigAction, SigHandlers};
pub use set::SigSet;

/// A signal number, 1..=64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $value:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "signal(7) documents each name")]
        impl Signal {
            $(pub const $name: Signal = Signal($value);)*
        }
    };
}

signals! {
    SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9,
    SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17,
    SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25,
    SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29, SIGPWR = 30, SIGSYS = 31, SIGRTMIN = 32, SIGRTMAX = 64,
}

impl Signal {
    /// From a number given by the guest; none outside 1..=64.
    pub fn new(n: i32) -> Option<Signal> {
        u8::try_from(n).ok().filter(|n| (1..=64).contains(n)).map(Signal)
    }

    /// The number.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// Queued in order, with every instance kept.
    pub fn is_realtime(self) -> bool {
        self.0 >= 32
    }

    /// Its bit in a [`SigSet`].
    pub fn bit(self) -> u64 {
        1u64 << (self.0 - 1)
    }
}
