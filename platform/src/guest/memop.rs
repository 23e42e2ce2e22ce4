//! Memory operations as the system calls that carry them out in the guest process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use abi::errno::Result;
use abi::nr;
use abi::regs::PAGE_SIZE;

use super::layout::{GUEST_END, TITLE_PAGE};
use super::procfs;
use crate::{MapFlags, MemOp};

const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const PR_SET_NAME: u64 = 15;

/// Number and arguments. `fd` is the number in the guest process of the file to be mapped.
pub(crate) fn call(op: &MemOp, fd: u64) -> (u32, [u64; 6]) {
    match op {
        MemOp::Map {
            addr,
            len,
            prot,
            flags,
            file,
        } => {
            let mut bits = MAP_FIXED | if flags.contains(MapFlags::SHARED) { 1 } else { 2 };
            for (flag, bit) in [(MapFlags::NORESERVE, 0x4000), (MapFlags::POPULATE, 0x8000)] {
                if flags.contains(flag) {
                    bits |= bit;
                }
            }
            let prot = u64::from(prot.bits());
            match file {
                None => (nr::MMAP, [*addr, *len, prot, bits | MAP_ANONYMOUS, !0, 0]),
                Some((_, offset)) => (nr::MMAP, [*addr, *len, prot, bits, fd, *offset]),
            }
        }
        MemOp::Unmap { addr, len } => (nr::MUNMAP, [*addr, *len, 0, 0, 0, 0]),
        MemOp::Protect { addr, len, prot } => (nr::MPROTECT, [*addr, *len, u64::from(prot.bits()), 0, 0, 0]),
        MemOp::Remap {
            old,
            old_len,
            new,
            new_len,
            keep,
        } => {
            // In place if the addresses are equal; else MAYMOVE and FIXED, and DONTUNMAP if wished.
            let flags = if old == new { 0 } else { 3 | if *keep { 4 } else { 0 } };
            (nr::MREMAP, [*old, *old_len, *new_len, flags, *new, 0])
        }
        MemOp::Advise { addr, len, advice } => (nr::MADVISE, [*addr, *len, u64::from(advice.cast_unsigned()), 0, 0, 0]),
        MemOp::Sync { addr, len, flags } => (nr::MSYNC, [*addr, *len, u64::from(flags.cast_unsigned()), 0, 0, 0]),
        MemOp::Name => (nr::PRCTL, [PR_SET_NAME, TITLE_PAGE, 0, 0, 0, 0]),
    }
}

/// The file that an operation maps, as the guest process may have it (S2).
pub(crate) fn file<'a>(op: &'a MemOp, proc_fd: Option<&OwnedFd>) -> Option<Result<Lent<'a>>> {
    match op {
        MemOp::Map {
            file: Some((file, _)),
            flags,
            ..
        } => Some(if flags.contains(MapFlags::WRITABLE) {
            Ok(Lent::Own(file))
        } else {
            procfs::read_only(proc_fd, file).map(|narrowed| narrowed.map_or(Lent::Own(file), Lent::Narrowed))
        }),
        _ => None,
    }
}

/// A descriptor to be lent.
pub(crate) enum Lent<'a> {
    /// The Sentry's.
    Own(&'a OwnedFd),
    /// Another for the same file.
    Narrowed(OwnedFd),
}

impl AsFd for Lent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Lent::Own(fd) => fd.as_fd(),
            Lent::Narrowed(fd) => fd.as_fd(),
        }
    }
}

/// The ranges that an operation changes.
pub(crate) fn ranges(op: &MemOp) -> [Option<(u64, u64)>; 2] {
    match *op {
        MemOp::Remap { old, old_len, .. } => [Some(op.range()), Some((old, old_len))],
        MemOp::Name => [None, None],
        _ => [Some(op.range()), None],
    }
}

/// Whether an operation stays in the guest's range: the Sentry has decided so, and a slip of its hand must not reach the stub.
pub(crate) fn in_guest(op: &MemOp) -> bool {
    ranges(op)
        .into_iter()
        .flatten()
        .all(|(addr, len)| addr.is_multiple_of(PAGE_SIZE) && addr.checked_add(len).is_some_and(|end| end <= GUEST_END))
}
