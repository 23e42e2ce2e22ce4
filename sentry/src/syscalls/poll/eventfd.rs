//! `eventfd(2)`

use abi::{Errno, SysResult};

use crate::fs::OpenFlags;
use crate::fs::namei::anon_file;
use crate::ipc::eventfd::EventFd;
use crate::task::Cx;

const EFD_SEMAPHORE: i32 = 1;
const EFD_NONBLOCK: i32 = 0o4000;
const EFD_CLOEXEC: i32 = 0o2_000_000;

/// `eventfd(2)`
pub(in crate::syscalls) fn sys_eventfd(cx: &mut Cx, initval: u32) -> SysResult<u64> {
    sys_eventfd2(cx, initval, 0)
}

/// `eventfd2(2)`
pub(in crate::syscalls) fn sys_eventfd2(cx: &mut Cx, initval: u32, flags: i32) -> SysResult<u64> {
    if flags & !(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let kernel = &cx.task.kernel;
    let event = EventFd::new(u64::from(initval), flags & EFD_SEMAPHORE != 0, kernel.unique_id());
    let mut open = OpenFlags::RDWR;
    open.set(OpenFlags::NONBLOCK, flags & EFD_NONBLOCK != 0);
    let file = anon_file(kernel, "[eventfd]", event, open);
    let fd = cx
        .task
        .files()
        .add(file, flags & EFD_CLOEXEC != 0, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}
