//! System calls of the stub, and the C structures that they take.

use core::arch::asm;

pub const MMAP: u64 = 9;
pub const MUNMAP: u64 = 11;
pub const RT_SIGACTION: u64 = 13;
pub const RT_SIGPROCMASK: u64 = 14;
pub const RT_SIGRETURN: u64 = 15;
pub const GETPID: u64 = 39;
pub const MREMAP: u64 = 25;
pub const MINCORE: u64 = 27;
pub const CLONE: u64 = 56;
pub const EXIT: u64 = 60;
pub const KILL: u64 = 62;
pub const CAPSET: u64 = 126;
pub const SIGALTSTACK: u64 = 131;
pub const PRCTL: u64 = 157;
pub const ARCH_PRCTL: u64 = 158;
pub const SETRLIMIT: u64 = 160;
pub const EXIT_GROUP: u64 = 231;
pub const SECCOMP: u64 = 317;
pub const MEMBARRIER: u64 = 324;
pub const CLOSE: u64 = 3;
pub const CLOSE_RANGE: u64 = 436;

pub const SIGILL: i32 = 4;
pub const SIGTRAP: i32 = 5;
pub const SIGBUS: i32 = 7;
pub const SIGFPE: i32 = 8;
pub const SIGSEGV: i32 = 11;
pub const SIGSYS: i32 = 31;

/// Any system call.
///
/// # Safety
/// The caller answers for what the call does to this process's memory.
#[inline(always)]
pub unsafe fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    let ret: i64;
    // SAFETY: the kernel clobbers rax, rcx and r11 only; memory effects are the caller's duty.
    unsafe {
        asm!("syscall", inlateout("rax") nr as i64 => ret, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
             in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    ret
}

/// `struct sigcontext` of x86-64.
#[repr(C)]
pub struct SigContext {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub eflags: u64,
    pub cs: u16,
    pub gs: u16,
    pub fs: u16,
    pub ss: u16,
    pub err: u64,
    pub trapno: u64,
    pub oldmask: u64,
    pub cr2: u64,
    pub fpstate: u64,
    pub reserved: [u64; 8],
}

/// `stack_t`.
#[repr(C)]
pub struct AltStack {
    pub sp: u64,
    pub flags: i32,
    pub size: u64,
}

/// `struct ucontext` of x86-64.
#[repr(C)]
pub struct UContext {
    pub flags: u64,
    pub link: u64,
    pub stack: AltStack,
    pub mc: SigContext,
    pub sigmask: u64,
}

/// The start of `siginfo_t`: for a fault `addr`, for `SIGSYS` call address, number and architecture.
#[repr(C)]
pub struct SigInfo {
    pub signo: i32,
    pub errno: i32,
    pub code: i32,
    pub pad: i32,
    pub addr: u64,
    pub nr: i32,
    pub arch: u32,
}

/// `struct sigaction` as the kernel takes it.
#[repr(C)]
pub struct KernelSigaction {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// Ends the process.
pub fn die() -> ! {
    loop {
        // SAFETY: the call does not return, and touches no memory.
        unsafe { syscall(EXIT_GROUP, [1, 0, 0, 0, 0, 0]) };
    }
}
