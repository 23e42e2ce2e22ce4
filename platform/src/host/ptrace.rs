//! `ptrace(2)` of threads that stop for nobody else, and the waiting for them.

use std::sync::Once;
use std::sync::atomic::AtomicU32;

use abi::Errno;
use abi::errno::Result;
use abi::regs::Regs;

use super::checked;

const CONT: i64 = 7;
const GETREGS: i64 = 12;
const SETREGS: i64 = 13;
const SYSEMU: i64 = 31;
const GETEVENTMSG: i64 = 0x4201;
const GETSIGINFO: i64 = 0x4202;
const GETREGSET: i64 = 0x4204;
const SETREGSET: i64 = 0x4205;
const SEIZE: i64 = 0x4206;
const INTERRUPT: i64 = 0x4207;
const LISTEN: i64 = 0x4208;
const GET_SYSCALL_INFO: i64 = 0x420e;

/// `NT_X86_XSTATE`
const XSTATE: usize = 0x202;
const WNOHANG: i32 = 1;
/// `__WALL`, `__WNOTHREAD`: tracees of whatever kind, but only this thread's.
const OWN: i32 = 0x4000_0000 | 0x2000_0000;

/// `PTRACE_O_*`: mark system-call stops, stop at forks, clones and execs and trace the newcomers, kill with the tracer.
pub const OPTIONS: u64 = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x10_0000;
/// `PTRACE_EVENT_STOP`
pub const EVENT_STOP: i32 = 128;

/// The value of [`wait_unless`]'s flag that keeps it from waiting.
pub const NOTIFIED: u32 = 2;
/// The signal that ends [`wait_unless`]. Not one that the C library uses.
const WAKE_SIGNAL: i32 = 40;

/// How a stopped thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// To its next system call, which is not executed.
    Emulate,
    /// Natively.
    Native,
    /// It stays stopped as job control wants it, and tells when that ends.
    Listen,
}

/// What became of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is no more.
    Ended,
    /// It made a system call.
    Syscall,
    /// A signal is to be delivered.
    Signal(i32),
    /// `PTRACE_EVENT_*`, with the signal that goes with it.
    Event(i32, i32),
}

impl Status {
    fn new(raw: i32) -> Status {
        if raw & 0xff != 0x7f {
            return Status::Ended;
        }
        match ((raw >> 8) & 0xff, raw >> 16) {
            (signo, 0) if signo == libc::SIGTRAP | 0x80 => Status::Syscall,
            (signo, 0) => Status::Signal(signo),
            (signo, event) => Status::Event(event, signo),
        }
    }
}

/// A request whose arguments are numbers.
fn plain(request: i64, tid: i32, addr: u64, data: u64) -> Result<()> {
    // SAFETY: the requests that are passed here touch no memory of this process.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, request, tid, addr, data) }).map(drop)
}

/// Becomes the tracer of a thread, with [`OPTIONS`], without stopping it.
pub fn seize(tid: i32) -> Result<()> {
    plain(SEIZE, tid, 0, OPTIONS)
}

/// Makes a tracee stop with [`EVENT_STOP`].
pub fn interrupt(tid: i32) -> Result<()> {
    plain(INTERRUPT, tid, 0, 0)
}

/// Lets a stopped tracee go on, with a signal unless it is 0.
pub fn resume(tid: i32, go: Go, signo: i32) -> Result<()> {
    let request = match go {
        Go::Emulate => SYSEMU,
        Go::Native => CONT,
        Go::Listen => LISTEN,
    };
    plain(request, tid, 0, u64::from(signo.unsigned_abs()))
}

/// General registers of a stopped tracee.
pub fn regs(tid: i32) -> Result<Regs> {
    let mut regs = Regs::default();
    // SAFETY: `Regs` has the layout of `struct user_regs_struct`, which the call writes.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, GETREGS, tid, 0, &raw mut regs) })?;
    Ok(regs)
}

/// Sets them. `EIO` for a segment base that is no user address; the registers before it are set then.
pub fn set_regs(tid: i32, regs: &Regs) -> Result<()> {
    // SAFETY: as above; the call reads.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, SETREGS, tid, 0, std::ptr::from_ref(regs)) }).map(drop)
}

/// Reads the floating-point image (`NT_X86_XSTATE`) into `image`, as much as fits; gives its bytes.
pub fn xstate(tid: i32, image: &mut [u8]) -> Result<usize> {
    let mut iov = libc::iovec {
        iov_base: image.as_mut_ptr().cast(),
        iov_len: image.len(),
    };
    // SAFETY: the call writes at most `iov_len` bytes, and the length.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, GETREGSET, tid, XSTATE, &raw mut iov) })?;
    Ok(iov.iov_len)
}

/// Sets it.
pub fn set_xstate(tid: i32, image: &[u8]) -> Result<()> {
    let iov = libc::iovec {
        iov_base: image.as_ptr().cast_mut().cast(),
        iov_len: image.len(),
    };
    // SAFETY: the call reads at most `iov_len` bytes.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, SETREGSET, tid, XSTATE, &raw const iov) }).map(drop)
}

/// The newcomer's id at a fork or clone event.
pub fn event_message(tid: i32) -> Result<u64> {
    let mut message = 0u64;
    // SAFETY: the call writes one word.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, GETEVENTMSG, tid, 0, &raw mut message) })?;
    Ok(message)
}

/// `si_code` and `si_addr` of the signal that a tracee has stopped for.
pub fn signal_info(tid: i32) -> Result<(i32, u64)> {
    // `siginfo_t` as words: signo and errno, code, the union.
    let mut words = [0u64; 16];
    // SAFETY: the structure has 128 bytes.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, GETSIGINFO, tid, 0, &raw mut words) })?;
    Ok((abi::conv::low32(words[1]).cast_signed(), words[2]))
}

/// `AUDIT_ARCH_*` of the system call that a tracee has stopped for.
pub fn syscall_arch(tid: i32) -> Result<u32> {
    // `struct ptrace_syscall_info` as half words: op, arch.
    let mut words = [0u32; 22];
    let len = size_of_val(&words);
    // SAFETY: the call writes at most that many bytes.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, GET_SYSCALL_INFO, tid, len, &raw mut words) })?;
    Ok(words[1])
}

/// Waits for that child or tracee of the calling thread. Without `block`, none if nothing has become of it.
pub fn wait(tid: i32, block: bool) -> Result<Option<(i32, Status)>> {
    let mut raw = 0i32;
    let flags = OWN | if block { 0 } else { WNOHANG };
    // SAFETY: the call writes the status.
    let tid = checked(unsafe { libc::syscall(libc::SYS_wait4, tid, &raw mut raw, flags, 0) })?;
    match i32::try_from(tid) {
        Ok(0) | Err(_) => Ok(None),
        Ok(tid) => Ok(Some((tid, Status::new(raw)))),
    }
}

/// Reaps the dead of a process group, whichever thread they belong to, until none is left.
pub fn reap_group(pgid: i32) {
    loop {
        // SAFETY: no status is written.
        match checked(unsafe { libc::syscall(libc::SYS_wait4, -pgid, 0, 0x4000_0000, 0) }) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

// The flag is looked at and the call entered as one: a wake-up between the two moves the thread to the end (`on_wake`).
std::arch::global_asm!(
    ".globl runsc_wait_begin, runsc_wait_call, runsc_wait_skip",
    // fn(tid, status, flags, flag) -> tid or negative errno
    "runsc_wait_begin:",
    "xor r10d, r10d",
    "mov eax, 61",
    "cmp dword ptr [rcx], 2",
    "je runsc_wait_skip",
    "runsc_wait_call:",
    "syscall",
    "ret",
    "runsc_wait_skip:",
    "mov rax, -4",
    "ret",
);

unsafe extern "C" {
    #[link_name = "runsc_wait_begin"]
    fn wait_begin(tid: i64, status: *mut i32, flags: i64, flag: *const AtomicU32) -> i64;
    #[link_name = "runsc_wait_call"]
    static WAIT_CALL: u8;
    #[link_name = "runsc_wait_skip"]
    static WAIT_SKIP: u8;
}

/// Waits for any child or tracee of the calling thread. None without waiting if `flag` is [`NOTIFIED`], and as soon as
/// [`wake`] is called for this thread.
pub fn wait_unless(flag: &AtomicU32) -> Result<Option<(i32, Status)>> {
    let mut raw = 0i32;
    // SAFETY: `status` and `flag` are alive; the function clobbers what the C ABI lets it.
    let ret = unsafe { wait_begin(-1, &raw mut raw, i64::from(OWN), flag) };
    match i32::try_from(ret) {
        Ok(tid) if tid > 0 => Ok(Some((tid, Status::new(raw)))),
        Ok(-4) => Ok(None),
        Ok(errno) => Err(Errno::from_raw(errno.saturating_neg())),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// Ends [`wait_unless`] in that thread of this process. Its flag is to be set before.
pub fn wake(tid: i32) {
    let pid = std::process::id();
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, WAKE_SIGNAL) };
}

/// Moves a thread that is about to wait behind the call.
extern "C" fn on_wake(_signo: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Ok(index) = usize::try_from(libc::REG_RIP) else {
        return;
    };
    let (begin, call) = ((wait_begin as *const ()).addr(), (&raw const WAIT_CALL).addr());
    let skip = (&raw const WAIT_SKIP).addr();
    // SAFETY: the kernel passes the frame that it will restore; only the instruction pointer is changed, between places of
    // one function that need the same of the stack and no register.
    unsafe {
        let context = context.cast::<libc::ucontext_t>();
        if let Some(rip) = (*context).uc_mcontext.gregs.get_mut(index)
            && let Ok(at) = usize::try_from(*rip)
            && (begin..=call).contains(&at)
        {
            *rip = i64::try_from(skip).unwrap_or(*rip);
        }
    }
}

/// Prepares this process for [`wake`], and the calling thread for being woken.
pub fn accept_wakes() -> Result<()> {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        // SAFETY: an all-zero action is valid; the handler touches only its frame.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = (on_wake as *const ()).addr();
            // A call that is restarted begins again at its instruction, where the handler finds it.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(WAKE_SIGNAL, &raw const action, std::ptr::null_mut());
        }
    });
    let set = 1u64 << (WAKE_SIGNAL - 1);
    // SAFETY: passes 8 bytes, the size of the kernel's signal set.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_UNBLOCK,
            &raw const set,
            0usize,
            8usize,
        )
    };
    checked(ret).map(drop)
}
