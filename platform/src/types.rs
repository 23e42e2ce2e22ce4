//! Plain types of the platform border.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;
use bitflags::bitflags;

/// Why guest code stopped running.
#[derive(Debug)]
pub enum Trap {
    /// `syscall`: number in `orig_rax` and `rax`, `rip` behind the instruction.
    Syscall,
    /// The processor raised an exception in guest code.
    Fault(FaultInfo),
    /// Somebody called [`crate::Interrupter::interrupt`].
    Interrupted,
    /// A queued operation failed; the guest has not run. The Sentry mends its view and the call's result.
    OpFailed(OpFailure),
    /// The thread is no more: its process was killed from outside (out of memory, a hostile guest's own doing) or by
    /// [`crate::AddressSpace::kill`].
    Gone,
}

/// An exception, in the words of `siginfo_t` (`sigaction(2)`).
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultInfo {
    /// `SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL` or `SIGTRAP`.
    pub signo: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub addr: u64,
    /// Processor's exception number (`trapno` of `sigcontext`).
    pub trapno: u64,
    /// Processor's error code (`err` of `sigcontext`).
    pub err: u64,
    /// Fault address register (`cr2` of `sigcontext`).
    pub cr2: u64,
}

/// What a page table says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// Nothing is there.
    Absent,
    /// Memory of the process's own.
    Own,
    /// A file's page, or memory that others share.
    Shared,
}

bitflags! {
    /// Page protection, `PROT_*` of `mmap(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Prot: u32 {
        /// `PROT_READ`
        const READ = 1;
        /// `PROT_WRITE`
        const WRITE = 2;
        /// `PROT_EXEC`
        const EXEC = 4;
    }

    /// How to map.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u32 {
        /// Writes go to the file and to whoever maps it too; without it the mapping is private.
        const SHARED = 1;
        /// `MAP_NORESERVE`
        const NORESERVE = 2;
        /// `MAP_POPULATE`
        const POPULATE = 4;
        /// The guest may write the file through this mapping. Without it the guest process sees a read-only descriptor,
        /// whatever the Sentry's own is (S2).
        const WRITABLE = 8;
    }
}

/// A change of an address space. The Sentry has decided it: addresses are exact, page aligned and inside the guest's range,
/// and what is mapped there is replaced. Lengths are in bytes, multiples of the page size.
#[derive(Debug, Clone)]
pub enum MemOp {
    /// `mmap(2)` with `MAP_FIXED`.
    Map {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// Protection.
        prot: Prot,
        /// How.
        flags: MapFlags,
        /// What to map at which byte offset; anonymous memory without.
        file: Option<(Arc<OwnedFd>, u64)>,
    },
    /// `munmap(2)`.
    Unmap {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// `mprotect(2)`.
    Protect {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// New protection.
        prot: Prot,
    },
    /// `mremap(2)` with `MREMAP_MAYMOVE | MREMAP_FIXED`, or in place where the addresses are equal.
    Remap {
        /// First address.
        old: u64,
        /// Bytes there (0 duplicates a shared mapping).
        old_len: u64,
        /// New first address.
        new: u64,
        /// New length.
        new_len: u64,
        /// `MREMAP_DONTUNMAP`.
        keep: bool,
    },
    /// `madvise(2)`. Hints that touch what other processes of the host see (`MADV_MERGEABLE`, `MADV_COLD`, `MADV_PAGEOUT`) are
    /// ignored.
    Advise {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// `MADV_*`.
        advice: i32,
    },
    /// `msync(2)`.
    Sync {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// `MS_*`.
        flags: i32,
    },
    /// `prctl(2)`, `PR_SET_NAME`: the host's process tools show the thread by the name that the address space was given.
    Name,
}

impl MemOp {
    /// First address and length of the range that the operation changes.
    pub fn range(&self) -> (u64, u64) {
        match *self {
            MemOp::Map { addr, len, .. }
            | MemOp::Unmap { addr, len }
            | MemOp::Protect { addr, len, .. }
            | MemOp::Advise { addr, len, .. }
            | MemOp::Sync { addr, len, .. } => (addr, len),
            MemOp::Remap { new, new_len, .. } => (new, new_len),
            MemOp::Name => (0, 0),
        }
    }
}

/// The operation that failed, and how.
#[derive(Debug, Clone)]
pub struct OpFailure {
    /// What was to be done.
    pub op: MemOp,
    /// The host's answer.
    pub errno: Errno,
}

/// Where the host's vDSO stands in a guest address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vdso {
    /// Address of its ELF header.
    pub base: u64,
    /// Bytes of `[vdso]`.
    pub len: u64,
    /// Address of `[vvar]`.
    pub vvar: u64,
    /// Bytes of `[vvar]`.
    pub vvar_len: u64,
}
