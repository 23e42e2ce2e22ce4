//! `futex(2)`.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `futex(2)`
pub(super) async fn sys_futex(
    cx: &mut Cx,
    uaddr: u64,
    op: i32,
    val: u32,
    timeout: u64,
    uaddr2: u64,
    val3: u32,
) -> SysResult<u64> {
    let _ = (cx, uaddr, op, val, timeout, uaddr2, val3);
    Err(Errno::ENOSYS.into())
}

/// `futex_waitv(2)`
pub(super) async fn sys_futex_waitv(
    cx: &mut Cx,
    waiters: UserAddr,
    nr: u32,
    flags: u32,
    timeout: UserAddr,
    clockid: i32,
) -> SysResult<u64> {
    let _ = (cx, waiters, nr, flags, timeout, clockid);
    Err(Errno::ENOSYS.into())
}

/// `futex_wake(2)`
pub(super) async fn sys_futex_wake(cx: &mut Cx, uaddr: u64, mask: u64, nr: i32, flags: u32) -> SysResult<u64> {
    let _ = (cx, uaddr, mask, nr, flags);
    Err(Errno::ENOSYS.into())
}

/// `futex_wait(2)`
pub(super) async fn sys_futex_wait(
    cx: &mut Cx,
    uaddr: u64,
    val: u64,
    mask: u64,
    flags: u32,
    timeout: UserAddr,
    clockid: i32,
) -> SysResult<u64> {
    let _ = (cx, uaddr, val, mask, flags, timeout, clockid);
    Err(Errno::ENOSYS.into())
}

/// `futex_requeue(2)`
pub(super) async fn sys_futex_requeue(
    cx: &mut Cx,
    waiters: UserAddr,
    flags: u32,
    nr_wake: i32,
    nr_requeue: i32,
) -> SysResult<u64> {
    let _ = (cx, waiters, flags, nr_wake, nr_requeue);
    Err(Errno::ENOSYS.into())
}
