//! Tasks: guest threads as the kernel knows them, thread groups, and the loop that runs each.

mod cx;
mod group;
mod rlimit;
mod run;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use platform::Interrupter;

use crate::cred::Cred;
use crate::fs::{FdTable, FsContext};
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::signal::{PendingSignals, SigSet};
use crate::sync::Mutex;

pub use cx::Cx;
pub use group::ThreadGroup;
pub use rlimit::{Resource, Rlimit, Rlimits};
pub use table::TaskTable;

/// A guest thread, like `struct task_struct`. What only its own future uses is in [`Cx`].
pub struct Task {
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// Thread id in the first pid namespace.
    pub tid: i32,
    /// Its process.
    pub group: Arc<ThreadGroup>,
    slots: Mutex<Slots>,
    /// Signals of this thread; the process's are in the group.
    pub signals: Mutex<TaskSignals>,
    waker: OnceLock<Waker>,
    interrupter: Mutex<Option<Arc<dyn Interrupter>>>,
    interrupted: AtomicBool,
}

/// What a task refers to and others may look at; each is replaced, not changed.
struct Slots {
    cred: Arc<Cred>,
    fs: Arc<FsContext>,
    files: Arc<FdTable>,
    mm: Option<Arc<Mm>>,
    comm: [u8; 16],
}

/// Signal state of one thread.
#[derive(Clone, Default)]
pub struct TaskSignals {
    /// Sent to this thread.
    pub pending: PendingSignals,
    /// Blocked now.
    pub blocked: SigSet,
    /// The mask to go back to once a signal was delivered (`sigsuspend`, `ppoll`, `epoll_pwait`).
    pub saved_blocked: Option<SigSet>,
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
        self.waker.get().cloned().unwrap_or_else(|| Waker::noop().clone())
    }

    /// A signal, stop or kill waits: blocking calls give way.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Makes the task look at its signals soon, whether it blocks in a call or runs guest code.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        if let Some(interrupter) = self.interrupter.lock().as_ref() {
            interrupter.interrupt();
        }
    }

    /// Limit of the process (`getrlimit(2)`).
    pub fn rlimit(&self, resource: Resource) -> Rlimit {
        self.group.rlimit(resource)
    }

    /// Soft `RLIMIT_NOFILE`: numbers below it may be opened.
    pub fn fd_limit(&self) -> u64 {
        self.rlimit(Resource::Nofile).soft
    }
}

/// The task of that number as the caller sees it, if the caller may look into its memory (`ptrace(2)`, "access mode
/// checking", `PTRACE_MODE_ATTACH_REALCREDS`).
pub fn find_for_access(task: &Arc<Task>, pid: i32) -> abi::errno::Result<Arc<Task>> {
    if pid == task.tid {
        Ok(task.clone())
    } else {
        Err(abi::Errno::ESRCH)
    }
}
