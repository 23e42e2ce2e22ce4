//! Limits that `/proc/sys/kernel` sets.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{msg, shm};

/// One limit.
#[derive(Debug)]
pub struct Limit(AtomicU64);

impl Limit {
    /// As of now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Those that can be changed.
#[derive(Debug)]
pub struct Limits {
    /// Bytes of a shared memory segment.
    pub shmmax: Limit,
    /// Pages of all segments together; shown only, the container's memory ends first.
    pub shmall: Limit,
    /// Bytes of a message.
    pub msgmax: Limit,
    /// Bytes of a new queue.
    pub msgmnb: Limit,
}

impl Default for Limits {
    fn default() -> Limits {
        let limit = |value| Limit(AtomicU64::new(value));
        Limits {
            shmmax: limit(shm::SHMMAX),
            shmall: limit(shm::SHMALL),
            msgmax: limit(abi::conv::usize64(msg::MSGMAX)),
            msgmnb: limit(msg::MSGMNB),
        }
    }
}
