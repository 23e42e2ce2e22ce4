//! The Linux ABI as data: numbers, flags, structures and error codes. No I/O, no dependency on the other crates.
//!
//! One file per topic, named as Linux names it. Structures that cross the guest border derive zerocopy's traits, so that a
//! copy to or from guest memory is a copy of bytes.

pub mod conv;
pub mod elf;
pub mod errno;
pub mod fs;
pub mod ipc;
pub mod nr;
pub mod poll;
pub mod regs;
pub mod sched;
pub mod socket;
pub mod termios;
pub mod time;

pub use errno::{Errno, Restart, SysError, SysResult};
