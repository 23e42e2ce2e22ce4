//! Where a tracee stops.

use std::sync::Arc;

use abi::sched::CloneFlags;

use super::super::{Cx, Task};
use super::{Mode, Place, event_code, option, stop, trap_info};
use crate::signal::{SigAction, SigInfo, Signal};

const SIGTRAP: i32 = 5;

/// Signal-delivery stop: the tracer lets the signal through, changes it, or swallows it.
pub(crate) async fn signal_stop(cx: &mut Cx, info: SigInfo, action: SigAction) -> Option<(SigInfo, SigAction)> {
    if !cx.task.is_traced() || info.signal == Signal::SIGKILL {
        return Some((info, action));
    }
    let (number, changed) = stop(cx, info.signal.number(), Place::Elsewhere, Some(info)).await;
    let signal = Signal::new(number)?;
    let info = match changed {
        Some(changed) if changed.signal == signal => changed,
        // Another signal, from the tracer.
        _ => SigInfo::user(signal, 0, 0),
    };
    if signal == Signal::SIGKILL {
        cx.task.group.exit(number);
        return None;
    }
    if signal.default_action() == crate::signal::DefaultAction::Stop {
        cx.task.group.state.lock().note_stop_taken();
    }
    let action = cx.task.group.handlers().lock().get(signal);
    Some((info, action))
}

/// Stops that come before any signal: `PTRACE_INTERRUPT`, and the tracee's part in a stop of its process.
pub(crate) async fn before_signals(cx: &mut Cx) {
    loop {
        let task = cx.task.clone();
        if !task.is_traced() || task.is_killed() {
            return;
        }
        let (interrupt, seized) = {
            let mut trace = task.ptrace.lock();
            (std::mem::take(&mut trace.interrupt), trace.seized)
        };
        let stopping = {
            let state = task.group.state.lock();
            let mut signals = task.signals.lock();
            match state.stop_signal() {
                Some(signal) if !signals.in_stop => {
                    signals.in_stop = true;
                    Some(signal)
                }
                Some(signal) if interrupt => Some(signal),
                _ => None,
            }
        };
        if let Some(signal) = stopping {
            if let Some(signal) = task.group.recheck_stop() {
                task.kernel.tasks.child_stopped(&task.group, signal);
            }
            let event = if seized { event_code::STOP } else { 0 };
            let code = signal.number() | event_bits(event);
            stop(cx, code, Place::Elsewhere, None).await;
        } else if interrupt {
            let code = SIGTRAP | event_bits(event_code::STOP);
            let info = trap_info(code, &task);
            stop(cx, code, Place::Elsewhere, Some(info)).await;
        } else {
            return;
        }
    }
}

fn event_bits(event: u32) -> i32 {
    i32::try_from(event).unwrap_or(0) << 8
}

/// Entry into or exit from a system call, if the tracer wants to see it.
pub(crate) async fn syscall_stop(cx: &mut Cx, place: Place) {
    let good = {
        let trace = cx.task.ptrace.lock();
        if trace.tracer.is_none() || trace.mode != Mode::Syscall {
            return;
        }
        trace.options & option::TRACESYSGOOD != 0
    };
    let code = if good { SIGTRAP | 0x80 } else { SIGTRAP };
    let info = trap_info(code, &cx.task);
    let (number, _) = stop(cx, code, place, Some(info)).await;
    // A signal given here is sent anew.
    if let Some(signal) = Signal::new(number) {
        let _ = cx.task.send_signal(SigInfo::user(signal, 0, 0));
    }
}

/// An event stop, if the tracer asked for that event. True if it did.
pub(crate) async fn event(cx: &mut Cx, event: u32, message: u64) -> bool {
    {
        let mut trace = cx.task.ptrace.lock();
        if trace.tracer.is_none() || trace.options & (1 << event) == 0 {
            return false;
        }
        trace.message = message;
    }
    let code = SIGTRAP | event_bits(event);
    let info = trap_info(code, &cx.task);
    let place = if event == event_code::SECCOMP {
        Place::Seccomp
    } else {
        Place::Elsewhere
    };
    stop(cx, code, place, Some(info)).await;
    true
}

/// `execve(2)` has succeeded.
pub(crate) async fn exec_event(cx: &mut Cx, old_tid: i32) {
    if !cx.task.is_traced() || event(cx, event_code::EXEC, u64::from(old_tid.unsigned_abs())).await {
        return;
    }
    if !cx.task.ptrace.lock().seized {
        let pid = cx.task.own_tid();
        let _ = cx
            .task
            .send_signal(SigInfo::user(Signal::SIGTRAP, pid, cx.task.cred().uid));
    }
}

/// The tracee is about to end.
pub(crate) async fn exit_event(cx: &mut Cx, status: i32) {
    if cx.task.is_traced() && !cx.local.gone {
        event(cx, event_code::EXIT, u64::from(status.cast_unsigned())).await;
    }
}

/// The tracer follows into the child if it asked to; gives the event that the parent reports.
pub(crate) fn attach_child(parent: &Task, child: &Arc<Task>, flags: CloneFlags, exit_signal: i32) -> Option<u32> {
    if !parent.is_traced() || flags.contains(CloneFlags::UNTRACED) {
        return None;
    }
    let event = if flags.contains(CloneFlags::VFORK) {
        event_code::VFORK
    } else if flags.contains(CloneFlags::THREAD) || exit_signal != Signal::SIGCHLD.number() {
        event_code::CLONE
    } else {
        event_code::FORK
    };
    let (tracer, seized, options) = {
        let trace = parent.ptrace.lock();
        (trace.tracer.clone()?, trace.seized, trace.options)
    };
    let wanted = options & (1 << event) != 0;
    if !wanted && !flags.contains(CloneFlags::PTRACE) {
        return None;
    }
    child.set_tracer(&tracer, seized, options);
    parent.kernel.tasks.lock().add_tracee(&tracer, child);
    if seized {
        child.ptrace.lock().interrupt = true;
    } else {
        let _ = child.send_signal(SigInfo::user(Signal::SIGSTOP, 0, 0));
    }
    child.interrupt();
    wanted.then_some(event)
}
