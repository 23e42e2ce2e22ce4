//! Who waits on which futex.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::FutexKey;
use crate::sync::{Mutex, MutexGuard};

const BUCKETS: usize = 256;

/// One thread's wait on one futex.
pub struct Waiter {
    /// Changes by requeueing, under the locks of both buckets.
    key: Mutex<FutexKey>,
    bitset: u32,
    /// Thread that waits, for handing over locks.
    pub(super) tid: i32,
    /// Waits for a lock (`FUTEX_LOCK_PI`), which plain wakes must not touch.
    pub(super) pi: bool,
    /// Waits to be requeued to a lock (`FUTEX_WAIT_REQUEUE_PI`) on this futex.
    pub(super) requeue_to: Option<FutexKey>,
    /// Taken off the queue by a waker. Set under the bucket's lock.
    woken: AtomicBool,
    /// A lock was handed over to this waiter.
    pub(super) granted: AtomicBool,
    /// Nothing more will happen to it.
    done: AtomicBool,
    fired: Arc<AtomicBool>,
    waker: Waker,
}

impl Waiter {
    /// Not queued yet. The wait's [`crate::wait::Blocker`] gives `fired` and `waker`.
    pub(super) fn new(key: FutexKey, bitset: u32, tid: i32, fired: Arc<AtomicBool>, waker: Waker) -> Waiter {
        Waiter {
            key: Mutex::new(key),
            bitset,
            tid,
            pi: false,
            requeue_to: None,
            woken: AtomicBool::new(false),
            granted: AtomicBool::new(false),
            done: AtomicBool::new(false),
            fired,
            waker,
        }
    }

    /// A waker has chosen it.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// The wait is over.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Ends the wait; the waiter is off the queue.
    pub(super) fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.fired.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}

/// Waiters whose keys fall together, oldest first.
#[derive(Default)]
pub(super) struct Bucket {
    waiters: VecDeque<Arc<Waiter>>,
}

impl Bucket {
    pub(super) fn push(&mut self, waiter: Arc<Waiter>) {
        self.waiters.push_back(waiter);
    }

    /// Takes the oldest waiter that fits off the queue.
    pub(super) fn take(&mut self, key: &FutexKey, fits: impl Fn(&Waiter) -> bool) -> Option<Arc<Waiter>> {
        let at = self.waiters.iter().position(|w| *w.key.lock() == *key && fits(w))?;
        let waiter = self.waiters.remove(at)?;
        waiter.woken.store(true, Ordering::SeqCst);
        Some(waiter)
    }

    /// Somebody waits on that futex.
    pub(super) fn has(&self, key: &FutexKey, fits: impl Fn(&Waiter) -> bool) -> bool {
        self.waiters.iter().any(|w| *w.key.lock() == *key && fits(w))
    }

    fn remove(&mut self, waiter: &Arc<Waiter>) -> bool {
        match self.waiters.iter().position(|w| Arc::ptr_eq(w, waiter)) {
            Some(at) => self.waiters.remove(at).is_some(),
            None => false,
        }
    }
}

/// All futexes of the sandbox that somebody waits on.
pub struct FutexTable {
    buckets: Box<[Mutex<Bucket>]>,
    hasher: std::hash::RandomState,
}

impl Default for FutexTable {
    fn default() -> Self {
        FutexTable {
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
            hasher: std::hash::RandomState::new(),
        }
    }
}

/// The locked bucket or buckets of two futexes.
pub(super) struct Pair<'a> {
    first: MutexGuard<'a, Bucket>,
    /// None if both fall into one bucket.
    second: Option<MutexGuard<'a, Bucket>>,
    swapped: bool,
}

impl Pair<'_> {
    /// The bucket of the first futex.
    pub(super) fn from(&mut self) -> &mut Bucket {
        match &mut self.second {
            Some(second) if self.swapped => second,
            _ => &mut self.first,
        }
    }

    /// The bucket of the second.
    pub(super) fn to(&mut self) -> &mut Bucket {
        match &mut self.second {
            Some(second) if !self.swapped => second,
            _ => &mut self.first,
        }
    }
}

impl FutexTable {
    fn slot(&self, key: &FutexKey) -> usize {
        let mut hasher = self.hasher.build_hasher();
        let (a, b) = match *key {
            FutexKey::Private { mm, addr } => (mm, addr),
            FutexKey::Shared { object, offset } => (!object, offset),
        };
        hasher.write_u64(a);
        hasher.write_u64(b);
        abi::conv::size(hasher.finish()) % BUCKETS
    }

    fn at(&self, slot: usize) -> Option<MutexGuard<'_, Bucket>> {
        self.buckets.get(slot).map(Mutex::lock)
    }

    /// The bucket of a futex.
    pub(super) fn bucket(&self, key: &FutexKey) -> Option<MutexGuard<'_, Bucket>> {
        self.at(self.slot(key))
    }

    /// The buckets of two.
    pub(super) fn pair(&self, from: &FutexKey, to: &FutexKey) -> Option<Pair<'_>> {
        let (a, b) = (self.slot(from), self.slot(to));
        let first = self.at(a.min(b))?;
        let second = if a == b { None } else { self.at(a.max(b)) };
        Some(Pair {
            first,
            second,
            swapped: a > b,
        })
    }

    /// Ends a wait from the waiter's side. False if a waker was first.
    pub(super) fn cancel(&self, waiter: &Arc<Waiter>) -> bool {
        loop {
            let key = *waiter.key.lock();
            let Some(mut bucket) = self.bucket(&key) else {
                return false;
            };
            if waiter.is_woken() {
                return false;
            }
            // Requeued before the lock was taken: look again.
            if *waiter.key.lock() == key {
                return bucket.remove(waiter);
            }
        }
    }

    /// Wakes up to `n` plain waiters whose bits meet `bitset`; gives how many.
    pub fn wake(&self, key: &FutexKey, n: usize, bitset: u32) -> usize {
        let Some(mut bucket) = self.bucket(key) else { return 0 };
        wake_in(&mut bucket, key, n, bitset)
    }

    /// Some thread waits for a lock or to be requeued on that futex: plain wakes are `EINVAL` there.
    pub(super) fn has_pi(&self, key: &FutexKey) -> bool {
        self.bucket(key)
            .is_some_and(|b| b.has(key, |w| w.pi || w.requeue_to.is_some()))
    }
}

/// As [`FutexTable::wake`] with the bucket locked.
pub(super) fn wake_in(bucket: &mut Bucket, key: &FutexKey, n: usize, bitset: u32) -> usize {
    let mut done = 0;
    while done < n {
        let plain = |w: &Waiter| !w.pi && w.requeue_to.is_none() && w.bitset & bitset != 0;
        let Some(waiter) = bucket.take(key, plain) else { break };
        waiter.finish();
        done += 1;
    }
    done
}

/// Moves up to `n` plain waiters to another futex; gives how many.
pub(super) fn requeue_in(pair: &mut Pair<'_>, from: &FutexKey, to: &FutexKey, n: usize) -> usize {
    let mut done = 0;
    let mut moved = Vec::new();
    while done < n {
        let Some(waiter) = pair.from().take(from, |w| !w.pi && w.requeue_to.is_none()) else {
            break;
        };
        moved.push(waiter);
        done += 1;
    }
    for waiter in moved {
        *waiter.key.lock() = *to;
        waiter.woken.store(false, Ordering::SeqCst);
        pair.to().push(waiter);
    }
    done
}
