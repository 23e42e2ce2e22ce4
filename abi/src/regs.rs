//! General registers of an x86-64 thread.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Like Linux's `struct user_regs_struct`, field for field, so that `ptrace(2)` can copy it whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "the names are the processor's")]
pub struct Regs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Number of the system call that the thread is in, all ones when it is in none.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

impl Regs {
    /// Arguments of the system call, in the order of the man page (`syscall(2)`).
    pub const fn args(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// Code segment selector of 64-bit user code.
pub const USER_CS: u64 = 0x33;
/// Stack segment selector of user code.
pub const USER_DS: u64 = 0x2b;
/// End of the user half of the address space with 4-level page tables (`TASK_SIZE_MAX`).
pub const TASK_SIZE_MAX: u64 = 0x7fff_ffff_f000;
/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;
