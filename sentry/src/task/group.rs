//! Thread groups: processes.
//!
//! Locks, outermost first: the table's, `ThreadGroup::state`, `handlers`, `pending`, then `Task::signals`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use super::Task;
use super::cgroup::Cgroup;
use super::pid::Pid;
use super::rlimit::{Resource, Rlimit, Rlimits};
use super::usage::GroupUsage;
use crate::signal::{PendingSignals, SigHandlers, Signal};
use crate::sync::Mutex;
use crate::wait::WaitQueue;

/// A process, like `struct signal_struct` with its `sighand_struct`.
pub struct ThreadGroup {
    /// Process id in the first pid namespace.
    pub tgid: i32,
    /// Process id in every pid namespace.
    pub pid: Arc<Pid>,
    /// Its container's.
    pub cgroup: Arc<Cgroup>,
    /// Sent to the process.
    pub pending: Mutex<PendingSignals>,
    handlers: Mutex<Arc<Mutex<SigHandlers>>>,
    /// Interval and POSIX timers.
    pub timers: Mutex<crate::time::ProcessTimers>,
    pub(crate) rlimits: Mutex<Rlimits>,
    pub(crate) state: Mutex<GroupState>,
    /// Woken when a child changes state: `wait4(2)` of this process sleeps here.
    pub child_wait: Arc<WaitQueue>,
    /// Woken when the process has ended (pidfds) and when it is released.
    pub exit_wait: Arc<WaitQueue>,
    /// Woken when a signal is sent: signalfd and `sigtimedwait(2)`.
    pub signal_wait: Arc<WaitQueue>,
    pub(super) usage: Mutex<GroupUsage>,
    /// What it has read and written.
    pub io: super::usage::IoCounters,
    /// `PR_SET_DUMPABLE`
    pub dumpable: AtomicU32,
    /// `/proc/PID/oom_score_adj`
    pub oom_score_adj: AtomicI32,
    /// `CLOCK_MONOTONIC` when it began, nanoseconds.
    pub start_ns: u64,
    /// First process of a pid namespace: signals without a handler do not reach it from inside.
    pub(crate) unkillable: bool,
    /// It has no such protection all the same (`runsc do`: the first process is a command, no init).
    pub(crate) mortal: AtomicBool,
}

/// What changes of a process under one lock, like what `siglock` guards.
#[derive(Default)]
pub struct GroupState {
    /// Threads that have not ended.
    pub(super) threads: Vec<Arc<Task>>,
    /// The process ends, with this wait status.
    pub(super) exit: Option<i32>,
    /// The thread that is in `execve(2)`: the others end.
    pub(super) exec: Option<i32>,
    /// The signal of a stop that is in force or under way.
    pub(super) stop: Option<Signal>,
    /// All threads have stopped.
    pub(super) stopped: bool,
    /// To be told to the parent by the next thread that looks at its signals: `CLD_STOPPED` or `CLD_CONTINUED`.
    pub(super) tell_parent: Option<(i32, Signal)>,
    /// A stop signal was dequeued and may still be undone by `SIGCONT`.
    pub(super) stop_taken: bool,
}

impl ThreadGroup {
    pub(super) fn new(
        pid: Arc<Pid>,
        cgroup: Arc<Cgroup>,
        handlers: Arc<Mutex<SigHandlers>>,
        rlimits: Rlimits,
    ) -> ThreadGroup {
        ThreadGroup {
            tgid: pid.number(),
            unkillable: pid.own() == 1,
            pid,
            cgroup,
            pending: Mutex::default(),
            handlers: Mutex::new(handlers),
            timers: Mutex::default(),
            rlimits: Mutex::new(rlimits),
            state: Mutex::default(),
            child_wait: Arc::default(),
            exit_wait: Arc::default(),
            signal_wait: Arc::default(),
            usage: Mutex::default(),
            io: super::usage::IoCounters::default(),
            dumpable: AtomicU32::new(1),
            oom_score_adj: AtomicI32::new(0),
            start_ns: crate::executor::Executor::now(),
            mortal: AtomicBool::new(false),
        }
    }

    /// Signals that would end or stop it by default, sent from inside its pid namespace, have no effect.
    pub(crate) fn shielded(&self) -> bool {
        self.unkillable && !self.mortal.load(Ordering::Relaxed)
    }

    /// What it does with signals. `CLONE_SIGHAND` shares the object.
    pub fn handlers(&self) -> Arc<Mutex<SigHandlers>> {
        self.handlers.lock().clone()
    }

    /// `execve(2)` and `CLONE_CLEAR_SIGHAND`: from now on handlers of its own.
    pub(super) fn set_handlers(&self, handlers: SigHandlers) {
        *self.handlers.lock() = Arc::new(Mutex::new(handlers));
    }

    /// A limit (`getrlimit(2)`).
    pub fn rlimit(&self, resource: Resource) -> Rlimit {
        self.rlimits.lock().get(resource)
    }

    /// All limits.
    pub fn rlimits(&self) -> Rlimits {
        self.rlimits.lock().clone()
    }

    /// Threads that have not ended.
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.state.lock().threads.clone()
    }

    /// Some thread that has not ended, the leader if it is among them.
    pub fn any_thread(&self) -> Option<Arc<Task>> {
        let state = self.state.lock();
        let leader = state.threads.iter().find(|t| t.is_leader());
        leader.or_else(|| state.threads.first()).cloned()
    }

    /// Number of threads that have not ended.
    pub fn thread_count(&self) -> usize {
        self.state.lock().threads.len()
    }

    /// Wait status (`wait(2)`) once the process has begun to end.
    pub fn exit_status(&self) -> Option<i32> {
        self.state.lock().exit
    }

    /// All threads have ended.
    pub fn has_ended(&self) -> bool {
        let state = self.state.lock();
        state.exit.is_some() && state.threads.is_empty()
    }

    /// Stopped by a signal (`T` in `/proc/PID/stat`).
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Ends the process with this wait status, unless it is ending already.
    pub fn exit(&self, status: i32) {
        self.state.lock().begin_exit(status);
    }

    /// `PR_GET_DUMPABLE`
    pub fn is_dumpable(&self) -> bool {
        self.dumpable.load(Ordering::Relaxed) == 1
    }
}

impl GroupState {
    /// Ends all threads, once.
    pub(crate) fn begin_exit(&mut self, status: i32) {
        if self.exit.is_none() {
            self.exit = Some(status);
        }
        self.stop = None;
        self.stopped = false;
        for thread in &self.threads {
            thread.kill_now();
        }
    }

    /// The process is ending.
    pub(crate) fn is_exiting(&self) -> bool {
        self.exit.is_some()
    }
}
