//! The one layer through which the workspace calls the host kernel where `rustix` has no safe call.
//!
//! One file per area. Each function is safe to call with any arguments: what could harm this process's memory is either
//! built here or owned by the type that offers the call.

pub mod confine;
#[expect(unsafe_code, reason = "ownership of descriptors known by number")]
pub mod inherited;
pub mod last_words;
#[expect(unsafe_code, reason = "one system call that rustix lacks")]
pub mod mount;
#[expect(unsafe_code, reason = "ioctl structures")]
pub mod notify;
#[expect(unsafe_code, reason = "clone, execveat and waitid are raw calls")]
pub mod process;
#[expect(
    unsafe_code,
    reason = "ptrace and wait4 are raw calls, and a wait that can be called off"
)]
pub mod ptrace;
#[expect(unsafe_code, reason = "volatile access to shared memory")]
pub mod shared;
#[expect(unsafe_code, reason = "addresses and options as bytes")]
pub mod socket;
#[expect(unsafe_code, reason = "clone3 and what a child may do before its exec")]
pub mod spawn;
#[expect(unsafe_code, reason = "process_vm_readv and clock ids are raw calls")]
pub mod vm;

use abi::Errno;
use abi::errno::Result;

/// The result of a raw host call; the error is the thread's `errno`.
pub(crate) fn checked(ret: i64) -> Result<u64> {
    u64::try_from(ret).map_err(|_| last_errno())
}

/// The thread's `errno`.
pub(crate) fn last_errno() -> Errno {
    Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// What `rustix` gives, in our words.
pub fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}
