//! Pipes.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `pipe(2)`
pub(super) fn sys_pipe(cx: &mut Cx, pipefd: UserAddr) -> SysResult<u64> {
    let _ = (cx, pipefd);
    Err(Errno::ENOSYS.into())
}

/// `pipe2(2)`
pub(super) fn sys_pipe2(cx: &mut Cx, pipefd: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, pipefd, flags);
    Err(Errno::ENOSYS.into())
}
