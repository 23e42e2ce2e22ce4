//! IPC namespaces (`ipc_namespaces(7)`): System V objects, POSIX message queues, and their limits.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::mqueue::Queues;
use super::sysv::{self, SysV};
use crate::cred::UserNamespace;
use crate::sysctl::Tunable;

/// A namespace.
pub struct IpcNamespace {
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Who may administer it.
    pub user_ns: Arc<UserNamespace>,
    /// System V objects.
    pub sysv: SysV,
    /// POSIX message queues.
    pub mqueues: Queues,
    /// What `/proc/sys` sets.
    pub limits: IpcLimits,
}

/// Limits of a namespace, named as the files of `/proc/sys/kernel` and `/proc/sys/fs/mqueue` are.
pub struct IpcLimits {
    /// Longest message.
    pub msgmax: Tunable,
    /// Bytes of a new queue.
    pub msgmnb: Tunable,
    /// Queues.
    pub msgmni: Tunable,
    /// Largest segment.
    pub shmmax: AtomicU64,
    /// Pages of all segments.
    pub shmall: AtomicU64,
    /// Segments.
    pub shmmni: Tunable,
    /// `sem`: semaphores in a set, in all sets, operations in a call, sets.
    pub sem: [Tunable; 4],
    /// The id that the next object gets; negative leaves it to the kernel.
    pub msg_next_id: Tunable,
    /// See `msg_next_id`.
    pub sem_next_id: Tunable,
    /// See `msg_next_id`.
    pub shm_next_id: Tunable,
    /// `mqueue.queues_max`
    pub queues_max: Tunable,
    /// `mqueue.msg_max`
    pub msg_max: Tunable,
    /// `mqueue.msgsize_max`
    pub msgsize_max: Tunable,
    /// `mqueue.msg_default`
    pub msg_default: Tunable,
    /// `mqueue.msgsize_default`
    pub msgsize_default: Tunable,
}

impl Default for IpcLimits {
    fn default() -> IpcLimits {
        IpcLimits {
            msgmax: Tunable::new(8192),
            msgmnb: Tunable::new(16384),
            msgmni: Tunable::new(32000),
            shmmax: AtomicU64::new(sysv::shm::SHMMAX),
            shmall: AtomicU64::new(sysv::shm::SHMALL),
            shmmni: Tunable::new(4096),
            sem: [32000, 1_024_000_000, 500, 32000].map(Tunable::new),
            msg_next_id: Tunable::new(-1),
            sem_next_id: Tunable::new(-1),
            shm_next_id: Tunable::new(-1),
            queues_max: Tunable::new(256),
            msg_max: Tunable::new(10),
            msgsize_max: Tunable::new(8192),
            msg_default: Tunable::new(10),
            msgsize_default: Tunable::new(8192),
        }
    }
}

impl IpcNamespace {
    /// An empty one, with the usual limits.
    pub fn new(id: u64, user_ns: Arc<UserNamespace>) -> Arc<IpcNamespace> {
        Arc::new(IpcNamespace {
            id,
            user_ns,
            sysv: SysV::default(),
            mqueues: Queues::default(),
            limits: IpcLimits::default(),
        })
    }
}
