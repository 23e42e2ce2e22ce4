//! Extended attributes (`xattr(7)`).

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `setxattr(2)`
pub(super) fn sys_setxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, path, name, value, size, flags);
    Err(Errno::ENOSYS.into())
}

/// `lsetxattr(2)`
pub(super) fn sys_lsetxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, path, name, value, size, flags);
    Err(Errno::ENOSYS.into())
}

/// `fsetxattr(2)`
pub(super) fn sys_fsetxattr(
    cx: &mut Cx,
    fd: i32,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, fd, name, value, size, flags);
    Err(Errno::ENOSYS.into())
}

/// `getxattr(2)`
pub(super) fn sys_getxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> SysResult<u64> {
    let _ = (cx, path, name, value, size);
    Err(Errno::ENOSYS.into())
}

/// `lgetxattr(2)`
pub(super) fn sys_lgetxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> SysResult<u64> {
    let _ = (cx, path, name, value, size);
    Err(Errno::ENOSYS.into())
}

/// `fgetxattr(2)`
pub(super) fn sys_fgetxattr(cx: &mut Cx, fd: i32, name: UserAddr, value: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, fd, name, value, size);
    Err(Errno::ENOSYS.into())
}

/// `listxattr(2)`
pub(super) fn sys_listxattr(cx: &mut Cx, path: UserAddr, list: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, path, list, size);
    Err(Errno::ENOSYS.into())
}

/// `llistxattr(2)`
pub(super) fn sys_llistxattr(cx: &mut Cx, path: UserAddr, list: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, path, list, size);
    Err(Errno::ENOSYS.into())
}

/// `flistxattr(2)`
pub(super) fn sys_flistxattr(cx: &mut Cx, fd: i32, list: UserAddr, size: usize) -> SysResult<u64> {
    let _ = (cx, fd, list, size);
    Err(Errno::ENOSYS.into())
}

/// `removexattr(2)`
pub(super) fn sys_removexattr(cx: &mut Cx, path: UserAddr, name: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, name);
    Err(Errno::ENOSYS.into())
}

/// `lremovexattr(2)`
pub(super) fn sys_lremovexattr(cx: &mut Cx, path: UserAddr, name: UserAddr) -> SysResult<u64> {
    let _ = (cx, path, name);
    Err(Errno::ENOSYS.into())
}

/// `fremovexattr(2)`
pub(super) fn sys_fremovexattr(cx: &mut Cx, fd: i32, name: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, name);
    Err(Errno::ENOSYS.into())
}
