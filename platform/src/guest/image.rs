//! The stub program, and files in memory for it and for channels.

use std::os::fd::{AsFd, OwnedFd};

use abi::conv::size;
use abi::errno::Result;
use rustix::fs::{MemfdFlags, SealFlags};

use super::layout::CHANNEL_BYTES;
use crate::host::errno;

/// Built by `build.rs` from `stub/`.
static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));

/// The stub as an executable file that nobody can change.
pub fn stub() -> Result<OwnedFd> {
    sealed("guest", STUB)
}

/// An executable file in memory that nobody can change.
pub(crate) fn sealed(name: &str, content: &[u8]) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Hosts that forbid executable memfds by default want to be asked, older ones do not know the flag.
    let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(name, flags))
        .map_err(errno)?;
    let mut rest = content;
    while !rest.is_empty() {
        let n = rustix::io::write(&fd, rest).map_err(errno)?;
        rest = rest.get(n..).unwrap_or_default();
    }
    seal(&fd, SealFlags::WRITE)?;
    Ok(fd)
}

/// A channel area, all zero, of fixed size: a mapping of it can never raise `SIGBUS`.
pub fn channel() -> Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("channel", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(errno)?;
    rustix::fs::ftruncate(&fd, CHANNEL_BYTES).map_err(errno)?;
    seal(&fd, SealFlags::empty())?;
    Ok(fd)
}

/// Bytes to map of a channel area.
pub fn channel_len() -> usize {
    size(CHANNEL_BYTES)
}

fn seal(fd: impl AsFd, more: SealFlags) -> Result<()> {
    rustix::fs::fcntl_add_seals(fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL | more).map_err(errno)
}
