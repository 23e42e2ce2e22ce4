//! One watched file.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::poll::{EPOLLEXCLUSIVE, EpollEvent};

use super::{Epoll, Key, flags};
use crate::fs::File;
use crate::sync::Mutex;
use crate::wait::{Events, Listener, WaitKey, WaitQueue};

pub(super) struct Item {
    me: Weak<Item>,
    epoll: Weak<Epoll>,
    file: Weak<File>,
    pub(super) key: Key,
    events: AtomicU32,
    data: AtomicU64,
    /// On the ready list.
    ready: AtomicBool,
    registration: Mutex<Option<(Arc<WaitQueue>, WaitKey)>>,
}

impl Item {
    pub(super) fn new(epoll: Weak<Epoll>, file: &Arc<File>, key: Key, event: EpollEvent) -> Arc<Item> {
        Arc::new_cyclic(|me| Item {
            me: me.clone(),
            epoll,
            file: Arc::downgrade(file),
            key,
            events: AtomicU32::new(event.events),
            data: AtomicU64::new(event.data()),
            ready: AtomicBool::new(false),
            registration: Mutex::new(None),
        })
    }

    /// Begins to hear of the file.
    pub(super) fn listen(self: &Arc<Self>, queue: Arc<WaitQueue>) {
        let exclusive = self.events() & EPOLLEXCLUSIVE != 0;
        let key = queue.listen_as(Events::all(), self.clone(), exclusive);
        *self.registration.lock() = Some((queue, key));
    }

    /// Hears no more.
    pub(super) fn close(&self) {
        self.disable();
        let registration = self.registration.lock().take();
        if let Some((queue, key)) = registration {
            queue.remove(key);
        }
    }

    pub(super) fn set(&self, event: EpollEvent) {
        self.data.store(event.data(), Ordering::SeqCst);
        self.events.store(event.events, Ordering::SeqCst);
    }

    pub(super) fn events(&self) -> u32 {
        self.events.load(Ordering::SeqCst)
    }

    pub(super) fn data(&self) -> u64 {
        self.data.load(Ordering::SeqCst)
    }

    /// `EPOLLONESHOT` has fired: nothing more until it is set again.
    pub(super) fn disable(&self) {
        self.events.store(flags(self.events()), Ordering::SeqCst);
    }

    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.upgrade()
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.strong_count() > 0
    }

    /// What is asked for; nothing while disabled.
    fn mask(&self) -> Events {
        let events = self.events();
        let asked = events & !flags(u32::MAX);
        if asked == 0 && flags(events) != 0 {
            return Events::empty();
        }
        Events::from_bits_truncate(asked) | Events::ALWAYS
    }

    /// Readiness now, of what is asked for.
    pub(super) fn poll(&self, file: &File) -> Events {
        let mask = self.mask();
        if mask.is_empty() {
            mask
        } else {
            file.ops.poll(file) & mask
        }
    }

    /// True if it was not on the list: the caller puts it there.
    pub(super) fn begin_ready(&self) -> bool {
        !self.ready.swap(true, Ordering::SeqCst)
    }

    /// Taken off the list.
    pub(super) fn end_ready(&self) {
        self.ready.store(false, Ordering::SeqCst);
    }

    pub(super) fn fdinfo(&self) -> Option<String> {
        let file = self.file()?;
        let stat = file.inode().stat().ok()?;
        let pos = *file.pos.lock();
        Some(format!(
            "tfd: {:8} events: {:8x} data: {:16x}  pos:{} ino:{:x} sdev:{:x}\n",
            self.key.1,
            self.events(),
            self.data(),
            pos,
            stat.ino,
            stat.dev
        ))
    }
}

impl Listener for Item {
    fn notify(&self, events: Events) {
        self.notify_one(events);
    }

    /// Of use where somebody waits on the epoll (`ep_poll_callback`).
    fn notify_one(&self, events: Events) -> bool {
        if !self.mask().intersects(events) {
            return false;
        }
        let (Some(epoll), Some(me)) = (self.epoll.upgrade(), self.me.upgrade()) else {
            return false;
        };
        let waited_for = epoll.queue().has_waiters();
        epoll.push_ready(&me);
        waited_for
    }
}
