//! `sigset_t` of 64 signals.

use super::Signal;

/// A set of signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);
    /// `SIGKILL` and `SIGSTOP`, which nothing blocks.
    pub const UNBLOCKABLE: SigSet = SigSet((1 << 8) | (1 << 18));

    /// True if the signal is in it.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// With the signal.
    pub fn with(self, signal: Signal) -> SigSet {
        SigSet(self.0 | signal.bit())
    }

    /// Without the signal.
    pub fn without(self, signal: Signal) -> SigSet {
        SigSet(self.0 & !signal.bit())
    }

    /// In either.
    pub fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }

    /// In this and not in the other.
    pub fn minus(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// True for the empty set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Lowest member.
    pub fn first(self) -> Option<Signal> {
        if self.0 == 0 {
            None
        } else {
            Signal::new(i32::try_from(self.0.trailing_zeros() + 1).unwrap_or(0))
        }
    }
}
