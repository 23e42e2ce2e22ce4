//! Reading, writing, and moving data between files.

mod alloc;
mod splice;
mod transfer;

use std::sync::Arc;

use abi::{Errno, SysResult};

pub(super) use alloc::check_new_size;
pub(super) use alloc::{
    sys_fadvise64, sys_fallocate, sys_fdatasync, sys_fsync, sys_ftruncate, sys_lseek, sys_readahead, sys_sync,
    sys_sync_file_range, sys_syncfs,
};
pub(super) use splice::{sys_copy_file_range, sys_sendfile, sys_splice, sys_tee, sys_vmsplice};
pub(super) use transfer::{How, read_into, write_from};

use crate::fs::io::MAX_RW_COUNT;
use crate::fs::{File, FileMode};
use crate::task::Cx;
use crate::usermem::UserAddr;

const RWF_DSYNC: u32 = 2;
const RWF_SYNC: u32 = 4;
const RWF_NOWAIT: u32 = 8;
const RWF_APPEND: u32 = 0x10;
const RWF_NOAPPEND: u32 = 0x20;
const RWF_KNOWN: u32 = 0x3f;

fn readable(cx: &Cx, fd: i32) -> SysResult<Arc<File>> {
    let file = cx.task.files().get(fd)?;
    if file.mode.contains(FileMode::READ) {
        Ok(file)
    } else {
        Err(Errno::EBADF.into())
    }
}

fn writable(cx: &Cx, fd: i32) -> SysResult<Arc<File>> {
    let file = cx.task.files().get(fd)?;
    if file.mode.contains(FileMode::WRITE) {
        Ok(file)
    } else {
        Err(Errno::EBADF.into())
    }
}

/// The position of `pread` and `pwrite`, for a file that has positions.
fn position(file: &File, offset: i64) -> SysResult<u64> {
    if !file.mode.contains(FileMode::SEEK) {
        return Err(Errno::ESPIPE.into());
    }
    u64::try_from(offset).map_err(|_| Errno::EINVAL.into())
}

/// Checks one buffer as `access_ok` and `rw_verify_area` do, and cuts it.
pub(super) fn buffer(cx: &Cx, buf: UserAddr, count: usize) -> SysResult<[(UserAddr, usize); 1]> {
    if isize::try_from(count).is_err() {
        return Err(Errno::EINVAL.into());
    }
    let end = buf.add(count)?;
    if end.0 > cx.task.kernel.platform.guest_end() {
        return Err(Errno::EFAULT.into());
    }
    Ok([(buf, count.min(abi::conv::size(MAX_RW_COUNT)))])
}

/// `read(2)`
pub(super) async fn sys_read(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize) -> SysResult<u64> {
    let file = readable(cx, fd)?;
    let iov = buffer(cx, buf, count)?;
    read_into(cx, &file, &iov, How::at_position()).await
}

/// `write(2)`
pub(super) async fn sys_write(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize) -> SysResult<u64> {
    let file = writable(cx, fd)?;
    let iov = buffer(cx, buf, count)?;
    write_from(cx, &file, &iov, How::at_position()).await
}

/// `pread64(2)`
pub(super) async fn sys_pread64(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize, offset: i64) -> SysResult<u64> {
    if offset < 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(fd)?;
    let at = position(&file, offset)?;
    let file = readable(cx, fd).map(|_| file)?;
    let iov = buffer(cx, buf, count)?;
    read_into(cx, &file, &iov, How::at(at)).await
}

/// `pwrite64(2)`
pub(super) async fn sys_pwrite64(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize, offset: i64) -> SysResult<u64> {
    if offset < 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(fd)?;
    let at = position(&file, offset)?;
    let file = writable(cx, fd).map(|_| file)?;
    let iov = buffer(cx, buf, count)?;
    write_from(cx, &file, &iov, How::at(at)).await
}

/// `readv(2)`
pub(super) async fn sys_readv(cx: &mut Cx, fd: i32, iov: UserAddr, iovcnt: i32) -> SysResult<u64> {
    let file = readable(cx, fd)?;
    let iov = cx.read_iovecs(iov, iovcnt)?;
    read_into(cx, &file, &iov, How::at_position()).await
}

/// `writev(2)`
pub(super) async fn sys_writev(cx: &mut Cx, fd: i32, iov: UserAddr, iovcnt: i32) -> SysResult<u64> {
    let file = writable(cx, fd)?;
    let iov = cx.read_iovecs(iov, iovcnt)?;
    write_from(cx, &file, &iov, How::at_position()).await
}

/// `preadv(2)`
pub(super) async fn sys_preadv(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    _pos_h: u64,
) -> SysResult<u64> {
    vectored_read(cx, fd, iov, iovcnt, pos_l.cast_signed(), 0).await
}

/// `pwritev(2)`
pub(super) async fn sys_pwritev(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    _pos_h: u64,
) -> SysResult<u64> {
    vectored_write(cx, fd, iov, iovcnt, pos_l.cast_signed(), 0).await
}

/// `preadv2(2)`
pub(super) async fn sys_preadv2(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    _pos_h: u64,
    flags: u32,
) -> SysResult<u64> {
    if pos_l == u64::MAX {
        let file = readable(cx, fd)?;
        let iov = cx.read_iovecs(iov, iovcnt)?;
        let how = How::at_position().with_flags(flags)?;
        return read_into(cx, &file, &iov, how).await;
    }
    vectored_read(cx, fd, iov, iovcnt, pos_l.cast_signed(), flags).await
}

/// `pwritev2(2)`
pub(super) async fn sys_pwritev2(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    _pos_h: u64,
    flags: u32,
) -> SysResult<u64> {
    if pos_l == u64::MAX {
        let file = writable(cx, fd)?;
        let iov = cx.read_iovecs(iov, iovcnt)?;
        let how = How::at_position().with_flags(flags)?;
        return write_from(cx, &file, &iov, how).await;
    }
    vectored_write(cx, fd, iov, iovcnt, pos_l.cast_signed(), flags).await
}

async fn vectored_read(cx: &mut Cx, fd: i32, iov: UserAddr, count: i32, at: i64, flags: u32) -> SysResult<u64> {
    if at < 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(fd)?;
    let at = position(&file, at)?;
    let file = readable(cx, fd).map(|_| file)?;
    let iov = cx.read_iovecs(iov, count)?;
    read_into(cx, &file, &iov, How::at(at).with_flags(flags)?).await
}

async fn vectored_write(cx: &mut Cx, fd: i32, iov: UserAddr, count: i32, at: i64, flags: u32) -> SysResult<u64> {
    if at < 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(fd)?;
    let at = position(&file, at)?;
    let file = writable(cx, fd).map(|_| file)?;
    let iov = cx.read_iovecs(iov, count)?;
    write_from(cx, &file, &iov, How::at(at).with_flags(flags)?).await
}
