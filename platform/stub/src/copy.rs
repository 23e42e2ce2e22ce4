//! Copies that survive a fault: what the guest names may not be mapped.

use core::arch::global_asm;

// The handler recognises a fault between the two labels and continues at `copy_fixup`, with the count of bytes that are
// left in rcx.
global_asm!(
    ".globl copy_begin, copy_end, copy_fixup, copy_bytes, copy_string, cmpxchg_word",
    "copy_begin:",
    // fn(dst, src, len) -> bytes left
    "copy_bytes:",
    "mov rcx, rdx",
    "rep movsb",
    "mov rax, rcx",
    "ret",
    // fn(dst, src, len) -> bytes left, stops behind a NUL
    "copy_string:",
    "mov rcx, rdx",
    "test rcx, rcx",
    "jz 3f",
    "2: mov al, byte ptr [rsi]",
    "mov byte ptr [rdi], al",
    "inc rsi",
    "inc rdi",
    "dec rcx",
    "jz 3f",
    "test al, al",
    "jnz 2b",
    "3: mov rax, rcx",
    "ret",
    // fn(addr, old, new, out) -> 0, or 1 after a fault
    "cmpxchg_word:",
    "mov r8, rcx",
    "mov rax, rsi",
    "mov ecx, 1",
    "lock cmpxchg dword ptr [rdi], edx",
    "mov dword ptr [r8], eax",
    "xor eax, eax",
    "ret",
    "copy_end:",
    "copy_fixup:",
    "mov rax, rcx",
    "ret",
);

unsafe extern "C" {
    static copy_begin: u8;
    static copy_end: u8;
    static copy_fixup: u8;
    fn copy_bytes(dst: u64, src: u64, len: u64) -> u64;
    fn copy_string(dst: u64, src: u64, len: u64) -> u64;
    fn cmpxchg_word(addr: u64, old: u64, new: u64, out: *mut u32) -> u64;
}

/// Copies bytes; gives how many were copied.
///
/// # Safety
/// Every byte of both ranges is either free for this use or raises a fault.
pub unsafe fn bytes(dst: u64, src: u64, len: u64) -> u64 {
    // SAFETY: passed on; a fault continues at the fix-up.
    len - unsafe { copy_bytes(dst, src, len) }
}

/// Copies up to and with the NUL; gives how many bytes were copied.
///
/// # Safety
/// As [`bytes`].
pub unsafe fn string(dst: u64, src: u64, len: u64) -> u64 {
    // SAFETY: passed on; a fault continues at the fix-up.
    len - unsafe { copy_string(dst, src, len) }
}

/// Compares and exchanges; none after a fault.
///
/// # Safety
/// As [`bytes`], for the word at `addr`.
pub unsafe fn cmpxchg(addr: u64, old: u32, new: u32) -> Option<u32> {
    let mut out = 0u32;
    // SAFETY: passed on; a fault continues at the fix-up with 1 in rcx.
    match unsafe { cmpxchg_word(addr, old as u64, new as u64, &mut out) } {
        0 => Some(out),
        _ => None,
    }
}

/// Where to go on if `rip` is in a copy.
pub fn fixup(rip: u64) -> Option<u64> {
    let (begin, end) = (&raw const copy_begin as u64, &raw const copy_end as u64);
    (begin <= rip && rip < end).then_some(&raw const copy_fixup as u64)
}

// The compiler calls these for whatever it likes to do with memory.

/// `memcpy(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(dst: *mut u8, src: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the compiler passes ranges that it may use so.
    unsafe { core::arch::asm!("rep movsb", inout("rdi") dst => _, inout("rsi") src => _, inout("rcx") len => _) };
    dst
}

/// `memset(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(dst: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the compiler passes a range that it may use so.
    unsafe { core::arch::asm!("rep stosb", inout("rdi") dst => _, in("al") byte as u8, inout("rcx") len => _) };
    dst
}
