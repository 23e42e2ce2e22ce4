//! Inter-process communication other than sockets: pipes, futexes, eventfd, epoll, System V and POSIX objects.

pub mod epoll;
pub mod eventfd;
pub mod futex;
pub mod mqueue;
mod namespace;
pub mod pipe;
pub mod ring;
pub mod sysv;

use std::sync::Arc;

pub use namespace::{IpcLimits, IpcNamespace};

/// What hangs from the kernel.
pub struct Ipc {
    /// Who waits on which futex.
    pub futexes: futex::FutexTable,
    /// The first namespace.
    pub root_ns: Arc<IpcNamespace>,
}

impl Ipc {
    /// With an empty first namespace.
    pub fn new(root_ns: Arc<IpcNamespace>) -> Ipc {
        Ipc {
            futexes: futex::FutexTable::default(),
            root_ns,
        }
    }
}
