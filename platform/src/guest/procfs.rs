//! The procfs that the platform was given.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use abi::errno::Result;
use rustix::fs::{Mode, OFlags};

use crate::host::errno;

/// A small text file below a directory.
pub(crate) fn read_file(dir: BorrowedFd<'_>, path: &str) -> Option<String> {
    let fd = rustix::fs::openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (mut text, mut buf) = (Vec::new(), [0u8; 4096]);
    loop {
        match rustix::io::read(&fd, &mut buf) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(buf.get(..n)?),
            Err(_) => return None,
        }
    }
    String::from_utf8(text).ok()
}

/// Guest processes are the first to go when memory is short.
pub(crate) fn prefer_for_oom(pid: i32, proc_fd: Option<&OwnedFd>) {
    let Some(proc_fd) = proc_fd else { return };
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::openat(proc_fd, format!("{pid}/oom_score_adj"), flags, Mode::empty()) {
        let _ = rustix::io::write(&fd, b"1000");
    }
}

/// A read-only descriptor of the same file; none if it is one already.
pub(crate) fn read_only(proc_fd: Option<&OwnedFd>, fd: &OwnedFd) -> Result<Option<OwnedFd>> {
    let mode = rustix::fs::fcntl_getfl(fd).map_err(errno)? & OFlags::RWMODE;
    if mode == OFlags::RDONLY {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let number = fd.as_raw_fd();
    let opened = match proc_fd {
        Some(dir) => rustix::fs::openat(dir.as_fd(), format!("self/fd/{number}"), flags, Mode::empty()),
        None => rustix::fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty()),
    };
    opened.map(Some).map_err(errno)
}
