//! What a process says about its pages, and what it may know of them.

use std::sync::Arc;

use abi::{Errno, SysResult};

use crate::cred::cap;
use crate::mm::{Mm, advice, page_up};
use crate::syscalls::process::pidfd_target;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `mincore(2)`
pub(in crate::syscalls) fn sys_mincore(cx: &mut Cx, addr: u64, length: u64, vec: UserAddr) -> SysResult<u64> {
    // Bytes of the answer made at once.
    const STEP: u64 = 4096 * 4096;
    if !addr.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    let len = page_up(length).ok_or(Errno::ENOMEM)?;
    let end = addr
        .checked_add(len)
        .filter(|&e| e <= cx.mm.guest_end())
        .ok_or(Errno::ENOMEM)?;
    let pages = usize::try_from(len / 4096).map_err(|_| Errno::ENOMEM)?;
    if vec.add(pages)?.0 > cx.mm.guest_end() {
        return Err(Errno::EFAULT.into());
    }
    let (mut at, mut to) = (addr, vec);
    while at < end {
        let step_end = at.saturating_add(STEP).min(end);
        let bytes = cx.mm.residency(at, step_end).ok_or(Errno::ENOMEM)?;
        cx.write_bytes(to, &bytes)?;
        to = to.add(bytes.len())?;
        at = step_end;
    }
    Ok(0)
}

/// `madvise(2)`
pub(in crate::syscalls) async fn sys_madvise(cx: &mut Cx, addr: u64, length: u64, advice: i32) -> SysResult<u64> {
    if advice == 100 || advice == 101 {
        // MADV_HWPOISON and MADV_SOFT_OFFLINE are for the administrator of the machine.
        return Err(Errno::EPERM.into());
    }
    advise(cx, addr, length, advice).await?;
    Ok(0)
}

async fn advise(cx: &mut Cx, addr: u64, length: u64, advice: i32) -> SysResult<()> {
    let mm = cx.mm.clone();
    let awaited = mm.advise(&mut *cx.ctx, addr, length, advice)?;
    if awaited {
        cx.ctx.flush().await.map_err(|f| f.errno)?;
    }
    Ok(())
}

fn mlock(cx: &mut Cx, addr: u64, len: u64, on: bool, populate: bool) -> SysResult<u64> {
    let privileged = cx.task.cred().has_cap(cap::IPC_LOCK);
    let limits = cx.task.group.rlimits();
    let mm: Arc<Mm> = cx.mm.clone();
    mm.lock(&mut *cx.ctx, addr, len, on, populate, privileged, &limits)?;
    Ok(0)
}

/// `mlock(2)`
pub(in crate::syscalls) fn sys_mlock(cx: &mut Cx, addr: u64, len: u64) -> SysResult<u64> {
    mlock(cx, addr, len, true, true)
}

/// `mlock2(2)`
pub(in crate::syscalls) fn sys_mlock2(cx: &mut Cx, addr: u64, len: u64, flags: u32) -> SysResult<u64> {
    const MLOCK_ONFAULT: u32 = 1;
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    mlock(cx, addr, len, true, flags & MLOCK_ONFAULT == 0)
}

/// `munlock(2)`
pub(in crate::syscalls) fn sys_munlock(cx: &mut Cx, addr: u64, len: u64) -> SysResult<u64> {
    mlock(cx, addr, len, false, false)
}

/// `mlockall(2)`
pub(in crate::syscalls) fn sys_mlockall(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    if flags == 0 || flags & !7 != 0 || flags == 4 {
        return Err(Errno::EINVAL.into());
    }
    let privileged = cx.task.cred().has_cap(cap::IPC_LOCK);
    cx.mm.lock_all(flags, privileged, &cx.task.group.rlimits())?;
    Ok(0)
}

/// `munlockall(2)`
pub(in crate::syscalls) fn sys_munlockall(cx: &mut Cx) -> SysResult<u64> {
    cx.mm.lock_all(0, true, &cx.task.group.rlimits())?;
    Ok(0)
}

/// `process_madvise(2)`: of another process only hints are taken.
pub(in crate::syscalls) async fn sys_process_madvise(
    cx: &mut Cx,
    pidfd: i32,
    iov: UserAddr,
    vlen: usize,
    advice: i32,
    flags: u32,
) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let iov = cx.read_iovecs(iov, i32::try_from(vlen).map_err(|_| Errno::EINVAL)?)?;
    let group = pidfd_target(cx, pidfd)?;
    let target = group.any_thread().ok_or(Errno::ESRCH)?;
    if !crate::task::may_inspect(&cx.task, &target) {
        return Err(Errno::EPERM.into());
    }
    let mm = target.mm().ok_or(Errno::ESRCH)?;
    let own = Arc::ptr_eq(&mm, &cx.mm);
    if !own {
        if !matches!(advice, advice::WILLNEED | advice::COLD | advice::PAGEOUT) {
            return Err(Errno::EINVAL.into());
        }
        if !cx.task.capable(cap::SYS_NICE) {
            return Err(Errno::EPERM.into());
        }
    }
    let mut done = 0;
    for &(addr, len) in &iov {
        let len = abi::conv::usize64(len);
        let result = match own {
            true => advise(cx, addr.0, len, advice).await,
            false => check_advice(&mm, addr.0, len),
        };
        match result {
            Ok(()) => done += len,
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// The checks of `madvise(2)` on a range; what is done about a hint is nothing.
fn check_advice(mm: &Mm, addr: u64, len: u64) -> SysResult<()> {
    let end = page_up(len).and_then(|l| addr.checked_add(l)).ok_or(Errno::EINVAL)?;
    if !addr.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    match addr == end || mm.is_mapped(addr, end) {
        true => Ok(()),
        false => Err(Errno::ENOMEM.into()),
    }
}
