//! An open regular file: a host descriptor that the Gofer opened.

use std::any::Any;
use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use rustix::fs::FallocateFlags;
use rustix::io::ReadWriteFlags;

use super::inode::{GoferInode, errno};
use crate::fs::file::{Backing, File, FileMode, FileOps, OpenFlags, SeekFrom, WriteAt};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};

/// Bytes copied in one go.
const CHUNK: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs with a buffer of up to [`CHUNK`] bytes.
fn with_buffer<T>(len: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    let len = len.min(CHUNK);
    BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => {
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            f(buffer.get_mut(..len).unwrap_or_default())
        }
        // A sink that itself reads a host file: rare, and no reason to fail.
        Err(_) => f(&mut vec![0; len]),
    })
}

/// One open file description.
pub(super) struct RegularFile {
    inode: Arc<Inode>,
    /// None only while it ends.
    fd: Option<Arc<OwnedFd>>,
    mode: FileMode,
}

impl RegularFile {
    pub fn new(inode: &Arc<Inode>, fd: Arc<OwnedFd>, mode: FileMode) -> RegularFile {
        RegularFile {
            inode: inode.clone(),
            fd: Some(fd),
            mode,
        }
    }

    fn fd(&self) -> Result<&Arc<OwnedFd>> {
        self.fd.as_ref().ok_or(Errno::EBADF)
    }

    fn own(&self) -> Result<&GoferInode> {
        GoferInode::of(&self.inode)
    }

    /// Reads what is in the page cache at once; for what is not, leaves the worker's place to another first.
    fn read_at(&self, buf: &mut [u8], pos: u64) -> Result<usize> {
        let fd = self.fd()?;
        let mut iov = [IoSliceMut::new(buf)];
        match rustix::io::preadv2(&**fd, &mut iov, pos, ReadWriteFlags::NOWAIT) {
            Ok(n) => Ok(n),
            Err(rustix::io::Errno::AGAIN) => self
                .own()?
                .fs
                .blocking(|| rustix::io::pread(&**fd, buf, pos))
                .map_err(errno),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                rustix::io::pread(&**fd, buf, pos).map_err(errno)
            }
            Err(e) => Err(errno(e)),
        }
    }

    fn size(&self) -> Result<u64> {
        let st = rustix::fs::fstat(&**self.fd()?).map_err(errno)?;
        u64::try_from(st.st_size).map_err(|_| Errno::EIO)
    }

    fn write_at(&self, buf: &[u8], pos: u64, append: bool, flags: OpenFlags) -> Result<usize> {
        let fd = self.fd()?;
        let mut how = ReadWriteFlags::empty();
        if append {
            how |= ReadWriteFlags::APPEND;
        }
        if flags.contains(OpenFlags::SYNC) {
            how |= ReadWriteFlags::SYNC;
        } else if flags.contains(OpenFlags::DSYNC) {
            how |= ReadWriteFlags::DSYNC;
        }
        if how.is_empty() {
            return rustix::io::pwrite(&**fd, buf, pos).map_err(errno);
        }
        let write = || rustix::io::pwritev2(&**fd, &[IoSlice::new(buf)], pos, how).map_err(errno);
        if flags.intersects(OpenFlags::SYNC | OpenFlags::DSYNC) {
            self.own()?.fs.blocking(write)
        } else {
            write()
        }
    }

    /// Reads until the sink is full or the file ends.
    pub fn read_to(&self, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let mut done = 0;
        while dst.remaining() > 0 {
            let at = pos.checked_add(abi::conv::usize64(done)).ok_or(Errno::EINVAL)?;
            let step = with_buffer(dst.remaining(), |buf| {
                let n = self.read_at(buf, at)?;
                let got = buf.get(..n).unwrap_or_default();
                let stored = if n == 0 { 0 } else { dst.put(got)? };
                Ok((n, stored))
            });
            match step {
                Ok((0, _)) => break,
                Ok((read, stored)) => {
                    done += stored;
                    if stored < read {
                        break;
                    }
                }
                Err(e) => return partial(done, e),
            }
        }
        Ok(done)
    }

    /// Writes until the source is empty.
    pub fn write_from(&self, src: &mut dyn Source, at: &mut WriteAt, flags: OpenFlags) -> Result<usize> {
        let mut done = 0;
        if at.append {
            at.pos = self.size()?;
        }
        at.end = at.pos;
        while src.remaining() > 0 {
            let room = at.limit.saturating_sub(at.end);
            if room == 0 {
                return partial(done, Errno::EFBIG);
            }
            let want = src.remaining().min(usize::try_from(room).unwrap_or(usize::MAX));
            let step = with_buffer(want, |buf| {
                let taken = src.take(buf)?;
                let data = buf.get(..taken).unwrap_or_default();
                if taken == 0 {
                    return Ok((0, 0));
                }
                match self.write_at(data, at.end, at.append, flags) {
                    Ok(written) => {
                        src.put_back(taken - written.min(taken));
                        Ok((taken, written))
                    }
                    Err(e) => {
                        src.put_back(taken);
                        Err(e)
                    }
                }
            });
            match step {
                Ok((0, _)) => break,
                Ok((taken, written)) => {
                    done += written;
                    at.end = if at.append {
                        self.size()?
                    } else {
                        at.end + abi::conv::usize64(written)
                    };
                    if written < taken {
                        break;
                    }
                }
                Err(e) => return partial(done, e),
            }
        }
        Ok(done)
    }
}

/// What is still to do after some bytes went through: an error counts only if nothing did.
fn partial(done: usize, e: Errno) -> Result<usize> {
    if done > 0 { Ok(done) } else { Err(e) }
}

impl FileOps for RegularFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        self.read_to(dst, pos)
    }

    fn write(&self, file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        self.write_from(src, at, file.flags())
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        let signed = |v: u64| i64::try_from(v).map_err(|_| Errno::EOVERFLOW);
        let sum = |base: i64, off: i64| {
            let target = base.checked_add(off).ok_or(Errno::EOVERFLOW)?;
            u64::try_from(target).map_err(|_| Errno::EINVAL)
        };
        let host = |from| rustix::fs::seek(&**self.fd()?, from).map_err(errno);
        let offset = |off: i64| u64::try_from(off).map_err(|_| Errno::ENXIO);
        match to {
            SeekFrom::Start(off) => sum(0, off),
            SeekFrom::Current(off) => sum(signed(pos)?, off),
            SeekFrom::End(off) => sum(signed(self.size()?)?, off),
            SeekFrom::Data(off) => host(rustix::fs::SeekFrom::Data(offset(off)?)),
            SeekFrom::Hole(off) => host(rustix::fs::SeekFrom::Hole(offset(off)?)),
        }
    }

    fn mmap(&self, _file: &File, offset: u64, _len: u64, shared: bool) -> Result<Backing> {
        // A private mapping needs no more than reading, and the guest process gets no more (S2).
        let fd = if self.mode.contains(FileMode::WRITE) && !shared {
            self.own()?.read_fd()?
        } else {
            self.fd()?.clone()
        };
        Ok(Backing::Host { fd, offset })
    }

    fn fsync(&self, _file: &File, data_only: bool) -> Result<()> {
        let fd = self.fd()?;
        let sync = || {
            if data_only {
                rustix::fs::fdatasync(&**fd)
            } else {
                rustix::fs::fsync(&**fd)
            }
        };
        self.own()?.fs.blocking(sync).map_err(errno)
    }

    fn fallocate(&self, _file: &File, mode: i32, offset: u64, len: u64) -> Result<()> {
        let flags = FallocateFlags::from_bits(mode.cast_unsigned()).ok_or(Errno::EOPNOTSUPP)?;
        rustix::fs::fallocate(&**self.fd()?, flags, offset, len).map_err(errno)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for RegularFile {
    fn drop(&mut self) {
        self.fd = None;
        if let Ok(own) = GoferInode::of(&self.inode) {
            own.closed(&self.inode);
        }
    }
}
