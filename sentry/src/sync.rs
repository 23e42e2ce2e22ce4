//! The Sentry's locks, by one name, so that a checking or a modelled lock can take their place.
//!
//! Order, outermost first; a lock may be taken only while holding locks that stand above it:
//!
//! 1. `kernel::Kernel::tasks` (pid tables, process tree)
//! 2. `task::ThreadGroup` state
//! 3. `task::Task` slots (cred, fs, files, mm) - each held for a moment to clone an `Arc`
//! 4. signal state of a group, then of a task
//! 5. `fs`: mount table, then dentry children (parent before child), then inode state, then file position
//! 6. `mm::Mm` state
//! 7. wait queues, executor queues and timers
//!
//! No lock is held across an `.await`; guest memory is not touched under any lock of group 4 to 7.

pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
