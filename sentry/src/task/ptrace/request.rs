//! Requests of tracers.

use std::sync::Arc;

use abi::regs::{Regs, TASK_SIZE_MAX};
use abi::{Errno, SysResult};
use zerocopy::{FromBytes, IntoBytes};

use super::super::{Cx, Task};
use super::{Mode, Place, Stop, event_code, option};
use crate::cred::cap;
use crate::signal::{SigInfo, SigSet, Signal};
use crate::usermem::UserAddr;

const NT_PRSTATUS: u64 = 1;
const NT_FPREGSET: u64 = 2;
const NT_X86_XSTATE: u64 = 0x202;
/// Offset of `u_debugreg` in `struct user`, and its size.
const DEBUGREG: std::ops::Range<u64> = 848..912;

/// `ptrace(2)`
pub(crate) fn ptrace(cx: &mut Cx, request: u64, pid: i32, addr: u64, data: u64) -> SysResult<u64> {
    const TRACEME: u64 = 0;
    const ATTACH: u64 = 16;
    const SEIZE: u64 = 0x4206;
    if request == TRACEME {
        return traceme(cx);
    }
    let target = cx.task.kernel.tasks.task(cx.task.pid_ns(), pid).ok_or(Errno::ESRCH)?;
    match request {
        ATTACH => attach(cx, &target, false, 0),
        SEIZE if addr != 0 => Err(Errno::EIO.into()),
        SEIZE => {
            let options = u32::try_from(data)
                .ok()
                .filter(|o| o & !option::ALL == 0)
                .ok_or(Errno::EIO)?;
            attach(cx, &target, true, options)
        }
        _ => of_tracee(cx, &target, request, addr, data),
    }
}

fn traceme(cx: &Cx) -> SysResult<u64> {
    let task = &cx.task;
    let parent = task.kernel.tasks.parent_thread(&task.group).ok_or(Errno::EPERM)?;
    if task.is_traced() {
        return Err(Errno::EPERM.into());
    }
    let mut table = task.kernel.tasks.lock();
    task.set_tracer(&parent, false, 0);
    table.add_tracee(&parent, task);
    Ok(0)
}

/// Like `ptrace_may_access` with the real ids.
pub(in crate::task) fn may_attach(tracer: &Task, target: &Task) -> bool {
    let (me, to) = (tracer.cred(), target.cred());
    let same = [to.uid, to.euid, to.suid].iter().all(|&id| id == me.uid)
        && [to.gid, to.egid, to.sgid].iter().all(|&id| id == me.gid);
    let privileged = me.has_cap_in(&to.user_ns, cap::SYS_PTRACE);
    privileged || (same && target.group.is_dumpable() && to.permitted & !me.permitted == 0)
}

fn attach(cx: &Cx, target: &Arc<Task>, seized: bool, options: u32) -> SysResult<u64> {
    if target.group.tgid == cx.task.group.tgid || !may_attach(&cx.task, target) {
        return Err(Errno::EPERM.into());
    }
    if target.is_traced() || target.is_killed() || target.group.has_ended() {
        return Err(Errno::EPERM.into());
    }
    {
        let mut table = cx.task.kernel.tasks.lock();
        target.set_tracer(&cx.task, seized, options);
        table.add_tracee(&cx.task, target);
    }
    if !seized {
        target.send_signal(SigInfo::user(Signal::SIGSTOP, 0, 0))?;
    }
    // One that sleeps in a stop of its process stops for the tracer instead.
    target.signals.lock().in_stop = false;
    target.interrupt();
    target.wake();
    Ok(0)
}

/// Requests for a thread that the caller traces.
fn of_tracee(cx: &mut Cx, target: &Arc<Task>, request: u64, addr: u64, data: u64) -> SysResult<u64> {
    const KILL: u64 = 8;
    const INTERRUPT: u64 = 0x4207;
    if target.tracer().is_none_or(|t| t.group.tgid != cx.task.group.tgid) {
        return Err(Errno::ESRCH.into());
    }
    match request {
        KILL => {
            let _ = target.group.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
            return Ok(0);
        }
        INTERRUPT => {
            {
                let mut trace = target.ptrace.lock();
                if !trace.seized {
                    return Err(Errno::EIO.into());
                }
                trace.interrupt = true;
            }
            target.interrupt();
            target.end_listening();
            return Ok(0);
        }
        _ => {}
    }
    let stopped = {
        let trace = target.ptrace.lock();
        trace.stop.as_ref().is_some_and(|s| s.resumed.is_none() && !s.listening)
    };
    if !stopped {
        return Err(Errno::ESRCH.into());
    }
    of_stopped(cx, target, request, addr, data)
}

fn of_stopped(cx: &mut Cx, target: &Arc<Task>, request: u64, addr: u64, data: u64) -> SysResult<u64> {
    let to = UserAddr(data);
    match request {
        1 | 2 => {
            let mut word = [0u8; 8];
            let mm = target.mm().ok_or(Errno::ESRCH)?;
            if mm.aspace().read(addr, &mut word) != word.len() {
                return Err(Errno::EIO.into());
            }
            cx.write_bytes(to, &word)?;
        }
        4 | 5 => {
            let mm = target.mm().ok_or(Errno::ESRCH)?;
            if mm.aspace().write_force(addr, &data.to_le_bytes()) != 8 {
                return Err(Errno::EIO.into());
            }
        }
        3 => {
            let word = peek_user(target, addr)?;
            cx.write_obj(to, &word)?;
        }
        6 => poke_user(target, addr, data)?,
        7 | 9 | 17 | 24 => resume(cx, target, request, data)?,
        12 => {
            let regs = with_stop(target, |s| s.regs)?;
            cx.write_obj(to, &regs)?;
        }
        13 => {
            let regs: Regs = cx.read_obj(to)?;
            with_stop(target, |s| set_regs(s, &regs))??;
        }
        14 => {
            let image = with_stop(target, |s| s.fpu.clone())?;
            cx.write_bytes(to, image.get(..512).ok_or(Errno::EIO)?)?;
        }
        15 => {
            let mut image = [0u8; 512];
            cx.read_bytes(to, &mut image)?;
            with_stop(target, |s| set_fpu(s, &image))?;
        }
        30 => return arch_prctl(cx, target, data, UserAddr(addr)),
        0x4200 => {
            let options = u32::try_from(data)
                .ok()
                .filter(|o| o & !option::ALL == 0)
                .ok_or(Errno::EINVAL)?;
            target.ptrace.lock().options = options;
        }
        0x4201 => {
            let message = target.ptrace.lock().message;
            cx.write_obj(to, &message)?;
        }
        0x4202 => {
            let info = with_stop(target, |s| s.info)?.ok_or(Errno::EINVAL)?;
            cx.write_bytes(to, &info.to_bytes())?;
        }
        0x4203 => {
            let bytes: [u8; 128] = cx.read_obj(to)?;
            let [a, b, c, d, ..] = bytes;
            let signal = Signal::new(i32::from_le_bytes([a, b, c, d])).ok_or(Errno::EINVAL)?;
            with_stop(target, |s| s.info = Some(SigInfo::from_bytes(signal, &bytes)))?;
        }
        0x4204 | 0x4205 => regset(cx, target, request == 0x4205, addr, to)?,
        0x4208 => {
            let mut trace = target.ptrace.lock();
            let seized = trace.seized;
            let stop = trace.stop.as_mut().ok_or(Errno::ESRCH)?;
            let in_stop = stop.code >> 8 == i32::try_from(event_code::STOP).unwrap_or(0);
            if !seized || !in_stop {
                return Err(Errno::EIO.into());
            }
            stop.listening = true;
        }
        0x420a if addr == 8 => {
            let mask = target.sigmask();
            cx.write_obj(to, &mask.0)?;
        }
        0x420b if addr == 8 => {
            let mask = cx.read_obj(to)?;
            target.set_sigmask(SigSet(mask));
        }
        0x420a | 0x420b => return Err(Errno::EINVAL.into()),
        0x420e => return syscall_info(cx, target, addr, to),
        _ => return Err(cx.task.kernel.counters.missing("ptrace", request, Errno::EIO).into()),
    }
    Ok(0)
}

fn with_stop<T>(target: &Task, f: impl FnOnce(&mut Stop) -> T) -> abi::errno::Result<T> {
    target.ptrace.lock().stop.as_mut().map(f).ok_or(Errno::ESRCH)
}

fn resume(cx: &Cx, target: &Arc<Task>, request: u64, data: u64) -> abi::errno::Result<()> {
    let signal = i32::try_from(data)
        .ok()
        .filter(|n| (0..=64).contains(n))
        .ok_or(Errno::EIO)?;
    if request == 17 {
        let tracer = target.tracer().map_or(cx.task.tid, |t| t.tid);
        cx.task.kernel.tasks.lock().remove_tracee(tracer, target);
        target.end_trace(signal);
        return Ok(());
    }
    {
        let mut trace = target.ptrace.lock();
        trace.mode = match request {
            24 => Mode::Syscall,
            9 => Mode::Step,
            _ => Mode::Continue,
        };
        trace.stop.as_mut().ok_or(Errno::ESRCH)?.resumed = Some(signal);
    }
    target.wake();
    Ok(())
}

/// What a tracer may not set stays as it is.
fn set_regs(stop: &mut Stop, new: &Regs) -> abi::errno::Result<()> {
    const FLAGS: u64 = 0x5_0dd5;
    if new.fs_base >= TASK_SIZE_MAX || new.gs_base >= TASK_SIZE_MAX {
        return Err(Errno::EIO);
    }
    let old = stop.regs;
    stop.regs = Regs {
        cs: old.cs,
        ss: old.ss,
        ds: old.ds,
        es: old.es,
        fs: old.fs,
        gs: old.gs,
        eflags: (old.eflags & !FLAGS) | (new.eflags & FLAGS),
        ..*new
    };
    Ok(())
}

fn set_fpu(stop: &mut Stop, bytes: &[u8]) {
    const SW_RESERVED: std::ops::Range<usize> = 464..512;
    for (i, (to, from)) in stop.fpu.iter_mut().zip(bytes).enumerate() {
        // What describes the image is the kernel's.
        if !SW_RESERVED.contains(&i) {
            *to = *from;
        }
    }
    stop.fpu_changed = true;
}

fn user_index(addr: u64) -> abi::errno::Result<usize> {
    if !addr.is_multiple_of(8) || addr >= 912 {
        return Err(Errno::EIO);
    }
    Ok(abi::conv::size(addr))
}

/// `struct user`: the registers come first.
fn peek_user(target: &Task, addr: u64) -> abi::errno::Result<u64> {
    let at = user_index(addr)?;
    with_stop(target, |s| {
        let word = s.regs.as_bytes().get(at..at + 8).and_then(|b| b.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    })
}

fn poke_user(target: &Task, addr: u64, data: u64) -> abi::errno::Result<()> {
    let at = user_index(addr)?;
    if at >= size_of::<Regs>() {
        // Hardware breakpoints: none; clearing one is no error.
        return if DEBUGREG.contains(&addr) && data == 0 {
            Ok(())
        } else {
            Err(Errno::EIO)
        };
    }
    with_stop(target, |s| {
        let mut regs = s.regs;
        if let Some(word) = regs.as_mut_bytes().get_mut(at..at + 8) {
            word.copy_from_slice(&data.to_le_bytes());
        }
        set_regs(s, &regs)
    })?
}

fn arch_prctl(cx: &mut Cx, target: &Task, code: u64, addr: UserAddr) -> SysResult<u64> {
    match code {
        0x1001 => with_stop(target, |s| s.regs.gs_base = addr.0)?,
        0x1002 => with_stop(target, |s| s.regs.fs_base = addr.0)?,
        0x1003 => {
            let base = with_stop(target, |s| s.regs.fs_base)?;
            cx.write_obj(addr, &base)?;
        }
        0x1004 => {
            let base = with_stop(target, |s| s.regs.gs_base)?;
            cx.write_obj(addr, &base)?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `PTRACE_GETREGSET` and `PTRACE_SETREGSET`, through a `struct iovec` whose length is set to what was moved.
fn regset(cx: &mut Cx, target: &Task, set: bool, kind: u64, iov: UserAddr) -> abi::errno::Result<()> {
    let [base, len]: [u64; 2] = cx.read_obj(iov)?;
    let bytes = match kind {
        NT_PRSTATUS => with_stop(target, |s| s.regs.as_bytes().to_vec())?,
        NT_FPREGSET => with_stop(target, |s| s.fpu.get(..512).unwrap_or_default().to_vec())?,
        NT_X86_XSTATE => with_stop(target, |s| {
            s.fpu.get(..s.fpu.len().saturating_sub(4)).unwrap_or_default().to_vec()
        })?,
        _ => return Err(Errno::EINVAL),
    };
    let len = abi::conv::size(len).min(bytes.len());
    if set {
        let mut new = bytes;
        cx.read_bytes(UserAddr(base), new.get_mut(..len).unwrap_or_default())?;
        match kind {
            NT_PRSTATUS => {
                let regs = Regs::read_from_bytes(&new).map_err(|_| Errno::EINVAL)?;
                with_stop(target, |s| set_regs(s, &regs))??;
            }
            _ => with_stop(target, |s| set_fpu(s, &new))?,
        }
    } else {
        cx.write_bytes(UserAddr(base), bytes.get(..len).unwrap_or_default())?;
    }
    cx.write_obj(iov.add(8)?, &abi::conv::usize64(len))
}

/// `PTRACE_GET_SYSCALL_INFO`
fn syscall_info(cx: &mut Cx, target: &Task, size: u64, to: UserAddr) -> SysResult<u64> {
    let (place, regs) = with_stop(target, |s| (s.place, s.regs))?;
    let arch = u64::from(super::super::seccomp::AUDIT_ARCH);
    let mut words = [0u64; 11];
    let mut put = |values: &[u64]| {
        for (to, from) in words.iter_mut().zip(values) {
            *to = *from;
        }
    };
    let [a, b, c, d, e, f] = regs.args();
    let head = |op: u64| op | arch << 32;
    let used = match place {
        Place::Elsewhere => {
            put(&[head(0), regs.rip, regs.rsp]);
            24
        }
        Place::Entry => {
            put(&[head(1), regs.rip, regs.rsp, regs.orig_rax, a, b, c, d, e, f]);
            80
        }
        Place::Exit => {
            let failed = u64::from(regs.rax > u64::MAX - 4096);
            put(&[head(2), regs.rip, regs.rsp, regs.rax, failed]);
            33
        }
        Place::Seccomp => {
            let data = target.ptrace.lock().message;
            put(&[head(3), regs.rip, regs.rsp, regs.orig_rax, a, b, c, d, e, f, data]);
            84
        }
    };
    let len = abi::conv::size(size).min(used);
    cx.write_bytes(to, words.as_bytes().get(..len).unwrap_or_default())?;
    Ok(abi::conv::usize64(used))
}
