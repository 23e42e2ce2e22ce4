//! Linux AIO (`io_setup(2)`).

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `io_setup(2)`
pub(super) fn sys_io_setup(cx: &mut Cx, nr_events: u32, ctxp: UserAddr) -> SysResult<u64> {
    let _ = (cx, nr_events, ctxp);
    Err(Errno::ENOSYS.into())
}

/// `io_destroy(2)`
pub(super) fn sys_io_destroy(cx: &mut Cx, ctx: u64) -> SysResult<u64> {
    let _ = (cx, ctx);
    Err(Errno::ENOSYS.into())
}

/// `io_getevents(2)`
pub(super) async fn sys_io_getevents(
    cx: &mut Cx,
    ctx: u64,
    min_nr: i64,
    nr: i64,
    events: UserAddr,
    timeout: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, ctx, min_nr, nr, events, timeout);
    Err(Errno::ENOSYS.into())
}

/// `io_submit(2)`
pub(super) async fn sys_io_submit(cx: &mut Cx, ctx: u64, nr: i64, iocbpp: UserAddr) -> SysResult<u64> {
    let _ = (cx, ctx, nr, iocbpp);
    Err(Errno::ENOSYS.into())
}

/// `io_cancel(2)`
pub(super) fn sys_io_cancel(cx: &mut Cx, ctx: u64, iocb: UserAddr, result: UserAddr) -> SysResult<u64> {
    let _ = (cx, ctx, iocb, result);
    Err(Errno::ENOSYS.into())
}

/// `io_pgetevents(2)`
pub(super) async fn sys_io_pgetevents(
    cx: &mut Cx,
    ctx: u64,
    min_nr: i64,
    nr: i64,
    events: UserAddr,
    timeout: UserAddr,
    sig: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, ctx, min_nr, nr, events, timeout, sig);
    Err(Errno::ENOSYS.into())
}
