//! Futexes (`futex(2)`): words of guest memory with a queue in the Sentry.
//!
//! A waiter is queued under its bucket's lock after the word was read and found as expected; a waker changes the word before
//! it looks into the bucket. So no wake-up is lost. Buckets are locked in the order of their index.

mod ops;
mod pi;
mod table;

pub use ops::{WaitOn, WakeOp, cmp_requeue, cmp_requeue_pi, wait, wait_many, wait_requeue, wake, wake_op};
pub use pi::{lock_pi, unlock_pi};
pub use table::{FutexTable, Waiter};

/// What a futex is known by: two threads mean the same futex if their keys are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FutexKey {
    /// Of one address space.
    Private {
        /// Names the `Mm`.
        mm: u64,
        /// Address of the word.
        addr: u64,
    },
    /// Of whoever maps the object.
    Shared {
        /// Names the mapped object.
        object: u64,
        /// Byte offset of the word in it.
        offset: u64,
    },
}

/// Matches every waiter (`FUTEX_BITSET_MATCH_ANY`).
pub const MATCH_ANY: u32 = u32::MAX;

/// The owner died holding the lock.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// Somebody waits: unlocking needs a call.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// The owner's thread id.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
