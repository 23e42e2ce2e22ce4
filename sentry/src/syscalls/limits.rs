//! Limits, priorities, scheduling.

use std::sync::Arc;

use abi::sched::SchedAttr;
use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

use super::process::rusage_words;
use crate::cred::cap;
use crate::task::{Cx, Resource, Rlimit, Task};
use crate::usermem::UserAddr;

/// `getrlimit(2)`
pub(super) fn sys_getrlimit(cx: &mut Cx, resource: u32, rlim: UserAddr) -> SysResult<u64> {
    let resource = Resource::new(resource).ok_or(Errno::EINVAL)?;
    let limit = cx.task.rlimit(resource);
    cx.write_obj(rlim, &[limit.soft, limit.hard])?;
    Ok(0)
}

/// `setrlimit(2)`
pub(super) fn sys_setrlimit(cx: &mut Cx, resource: u32, rlim: UserAddr) -> SysResult<u64> {
    let [soft, hard]: [u64; 2] = cx.read_obj(rlim)?;
    let resource = Resource::new(resource).ok_or(Errno::EINVAL)?;
    set_limit(cx, &cx.task.clone(), resource, Rlimit { soft, hard })?;
    Ok(0)
}

/// Checks as Linux's `do_prlimit`; gives the old limit.
fn set_limit(cx: &Cx, target: &Task, resource: Resource, new: Rlimit) -> abi::errno::Result<Rlimit> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if resource == Resource::Nofile && new.hard > cx.task.kernel.tunables.nr_open.count() {
        return Err(Errno::EPERM);
    }
    let mut limits = target.group.rlimits.lock();
    let old = limits.get(resource);
    if new.hard > old.hard && !cx.task.capable(cap::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    limits.set(resource, new);
    drop(limits);
    if resource == Resource::Cpu {
        crate::time::rlimit_cpu_changed(target);
    }
    Ok(old)
}

/// `prlimit64(2)`
pub(super) fn sys_prlimit64(
    cx: &mut Cx,
    pid: i32,
    resource: u32,
    new_limit: UserAddr,
    old_limit: UserAddr,
) -> SysResult<u64> {
    let new = match new_limit.nonnull() {
        None => None,
        Some(addr) => {
            let [soft, hard]: [u64; 2] = cx.read_obj(addr)?;
            Some(Rlimit { soft, hard })
        }
    };
    let target = find(cx, pid)?;
    let (me, to) = (cx.task.cred(), target.cred());
    let same_user = [to.uid, to.euid, to.suid].iter().all(|&id| id == me.uid);
    let same_group = [to.gid, to.egid, to.sgid].iter().all(|&id| id == me.gid);
    let own = Arc::ptr_eq(&target.group, &cx.task.group);
    if !own && !(same_user && same_group) && !me.has_cap_in(&to.user_ns, cap::SYS_RESOURCE) {
        return Err(Errno::EPERM.into());
    }
    let resource = Resource::new(resource).ok_or(Errno::EINVAL)?;
    let old = match new {
        Some(new) => set_limit(cx, &target, resource, new)?,
        None => target.rlimit(resource),
    };
    if !old_limit.is_null() {
        cx.write_obj(old_limit, &[old.soft, old.hard])?;
    }
    Ok(0)
}

/// `getrusage(2)`
pub(super) fn sys_getrusage(cx: &mut Cx, who: i32, usage: UserAddr) -> SysResult<u64> {
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_SELF: i32 = 0;
    const RUSAGE_THREAD: i32 = 1;
    cx.task.note_cpu_ns(cx.ctx.cpu_time_ns());
    let used = match who {
        RUSAGE_SELF => cx.task.group.usage(),
        RUSAGE_CHILDREN => cx.task.group.children_usage(),
        RUSAGE_THREAD => cx.task.usage(),
        _ => return Err(Errno::EINVAL.into()),
    };
    cx.write_obj(usage, &rusage_words(&used))?;
    Ok(0)
}

/// The thread that `pid` names; 0 is the caller.
fn find(cx: &Cx, pid: i32) -> abi::errno::Result<Arc<Task>> {
    if pid == 0 {
        return Ok(cx.task.clone());
    }
    cx.task.kernel.tasks.task(cx.task.pid_ns(), pid).ok_or(Errno::ESRCH)
}

/// Threads named by `which` and `who` of `getpriority(2)` and `ioprio_get(2)`, process, group or user being `base`, +1, +2.
fn selected(cx: &Cx, which: i32, base: i32, who: i32) -> abi::errno::Result<Vec<Arc<Task>>> {
    let tasks = &cx.task.kernel.tasks;
    let ns = cx.task.pid_ns();
    match which - base {
        0 => Ok(find(cx, who).into_iter().collect()),
        1 => {
            let pgrp = match who {
                0 => tasks.pgrp(&cx.task.group),
                _ => tasks.find_pgrp_in(ns, who),
            };
            let members = pgrp.map_or_else(Vec::new, |p| tasks.pgrp_members(p.pid.number()));
            Ok(members.iter().flat_map(|g| g.threads()).collect())
        }
        2 => {
            let cred = cx.task.cred();
            let uid = match who {
                0 => cred.uid,
                _ => cred.user_ns.uid_in(who.cast_unsigned())?,
            };
            let visible = |t: &Arc<Task>| t.cred().uid == uid && t.pid.in_ns(ns) != 0;
            Ok(tasks.all_tasks().into_iter().filter(visible).collect())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `getpriority(2)`
pub(super) fn sys_getpriority(cx: &mut Cx, which: i32, who: i32) -> SysResult<u64> {
    if !(0..=2).contains(&which) {
        return Err(Errno::EINVAL.into());
    }
    let threads = selected(cx, which, 0, who).map_err(|_| Errno::ESRCH)?;
    let best = threads.iter().map(|t| t.attr.lock().sched.nice).min();
    let nice = best.ok_or(Errno::ESRCH)?;
    // As the raw call gives it: 40 for the best, 1 for the least.
    Ok(u64::from((20 - nice).unsigned_abs()))
}

/// `setpriority(2)`
pub(super) fn sys_setpriority(cx: &mut Cx, which: i32, who: i32, prio: i32) -> SysResult<u64> {
    if !(0..=2).contains(&which) {
        return Err(Errno::EINVAL.into());
    }
    let nice = prio.clamp(-20, 19);
    let threads = selected(cx, which, 0, who).map_err(|_| Errno::ESRCH)?;
    let mut result = Err(Errno::ESRCH);
    for target in threads {
        let one = set_nice(cx, &target, nice);
        if result == Err(Errno::ESRCH) || one.is_err() {
            result = one;
        }
    }
    result?;
    Ok(0)
}

fn set_nice(cx: &Cx, target: &Task, nice: i32) -> abi::errno::Result<()> {
    let (me, to) = (cx.task.cred(), target.cred());
    let privileged = me.has_cap_in(&to.user_ns, cap::SYS_NICE);
    if me.euid != to.uid && me.euid != to.euid && !privileged {
        return Err(Errno::EPERM);
    }
    let mut attr = target.attr.lock();
    if nice < attr.sched.nice && !privileged && !nice_allowed(target, nice) {
        return Err(Errno::EACCES);
    }
    attr.sched.nice = nice;
    Ok(())
}

/// `RLIMIT_NICE` is a ceiling of 20 - nice.
fn nice_allowed(target: &Task, nice: i32) -> bool {
    u64::from((20 - nice).unsigned_abs()) <= target.rlimit(Resource::Nice).soft
}

/// `sched_yield(2)`
pub(super) async fn sys_sched_yield(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    crate::wait::yield_now().await;
    Ok(0)
}

const SCHED_OTHER: i32 = 0;
const SCHED_FIFO: i32 = 1;
const SCHED_RR: i32 = 2;
const SCHED_BATCH: i32 = 3;
const SCHED_IDLE: i32 = 5;
const SCHED_DEADLINE: i32 = 6;
const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;

/// `EINVAL` unless the policy is known and the priority fits it.
fn check_policy(policy: i32, priority: i32) -> abi::errno::Result<()> {
    match policy {
        SCHED_FIFO | SCHED_RR if (1..=99).contains(&priority) => Ok(()),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE if priority == 0 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// May the caller give the target that policy and priority? Then it has them.
fn set_scheduler(cx: &Cx, target: &Task, policy: i32, priority: i32, reset: bool) -> abi::errno::Result<()> {
    check_policy(policy, priority)?;
    let (me, to) = (cx.task.cred(), target.cred());
    let mut attr = target.attr.lock();
    if !me.has_cap_in(&to.user_ns, cap::SYS_NICE) {
        if matches!(policy, SCHED_FIFO | SCHED_RR) {
            let limit = target.rlimit(Resource::Rtprio).soft;
            let same = attr.sched.policy == policy;
            if (!same && limit == 0) || (priority > attr.sched.priority && u64::from(priority.unsigned_abs()) > limit) {
                return Err(Errno::EPERM);
            }
        }
        if attr.sched.policy == SCHED_IDLE && policy != SCHED_IDLE && !nice_allowed(target, attr.sched.nice) {
            return Err(Errno::EPERM);
        }
        if me.euid != to.uid && me.euid != to.euid || attr.sched.reset_on_fork && !reset {
            return Err(Errno::EPERM);
        }
    }
    attr.sched.policy = policy;
    attr.sched.priority = priority;
    attr.sched.reset_on_fork = reset;
    Ok(())
}

/// `sched_setparam(2)`
pub(super) fn sys_sched_setparam(cx: &mut Cx, pid: i32, param: UserAddr) -> SysResult<u64> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority: i32 = cx.read_obj(param)?;
    let target = find(cx, pid)?;
    let (policy, reset) = {
        let attr = target.attr.lock();
        (attr.sched.policy, attr.sched.reset_on_fork)
    };
    set_scheduler(cx, &target, policy, priority, reset)?;
    Ok(0)
}

/// `sched_getparam(2)`
pub(super) fn sys_sched_getparam(cx: &mut Cx, pid: i32, param: UserAddr) -> SysResult<u64> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = find(cx, pid)?.attr.lock().sched.priority;
    cx.write_obj(param, &priority)?;
    Ok(0)
}

/// `sched_setscheduler(2)`
pub(super) fn sys_sched_setscheduler(cx: &mut Cx, pid: i32, policy: i32, param: UserAddr) -> SysResult<u64> {
    if policy < 0 || param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority: i32 = cx.read_obj(param)?;
    let target = find(cx, pid)?;
    let reset = policy & SCHED_RESET_ON_FORK != 0;
    set_scheduler(cx, &target, policy & !SCHED_RESET_ON_FORK, priority, reset)?;
    Ok(0)
}

/// `sched_getscheduler(2)`
pub(super) fn sys_sched_getscheduler(cx: &mut Cx, pid: i32) -> SysResult<u64> {
    if pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = find(cx, pid)?;
    let sched = target.attr.lock().sched.clone();
    let reset = if sched.reset_on_fork { SCHED_RESET_ON_FORK } else { 0 };
    Ok(u64::from((sched.policy | reset).cast_unsigned()))
}

/// `sched_get_priority_max(2)`
pub(super) fn sys_sched_get_priority_max(cx: &mut Cx, policy: i32) -> SysResult<u64> {
    let _ = cx;
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(99),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_get_priority_min(2)`
pub(super) fn sys_sched_get_priority_min(cx: &mut Cx, policy: i32) -> SysResult<u64> {
    sys_sched_get_priority_max(cx, policy).map(|max| max.min(1))
}

/// `sched_rr_get_interval(2)`
pub(super) fn sys_sched_rr_get_interval(cx: &mut Cx, pid: i32, tp: UserAddr) -> SysResult<u64> {
    if pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let interval: u64 = match find(cx, pid)?.attr.lock().sched.policy {
        SCHED_RR => 100_000_000,
        SCHED_FIFO => 0,
        _ => 4_000_000,
    };
    cx.write_obj(tp, &[0u64, interval])?;
    Ok(0)
}

/// `sched_setaffinity(2)`
pub(super) fn sys_sched_setaffinity(cx: &mut Cx, pid: i32, cpusetsize: u32, mask: UserAddr) -> SysResult<u64> {
    let known = crate::task::TaskAttr::new(cx.task.kernel.config.cpus).sched.affinity;
    let mut wanted = vec![0u64; known.len()];
    let bytes = wanted.as_mut_bytes();
    let len = bytes.len().min(usize::try_from(cpusetsize).unwrap_or(0));
    cx.read_bytes(mask, bytes.get_mut(..len).unwrap_or_default())?;
    let target = find(cx, pid)?;
    let (me, to) = (cx.task.cred(), target.cred());
    if me.euid != to.uid && me.euid != to.euid && !me.has_cap_in(&to.user_ns, cap::SYS_NICE) {
        return Err(Errno::EPERM.into());
    }
    for (want, have) in wanted.iter_mut().zip(&known) {
        *want &= have;
    }
    if wanted.iter().all(|&w| w == 0) {
        return Err(Errno::EINVAL.into());
    }
    target.attr.lock().sched.affinity = wanted;
    Ok(0)
}

/// `sched_getaffinity(2)`
pub(super) fn sys_sched_getaffinity(cx: &mut Cx, pid: i32, cpusetsize: u32, mask: UserAddr) -> SysResult<u64> {
    let size = usize::try_from(cpusetsize).unwrap_or(0);
    let cpus = usize::try_from(cx.task.kernel.config.cpus).unwrap_or(1);
    if size.saturating_mul(8) < cpus || size % 8 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let affinity = find(cx, pid)?.attr.lock().sched.affinity.clone();
    let bytes = affinity.as_bytes();
    let len = size.min(bytes.len());
    cx.write_bytes(mask, bytes.get(..len).unwrap_or_default())?;
    Ok(abi::conv::usize64(len))
}

const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
const SCHED_FLAG_ALL: u64 = 0x7f;

/// `sched_setattr(2)`
pub(super) fn sys_sched_setattr(cx: &mut Cx, pid: i32, attr: UserAddr, flags: u32) -> SysResult<u64> {
    const SIZE_VER0: usize = 48;
    if attr.is_null() || pid < 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let size: u32 = cx.read_obj(attr)?;
    let size = match usize::try_from(size).unwrap_or(0) {
        0 => SIZE_VER0,
        n => n,
    };
    let known = size_of::<SchedAttr>();
    if !(SIZE_VER0..=4096).contains(&size) {
        cx.write_obj(attr, &u32::try_from(known).unwrap_or(0))?;
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = vec![0u8; size.max(known)];
    cx.read_bytes(attr, bytes.get_mut(..size).unwrap_or_default())?;
    if bytes.iter().skip(known).any(|&b| b != 0) {
        cx.write_obj(attr, &u32::try_from(known).unwrap_or(0))?;
        return Err(Errno::E2BIG.into());
    }
    let mut new = SchedAttr::default();
    new.as_mut_bytes()
        .copy_from_slice(bytes.get(..known).unwrap_or_default());
    let policy = new.policy.cast_signed();
    if policy < 0 || new.flags & !SCHED_FLAG_ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = find(cx, pid)?;
    if policy == SCHED_DEADLINE {
        return Err(cx.task.kernel.counters.missing("sched_setattr", 6, Errno::EPERM).into());
    }
    let priority = i32::try_from(new.priority).map_err(|_| Errno::EINVAL)?;
    let reset = new.flags & SCHED_FLAG_RESET_ON_FORK != 0;
    set_scheduler(cx, &target, policy, priority, reset)?;
    if matches!(policy, SCHED_OTHER | SCHED_BATCH) {
        let nice = new.nice.clamp(-20, 19);
        set_nice(cx, &target, nice).map_err(|_| Errno::EPERM)?;
    }
    Ok(0)
}

/// `sched_getattr(2)`
pub(super) fn sys_sched_getattr(cx: &mut Cx, pid: i32, attr: UserAddr, size: u32, flags: u32) -> SysResult<u64> {
    let len = usize::try_from(size).unwrap_or(0);
    if attr.is_null() || pid < 0 || !(48..=4096).contains(&len) || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let sched = find(cx, pid)?.attr.lock().sched.clone();
    let known = size_of::<SchedAttr>().min(len);
    let out = SchedAttr {
        size: u32::try_from(known).unwrap_or(0),
        policy: sched.policy.cast_unsigned(),
        flags: u64::from(sched.reset_on_fork),
        nice: if matches!(sched.policy, SCHED_FIFO | SCHED_RR) {
            0
        } else {
            sched.nice
        },
        priority: sched.priority.cast_unsigned(),
        util_max: 1024,
        ..SchedAttr::default()
    };
    cx.write_bytes(attr, out.as_bytes().get(..known).unwrap_or_default())?;
    Ok(0)
}

const IOPRIO_CLASS_SHIFT: i32 = 13;

/// `ioprio_check_cap`: may the caller use that class and level?
pub(super) fn check_ioprio(cx: &Cx, ioprio: i32) -> SysResult<()> {
    let class = ioprio >> IOPRIO_CLASS_SHIFT;
    let level = ioprio & ((1 << IOPRIO_CLASS_SHIFT) - 1);
    match class {
        0 if level != 0 => Err(Errno::EINVAL.into()),
        0 | 2 | 3 => Ok(()),
        1 if !cx.task.capable(cap::SYS_NICE) && !cx.task.capable(cap::SYS_ADMIN) => Err(Errno::EPERM.into()),
        1 => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `ioprio_set(2)`
pub(super) fn sys_ioprio_set(cx: &mut Cx, which: i32, who: i32, ioprio: i32) -> SysResult<u64> {
    check_ioprio(cx, ioprio)?;
    let threads = selected(cx, which, 1, who)?;
    if threads.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let me = cx.task.cred();
    for target in threads {
        let to = target.cred();
        if to.uid != me.euid && to.uid != me.uid && !me.has_cap_in(&to.user_ns, cap::SYS_NICE) {
            return Err(Errno::EPERM.into());
        }
        target.attr.lock().sched.ioprio = ioprio;
    }
    Ok(0)
}

/// `ioprio_get(2)`
pub(super) fn sys_ioprio_get(cx: &mut Cx, which: i32, who: i32) -> SysResult<u64> {
    let threads = selected(cx, which, 1, who)?;
    let best = threads.iter().map(|t| t.attr.lock().sched.ioprio).min();
    Ok(u64::from(best.ok_or(Errno::ESRCH)?.unsigned_abs()))
}
