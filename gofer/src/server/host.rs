//! The host calls of the server, each relative to a descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use abi::Errno;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};

use crate::proto::Attr;
use crate::proto::transport::errno;

/// Attributes of `name` in `dir`, a symbolic link not followed; an empty name means `dir` itself.
pub fn stat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Attr, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let flags = if name.is_empty() {
        flags | AtFlags::EMPTY_PATH
    } else {
        flags
    };
    let st = rustix::fs::statx(
        dir,
        name,
        flags,
        StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID,
    )
    .map_err(errno)?;
    Ok(Attr::from(st))
}

/// A handle on `name` in `dir` that opens nothing: no device, no fifo, no link is touched.
pub fn open_path(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        dir,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(errno)
}

/// How the server names one of its own descriptors as a path: `/proc/self/fd/N`, or `N` when the process's working
/// directory is that directory (for a process whose root has no `/proc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdPaths {
    Proc,
    WorkingDir,
}

/// A path that leads to an open file by its descriptor.
pub struct FdPath {
    buf: [u8; 32],
    len: usize,
}

impl FdPath {
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }
}

impl FdPaths {
    pub fn of<F: AsFd>(self, fd: &F) -> FdPath {
        let mut path = FdPath { buf: [0; 32], len: 0 };
        let number = rustix::path::DecInt::new(fd.as_fd().as_raw_fd());
        let prefix: &[u8] = match self {
            Self::Proc => b"/proc/self/fd/",
            Self::WorkingDir => b"",
        };
        for (to, from) in path.buf.iter_mut().zip(prefix.iter().chain(number.as_bytes())) {
            *to = *from;
            path.len += 1;
        }
        path
    }

    /// Opens the very file that a path handle holds, whatever its name means by now.
    pub fn reopen<F: AsFd>(self, fd: &F, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(CWD, self.of(fd).bytes(), flags, Mode::empty()).map_err(errno)
    }
}
