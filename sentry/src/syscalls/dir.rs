//! Directories and names.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `getdents(2)`
pub(super) fn sys_getdents(cx: &mut Cx, fd: i32, dirp: UserAddr, count: u32) -> SysResult<u64> {
    let _ = (cx, fd, dirp, count);
    Err(Errno::ENOSYS.into())
}

/// `getdents64(2)`
pub(super) fn sys_getdents64(cx: &mut Cx, fd: i32, dirp: UserAddr, count: u32) -> SysResult<u64> {
    let _ = (cx, fd, dirp, count);
    Err(Errno::ENOSYS.into())
}

/// `getcwd(2)`
pub(super) fn sys_getcwd(cx: &mut Cx, buf: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, buf, size);
    Err(Errno::ENOSYS.into())
}

/// `chdir(2)`
pub(super) fn sys_chdir(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let _ = (cx, path);
    Err(Errno::ENOSYS.into())
}

/// `fchdir(2)`
pub(super) fn sys_fchdir(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let _ = (cx, fd);
    Err(Errno::ENOSYS.into())
}

/// `chroot(2)`
pub(super) fn sys_chroot(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let _ = (cx, path);
    Err(Errno::ENOSYS.into())
}

/// `mkdir(2)`
pub(super) fn sys_mkdir(cx: &mut Cx, path: UserAddr, mode: u32) -> SysResult<u64> {
    let _ = (cx, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `mkdirat(2)`
pub(super) fn sys_mkdirat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, mode);
    Err(Errno::ENOSYS.into())
}

/// `rmdir(2)`
pub(super) fn sys_rmdir(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let _ = (cx, path);
    Err(Errno::ENOSYS.into())
}

/// `mknod(2)`
pub(super) fn sys_mknod(cx: &mut Cx, path: UserAddr, mode: u32, dev: u64) -> SysResult<u64> {
    let _ = (cx, path, mode, dev);
    Err(Errno::ENOSYS.into())
}

/// `mknodat(2)`
pub(super) fn sys_mknodat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32, dev: u64) -> SysResult<u64> {
    let _ = (cx, dirfd, path, mode, dev);
    Err(Errno::ENOSYS.into())
}

/// `unlink(2)`
pub(super) fn sys_unlink(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let _ = (cx, path);
    Err(Errno::ENOSYS.into())
}

/// `unlinkat(2)`
pub(super) fn sys_unlinkat(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, flags);
    Err(Errno::ENOSYS.into())
}

/// `rename(2)`
pub(super) fn sys_rename(cx: &mut Cx, oldpath: UserAddr, newpath: UserAddr) -> SysResult<u64> {
    let _ = (cx, oldpath, newpath);
    Err(Errno::ENOSYS.into())
}

/// `renameat(2)`
pub(super) fn sys_renameat(
    cx: &mut Cx,
    olddirfd: i32,
    oldpath: UserAddr,
    newdirfd: i32,
    newpath: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, olddirfd, oldpath, newdirfd, newpath);
    Err(Errno::ENOSYS.into())
}

/// `renameat2(2)`
pub(super) fn sys_renameat2(
    cx: &mut Cx,
    olddirfd: i32,
    oldpath: UserAddr,
    newdirfd: i32,
    newpath: UserAddr,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, olddirfd, oldpath, newdirfd, newpath, flags);
    Err(Errno::ENOSYS.into())
}

/// `link(2)`
pub(super) fn sys_link(cx: &mut Cx, oldpath: UserAddr, newpath: UserAddr) -> SysResult<u64> {
    let _ = (cx, oldpath, newpath);
    Err(Errno::ENOSYS.into())
}

/// `linkat(2)`
pub(super) fn sys_linkat(
    cx: &mut Cx,
    olddirfd: i32,
    oldpath: UserAddr,
    newdirfd: i32,
    newpath: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, olddirfd, oldpath, newdirfd, newpath, flags);
    Err(Errno::ENOSYS.into())
}

/// `symlink(2)`
pub(super) fn sys_symlink(cx: &mut Cx, target: UserAddr, linkpath: UserAddr) -> SysResult<u64> {
    let _ = (cx, target, linkpath);
    Err(Errno::ENOSYS.into())
}

/// `symlinkat(2)`
pub(super) fn sys_symlinkat(cx: &mut Cx, target: UserAddr, newdirfd: i32, linkpath: UserAddr) -> SysResult<u64> {
    let _ = (cx, target, newdirfd, linkpath);
    Err(Errno::ENOSYS.into())
}

/// `readlink(2)`
pub(super) fn sys_readlink(cx: &mut Cx, path: UserAddr, buf: UserAddr, bufsiz: i32) -> SysResult<u64> {
    let _ = (cx, path, buf, bufsiz);
    Err(Errno::ENOSYS.into())
}

/// `readlinkat(2)`
pub(super) fn sys_readlinkat(cx: &mut Cx, dirfd: i32, path: UserAddr, buf: UserAddr, bufsiz: i32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, buf, bufsiz);
    Err(Errno::ENOSYS.into())
}

/// `umask(2)`
pub(super) fn sys_umask(cx: &mut Cx, mask: u32) -> SysResult<u64> {
    let _ = (cx, mask);
    Err(Errno::ENOSYS.into())
}
