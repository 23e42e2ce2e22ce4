//! The procfs that the platform was given.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};

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
