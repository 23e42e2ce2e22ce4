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

/// The `oom_score_adj` of guest processes where the sandbox has `own`, which is what config.json says: they go before it when
/// memory is short, by half of what there is, and between sandboxes the order stays.
pub fn guest_oom_score_adj(own: i32) -> i32 {
    own.saturating_add(500).clamp(-1000, 1000)
}

/// Gives it to the process from which all others are forked; it has the Sentry's.
pub(crate) fn prefer_for_oom(pid: i32, proc_fd: Option<&OwnedFd>) {
    let Some(proc_fd) = proc_fd else { return };
    let path = format!("{pid}/oom_score_adj");
    let own = read_file(proc_fd.as_fd(), &path).and_then(|text| text.trim().parse::<i32>().ok());
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::openat(proc_fd, &path, flags, Mode::empty()) {
        let _ = rustix::io::write(&fd, guest_oom_score_adj(own.unwrap_or(0)).to_string().as_bytes());
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
