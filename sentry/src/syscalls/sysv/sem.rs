//! Semaphores.

use std::sync::Arc;

use abi::ipc::{IPC_64, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SemInfo, Sembuf, SemidDs};
use abi::time::Timespec;
use abi::{Errno, Restart, SysError, SysResult};
use zerocopy::IntoBytes;

use crate::executor::Executor;
use crate::ipc::sysv::sem::{SEMVMX, Set, State, Stuck};
use crate::ipc::sysv::{By, READ, Room, WRITE};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Deadline, Events};

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

fn now() -> i64 {
    (crate::time::clock::realtime_now() / 1_000_000_000).cast_signed()
}

/// `semget(2)`
pub(in crate::syscalls) fn sys_semget(cx: &mut Cx, key: i32, nsems: i32, flags: i32) -> SysResult<u64> {
    let ns = cx.task.ipc();
    let [most_in_set, most, _, sets] = &ns.limits.sem;
    if !(0..=most_in_set.get()).contains(&i64::from(nsems)) {
        return Err(Errno::EINVAL.into());
    }
    let count = usize::try_from(nsems).map_err(|_| Errno::EINVAL)?;
    let cred = cx.task.cred();
    let check = |set: &Arc<Set>| {
        if count > set.state.lock().sems.len() {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    let mut table = ns.sysv.sem.lock();
    let used = table.weight();
    let make = |perm| {
        if count == 0 {
            Err(Errno::EINVAL)
        } else if used.saturating_add(abi::conv::usize64(count)) > most.count() {
            Err(Errno::ENOSPC)
        } else {
            Ok(Set::new(perm, count))
        }
    };
    let room = Room {
        max: sets,
        next: &ns.limits.sem_next_id,
    };
    let id = table.get_or_make(key, flags, &cred, &room, check, make)?;
    Ok(u64::from(id.cast_unsigned()))
}

fn find(cx: &Cx, id: i32) -> Result<Arc<Set>, Errno> {
    cx.task.ipc().sysv.sem.lock().get(id).cloned()
}

/// `semop(2)`
pub(in crate::syscalls) async fn sys_semop(cx: &mut Cx, semid: i32, sops: UserAddr, nsops: usize) -> SysResult<u64> {
    do_semop(cx, semid, sops, nsops, None).await
}

/// `semtimedop(2)`
pub(in crate::syscalls) async fn sys_semtimedop(
    cx: &mut Cx,
    semid: i32,
    sops: UserAddr,
    nsops: usize,
    timeout: UserAddr,
) -> SysResult<u64> {
    let deadline = match timeout.nonnull() {
        None => None,
        Some(at) => {
            let spec: Timespec = cx.read_obj(at)?;
            let ns = spec.to_ns().ok_or(Errno::EINVAL)?;
            Some(Executor::now().saturating_add(ns))
        }
    };
    do_semop(cx, semid, sops, nsops, deadline).await
}

fn waiters<'a>(state: &'a mut State, stuck: &Stuck) -> Option<&'a mut u32> {
    let sem = state.sems.get_mut(usize::from(stuck.num))?;
    Some(if stuck.zero { &mut sem.zero } else { &mut sem.growing })
}

async fn do_semop(cx: &mut Cx, semid: i32, sops: UserAddr, nsops: usize, deadline: Deadline) -> SysResult<u64> {
    if nsops < 1 || semid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let [_, _, most, _] = &cx.task.ipc().limits.sem;
    if abi::conv::usize64(nsops) > most.count() {
        return Err(Errno::E2BIG.into());
    }
    let mut ops = vec![Sembuf::default(); nsops];
    cx.read_bytes(sops, ops.as_mut_bytes())?;
    let set = find(cx, semid)?;
    let cred = cx.task.cred();
    let pid = cx.task.group.tgid;
    let want = if ops.iter().any(|op| op.op != 0) { WRITE } else { READ };
    {
        let state = set.state.lock();
        if ops.iter().any(|op| usize::from(op.num) >= state.sems.len()) {
            return Err(Errno::EFBIG.into());
        }
        state.perm.check(&cred, want)?;
    }
    let mut blocker = Blocker::new(&cx.task, deadline);
    loop {
        let stuck = {
            let mut state = set.state.lock();
            if state.removed {
                return Err(Errno::EIDRM.into());
            }
            match state.try_ops(&ops, pid)? {
                Ok(()) => {
                    drop(state);
                    set.changed();
                    return Ok(0);
                }
                Err(stuck) => {
                    if stuck.nowait {
                        return Err(Errno::EAGAIN.into());
                    }
                    if let Some(n) = waiters(&mut state, &stuck) {
                        *n += 1;
                    }
                    stuck
                }
            }
        };
        let slept = blocker.wait_on(&set.queue, Events::all()).await;
        if let Some(n) = waiters(&mut set.state.lock(), &stuck) {
            *n = n.saturating_sub(1);
        }
        match slept {
            Ok(()) => {}
            Err(Blocked::TimedOut) => return Err(Errno::EAGAIN.into()),
            Err(Blocked::Interrupted) => return Err(SysError::Restart(Restart::NoHand)),
        }
    }
}

/// `semctl(2)`
pub(in crate::syscalls) fn sys_semctl(cx: &mut Cx, semid: i32, semnum: i32, cmd: i32, arg: u64) -> SysResult<u64> {
    let cmd = cmd & !IPC_64;
    let buf = UserAddr(arg);
    if semid < 0 {
        return Err(Errno::EINVAL.into());
    }
    match cmd {
        IPC_INFO | SEM_INFO => return info(cx, cmd, buf),
        IPC_STAT => return stat(cx, semid, By::Id, buf),
        SEM_STAT => return stat(cx, semid, By::Index, buf),
        SEM_STAT_ANY => return stat(cx, semid, By::IndexForAll, buf),
        _ => {}
    }
    let set = find(cx, semid)?;
    let cred = cx.task.cred();
    let ns = cx.task.pid_ns().clone();
    let kernel = cx.task.kernel.clone();
    match cmd {
        GETPID | GETVAL | GETNCNT | GETZCNT => {
            let state = set.state.lock();
            state.perm.check(&cred, READ)?;
            let num = usize::try_from(semnum).map_err(|_| Errno::EINVAL)?;
            let sem = *state.sems.get(num).ok_or(Errno::EINVAL)?;
            Ok(match cmd {
                GETVAL => u64::from(sem.value.unsigned_abs()),
                GETNCNT => u64::from(sem.growing),
                GETZCNT => u64::from(sem.zero),
                _ => {
                    let process = kernel.tasks.process(&kernel.tasks.root_ns, sem.pid);
                    u64::from(process.map_or(sem.pid, |p| p.pid.in_ns(&ns)).unsigned_abs())
                }
            })
        }
        GETALL => {
            let values: Vec<u16> = {
                let state = set.state.lock();
                state.perm.check(&cred, READ)?;
                state.sems.iter().map(|s| u16::try_from(s.value).unwrap_or(0)).collect()
            };
            cx.write_bytes(buf, values.as_bytes())?;
            Ok(0)
        }
        SETVAL => {
            let value = abi::conv::int(arg);
            if !(0..=SEMVMX).contains(&value) {
                return Err(Errno::ERANGE.into());
            }
            let mut state = set.state.lock();
            state.perm.check(&cred, WRITE)?;
            let num = u16::try_from(semnum).map_err(|_| Errno::EINVAL)?;
            let sem = state.sems.get_mut(usize::from(num)).ok_or(Errno::EINVAL)?;
            sem.value = value;
            sem.pid = cx.task.group.tgid;
            state.forget_undo(Some(num));
            state.ctime = now();
            drop(state);
            set.changed();
            Ok(0)
        }
        SETALL => {
            let count = {
                let state = set.state.lock();
                state.perm.check(&cred, WRITE)?;
                state.sems.len()
            };
            let mut values = vec![0u16; count];
            cx.read_bytes(buf, values.as_mut_bytes())?;
            if values.iter().any(|&v| i32::from(v) > SEMVMX) {
                return Err(Errno::ERANGE.into());
            }
            let mut state = set.state.lock();
            for (sem, value) in state.sems.iter_mut().zip(values) {
                sem.value = i32::from(value);
                sem.pid = cx.task.group.tgid;
            }
            state.forget_undo(None);
            state.ctime = now();
            drop(state);
            set.changed();
            Ok(0)
        }
        IPC_SET => {
            let new: SemidDs = cx.read_obj(buf)?;
            let mut state = set.state.lock();
            state.perm.check_owner(&cred)?;
            state.perm.set(&new.perm, &cred)?;
            state.ctime = now();
            Ok(0)
        }
        IPC_RMID => {
            set.state.lock().perm.check_owner(&cred)?;
            cx.task.ipc().sysv.sem.lock().remove(semid)?;
            set.state.lock().removed = true;
            set.changed();
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn stat(cx: &mut Cx, number: i32, by: By, buf: UserAddr) -> SysResult<u64> {
    let cred = cx.task.cred();
    let (id, ds) = {
        let ns = cx.task.ipc();
        let table = ns.sysv.sem.lock();
        let (id, set) = table.shown(number, by, &cred)?;
        (id, set.state.lock().show(id, &cred))
    };
    cx.write_obj(buf, &ds)?;
    Ok(by.result(id))
}

fn info(cx: &mut Cx, cmd: i32, buf: UserAddr) -> SysResult<u64> {
    let ns = cx.task.ipc();
    let (max, used, sems) = {
        let table = ns.sysv.sem.lock();
        let sems: usize = table.iter().map(|(_, s)| s.state.lock().sems.len()).sum();
        (table.max_index(), table.len(), sems)
    };
    let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let running = cmd == SEM_INFO;
    let [msl, mns, opm, mni] = ns
        .limits
        .sem
        .each_ref()
        .map(|t| i32::try_from(t.get()).unwrap_or(i32::MAX));
    let info = SemInfo {
        semmap: mns,
        semmni: mni,
        semmns: mns,
        semmnu: mns,
        semmsl: msl,
        semopm: opm,
        semume: opm,
        semusz: if running { int(used) } else { 20 },
        semvmx: SEMVMX,
        semaem: if running { int(sems) } else { SEMVMX },
    };
    cx.write_obj(buf, &info)?;
    Ok(max)
}
