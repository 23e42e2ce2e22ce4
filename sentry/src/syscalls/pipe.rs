//! Pipes.

use abi::{Errno, SysResult};

use crate::fs::namei::Anon;
use crate::fs::{File, FileMode, OpenFlags, Path};
use crate::ipc::pipe;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `pipe(2)`
pub(super) fn sys_pipe(cx: &mut Cx, pipefd: UserAddr) -> SysResult<u64> {
    sys_pipe2(cx, pipefd, 0)
}

/// `pipe2(2)`
pub(super) fn sys_pipe2(cx: &mut Cx, pipefd: UserAddr, flags: i32) -> SysResult<u64> {
    let flags = OpenFlags::from_bits_retain(flags.cast_unsigned());
    let status = OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    // O_EXCL is O_NOTIFICATION_PIPE here, which a kernel without watch queues refuses.
    if flags.contains(OpenFlags::EXCL) {
        return Err(Errno::ENOPKG.into());
    }
    if !(status | OpenFlags::CLOEXEC).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let (reader, writer) = pipe::pair();
    let path = Path::new_anon(&cx.task.kernel, Anon::Pipe, &cx.task.cred());
    // Opening /proc/PID/fd/N finds the same pipe.
    *path.inode().fifo.lock() = Some(std::sync::Arc::downgrade(reader.pipe()));
    let reader = File::new(reader, path.clone(), FileMode::READ, flags & status);
    let writer = File::new(writer, path, FileMode::WRITE, (flags & status) | OpenFlags::WRONLY);
    let files = cx.task.files();
    let slots = files.reserve(2, cx.task.fd_limit())?;
    let mut numbers = [0i32; 2];
    for (to, from) in numbers.iter_mut().zip(slots.numbers()) {
        *to = *from;
    }
    cx.write_obj(pipefd, &numbers)?;
    slots.commit([reader, writer], flags.contains(OpenFlags::CLOEXEC));
    Ok(0)
}
