//! Mounts.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `mount(2)`
pub(super) fn sys_mount(
    cx: &mut Cx,
    source: UserAddr,
    target: UserAddr,
    fstype: UserAddr,
    flags: u64,
    data: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, source, target, fstype, flags, data);
    Err(Errno::ENOSYS.into())
}

/// `umount2(2)`
pub(super) fn sys_umount2(cx: &mut Cx, target: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, target, flags);
    Err(Errno::ENOSYS.into())
}

/// `pivot_root(2)`
pub(super) fn sys_pivot_root(cx: &mut Cx, new_root: UserAddr, put_old: UserAddr) -> SysResult<u64> {
    let _ = (cx, new_root, put_old);
    Err(Errno::ENOSYS.into())
}

/// `open_tree(2)`
pub(super) fn sys_open_tree(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, flags);
    Err(Errno::ENOSYS.into())
}

/// `move_mount(2)`
pub(super) fn sys_move_mount(
    cx: &mut Cx,
    from_dirfd: i32,
    from_path: UserAddr,
    to_dirfd: i32,
    to_path: UserAddr,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, from_dirfd, from_path, to_dirfd, to_path, flags);
    Err(Errno::ENOSYS.into())
}

/// `fsopen(2)`
pub(super) fn sys_fsopen(cx: &mut Cx, fsname: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, fsname, flags);
    Err(Errno::ENOSYS.into())
}

/// `fsconfig(2)`
pub(super) fn sys_fsconfig(cx: &mut Cx, fd: i32, cmd: u32, key: UserAddr, value: UserAddr, aux: i32) -> SysResult<u64> {
    let _ = (cx, fd, cmd, key, value, aux);
    Err(Errno::ENOSYS.into())
}

/// `fsmount(2)`
pub(super) fn sys_fsmount(cx: &mut Cx, fd: i32, flags: u32, attr_flags: u32) -> SysResult<u64> {
    let _ = (cx, fd, flags, attr_flags);
    Err(Errno::ENOSYS.into())
}

/// `fspick(2)`
pub(super) fn sys_fspick(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, dirfd, path, flags);
    Err(Errno::ENOSYS.into())
}

/// `mount_setattr(2)`
pub(super) fn sys_mount_setattr(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    flags: u32,
    attr: UserAddr,
    size: usize,
) -> SysResult<u64> {
    let _ = (cx, dirfd, path, flags, attr, size);
    Err(Errno::ENOSYS.into())
}

/// `statmount(2)`
pub(super) fn sys_statmount(cx: &mut Cx, req: UserAddr, buf: UserAddr, bufsize: usize, flags: u32) -> SysResult<u64> {
    let _ = (cx, req, buf, bufsize, flags);
    Err(Errno::ENOSYS.into())
}

/// `listmount(2)`
pub(super) fn sys_listmount(cx: &mut Cx, req: UserAddr, ids: UserAddr, nr: usize, flags: u32) -> SysResult<u64> {
    let _ = (cx, req, ids, nr, flags);
    Err(Errno::ENOSYS.into())
}

/// `quotactl(2)`
pub(super) fn sys_quotactl(cx: &mut Cx, cmd: u32, special: UserAddr, id: i32, addr: UserAddr) -> SysResult<u64> {
    let _ = (cx, cmd, special, id, addr);
    Err(Errno::ENOSYS.into())
}

/// `sysfs(2)`
pub(super) fn sys_sysfs(cx: &mut Cx, option: i32, arg1: u64, arg2: u64) -> SysResult<u64> {
    let _ = (cx, option, arg1, arg2);
    Err(Errno::ENOSYS.into())
}

/// `acct(2)`
pub(super) fn sys_acct(cx: &mut Cx, filename: UserAddr) -> SysResult<u64> {
    let _ = (cx, filename);
    Err(Errno::ENOSYS.into())
}

/// `swapon(2)`
pub(super) fn sys_swapon(cx: &mut Cx, path: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, path, flags);
    Err(Errno::ENOSYS.into())
}

/// `swapoff(2)`
pub(super) fn sys_swapoff(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let _ = (cx, path);
    Err(Errno::ENOSYS.into())
}
