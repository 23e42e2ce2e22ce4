//! Positions, sizes and the way to disk.

use abi::{Errno, SysResult};

use crate::fs::watch::{self, mask};
use crate::fs::{FileMode, FileType, SeekFrom, attr};
use crate::signal::Signal;
use crate::task::{Cx, Resource};

/// `lseek(2)`
pub(in super::super) fn sys_lseek(cx: &mut Cx, fd: i32, offset: i64, whence: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    let to = match whence {
        0 => SeekFrom::Start(offset),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        3 => SeekFrom::Data(offset),
        4 => SeekFrom::Hole(offset),
        _ => return Err(Errno::EINVAL.into()),
    };
    if !file.mode.contains(FileMode::SEEK) {
        return Err(Errno::ESPIPE.into());
    }
    let mut pos = file.pos.lock();
    let new = file.ops.seek(&file, to, *pos)?;
    *pos = new;
    Ok(new)
}

/// Checks a new file size against `RLIMIT_FSIZE` (`inode_newsize_ok`).
pub(in super::super) fn check_new_size(cx: &Cx, old: u64, new: u64) -> SysResult<()> {
    if new > old && new > cx.task.rlimit(Resource::Fsize).soft {
        super::transfer::signal_self(&cx.task, Signal::SIGXFSZ);
        return Err(Errno::EFBIG.into());
    }
    Ok(())
}

/// `ftruncate(2)`
pub(in super::super) fn sys_ftruncate(cx: &mut Cx, fd: i32, length: i64) -> SysResult<u64> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = cx.task.files().get(fd)?;
    if file.inode().kind != FileType::Regular || !file.mode.contains(FileMode::WRITE) {
        return Err(Errno::EINVAL.into());
    }
    check_new_size(cx, file.inode().stat()?.size, length)?;
    attr::set_size(&cx.task, &file.path, length)?;
    Ok(0)
}

/// `fallocate(2)`
pub(in super::super) fn sys_fallocate(cx: &mut Cx, fd: i32, mode: i32, offset: i64, len: i64) -> SysResult<u64> {
    const KEEP_SIZE: i32 = 1;
    const PUNCH_HOLE: i32 = 2;
    const KNOWN: i32 = 0x7b;
    let file = cx.task.files().get(fd)?;
    let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL.into());
    };
    if len == 0 {
        return Err(Errno::EINVAL.into());
    }
    if mode & !KNOWN != 0 || (mode & PUNCH_HOLE != 0 && mode & KEEP_SIZE == 0) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if !file.mode.contains(FileMode::WRITE) {
        return Err(Errno::EBADF.into());
    }
    match file.inode().kind {
        FileType::Fifo => return Err(Errno::ESPIPE.into()),
        FileType::Directory => return Err(Errno::EISDIR.into()),
        FileType::Regular => {}
        _ => return Err(Errno::ENODEV.into()),
    }
    let end = offset.checked_add(len).filter(|&e| i64::try_from(e).is_ok());
    let end = end.ok_or(Errno::EFBIG)?;
    if mode & KEEP_SIZE == 0 {
        check_new_size(cx, file.inode().stat()?.size, end)?;
    }
    attr::before_write(&cx.task, &file.path)?;
    file.ops.fallocate(&file, mode, offset, len)?;
    watch::notify_file(&file, mask::MODIFY);
    Ok(0)
}

/// `fsync(2)`
pub(in super::super) fn sys_fsync(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    cx.task.kernel.executor.blocking(|| file.ops.fsync(&file, false))?;
    Ok(0)
}

/// `fdatasync(2)`
pub(in super::super) fn sys_fdatasync(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    cx.task.kernel.executor.blocking(|| file.ops.fsync(&file, true))?;
    Ok(0)
}

/// `sync(2)`
pub(in super::super) fn sys_sync(cx: &mut Cx) -> SysResult<u64> {
    let mounts = cx.task.fs().root().mnt.namespace().map(|ns| ns.list());
    for mount in mounts.unwrap_or_default() {
        // `sync` has no way to tell of a failure; `fsync` on the file will.
        let _ = cx.task.kernel.executor.blocking(|| mount.sb.ops.sync());
    }
    Ok(0)
}

/// `syncfs(2)`
pub(in super::super) fn sys_syncfs(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    cx.task.kernel.executor.blocking(|| file.path.mnt.sb.ops.sync())?;
    Ok(0)
}

/// `sync_file_range(2)`
pub(in super::super) fn sys_sync_file_range(
    cx: &mut Cx,
    fd: i32,
    offset: i64,
    nbytes: i64,
    flags: u32,
) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    if flags & !7 != 0 || offset < 0 || nbytes < 0 || offset.checked_add(nbytes).is_none() {
        return Err(Errno::EINVAL.into());
    }
    match file.inode().kind {
        FileType::Regular | FileType::Directory | FileType::Symlink | FileType::BlockDevice => {}
        _ => return Err(Errno::ESPIPE.into()),
    }
    cx.task.kernel.executor.blocking(|| file.ops.fsync(&file, true))?;
    Ok(0)
}

/// `readahead(2)`: the host reads ahead by itself.
pub(in super::super) fn sys_readahead(cx: &mut Cx, fd: i32, _offset: i64, _count: usize) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    if !file.mode.contains(FileMode::READ) {
        return Err(Errno::EBADF.into());
    }
    if file.inode().kind != FileType::Regular {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// `fadvise64(2)`: advice that the host's own heuristics make needless.
pub(in super::super) fn sys_fadvise64(cx: &mut Cx, fd: i32, _offset: i64, len: i64, advice: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    if file.inode().kind == FileType::Fifo {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || !(0..=5).contains(&advice) {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}
