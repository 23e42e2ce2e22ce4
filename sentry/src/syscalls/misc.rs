//! Odds and ends.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `prctl(2)`
pub(super) fn sys_prctl(cx: &mut Cx, option: i32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> SysResult<u64> {
    let _ = (cx, option, arg2, arg3, arg4, arg5);
    Err(Errno::ENOSYS.into())
}

/// `arch_prctl(2)`
pub(super) fn sys_arch_prctl(cx: &mut Cx, code: i32, addr: u64) -> SysResult<u64> {
    let _ = (cx, code, addr);
    Err(Errno::ENOSYS.into())
}

/// `uname(2)`
pub(super) fn sys_uname(cx: &mut Cx, buf: UserAddr) -> SysResult<u64> {
    let _ = (cx, buf);
    Err(Errno::ENOSYS.into())
}

/// `sysinfo(2)`
pub(super) fn sys_sysinfo(cx: &mut Cx, info: UserAddr) -> SysResult<u64> {
    let _ = (cx, info);
    Err(Errno::ENOSYS.into())
}

/// `getcpu(2)`
pub(super) fn sys_getcpu(cx: &mut Cx, cpu: UserAddr, node: UserAddr) -> SysResult<u64> {
    let _ = (cx, cpu, node);
    Err(Errno::ENOSYS.into())
}

/// `getrandom(2)`
pub(super) async fn sys_getrandom(cx: &mut Cx, buf: UserAddr, buflen: usize, flags: u32) -> SysResult<u64> {
    let _ = (cx, buf, buflen, flags);
    Err(Errno::ENOSYS.into())
}

/// `sethostname(2)`
pub(super) fn sys_sethostname(cx: &mut Cx, name: UserAddr, len: i32) -> SysResult<u64> {
    let _ = (cx, name, len);
    Err(Errno::ENOSYS.into())
}

/// `setdomainname(2)`
pub(super) fn sys_setdomainname(cx: &mut Cx, name: UserAddr, len: i32) -> SysResult<u64> {
    let _ = (cx, name, len);
    Err(Errno::ENOSYS.into())
}

/// `syslog(2)`
pub(super) fn sys_syslog(cx: &mut Cx, kind: i32, bufp: UserAddr, len: i32) -> SysResult<u64> {
    let _ = (cx, kind, bufp, len);
    Err(Errno::ENOSYS.into())
}

/// `personality(2)`
pub(super) fn sys_personality(cx: &mut Cx, persona: u32) -> SysResult<u64> {
    let _ = (cx, persona);
    Err(Errno::ENOSYS.into())
}

/// `vhangup(2)`
pub(super) fn sys_vhangup(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `seccomp(2)`
pub(super) fn sys_seccomp(cx: &mut Cx, operation: u32, flags: u32, args: UserAddr) -> SysResult<u64> {
    let _ = (cx, operation, flags, args);
    Err(Errno::ENOSYS.into())
}

/// `set_robust_list(2)`
pub(super) fn sys_set_robust_list(cx: &mut Cx, head: UserAddr, len: usize) -> SysResult<u64> {
    let _ = (cx, head, len);
    Err(Errno::ENOSYS.into())
}

/// `get_robust_list(2)`
pub(super) fn sys_get_robust_list(cx: &mut Cx, pid: i32, head_ptr: UserAddr, len_ptr: UserAddr) -> SysResult<u64> {
    let _ = (cx, pid, head_ptr, len_ptr);
    Err(Errno::ENOSYS.into())
}

/// `rseq(2)`
pub(super) fn sys_rseq(cx: &mut Cx, rseq: UserAddr, len: u32, flags: i32, sig: u32) -> SysResult<u64> {
    let _ = (cx, rseq, len, flags, sig);
    Err(Errno::ENOSYS.into())
}

/// `modify_ldt(2)`
pub(super) fn sys_modify_ldt(cx: &mut Cx, func: i32, ptr: UserAddr, bytecount: u64) -> SysResult<u64> {
    let _ = (cx, func, ptr, bytecount);
    Err(Errno::ENOSYS.into())
}
