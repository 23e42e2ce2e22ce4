//! Tasks: guest threads as the kernel knows them, thread groups, and the loop that runs each.

mod attr;
mod cgroup;
mod clone;
mod create;
mod current;
mod cx;
pub(crate) mod exec;
mod exit;
mod group;
mod notify;
pub mod ns;
mod park;
mod pgrp;
mod pid;
pub mod pidfd;
pub(crate) mod ptrace;
mod regroup;
mod rlimit;
mod robust;
mod run;
pub mod seccomp;
mod session;
mod stop;
mod strace;
mod table;
mod unshare;
mod usage;
mod vfork;
pub(crate) mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use platform::Interrupter;

use crate::cred::Cred;
use crate::executor::Executor;
use crate::fs::{FdTable, FsContext};
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::signal::TaskSignals;
use crate::sync::Mutex;

pub use attr::{Sched, TaskAttr};
pub use cgroup::{Cgroup, DeviceRule};
pub(crate) use clone::{CloneSpec, clone};
pub use create::ContainerProcess;
pub use current::current;
pub use cx::Cx;
pub use group::{GroupState, ThreadGroup};
pub use ns::{Nsproxy, UtsNamespace};
pub use pid::{Pid, PidNamespace};
pub use rlimit::{INFINITY, Resource, Rlimit, Rlimits};
pub use session::{ControllingTty, ProcessGroup, Session};
pub use table::TaskTable;
pub(crate) use unshare::unshare;
pub use unshare::{Namespace, NsFile};
pub use usage::{IoCounters, Usage};

/// Like `ptrace_may_access` with the file system ids: may one task look into another (`/proc/PID`, `pidfd_getfd(2)`)?
pub fn may_inspect(task: &Task, target: &Task) -> bool {
    if task.group.tgid == target.group.tgid {
        return true;
    }
    let (me, to) = (task.cred(), target.cred());
    let same_user = [to.uid, to.euid, to.suid].iter().all(|&id| id == me.fsuid);
    let same_group = [to.gid, to.egid, to.sgid].iter().all(|&id| id == me.fsgid);
    let privileged = me.has_cap_in(&to.user_ns, crate::cred::cap::SYS_PTRACE);
    let allowed = (same_user && same_group) || privileged;
    allowed && (target.group.is_dumpable() || privileged) && (to.permitted & !me.permitted == 0 || privileged)
}

/// A guest thread, like `struct task_struct`. What only its own future uses is in [`Cx`].
pub struct Task {
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// Thread id in the first pid namespace.
    pub tid: i32,
    /// Thread id in every pid namespace.
    pub pid: Arc<Pid>,
    /// Its process.
    pub group: Arc<ThreadGroup>,
    slots: Mutex<Slots>,
    /// Signals of this thread; the process's are in the group.
    pub signals: Mutex<TaskSignals>,
    /// Settings that only calls look at.
    pub attr: Mutex<TaskAttr>,
    waker: Mutex<Option<Waker>>,
    interrupter: Mutex<Option<Arc<dyn Interrupter>>>,
    interrupted: AtomicBool,
    /// Guest code runs, or is about to: an interrupt must reach the platform.
    in_guest: AtomicBool,
    /// The task is to end, whatever else.
    killed: AtomicBool,
    /// A tracer looks on; see `ptrace`.
    traced: AtomicBool,
    pub(crate) ptrace: Mutex<ptrace::Ptrace>,
    /// `seccomp(2)` has a say in its calls.
    filtered: AtomicBool,
    /// Processor time as last seen.
    cpu_ns: AtomicU64,
    /// Time that the Sentry has worked for it.
    system_ns: AtomicU64,
    /// What of both its groups were told already.
    charged: [AtomicU64; 2],
    /// The call in progress, or the last one (`/proc/PID/syscall`).
    pub(crate) call: Mutex<Option<Call>>,
    /// What its call has left to be done once no lock is held: signals that come of it.
    later: Mutex<Vec<Later>>,
    has_later: AtomicBool,
    /// The parent sleeps in `vfork(2)` until this is kept.
    vfork: Mutex<Option<Arc<vfork::Vfork>>>,
}

/// Work put off until the end of a call.
type Later = Box<dyn FnOnce() + Send>;

/// A system call as `/proc/PID/syscall` shows it.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) nr: u32,
    pub(crate) args: [u64; 6],
    pub(crate) sp: u64,
    pub(crate) ip: u64,
}

/// What a task refers to and others may look at; each is replaced, not changed.
#[derive(Clone)]
struct Slots {
    cred: Arc<Cred>,
    fs: Arc<FsContext>,
    files: Arc<FdTable>,
    ns: Arc<Nsproxy>,
    mm: Option<Arc<Mm>>,
    comm: [u8; 16],
    /// None: the container's own.
    groups: Option<Arc<crate::cgroup::Groups>>,
}

impl Task {
    /// Credentials now.
    pub fn cred(&self) -> Arc<Cred> {
        self.slots.lock().cred.clone()
    }

    /// Root, working directory, umask.
    pub fn fs(&self) -> Arc<FsContext> {
        self.slots.lock().fs.clone()
    }

    /// Open files.
    pub fn files(&self) -> Arc<FdTable> {
        self.slots.lock().files.clone()
    }

    /// Namespaces.
    pub fn ns(&self) -> Arc<Nsproxy> {
        self.slots.lock().ns.clone()
    }

    /// System V objects and message queues.
    pub fn ipc(&self) -> Arc<crate::ipc::IpcNamespace> {
        self.slots.lock().ns.ipc.clone()
    }

    /// The pid namespace in which it sees others.
    pub fn pid_ns(&self) -> &Arc<PidNamespace> {
        &self.pid.ns
    }

    /// Memory; none once the task has ended.
    pub fn mm(&self) -> Option<Arc<Mm>> {
        self.slots.lock().mm.clone()
    }

    /// Replaces the memory (`execve(2)`, exit).
    pub fn set_mm(&self, mm: Option<Arc<Mm>>) {
        let old = std::mem::replace(&mut self.slots.lock().mm, mm);
        // Its files may end here: not under the lock.
        drop(old);
    }

    /// Replaces the credentials.
    pub fn set_cred(&self, cred: Arc<Cred>) {
        self.slots.lock().cred = cred;
    }

    /// Replaces root, working directory and umask (`unshare(2)`).
    pub fn set_fs(&self, fs: Arc<FsContext>) {
        self.slots.lock().fs = fs;
    }

    /// Replaces the open files (`unshare(2)`, `execve(2)`); gives the old table.
    pub fn set_files(&self, files: Arc<FdTable>) -> Arc<FdTable> {
        std::mem::replace(&mut self.slots.lock().files, files)
    }

    /// Replaces the namespaces.
    pub fn set_ns(&self, ns: Arc<Nsproxy>) {
        self.slots.lock().ns = ns;
    }

    /// `capable()`: the capability is effective in the task's own user namespace.
    pub fn capable(&self, cap: u32) -> bool {
        self.slots.lock().cred.has_cap(cap)
    }

    /// `comm`, without trailing NULs.
    pub fn comm(&self) -> Vec<u8> {
        let comm = self.slots.lock().comm;
        comm.iter().copied().take_while(|&b| b != 0).collect()
    }

    /// Sets `comm` (`PR_SET_NAME`), cut to 15 bytes.
    pub fn set_comm(&self, name: &[u8]) {
        let mut comm = [0u8; 16];
        for (to, from) in comm.iter_mut().take(15).zip(name) {
            *to = *from;
        }
        self.slots.lock().comm = comm;
    }

    /// Wakes the task's future: the only waker it ever has.
    pub fn waker(&self) -> Waker {
        self.waker.lock().clone().unwrap_or_else(|| Waker::noop().clone())
    }

    fn set_waker(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }

    fn set_interrupter(&self, interrupter: Arc<dyn Interrupter>) {
        *self.interrupter.lock() = Some(interrupter);
    }

    /// A signal, stop or kill waits: blocking calls give way.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Guest code runs, as far as the Sentry knows.
    pub fn is_running(&self) -> bool {
        self.in_guest.load(Ordering::SeqCst)
    }

    /// The task will run no more guest code.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Makes the task look at its signals soon, whether it blocks in a call or runs guest code.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        if self.in_guest.load(Ordering::SeqCst)
            && let Some(interrupter) = self.interrupter.lock().as_ref()
        {
            interrupter.interrupt();
            return;
        }
        self.wake();
    }

    /// Polls the task's future soon.
    fn wake(&self) {
        if let Some(waker) = self.waker.lock().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// The task shall end as soon as it can, with its whole process.
    fn kill_now(self: &Arc<Task>) {
        self.kill_within(500_000_000);
    }

    /// The task shall end as soon as it can. One that is ended by others and does not answer them in that time, since its guest
    /// side is hostile or damaged, loses its address space. That is the others' too: where they live on there is to be time for
    /// a busy host.
    fn kill_within(self: &Arc<Task>, patience_ns: u64) {
        self.killed.store(true, Ordering::SeqCst);
        self.interrupt();
        if !current().is_some_and(|me| me.tid == self.tid) {
            let deaf = Arc::new(Deaf(Arc::downgrade(self)));
            self.kernel
                .executor
                .notify_at(Executor::now().saturating_add(patience_ns), deaf);
        }
    }

    /// Leader of its process: the thread whose id is the process's.
    pub fn is_leader(&self) -> bool {
        self.tid == self.group.tgid
    }

    /// Thread id as the task itself sees it.
    pub fn own_tid(&self) -> i32 {
        self.pid.own()
    }

    /// Limit of the process (`getrlimit(2)`).
    pub fn rlimit(&self, resource: Resource) -> Rlimit {
        self.group.rlimit(resource)
    }

    /// Soft `RLIMIT_NOFILE`: numbers below it may be opened.
    pub fn fd_limit(&self) -> u64 {
        self.rlimit(Resource::Nofile).soft
    }

    /// Processor time in nanoseconds, as of the last time it was looked at.
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// Time that the kernel has worked for it, in nanoseconds.
    pub fn system_ns(&self) -> u64 {
        self.system_ns.load(Ordering::Relaxed)
    }

    fn add_system_ns(&self, ns: u64) {
        self.system_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Does this once the call in progress holds no lock any more, before its result is seen.
    pub(crate) fn defer(&self, work: Later) {
        self.later.lock().push(work);
        self.has_later.store(true, Ordering::SeqCst);
    }

    fn run_later(&self) {
        if self.has_later.swap(false, Ordering::SeqCst) {
            let all = std::mem::take(&mut *self.later.lock());
            all.into_iter().for_each(|work| work());
        }
    }

    /// Notes the processor time that the platform has counted.
    pub fn note_cpu_ns(&self, ns: u64) {
        self.cpu_ns.fetch_max(ns, Ordering::Relaxed);
    }
}

/// A task that was killed some time ago.
struct Deaf(std::sync::Weak<Task>);

impl crate::wait::Listener for Deaf {
    fn notify(&self, _events: crate::wait::Events) {
        // A task gives its memory up when it ends: one that still has it never came back from its guest side.
        if let Some(mm) = self.0.upgrade().and_then(|task| task.mm()) {
            mm.aspace().kill();
        }
    }
}

/// The task of that number as the caller sees it, if the caller may look into its memory (`ptrace(2)`, "access mode
/// checking", `PTRACE_MODE_ATTACH_REALCREDS`).
pub fn find_for_access(task: &Arc<Task>, pid: i32) -> abi::errno::Result<Arc<Task>> {
    let target = task.kernel.tasks.task(task.pid_ns(), pid).ok_or(abi::Errno::ESRCH)?;
    if target.tid == task.tid || ptrace::may_attach(task, &target) {
        Ok(target)
    } else {
        Err(abi::Errno::EPERM)
    }
}
