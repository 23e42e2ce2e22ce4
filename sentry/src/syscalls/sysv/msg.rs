//! Message queues of System V.

use std::sync::Arc;

use abi::ipc::{IPC_64, IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, MsgInfo, MsqidDs};
use abi::{Errno, Restart, SysError, SysResult};

use crate::cred::cap;
use crate::ipc::sysv::msg::{Message, Queue, Want};
use crate::ipc::sysv::{By, READ, Room, WRITE};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events};

const MSG_NOERROR: i32 = 0o10000;
const MSG_EXCEPT: i32 = 0o20000;
const MSG_COPY: i32 = 0o40000;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

fn now() -> i64 {
    (crate::time::clock::realtime_now() / 1_000_000_000).cast_signed()
}

fn find(cx: &Cx, id: i32) -> Result<Arc<Queue>, Errno> {
    cx.task.ipc().sysv.msg.lock().get(id).cloned()
}

/// `msgget(2)`
pub(in crate::syscalls) fn sys_msgget(cx: &mut Cx, key: i32, flags: i32) -> SysResult<u64> {
    let cred = cx.task.cred();
    let ns = cx.task.ipc();
    let make = |perm| Ok(Queue::new(perm, ns.limits.msgmnb.count()));
    let room = Room {
        max: &ns.limits.msgmni,
        next: &ns.limits.msg_next_id,
    };
    let mut table = ns.sysv.msg.lock();
    let id = table.get_or_make(key, flags, &cred, &room, |_| Ok(()), make)?;
    Ok(u64::from(id.cast_unsigned()))
}

/// `msgsnd(2)`
pub(in crate::syscalls) async fn sys_msgsnd(
    cx: &mut Cx,
    msqid: i32,
    msgp: UserAddr,
    msgsz: usize,
    flags: i32,
) -> SysResult<u64> {
    let kind: i64 = cx.read_obj(msgp)?;
    let longest = cx.task.ipc().limits.msgmax.count();
    if abi::conv::usize64(msgsz) > longest || msqid < 0 || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let mut data = vec![0u8; msgsz];
    cx.read_bytes(msgp.add(8)?, &mut data)?;
    let queue = find(cx, msqid)?;
    let cred = cx.task.cred();
    let len = abi::conv::usize64(msgsz);
    let mut blocker = Blocker::new(&cx.task, None);
    loop {
        {
            let mut state = queue.state.lock();
            if state.removed {
                return Err(Errno::EIDRM.into());
            }
            state.perm.check(&cred, WRITE)?;
            if state.has_room(len) {
                state.push(Message { kind, data }, cx.task.group.tgid);
                drop(state);
                queue.queue.wake(Events::READ);
                return Ok(0);
            }
        }
        if flags & IPC_NOWAIT != 0 {
            return Err(Errno::EAGAIN.into());
        }
        if blocker.wait_on(&queue.queue, Events::WRITE).await.is_err() {
            return Err(SysError::Restart(Restart::NoHand));
        }
    }
}

fn wanted(kind: i64, flags: i32) -> Result<Want, Errno> {
    if flags & MSG_COPY != 0 {
        if flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0 {
            return Err(Errno::EINVAL);
        }
        return Ok(Want::Copy(usize::try_from(kind).unwrap_or(usize::MAX)));
    }
    Ok(match kind {
        0 => Want::Any,
        kind if kind < 0 => Want::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        kind if flags & MSG_EXCEPT != 0 => Want::Not(kind),
        kind => Want::Type(kind),
    })
}

/// `msgrcv(2)`
pub(in crate::syscalls) async fn sys_msgrcv(
    cx: &mut Cx,
    msqid: i32,
    msgp: UserAddr,
    msgsz: usize,
    msgtyp: i64,
    flags: i32,
) -> SysResult<u64> {
    if msqid < 0 || i64::try_from(msgsz).is_err() {
        return Err(Errno::EINVAL.into());
    }
    let want = wanted(msgtyp, flags)?;
    let queue = find(cx, msqid)?;
    let cred = cx.task.cred();
    let pid = cx.task.group.tgid;
    let mut blocker = Blocker::new(&cx.task, None);
    let message = loop {
        {
            let mut state = queue.state.lock();
            if state.removed {
                return Err(Errno::EIDRM.into());
            }
            state.perm.check(&cred, READ)?;
            if let Some(message) = state.take(want, msgsz, flags & MSG_NOERROR != 0, pid)? {
                break message;
            }
        }
        if flags & IPC_NOWAIT != 0 {
            return Err(Errno::ENOMSG.into());
        }
        if blocker.wait_on(&queue.queue, Events::READ).await.is_err() {
            return Err(SysError::Restart(Restart::NoHand));
        }
    };
    queue.queue.wake(Events::WRITE);
    let n = message.data.len().min(msgsz);
    cx.write_obj(msgp, &message.kind)?;
    cx.write_bytes(msgp.add(8)?, message.data.get(..n).unwrap_or_default())?;
    Ok(abi::conv::usize64(n))
}

/// `msgctl(2)`
pub(in crate::syscalls) fn sys_msgctl(cx: &mut Cx, msqid: i32, cmd: i32, buf: UserAddr) -> SysResult<u64> {
    let cmd = cmd & !IPC_64;
    if msqid < 0 || cmd < 0 {
        return Err(Errno::EINVAL.into());
    }
    let cred = cx.task.cred();
    match cmd {
        IPC_INFO | MSG_INFO => info(cx, cmd, buf),
        IPC_STAT => stat(cx, msqid, By::Id, buf),
        MSG_STAT => stat(cx, msqid, By::Index, buf),
        MSG_STAT_ANY => stat(cx, msqid, By::IndexForAll, buf),
        IPC_SET => {
            let new: MsqidDs = cx.read_obj(buf)?;
            let queue = find(cx, msqid)?;
            let mut state = queue.state.lock();
            state.perm.check_owner(&cred)?;
            if new.qbytes > cx.task.ipc().limits.msgmnb.count() && !cred.has_cap(cap::SYS_RESOURCE) {
                return Err(Errno::EPERM.into());
            }
            state.perm.set(&new.perm, &cred)?;
            state.qbytes = new.qbytes;
            state.ctime = now();
            drop(state);
            queue.changed();
            Ok(0)
        }
        IPC_RMID => {
            let queue = find(cx, msqid)?;
            queue.state.lock().perm.check_owner(&cred)?;
            cx.task.ipc().sysv.msg.lock().remove(msqid)?;
            queue.state.lock().removed = true;
            queue.changed();
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn stat(cx: &mut Cx, number: i32, by: By, buf: UserAddr) -> SysResult<u64> {
    let cred = cx.task.cred();
    let (id, ds) = {
        let ns = cx.task.ipc();
        let table = ns.sysv.msg.lock();
        let (id, queue) = table.shown(number, by, &cred)?;
        (id, queue.state.lock().show(id, &cred))
    };
    cx.write_obj(buf, &ds)?;
    Ok(by.result(id))
}

fn info(cx: &mut Cx, cmd: i32, buf: UserAddr) -> SysResult<u64> {
    let ns = cx.task.ipc();
    let (max, queues, messages, bytes) = {
        let table = ns.sysv.msg.lock();
        let sums = table.iter().fold((0u64, 0u64), |(n, b), (_, q)| {
            let state = q.state.lock();
            (n + state.count(), b.saturating_add(state.bytes))
        });
        (table.max_index(), table.len(), sums.0, sums.1)
    };
    let int = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
    let running = cmd == MSG_INFO;
    let mnb = int(ns.limits.msgmnb.count());
    let mni = int(ns.limits.msgmni.count());
    let info = MsgInfo {
        msgpool: if running {
            int(abi::conv::usize64(queues))
        } else {
            i32::try_from(i64::from(mni) * i64::from(mnb) / 1024).unwrap_or(i32::MAX)
        },
        msgmap: if running { int(messages) } else { mnb },
        msgmax: int(ns.limits.msgmax.count()),
        msgmnb: mnb,
        msgmni: mni,
        msgssz: 16,
        msgtql: if running { int(bytes) } else { mnb },
        msgseg: 0xffff,
        pad: 0,
    };
    cx.write_obj(buf, &info)?;
    Ok(max)
}
