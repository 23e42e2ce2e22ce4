//! `epoll(7)`.
//!
//! An item listens on its file's wait queue. When told, it goes to the ready list; the wait looks at the files of that list
//! only. Locks: `items` (the interest list), then `ready`. A file's `poll` is called with `items` free or held, never with
//! `ready`; a file itself is dropped with neither.

mod item;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;
use abi::poll::{EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, EpollEvent};

use crate::fs::{File, FileOps};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

use item::Item;

/// Longest chain of epolls that watch each other (`EP_MAX_NESTS` links).
const MAX_NESTS: usize = 5;

/// Which file by which number: the file's id comes first.
type Key = (u64, i32);

/// An epoll instance.
pub struct Epoll {
    me: Weak<Epoll>,
    items: Mutex<BTreeMap<Key, Arc<Item>>>,
    ready: Mutex<VecDeque<Arc<Item>>>,
    queue: Arc<WaitQueue>,
}

/// What may stand in `struct epoll_event` beside the events.
const FLAGS: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;

impl Epoll {
    /// An empty one.
    pub fn new() -> Arc<Epoll> {
        Arc::new_cyclic(|me| Epoll {
            me: me.clone(),
            items: Mutex::default(),
            ready: Mutex::default(),
            queue: Arc::new(WaitQueue::new()),
        })
    }

    /// Woken when the ready list gets its first entry and with each later one.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// `EPOLL_CTL_ADD`. `EPERM` for a file that cannot be waited for, `EEXIST` if it is there, `ELOOP` for a circle or
    /// too long a chain.
    pub fn add(&self, file: &Arc<File>, fd: i32, event: EpollEvent) -> Result<()> {
        let queue = file.ops.wait_queue().cloned().ok_or(Errno::EPERM)?;
        if let Some(inner) = file.downcast::<Epoll>() {
            if event.events & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            if inner.reaches(self, 0)? || inner.depth(0)? + 1 > MAX_NESTS {
                return Err(Errno::ELOOP);
            }
        }
        self.forget_closed();
        let key = (file.id, fd);
        let item = Item::new(self.me.clone(), file, key, event);
        {
            let mut items = self.items.lock();
            if items.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            items.insert(key, item.clone());
        }
        item.listen(queue);
        self.check(&item, file);
        Ok(())
    }

    /// `EPOLL_CTL_MOD`
    pub fn modify(&self, file: &Arc<File>, fd: i32, event: EpollEvent) -> Result<()> {
        let item = self.items.lock().get(&(file.id, fd)).cloned().ok_or(Errno::ENOENT)?;
        if (item.events() | event.events) & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.set(event);
        self.check(&item, file);
        Ok(())
    }

    /// `EPOLL_CTL_DEL`
    pub fn remove(&self, file: &File, fd: i32) -> Result<()> {
        let item = self.items.lock().remove(&(file.id, fd)).ok_or(Errno::ENOENT)?;
        item.close();
        Ok(())
    }

    /// Puts an item that is ready now on the list.
    fn check(&self, item: &Arc<Item>, file: &File) {
        if item.poll(file).is_empty() {
            return;
        }
        self.push_ready(item);
    }

    fn push_ready(&self, item: &Arc<Item>) {
        if item.begin_ready() {
            self.ready.lock().push_back(item.clone());
        }
        self.queue.wake(Events::READ);
    }

    /// Takes up to `max` events off the ready list.
    pub fn take(&self, max: usize) -> Vec<EpollEvent> {
        let mut out = Vec::new();
        let mut again = Vec::new();
        let mut rounds = self.ready.lock().len();
        // Dropped at the end: a file that closes meanwhile ends outside of all locks.
        let mut files = Vec::new();
        while out.len() < max && rounds > 0 {
            rounds -= 1;
            let Some(item) = self.ready.lock().pop_front() else {
                break;
            };
            // From here on a new event puts it on the list again.
            item.end_ready();
            let Some(file) = item.file() else {
                self.drop_item(&item);
                continue;
            };
            let events = item.poll(&file);
            files.push(file);
            if events.is_empty() {
                continue;
            }
            out.push(EpollEvent::new(events.bits(), item.data()));
            if item.events() & EPOLLONESHOT != 0 {
                item.disable();
            } else if item.events() & EPOLLET == 0 {
                again.push(item);
            }
        }
        for item in again {
            if item.begin_ready() {
                self.ready.lock().push_back(item);
            }
        }
        out
    }

    fn drop_item(&self, item: &Arc<Item>) {
        let mut items = self.items.lock();
        if items.get(&item.key).is_some_and(|i| Arc::ptr_eq(i, item)) {
            items.remove(&item.key);
        }
        drop(items);
        item.close();
    }

    /// Items whose file is closed give their place back.
    fn forget_closed(&self) {
        let mut items = self.items.lock();
        if !items.len().is_power_of_two() {
            return;
        }
        let (live, dead): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut *items).into_iter().partition(|(_, i)| i.is_open());
        *items = live;
        drop(items);
        for item in dead.values() {
            item.close();
        }
    }

    /// Watched epolls.
    fn inner(&self) -> Vec<Arc<File>> {
        let items: Vec<Arc<Item>> = self.items.lock().values().cloned().collect();
        let files = items.iter().filter_map(|i| i.file());
        files.filter(|f| f.downcast::<Epoll>().is_some()).collect()
    }

    /// True if `other` is this one or watched by it, at any depth.
    fn reaches(&self, other: &Epoll, depth: usize) -> Result<bool> {
        if std::ptr::eq(self, other) {
            return Ok(true);
        }
        if depth > MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        for file in self.inner() {
            if let Some(inner) = file.downcast::<Epoll>()
                && inner.reaches(other, depth + 1)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Epolls in the longest chain that starts here.
    fn depth(&self, above: usize) -> Result<usize> {
        if above > MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        let mut deepest = 0;
        for file in self.inner() {
            if let Some(inner) = file.downcast::<Epoll>() {
                deepest = deepest.max(inner.depth(above + 1)?);
            }
        }
        Ok(deepest + 1)
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        for item in std::mem::take(&mut *self.items.lock()).values() {
            item.close();
        }
    }
}

impl FileOps for Epoll {
    fn poll(&self, _file: &File) -> Events {
        let items: Vec<Arc<Item>> = self.ready.lock().iter().cloned().collect();
        let ready = items.iter().any(|i| i.file().is_some_and(|f| !i.poll(&f).is_empty()));
        if ready { Events::READ } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.queue)
    }

    fn fdinfo(&self, _file: &File) -> String {
        let items: Vec<Arc<Item>> = self.items.lock().values().cloned().collect();
        items.iter().filter_map(|i| i.fdinfo()).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Bits of `epoll_event.events` that are not readiness.
fn flags(events: u32) -> u32 {
    events & FLAGS
}
