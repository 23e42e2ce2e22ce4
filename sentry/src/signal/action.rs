//! What signals do by default (`signal(7)`), and the flags of `sigaction(2)`.

use bitflags::bitflags;

use super::{SIG_DFL, SIG_IGN, SigAction, SigSet, Signal};

/// What happens without a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// The process goes on.
    Continue,
    /// The process stops.
    Stop,
    /// The process ends.
    Terminate,
    /// The process ends, with a core dump where the limit allows one. None is ever written here.
    Core,
}

bitflags! {
    /// `SA_*` of `sigaction(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SaFlags: u64 {
        /// `SA_NOCLDSTOP`
        const NOCLDSTOP = 1;
        /// `SA_NOCLDWAIT`
        const NOCLDWAIT = 2;
        /// `SA_SIGINFO`
        const SIGINFO = 4;
        /// `SA_UNSUPPORTED`
        const UNSUPPORTED = 0x400;
        /// `SA_EXPOSE_TAGBITS`
        const EXPOSE_TAGBITS = 0x800;
        /// `SA_RESTORER`
        const RESTORER = 0x0400_0000;
        /// `SA_ONSTACK`
        const ONSTACK = 0x0800_0000;
        /// `SA_RESTART`
        const RESTART = 0x1000_0000;
        /// `SA_NODEFER`
        const NODEFER = 0x4000_0000;
        /// `SA_RESETHAND`
        const RESETHAND = 0x8000_0000;
    }
}

/// `SIGSTOP`, `SIGTSTP`, `SIGTTIN`, `SIGTTOU`
pub(crate) const STOP_SIGNALS: SigSet = SigSet((1 << 18) | (1 << 19) | (1 << 20) | (1 << 21));

impl Signal {
    /// What the signal does to a process that has no handler for it.
    pub fn default_action(self) -> DefaultAction {
        match self {
            Signal::SIGCHLD | Signal::SIGURG | Signal::SIGWINCH => DefaultAction::Ignore,
            Signal::SIGCONT => DefaultAction::Continue,
            Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => DefaultAction::Stop,
            Signal::SIGQUIT
            | Signal::SIGILL
            | Signal::SIGTRAP
            | Signal::SIGABRT
            | Signal::SIGFPE
            | Signal::SIGSEGV
            | Signal::SIGBUS
            | Signal::SIGSYS
            | Signal::SIGXCPU
            | Signal::SIGXFSZ => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }

    /// `SIGKILL` and `SIGSTOP`: only the kernel decides about them.
    pub fn is_kernel_only(self) -> bool {
        SigSet::UNBLOCKABLE.contains(self)
    }
}

impl SigAction {
    /// Its `SA_*` flags.
    pub fn sa(&self) -> SaFlags {
        SaFlags::from_bits_retain(self.flags)
    }

    /// The signal would be thrown away.
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            SIG_IGN => true,
            SIG_DFL => matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue),
            _ => false,
        }
    }
}
