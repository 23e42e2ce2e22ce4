//! Signals (`signal(7)`).

use std::sync::Arc;

use abi::{Errno, Restart, SysError, SysResult};

use crate::executor::Executor;
use crate::fs::OpenFlags;
use crate::signal::info::code;
use crate::signal::signalfd::SignalFd;
use crate::signal::{SaFlags, SigAction, SigInfo, SigSet, Signal, frame_pop, may_kill, sender_info};
use crate::task::{Cx, Task, ThreadGroup};
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Events};

fn check_size(sigsetsize: usize) -> abi::errno::Result<()> {
    if sigsetsize == 8 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `rt_sigaction(2)`
pub(super) fn sys_rt_sigaction(
    cx: &mut Cx,
    signum: i32,
    act: UserAddr,
    oldact: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    check_size(sigsetsize)?;
    let new = match act.nonnull() {
        None => None,
        Some(addr) => {
            let [handler, flags, restorer, mask]: [u64; 4] = cx.read_obj(addr)?;
            Some(SigAction {
                handler,
                flags: known_flags(flags),
                restorer,
                mask: SigSet(mask).minus(SigSet::UNBLOCKABLE),
            })
        }
    };
    let signal = Signal::new(signum).ok_or(Errno::EINVAL)?;
    if new.is_some() && signal.is_kernel_only() {
        return Err(Errno::EINVAL.into());
    }
    let handlers = cx.task.group.handlers();
    let old = match new {
        Some(new) => handlers.lock().set(signal, new),
        None => handlers.lock().get(signal),
    };
    if new.is_some_and(|n| n.ignores(signal)) {
        discard_everywhere(&cx.task.group, SigSet::EMPTY.with(signal));
    }
    if !oldact.is_null() {
        cx.write_obj(oldact, &[old.handler, old.flags, old.restorer, old.mask.0])?;
    }
    Ok(0)
}

/// Flags that the kernel does not know are cleared, so that a program can ask for them (`SA_UNSUPPORTED`).
fn known_flags(flags: u64) -> u64 {
    flags
        & SaFlags::all()
            .difference(SaFlags::UNSUPPORTED | SaFlags::EXPOSE_TAGBITS)
            .bits()
}

fn discard_everywhere(group: &ThreadGroup, set: SigSet) {
    group.pending.lock().discard(set);
    for thread in group.threads() {
        thread.signals.lock().pending.discard(set);
    }
}

/// `rt_sigprocmask(2)`
pub(super) fn sys_rt_sigprocmask(
    cx: &mut Cx,
    how: i32,
    set: UserAddr,
    oldset: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    check_size(sigsetsize)?;
    let old = cx.task.sigmask();
    if let Some(addr) = set.nonnull() {
        let set = SigSet(cx.read_obj(addr)?);
        let new = match how {
            0 => old.union(set),
            1 => old.minus(set),
            2 => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        cx.task.set_sigmask(new);
    }
    if !oldset.is_null() {
        cx.write_obj(oldset, &old.0)?;
    }
    Ok(0)
}

/// `rt_sigreturn(2)`
pub(super) async fn sys_rt_sigreturn(cx: &mut Cx) -> SysResult<u64> {
    if frame_pop(cx).is_err() {
        cx.task.force_sigsegv(None);
        return Ok(0);
    }
    // What the frame says is the call's result.
    Ok(cx.ctx.regs().rax)
}

/// `rt_sigpending(2)`
pub(super) fn sys_rt_sigpending(cx: &mut Cx, set: UserAddr, sigsetsize: usize) -> SysResult<u64> {
    if sigsetsize > 8 {
        return Err(Errno::EINVAL.into());
    }
    let pending = cx.task.pending_signals().0 & cx.task.sigmask().0;
    let bytes = pending.to_le_bytes();
    cx.write_bytes(set, bytes.get(..sigsetsize).unwrap_or_default())?;
    Ok(0)
}

/// `rt_sigtimedwait(2)`
pub(super) async fn sys_rt_sigtimedwait(
    cx: &mut Cx,
    set: UserAddr,
    info: UserAddr,
    timeout: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    check_size(sigsetsize)?;
    let wanted = SigSet(cx.read_obj(set)?).minus(SigSet::UNBLOCKABLE);
    let deadline = match timeout.nonnull() {
        None => None,
        Some(addr) => {
            let [sec, nsec]: [i64; 2] = cx.read_obj(addr)?;
            let sec = u64::try_from(sec).map_err(|_| Errno::EINVAL)?;
            let nsec = u64::try_from(nsec)
                .ok()
                .filter(|&n| n < 1_000_000_000)
                .ok_or(Errno::EINVAL)?;
            let wait = sec.saturating_mul(1_000_000_000).saturating_add(nsec);
            Some(Executor::now().saturating_add(wait))
        }
    };
    let deadline = cx.deadline(deadline);
    let task = cx.task.clone();
    let mut blocker = Blocker::new(&task, deadline);
    loop {
        if let Some(mut found) = task.dequeue_signal(wanted) {
            crate::time::posix::signal_taken(&task.group, &mut found);
            if !info.is_null() {
                cx.write_bytes(info, &found.to_bytes())?;
            }
            return Ok(u64::from(found.signal.number().unsigned_abs()));
        }
        match blocker.wait_on(&task.group.signal_wait, Events::IN).await {
            Ok(()) => {}
            Err(Blocked::TimedOut) => return Err(Errno::EAGAIN.into()),
            Err(Blocked::Interrupted) => {
                if !task.pending_signals().minus(SigSet(!wanted.0)).is_empty() {
                    continue;
                }
                if task.has_deliverable() || task.is_killed() {
                    return Err(Errno::EINTR.into());
                }
                // A stop, a freeze, or a signal that another thread took: the wait goes on.
                return Err(cx.restart_with(deadline));
            }
        }
    }
}

/// `rt_sigqueueinfo(2)`
pub(super) fn sys_rt_sigqueueinfo(cx: &mut Cx, pid: i32, sig: i32, info: UserAddr) -> SysResult<u64> {
    let bytes: [u8; 128] = cx.read_obj(info)?;
    let given = SigInfo::from_bytes(Signal::new(sig).unwrap_or(Signal::SIGCHLD), &bytes);
    if forged(given.code) && pid != cx.task.group.pid.in_ns(cx.task.pid_ns()) {
        return Err(Errno::EPERM.into());
    }
    let group = process(cx, pid)?;
    send_to_process(cx, &group, sig, Some(given))?;
    Ok(0)
}

/// Codes that only the kernel or `kill(2)` gives.
fn forged(si_code: i32) -> bool {
    si_code >= 0 || si_code == code::SI_TKILL
}

/// `rt_tgsigqueueinfo(2)`
pub(super) fn sys_rt_tgsigqueueinfo(cx: &mut Cx, tgid: i32, tid: i32, sig: i32, info: UserAddr) -> SysResult<u64> {
    let bytes: [u8; 128] = cx.read_obj(info)?;
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let given = SigInfo::from_bytes(Signal::new(sig).unwrap_or(Signal::SIGCHLD), &bytes);
    if forged(given.code) && tid != cx.task.own_tid() {
        return Err(Errno::EPERM.into());
    }
    send_to_thread(cx, Some(tgid), tid, sig, Some(given))
}

/// `rt_sigsuspend(2)`
pub(super) async fn sys_rt_sigsuspend(cx: &mut Cx, mask: UserAddr, sigsetsize: usize) -> SysResult<u64> {
    check_size(sigsetsize)?;
    let mask = SigSet(cx.read_obj(mask)?);
    cx.task.set_temporary_sigmask(mask);
    sleep_until_signal(cx).await
}

/// `sigaltstack(2)`
pub(super) fn sys_sigaltstack(cx: &mut Cx, ss: UserAddr, old_ss: UserAddr) -> SysResult<u64> {
    let new = match ss.nonnull() {
        None => None,
        Some(addr) => Some(cx.read_obj::<[u64; 3]>(addr)?),
    };
    let sp = cx.ctx.regs().rsp;
    let old = {
        let mut signals = cx.task.signals.lock();
        let old = signals.altstack.to_words(sp);
        if let Some(words) = new {
            signals.altstack.set(words, sp)?;
        }
        old
    };
    if !old_ss.is_null() {
        cx.write_obj(old_ss, &old)?;
    }
    Ok(0)
}

/// `pause(2)`
pub(super) async fn sys_pause(cx: &mut Cx) -> SysResult<u64> {
    sleep_until_signal(cx).await
}

/// Ends with `EINTR` after a handler has run; goes on after anything else.
async fn sleep_until_signal(cx: &mut Cx) -> SysResult<u64> {
    let task = cx.task.clone();
    let mut blocker = Blocker::new(&task, None);
    loop {
        if blocker.sleep().await == Err(Blocked::Interrupted) {
            return Err(SysError::Restart(Restart::NoHand));
        }
    }
}

/// The process that `pid` names, by the id of any of its threads.
fn process(cx: &Cx, pid: i32) -> abi::errno::Result<Arc<ThreadGroup>> {
    let task = cx.task.kernel.tasks.task(cx.task.pid_ns(), pid);
    task.map(|t| t.group.clone()).ok_or(Errno::ESRCH)
}

/// `EINVAL` for a number that is no signal; none for 0, which only asks.
fn signal_arg(sig: i32) -> abi::errno::Result<Option<Signal>> {
    if sig == 0 {
        return Ok(None);
    }
    Signal::new(sig).map(Some).ok_or(Errno::EINVAL)
}

fn send_to_process(cx: &Cx, group: &Arc<ThreadGroup>, sig: i32, given: Option<SigInfo>) -> abi::errno::Result<()> {
    let signal = signal_arg(sig)?;
    // A zombie has credentials still.
    let target = match group.any_thread() {
        Some(thread) => thread,
        None => cx
            .task
            .kernel
            .tasks
            .task(&cx.task.kernel.tasks.root_ns, group.tgid)
            .ok_or(Errno::ESRCH)?,
    };
    if !may_kill(&cx.task, &target, signal) {
        return Err(Errno::EPERM);
    }
    let Some(signal) = signal else { return Ok(()) };
    let info = given.unwrap_or_else(|| sender_info(&cx.task, group, &target.cred(), signal, false));
    if cx.task.pid_ns().id != group.pid.ns.id {
        return group.send_signal_forced(info);
    }
    group.send_signal(info)
}

/// `kill(2)`
pub(super) fn sys_kill(cx: &mut Cx, pid: i32, sig: i32) -> SysResult<u64> {
    let tasks = &cx.task.kernel.tasks;
    let ns = cx.task.pid_ns();
    if pid > 0 {
        let group = process(cx, pid)?;
        send_to_process(cx, &group, sig, None)?;
        return Ok(0);
    }
    let targets: Vec<Arc<ThreadGroup>> = match pid {
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => {
            let me = cx.task.group.tgid;
            let all = tasks.processes(ns).into_iter();
            all.filter(|(n, g)| *n > 1 && g.tgid != me).map(|(_, g)| g).collect()
        }
        0 => {
            let pgrp = tasks.pgrp(&cx.task.group).ok_or(Errno::ESRCH)?;
            tasks.pgrp_members(pgrp.pid.number())
        }
        _ => {
            let pgrp = tasks.find_pgrp_in(ns, -pid).ok_or(Errno::ESRCH)?;
            tasks.pgrp_members(pgrp.pid.number())
        }
    };
    let mut result = Err(Errno::ESRCH);
    for group in targets {
        match send_to_process(cx, &group, sig, None) {
            Ok(()) => result = Ok(()),
            // kill(-1) does not tell who could not be reached, but for a bad number.
            Err(Errno::EPERM) if pid == -1 => {
                if result.is_err() {
                    result = Err(Errno::EPERM);
                }
            }
            Err(e) => {
                if result.is_err() {
                    result = Err(e);
                }
            }
        }
    }
    result?;
    Ok(0)
}

fn send_to_thread(cx: &Cx, tgid: Option<i32>, tid: i32, sig: i32, given: Option<SigInfo>) -> SysResult<u64> {
    let ns = cx.task.pid_ns();
    let target: Arc<Task> = cx.task.kernel.tasks.task(ns, tid).ok_or(Errno::ESRCH)?;
    if tgid.is_some_and(|tgid| target.group.pid.in_ns(ns) != tgid) {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal_arg(sig)?;
    if !may_kill(&cx.task, &target, signal) {
        return Err(Errno::EPERM.into());
    }
    let Some(signal) = signal else { return Ok(0) };
    let plain = || sender_info(&cx.task, &target.group, &target.cred(), signal, true);
    target.send_signal(given.unwrap_or_else(plain))?;
    Ok(0)
}

/// `tkill(2)`
pub(super) fn sys_tkill(cx: &mut Cx, tid: i32, sig: i32) -> SysResult<u64> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_thread(cx, None, tid, sig, None)
}

/// `tgkill(2)`
pub(super) fn sys_tgkill(cx: &mut Cx, tgid: i32, tid: i32, sig: i32) -> SysResult<u64> {
    if tid <= 0 || tgid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_thread(cx, Some(tgid), tid, sig, None)
}

/// `signalfd(2)`
pub(super) fn sys_signalfd(cx: &mut Cx, fd: i32, mask: UserAddr, sizemask: usize) -> SysResult<u64> {
    sys_signalfd4(cx, fd, mask, sizemask, 0)
}

/// `signalfd4(2)`
pub(super) fn sys_signalfd4(cx: &mut Cx, fd: i32, mask: UserAddr, sizemask: usize, flags: i32) -> SysResult<u64> {
    check_size(sizemask)?;
    let mask = SigSet(cx.read_obj(mask)?).minus(SigSet::UNBLOCKABLE);
    let flags = OpenFlags::from_bits_retain(flags.cast_unsigned());
    if flags.bits() & !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).bits() != 0 {
        return Err(Errno::EINVAL.into());
    }
    if fd == -1 {
        let file = SignalFd::open(&cx.task, mask, flags);
        let cloexec = flags.contains(OpenFlags::CLOEXEC);
        let fd = cx.task.files().add(file, cloexec, cx.task.fd_limit())?;
        return Ok(u64::from(fd.unsigned_abs()));
    }
    let file = cx.task.files().get(fd)?;
    let signalfd = file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?;
    signalfd.set_mask(mask);
    Ok(u64::from(fd.unsigned_abs()))
}

/// `restart_syscall(2)`: with something to go on with the task loop makes the call itself.
pub(super) async fn sys_restart_syscall(cx: &mut Cx) -> SysResult<u64> {
    let _ = cx;
    Err(Errno::EINTR.into())
}
