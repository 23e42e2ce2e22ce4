//! Contexts of Linux AIO (`io_setup(2)`): completions that wait to be read, and polls under way.
//!
//! Reads and writes are done by `io_submit(2)` itself, as Linux does for everything but direct I/O on a disk; only `IOCB_CMD_POLL` completes
//! later. A context belongs to a memory map: it is not inherited, and ends with the map.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;
use zerocopy::{Immutable, IntoBytes};

use super::file::File;
use crate::executor::Executor;
use crate::ipc::eventfd::EventFd;
use crate::sync::Mutex;
use crate::wait::{Events, Listener, WaitKey, WaitQueue};

/// `struct io_event`
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub struct IoEvent {
    /// `aio_data` of the request.
    pub data: u64,
    /// Address of its `struct iocb`.
    pub obj: u64,
    /// What came of it.
    pub res: i64,
    /// Always 0.
    pub res2: i64,
}

/// What a completion needs of its request.
#[derive(Clone)]
pub struct Request {
    /// `aio_data`
    pub data: u64,
    /// Address of the `struct iocb`.
    pub obj: u64,
    /// `IOCB_FLAG_RESFD`: the open file of an eventfd, to be told.
    pub resfd: Option<Arc<File>>,
}

#[derive(Default)]
struct State {
    events: VecDeque<IoEvent>,
    /// Requests accepted whose events were not read yet.
    taken: usize,
    polls: BTreeMap<u64, Arc<Poll>>,
    dead: bool,
}

/// A context.
pub struct AioContext {
    /// Requests that fit.
    pub max: usize,
    state: Mutex<State>,
    queue: Arc<WaitQueue>,
    total: Arc<AtomicU64>,
}

/// The contexts of a memory map, by their ids.
pub type AioContexts = Mutex<BTreeMap<u64, Arc<AioContext>>>;

impl AioContext {
    /// Counted in `total` (`/proc/sys/fs/aio-nr`); `EAGAIN` where that would exceed `limit`.
    pub fn new(max: usize, total: &Arc<AtomicU64>, limit: u64) -> Result<Arc<AioContext>> {
        let more = abi::conv::usize64(max);
        let fits = |now: u64| now.checked_add(more).filter(|&sum| sum <= limit);
        if total.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            return Err(Errno::EAGAIN);
        }
        Ok(Arc::new(AioContext {
            max,
            state: Mutex::default(),
            queue: Arc::default(),
            total: total.clone(),
        }))
    }

    /// Woken with each completion, and at the end.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Room for one more request; `EAGAIN` if there is none.
    pub fn reserve(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL);
        }
        if state.taken >= self.max {
            return Err(Errno::EAGAIN);
        }
        state.taken += 1;
        Ok(())
    }

    /// The request was not accepted after all.
    pub fn unreserve(&self) {
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_sub(1);
    }

    /// A request is done.
    pub fn complete(&self, request: &Request, res: i64) {
        let mut state = self.state.lock();
        state.events.push_back(IoEvent {
            data: request.data,
            obj: request.obj,
            res,
            res2: 0,
        });
        drop(state);
        if let Some(eventfd) = request.resfd.as_ref().and_then(|f| f.downcast::<EventFd>()) {
            eventfd.signal(1);
        }
        self.queue.wake(Events::READ);
    }

    /// Takes up to `max` completions. `EINVAL` once the context is destroyed.
    pub fn take(&self, max: usize) -> Result<Vec<IoEvent>> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL);
        }
        let n = max.min(state.events.len());
        state.taken = state.taken.saturating_sub(n);
        Ok(state.events.drain(..n).collect())
    }

    /// Completions that wait.
    pub fn ready(&self) -> usize {
        self.state.lock().events.len()
    }

    /// `io_destroy(2)`: polls end, waiting calls give up.
    pub fn destroy(&self) {
        let polls = {
            let mut state = self.state.lock();
            state.dead = true;
            std::mem::take(&mut state.polls)
        };
        for poll in polls.values() {
            poll.end();
        }
        self.queue.wake(Events::all());
    }

    /// `IOCB_CMD_POLL`: completes when one of `mask` holds. `EINVAL` for a file that cannot be waited for.
    pub fn poll(
        self: &Arc<Self>,
        executor: &Arc<Executor>,
        request: Request,
        file: &Arc<File>,
        mask: Events,
    ) -> Result<()> {
        let queue = file.ops.wait_queue().cloned().ok_or(Errno::EINVAL)?;
        let poll = Arc::new_cyclic(|me| Poll {
            me: me.clone(),
            context: Arc::downgrade(self),
            executor: Arc::downgrade(executor),
            file: file.clone(),
            mask: mask | Events::ALWAYS,
            request,
            done: AtomicBool::new(false),
            registration: Mutex::new(None),
        });
        self.state.lock().polls.insert(poll.request.obj, poll.clone());
        let key = queue.listen(Events::all(), poll.clone());
        *poll.registration.lock() = Some((queue, key));
        poll.look();
        Ok(())
    }

    /// `io_cancel(2)`: the poll of that `struct iocb` ends with what holds now. `EINVAL` if there is none.
    pub fn cancel(&self, obj: u64) -> Result<()> {
        let poll = self.state.lock().polls.get(&obj).cloned().ok_or(Errno::EINVAL)?;
        poll.finish(Events::empty());
        Ok(())
    }
}

impl Drop for AioContext {
    fn drop(&mut self) {
        self.total.fetch_sub(abi::conv::usize64(self.max), Ordering::AcqRel);
        for poll in std::mem::take(&mut self.state.get_mut().polls).values() {
            poll.end();
        }
    }
}

/// A poll under way.
struct Poll {
    me: Weak<Poll>,
    context: Weak<AioContext>,
    executor: Weak<Executor>,
    file: Arc<File>,
    mask: Events,
    request: Request,
    done: AtomicBool,
    registration: Mutex<Option<(Arc<WaitQueue>, WaitKey)>>,
}

impl Poll {
    fn look(&self) {
        let events = self.file.ops.poll(&self.file) & self.mask;
        if !events.is_empty() {
            self.finish(events);
        }
    }

    fn finish(&self, events: Events) {
        if self.done.swap(true, Ordering::AcqRel) {
            return;
        }
        self.end();
        if let Some(context) = self.context.upgrade() {
            context.state.lock().polls.remove(&self.request.obj);
            context.complete(&self.request, i64::from(events.bits()));
        }
    }

    /// Hears no more of the file.
    fn end(&self) {
        let registration = self.registration.lock().take();
        if let Some((queue, key)) = registration {
            queue.remove(key);
        }
    }
}

impl Listener for Poll {
    fn notify(&self, events: Events) {
        if !self.mask.intersects(events) || self.done.load(Ordering::Acquire) {
            return;
        }
        // Asking the file takes its locks, which a waker may not: from a task of its own.
        if let (Some(executor), Some(me)) = (self.executor.upgrade(), self.me.upgrade()) {
            executor.spawn(async move { me.look() });
        }
    }
}
