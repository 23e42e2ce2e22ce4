//! The one way in which calls read and write: position, waiting, limits, signals, events.

use std::sync::Arc;

use abi::conv::usize64;
use abi::{Errno, SysResult};

use super::{RWF_APPEND, RWF_DSYNC, RWF_KNOWN, RWF_NOAPPEND, RWF_NOWAIT, RWF_SYNC};
use crate::executor::Executor;
use crate::fs::io::{Sink, Source, UserBuf};
use crate::fs::watch::{self, mask};
use crate::fs::{File, FileMode, FileType, OpenFlags, WriteAt, attr};
use crate::signal::{SigInfo, Signal};
use crate::task::{Cx, Resource, Task};
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Events};

/// How to transfer.
#[derive(Clone, Copy, Default)]
pub(in crate::syscalls) struct How {
    /// None: at the file's position, which moves on.
    at: Option<u64>,
    flags: u32,
}

impl How {
    /// At the file's own position.
    pub(in crate::syscalls) fn at_position() -> How {
        How::default()
    }

    /// At this one.
    pub(in crate::syscalls) fn at(pos: u64) -> How {
        How {
            at: Some(pos),
            flags: 0,
        }
    }

    /// With `RWF_*` flags.
    pub(in crate::syscalls) fn with_flags(self, flags: u32) -> SysResult<How> {
        if flags & !RWF_KNOWN != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if flags & (RWF_APPEND | RWF_NOAPPEND) == RWF_APPEND | RWF_NOAPPEND {
            return Err(Errno::EINVAL.into());
        }
        Ok(How { flags, ..self })
    }
}

/// One attempt to read.
pub(super) fn try_read(file: &Arc<File>, dst: &mut dyn Sink, at: Option<u64>) -> abi::errno::Result<usize> {
    if file.inode().is_dir() {
        return Err(Errno::EISDIR);
    }
    let n = match at {
        Some(at) => file.ops.read(file, dst, at)?,
        None if file.mode.contains(FileMode::SEEK) => {
            let mut pos = file.pos.lock();
            let n = file.ops.read(file, dst, *pos)?;
            *pos = pos.saturating_add(usize64(n));
            n
        }
        None => file.ops.read(file, dst, 0)?,
    };
    if n > 0 {
        watch::notify_file(file, mask::ACCESS);
    }
    Ok(n)
}

/// One attempt to write.
pub(super) fn try_write(
    task: &Arc<Task>,
    file: &Arc<File>,
    src: &mut dyn Source,
    at: Option<u64>,
    flags: u32,
) -> abi::errno::Result<usize> {
    let regular = file.inode().kind == FileType::Regular;
    let limit = if regular {
        task.rlimit(Resource::Fsize).soft
    } else {
        u64::MAX
    };
    let append = (file.flags().contains(OpenFlags::APPEND) && flags & RWF_NOAPPEND == 0) || flags & RWF_APPEND != 0;
    let mut to = WriteAt {
        pos: at.unwrap_or(0),
        append,
        end: 0,
        limit,
    };
    attr::before_write(task, &file.path)?;
    let result = if at.is_none() && file.mode.contains(FileMode::SEEK) {
        let mut pos = file.pos.lock();
        to.pos = *pos;
        let result = file.ops.write(file, src, &mut to);
        if result.as_ref().is_ok_and(|&n| n > 0) {
            *pos = to.end;
        }
        result
    } else {
        file.ops.write(file, src, &mut to)
    };
    match result {
        Ok(n) => {
            if n > 0 {
                watch::notify_file(file, mask::MODIFY);
                let sync = file.flags().intersects(OpenFlags::DSYNC | OpenFlags::SYNC);
                if regular && (sync || flags & (RWF_DSYNC | RWF_SYNC) != 0) {
                    file.ops.fsync(file, !file.flags().contains(OpenFlags::SYNC))?;
                }
            }
            Ok(n)
        }
        Err(e) => {
            match e {
                Errno::EPIPE => signal_self(task, Signal::SIGPIPE),
                Errno::EFBIG if limit != u64::MAX => signal_self(task, Signal::SIGXFSZ),
                _ => {}
            }
            Err(e)
        }
    }
}

/// A signal from the kernel to the caller, as `send_sig(sig, current, 0)`.
pub(super) fn signal_self(task: &Arc<Task>, signal: Signal) {
    let info = SigInfo::user(signal, task.group.tgid, task.cred().uid);
    // A full queue loses the signal, as in Linux.
    let _ = task.send_signal(info);
}

/// Waits for readiness, if the file has any and the caller may wait; else the error is `EAGAIN`.
pub(super) async fn wait_for(
    task: &Arc<Task>,
    blocker: &mut Option<Blocker>,
    file: &Arc<File>,
    nowait: bool,
    events: Events,
) -> SysResult<()> {
    let Some(queue) = file.ops.wait_queue().filter(|_| !nowait && !file.nonblock()) else {
        return Err(Errno::EAGAIN.into());
    };
    let limit = file.ops.timeout_ns(events.contains(Events::OUT));
    let deadline = (limit != 0).then(|| Executor::now().saturating_add(limit));
    let blocker = blocker.get_or_insert_with(|| Blocker::new(task, deadline));
    blocker.wait_on(queue, events).await.map_err(|b| match (b, limit) {
        // A time limit of a socket makes a call one that is not restarted (`signal(7)`).
        (Blocked::Interrupted, 1..) => Errno::EINTR.into(),
        _ => b.or_restart(Errno::EAGAIN),
    })
}

/// Reads into guest memory.
pub(in crate::syscalls) async fn read_into(
    cx: &mut Cx,
    file: &Arc<File>,
    iov: &[(UserAddr, usize)],
    how: How,
) -> SysResult<u64> {
    let task = cx.task.clone();
    let result = do_read(&task, cx, file, iov, how).await;
    task.group.io.read(*result.as_ref().unwrap_or(&0));
    result
}

async fn do_read(
    task: &Arc<Task>,
    cx: &mut Cx,
    file: &Arc<File>,
    iov: &[(UserAddr, usize)],
    how: How,
) -> SysResult<u64> {
    let mut blocker = None;
    let mut buf = UserBuf::new(cx, iov);
    loop {
        match try_read(file, &mut buf, how.at) {
            Ok(n) => return Ok(usize64(n)),
            Err(Errno::EAGAIN) => {
                wait_for(task, &mut blocker, file, how.flags & RWF_NOWAIT != 0, Events::READ).await?;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Writes from guest memory. A file that can be full takes all before the call ends, unless something stops it.
pub(in crate::syscalls) async fn write_from(
    cx: &mut Cx,
    file: &Arc<File>,
    iov: &[(UserAddr, usize)],
    how: How,
) -> SysResult<u64> {
    let task = cx.task.clone();
    let result = do_write(&task, cx, file, iov, how).await;
    task.group.io.wrote(*result.as_ref().unwrap_or(&0));
    result
}

async fn do_write(
    task: &Arc<Task>,
    cx: &mut Cx,
    file: &Arc<File>,
    iov: &[(UserAddr, usize)],
    how: How,
) -> SysResult<u64> {
    let mut blocker = None;
    let mut buf = UserBuf::new(cx, iov);
    let mut done = 0u64;
    let nowait = how.flags & RWF_NOWAIT != 0;
    loop {
        let at = how.at.map(|at| at.saturating_add(done));
        let stop = match try_write(task, file, &mut buf, at, how.flags) {
            Ok(n) => {
                done += usize64(n);
                if Source::remaining(&buf) == 0 || n == 0 || file.ops.wait_queue().is_none() {
                    return Ok(done);
                }
                continue;
            }
            Err(Errno::EAGAIN) => wait_for(task, &mut blocker, file, nowait, Events::WRITE).await,
            Err(e) => Err(e.into()),
        };
        match stop {
            Ok(()) => {}
            Err(_) if done > 0 => return Ok(done),
            Err(e) => return Err(e),
        }
    }
}
