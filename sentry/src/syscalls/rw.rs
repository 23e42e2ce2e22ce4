//! Reading, writing, and moving data between files.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `read(2)`
pub(super) async fn sys_read(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize) -> SysResult<u64> {
    let _ = (cx, fd, buf, count);
    Err(Errno::ENOSYS.into())
}

/// `write(2)`
pub(super) async fn sys_write(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize) -> SysResult<u64> {
    let _ = (cx, fd, buf, count);
    Err(Errno::ENOSYS.into())
}

/// `pread64(2)`
pub(super) async fn sys_pread64(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize, offset: i64) -> SysResult<u64> {
    let _ = (cx, fd, buf, count, offset);
    Err(Errno::ENOSYS.into())
}

/// `pwrite64(2)`
pub(super) async fn sys_pwrite64(cx: &mut Cx, fd: i32, buf: UserAddr, count: usize, offset: i64) -> SysResult<u64> {
    let _ = (cx, fd, buf, count, offset);
    Err(Errno::ENOSYS.into())
}

/// `readv(2)`
pub(super) async fn sys_readv(cx: &mut Cx, fd: i32, iov: UserAddr, iovcnt: i32) -> SysResult<u64> {
    let _ = (cx, fd, iov, iovcnt);
    Err(Errno::ENOSYS.into())
}

/// `writev(2)`
pub(super) async fn sys_writev(cx: &mut Cx, fd: i32, iov: UserAddr, iovcnt: i32) -> SysResult<u64> {
    let _ = (cx, fd, iov, iovcnt);
    Err(Errno::ENOSYS.into())
}

/// `preadv(2)`
pub(super) async fn sys_preadv(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    pos_h: u64,
) -> SysResult<u64> {
    let _ = (cx, fd, iov, iovcnt, pos_l, pos_h);
    Err(Errno::ENOSYS.into())
}

/// `pwritev(2)`
pub(super) async fn sys_pwritev(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    pos_h: u64,
) -> SysResult<u64> {
    let _ = (cx, fd, iov, iovcnt, pos_l, pos_h);
    Err(Errno::ENOSYS.into())
}

/// `preadv2(2)`
pub(super) async fn sys_preadv2(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    pos_h: u64,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, fd, iov, iovcnt, pos_l, pos_h, flags);
    Err(Errno::ENOSYS.into())
}

/// `pwritev2(2)`
pub(super) async fn sys_pwritev2(
    cx: &mut Cx,
    fd: i32,
    iov: UserAddr,
    iovcnt: i32,
    pos_l: u64,
    pos_h: u64,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, fd, iov, iovcnt, pos_l, pos_h, flags);
    Err(Errno::ENOSYS.into())
}

/// `lseek(2)`
pub(super) fn sys_lseek(cx: &mut Cx, fd: i32, offset: i64, whence: i32) -> SysResult<u64> {
    let _ = (cx, fd, offset, whence);
    Err(Errno::ENOSYS.into())
}

/// `sendfile(2)`
pub(super) async fn sys_sendfile(
    cx: &mut Cx,
    out_fd: i32,
    in_fd: i32,
    offset: UserAddr,
    count: usize,
) -> SysResult<u64> {
    let _ = (cx, out_fd, in_fd, offset, count);
    Err(Errno::ENOSYS.into())
}

/// `splice(2)`
pub(super) async fn sys_splice(
    cx: &mut Cx,
    fd_in: i32,
    off_in: UserAddr,
    fd_out: i32,
    off_out: UserAddr,
    len: usize,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, fd_in, off_in, fd_out, off_out, len, flags);
    Err(Errno::ENOSYS.into())
}

/// `tee(2)`
pub(super) async fn sys_tee(cx: &mut Cx, fd_in: i32, fd_out: i32, len: usize, flags: u32) -> SysResult<u64> {
    let _ = (cx, fd_in, fd_out, len, flags);
    Err(Errno::ENOSYS.into())
}

/// `vmsplice(2)`
pub(super) async fn sys_vmsplice(cx: &mut Cx, fd: i32, iov: UserAddr, nr_segs: usize, flags: u32) -> SysResult<u64> {
    let _ = (cx, fd, iov, nr_segs, flags);
    Err(Errno::ENOSYS.into())
}

/// `copy_file_range(2)`
pub(super) async fn sys_copy_file_range(
    cx: &mut Cx,
    fd_in: i32,
    off_in: UserAddr,
    fd_out: i32,
    off_out: UserAddr,
    len: usize,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, fd_in, off_in, fd_out, off_out, len, flags);
    Err(Errno::ENOSYS.into())
}

/// `readahead(2)`
pub(super) fn sys_readahead(cx: &mut Cx, fd: i32, offset: i64, count: usize) -> SysResult<u64> {
    let _ = (cx, fd, offset, count);
    Err(Errno::ENOSYS.into())
}

/// `fadvise64(2)`
pub(super) fn sys_fadvise64(cx: &mut Cx, fd: i32, offset: i64, len: i64, advice: i32) -> SysResult<u64> {
    let _ = (cx, fd, offset, len, advice);
    Err(Errno::ENOSYS.into())
}

/// `fallocate(2)`
pub(super) fn sys_fallocate(cx: &mut Cx, fd: i32, mode: i32, offset: i64, len: i64) -> SysResult<u64> {
    let _ = (cx, fd, mode, offset, len);
    Err(Errno::ENOSYS.into())
}

/// `ftruncate(2)`
pub(super) fn sys_ftruncate(cx: &mut Cx, fd: i32, length: i64) -> SysResult<u64> {
    let _ = (cx, fd, length);
    Err(Errno::ENOSYS.into())
}

/// `fsync(2)`
pub(super) fn sys_fsync(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let _ = (cx, fd);
    Err(Errno::ENOSYS.into())
}

/// `fdatasync(2)`
pub(super) fn sys_fdatasync(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let _ = (cx, fd);
    Err(Errno::ENOSYS.into())
}

/// `sync(2)`
pub(super) fn sys_sync(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `syncfs(2)`
pub(super) fn sys_syncfs(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let _ = (cx, fd);
    Err(Errno::ENOSYS.into())
}

/// `sync_file_range(2)`
pub(super) fn sys_sync_file_range(cx: &mut Cx, fd: i32, offset: i64, nbytes: i64, flags: u32) -> SysResult<u64> {
    let _ = (cx, fd, offset, nbytes, flags);
    Err(Errno::ENOSYS.into())
}
