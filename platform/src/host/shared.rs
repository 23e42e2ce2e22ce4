//! Memory shared with a hostile process: a mapping that offers volatile copies and atomics, never references.

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::errno::Result;
use rustix::mm::{MapFlags, ProtFlags};

/// A whole memfd mapped for reading and writing. Offsets are checked; what lies outside reads as zero and is not written.
pub struct SharedMap {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory that stays until drop, and every access is volatile or atomic.
unsafe impl Send for SharedMap {}
// SAFETY: as above.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// Maps `len` bytes from the start of `fd`. The file must be at least so long, and sealed against shrinking if anybody
    /// else can reach it.
    pub fn new(fd: impl AsFd, len: usize) -> Result<SharedMap> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        };
        let base = base.map_err(super::errno)?.cast::<u8>();
        let base = NonNull::new(base).ok_or(abi::Errno::ENOMEM)?;
        Ok(SharedMap { base, len })
    }

    /// The address of `size` bytes at `offset`, on a multiple of `align`.
    fn at(&self, offset: usize, size: usize, align: usize) -> Option<*mut u8> {
        let end = offset.checked_add(size)?;
        if end > self.len || !offset.is_multiple_of(align) {
            return None;
        }
        // SAFETY: inside the mapping.
        Some(unsafe { self.base.as_ptr().add(offset) })
    }

    /// Reads the word at `offset`.
    pub fn read_u64(&self, offset: usize) -> u64 {
        // SAFETY: inside the mapping, aligned, volatile.
        self.at(offset, 8, 8)
            .map_or(0, |p| unsafe { p.cast::<u64>().read_volatile() })
    }

    /// Writes the word at `offset`.
    pub fn write_u64(&self, offset: usize, value: u64) {
        if let Some(p) = self.at(offset, 8, 8) {
            // SAFETY: inside the mapping, aligned, volatile.
            unsafe { p.cast::<u64>().write_volatile(value) }
        }
    }

    /// Reads the half word at `offset`.
    pub fn read_u32(&self, offset: usize) -> u32 {
        // SAFETY: inside the mapping, aligned, volatile.
        self.at(offset, 4, 4)
            .map_or(0, |p| unsafe { p.cast::<u32>().read_volatile() })
    }

    /// Writes the half word at `offset`.
    pub fn write_u32(&self, offset: usize, value: u32) {
        if let Some(p) = self.at(offset, 4, 4) {
            // SAFETY: inside the mapping, aligned, volatile.
            unsafe { p.cast::<u32>().write_volatile(value) }
        }
    }

    /// Reads consecutive words.
    pub fn read_words(&self, offset: usize, out: &mut [u64]) {
        if let Some(p) = self.at(offset, out.len().saturating_mul(8), 8) {
            for (i, word) in out.iter_mut().enumerate() {
                // SAFETY: inside the mapping, aligned, volatile.
                *word = unsafe { p.cast::<u64>().add(i).read_volatile() };
            }
        }
    }

    /// Writes consecutive words.
    pub fn write_words(&self, offset: usize, words: &[u64]) {
        if let Some(p) = self.at(offset, words.len().saturating_mul(8), 8) {
            for (i, word) in words.iter().enumerate() {
                // SAFETY: inside the mapping, aligned, volatile.
                unsafe { p.cast::<u64>().add(i).write_volatile(*word) }
            }
        }
    }

    /// Copies bytes out; false if they are not all inside.
    pub fn read_bytes(&self, offset: usize, out: &mut [u8]) -> bool {
        let Some(p) = self.at(offset, out.len(), 1) else {
            return false;
        };
        // SAFETY: inside the mapping. The other side may write meanwhile; the copy is of bytes, each of which may be old or
        // new, and the assembly keeps the compiler from assuming anything about the source.
        unsafe { copy(out.as_mut_ptr(), p, out.len()) };
        true
    }

    /// Copies bytes in; false if they are not all inside.
    pub fn write_bytes(&self, offset: usize, data: &[u8]) -> bool {
        let Some(p) = self.at(offset, data.len(), 1) else {
            return false;
        };
        // SAFETY: inside the mapping; as in `read_bytes`.
        unsafe { copy(p, data.as_ptr(), data.len()) };
        true
    }

    /// Atomic load (acquire) of the half word at `offset`.
    pub fn load(&self, offset: usize) -> u32 {
        self.atomic(offset).map_or(0, |a| a.load(Ordering::Acquire))
    }

    /// Atomic exchange of the half word at `offset`.
    pub fn swap(&self, offset: usize, value: u32) -> u32 {
        self.atomic(offset).map_or(0, |a| a.swap(value, Ordering::AcqRel))
    }

    fn atomic(&self, offset: usize) -> Option<&AtomicU32> {
        // SAFETY: inside the mapping, aligned, alive as long as `self`; atomics may be shared with another process.
        self.at(offset, 4, 4).map(|p| unsafe { AtomicU32::from_ptr(p.cast()) })
    }
}

/// A byte copy that the compiler cannot see into.
///
/// # Safety
/// `dst` is writable and `src` readable for `len` bytes.
unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: the caller's; the direction flag is clear by the ABI.
    unsafe {
        std::arch::asm!("rep movsb", inout("rdi") dst => _, inout("rsi") src => _, inout("rcx") len => _,
                        options(nostack, preserves_flags));
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: our mapping, and no reference into it was ever given out.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
