//! Runs tasks: a few worker threads, one queue, timers, and host fds as sources of events.
//!
//! One idle worker is the *leader*: it waits inside the platform for guest events, so that a system call is served on the
//! thread that caught it. Another is the *reactor*: it waits for timers and host fds. The rest are parked until there is
//! more than one ready task, or until somebody announces work that can block for long ([`Executor::blocking`]).

mod host_fd;
mod reactor;
mod timers;

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use async_task::Runnable;
use crossbeam_queue::SegQueue;
use parking_lot::Condvar;
use platform::Platform;

use crate::sync::Mutex;
use crate::wait::Listener;

pub use host_fd::HostFd;
use reactor::Reactor;
pub use reactor::{FdEvents, FdKey};
pub use timers::TimerKey;

thread_local! {
    /// True on the executor's own threads while they are free to run what is queued.
    static WORKER: Cell<bool> = const { Cell::new(false) };
}

/// The executor of one Sentry.
pub struct Executor {
    queue: SegQueue<Runnable>,
    platform: Arc<dyn Platform>,
    reactor: Reactor,
    /// Held by the worker that waits inside the platform.
    leader: Mutex<()>,
    leading: AtomicBool,
    parked: Mutex<usize>,
    wake_parked: Condvar,
    idle: AtomicUsize,
    stop: AtomicBool,
}

impl Executor {
    /// No threads yet: see [`Executor::run`].
    pub fn new(platform: Arc<dyn Platform>) -> abi::errno::Result<Arc<Executor>> {
        Ok(Arc::new(Executor {
            queue: SegQueue::new(),
            platform,
            reactor: Reactor::new()?,
            leader: Mutex::new(()),
            leading: AtomicBool::new(false),
            parked: Mutex::new(0),
            wake_parked: Condvar::new(),
            idle: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }))
    }

    /// The platform's name.
    pub fn platform_name(&self) -> &'static str {
        self.platform.name()
    }

    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub fn now() -> u64 {
        timers::now()
    }

    /// Starts a future; it runs until done, whoever drops what.
    pub fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let me = Arc::downgrade(self);
        let schedule = move |runnable| {
            if let Some(me) = me.upgrade() {
                me.schedule(runnable);
            }
        };
        let (runnable, task) = async_task::spawn(future, schedule);
        task.detach();
        runnable.schedule();
    }

    fn schedule(&self, runnable: Runnable) {
        let backlog = !self.queue.is_empty();
        self.queue.push(runnable);
        if !WORKER.get() {
            // From a thread that will not look at the queue: the reactor can always be woken.
            self.reactor.kick();
        } else if backlog && self.idle.load(Ordering::Relaxed) > 0 {
            self.wake_parked.notify_one();
        }
    }

    /// Calls the waker at that time (`CLOCK_MONOTONIC`, nanoseconds), or soon if it is past.
    pub fn wake_at(&self, at: u64, waker: Waker) -> TimerKey {
        self.reactor.timers.add(at, timers::Action::Wake(waker))
    }

    /// Tells the listener at that time.
    pub fn notify_at(&self, at: u64, listener: Arc<dyn Listener>) -> TimerKey {
        self.reactor.timers.add(at, timers::Action::Notify(listener))
    }

    /// Forgets a timer; nothing happens if it has fired.
    pub fn cancel(&self, key: TimerKey) {
        self.reactor.timers.cancel(key);
    }

    /// Tells the listener whenever a host fd becomes ready (edge triggered). Fails with `EPERM` for regular files, which
    /// are always ready.
    pub fn watch_fd(
        &self,
        fd: std::os::fd::BorrowedFd<'_>,
        events: FdEvents,
        listener: Arc<dyn Listener>,
    ) -> abi::errno::Result<FdKey> {
        self.reactor.watch(fd, events, listener)
    }

    /// Ends a watch. Call before the fd is closed.
    pub fn unwatch_fd(&self, fd: std::os::fd::BorrowedFd<'_>, key: FdKey) {
        self.reactor.unwatch(fd, key);
    }

    /// Runs host work that can block for long, first leaving the leader's place to another worker.
    pub fn blocking<T>(&self, work: impl FnOnce() -> T) -> T {
        let was = WORKER.replace(false);
        if was && self.idle.load(Ordering::Relaxed) > 0 {
            self.wake_parked.notify_one();
        }
        let result = work();
        WORKER.set(was);
        result
    }

    /// Runs tasks on `workers` threads (at least two) until [`Executor::stop`]; the calling thread is the reactor.
    pub fn run(self: &Arc<Self>, workers: usize) {
        let mut threads = Vec::new();
        for i in 1..workers.max(2) {
            let me = self.clone();
            let builder = std::thread::Builder::new()
                .name(format!("worker{i}"))
                .stack_size(1 << 20);
            match builder.spawn(move || me.work()) {
                Ok(thread) => threads.push(thread),
                Err(e) => crate::log::warn(format_args!("worker thread: {e}")),
            }
        }
        WORKER.set(true);
        while !self.stop.load(Ordering::Acquire) {
            self.run_ready();
            self.reactor
                .wait(|| self.queue.is_empty() && !self.stop.load(Ordering::Acquire));
        }
        self.wake_parked.notify_all();
        self.platform.unpark();
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Ends [`Executor::run`] once the tasks that run now have yielded.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.reactor.kick();
        self.platform.unpark();
        self.wake_parked.notify_all();
    }

    fn run_ready(&self) -> bool {
        let mut any = false;
        while let Some(runnable) = self.queue.pop() {
            any = true;
            runnable.run();
            if self.stop.load(Ordering::Acquire) {
                break;
            }
        }
        any
    }

    /// A worker other than the reactor: leads if nobody does, else sleeps until called.
    fn work(&self) {
        WORKER.set(true);
        let mut has_wait = true;
        while !self.stop.load(Ordering::Acquire) {
            if self.run_ready() {
                continue;
            }
            if has_wait && let Some(_leader) = self.leader.try_lock() {
                self.leading.store(true, Ordering::SeqCst);
                if self.queue.is_empty() && !self.stop.load(Ordering::Acquire) {
                    has_wait = self.platform.wait();
                }
                self.leading.store(false, Ordering::SeqCst);
                if !has_wait {
                    // Another worker may be the one that the platform lets wait, and have found the place taken just now.
                    drop(_leader);
                    let _parked = self.parked.lock();
                    self.wake_parked.notify_all();
                }
                continue;
            }
            let mut parked = self.parked.lock();
            if has_wait && !self.leader.is_locked() {
                continue;
            }
            *parked += 1;
            self.idle.store(*parked, Ordering::Relaxed);
            if self.queue.is_empty() && !self.stop.load(Ordering::Acquire) {
                // The time limit is a net under lost calls; it is long, since an idle sandbox uses no processor time.
                self.wake_parked
                    .wait_for(&mut parked, std::time::Duration::from_secs(60));
            }
            *parked -= 1;
            self.idle.store(*parked, Ordering::Relaxed);
        }
    }
}
