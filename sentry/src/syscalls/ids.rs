//! Process ids and credentials.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `getpid(2)`
pub(super) fn sys_getpid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `gettid(2)`
pub(super) fn sys_gettid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `getppid(2)`
pub(super) fn sys_getppid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `getpgrp(2)`
pub(super) fn sys_getpgrp(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `getpgid(2)`
pub(super) fn sys_getpgid(cx: &mut Cx, pid: i32) -> SysResult<u64> {
    let _ = (cx, pid);
    Err(Errno::ENOSYS.into())
}

/// `setpgid(2)`
pub(super) fn sys_setpgid(cx: &mut Cx, pid: i32, pgid: i32) -> SysResult<u64> {
    let _ = (cx, pid, pgid);
    Err(Errno::ENOSYS.into())
}

/// `getsid(2)`
pub(super) fn sys_getsid(cx: &mut Cx, pid: i32) -> SysResult<u64> {
    let _ = (cx, pid);
    Err(Errno::ENOSYS.into())
}

/// `setsid(2)`
pub(super) fn sys_setsid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `getuid(2)`
pub(super) fn sys_getuid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `geteuid(2)`
pub(super) fn sys_geteuid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `getgid(2)`
pub(super) fn sys_getgid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `getegid(2)`
pub(super) fn sys_getegid(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `setuid(2)`
pub(super) fn sys_setuid(cx: &mut Cx, uid: u32) -> SysResult<u64> {
    let _ = (cx, uid);
    Err(Errno::ENOSYS.into())
}

/// `setgid(2)`
pub(super) fn sys_setgid(cx: &mut Cx, gid: u32) -> SysResult<u64> {
    let _ = (cx, gid);
    Err(Errno::ENOSYS.into())
}

/// `setreuid(2)`
pub(super) fn sys_setreuid(cx: &mut Cx, ruid: u32, euid: u32) -> SysResult<u64> {
    let _ = (cx, ruid, euid);
    Err(Errno::ENOSYS.into())
}

/// `setregid(2)`
pub(super) fn sys_setregid(cx: &mut Cx, rgid: u32, egid: u32) -> SysResult<u64> {
    let _ = (cx, rgid, egid);
    Err(Errno::ENOSYS.into())
}

/// `setresuid(2)`
pub(super) fn sys_setresuid(cx: &mut Cx, ruid: u32, euid: u32, suid: u32) -> SysResult<u64> {
    let _ = (cx, ruid, euid, suid);
    Err(Errno::ENOSYS.into())
}

/// `setresgid(2)`
pub(super) fn sys_setresgid(cx: &mut Cx, rgid: u32, egid: u32, sgid: u32) -> SysResult<u64> {
    let _ = (cx, rgid, egid, sgid);
    Err(Errno::ENOSYS.into())
}

/// `getresuid(2)`
pub(super) fn sys_getresuid(cx: &mut Cx, ruid: UserAddr, euid: UserAddr, suid: UserAddr) -> SysResult<u64> {
    let _ = (cx, ruid, euid, suid);
    Err(Errno::ENOSYS.into())
}

/// `getresgid(2)`
pub(super) fn sys_getresgid(cx: &mut Cx, rgid: UserAddr, egid: UserAddr, sgid: UserAddr) -> SysResult<u64> {
    let _ = (cx, rgid, egid, sgid);
    Err(Errno::ENOSYS.into())
}

/// `setfsuid(2)`
pub(super) fn sys_setfsuid(cx: &mut Cx, uid: u32) -> SysResult<u64> {
    let _ = (cx, uid);
    Err(Errno::ENOSYS.into())
}

/// `setfsgid(2)`
pub(super) fn sys_setfsgid(cx: &mut Cx, gid: u32) -> SysResult<u64> {
    let _ = (cx, gid);
    Err(Errno::ENOSYS.into())
}

/// `getgroups(2)`
pub(super) fn sys_getgroups(cx: &mut Cx, size: i32, list: UserAddr) -> SysResult<u64> {
    let _ = (cx, size, list);
    Err(Errno::ENOSYS.into())
}

/// `setgroups(2)`
pub(super) fn sys_setgroups(cx: &mut Cx, size: i32, list: UserAddr) -> SysResult<u64> {
    let _ = (cx, size, list);
    Err(Errno::ENOSYS.into())
}

/// `capget(2)`
pub(super) fn sys_capget(cx: &mut Cx, hdrp: UserAddr, datap: UserAddr) -> SysResult<u64> {
    let _ = (cx, hdrp, datap);
    Err(Errno::ENOSYS.into())
}

/// `capset(2)`
pub(super) fn sys_capset(cx: &mut Cx, hdrp: UserAddr, datap: UserAddr) -> SysResult<u64> {
    let _ = (cx, hdrp, datap);
    Err(Errno::ENOSYS.into())
}
