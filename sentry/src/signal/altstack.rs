//! Alternate signal stacks (`sigaltstack(2)`).

use abi::Errno;
use abi::errno::Result;

/// `SS_ONSTACK`
pub const SS_ONSTACK: u32 = 1;
/// `SS_DISABLE`
pub const SS_DISABLE: u32 = 2;
/// `SS_AUTODISARM`
pub const SS_AUTODISARM: u32 = 1 << 31;
/// `MINSIGSTKSZ`
pub const MINSIGSTKSZ: u64 = 2048;

/// The alternate stack of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    /// `ss_sp`
    pub sp: u64,
    /// `ss_size`; 0 for none.
    pub size: u64,
    /// `SS_DISABLE` or `SS_AUTODISARM`.
    pub flags: u32,
}

impl Default for AltStack {
    fn default() -> Self {
        AltStack {
            sp: 0,
            size: 0,
            flags: SS_DISABLE,
        }
    }
}

impl AltStack {
    /// The stack pointer lies in it, whatever its flags.
    pub fn holds(&self, sp: u64) -> bool {
        sp > self.sp && sp.wrapping_sub(self.sp) <= self.size
    }

    /// The thread runs on it. One with `SS_AUTODISARM` is never in use: it was put aside.
    pub fn in_use(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.holds(sp)
    }

    /// First address above it.
    pub fn top(&self) -> u64 {
        self.sp.wrapping_add(self.size)
    }

    /// As the 24 bytes of `stack_t`, with `SS_ONSTACK` if in use at `sp`.
    pub fn to_words(self, sp: u64) -> [u64; 3] {
        let state = if self.size == 0 {
            SS_DISABLE
        } else if self.in_use(sp) {
            SS_ONSTACK
        } else {
            0
        };
        [self.sp, u64::from(state | (self.flags & SS_AUTODISARM)), self.size]
    }

    /// From `stack_t`, checked as `sigaltstack(2)` does. `sp` is where the thread runs now.
    pub fn set(&mut self, words: [u64; 3], sp: u64) -> Result<()> {
        let [new_sp, flags, size] = words;
        let flags = abi::conv::low32(flags);
        if self.in_use(sp) {
            return Err(Errno::EPERM);
        }
        let mode = flags & !SS_AUTODISARM;
        if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
            return Err(Errno::EINVAL);
        }
        if mode == SS_DISABLE {
            *self = AltStack {
                sp: 0,
                size: 0,
                flags: flags & SS_AUTODISARM | SS_DISABLE,
            };
            return Ok(());
        }
        if size < MINSIGSTKSZ {
            return Err(Errno::ENOMEM);
        }
        *self = AltStack {
            sp: new_sp,
            size,
            flags: flags & SS_AUTODISARM,
        };
        Ok(())
    }
}
