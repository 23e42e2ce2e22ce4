//! Memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::{Errno, SysResult};
use platform::Prot;

use crate::cred::cap;
use crate::fs::{FileMode, FileType};
use crate::mm::{MapRequest, Mm, Placement, VmaFlags, advice, page_up};
use crate::task::Cx;
use crate::usermem::UserAddr;

mod flags {
    pub(super) const SHARED: i32 = 1;
    pub(super) const PRIVATE: i32 = 2;
    pub(super) const SHARED_VALIDATE: i32 = 3;
    pub(super) const TYPE: i32 = 15;
    pub(super) const FIXED: i32 = 0x10;
    pub(super) const ANONYMOUS: i32 = 0x20;
    pub(super) const LOW32: i32 = 0x40;
    pub(super) const GROWSDOWN: i32 = 0x100;
    pub(super) const LOCKED: i32 = 0x2000;
    pub(super) const NORESERVE: i32 = 0x4000;
    pub(super) const POPULATE: i32 = 0x8000;
    pub(super) const NONBLOCK: i32 = 0x10000;
    pub(super) const STACK: i32 = 0x20000;
    pub(super) const HUGETLB: i32 = 0x40000;
    pub(super) const SYNC: i32 = 0x80000;
    pub(super) const FIXED_NOREPLACE: i32 = 0x100000;
    /// Flags that `MAP_SHARED_VALIDATE` knows (`LEGACY_MAP_MASK`).
    pub(super) const KNOWN: i32 = 0x1f_ffff & !SYNC;
}

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
    if !offset.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    let file = if flags & flags::ANONYMOUS == 0 {
        Some(cx.task.files().get(fd)?)
    } else {
        None
    };
    if flags & flags::HUGETLB != 0 && file.is_none() {
        // No huge pages are reserved for guests.
        let missing = &cx.task.kernel.counters;
        return Err(missing.missing("mmap MAP_HUGETLB", 0, Errno::ENOMEM).into());
    }
    if length == 0 {
        return Err(Errno::EINVAL.into());
    }
    let len = page_up(length)
        .filter(|&l| l <= cx.mm.guest_end())
        .ok_or(Errno::ENOMEM)?;
    if offset.checked_add(len).is_none() {
        return Err(Errno::EOVERFLOW.into());
    }
    let place = if flags & flags::FIXED_NOREPLACE != 0 {
        Placement::FixedNoReplace(addr)
    } else if flags & flags::FIXED != 0 {
        Placement::Fixed(addr)
    } else if flags & flags::LOW32 != 0 && addr == 0 {
        Placement::Low
    } else {
        Placement::Hint(addr)
    };
    if let Placement::Fixed(addr) | Placement::FixedNoReplace(addr) = place
        && !addr.is_multiple_of(4096)
    {
        return Err(Errno::EINVAL.into());
    }
    let prot = Prot::from_bits_truncate(prot.cast_unsigned());
    let mut vma = VmaFlags::empty();
    match flags & flags::TYPE {
        flags::PRIVATE => {}
        flags::SHARED => vma |= VmaFlags::SHARED,
        flags::SHARED_VALIDATE => {
            if flags & !(flags::KNOWN | flags::TYPE) != 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
            vma |= VmaFlags::SHARED;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    let shared = vma.contains(VmaFlags::SHARED);
    if let Some(file) = &file {
        if !file.mode.contains(FileMode::READ)
            || (shared && prot.contains(Prot::WRITE) && !file.mode.contains(FileMode::WRITE))
        {
            return Err(Errno::EACCES.into());
        }
        if file.inode().kind == FileType::Directory {
            return Err(Errno::ENODEV.into());
        }
    }
    vma.set(
        VmaFlags::GROWSDOWN,
        flags & flags::GROWSDOWN != 0 && file.is_none() && !shared,
    );
    vma.set(VmaFlags::NORESERVE, flags & flags::NORESERVE != 0);
    if flags & flags::LOCKED != 0 {
        let limit = cx.task.rlimit(crate::task::Resource::Memlock).soft;
        let privileged = cx.task.cred().has_cap(cap::IPC_LOCK);
        if !privileged && limit == 0 {
            return Err(Errno::EPERM.into());
        }
        if !privileged && cx.mm.memory_use().locked.saturating_add(len) > limit {
            return Err(Errno::EAGAIN.into());
        }
        vma |= VmaFlags::LOCKED;
    }
    let populate = flags & flags::POPULATE != 0 && flags & flags::NONBLOCK == 0;
    let _ = flags::STACK;
    let object = file.map(|f| (f, offset));
    let request = MapRequest {
        place,
        len,
        prot,
        flags: vma,
        object,
        populate,
    };
    let limits = cx.task.group.rlimits();
    let mm = cx.mm.clone();
    Ok(mm.map(&mut *cx.ctx, &request, &limits)?)
}

/// `mprotect(2)`
pub(super) async fn sys_mprotect(cx: &mut Cx, addr: u64, len: u64, prot: i32) -> SysResult<u64> {
    const GROWSDOWN: i32 = 0x0100_0000;
    const GROWSUP: i32 = 0x0200_0000;
    const SEM: i32 = 8;
    if !addr.is_multiple_of(4096) || prot & !(7 | SEM | GROWSDOWN | GROWSUP) != 0 || prot & GROWSUP != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mm = cx.mm.clone();
    let start = if prot & GROWSDOWN != 0 {
        let area = mm.area(addr).ok_or(Errno::ENOMEM)?;
        if !area.flags.intersects(VmaFlags::GROWSDOWN | VmaFlags::STACK) {
            return Err(Errno::EINVAL.into());
        }
        area.start
    } else {
        addr
    };
    let len = len.checked_add(addr - start).ok_or(Errno::ENOMEM)?;
    mm.protect(&mut *cx.ctx, start, len, Prot::from_bits_truncate(prot.cast_unsigned()))?;
    Ok(0)
}

/// `munmap(2)`
pub(super) async fn sys_munmap(cx: &mut Cx, addr: u64, length: u64) -> SysResult<u64> {
    let mm = cx.mm.clone();
    mm.unmap(&mut *cx.ctx, addr, length)?;
    Ok(0)
}

/// `brk(2)`
pub(super) async fn sys_brk(cx: &mut Cx, addr: u64) -> SysResult<u64> {
    let limits = cx.task.group.rlimits();
    let mm = cx.mm.clone();
    Ok(mm.set_brk(&mut *cx.ctx, addr, &limits))
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
    let limits = cx.task.group.rlimits();
    let mm = cx.mm.clone();
    Ok(mm.remap(
        &mut *cx.ctx,
        old_address,
        old_size,
        new_size,
        flags,
        new_address,
        &limits,
    )?)
}

/// `msync(2)`
pub(super) async fn sys_msync(cx: &mut Cx, addr: u64, length: u64, flags: i32) -> SysResult<u64> {
    let mm = cx.mm.clone();
    let result = mm.sync(&mut *cx.ctx, addr, length, flags);
    cx.ctx.flush().await.map_err(|f| f.errno)?;
    result?;
    Ok(0)
}

/// `mincore(2)`
pub(super) fn sys_mincore(cx: &mut Cx, addr: u64, length: u64, vec: UserAddr) -> SysResult<u64> {
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
pub(super) async fn sys_madvise(cx: &mut Cx, addr: u64, length: u64, advice: i32) -> SysResult<u64> {
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
pub(super) fn sys_mlock(cx: &mut Cx, addr: u64, len: u64) -> SysResult<u64> {
    mlock(cx, addr, len, true, true)
}

/// `mlock2(2)`
pub(super) fn sys_mlock2(cx: &mut Cx, addr: u64, len: u64, flags: u32) -> SysResult<u64> {
    const MLOCK_ONFAULT: u32 = 1;
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    mlock(cx, addr, len, true, flags & MLOCK_ONFAULT == 0)
}

/// `munlock(2)`
pub(super) fn sys_munlock(cx: &mut Cx, addr: u64, len: u64) -> SysResult<u64> {
    mlock(cx, addr, len, false, false)
}

/// `mlockall(2)`
pub(super) fn sys_mlockall(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    if flags == 0 || flags & !7 != 0 || flags == 4 {
        return Err(Errno::EINVAL.into());
    }
    let privileged = cx.task.cred().has_cap(cap::IPC_LOCK);
    cx.mm.lock_all(flags, privileged, &cx.task.group.rlimits())?;
    Ok(0)
}

/// `munlockall(2)`
pub(super) fn sys_munlockall(cx: &mut Cx) -> SysResult<u64> {
    cx.mm.lock_all(0, true, &cx.task.group.rlimits())?;
    Ok(0)
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
    let limits = cx.task.group.rlimits();
    let mm = cx.mm.clone();
    let start = addr & !4095;
    let len = size & !4095;
    let end = start.checked_add(len).filter(|&e| e > start).ok_or(Errno::EINVAL)?;
    if prot != 0 || pgoff.checked_mul(4096).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let area = mm
        .area(start)
        .filter(|a| a.end >= end && a.flags.contains(VmaFlags::SHARED))
        .ok_or(Errno::EINVAL)?;
    let file = area.file.ok_or(Errno::EINVAL)?;
    let request = MapRequest {
        place: Placement::Fixed(start),
        len,
        prot: area.prot,
        flags: VmaFlags::SHARED,
        object: Some((file, pgoff * 4096)),
        populate: flags & flags::POPULATE != 0,
    };
    mm.map(&mut *cx.ctx, &request, &limits)?;
    Ok(0)
}

/// `process_madvise(2)`: of another process only hints are taken.
pub(super) async fn sys_process_madvise(
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
    let group = super::process::pidfd_target(cx, pidfd)?;
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
    process_vm_rw(cx, pid, (lvec, liovcnt), (rvec, riovcnt), flags, false)
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
pub(super) fn sys_process_mrelease(cx: &mut Cx, pidfd: i32, flags: u32) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = super::process::pidfd_target(cx, pidfd)?;
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

/// `mseal(2)`
pub(super) fn sys_mseal(cx: &mut Cx, addr: u64, len: u64, flags: u64) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    cx.mm.seal(addr, len)?;
    Ok(0)
}

/// `membarrier(2)`: one barrier of the platform's reaches every guest thread, so that the narrower commands are the same.
pub(super) fn sys_membarrier(cx: &mut Cx, cmd: i32, flags: u32, cpu_id: i32) -> SysResult<u64> {
    const QUERY: i32 = 0;
    const GLOBAL: i32 = 1;
    const GLOBAL_EXPEDITED: i32 = 2;
    const REGISTER_GLOBAL_EXPEDITED: i32 = 4;
    const PRIVATE_EXPEDITED: i32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 16;
    const GET_REGISTRATIONS: i32 = 512;
    const OFFERED: i32 = GLOBAL
        | GLOBAL_EXPEDITED
        | REGISTER_GLOBAL_EXPEDITED
        | PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED
        | GET_REGISTRATIONS;
    let _ = cpu_id;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let platform = &cx.task.kernel.platform;
    let barrier = || match platform.barrier() {
        true => Ok(0),
        false => Err(Errno::EINVAL.into()),
    };
    match cmd {
        QUERY if platform.barrier() => Ok(u64::from(OFFERED.unsigned_abs())),
        QUERY => Ok(0),
        GLOBAL | GLOBAL_EXPEDITED => barrier(),
        PRIVATE_EXPEDITED
            if cx.mm.barriers.load(Ordering::Relaxed) & REGISTER_PRIVATE_EXPEDITED.unsigned_abs() == 0 =>
        {
            Err(Errno::EPERM.into())
        }
        PRIVATE_EXPEDITED => barrier(),
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => {
            barrier()?;
            cx.mm.barriers.fetch_or(cmd.unsigned_abs(), Ordering::Relaxed);
            Ok(0)
        }
        GET_REGISTRATIONS => Ok(u64::from(cx.mm.barriers.load(Ordering::Relaxed))),
        _ => {
            let value = u64::from(cmd.cast_unsigned());
            let counters = &cx.task.kernel.counters;
            Err(counters.missing("membarrier", value, Errno::EINVAL).into())
        }
    }
}

/// Memory policies: there is one node, and every policy that names only it is in force already.
fn check_nodes(cx: &Cx, mode: u32, nodemask: UserAddr, maxnode: u64) -> SysResult<u64> {
    const MODE_FLAGS: u32 = 0xe000;
    let policy = mode & !MODE_FLAGS;
    if policy > 6 {
        return Err(Errno::EINVAL.into());
    }
    let mut mask = 0u64;
    if !nodemask.is_null() && maxnode > 1 {
        if maxnode > 4096 * 8 {
            return Err(Errno::EINVAL.into());
        }
        mask = cx.read_obj(nodemask)?;
        mask &= u64::MAX >> (64 - (maxnode - 1).min(63));
    }
    let needs_nodes = matches!(policy, 2 | 3 | 6);
    if mask & !1 != 0 || (needs_nodes && mask == 0) || (policy == 0 && mask != 0) {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
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
    if flags & !7 != 0 || !addr.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    let end = page_up(len).and_then(|l| addr.checked_add(l)).ok_or(Errno::EINVAL)?;
    check_nodes(cx, u32::try_from(mode).map_err(|_| Errno::EINVAL)?, nodemask, maxnode)?;
    if end > addr && !cx.mm.is_mapped(addr, end) {
        return Err(Errno::EFAULT.into());
    }
    Ok(0)
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
    const F_NODE: u64 = 1;
    const F_ADDR: u64 = 2;
    const F_MEMS_ALLOWED: u64 = 4;
    if flags & !7 != 0 || (flags & F_MEMS_ALLOWED != 0 && flags & (F_NODE | F_ADDR) != 0) {
        return Err(Errno::EINVAL.into());
    }
    if !nodemask.is_null() && maxnode < 1 {
        return Err(Errno::EINVAL.into());
    }
    if flags & F_ADDR != 0 {
        if cx.mm.area(addr).is_none() {
            return Err(Errno::EFAULT.into());
        }
    } else if addr != 0 {
        return Err(Errno::EINVAL.into());
    }
    if !mode.is_null() && flags & F_MEMS_ALLOWED == 0 {
        cx.write_obj(mode, &0i32)?;
    }
    if !nodemask.is_null() {
        let mask = u64::from(flags & F_MEMS_ALLOWED != 0);
        cx.write_obj(nodemask, &mask)?;
    }
    Ok(0)
}

/// `set_mempolicy(2)`
pub(super) fn sys_set_mempolicy(cx: &mut Cx, mode: i32, nodemask: UserAddr, maxnode: u64) -> SysResult<u64> {
    check_nodes(cx, mode.cast_unsigned(), nodemask, maxnode)
}
