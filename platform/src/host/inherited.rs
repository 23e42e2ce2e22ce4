//! Descriptors that a process was started with, known by number only.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

static TAKEN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Takes ownership of an inherited descriptor and sets close-on-exec. Each number can be taken once in the life of the
/// process (`EBUSY` afterwards); one that is not open gives `EBADF`.
///
/// To be called while the process has one thread and has opened little: a number that was not inherited but opened
/// since belongs to somebody else already.
pub fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory involved; a number that is not open is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    if !TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(number) {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: the descriptor is open, and the set above gives each number out once, so there is one owner. The caller
    // names numbers that the parent process put there for it, which no other code of this process knows.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A further descriptor for what an inherited one is open on; the number itself is still to be taken.
pub fn duplicate(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory involved; a number that is not open is an error.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above made this descriptor just now, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
