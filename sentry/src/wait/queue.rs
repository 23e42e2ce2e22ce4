//! Wait queues: who wants to hear of which events of an object.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bitflags::bitflags;
use slab::Slab;

use crate::sync::Mutex;

bitflags! {
    /// Readiness, with the values of `poll(2)` and `epoll_ctl(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Events: u32 {
        /// There is data to read.
        const IN = 0x001;
        /// Exceptional condition.
        const PRI = 0x002;
        /// Writing will not block.
        const OUT = 0x004;
        /// Error; always reported.
        const ERR = 0x008;
        /// Hang up; always reported.
        const HUP = 0x010;
        /// Not an open fd; `poll(2)` only.
        const NVAL = 0x020;
        /// Same as `IN`.
        const RDNORM = 0x040;
        /// Priority band data can be read.
        const RDBAND = 0x080;
        /// Same as `OUT`.
        const WRNORM = 0x100;
        /// Priority data may be written.
        const WRBAND = 0x200;
        /// Stream socket peer closed its end, or its writing half.
        const RDHUP = 0x2000;
    }
}

impl Events {
    /// Readable in either spelling.
    pub const READ: Events = Events::IN.union(Events::RDNORM);
    /// Writable in either spelling.
    pub const WRITE: Events = Events::OUT.union(Events::WRNORM);
    /// Reported whether asked for or not.
    pub const ALWAYS: Events = Events::ERR.union(Events::HUP);
}

/// Called when events happen, with no lock of the queue's owner promised to be free: do little, take no fs or mm lock.
pub trait Listener: Send + Sync {
    /// Some of `events` may hold now.
    fn notify(&self, events: Events);

    /// Likewise, of a registration of which only one shall hear; false if this one had no use for it.
    fn notify_one(&self, events: Events) -> bool {
        self.notify(events);
        true
    }
}

enum Target {
    Waker(Waker, Arc<AtomicBool>),
    Listener(Arc<dyn Listener>),
}

struct Entry {
    mask: Events,
    exclusive: bool,
    target: Target,
}

/// Names a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitKey(usize);

/// Those who wait for an object's events.
#[derive(Default)]
pub struct WaitQueue {
    entries: Mutex<Slab<Entry>>,
    /// Avoids the lock on the way of objects that nobody waits for.
    waiters: std::sync::atomic::AtomicUsize,
}

impl std::fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitQueue")
    }
}

impl WaitQueue {
    /// An empty queue.
    pub fn new() -> WaitQueue {
        WaitQueue::default()
    }

    fn insert(&self, entry: Entry) -> WaitKey {
        let mut entries = self.entries.lock();
        let key = WaitKey(entries.insert(entry));
        self.waiters.store(entries.len(), Ordering::SeqCst);
        key
    }

    /// Registers a task: when one of `mask` happens, `fired` is set and the waker called.
    pub fn register(&self, mask: Events, exclusive: bool, waker: Waker, fired: Arc<AtomicBool>) -> WaitKey {
        self.insert(Entry {
            mask: mask | Events::ALWAYS,
            exclusive,
            target: Target::Waker(waker, fired),
        })
    }

    /// Registers a listener, which stays until removed.
    pub fn listen(&self, mask: Events, listener: Arc<dyn Listener>) -> WaitKey {
        self.listen_as(mask, listener, false)
    }

    /// Likewise; of those that are exclusive only the first that has a use for an event hears of it.
    pub fn listen_as(&self, mask: Events, listener: Arc<dyn Listener>, exclusive: bool) -> WaitKey {
        self.insert(Entry {
            mask: mask | Events::ALWAYS,
            exclusive,
            target: Target::Listener(listener),
        })
    }

    /// Somebody is registered.
    pub fn has_waiters(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) > 0
    }

    /// Ends a registration.
    pub fn remove(&self, key: WaitKey) {
        let mut entries = self.entries.lock();
        let _ = entries.try_remove(key.0);
        self.waiters.store(entries.len(), Ordering::SeqCst);
    }

    /// Tells everybody who waits for one of `events`; of the exclusive ones only the first not yet told.
    pub fn wake(&self, events: Events) {
        // Pairs with the re-check that every waiter makes after it has registered.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut listeners: smallvec::SmallVec<[(Arc<dyn Listener>, bool); 4]> = smallvec::SmallVec::new();
        let entries = self.entries.lock();
        let mut exclusive_done = false;
        for (_, entry) in entries.iter() {
            if !entry.mask.intersects(events) || (entry.exclusive && exclusive_done) {
                continue;
            }
            match &entry.target {
                Target::Waker(waker, fired) => {
                    if !fired.swap(true, Ordering::SeqCst) {
                        waker.wake_by_ref();
                        exclusive_done |= entry.exclusive;
                    }
                }
                Target::Listener(listener) => listeners.push((listener.clone(), entry.exclusive)),
            }
        }
        drop(entries);
        for (listener, exclusive) in listeners {
            if !exclusive {
                listener.notify(events);
            } else if !exclusive_done {
                exclusive_done = listener.notify_one(events);
            }
        }
    }
}
