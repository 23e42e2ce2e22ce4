//! The meeting point: requests come in here from any thread, stops from the host, and one thread traces.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::boot;
use super::context::PtContext;
use super::thread::Thread;
use super::tracer::Tracer;
use crate::Vdso;
use crate::guest::fpu::Layout;
use crate::guest::zygote::Zygote;
use crate::host::notify::Listener;
use crate::host::ptrace::{self, NOTIFIED};
use crate::host::{process, ptrace::Status};

/// Nobody waits.
const IDLE: u32 = 0;
/// The tracer waits, or is about to.
const PARKED: u32 = 1;

thread_local! {
    /// Address of the hub that this thread traces for; only compared.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// What all parts of one open platform share.
pub(super) struct Hub {
    pub(super) program: OwnedFd,
    pub(super) proc_fd: Option<Arc<OwnedFd>>,
    pub(super) zygote: Mutex<Weak<Zygote<PtContext>>>,
    /// Known once the zygote is there.
    pub(super) facts: OnceLock<Facts>,
    /// By host thread id.
    pub(super) threads: Mutex<HashMap<i32, Arc<Thread>>>,
    /// Process group of all guest processes, the zygote's pid; 0 before.
    pub(super) group: AtomicI32,
    /// Threads that run guest code, as the tracer let them.
    pub(super) running: Mutex<Vec<i32>>,
    /// Looks at those since the last look at all.
    looks: AtomicU32,
    /// Stops that came while the tracer waited for another thread.
    pub(super) deferred: Mutex<VecDeque<(i32, Status)>>,
    /// Threads with a request, or retired.
    queue: Mutex<VecDeque<Arc<Thread>>>,
    queued: AtomicUsize,
    closing: AtomicBool,
    /// Host thread id of the tracer, 0 before there is one.
    tracer: AtomicI32,
    /// `IDLE`, `PARKED` or `NOTIFIED`.
    parking: AtomicU32,
}

/// What is the same in all guest processes.
pub(super) struct Facts {
    pub(super) listener: Listener,
    pub(super) vdso: Option<Vdso>,
    pub(super) fpu: Layout,
    /// Bytes of a floating-point regset.
    pub(super) xstate_len: usize,
}

impl Hub {
    pub(super) fn new(program: OwnedFd, proc_fd: Option<OwnedFd>) -> Hub {
        Hub {
            program,
            proc_fd: proc_fd.map(Arc::new),
            zygote: Mutex::default(),
            facts: OnceLock::new(),
            threads: Mutex::default(),
            group: AtomicI32::new(0),
            running: Mutex::default(),
            looks: AtomicU32::new(0),
            deferred: Mutex::default(),
            queue: Mutex::default(),
            queued: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            tracer: AtomicI32::new(0),
            parking: AtomicU32::new(IDLE),
        }
    }

    /// The tracer's powers, on its own thread.
    pub(super) fn tracer(self: &Arc<Self>) -> Option<Tracer<'_>> {
        (HERE.get() == Arc::as_ptr(self).addr()).then(|| Tracer::new(self))
    }

    /// Makes this thread the tracer if there is none yet, and starts the zygote; true if so.
    fn take_lead(self: &Arc<Self>) -> bool {
        let me = rustix::thread::gettid().as_raw_nonzero().get();
        let first = self.tracer.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_err() {
            return false;
        }
        HERE.set(Arc::as_ptr(self).addr());
        let zygote = self.zygote.lock().upgrade();
        let started = ptrace::accept_wakes().and_then(|()| boot::start(self));
        if let Some(zygote) = zygote {
            zygote.arrive(started);
        }
        true
    }

    /// Blocks until a future was woken or somebody calls [`Hub::unpark`]; not at all if that was since the last time. False on
    /// any thread but the tracer, which is the first that calls.
    pub(super) fn wait(self: &Arc<Self>) -> bool {
        let Some(tracer) = self.tracer() else {
            return self.take_lead();
        };
        let parked = self
            .parking
            .compare_exchange(IDLE, PARKED, Ordering::SeqCst, Ordering::SeqCst);
        let mut woken = self.look(&tracer) | parked.is_err();
        while !woken {
            match ptrace::wait_unless(&self.parking) {
                Ok(Some((tid, status))) => woken = tracer.dispatch(tid, status) | tracer.serve_deferred(),
                Ok(None) => {
                    tracer.serve_queue();
                    woken = true;
                }
                // No tracee, not even a zygote: nothing will ever come.
                Err(_) => {
                    self.parking.store(IDLE, Ordering::SeqCst);
                    return false;
                }
            }
        }
        if self.parking.swap(IDLE, Ordering::SeqCst) == NOTIFIED {
            tracer.serve_queue();
        }
        true
    }

    /// Takes what is there.
    pub(super) fn poll(self: &Arc<Self>) -> bool {
        self.tracer().is_some_and(|tracer| self.look(&tracer))
    }

    /// Attends to requests and to every running thread that has stopped; true if a future was woken.
    ///
    /// Asked for any thread, the host looks through all of them from the youngest on: two young threads that call all the time
    /// would keep the others from being seen, and two thousand threads make a look dear.
    fn look(&self, tracer: &Tracer<'_>) -> bool {
        const ALL_AFTER: u32 = 64;
        let mut woken = tracer.serve_queue() | tracer.serve_deferred();
        let running = self.running.lock().clone();
        for tid in running {
            if let Ok(Some((tid, status))) = ptrace::wait(tid, false) {
                woken |= tracer.dispatch(tid, status);
            }
        }
        // Ends of threads that did not run are seen here, or before sleeping.
        if self.looks.fetch_add(1, Ordering::Relaxed) >= ALL_AFTER {
            self.looks.store(0, Ordering::Relaxed);
            while let Ok(Some((tid, status))) = ptrace::wait(-1, false) {
                woken |= tracer.dispatch(tid, status);
            }
        }
        woken | tracer.serve_deferred()
    }

    pub(super) fn unpark(&self) {
        if self.parking.swap(NOTIFIED, Ordering::SeqCst) == PARKED {
            ptrace::wake(self.tracer.load(Ordering::SeqCst));
        }
    }

    /// A thread has a request, or is retired: the tracer sees to it, at once if this is the tracer.
    pub(super) fn submit(self: &Arc<Self>, thread: &Arc<Thread>) {
        if let Some(tracer) = self.tracer() {
            // Those that came first.
            tracer.serve_queue();
            tracer.serve(thread);
            return;
        }
        let mut queue = self.queue.lock();
        queue.push_back(Arc::clone(thread));
        self.queued.store(queue.len(), Ordering::Release);
        drop(queue);
        self.unpark();
    }

    /// The next thread with a request.
    pub(super) fn next(&self) -> Option<Arc<Thread>> {
        if self.queued.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let thread = queue.pop_front();
        self.queued.store(queue.len(), Ordering::Release);
        thread
    }

    pub(super) fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        self.threads.lock().get(&tid).cloned()
    }

    /// Guest code begins to run, or has stopped.
    pub(super) fn set_running(&self, tid: i32, runs: bool) {
        let mut running = self.running.lock();
        if runs {
            running.push(tid);
        } else {
            running.retain(|other| *other != tid);
        }
    }

    /// A thread has ended; true if a future was woken.
    pub(super) fn ended(&self, tid: i32) -> bool {
        let Some(thread) = self.threads.lock().remove(&tid) else {
            return false;
        };
        self.set_running(tid, false);
        if thread.leads() {
            // The last to be told of: nobody else is left.
            thread.process.set_dead();
            let zygote = tid == self.group.load(Ordering::SeqCst) && self.facts.get().is_some();
            if zygote && !self.closing.load(Ordering::SeqCst) {
                // Killed from outside: no process could be made any more, and whoever waits for one would wait for ever. The
                // Sentry is the first process of its pid namespace, so that everything ends with it.
                crate::host::last_words::say(crate::guest::zygote::KILLED);
                std::process::exit(128 + libc::SIGKILL);
            }
        }
        thread.process.inflight.done(tid.unsigned_abs(), None);
        thread.set_gone()
    }

    /// Ends every guest process and reaps it.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let group = self.group.load(Ordering::SeqCst);
        if group <= 0 {
            return;
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        let _ = process::kill(-group, libc::SIGKILL);
        for thread in threads.values() {
            thread.process.set_dead();
            thread.set_gone();
        }
        ptrace::reap_group(group);
    }
}
