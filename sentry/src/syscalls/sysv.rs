//! System V and POSIX message IPC (`sysvipc(7)`, `mq_overview(7)`).

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `shmget(2)`
pub(super) fn sys_shmget(cx: &mut Cx, key: i32, size: usize, flags: i32) -> SysResult<u64> {
    let _ = (cx, key, size, flags);
    Err(Errno::ENOSYS.into())
}

/// `shmat(2)`
pub(super) async fn sys_shmat(cx: &mut Cx, shmid: i32, addr: u64, flags: i32) -> SysResult<u64> {
    let _ = (cx, shmid, addr, flags);
    Err(Errno::ENOSYS.into())
}

/// `shmdt(2)`
pub(super) async fn sys_shmdt(cx: &mut Cx, addr: u64) -> SysResult<u64> {
    let _ = (cx, addr);
    Err(Errno::ENOSYS.into())
}

/// `shmctl(2)`
pub(super) fn sys_shmctl(cx: &mut Cx, shmid: i32, cmd: i32, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, shmid, cmd, buf);
    Err(Errno::ENOSYS.into())
}

/// `semget(2)`
pub(super) fn sys_semget(cx: &mut Cx, key: i32, nsems: i32, flags: i32) -> SysResult<u64> {
    let _ = (cx, key, nsems, flags);
    Err(Errno::ENOSYS.into())
}

/// `semop(2)`
pub(super) async fn sys_semop(cx: &mut Cx, semid: i32, sops: UserAddr, nsops: usize) -> SysResult<u64> {
    let _ = (cx, semid, sops, nsops);
    Err(Errno::ENOSYS.into())
}

/// `semtimedop(2)`
pub(super) async fn sys_semtimedop(
    cx: &mut Cx,
    semid: i32,
    sops: UserAddr,
    nsops: usize,
    timeout: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, semid, sops, nsops, timeout);
    Err(Errno::ENOSYS.into())
}

/// `semctl(2)`
pub(super) fn sys_semctl(cx: &mut Cx, semid: i32, semnum: i32, cmd: i32, arg: u64) -> SysResult<u64> {
    let _ = (cx, semid, semnum, cmd, arg);
    Err(Errno::ENOSYS.into())
}

/// `msgget(2)`
pub(super) fn sys_msgget(cx: &mut Cx, key: i32, flags: i32) -> SysResult<u64> {
    let _ = (cx, key, flags);
    Err(Errno::ENOSYS.into())
}

/// `msgsnd(2)`
pub(super) async fn sys_msgsnd(cx: &mut Cx, msqid: i32, msgp: UserAddr, msgsz: usize, flags: i32) -> SysResult<u64> {
    let _ = (cx, msqid, msgp, msgsz, flags);
    Err(Errno::ENOSYS.into())
}

/// `msgrcv(2)`
pub(super) async fn sys_msgrcv(
    cx: &mut Cx,
    msqid: i32,
    msgp: UserAddr,
    msgsz: usize,
    msgtyp: i64,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, msqid, msgp, msgsz, msgtyp, flags);
    Err(Errno::ENOSYS.into())
}

/// `msgctl(2)`
pub(super) fn sys_msgctl(cx: &mut Cx, msqid: i32, cmd: i32, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, msqid, cmd, buf);
    Err(Errno::ENOSYS.into())
}

/// `mq_open(2)`
pub(super) fn sys_mq_open(cx: &mut Cx, name: UserAddr, oflag: i32, mode: u32, attr: UserAddr) -> SysResult<u64> {
    let _ = (cx, name, oflag, mode, attr);
    Err(Errno::ENOSYS.into())
}

/// `mq_unlink(2)`
pub(super) fn sys_mq_unlink(cx: &mut Cx, name: UserAddr) -> SysResult<u64> {
    let _ = (cx, name);
    Err(Errno::ENOSYS.into())
}

/// `mq_timedsend(2)`
pub(super) async fn sys_mq_timedsend(
    cx: &mut Cx,
    mqdes: i32,
    msg: UserAddr,
    len: usize,
    prio: u32,
    timeout: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, mqdes, msg, len, prio, timeout);
    Err(Errno::ENOSYS.into())
}

/// `mq_timedreceive(2)`
pub(super) async fn sys_mq_timedreceive(
    cx: &mut Cx,
    mqdes: i32,
    msg: UserAddr,
    len: usize,
    prio: UserAddr,
    timeout: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, mqdes, msg, len, prio, timeout);
    Err(Errno::ENOSYS.into())
}

/// `mq_notify(2)`
pub(super) fn sys_mq_notify(cx: &mut Cx, mqdes: i32, sevp: UserAddr) -> SysResult<u64> {
    let _ = (cx, mqdes, sevp);
    Err(Errno::ENOSYS.into())
}

/// `mq_getsetattr(2)`
pub(super) fn sys_mq_getsetattr(cx: &mut Cx, mqdes: i32, new: UserAddr, old: UserAddr) -> SysResult<u64> {
    let _ = (cx, mqdes, new, old);
    Err(Errno::ENOSYS.into())
}
