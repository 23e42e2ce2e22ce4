//! Open files and directories of tmpfs.

use std::any::Any;

use abi::Errno;
use abi::conv::{size, usize64};
use abi::errno::Result;

use super::data::SIZE_MAX;
use super::dir::FIRST_COOKIE;
use super::inode::{fs, ops};
use super::memfd::Seals;
use crate::fs::atime;
use crate::fs::file::{Backing, DirSink, File, FileOps, SeekFrom, WriteAt};
use crate::fs::io::{Sink, Source};
use crate::fs::stat::FileType;

const FALLOC_KEEP_SIZE: i32 = 1;
const FALLOC_PUNCH_HOLE: i32 = 2;

/// An open regular file.
pub(super) struct TmpFile;

impl FileOps for TmpFile {
    fn read(&self, file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let inode = file.inode();
        let mut state = ops(inode)?.state.lock();
        let n = state.data()?.read(dst, pos)?;
        if let Some(now) = atime::after_read(file, &state.stat(&inode.sb, inode.ino)) {
            state.atime = now;
        }
        Ok(n)
    }

    fn write(&self, file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        let inode = file.inode();
        let mut state = ops(inode)?.state.lock();
        let seals = state.seals;
        let data = state.data()?;
        let pos = if at.append { data.size } else { at.pos };
        at.end = pos;
        if seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        let limit = at.limit.min(SIZE_MAX);
        if src.remaining() == 0 {
            return Ok(0);
        }
        if pos >= limit {
            return Err(Errno::EFBIG);
        }
        let mut max = usize64(src.remaining()).min(limit - pos);
        if seals.contains(Seals::GROW) && pos.saturating_add(max) > data.size {
            if pos >= data.size {
                return Err(Errno::EPERM);
            }
            max = data.size - pos;
        }
        let n = data.write(fs(inode)?, src, pos, size(max))?;
        at.end = pos + usize64(n);
        state.touch();
        Ok(n)
    }

    fn seek(&self, file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        let mut state = ops(file.inode())?.state.lock();
        let data = state.data()?;
        seek(to, pos, data.size, |from, is_data| data.seek(from, is_data))
    }

    fn mmap(&self, file: &File, offset: u64, _: u64, _: bool) -> Result<Backing> {
        let inode = file.inode();
        let mut state = ops(inode)?.state.lock();
        let fd = state.data()?.host_fd(fs(inode)?)?;
        if let Some(now) = atime::after_read(file, &state.stat(&inode.sb, inode.ino)) {
            state.atime = now;
        }
        Ok(Backing::Host { fd, offset })
    }

    fn fsync(&self, _: &File, _: bool) -> Result<()> {
        Ok(())
    }

    fn fallocate(&self, file: &File, mode: i32, offset: u64, len: u64) -> Result<()> {
        let inode = file.inode();
        // Linux's tmpfs knows only these two (`shmem_fallocate`).
        if mode & !(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = ops(inode)?.state.lock();
        let seals = state.seals;
        let data = state.data()?;
        if mode & FALLOC_PUNCH_HOLE != 0 {
            if seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
                return Err(Errno::EPERM);
            }
            data.punch(fs(inode)?, offset, len)?;
        } else {
            if seals.contains(Seals::GROW) && offset + len > data.size {
                return Err(Errno::EPERM);
            }
            data.allocate(fs(inode)?, offset, len, mode & FALLOC_KEEP_SIZE != 0)?;
        }
        state.touch();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `lseek(2)` of a file with that size; `hole` answers `SEEK_DATA` (true) and `SEEK_HOLE`.
pub(in crate::fs) fn seek(
    to: SeekFrom,
    pos: u64,
    size: u64,
    hole: impl FnOnce(u64, bool) -> Result<u64>,
) -> Result<u64> {
    let from = |base: u64, off: i64| {
        let at = base.checked_add_signed(off).ok_or(Errno::EINVAL)?;
        if at > SIZE_MAX { Err(Errno::EINVAL) } else { Ok(at) }
    };
    let (off, data) = match to {
        SeekFrom::Start(off) => return from(0, off),
        SeekFrom::Current(off) => return from(pos, off),
        SeekFrom::End(off) => return from(size, off),
        SeekFrom::Data(off) => (off, true),
        SeekFrom::Hole(off) => (off, false),
    };
    let off = u64::try_from(off).map_err(|_| Errno::ENXIO)?;
    if off >= size {
        return Err(Errno::ENXIO);
    }
    hole(off, data)
}

/// An open directory.
pub(super) struct TmpDirFile;

impl FileOps for TmpDirFile {
    fn read(&self, _: &File, _: &mut dyn Sink, _: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn seek(&self, _: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        to.in_sequence(pos)
    }

    fn readdir(&self, file: &File, pos: u64, out: &mut dyn DirSink) -> Result<u64> {
        let inode = file.inode();
        let mut state = ops(inode)?.state.lock();
        if let Some(now) = atime::after_read(file, &state.stat(&inode.sb, inode.ino)) {
            state.atime = now;
        }
        let dir = state.dir()?;
        let mut at = pos;
        if at == 0 {
            if !out.entry(b".", inode.ino, FileType::Directory, 1) {
                return Ok(at);
            }
            at = 1;
        }
        if at == 1 {
            if !out.entry(b"..", dir.parent, FileType::Directory, FIRST_COOKIE) {
                return Ok(at);
            }
            at = FIRST_COOKIE;
        }
        for (cookie, name, child) in dir.from(at) {
            if !out.entry(name, child.ino, child.kind, cookie + 1) {
                return Ok(cookie);
            }
            at = cookie + 1;
        }
        Ok(at)
    }

    fn fsync(&self, _: &File, _: bool) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
