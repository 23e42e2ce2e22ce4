//! Pid descriptors.

use abi::{Errno, SysResult};

use crate::signal::info::{Detail, SigInfo};
use crate::signal::{Signal, may_kill, sender_info};
use crate::task::pidfd::PidFd;
use crate::task::{self, Cx};
use crate::usermem::UserAddr;

/// `pidfd_open(2)`
pub(in crate::syscalls) fn sys_pidfd_open(cx: &mut Cx, pid: i32, flags: u32) -> SysResult<u64> {
    const PIDFD_NONBLOCK: u32 = 0o4000;
    if flags & !PIDFD_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let kernel = cx.task.kernel.clone();
    let ns = cx.task.pid_ns();
    let Some(group) = kernel.tasks.process(ns, pid) else {
        let is_thread = kernel.tasks.task(ns, pid).is_some();
        return Err(if is_thread { Errno::ENOENT } else { Errno::ESRCH }.into());
    };
    let file = PidFd::open(&kernel, group, flags & PIDFD_NONBLOCK != 0);
    let fd = cx.task.files().add(file, true, cx.task.fd_limit())?;
    Ok(u64::from(fd.unsigned_abs()))
}

/// The process that a pidfd refers to.
pub(in crate::syscalls) fn pidfd_target(cx: &Cx, pidfd: i32) -> abi::errno::Result<std::sync::Arc<task::ThreadGroup>> {
    let file = cx.task.files().get(pidfd)?;
    let pidfd = file.downcast::<PidFd>().ok_or(Errno::EBADF)?;
    Ok(pidfd.group.clone())
}

/// `pidfd_getfd(2)`
pub(in crate::syscalls) fn sys_pidfd_getfd(cx: &mut Cx, pidfd: i32, targetfd: i32, flags: u32) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = pidfd_target(cx, pidfd)?;
    let target = group.any_thread().ok_or(Errno::ESRCH)?;
    if !task::may_inspect(&cx.task, &target) {
        return Err(Errno::EPERM.into());
    }
    let file = target.files().get_any(targetfd)?;
    let fd = cx.task.files().add(file, true, cx.task.fd_limit())?;
    Ok(u64::from(fd.unsigned_abs()))
}

/// `PIDFD_SIGNAL_THREAD`, `PIDFD_SIGNAL_THREAD_GROUP`, `PIDFD_SIGNAL_PROCESS_GROUP`
const SCOPES: u32 = 7;

const SCOPE_THREAD: u32 = 1;

const SCOPE_PROCESS_GROUP: u32 = 4;

/// `pidfd_send_signal(2)`
pub(in crate::syscalls) fn sys_pidfd_send_signal(
    cx: &mut Cx,
    pidfd: i32,
    sig: i32,
    info: UserAddr,
    flags: u32,
) -> SysResult<u64> {
    if flags & !SCOPES != 0 || flags.count_ones() > 1 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(pidfd)?;
    let group = match file.downcast::<PidFd>() {
        Some(pidfd) => pidfd.group.clone(),
        // Older than pidfds, and still taken: the directory of a process.
        None => crate::fs::impls::process_of(file.inode()).ok_or(Errno::EBADF)?,
    };
    if group.pid.in_ns(cx.task.pid_ns()) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let signal = match sig {
        0 => None,
        n => Some(Signal::new(n).ok_or(Errno::EINVAL)?),
    };
    let given = match info.nonnull() {
        None => None,
        Some(addr) => {
            let bytes: [u8; 128] = cx.read_obj(addr)?;
            let given = SigInfo::from_bytes(signal.unwrap_or(Signal::SIGCHLD), &bytes);
            let [a, b, c, d, ..] = bytes;
            if i32::from_le_bytes([a, b, c, d]) != sig {
                return Err(Errno::EINVAL.into());
            }
            let own = group.tgid == cx.task.group.tgid;
            if !own && (given.code >= 0 || given.code == crate::signal::info::code::SI_TKILL) {
                return Err(Errno::EPERM.into());
            }
            Some(given)
        }
    };
    let target = group.any_thread().ok_or(Errno::ESRCH)?;
    if !may_kill(&cx.task, &target, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(signal) = signal {
        let plain = || sender_info(&cx.task, &group, &target.cred(), signal, false);
        let info = given.unwrap_or_else(plain);
        debug_assert!(!matches!(info.detail, Detail::Fault { .. }));
        match flags {
            // A pidfd names the leader.
            SCOPE_THREAD => target.send_signal(info)?,
            SCOPE_PROCESS_GROUP => {
                if !cx.task.kernel.tasks.signal_pgrp(group.tgid, info) {
                    return Err(Errno::ESRCH.into());
                }
            }
            _ => group.send_signal(info)?,
        }
    }
    Ok(0)
}
