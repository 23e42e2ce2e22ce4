//! What every family imports.

pub use libc::*;
pub use std::ffi::CStr;
pub use std::mem::{size_of, zeroed};
pub use std::ptr::{null, null_mut};
pub use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

pub use crate::cases::skip;
pub use crate::check::{eq, errno, fails, ok, ok_eq, yes};
pub use crate::process::{
    as_user, become_user, close, fstat, get, get_all, get_fd, in_child, now_ms, open, pipe, put, put_fd, sleep_ms,
    spawn, stat, state_of, text, try_open, until, until_asleep, wait, wait_exit, wait_signal,
};
pub use crate::thread::{HITS, LAST, block, catch, count, handle, hits, kill_later, pending, set_of, shared, unblock};

/// The pointer of a path literal.
pub fn p(path: &CStr) -> *const c_char {
    path.as_ptr()
}
