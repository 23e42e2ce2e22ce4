//! Mapping and touching memory.

use std::ptr::null_mut;

use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE};

use crate::measure;

unsafe fn map(bytes: usize) -> *mut u8 {
    libc::mmap(
        null_mut(),
        bytes,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    )
    .cast()
}

pub fn run() {
    // SAFETY: every mapping is touched inside its bounds and removed once.
    unsafe {
        measure("mmap + munmap", || _ = libc::munmap(map(4096).cast(), 4096));
        measure("mmap + touch + munmap", || {
            let at = map(4096);
            at.write_volatile(1);
            libc::munmap(at.cast(), 4096);
        });
        let at = map(1 << 20);
        measure("touch 256 pages again and again", || {
            for page in 0..256 {
                at.add(page * 4096).write_volatile(1);
            }
            libc::madvise(at.cast(), 1 << 20, libc::MADV_DONTNEED);
        });
        measure("mprotect twice", || {
            libc::mprotect(at.cast(), 4096, PROT_READ);
            libc::mprotect(at.cast(), 4096, PROT_READ | PROT_WRITE);
        });
    }
}
