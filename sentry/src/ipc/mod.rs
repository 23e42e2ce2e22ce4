//! Inter-process communication other than sockets: pipes, futexes, eventfd, epoll, System V and POSIX objects.

pub mod epoll;
pub mod eventfd;
pub mod futex;
pub mod mqueue;
pub mod pipe;
pub mod ring;
pub mod sysv;

/// What hangs from the kernel.
#[derive(Default)]
pub struct Ipc {
    /// Who waits on which futex.
    pub futexes: futex::FutexTable,
    /// System V objects.
    pub sysv: sysv::SysV,
    /// POSIX message queues.
    pub mqueues: mqueue::Queues,
}
