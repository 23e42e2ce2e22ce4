//! How the zygote sets itself up. It is the one process that starts here; all others are its forks.

use core::arch::global_asm;

use crate::orders::{map_boot_channel, map_stack, set_stack};
use crate::stub_abi::{
    Boot, CONTROL_BYTES, RING, SIG_INTERRUPT, STUB_BASE, STUB_END, TITLE_BASE, TITLE_BYTES, TITLE_PAGE, VDSO_BASE,
};
use crate::sys::{self, KernelSigaction, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
use crate::{Thread, on_signal, serve_new};

global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
global_asm!(".globl restorer", "restorer:", "mov eax, 15", "syscall");

unsafe extern "C" {
    static restorer: u8;
    static program_end: u8;
}

const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;

/// Where the kernel put the vDSO, and where it is now: its data pages, itself, their end; the end of the kernel's initial stack.
/// Written before the first signal.
static mut VDSO: u64 = 0;
static mut STACK_END: u64 = 0;
static mut MOVED: Place = Place { vvar: 0, vdso: 0, end: 0 };

#[derive(Clone, Copy)]
struct Place {
    vvar: u64,
    vdso: u64,
    end: u64,
}

/// On the kernel's initial stack: everything that must come before the first signal.
unsafe extern "C" fn main(stack: *const u64) -> ! {
    // SAFETY: single-threaded; the initial stack is laid out by the kernel; all mapped ranges are the platform's.
    unsafe {
        read_auxv(stack);
        // Before anything is mapped: it may lie just where that is to be.
        MOVED = move_vdso(VDSO, STACK_END);
        if !map_boot_channel() || map_stack(0) < 0 || set_stack(0) < 0 {
            sys::die();
        }
        for signo in [SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIG_INTERRUPT] {
            handle(signo);
        }
        let none = 0u64;
        const SIG_SETMASK: u64 = 2;
        sys::syscall(sys::RT_SIGPROCMASK, [SIG_SETMASK, &raw const none as u64, 0, 8, 0, 0]);
        // From here on in the handler, on the signal stack: `finish`.
        let pid = sys::syscall(sys::GETPID, [0; 6]) as u64;
        sys::syscall(sys::KILL, [pid, SIG_INTERRUPT as u64, 0, 0, 0, 0]);
        sys::die()
    }
}

unsafe fn read_auxv(stack: *const u64) {
    // SAFETY: argc, argv with its null, envp with its null, then pairs up to AT_NULL.
    unsafe {
        let mut at = stack.add(stack.read() as usize + 2);
        while at.read() != 0 {
            at = at.add(1);
        }
        at = at.add(1);
        while at.read() != 0 {
            match at.read() {
                AT_SYSINFO_EHDR => VDSO = at.add(1).read(),
                // The program's name is the last thing on the stack.
                AT_EXECFN => STACK_END = (at.add(1).read() | 0xfff) + 1,
                _ => {}
            }
            at = at.add(2);
        }
    }
}

unsafe fn handle(signo: i32) {
    const SA_SIGINFO: u64 = 4;
    const SA_RESTORER: u64 = 0x0400_0000;
    const SA_ONSTACK: u64 = 0x0800_0000;
    const SA_NODEFER: u64 = 0x4000_0000;
    // A copy from guest memory may fault inside the handler; everything else waits.
    const MASK: u64 = !(1 << (SIGSEGV - 1) | 1 << (SIGBUS - 1));
    let action = KernelSigaction {
        handler: on_signal as *const () as u64,
        flags: SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER,
        restorer: &raw const restorer as u64,
        mask: MASK,
    };
    // SAFETY: the kernel reads the structure.
    unsafe { sys::syscall(sys::RT_SIGACTION, [signo as u64, &raw const action as u64, 0, 8, 0, 0]) };
}

/// On the signal stack: leaves nothing of the kernel's making but the vDSO, and shuts the door.
pub fn finish(thread: &Thread) -> ! {
    let boot = (thread.control as u64 + CONTROL_BYTES) as *mut Boot;
    // SAFETY: the zygote is single-threaded and its channel is its own until `serve_new`.
    unsafe {
        if let Err((step, errno)) = confine(boot) {
            (*boot).step = step;
            (*boot).listener = errno;
        }
        (*thread.control).boot = 0;
        serve_new(*thread, RING, 0)
    }
}

unsafe fn confine(boot: *mut Boot) -> Result<(), (u64, i64)> {
    const PR_SET_PDEATHSIG: u64 = 1;
    const PR_SET_NAME: u64 = 15;
    const PR_SET_NO_NEW_PRIVS: u64 = 38;
    const SIGKILL: u64 = 9;
    const RLIMIT_CORE: u64 = 4;
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    // A limit of one keeps a core-dump pipe from being started, where zero would not.
    let no_core = [1u64, 1];
    let capability_header = [LINUX_CAPABILITY_VERSION_3, 0];
    let no_capabilities = [0u32; 6];
    // SAFETY: only ranges that nothing uses any more are unmapped; structures are read by the kernel.
    unsafe {
        step(1, sys::PRCTL, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0])?;
        step(2, sys::PRCTL, [PR_SET_NAME, c"guest".as_ptr() as u64, 0, 0, 0, 0])?;
        step(3, sys::SETRLIMIT, [RLIMIT_CORE, &raw const no_core as u64, 0, 0, 0, 0])?;
        step(4, sys::CAPSET, [&raw const capability_header as u64, &raw const no_capabilities as u64, 0, 0, 0, 0])?;
        // So that the Sentry can serve `membarrier` for all guests; an older kernel goes without.
        const REGISTER_GLOBAL_EXPEDITED: u64 = 4;
        sys::syscall(sys::MEMBARRIER, [REGISTER_GLOBAL_EXPEDITED, 0, 0, 0, 0, 0]);
        step(5, sys::CLOSE_RANGE, [0, !0u32 as u64, 0, 0, 0, 0])?;
        (*boot).vvar = MOVED.vvar;
        (*boot).vdso = MOVED.vdso;
        (*boot).vdso_end = MOVED.end;
        let vdso = if MOVED.vdso == VDSO { [MOVED.vvar, MOVED.end] } else { [STUB_BASE; 2] };
        // The initial stack is among what goes.
        const USER_END: u64 = 0x7fff_ffff_f000;
        for (from, to) in [(0, STUB_BASE), (STUB_END, USER_END)] {
            // A vDSO that cannot be moved stays.
            let [hole, hole_end] = vdso.map(|at| at.clamp(from, to));
            for (from, to) in [(from, hole), (hole_end, to)] {
                if from < to {
                    step(6, sys::MUNMAP, [from, to - from, 0, 0, 0, 0])?;
                }
            }
        }
        entitle();
        step(8, sys::PRCTL, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0])?;
        (*boot).listener = install_filter(boot)?;
    }
    Ok(())
}

/// Tells the kernel that the command line is in a page of its own; it reads the page as one string if its first byte is not
/// zero. Kernels without `CONFIG_CHECKPOINT_RESTORE` refuse, then processes show as `[guest]`.
unsafe fn entitle() {
    const PR_SET_MM: u64 = 35;
    const PR_SET_MM_MAP: u64 = 14;
    const READ_WRITE: u64 = 3;
    const PRIVATE_ANONYMOUS_FIXED: u64 = 0x32;
    const NO_FD: u64 = !0;
    // code, data, heap, stack, arguments, environment, auxiliary vector with its size, program: as the kernel wants them.
    let map: [u64; 13] = [
        TITLE_BASE,
        TITLE_BASE + 1,
        TITLE_BASE,
        TITLE_BASE,
        TITLE_BASE,
        TITLE_BASE,
        TITLE_BASE,
        TITLE_BASE,
        TITLE_BASE + 1,
        TITLE_BASE + 1,
        TITLE_BASE + TITLE_BYTES,
        0,
        (u32::MAX as u64) << 32,
    ];
    // SAFETY: the page is the platform's and nothing else is there; the structure is read by the kernel.
    unsafe {
        let page = [TITLE_PAGE, TITLE_BASE + TITLE_BYTES - TITLE_PAGE, READ_WRITE, PRIVATE_ANONYMOUS_FIXED, NO_FD, 0];
        if sys::syscall(sys::MMAP, page) >= 0 {
            sys::syscall(sys::PRCTL, [PR_SET_MM, PR_SET_MM_MAP, &raw const map as u64, size_of_val(&map) as u64, 0, 0]);
        }
    }
}

/// Moves the vDSO and its data pages, several mappings side by side, out of the guest's range and out of the way of what
/// comes into the platform's. Where the host has sealed them they stay; where there is none, all is zero.
unsafe fn move_vdso(vdso: u64, stack_end: u64) -> Place {
    const PAGE: u64 = 4096;
    const MAYMOVE_FIXED: u64 = 3;
    if vdso == 0 {
        return Place { vvar: 0, vdso: 0, end: 0 };
    }
    // SAFETY: nothing is mapped in the new ranges; nothing uses the old ones.
    unsafe {
        // What may be its neighbour: the program, and, before Linux 6.13 or so, below it the stack that this runs on.
        let program = STUB_BASE..&raw const program_end as u64;
        let stack = |at: u64| at < stack_end && stack_end <= vdso;
        let mut resident = [0u8; 1];
        let mut mapped = |at| {
            !program.contains(&at) && !stack(at) && sys::syscall(sys::MINCORE, [at, PAGE, resident.as_mut_ptr() as u64, 0, 0, 0]) == 0
        };
        let (mut vvar, mut end) = (vdso, vdso + PAGE);
        while mapped(vvar - PAGE) {
            vvar -= PAGE;
        }
        while mapped(end) {
            end += PAGE;
        }
        let move_to = |old: Place, base: u64| {
            let mut at = old.vvar;
            while at < old.end {
                // A mapping moves as a whole only, and most kernels move one at a time: the longest that goes is the next one.
                let mut len = old.end - at;
                while len > 0 && sys::syscall(sys::MREMAP, [at, len, len, MAYMOVE_FIXED, base + (at - old.vvar), 0]) < 0 {
                    len -= PAGE;
                }
                if len == 0 {
                    return old;
                }
                at += len;
            }
            Place { vvar: base, vdso: base + (old.vdso - old.vvar), end: base + (old.end - old.vvar) }
        };
        let old = Place { vvar, vdso, end };
        if vvar >= VDSO_BASE + (end - vvar) || end <= VDSO_BASE {
            return move_to(old, VDSO_BASE);
        }
        // It cannot be moved over itself.
        let aside = move_to(old, VDSO_BASE + 0x100_0000);
        if aside.vdso == vdso { old } else { move_to(aside, VDSO_BASE) }
    }
}

/// The filter comes last: nothing above is possible behind it.
unsafe fn install_filter(boot: *mut Boot) -> Result<i64, (u64, i64)> {
    const SECCOMP_SET_MODE_FILTER: u64 = 1;
    const NEW_LISTENER: u64 = 1 << 3;
    const WAIT_KILLABLE_RECV: u64 = 1 << 5;
    const EINVAL: i64 = -22;
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const u64,
    }
    // SAFETY: the program lies in the channel, which no guest has seen yet.
    unsafe {
        let program = Program { len: (*boot).filter_len as u16, filter: (&raw const (*boot).filter).cast() };
        let at = &raw const program as u64;
        let install = |flags| sys::syscall(sys::SECCOMP, [SECCOMP_SET_MODE_FILTER, flags, at, 0, 0, 0]);
        match install(NEW_LISTENER | WAIT_KILLABLE_RECV) {
            // Linux 5.19 brought the second flag.
            EINVAL => match install(NEW_LISTENER) {
                fd if fd < 0 => Err((9, fd)),
                fd => Ok(fd),
            },
            fd if fd < 0 => Err((9, fd)),
            fd => Ok(fd),
        }
    }
}

unsafe fn step(number: u64, nr: u64, args: [u64; 6]) -> Result<(), (u64, i64)> {
    // SAFETY: the caller's.
    match unsafe { sys::syscall(nr, args) } {
        e if (-4095..0).contains(&e) => Err((number, e)),
        _ => Ok(()),
    }
}
