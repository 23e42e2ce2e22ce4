//! `/proc/PID/mem`, and the strings that a program was started with.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::{Proc, check_access, owner};
use crate::fs::{File, FileOps, Inode, InodeOps, OpenHow, SeekFrom, SetAttr, Sink, Source, Stat, SuperBlock, WriteAt};
use crate::mm::Mm;
use crate::task::Task;

/// Longest range that is read at once.
const PIECE: usize = 128 << 10;

/// Bytes of a range, as many as can be read.
fn range(mm: &Mm, start: u64, end: u64) -> Vec<u8> {
    let len = usize::try_from(end.saturating_sub(start)).unwrap_or(0).min(8 << 20);
    let mut out = vec![0u8; len];
    let n = mm.aspace().read(start, &mut out);
    out.truncate(n);
    out
}

/// `/proc/PID/cmdline`
pub(super) fn cmdline(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let Some(mm) = task.mm() else { return Ok(Vec::new()) };
    let layout = mm.layout();
    let args = range(&mm, layout.arg_start, layout.arg_end);
    if args.last().is_none_or(|&b| b == 0) {
        return Ok(args);
    }
    // The program has overwritten the last NUL (setproctitle): the text may go on in the environment, up to its NUL.
    let mut title = [args, range(&mm, layout.env_start, layout.env_end)].concat();
    if let Some(end) = title.iter().position(|&b| b == 0) {
        title.truncate(end + 1);
    }
    Ok(title)
}

/// `/proc/PID/environ`
pub(super) fn environ(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let Some(mm) = task.mm() else { return Ok(Vec::new()) };
    let layout = mm.layout();
    Ok(range(&mm, layout.env_start, layout.env_end))
}

/// `/proc/PID/auxv`
pub(super) fn auxv(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(task.mm().map(|mm| mm.layout().auxv).unwrap_or_default())
}

struct MemNode {
    task: Weak<Task>,
}

pub(super) fn node(_: &Arc<Proc>, _: &Arc<SuperBlock>, task: &Arc<Task>, _ino: u64) -> Box<dyn InodeOps> {
    Box::new(MemNode {
        task: Arc::downgrade(task),
    })
}

impl InodeOps for MemNode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let task = self.task.upgrade().ok_or(Errno::ENOENT)?;
        Ok(owner(&task, 0o600).stat(inode, 1, 0))
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        if attr.mode.is_some() || attr.uid.is_some() || attr.gid.is_some() {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    fn open(&self, _inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        let task = self.task.upgrade().ok_or(Errno::ESRCH)?;
        check_access(&task)?;
        // The memory as of the open: an execve(2) does not change what the file shows.
        Ok(Arc::new(MemFile { mm: task.mm() }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct MemFile {
    mm: Option<Arc<Mm>>,
}

impl FileOps for MemFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let Some(mm) = &self.mm else { return Ok(0) };
        let mut done = 0;
        while dst.remaining() > 0 {
            let at = pos.saturating_add(abi::conv::usize64(done));
            let mut piece = vec![0u8; dst.remaining().min(PIECE)];
            let got = if at < mm.guest_end() {
                mm.aspace().read(at, &mut piece)
            } else {
                0
            };
            if got == 0 {
                break;
            }
            let put = dst.put(piece.get(..got).unwrap_or_default())?;
            done += put;
            if put < got || got < piece.len() {
                break;
            }
        }
        if done == 0 && dst.remaining() > 0 {
            Err(Errno::EIO)
        } else {
            Ok(done)
        }
    }

    fn write(&self, _file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        let Some(mm) = &self.mm else { return Ok(0) };
        let mut done = 0;
        while src.remaining() > 0 {
            let to = at.pos.saturating_add(abi::conv::usize64(done));
            let mut piece = vec![0u8; src.remaining().min(PIECE)];
            let got = src.take(&mut piece)?;
            let data = piece.get(..got).unwrap_or_default();
            let put = if to < mm.guest_end() {
                mm.aspace().write_force(to, data)
            } else {
                0
            };
            done += put;
            if put < got {
                src.put_back(got - put);
                break;
            }
        }
        at.end = at.pos.saturating_add(abi::conv::usize64(done));
        if done == 0 && src.remaining() > 0 {
            Err(Errno::EIO)
        } else {
            Ok(done)
        }
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        // Addresses are offsets, beyond the sign too.
        match to {
            SeekFrom::Start(off) => Ok(off.cast_unsigned()),
            SeekFrom::Current(off) => Ok(pos.wrapping_add(off.cast_unsigned())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
