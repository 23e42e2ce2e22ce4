//! Memory.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `mmap(2)`
pub(super) async fn sys_mmap(
    cx: &mut Cx,
    addr: u64,
    length: u64,
    prot: i32,
    flags: i32,
    fd: i32,
    offset: u64,
) -> SysResult<u64> {
    let _ = (cx, addr, length, prot, flags, fd, offset);
    Err(Errno::ENOSYS.into())
}

/// `mprotect(2)`
pub(super) async fn sys_mprotect(cx: &mut Cx, addr: u64, len: u64, prot: i32) -> SysResult<u64> {
    let _ = (cx, addr, len, prot);
    Err(Errno::ENOSYS.into())
}

/// `munmap(2)`
pub(super) async fn sys_munmap(cx: &mut Cx, addr: u64, length: u64) -> SysResult<u64> {
    let _ = (cx, addr, length);
    Err(Errno::ENOSYS.into())
}

/// `brk(2)`
pub(super) async fn sys_brk(cx: &mut Cx, addr: u64) -> SysResult<u64> {
    let _ = (cx, addr);
    Err(Errno::ENOSYS.into())
}

/// `mremap(2)`
pub(super) async fn sys_mremap(
    cx: &mut Cx,
    old_address: u64,
    old_size: u64,
    new_size: u64,
    flags: i32,
    new_address: u64,
) -> SysResult<u64> {
    let _ = (cx, old_address, old_size, new_size, flags, new_address);
    Err(Errno::ENOSYS.into())
}

/// `msync(2)`
pub(super) async fn sys_msync(cx: &mut Cx, addr: u64, length: u64, flags: i32) -> SysResult<u64> {
    let _ = (cx, addr, length, flags);
    Err(Errno::ENOSYS.into())
}

/// `mincore(2)`
pub(super) fn sys_mincore(cx: &mut Cx, addr: u64, length: u64, vec: UserAddr) -> SysResult<u64> {
    let _ = (cx, addr, length, vec);
    Err(Errno::ENOSYS.into())
}

/// `madvise(2)`
pub(super) async fn sys_madvise(cx: &mut Cx, addr: u64, length: u64, advice: i32) -> SysResult<u64> {
    let _ = (cx, addr, length, advice);
    Err(Errno::ENOSYS.into())
}

/// `mlock(2)`
pub(super) fn sys_mlock(cx: &mut Cx, addr: u64, len: u64) -> SysResult<u64> {
    let _ = (cx, addr, len);
    Err(Errno::ENOSYS.into())
}

/// `mlock2(2)`
pub(super) fn sys_mlock2(cx: &mut Cx, addr: u64, len: u64, flags: u32) -> SysResult<u64> {
    let _ = (cx, addr, len, flags);
    Err(Errno::ENOSYS.into())
}

/// `munlock(2)`
pub(super) fn sys_munlock(cx: &mut Cx, addr: u64, len: u64) -> SysResult<u64> {
    let _ = (cx, addr, len);
    Err(Errno::ENOSYS.into())
}

/// `mlockall(2)`
pub(super) fn sys_mlockall(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    let _ = (cx, flags);
    Err(Errno::ENOSYS.into())
}

/// `munlockall(2)`
pub(super) fn sys_munlockall(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::ENOSYS.into())
}

/// `remap_file_pages(2)`
pub(super) fn sys_remap_file_pages(
    cx: &mut Cx,
    addr: u64,
    size: u64,
    prot: i32,
    pgoff: u64,
    flags: i32,
) -> SysResult<u64> {
    let _ = (cx, addr, size, prot, pgoff, flags);
    Err(Errno::ENOSYS.into())
}

/// `process_madvise(2)`
pub(super) fn sys_process_madvise(
    cx: &mut Cx,
    pidfd: i32,
    iov: UserAddr,
    vlen: usize,
    advice: i32,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, pidfd, iov, vlen, advice, flags);
    Err(Errno::ENOSYS.into())
}

/// `process_vm_readv(2)`
pub(super) fn sys_process_vm_readv(
    cx: &mut Cx,
    pid: i32,
    lvec: UserAddr,
    liovcnt: u64,
    rvec: UserAddr,
    riovcnt: u64,
    flags: u64,
) -> SysResult<u64> {
    let _ = (cx, pid, lvec, liovcnt, rvec, riovcnt, flags);
    Err(Errno::ENOSYS.into())
}

/// `process_vm_writev(2)`
pub(super) fn sys_process_vm_writev(
    cx: &mut Cx,
    pid: i32,
    lvec: UserAddr,
    liovcnt: u64,
    rvec: UserAddr,
    riovcnt: u64,
    flags: u64,
) -> SysResult<u64> {
    let _ = (cx, pid, lvec, liovcnt, rvec, riovcnt, flags);
    Err(Errno::ENOSYS.into())
}

/// `process_mrelease(2)`
pub(super) fn sys_process_mrelease(cx: &mut Cx, pidfd: i32, flags: u32) -> SysResult<u64> {
    let _ = (cx, pidfd, flags);
    Err(Errno::ENOSYS.into())
}

/// `mseal(2)`
pub(super) fn sys_mseal(cx: &mut Cx, addr: u64, len: u64, flags: u64) -> SysResult<u64> {
    let _ = (cx, addr, len, flags);
    Err(Errno::ENOSYS.into())
}

/// `membarrier(2)`
pub(super) async fn sys_membarrier(cx: &mut Cx, cmd: i32, flags: u32, cpu_id: i32) -> SysResult<u64> {
    let _ = (cx, cmd, flags, cpu_id);
    Err(Errno::ENOSYS.into())
}

/// `mbind(2)`
pub(super) fn sys_mbind(
    cx: &mut Cx,
    addr: u64,
    len: u64,
    mode: u64,
    nodemask: UserAddr,
    maxnode: u64,
    flags: u32,
) -> SysResult<u64> {
    let _ = (cx, addr, len, mode, nodemask, maxnode, flags);
    Err(Errno::ENOSYS.into())
}

/// `get_mempolicy(2)`
pub(super) fn sys_get_mempolicy(
    cx: &mut Cx,
    mode: UserAddr,
    nodemask: UserAddr,
    maxnode: u64,
    addr: u64,
    flags: u64,
) -> SysResult<u64> {
    let _ = (cx, mode, nodemask, maxnode, addr, flags);
    Err(Errno::ENOSYS.into())
}

/// `set_mempolicy(2)`
pub(super) fn sys_set_mempolicy(cx: &mut Cx, mode: i32, nodemask: UserAddr, maxnode: u64) -> SysResult<u64> {
    let _ = (cx, mode, nodemask, maxnode);
    Err(Errno::ENOSYS.into())
}

/// `cachestat(2)`
pub(super) fn sys_cachestat(cx: &mut Cx, fd: i32, range: UserAddr, cstat: UserAddr, flags: u32) -> SysResult<u64> {
    let _ = (cx, fd, range, cstat, flags);
    Err(Errno::ENOSYS.into())
}
