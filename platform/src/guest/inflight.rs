//! Changes that one thread has yet to carry out, as far as they concern the others.
//!
//! The Sentry changes its view of an address space at once, the guest threads follow. If thread A still has to unmap a
//! range and thread B is told to map something there, B must wait for A.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Ranges under way in one address space, in the order in which they were decided.
#[derive(Default)]
pub(crate) struct Inflight {
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_ticket: u64,
    ranges: Vec<Range>,
}

#[derive(Clone, Copy)]
struct Range {
    ticket: u64,
    slot: u32,
    addr: u64,
    end: u64,
    /// The thread's answer that ordered it, once one did.
    answer: Option<u64>,
}

impl Inflight {
    /// A thread will change that range; gives the change's place in the order.
    pub(crate) fn add(&self, slot: u32, (addr, len): (u64, u64)) -> u64 {
        let mut inner = self.inner.lock();
        inner.last_ticket += 1;
        let range = Range {
            ticket: inner.last_ticket,
            slot,
            addr,
            end: addr.saturating_add(len),
            answer: None,
        };
        inner.ranges.push(range);
        self.count.store(inner.ranges.len(), Ordering::Release);
        range.ticket
    }

    /// The change was ordered with that answer.
    pub(crate) fn ordered(&self, ticket: u64, answer: u64) {
        let mut inner = self.inner.lock();
        if let Some(range) = inner.ranges.iter_mut().find(|r| r.ticket == ticket) {
            range.answer = Some(answer);
        }
    }

    /// The thread has carried out all answers up to that one; or it will carry out nothing any more.
    pub(crate) fn done(&self, slot: u32, answer: Option<u64>) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut inner = self.inner.lock();
        inner
            .ranges
            .retain(|r| r.slot != slot || answer.is_some_and(|upto| r.answer.is_none_or(|a| a > upto)));
        self.count.store(inner.ranges.len(), Ordering::Release);
    }

    /// Another thread's earlier change that overlaps the range: its slot.
    pub(crate) fn conflict(&self, slot: u32, ticket: u64, (addr, len): (u64, u64)) -> Option<u32> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let end = addr.saturating_add(len);
        let inner = self.inner.lock();
        let earlier = inner.ranges.iter().filter(|r| r.slot != slot && r.ticket < ticket);
        earlier.filter(|r| r.addr < end && addr < r.end).map(|r| r.slot).next()
    }
}
