//! Shared memory.

use std::sync::atomic::Ordering;

use abi::ipc::{IPC_64, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, ShmInfo, ShmInfoLimits, ShmidDs};
use abi::{Errno, SysResult};
use platform::Prot;

use crate::cred::cap;
use crate::ipc::sysv::shm::{SHM_DEST, SHM_LOCKED, Segment};
use crate::ipc::sysv::{By, READ, Room, WRITE};
use crate::mm::{Placement, VmaFlags};
use crate::task::{Cx, Resource};
use crate::usermem::UserAddr;

const SHM_HUGETLB: i32 = 0o4000;
const SHM_RDONLY: i32 = 0o10000;
const SHM_RND: i32 = 0o20000;
const SHM_REMAP: i32 = 0o40000;
const SHM_EXEC: i32 = 0o100_000;
const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
const PAGE: u64 = 4096;

fn now() -> i64 {
    (crate::time::clock::realtime_now() / 1_000_000_000).cast_signed()
}

/// `shmget(2)`
pub(in crate::syscalls) fn sys_shmget(cx: &mut Cx, key: i32, size: usize, flags: i32) -> SysResult<u64> {
    let cred = cx.task.cred();
    let size = abi::conv::usize64(size);
    let pid = cx.task.group.tgid;
    let total = cx.task.kernel.config.total_memory;
    let missing = &cx.task.kernel.counters;
    let check = |segment: &Segment| {
        if segment.size < size {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    let ns = cx.task.ipc();
    let room = Room {
        max: &ns.limits.shmmni,
        next: &ns.limits.shm_next_id,
    };
    let (largest, all) = (&ns.limits.shmmax, &ns.limits.shmall);
    let mut table = ns.sysv.shm.lock();
    table.purge();
    let used = table.weight();
    let id = table.get_or_make(key, flags, &cred, &room, check, |perm| {
        if size == 0 || size > largest.load(Ordering::Relaxed) {
            return Err(Errno::EINVAL);
        }
        if used.saturating_add(size.div_ceil(PAGE)) > all.load(Ordering::Relaxed) {
            return Err(Errno::ENOSPC);
        }
        if flags & SHM_HUGETLB != 0 {
            return Err(missing.missing("shmget SHM_HUGETLB", 0, Errno::ENOMEM));
        }
        if size > total.saturating_mul(2) {
            return Err(Errno::ENOMEM);
        }
        let name = format!("/SYSV{key:08x} (deleted)");
        let object = crate::mm::shared_object(&name, size.next_multiple_of(PAGE))?;
        Ok(Segment {
            perm,
            object,
            size,
            atime: 0,
            dtime: 0,
            ctime: now(),
            cpid: pid,
            lpid: 0,
        })
    })?;
    Ok(u64::from(id.cast_unsigned()))
}

/// `shmat(2)`
pub(in crate::syscalls) async fn sys_shmat(cx: &mut Cx, shmid: i32, addr: u64, flags: i32) -> SysResult<u64> {
    if shmid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let addr = if flags & SHM_RND != 0 { addr & !(PAGE - 1) } else { addr };
    if !addr.is_multiple_of(PAGE) || (addr == 0 && flags & SHM_REMAP != 0) {
        return Err(Errno::EINVAL.into());
    }
    let mut prot = Prot::READ;
    let mut want = READ;
    if flags & SHM_RDONLY == 0 {
        prot |= Prot::WRITE;
        want |= WRITE;
    }
    if flags & SHM_EXEC != 0 {
        prot |= Prot::EXEC;
        want |= 0o111;
    }
    let cred = cx.task.cred();
    let ns = cx.task.ipc();
    let (object, size) = {
        let mut table = ns.sysv.shm.lock();
        table.purge();
        let segment = table.get(shmid)?;
        segment.perm.check(&cred, want)?;
        (segment.object.clone(), segment.size)
    };
    let place = match addr {
        0 => Placement::Hint(0),
        addr if flags & SHM_REMAP != 0 => Placement::Fixed(addr),
        addr => Placement::FixedNoReplace(addr),
    };
    let limits = cx.task.group.rlimits();
    let mm = cx.mm.clone();
    let mapped = mm.map_shared_object(&mut *cx.ctx, place, &object, size, prot, &limits);
    // Taken already is EINVAL here.
    let at = mapped.map_err(|e| if e == Errno::EEXIST { Errno::EINVAL } else { e })?;
    if let Err(failure) = cx.ctx.flush().await {
        return Err(mm.op_failed(&failure).into());
    }
    drop(object);
    if let Ok(segment) = ns.sysv.shm.lock().get_mut(shmid) {
        segment.atime = now();
        segment.lpid = cx.task.group.tgid;
    }
    Ok(at)
}

/// `shmdt(2)`
pub(in crate::syscalls) async fn sys_shmdt(cx: &mut Cx, addr: u64) -> SysResult<u64> {
    if !addr.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    let mm = cx.mm.clone();
    // The segment's areas, however the program has split them: those that show it from this address on.
    let areas = mm.maps();
    let first = areas
        .iter()
        .find(|v| v.start == addr && v.shared.is_some() && v.offset == 0);
    let object = first.and_then(|v| v.shared.clone()).ok_or(Errno::EINVAL)?;
    let ns = cx.task.ipc();
    let size = {
        let table = ns.sysv.shm.lock();
        let segment = table.iter().find(|(_, s)| s.object.id == object.id);
        segment
            .map(|(_, s)| s.size.next_multiple_of(PAGE))
            .ok_or(Errno::EINVAL)?
    };
    let mine: Vec<(u64, u64)> = areas
        .iter()
        .filter(|v| v.flags.contains(VmaFlags::SHARED))
        .filter(|v| v.shared.as_ref().is_some_and(|s| s.id == object.id))
        .filter(|v| v.start >= addr && v.start - addr == v.offset && v.start - addr < size)
        .map(|v| (v.start, v.end - v.start))
        .collect();
    for (start, len) in mine {
        mm.unmap(&mut *cx.ctx, start, len)?;
    }
    let id = object.id;
    drop(areas);
    drop(object);
    let mut table = ns.sysv.shm.lock();
    let found = table.iter().find(|(_, s)| s.object.id == id).map(|(i, _)| i);
    if let Some(segment) = found.and_then(|i| table.get_mut(i).ok()) {
        segment.dtime = now();
        segment.lpid = cx.task.group.tgid;
    }
    table.purge();
    Ok(0)
}

/// `shmctl(2)`
pub(in crate::syscalls) fn sys_shmctl(cx: &mut Cx, shmid: i32, cmd: i32, buf: UserAddr) -> SysResult<u64> {
    let task = cx.task.clone();
    let cred = task.cred();
    let ns = task.ipc();
    let table = &ns.sysv.shm;
    if cmd < 0 || shmid < 0 {
        return Err(Errno::EINVAL.into());
    }
    match cmd & !IPC_64 {
        IPC_INFO => {
            let info = ShmInfoLimits {
                shmmax: ns.limits.shmmax.load(Ordering::Relaxed),
                shmmin: 1,
                shmmni: ns.limits.shmmni.count(),
                shmseg: ns.limits.shmmni.count(),
                shmall: ns.limits.shmall.load(Ordering::Relaxed),
                ..ShmInfoLimits::default()
            };
            let max = table.lock().max_index();
            cx.write_obj(buf, &info)?;
            Ok(max)
        }
        SHM_INFO => {
            let (info, max) = {
                let table = table.lock();
                let pages = |s: &Segment| s.size.div_ceil(PAGE);
                let info = ShmInfo {
                    used_ids: i32::try_from(table.len()).unwrap_or(i32::MAX),
                    shm_tot: table.iter().map(|(_, s)| pages(s)).sum(),
                    ..ShmInfo::default()
                };
                (info, table.max_index())
            };
            cx.write_obj(buf, &info)?;
            Ok(max)
        }
        cmd @ (IPC_STAT | SHM_STAT | SHM_STAT_ANY) => {
            let by = match cmd {
                IPC_STAT => By::Id,
                SHM_STAT => By::Index,
                _ => By::IndexForAll,
            };
            let (id, ds) = {
                let table = table.lock();
                let (id, segment) = table.shown(shmid, by, &cred)?;
                (id, segment.show(id, &cred))
            };
            cx.write_obj(buf, &ds)?;
            Ok(by.result(id))
        }
        IPC_SET => {
            let new: ShmidDs = cx.read_obj(buf)?;
            let mut table = table.lock();
            let segment = table.get_mut(shmid)?;
            segment.perm.check_owner(&cred)?;
            segment.perm.set(&new.perm, &cred)?;
            segment.ctime = now();
            Ok(0)
        }
        IPC_RMID => {
            let mut table = table.lock();
            let segment = table.get_mut(shmid)?;
            segment.perm.check_owner(&cred)?;
            segment.perm.mode |= SHM_DEST;
            segment.perm.key = 0;
            table.forget_key(shmid);
            table.purge();
            Ok(0)
        }
        cmd @ (SHM_LOCK | SHM_UNLOCK) => {
            let mut table = table.lock();
            let segment = table.get_mut(shmid)?;
            if !cred.has_cap(cap::IPC_LOCK) {
                segment.perm.check_owner(&cred)?;
                if cmd == SHM_LOCK && task.rlimit(Resource::Memlock).soft == 0 {
                    return Err(Errno::EPERM.into());
                }
            }
            if cmd == SHM_LOCK {
                segment.perm.mode |= SHM_LOCKED;
            } else {
                segment.perm.mode &= !SHM_LOCKED;
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}
