//! Open file descriptions, and what a kind of file implements.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::errno::Result;
use abi::{Errno, SysResult};
use bitflags::bitflags;

use super::inode::Inode;
use super::io::{Sink, Source};
use super::namei::Path;
use super::stat::FileType;
use crate::sync::Mutex;
use crate::task::Cx;
use crate::wait::{Events, WaitQueue};

bitflags! {
    /// `O_*` of `open(2)`, x86-64 values.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct OpenFlags: u32 {
        /// `O_WRONLY`
        const WRONLY = 0o1;
        /// `O_RDWR`
        const RDWR = 0o2;
        /// `O_CREAT`
        const CREAT = 0o100;
        /// `O_EXCL`
        const EXCL = 0o200;
        /// `O_NOCTTY`
        const NOCTTY = 0o400;
        /// `O_TRUNC`
        const TRUNC = 0o1000;
        /// `O_APPEND`
        const APPEND = 0o2000;
        /// `O_NONBLOCK`
        const NONBLOCK = 0o4000;
        /// `O_DSYNC`
        const DSYNC = 0o10000;
        /// `FASYNC`, `O_ASYNC`
        const ASYNC = 0o20000;
        /// `O_DIRECT`
        const DIRECT = 0o40000;
        /// `O_LARGEFILE`
        const LARGEFILE = 0o100_000;
        /// `O_DIRECTORY`
        const DIRECTORY = 0o200_000;
        /// `O_NOFOLLOW`
        const NOFOLLOW = 0o400_000;
        /// `O_NOATIME`
        const NOATIME = 0o1_000_000;
        /// `O_CLOEXEC`
        const CLOEXEC = 0o2_000_000;
        /// `__O_SYNC`
        const SYNC = 0o4_000_000;
        /// `O_PATH`
        const PATH = 0o10_000_000;
        /// `__O_TMPFILE`
        const TMPFILE = 0o20_000_000;
    }

    /// What an open file may be used for, like `fmode_t`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FileMode: u32 {
        /// Opened for reading.
        const READ = 1;
        /// Opened for writing.
        const WRITE = 2;
        /// `O_PATH`: names a place only.
        const PATH = 4;
        /// Opened by `execve(2)`.
        const EXEC = 8;
        /// Has a position: `lseek`, `pread` and `pwrite` work.
        const SEEK = 16;
        /// Counted among the inode's writers.
        const WRITER = 32;
        /// The file was made by this open (`F_CREATED_QUERY`).
        const CREATED = 64;
    }
}

impl OpenFlags {
    /// Bits that `F_SETFL` may change.
    pub const SETFL: OpenFlags = OpenFlags::APPEND
        .union(OpenFlags::NONBLOCK)
        .union(OpenFlags::ASYNC)
        .union(OpenFlags::DIRECT)
        .union(OpenFlags::NOATIME);

    /// The access mode as what the file may be used for. 3 is neither, for `ioctl` only.
    pub fn file_mode(self) -> FileMode {
        if self.contains(OpenFlags::PATH) {
            return FileMode::PATH;
        }
        match self.bits() & 3 {
            0 => FileMode::READ,
            1 => FileMode::WRITE,
            2 => FileMode::READ | FileMode::WRITE,
            _ => FileMode::empty(),
        }
    }
}

/// Where a seek starts, with the offset (`lseek(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFrom {
    /// `SEEK_SET`
    Start(i64),
    /// `SEEK_CUR`
    Current(i64),
    /// `SEEK_END`
    End(i64),
    /// `SEEK_DATA`
    Data(i64),
    /// `SEEK_HOLE`
    Hole(i64),
}

impl SeekFrom {
    /// The new position where positions only count what was read, as in a directory: from the start or from `pos`.
    pub fn in_sequence(self, pos: u64) -> Result<u64> {
        let target = match self {
            SeekFrom::Start(off) => Some(off),
            SeekFrom::Current(off) => i64::try_from(pos).ok().and_then(|p| p.checked_add(off)),
            SeekFrom::End(_) | SeekFrom::Data(_) | SeekFrom::Hole(_) => None,
        };
        target.and_then(|t| u64::try_from(t).ok()).ok_or(Errno::EINVAL)
    }
}

/// Takes directory entries (`getdents64(2)`).
pub trait DirSink {
    /// Takes one entry; `next` is the position after it, to go on from. False if it does not fit: stop, it was not taken.
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, next: u64) -> bool;
}

/// What memory mappings of a file stand on.
pub enum Backing {
    /// A host file, mapped from `offset` on. Opened no wider than the guest's file allows (S2).
    Host {
        /// The file.
        fd: Arc<OwnedFd>,
        /// Byte offset in it that stands for the asked offset.
        offset: u64,
    },
    /// Fresh zeroed memory (`/dev/zero`); shared if the mapping is.
    Anonymous,
}

/// What a kind of file does. One object per open file description; `file` is that description.
///
/// None of these block: what would wait gives `EAGAIN`, and the caller waits on [`FileOps::wait_queue`].
pub trait FileOps: Any + Send + Sync {
    /// Reads at `pos` (0 and without meaning for a file without position); the caller moves the position on.
    /// 0 at the end. `EINVAL` for a file that cannot be read.
    fn read(&self, file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let _ = (file, dst, pos);
        Err(Errno::EINVAL)
    }

    /// Writes at `pos`. With `O_APPEND` the implementor writes at the end and sets [`WriteAt::end`] accordingly.
    fn write(&self, file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        let _ = (file, src, at);
        Err(Errno::EINVAL)
    }

    /// A new position, given the old one. `ESPIPE` for a file without.
    fn seek(&self, file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        let _ = (file, to, pos);
        Err(Errno::ESPIPE)
    }

    /// Readiness now. Files that never block are always ready.
    fn poll(&self, file: &File) -> Events {
        let _ = file;
        Events::READ | Events::WRITE
    }

    /// What is woken when readiness changes; none for files that never block.
    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        None
    }

    /// How long a read, or a write, may wait, in nanoseconds; 0 for ever (`SO_RCVTIMEO`, `SO_SNDTIMEO`).
    fn timeout_ns(&self, write: bool) -> u64 {
        let _ = write;
        0
    }

    /// `ioctl(2)` of this kind of file.
    fn ioctl(&self, cx: &mut Cx, file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        let _ = (cx, file, cmd, arg);
        Err(Errno::ENOTTY.into())
    }

    /// What a mapping of `[offset, offset + len)` stands on. Access modes have been checked.
    fn mmap(&self, file: &File, offset: u64, len: u64, shared: bool) -> Result<Backing> {
        let _ = (file, offset, len, shared);
        Err(Errno::ENODEV)
    }

    /// Gives directory entries from position `pos` on; gives the position reached.
    fn readdir(&self, file: &File, pos: u64, out: &mut dyn DirSink) -> Result<u64> {
        let _ = (file, pos, out);
        Err(Errno::ENOTDIR)
    }

    /// `fsync(2)`, or `fdatasync(2)` if `data_only`.
    fn fsync(&self, file: &File, data_only: bool) -> Result<()> {
        let _ = (file, data_only);
        Err(Errno::EINVAL)
    }

    /// `fallocate(2)`.
    fn fallocate(&self, file: &File, mode: i32, offset: u64, len: u64) -> Result<()> {
        let _ = (file, mode, offset, len);
        Err(Errno::ENODEV)
    }

    /// The file's flags changed by `F_SETFL`; an error refuses the change.
    fn set_flags(&self, file: &File, flags: OpenFlags) -> Result<()> {
        let _ = (file, flags);
        Ok(())
    }

    /// Called at each `close(2)` of an fd that refers to the file. Its end is `Drop`.
    fn flush(&self, file: &File) -> Result<()> {
        let _ = file;
        Ok(())
    }

    /// Lines for `/proc/PID/fdinfo/N` after the common ones.
    fn fdinfo(&self, file: &File) -> String {
        let _ = file;
        String::new()
    }

    /// For `downcast_ref` by the few calls that want one kind of file (`epoll_ctl`, `accept`, `timerfd_settime`).
    fn as_any(&self) -> &dyn Any;
}

/// Where a write goes.
#[derive(Clone, Copy, Debug)]
pub struct WriteAt {
    /// The position asked for.
    pub pos: u64,
    /// `O_APPEND` or `RWF_APPEND`: at the end instead.
    pub append: bool,
    /// Set by the implementor: position behind the last byte written.
    pub end: u64,
    /// Largest file size that the writer may make (`RLIMIT_FSIZE`).
    pub limit: u64,
}

/// An open file description (`open(2)`), shared by the fds that `dup(2)` and `fork(2)` make of it.
pub struct File {
    /// What it does.
    pub ops: Arc<dyn FileOps>,
    /// Where it was opened; pipes and the like stand on the anonymous mounts.
    pub path: Path,
    /// What it may be used for.
    pub mode: FileMode,
    flags: AtomicU32,
    /// Position. Held during a read or write that uses it, as `f_pos_lock` is.
    pub pos: Mutex<u64>,
    /// Who gets `SIGIO` (`F_SETOWN`): (pid or -pgid, or tid with the mark; signal; 0 means `SIGIO`).
    pub owner: Mutex<FileOwner>,
    /// Names the description to locks and epoll; never used twice.
    pub id: u64,
}

/// `F_SETOWN`, `F_SETOWN_EX`, `F_SETSIG`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileOwner {
    /// `F_OWNER_TID` (0), `F_OWNER_PID` (1), `F_OWNER_PGRP` (2).
    pub kind: i32,
    /// Its number; 0 for nobody.
    pub id: i32,
    /// Signal to send; 0 for `SIGIO`.
    pub signal: i32,
}

/// Open file descriptions, for `/proc/sys/fs/file-nr`.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// How many there are.
pub fn open_files() -> u64 {
    OPEN.load(Ordering::Relaxed)
}

static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

impl File {
    /// A new description with position 0.
    pub fn new(ops: Arc<dyn FileOps>, path: Path, mode: FileMode, flags: OpenFlags) -> Arc<File> {
        if !mode.contains(FileMode::PATH) {
            path.inode().watches.opens.fetch_add(1, Ordering::AcqRel);
        }
        OPEN.fetch_add(1, Ordering::Relaxed);
        Arc::new(File {
            ops,
            path,
            mode,
            flags: AtomicU32::new(flags.bits()),
            pos: Mutex::new(0),
            owner: Mutex::new(FileOwner::default()),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Status flags and access mode, as `F_GETFL` gives them.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the status flags.
    pub fn set_flags(&self, flags: OpenFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// `O_NONBLOCK`
    pub fn nonblock(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// The inode behind it.
    pub fn inode(&self) -> &Arc<Inode> {
        self.path.inode()
    }

    /// The object as one kind of file.
    pub fn downcast<T: FileOps>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref::<T>()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        super::locks::file_released(self);
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
