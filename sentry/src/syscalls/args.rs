//! Registers become types here, as Linux's `SYSCALL_DEFINE` does it: an `int` is the low half of its register.

use abi::conv;

use crate::usermem::UserAddr;

/// A type that a handler takes.
pub(super) trait FromRegister {
    /// Never fails: validity is the handler's to check, in Linux's order.
    fn from_register(raw: u64) -> Self;
}

impl FromRegister for i32 {
    fn from_register(raw: u64) -> i32 {
        conv::int(raw)
    }
}

impl FromRegister for u32 {
    fn from_register(raw: u64) -> u32 {
        conv::low32(raw)
    }
}

impl FromRegister for i64 {
    fn from_register(raw: u64) -> i64 {
        raw.cast_signed()
    }
}

impl FromRegister for u64 {
    fn from_register(raw: u64) -> u64 {
        raw
    }
}

impl FromRegister for usize {
    fn from_register(raw: u64) -> usize {
        conv::size(raw)
    }
}

impl FromRegister for UserAddr {
    fn from_register(raw: u64) -> UserAddr {
        UserAddr(raw)
    }
}

/// The six argument registers, taken one after the other.
pub(super) struct Args {
    raw: std::array::IntoIter<u64, 6>,
}

impl Args {
    pub(super) fn new(raw: [u64; 6]) -> Args {
        Args { raw: raw.into_iter() }
    }

    pub(super) fn next<T: FromRegister>(&mut self) -> T {
        T::from_register(self.raw.next().unwrap_or(0))
    }
}
