//! Other processes' memory.

use std::sync::Arc;

use abi::{Errno, SysResult};

use crate::syscalls::process::pidfd_target;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `process_vm_readv(2)`
pub(in crate::syscalls) fn sys_process_vm_readv(
    cx: &mut Cx,
    pid: i32,
    lvec: UserAddr,
    liovcnt: u64,
    rvec: UserAddr,
    riovcnt: u64,
    flags: u64,
) -> SysResult<u64> {
    process_vm_rw(cx, pid, (lvec, liovcnt), (rvec, riovcnt), flags, false)
}

/// `process_vm_writev(2)`
pub(in crate::syscalls) fn sys_process_vm_writev(
    cx: &mut Cx,
    pid: i32,
    lvec: UserAddr,
    liovcnt: u64,
    rvec: UserAddr,
    riovcnt: u64,
    flags: u64,
) -> SysResult<u64> {
    process_vm_rw(cx, pid, (lvec, liovcnt), (rvec, riovcnt), flags, true)
}

fn process_vm_rw(
    cx: &mut Cx,
    pid: i32,
    local: (UserAddr, u64),
    remote: (UserAddr, u64),
    flags: u64,
    write: bool,
) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let count = |n: u64| i32::try_from(n).map_err(|_| Errno::EINVAL);
    let local = cx.read_iovecs(local.0, count(local.1)?)?;
    let remote = cx.read_iovecs(remote.0, count(remote.1)?)?;
    let target = crate::task::find_for_access(&cx.task, pid)?;
    let mm = target.mm().ok_or(Errno::ESRCH)?;
    let mut done: u64 = 0;
    let mut local = local.iter().copied();
    let mut here = local.next();
    for &(mut there, mut left) in &remote {
        while left > 0 {
            let Some((addr, len)) = here else { return Ok(done) };
            let part = len.min(left).min(1 << 16);
            let mut buf = vec![0u8; part];
            let moved = if write {
                let got = cx.read_some(addr, &mut buf);
                mm.aspace().write(there.0, buf.get(..got).unwrap_or_default())
            } else {
                let got = mm.aspace().read(there.0, &mut buf);
                cx.write_some(addr, buf.get(..got).unwrap_or_default())
            };
            done += abi::conv::usize64(moved);
            if moved < part {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT.into()) };
            }
            there = there.add(part)?;
            left -= part;
            here = if len > part {
                Some((addr.add(part)?, len - part))
            } else {
                local.next()
            };
        }
    }
    Ok(done)
}

/// `process_mrelease(2)`: the memory of a process that is dying is given back now.
pub(in crate::syscalls) fn sys_process_mrelease(cx: &mut Cx, pidfd: i32, flags: u32) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = pidfd_target(cx, pidfd)?;
    let mm = group.threads().iter().find_map(|t| t.mm()).ok_or(Errno::ESRCH)?;
    // `task_will_free_mem`: nobody else uses the memory, and nobody of those who do goes on.
    let users = cx.task.kernel.tasks.all_tasks();
    let mut users = users.iter().filter(|t| t.mm().is_some_and(|m| Arc::ptr_eq(&m, &mm)));
    if group.exit_status().is_none() || users.any(|t| t.group.exit_status().is_none()) {
        return Err(Errno::EINVAL.into());
    }
    mm.aspace().kill();
    Ok(0)
}
