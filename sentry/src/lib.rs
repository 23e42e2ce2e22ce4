//! The Sentry: a Linux kernel as an ordinary process.
//!
//! Modules carry Linux's names. `task` holds the loop that every guest thread runs in; `syscalls` the table from numbers to
//! handlers; the others the subsystems that handlers call.

#![forbid(unsafe_code)]
// Types that reach each other through the kernel make long proofs of `Send`.
#![recursion_limit = "256"]

pub mod boot;
pub mod cgroup;
pub mod cred;
pub mod executor;
pub mod fs;
pub mod ipc;
pub mod kernel;
pub mod kmsg;
pub mod loader;
pub mod log;
pub mod mm;
pub mod net;
pub mod signal;
pub mod sync;
pub mod syscalls;
pub mod sysctl;
pub mod task;
pub mod time;
pub mod tty;
pub mod usermem;
pub mod wait;
