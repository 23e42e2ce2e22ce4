//! Data from file to file without a guest buffer.

use std::sync::Arc;

use abi::conv::usize64;
use abi::{Errno, SysResult};

use super::transfer::{How, try_read, try_write, wait_for, write_from};
use super::{readable, writable};
use crate::fs::io::{MAX_RW_COUNT, SliceSource, VecSink};
use crate::fs::{File, FileMode, FileType, OpenFlags};
use crate::ipc::pipe::{Pipe, PipeFile};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::Events;

/// Most bytes held in the Sentry at once.
const CHUNK: usize = 64 << 10;
const SPLICE_F_NONBLOCK: u32 = 2;
const SPLICE_F_KNOWN: u32 = 0xf;

/// One side of a transfer: a file and, where given, a position that is not the file's own.
struct End {
    file: Arc<File>,
    at: Option<u64>,
    nowait: bool,
}

impl End {
    fn advance(&mut self, n: usize) {
        if let Some(at) = &mut self.at {
            *at = at.saturating_add(usize64(n));
        }
    }

    /// Goes back on what was read and could not be written.
    fn go_back(&mut self, n: usize) {
        let n = usize64(n);
        match &mut self.at {
            Some(at) => *at = at.saturating_sub(n),
            None if self.file.mode.contains(FileMode::SEEK) => {
                let mut pos = self.file.pos.lock();
                *pos = pos.saturating_sub(n);
            }
            None => {}
        }
    }
}

fn pipe_of(file: &File) -> Option<Arc<Pipe>> {
    file.downcast::<PipeFile>().map(|p| p.pipe().clone())
}

/// Moves up to `len` bytes. Stops at the end of input, or when something stops it after the first byte. What a pipe gives
/// is taken from it only once it was written.
async fn pump(cx: &mut Cx, from: &mut End, to: &mut End, len: usize, all: bool) -> SysResult<u64> {
    let task = cx.task.clone();
    let from_pipe = pipe_of(&from.file);
    let mut done = 0usize;
    let (mut wait_in, mut wait_out) = (None, None);
    while done < len {
        let want = (len - done).min(CHUNK);
        let read = match &from_pipe {
            Some(pipe) => pipe.peek(want),
            None => {
                let mut sink = VecSink::new(want);
                let n = try_read(&from.file, &mut sink, from.at);
                n.map(|n| {
                    from.advance(n);
                    sink.data
                })
            }
        };
        let data = match read {
            Ok(data) if data.is_empty() => break,
            Ok(data) => data,
            Err(Errno::EAGAIN) if done == 0 => {
                wait_for(&task, &mut wait_in, &from.file, from.nowait, Events::READ).await?;
                continue;
            }
            Err(_) if done > 0 => break,
            Err(e) => return Err(e.into()),
        };
        let mut wrote = 0;
        let stop = loop {
            let mut src = SliceSource::new(data.get(wrote..).unwrap_or_default());
            match try_write(&task, &to.file, &mut src, to.at, 0) {
                Ok(n) => {
                    wrote += n;
                    to.advance(n);
                    if wrote >= data.len() || n == 0 {
                        break None;
                    }
                }
                Err(Errno::EAGAIN) if done + wrote == 0 || all => {
                    if let Err(e) = wait_for(&task, &mut wait_out, &to.file, to.nowait, Events::WRITE).await {
                        break Some(e);
                    }
                }
                Err(e) => break Some(e.into()),
            }
        };
        match &from_pipe {
            Some(pipe) => pipe.consume(wrote),
            None => from.go_back(data.len() - wrote),
        }
        done += wrote;
        match stop {
            Some(_) if done > 0 => break,
            Some(e) => return Err(e),
            None if wrote < data.len() => break,
            None => {}
        }
        // One filling of a pipe or socket is enough for `splice`; `sendfile` goes on.
        if !all && from_pipe.is_none() && !from.file.mode.contains(FileMode::SEEK) {
            break;
        }
    }
    Ok(usize64(done))
}

fn read_offset(cx: &Cx, addr: UserAddr) -> SysResult<Option<u64>> {
    match addr.nonnull() {
        None => Ok(None),
        Some(addr) => {
            let off: i64 = cx.read_obj(addr)?;
            Ok(Some(u64::try_from(off).map_err(|_| Errno::EINVAL)?))
        }
    }
}

fn write_offset(cx: &mut Cx, addr: UserAddr, at: Option<u64>) -> SysResult<()> {
    if let (Some(addr), Some(at)) = (addr.nonnull(), at) {
        cx.write_obj(addr, &at)?;
    }
    Ok(())
}

/// `sendfile(2)`
pub(in super::super) async fn sys_sendfile(
    cx: &mut Cx,
    out_fd: i32,
    in_fd: i32,
    offset: UserAddr,
    count: usize,
) -> SysResult<u64> {
    let at = read_offset(cx, offset)?;
    let input = readable(cx, in_fd)?;
    if at.is_some() && !input.mode.contains(FileMode::SEEK) {
        return Err(Errno::ESPIPE.into());
    }
    let output = writable(cx, out_fd)?;
    if isize::try_from(count).is_err() {
        return Err(Errno::EINVAL.into());
    }
    if input.inode().kind == FileType::Directory
        || output.flags().contains(OpenFlags::APPEND)
        || matches!(input.inode().kind, FileType::Socket | FileType::Fifo)
    {
        return Err(Errno::EINVAL.into());
    }
    // What cannot be sought would lose its end of file when it is read once more to see whether there is more.
    let seekable = input.mode.contains(FileMode::SEEK);
    if !seekable && pipe_of(&output).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let nowait = output.nonblock();
    let mut from = End {
        file: input,
        at,
        nowait: true,
    };
    let mut to = End {
        file: output,
        at: None,
        nowait,
    };
    let len = count.min(abi::conv::size(MAX_RW_COUNT));
    let result = pump(cx, &mut from, &mut to, len, seekable).await;
    write_offset(cx, offset, from.at)?;
    result
}

/// `splice(2)`
pub(in super::super) async fn sys_splice(
    cx: &mut Cx,
    fd_in: i32,
    off_in: UserAddr,
    fd_out: i32,
    off_out: UserAddr,
    len: usize,
    flags: u32,
) -> SysResult<u64> {
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_F_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let files = cx.task.files();
    let (input, output) = (files.get(fd_in)?, files.get(fd_out)?);
    let (pipe_in, pipe_out) = (pipe_of(&input), pipe_of(&output));
    if (pipe_in.is_some() && !off_in.is_null()) || (pipe_out.is_some() && !off_out.is_null()) {
        return Err(Errno::ESPIPE.into());
    }
    let (at_in, at_out) = (read_offset(cx, off_in)?, read_offset(cx, off_out)?);
    if !input.mode.contains(FileMode::READ) || !output.mode.contains(FileMode::WRITE) {
        return Err(Errno::EBADF.into());
    }
    match (&pipe_in, &pipe_out) {
        (None, None) => return Err(Errno::EINVAL.into()),
        (Some(a), Some(b)) if Arc::ptr_eq(a, b) => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    for (at, file) in [(at_in, &input), (at_out, &output)] {
        if at.is_some() && !file.mode.contains(FileMode::SEEK) {
            return Err(Errno::ESPIPE.into());
        }
    }
    if output.flags().contains(OpenFlags::APPEND) && pipe_out.is_none() {
        return Err(Errno::EINVAL.into());
    }
    let nonblock = flags & SPLICE_F_NONBLOCK != 0;
    let mut from = End {
        nowait: nonblock || input.nonblock(),
        file: input,
        at: at_in,
    };
    let mut to = End {
        nowait: nonblock || output.nonblock(),
        file: output,
        at: at_out,
    };
    // Into a pipe goes no more than it holds.
    let len = pipe_out.as_ref().map_or(len, |p| len.min(p.capacity()));
    let len = len.min(abi::conv::size(MAX_RW_COUNT));
    let result = pump(cx, &mut from, &mut to, len, false).await;
    write_offset(cx, off_in, from.at)?;
    write_offset(cx, off_out, to.at)?;
    result
}

/// `tee(2)`
pub(in super::super) async fn sys_tee(cx: &mut Cx, fd_in: i32, fd_out: i32, len: usize, flags: u32) -> SysResult<u64> {
    if flags & !SPLICE_F_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let files = cx.task.files();
    let (input, output) = (files.get(fd_in)?, files.get(fd_out)?);
    if !input.mode.contains(FileMode::READ) || !output.mode.contains(FileMode::WRITE) {
        return Err(Errno::EBADF.into());
    }
    let (Some(from), Some(to)) = (pipe_of(&input), pipe_of(&output)) else {
        return Err(Errno::EINVAL.into());
    };
    if Arc::ptr_eq(&from, &to) {
        return Err(Errno::EINVAL.into());
    }
    let nonblock = flags & SPLICE_F_NONBLOCK != 0;
    let task = cx.task.clone();
    let (mut wait_in, mut wait_out) = (None, None);
    loop {
        let data = match from.peek(len.min(to.capacity())) {
            Ok(data) if data.is_empty() => return Ok(0),
            Ok(data) => data,
            Err(Errno::EAGAIN) => {
                wait_for(&task, &mut wait_in, &input, nonblock, Events::READ).await?;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let mut src = SliceSource::new(&data);
        match try_write(&task, &output, &mut src, None, 0) {
            Ok(n) => return Ok(usize64(n)),
            Err(Errno::EAGAIN) => wait_for(&task, &mut wait_out, &output, nonblock, Events::WRITE).await?,
            Err(e) => return Err(e.into()),
        }
    }
}

/// `vmsplice(2)`: the bytes are copied, which a caller cannot tell unless it changes pages that it gave away.
pub(in super::super) async fn sys_vmsplice(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    nr_segs: usize,
    flags: u32,
) -> SysResult<u64> {
    if flags & !SPLICE_F_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(fd)?;
    if pipe_of(&file).is_none() {
        return Err(Errno::EBADF.into());
    }
    let count = i32::try_from(nr_segs).map_err(|_| Errno::EINVAL)?;
    let iov = cx.read_iovecs(iov, count)?;
    if file.mode.contains(FileMode::WRITE) {
        return write_from(cx, &file, &iov, How::at_position()).await;
    }
    super::transfer::read_into(cx, &file, &iov, How::at_position()).await
}

/// `copy_file_range(2)`
pub(in super::super) async fn sys_copy_file_range(
    cx: &mut Cx,
    fd_in: i32,
    off_in: UserAddr,
    fd_out: i32,
    off_out: UserAddr,
    len: usize,
    flags: u32,
) -> SysResult<u64> {
    let files = cx.task.files();
    let (input, output) = (files.get(fd_in)?, files.get(fd_out)?);
    let (at_in, at_out) = (read_offset(cx, off_in)?, read_offset(cx, off_out)?);
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let kinds = [input.inode().kind, output.inode().kind];
    if kinds.contains(&FileType::Directory) {
        return Err(Errno::EISDIR.into());
    }
    if kinds.iter().any(|&k| k != FileType::Regular) {
        return Err(Errno::EINVAL.into());
    }
    if !input.mode.contains(FileMode::READ)
        || !output.mode.contains(FileMode::WRITE)
        || output.flags().contains(OpenFlags::APPEND)
    {
        return Err(Errno::EBADF.into());
    }
    let from_at = at_in.unwrap_or(*input.pos.lock());
    let to_at = at_out.unwrap_or(*output.pos.lock());
    let n = usize64(len);
    let (Some(from_end), Some(to_end)) = (from_at.checked_add(n), to_at.checked_add(n)) else {
        return Err(Errno::EOVERFLOW.into());
    };
    if Arc::ptr_eq(input.inode(), output.inode()) && from_at < to_end && to_at < from_end {
        return Err(Errno::EINVAL.into());
    }
    let mut from = End {
        file: input,
        at: at_in,
        nowait: true,
    };
    let mut to = End {
        file: output,
        at: at_out,
        nowait: true,
    };
    let len = len.min(abi::conv::size(MAX_RW_COUNT));
    let done = pump(cx, &mut from, &mut to, len, true).await?;
    write_offset(cx, off_in, from.at)?;
    write_offset(cx, off_out, to.at)?;
    Ok(done)
}
