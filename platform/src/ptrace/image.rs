//! The program that a guest process begins as: ten bytes of text at the stub's address.
//!
//! Nothing of it runs but on the tracer's order, and guest code cannot change it: all changes of the address space
//! are the tracer's own.

use std::os::fd::OwnedFd;

use abi::errno::Result;

use crate::guest::image::sealed;
use crate::guest::layout::STUB_BASE;

/// `jmp` to itself, for the moment until the tracer is there.
const START: [u8; 2] = [0xeb, 0xfe];
/// `syscall; int3`
const CALL_TEXT: [u8; 3] = [0x0f, 0x05, 0xcc];
/// `lock cmpxchg dword ptr [rdi], edx; int3`
const CMPXCHG_TEXT: [u8; 5] = [0xf0, 0x0f, 0xb1, 0x17, 0xcc];

/// Bytes of the ELF header and two program headers; the text follows.
const HEADERS: u64 = 64 + 2 * 56;
/// Where it starts.
const ENTRY: u64 = STUB_BASE + HEADERS;
/// Where a system call is made.
pub(super) const CALL: u64 = ENTRY + START.len() as u64;
/// Behind its breakpoint.
pub(super) const CALL_END: u64 = CALL + CALL_TEXT.len() as u64;
/// Where the word at `rdi` is compared with `eax` and exchanged with `edx`.
pub(super) const CMPXCHG: u64 = CALL_END;
/// Behind its breakpoint.
pub(super) const CMPXCHG_END: u64 = CMPXCHG + CMPXCHG_TEXT.len() as u64;

/// The program as an executable file that nobody can change.
pub(super) fn program() -> Result<OwnedFd> {
    sealed("guest", &elf())
}

fn elf() -> Vec<u8> {
    let text: Vec<u8> = START.into_iter().chain(CALL_TEXT).chain(CMPXCHG_TEXT).collect();
    let size = HEADERS.saturating_add(abi::conv::usize64(text.len()));
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, values: &[u16]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    let long = |file: &mut Vec<u8>, values: &[u64]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    // ET_EXEC, EM_X86_64, version; entry, program headers, no section headers; flags; sizes and counts.
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    long(&mut file, &[ENTRY, 64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 2, 64, 0, 0]);
    // PT_LOAD, readable and executable: offset, addresses, sizes, alignment.
    word(&mut file, &[1, 5]);
    long(&mut file, &[0, STUB_BASE, STUB_BASE, size, size, 4096]);
    // PT_GNU_STACK, not executable.
    word(&mut file, &[0x6474_e551, 6]);
    long(&mut file, &[0; 6]);
    file.extend(text);
    file
}

#[cfg(test)]
mod tests {
    use super::{CALL, CMPXCHG, HEADERS, elf};
    use crate::guest::layout::{STUB_BASE, STUB_TEXT_END};

    #[test]
    fn the_text_is_where_it_is_said_to_be() {
        let file = elf();
        let at = |addr: u64| file.get(usize::try_from(addr - STUB_BASE).unwrap()..).unwrap();
        assert!(at(CALL).starts_with(&[0x0f, 0x05, 0xcc]));
        assert!(at(CMPXCHG).starts_with(&[0xf0, 0x0f, 0xb1]));
        assert_eq!(file.len() as u64, HEADERS + 10);
        const { assert!(CMPXCHG < STUB_TEXT_END) };
    }
}
