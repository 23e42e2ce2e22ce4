//! POSIX message queues.

use std::sync::Arc;

use abi::ipc::MqAttr;
use abi::time::{SIGEV_NONE, SIGEV_SIGNAL, Sigevent, Timespec};
use abi::{Errno, Restart, SysError, SysResult};

use crate::cred::{Cred, cap};
use crate::executor::Executor;
use crate::fs::namei::anon_file;
use crate::fs::{File, FileMode, OpenFlags};
use crate::ipc::mqueue::{BYTES_MAX, MessageQueue, Notification, PRIO_MAX, QueueFile};
use crate::signal::Signal;
use crate::task::Cx;
use crate::time::clock::realtime_now;
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Deadline, Events};

/// What the privileged may.
const HARD_MSG_MAX: i64 = 65536;
const HARD_MSGSIZE_MAX: i64 = 16 << 20;

fn read_name(cx: &Cx, name: UserAddr) -> Result<Vec<u8>, Errno> {
    let name = cx.read_path(name)?;
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name.contains(&b'/') || name == b"." || name == b".." {
        return Err(Errno::EACCES);
    }
    if name.len() > 255 {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(name)
}

fn permitted(queue: &MessageQueue, cred: &Cred, want: u32) -> bool {
    let state = queue.state.lock();
    let granted = if cred.fsuid == state.uid {
        state.mode >> 6
    } else if cred.in_group(state.gid) {
        state.mode >> 3
    } else {
        state.mode
    };
    want & !granted & 7 == 0 || cred.has_cap(cap::DAC_OVERRIDE)
}

/// `mq_open(2)`
pub(in crate::syscalls) fn sys_mq_open(
    cx: &mut Cx,
    name: UserAddr,
    oflag: i32,
    mode: u32,
    attr: UserAddr,
) -> SysResult<u64> {
    let attr: Option<MqAttr> = match attr.nonnull() {
        Some(at) => Some(cx.read_obj(at)?),
        None => None,
    };
    let name = read_name(cx, name)?;
    let flags = OpenFlags::from_bits_retain(oflag.cast_unsigned());
    let task = cx.task.clone();
    let cred = task.cred();
    let access = flags.file_mode() & (FileMode::READ | FileMode::WRITE);
    let ns = task.ipc();
    let limits = &ns.limits;
    let mut names = ns.mqueues.names.lock();
    let queue = match names.get(&name) {
        Some(_) if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) => return Err(Errno::EEXIST.into()),
        Some(queue) => {
            let mut want = 0;
            if access.contains(FileMode::READ) {
                want |= 4;
            }
            if access.contains(FileMode::WRITE) {
                want |= 2;
            }
            if !permitted(queue, &cred, want) {
                return Err(Errno::EACCES.into());
            }
            queue.clone()
        }
        None if !flags.contains(OpenFlags::CREAT) => return Err(Errno::ENOENT.into()),
        None => {
            let privileged = cred.has_cap(cap::SYS_RESOURCE);
            let (maxmsg, msgsize) = match attr {
                None => (
                    limits.msg_default.get().min(limits.msg_max.get()),
                    limits.msgsize_default.get().min(limits.msgsize_max.get()),
                ),
                Some(attr) => {
                    let (most, longest) = if privileged {
                        (HARD_MSG_MAX, HARD_MSGSIZE_MAX)
                    } else {
                        (limits.msg_max.get(), limits.msgsize_max.get())
                    };
                    if attr.maxmsg <= 0 || attr.msgsize <= 0 || attr.maxmsg > most || attr.msgsize > longest {
                        return Err(Errno::EINVAL.into());
                    }
                    (attr.maxmsg, attr.msgsize)
                }
            };
            let (maxmsg, msgsize) = (maxmsg.unsigned_abs(), msgsize.unsigned_abs());
            if abi::conv::usize64(names.len()) >= limits.queues_max.count() && !privileged {
                return Err(Errno::ENOSPC.into());
            }
            let held: u64 = names
                .values()
                .map(|q| abi::conv::usize64(q.maxmsg).saturating_mul(abi::conv::usize64(q.msgsize)))
                .sum();
            if held.saturating_add(maxmsg.saturating_mul(msgsize)) > BYTES_MAX {
                return Err(Errno::EMFILE.into());
            }
            let mode = mode & 0o777 & !task.fs().umask();
            let owner = (cred.fsuid, cred.fsgid, mode);
            let ino = task.kernel.unique_id();
            let queue = MessageQueue::new(abi::conv::size(maxmsg), abi::conv::size(msgsize), ino, owner);
            names.insert(name.clone(), queue.clone());
            queue
        }
    };
    drop(names);
    let label = format!("/{}", String::from_utf8_lossy(&name));
    let status = flags & (OpenFlags::NONBLOCK | OpenFlags::from_bits_retain(3));
    let file = anon_file(&task.kernel, &label, Arc::new(QueueFile { queue }), status);
    let fd = task
        .files()
        .add(file, flags.contains(OpenFlags::CLOEXEC), task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// `mq_unlink(2)`
pub(in crate::syscalls) fn sys_mq_unlink(cx: &mut Cx, name: UserAddr) -> SysResult<u64> {
    let name = read_name(cx, name)?;
    let cred = cx.task.cred();
    let ns = cx.task.ipc();
    let mut names = ns.mqueues.names.lock();
    let queue = names.get(&name).ok_or(Errno::ENOENT)?;
    // The directory is sticky.
    let owner = queue.state.lock().uid;
    if cred.fsuid != owner && !cred.has_cap(cap::FOWNER) {
        return Err(Errno::EACCES.into());
    }
    names.remove(&name);
    Ok(0)
}

fn open_queue(cx: &Cx, fd: i32, mode: FileMode) -> Result<(Arc<File>, Arc<MessageQueue>), Errno> {
    let file = cx.task.files().get(fd)?;
    let queue = file.downcast::<QueueFile>().ok_or(Errno::EBADF)?.queue.clone();
    if !file.mode.contains(mode) {
        return Err(Errno::EBADF);
    }
    Ok((file, queue))
}

/// An absolute time of `CLOCK_REALTIME` as a deadline.
fn deadline(cx: &Cx, timeout: UserAddr) -> Result<Deadline, Errno> {
    let Some(timeout) = timeout.nonnull() else {
        return Ok(None);
    };
    let spec: Timespec = cx.read_obj(timeout)?;
    let ns = spec.to_ns().ok_or(Errno::EINVAL)?;
    Ok(Some(Executor::now().saturating_add(ns.saturating_sub(realtime_now()))))
}

fn ended(why: Blocked) -> SysError {
    match why {
        Blocked::TimedOut => Errno::ETIMEDOUT.into(),
        Blocked::Interrupted => SysError::Restart(Restart::Sys),
    }
}

/// `mq_timedsend(2)`
pub(in crate::syscalls) async fn sys_mq_timedsend(
    cx: &mut Cx,
    mqdes: i32,
    msg: UserAddr,
    len: usize,
    prio: u32,
    timeout: UserAddr,
) -> SysResult<u64> {
    let deadline = deadline(cx, timeout)?;
    if prio >= PRIO_MAX {
        return Err(Errno::EINVAL.into());
    }
    let (file, queue) = open_queue(cx, mqdes, FileMode::WRITE)?;
    if len > queue.msgsize {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut data = vec![0u8; len];
    cx.read_bytes(msg, &mut data)?;
    let cred = cx.task.cred();
    let sender = (cx.task.group.pid.own(), cred.uid);
    let mut blocker = Blocker::new(&cx.task, deadline);
    loop {
        data = match queue.send(prio, data, sender) {
            Ok(()) => return Ok(0),
            Err(data) => data,
        };
        if file.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        blocker.wait_on(&queue.queue, Events::WRITE).await.map_err(ended)?;
    }
}

/// `mq_timedreceive(2)`
pub(in crate::syscalls) async fn sys_mq_timedreceive(
    cx: &mut Cx,
    mqdes: i32,
    msg: UserAddr,
    len: usize,
    prio: UserAddr,
    timeout: UserAddr,
) -> SysResult<u64> {
    let deadline = deadline(cx, timeout)?;
    let (file, queue) = open_queue(cx, mqdes, FileMode::READ)?;
    if len < queue.msgsize {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut blocker = Blocker::new(&cx.task, deadline);
    let (of, data) = loop {
        if let Some(got) = queue.receive() {
            break got;
        }
        if file.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        queue.state.lock().receivers += 1;
        let slept = blocker.wait_on(&queue.queue, Events::READ).await;
        queue.state.lock().receivers -= 1;
        slept.map_err(ended)?;
    };
    cx.write_bytes(msg, &data)?;
    if let Some(prio) = prio.nonnull() {
        cx.write_obj(prio, &of)?;
    }
    Ok(abi::conv::usize64(data.len()))
}

/// `mq_notify(2)`
pub(in crate::syscalls) fn sys_mq_notify(cx: &mut Cx, mqdes: i32, sevp: UserAddr) -> SysResult<u64> {
    let event: Option<Sigevent> = match sevp.nonnull() {
        Some(at) => Some(cx.read_obj(at)?),
        None => None,
    };
    let signal = match event {
        None => None,
        Some(event) => match event.notify {
            SIGEV_NONE => Some(None),
            SIGEV_SIGNAL => Some(Some(Signal::new(event.signo).ok_or(Errno::EINVAL)?)),
            other => {
                let missing = &cx.task.kernel.counters;
                let value = u64::from(other.cast_unsigned());
                return Err(missing.missing("mq_notify sigev_notify", value, Errno::EINVAL).into());
            }
        },
    };
    let (_, queue) = open_queue(cx, mqdes, FileMode::empty())?;
    match (signal, event) {
        (Some(signal), Some(event)) => queue.set_notify(Notification {
            group: Arc::downgrade(&cx.task.group),
            signal,
            value: event.value,
        })?,
        _ => queue.clear_notify(&cx.task.group),
    }
    Ok(0)
}

/// `mq_getsetattr(2)`
pub(in crate::syscalls) fn sys_mq_getsetattr(cx: &mut Cx, mqdes: i32, new: UserAddr, old: UserAddr) -> SysResult<u64> {
    let nonblock = i64::from(OpenFlags::NONBLOCK.bits());
    let new: Option<MqAttr> = match new.nonnull() {
        Some(at) => Some(cx.read_obj(at)?),
        None => None,
    };
    if new.is_some_and(|n| n.flags & !nonblock != 0) {
        return Err(Errno::EINVAL.into());
    }
    let (file, queue) = open_queue(cx, mqdes, FileMode::empty())?;
    let signed = |n: usize| abi::conv::usize64(n).cast_signed();
    let before = MqAttr {
        flags: if file.nonblock() { nonblock } else { 0 },
        maxmsg: signed(queue.maxmsg),
        msgsize: signed(queue.msgsize),
        curmsgs: signed(queue.len()),
        ..MqAttr::default()
    };
    if let Some(new) = new {
        let mut flags = file.flags();
        flags.set(OpenFlags::NONBLOCK, new.flags != 0);
        file.set_flags(flags);
    }
    if let Some(old) = old.nonnull() {
        cx.write_obj(old, &before)?;
    }
    Ok(0)
}
