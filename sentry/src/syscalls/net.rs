//! Sockets (`socket(2)`).

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `socket(2)`
pub(super) fn sys_socket(cx: &mut Cx, domain: i32, kind: i32, protocol: i32) -> SysResult<u64> {
    let _ = (cx, domain, kind, protocol);
    Err(Errno::ENOSYS.into())
}

/// `socketpair(2)`
pub(super) fn sys_socketpair(cx: &mut Cx, domain: i32, kind: i32, protocol: i32, sv: UserAddr) -> SysResult<u64> {
    let _ = (cx, domain, kind, protocol, sv);
    Err(Errno::ENOSYS.into())
}

/// `bind(2)`
pub(super) fn sys_bind(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: u32) -> SysResult<u64> {
    let _ = (cx, fd, addr, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `listen(2)`
pub(super) fn sys_listen(cx: &mut Cx, fd: i32, backlog: i32) -> SysResult<u64> {
    let _ = (cx, fd, backlog);
    Err(Errno::ENOSYS.into())
}

/// `accept(2)`
pub(super) async fn sys_accept(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, addr, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `accept4(2)`
pub(super) async fn sys_accept4(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, fd, addr, addrlen, flags);
    Err(Errno::ENOSYS.into())
}

/// `connect(2)`
pub(super) async fn sys_connect(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: u32) -> SysResult<u64> {
    let _ = (cx, fd, addr, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `getsockname(2)`
pub(super) fn sys_getsockname(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, addr, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `getpeername(2)`
pub(super) fn sys_getpeername(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<u64> {
    let _ = (cx, fd, addr, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `sendto(2)`
pub(super) async fn sys_sendto(
    cx: &mut Cx,
    fd: i32,
    buf: UserAddr,
    len: usize,
    flags: i32,
    dest: UserAddr,
    addrlen: u32,
) -> SysResult<u64> {
    let _ = (cx, fd, buf, len, flags, dest, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `recvfrom(2)`
pub(super) async fn sys_recvfrom(
    cx: &mut Cx,
    fd: i32,
    buf: UserAddr,
    len: usize,
    flags: i32,
    src: UserAddr,
    addrlen: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, fd, buf, len, flags, src, addrlen);
    Err(Errno::ENOSYS.into())
}

/// `sendmsg(2)`
pub(super) async fn sys_sendmsg(cx: &mut Cx, fd: i32, msg: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, fd, msg, flags);
    Err(Errno::ENOSYS.into())
}

/// `recvmsg(2)`
pub(super) async fn sys_recvmsg(cx: &mut Cx, fd: i32, msg: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, fd, msg, flags);
    Err(Errno::ENOSYS.into())
}

/// `sendmmsg(2)`
pub(super) async fn sys_sendmmsg(cx: &mut Cx, fd: i32, msgvec: UserAddr, vlen: u32, flags: i32) -> SysResult<u64> {
    let _ = (cx, fd, msgvec, vlen, flags);
    Err(Errno::ENOSYS.into())
}

/// `recvmmsg(2)`
pub(super) async fn sys_recvmmsg(
    cx: &mut Cx,
    fd: i32,
    msgvec: UserAddr,
    vlen: u32,
    flags: i32,
    timeout: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, fd, msgvec, vlen, flags, timeout);
    Err(Errno::ENOSYS.into())
}

/// `shutdown(2)`
pub(super) fn sys_shutdown(cx: &mut Cx, fd: i32, how: i32) -> SysResult<u64> {
    let _ = (cx, fd, how);
    Err(Errno::ENOSYS.into())
}

/// `setsockopt(2)`
pub(super) fn sys_setsockopt(
    cx: &mut Cx,
    fd: i32,
    level: i32,
    optname: i32,
    optval: UserAddr,
    optlen: u32,
) -> SysResult<u64> {
    let _ = (cx, fd, level, optname, optval, optlen);
    Err(Errno::ENOSYS.into())
}

/// `getsockopt(2)`
pub(super) fn sys_getsockopt(
    cx: &mut Cx,
    fd: i32,
    level: i32,
    optname: i32,
    optval: UserAddr,
    optlen: UserAddr,
) -> SysResult<u64> {
    let _ = (cx, fd, level, optname, optval, optlen);
    Err(Errno::ENOSYS.into())
}
