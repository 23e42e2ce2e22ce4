//! Catching guest code: what the Sentry asks of a platform, and the platforms.
//!
//! Three traits are the whole border. [`Platform`] makes processes and delivers their events; [`AddressSpace`] is one
//! guest memory, readable and writable by anybody in the Sentry; [`Context`] is one guest thread, owned by the one
//! future that drives it. A context also carries out changes of its own address space ([`MemOp`]), because on systrap and
//! ptrace it is the guest thread itself that executes them (ADR 0002).

mod guest;
pub mod host;
mod ptrace;
mod systrap;
mod types;

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use abi::errno::Result;
use abi::regs::Regs;

pub use guest::procfs::guest_oom_score_adj;
pub use types::{FaultInfo, MapFlags, MemOp, OpFailure, PageState, Prot, Trap, Vdso};

/// A future that a platform gives back where the call is rare enough to pay for a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A new guest process: its memory and its first thread, stopped before it has run anything.
pub type NewProcess = (Arc<dyn AddressSpace>, Box<dyn Context>);

/// One way to run guest code.
pub trait Platform: Send + Sync {
    /// The name that `--platform` takes.
    fn name(&self) -> &'static str;

    /// End of the range that a guest may map (exclusive), page aligned. What lies above belongs to the platform.
    fn guest_end(&self) -> u64;

    /// Makes a process with an empty address space. Its one thread has clean registers and floating-point state.
    fn new_process(&self) -> BoxFuture<'_, Result<NewProcess>>;

    /// Makes a source of processes that is a host process of its own: what becomes of that (a cgroup) holds for all that come from
    /// it, and for what they make of themselves by fork and exec.
    fn nursery(&self) -> BoxFuture<'_, Result<Arc<dyn Nursery>>>;

    /// Blocks until guest events came in and wakes the futures that wait for them (`Context::poll_run` and friends).
    ///
    /// Called by one worker at a time, the leader, when no task is ready. Gives false at once where this thread is not the one
    /// that events come to (on ptrace, the first that ever called); the executor then parks the worker by itself.
    fn wait(&self) -> bool;

    /// Looks for guest events without blocking; true if a future was woken.
    fn poll(&self) -> bool {
        false
    }

    /// Makes every guest thread that runs now pass a full memory barrier; false where the platform cannot (`membarrier(2)`).
    fn barrier(&self) -> bool {
        false
    }

    /// Makes a blocked [`Platform::wait`] return soon. Callable from any thread.
    fn unpark(&self);
}

/// Where the processes of some part of the sandbox come from. With it ends its host process, but not those that came from it;
/// these cannot exec any more.
pub trait Nursery: Send + Sync {
    /// Its host process in the Sentry's pid namespace, where the platform has one.
    fn host_pid(&self) -> Option<i32>;

    /// As [`Platform::new_process`].
    fn new_process(&self) -> BoxFuture<'_, Result<NewProcess>>;
}

/// The memory of one guest process.
pub trait AddressSpace: Send + Sync + fmt::Debug {
    /// Copies guest memory out; gives the bytes copied before the first that the guest may not read.
    fn read(&self, addr: u64, buf: &mut [u8]) -> usize;

    /// Copies into guest memory; gives the bytes copied before the first that the guest may not write.
    fn write(&self, addr: u64, data: &[u8]) -> usize;

    /// Copies into guest memory whatever the protection says, breaking copy-on-write: for `ptrace(2)` pokes.
    fn write_force(&self, addr: u64, data: &[u8]) -> usize;

    /// Host process id of the guest process in the Sentry's pid namespace, where the platform has one per address space.
    fn host_pid(&self) -> Option<i32>;

    /// Resident and total bytes, for `/proc/PID/statm` and resource limits.
    fn usage(&self) -> (u64, u64);

    /// For each page from `addr` on, as far as can be told, whether it is there; none where the platform cannot tell (`mincore(2)`).
    fn resident(&self, addr: u64, pages: usize) -> Option<Vec<PageState>> {
        let _ = (addr, pages);
        None
    }

    /// Whether it can still run: false once the host has ended it, be it for want of memory, even before its contexts give
    /// [`Trap::Gone`].
    fn is_alive(&self) -> bool {
        true
    }

    /// Page faults so far: those served without and with reading from a disk.
    fn faults(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Processor time that its threads have used so far, in nanoseconds, where the platform can tell while they run.
    fn cpu_time_ns(&self) -> Option<u64> {
        None
    }

    /// Has the host's process tools show this as the command line, as far as the platform can. Forks inherit it. The name is
    /// shown once [`MemOp::Name`] has been carried out.
    fn set_title(&self, name: &[u8], title: &[u8]) {
        let _ = (name, title);
    }

    /// Another name, for the next [`MemOp::Name`].
    fn set_name(&self, name: &[u8]) {
        let _ = name;
    }

    /// Has `clock_gettime` of its vDSO make a system call from now on, because its clocks are not the host's. Forks inherit it. None
    /// of its threads runs guest code.
    fn divert_clocks(&self, vdso: &Vdso) -> Result<()>;

    /// Ends every thread of this address space at once; their contexts then give [`Trap::Gone`].
    fn kill(&self);
}

/// Makes a guest thread leave guest code, from any task or thread.
pub trait Interrupter: Send + Sync {
    /// If the context runs guest code, it soon gives [`Trap::Interrupted`]; if not, its next run gives that at once.
    /// A trap that is on its way anyhow may come instead, then the wish is kept for the run after it.
    fn interrupt(&self);
}

/// One guest thread. Dropping it ends the host thread, and the host process with the last one.
pub trait Context: Send {
    /// Registers as of the last trap.
    fn regs(&self) -> &Regs;

    /// Registers that the next run starts with.
    fn regs_mut(&mut self) -> &mut Regs;

    /// The XSAVE image (standard format, as in a signal frame: `fpstate` with `FP_XSTATE_MAGIC1/2`) of the last trap.
    fn fpu(&mut self) -> Result<Vec<u8>>;

    /// Sets the image for the next run. What the host would refuse at `rt_sigreturn(2)` gives `EINVAL`. An empty slice
    /// stands for the processor's initial state.
    fn set_fpu(&mut self, image: &[u8]) -> Result<()>;

    /// Lets guest code run until it traps. Queued operations are carried out first. Poll until ready.
    fn poll_run(&mut self, cx: &mut task::Context<'_>) -> Poll<Trap>;

    /// Queues a change of the address space, in order, to be done before guest code runs again. Costs no round trip.
    /// A failure comes back as [`Trap::OpFailed`] from the next run, with that operation and all after it undone.
    fn queue(&mut self, op: MemOp);

    /// Carries out what is queued now. The first failure ends it and is given back; later operations were not begun.
    fn poll_flush(&mut self, cx: &mut task::Context<'_>) -> Poll<std::result::Result<(), OpFailure>>;

    /// Compares and exchanges an aligned 32-bit word of guest memory atomically; gives what was there. `EFAULT` where
    /// the guest could not write.
    fn poll_cmpxchg(&mut self, cx: &mut task::Context<'_>, addr: u64, old: u32, new: u32) -> Poll<Result<u32>>;

    /// A copy-on-write copy of the address space with one thread, which has this thread's registers and
    /// floating-point state. Queued operations are carried out first.
    fn poll_fork(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<NewProcess>>;

    /// A further thread in the same address space, with copies of this thread's registers and floating-point state.
    fn poll_clone(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Box<dyn Context>>>;

    /// Moves this thread into a new, empty address space (for `execve(2)`): floating-point state initial, queue empty.
    /// The old address space stays as it is for the other threads in it.
    fn poll_exec(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Arc<dyn AddressSpace>>>;

    /// The handle by which others interrupt this thread.
    fn interrupter(&self) -> Arc<dyn Interrupter>;

    /// Guest bytes at `addr` that travelled with the last system call, if all of `len` did. They are a copy already:
    /// the guest cannot change them any more.
    fn carried(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let _ = (addr, len);
        None
    }

    /// Guest bytes from `addr` on that travelled with the last system call, as many as there are: for strings, whose length
    /// the caller does not know yet.
    fn carried_from(&self, addr: u64) -> &[u8] {
        let _ = addr;
        &[]
    }

    /// Takes bytes to be written to guest memory just before the guest goes on; false if they do not fit, then the
    /// caller writes through the address space. The caller has checked that the range is mapped writable.
    fn carry_back(&mut self, addr: u64, data: &[u8]) -> bool {
        let _ = (addr, data);
        false
    }

    /// The vDSO that this thread's address space has, if any (`AT_SYSINFO_EHDR`, `/proc/PID/maps`).
    fn vdso(&self) -> Option<Vdso> {
        None
    }

    /// Host thread id in the Sentry's pid namespace, where there is one.
    fn host_tid(&self) -> Option<i32>;

    /// Processor time used by this thread in user mode, in nanoseconds (host accounting).
    fn cpu_time_ns(&self) -> u64;
}

impl dyn Context + '_ {
    /// Awaits [`Context::poll_run`].
    pub async fn run(&mut self) -> Trap {
        std::future::poll_fn(|cx| self.poll_run(cx)).await
    }

    /// Awaits [`Context::poll_flush`].
    pub async fn flush(&mut self) -> std::result::Result<(), OpFailure> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Awaits [`Context::poll_cmpxchg`].
    pub async fn cmpxchg(&mut self, addr: u64, old: u32, new: u32) -> Result<u32> {
        std::future::poll_fn(|cx| self.poll_cmpxchg(cx, addr, old, new)).await
    }

    /// Awaits [`Context::poll_fork`].
    pub async fn fork(&mut self) -> Result<NewProcess> {
        std::future::poll_fn(|cx| self.poll_fork(cx)).await
    }

    /// Awaits [`Context::poll_clone`].
    pub async fn clone_thread(&mut self) -> Result<Box<dyn Context>> {
        std::future::poll_fn(|cx| self.poll_clone(cx)).await
    }

    /// Awaits [`Context::poll_exec`].
    pub async fn exec(&mut self) -> Result<Arc<dyn AddressSpace>> {
        std::future::poll_fn(|cx| self.poll_exec(cx)).await
    }
}

/// What a platform may be given when it is made.
#[derive(Debug, Default)]
pub struct OpenOptions {
    /// A procfs that shows the Sentry's pid namespace, kept for `/proc/PID/mem`, `statm` and `schedstat` of guest processes.
    pub proc: Option<OwnedFd>,
}

/// Makes the platform of that name, once per sandbox, before the Sentry confines itself. What it needs of the host later is
/// opened now.
pub fn open(name: &str, options: OpenOptions) -> std::result::Result<Arc<dyn Platform>, PlatformError> {
    match name {
        systrap::NAME => systrap::open(options),
        ptrace::NAME => ptrace::open(options),
        _ => Err(PlatformError::Unknown(name.to_owned())),
    }
}

/// Why a platform could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// No platform has that name.
    #[error("unknown platform {0:?} (known: systrap, ptrace)")]
    Unknown(String),
    /// The host lacks something.
    #[error("platform {platform}: {what}: {errno}")]
    Host {
        /// Which platform.
        platform: &'static str,
        /// What was tried.
        what: String,
        /// How it failed.
        errno: abi::Errno,
    },
}
