//! System V and POSIX message IPC (`sysvipc(7)`, `mq_overview(7)`).

mod mq;
mod msg;
mod sem;
mod shm;

pub(super) use mq::{
    sys_mq_getsetattr, sys_mq_notify, sys_mq_open, sys_mq_timedreceive, sys_mq_timedsend, sys_mq_unlink,
};
pub(super) use msg::{sys_msgctl, sys_msgget, sys_msgrcv, sys_msgsnd};
pub(super) use sem::{sys_semctl, sys_semget, sys_semop, sys_semtimedop};
pub(super) use shm::{sys_shmat, sys_shmctl, sys_shmdt, sys_shmget};
