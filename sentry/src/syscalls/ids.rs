//! Process ids and credentials.

use std::sync::Arc;

use abi::{Errno, SysResult};

use crate::cred::{Cred, cap};
use crate::task::{Cx, ThreadGroup};
use crate::usermem::UserAddr;

fn id(n: i32) -> SysResult<u64> {
    Ok(u64::from(n.unsigned_abs()))
}

/// `getpid(2)`
pub(super) fn sys_getpid(cx: &mut Cx) -> SysResult<u64> {
    id(cx.task.group.pid.in_ns(cx.task.pid_ns()))
}

/// `gettid(2)`
pub(super) fn sys_gettid(cx: &mut Cx) -> SysResult<u64> {
    id(cx.task.own_tid())
}

/// `getppid(2)`
pub(super) fn sys_getppid(cx: &mut Cx) -> SysResult<u64> {
    id(cx.task.kernel.tasks.parent_in(&cx.task.group, cx.task.pid_ns()))
}

/// The process that `pid` names; 0 is the caller's. `ESRCH` if there is none.
fn process(cx: &Cx, pid: i32) -> abi::errno::Result<Arc<ThreadGroup>> {
    if pid == 0 {
        return Ok(cx.task.group.clone());
    }
    let task = cx.task.kernel.tasks.task(cx.task.pid_ns(), pid);
    task.map(|t| t.group.clone()).ok_or(Errno::ESRCH)
}

/// `getpgrp(2)`
pub(super) fn sys_getpgrp(cx: &mut Cx) -> SysResult<u64> {
    sys_getpgid(cx, 0)
}

/// `getpgid(2)`
pub(super) fn sys_getpgid(cx: &mut Cx, pid: i32) -> SysResult<u64> {
    let group = process(cx, pid)?;
    let pgrp = cx.task.kernel.tasks.pgrp(&group).ok_or(Errno::ESRCH)?;
    id(pgrp.pid.in_ns(cx.task.pid_ns()))
}

/// `setpgid(2)`
pub(super) fn sys_setpgid(cx: &mut Cx, pid: i32, pgid: i32) -> SysResult<u64> {
    if pgid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let tasks = &cx.task.kernel.tasks;
    let ns = cx.task.pid_ns();
    let who = match pid {
        0 => cx.task.group.clone(),
        _ => tasks.process(ns, pid).ok_or_else(|| {
            // A thread that leads no process is nothing to move.
            if tasks.task(ns, pid).is_some() {
                Errno::EINVAL
            } else {
                Errno::ESRCH
            }
        })?,
    };
    let pgid = if pgid == 0 { who.pid.in_ns(ns) } else { pgid };
    tasks.setpgid(&cx.task.group, &who, pgid)?;
    Ok(0)
}

/// `getsid(2)`
pub(super) fn sys_getsid(cx: &mut Cx, pid: i32) -> SysResult<u64> {
    let group = process(cx, pid)?;
    let session = cx.task.kernel.tasks.session(&group).ok_or(Errno::ESRCH)?;
    id(session.pid.in_ns(cx.task.pid_ns()))
}

/// `setsid(2)`
pub(super) fn sys_setsid(cx: &mut Cx) -> SysResult<u64> {
    cx.task.kernel.tasks.setsid(&cx.task.group)?;
    id(cx.task.group.pid.in_ns(cx.task.pid_ns()))
}

/// `getuid(2)`
pub(super) fn sys_getuid(cx: &mut Cx) -> SysResult<u64> {
    let cred = cx.task.cred();
    Ok(u64::from(cred.user_ns.uid_out(cred.uid)))
}

/// `geteuid(2)`
pub(super) fn sys_geteuid(cx: &mut Cx) -> SysResult<u64> {
    let cred = cx.task.cred();
    Ok(u64::from(cred.user_ns.uid_out(cred.euid)))
}

/// `getgid(2)`
pub(super) fn sys_getgid(cx: &mut Cx) -> SysResult<u64> {
    let cred = cx.task.cred();
    Ok(u64::from(cred.user_ns.gid_out(cred.gid)))
}

/// `getegid(2)`
pub(super) fn sys_getegid(cx: &mut Cx) -> SysResult<u64> {
    let cred = cx.task.cred();
    Ok(u64::from(cred.user_ns.gid_out(cred.egid)))
}

/// New credentials; a change of ids makes the process undumpable, as `commit_creds` does.
fn commit(cx: &Cx, new: Cred) {
    let old = cx.task.cred();
    if (new.euid, new.egid, new.fsuid, new.fsgid) != (old.euid, old.egid, old.fsuid, old.fsgid)
        || new.permitted & !old.permitted != 0
    {
        let dumpable = &cx.task.group.dumpable;
        dumpable.store(0, std::sync::atomic::Ordering::Relaxed);
        cx.task.attr.lock().pdeath_signal = 0;
    }
    cx.task.set_cred(Arc::new(new));
}

/// `setuid(2)`
pub(super) fn sys_setuid(cx: &mut Cx, uid: u32) -> SysResult<u64> {
    commit(cx, cx.task.cred().with_uid(uid)?);
    Ok(0)
}

/// `setgid(2)`
pub(super) fn sys_setgid(cx: &mut Cx, gid: u32) -> SysResult<u64> {
    commit(cx, cx.task.cred().with_gid(gid)?);
    Ok(0)
}

/// `setreuid(2)`
pub(super) fn sys_setreuid(cx: &mut Cx, ruid: u32, euid: u32) -> SysResult<u64> {
    commit(cx, cx.task.cred().with_reuid(ruid, euid)?);
    Ok(0)
}

/// `setregid(2)`
pub(super) fn sys_setregid(cx: &mut Cx, rgid: u32, egid: u32) -> SysResult<u64> {
    commit(cx, cx.task.cred().with_regid(rgid, egid)?);
    Ok(0)
}

/// `setresuid(2)`
pub(super) fn sys_setresuid(cx: &mut Cx, ruid: u32, euid: u32, suid: u32) -> SysResult<u64> {
    commit(cx, cx.task.cred().with_resuid(ruid, euid, suid)?);
    Ok(0)
}

/// `setresgid(2)`
pub(super) fn sys_setresgid(cx: &mut Cx, rgid: u32, egid: u32, sgid: u32) -> SysResult<u64> {
    commit(cx, cx.task.cred().with_resgid(rgid, egid, sgid)?);
    Ok(0)
}

/// `getresuid(2)`
pub(super) fn sys_getresuid(cx: &mut Cx, ruid: UserAddr, euid: UserAddr, suid: UserAddr) -> SysResult<u64> {
    let cred = cx.task.cred();
    for (addr, uid) in [(ruid, cred.uid), (euid, cred.euid), (suid, cred.suid)] {
        cx.write_obj(addr, &cred.user_ns.uid_out(uid))?;
    }
    Ok(0)
}

/// `getresgid(2)`
pub(super) fn sys_getresgid(cx: &mut Cx, rgid: UserAddr, egid: UserAddr, sgid: UserAddr) -> SysResult<u64> {
    let cred = cx.task.cred();
    for (addr, gid) in [(rgid, cred.gid), (egid, cred.egid), (sgid, cred.sgid)] {
        cx.write_obj(addr, &cred.user_ns.gid_out(gid))?;
    }
    Ok(0)
}

/// `setfsuid(2)`
pub(super) fn sys_setfsuid(cx: &mut Cx, uid: u32) -> SysResult<u64> {
    let cred = cx.task.cred();
    if let Some(new) = cred.with_fsuid(uid) {
        commit(cx, new);
    }
    Ok(u64::from(cred.user_ns.uid_out(cred.fsuid)))
}

/// `setfsgid(2)`
pub(super) fn sys_setfsgid(cx: &mut Cx, gid: u32) -> SysResult<u64> {
    let cred = cx.task.cred();
    if let Some(new) = cred.with_fsgid(gid) {
        commit(cx, new);
    }
    Ok(u64::from(cred.user_ns.gid_out(cred.fsgid)))
}

/// `getgroups(2)`
pub(super) fn sys_getgroups(cx: &mut Cx, size: i32, list: UserAddr) -> SysResult<u64> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let cred = cx.task.cred();
    let count = cred.groups.len();
    if size != 0 {
        if count > size {
            return Err(Errno::EINVAL.into());
        }
        let groups: Vec<u32> = cred.groups.iter().map(|&g| cred.user_ns.gid_out(g)).collect();
        cx.write_bytes(list, zerocopy::IntoBytes::as_bytes(groups.as_slice()))?;
    }
    Ok(abi::conv::usize64(count))
}

/// `setgroups(2)`
pub(super) fn sys_setgroups(cx: &mut Cx, size: i32, list: UserAddr) -> SysResult<u64> {
    const NGROUPS_MAX: usize = 65536;
    let cred = cx.task.cred();
    let ns = &cred.user_ns;
    let denied = ns.setgroups_denied.load(std::sync::atomic::Ordering::Relaxed);
    if !cred.has_cap(cap::SETGID) || denied || ns.gid_map.lock().is_empty() {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size)
        .ok()
        .filter(|&n| n <= NGROUPS_MAX)
        .ok_or(Errno::EINVAL)?;
    let mut groups = vec![0u32; size];
    cx.read_bytes(list, zerocopy::IntoBytes::as_mut_bytes(groups.as_mut_slice()))?;
    commit(cx, cred.with_groups(&groups)?);
    Ok(0)
}

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// Reads `cap_user_header_t`: pid, and how many halves of the sets follow. An unknown version is answered with the newest one.
fn cap_header(cx: &mut Cx, hdrp: UserAddr) -> abi::errno::Result<(i32, Option<usize>)> {
    let [version, pid]: [u32; 2] = cx.read_obj(hdrp)?;
    let halves = match version {
        VERSION_1 => Some(1),
        VERSION_2 | VERSION_3 => Some(2),
        _ => {
            cx.write_obj(hdrp, &VERSION_3)?;
            None
        }
    };
    Ok((pid.cast_signed(), halves))
}

/// `capget(2)`
pub(super) fn sys_capget(cx: &mut Cx, hdrp: UserAddr, datap: UserAddr) -> SysResult<u64> {
    let (pid, halves) = cap_header(cx, hdrp)?;
    let Some(halves) = halves else {
        return if datap.is_null() {
            Ok(0)
        } else {
            Err(Errno::EINVAL.into())
        };
    };
    if pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = match pid {
        0 => cx.task.clone(),
        _ => cx.task.kernel.tasks.task(cx.task.pid_ns(), pid).ok_or(Errno::ESRCH)?,
    };
    if datap.is_null() {
        return Ok(0);
    }
    let cred = target.cred();
    for half in 0..halves {
        let part = |set: u64| abi::conv::low32(set >> (32 * half));
        let words = [part(cred.effective), part(cred.permitted), part(cred.inheritable)];
        cx.write_obj(datap.add(12 * half)?, &words)?;
    }
    Ok(0)
}

/// `capset(2)`
pub(super) fn sys_capset(cx: &mut Cx, hdrp: UserAddr, datap: UserAddr) -> SysResult<u64> {
    let (pid, halves) = cap_header(cx, hdrp)?;
    let halves = halves.ok_or(Errno::EINVAL)?;
    if pid != 0 && pid != cx.task.own_tid() {
        return Err(Errno::EPERM.into());
    }
    let mut sets = [0u64; 3];
    for half in 0..halves {
        let words: [u32; 3] = cx.read_obj(datap.add(12 * half)?)?;
        for (set, word) in sets.iter_mut().zip(words) {
            *set |= u64::from(word) << (32 * half);
        }
    }
    let [effective, permitted, inheritable] = sets.map(|s| s & cap::FULL);
    let old = cx.task.cred();
    // Without CAP_SETPCAP the inheritable set grows only by what is permitted; never beyond the bounding set.
    if !old.has_cap(cap::SETPCAP) && inheritable & !(old.inheritable | old.permitted) != 0
        || inheritable & !(old.inheritable | old.bounding) != 0
        || permitted & !old.permitted != 0
        || effective & !permitted != 0
    {
        return Err(Errno::EPERM.into());
    }
    let mut new = (*old).clone();
    new.effective = effective;
    new.permitted = permitted;
    new.inheritable = inheritable;
    new.ambient &= permitted & inheritable;
    cx.task.set_cred(Arc::new(new));
    Ok(0)
}
