//! Memory.

mod advice;
mod barrier;
mod numa;
mod remote;

use abi::{Errno, SysResult};
use platform::Prot;

pub(super) use advice::{
    sys_madvise, sys_mincore, sys_mlock, sys_mlock2, sys_mlockall, sys_munlock, sys_munlockall, sys_process_madvise,
};
pub(super) use barrier::sys_membarrier;
pub(super) use numa::{sys_get_mempolicy, sys_mbind, sys_set_mempolicy, sys_set_mempolicy_home_node};
pub(super) use remote::{sys_process_mrelease, sys_process_vm_readv, sys_process_vm_writev};

use crate::cred::cap;
use crate::fs::{FileMode, FileType};
use crate::mm::{MapRequest, Placement, VmaFlags, page_up};
use crate::task::Cx;

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

/// `mseal(2)`
pub(super) fn sys_mseal(cx: &mut Cx, addr: u64, len: u64, flags: u64) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    cx.mm.seal(addr, len)?;
    Ok(0)
}
