//! Messages on their way, like Linux's `struct sk_buff`, and what they are charged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::base::SockBase;
use crate::wait::Events;

/// Bytes of `struct skb_shared_info` and of `struct sk_buff`, aligned; part of what a message is charged.
const SHARED_INFO: usize = 320;
const SK_BUFF: usize = 256;
/// What fits into the head of a message; the rest is whole pages.
pub const MAX_HEAD: usize = 4096 - SHARED_INFO;

fn kmalloc_size(n: usize) -> usize {
    match n {
        0..=64 => 64,
        65..=96 => 96,
        97..=128 => 128,
        129..=192 => 192,
        _ => n.next_power_of_two(),
    }
}

/// What Linux charges for a message of `n` bytes (`skb->truesize`): `SO_SNDBUF` is counted in these.
pub fn truesize(n: usize) -> usize {
    let (head, pages) = if n <= MAX_HEAD {
        (n, 0)
    } else {
        let paged = n.min((n - MAX_HEAD).next_multiple_of(4096));
        (n - paged, paged)
    };
    kmalloc_size(head.next_multiple_of(64) + SHARED_INFO) + SK_BUFF + pages.next_multiple_of(4096)
}

/// What the sender pays until the message is gone, like `skb->destructor` with `sock_wfree`.
pub struct Charge {
    owner: Arc<SockBase>,
    size: usize,
}

impl Charge {
    /// Charges `size` to `owner`.
    pub fn new(owner: &Arc<SockBase>, size: usize) -> Charge {
        owner.wmem.fetch_add(size, Ordering::AcqRel);
        Charge {
            owner: owner.clone(),
            size,
        }
    }

    /// What was charged.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let before = self.owner.wmem.fetch_sub(self.size, Ordering::AcqRel);
        let left = before.saturating_sub(self.size);
        if writable(&self.owner, left) {
            self.owner.wake(Events::WRITE);
        }
    }
}

/// Poll tells of room to write when no more than a quarter of the buffer is used, like `unix_writable`.
pub fn writable(base: &SockBase, wmem: usize) -> bool {
    wmem.saturating_mul(4) <= base.sndbuf_size()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_messages_are_charged_as_linux_does() {
        assert_eq!(truesize(1), 768);
        assert_eq!(truesize(100), 768);
        assert_eq!(truesize(193), 1280);
        assert_eq!(truesize(3776), 4096 + 256);
    }

    #[test]
    fn large_messages_are_charged_by_pages() {
        assert!(truesize(65536) >= 65536 + 512);
        assert!(truesize(65536) < 65536 + 8192);
    }
}
