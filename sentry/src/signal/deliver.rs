//! Delivering: what a task does about its signals before it runs guest code, like `get_signal` and `handle_signal`.

use abi::{Errno, Restart};

use super::action::DefaultAction;
use super::info::code;
use super::{SIG_DFL, SIG_IGN, SaFlags, SigAction, SigInfo, SigSet, Signal, frame};
use crate::task::Cx;

/// What the task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Run guest code.
    Run,
    /// End.
    Exit,
}

const RESTART_SYSCALL: u64 = 219;

/// Deals with kills, freezes, stops and signals, then with the restart of an interrupted call.
pub(crate) async fn before_guest(cx: &mut Cx) -> Flow {
    loop {
        let task = cx.task.clone();
        task.clear_interrupted();
        if task.is_killed() {
            return Flow::Exit;
        }
        task.while_frozen().await;
        task.tell_parent();
        if task.is_traced() {
            crate::task::ptrace::before_signals(cx).await;
        } else {
            task.stop_if_asked().await;
        }
        if task.is_killed() {
            return Flow::Exit;
        }
        let Some((info, action)) = task.next_signal() else {
            break;
        };
        let Some((info, action)) = crate::task::ptrace::signal_stop(cx, info, action).await else {
            continue;
        };
        match action.handler {
            SIG_IGN => {}
            SIG_DFL => {
                if default_action(cx, &info) == Flow::Exit {
                    return Flow::Exit;
                }
            }
            _ => run_handler(cx, &info, action),
        }
    }
    restart_unhandled(cx);
    cx.task.end_temporary_sigmask();
    // The old mask may let a signal through.
    if cx.task.has_deliverable() {
        cx.task.interrupt();
    }
    Flow::Run
}

impl crate::task::Task {
    /// Takes the next signal that is not blocked, with what is to be done about it.
    fn next_signal(&self) -> Option<(SigInfo, SigAction)> {
        let mut state = self.group.state.lock();
        let blocked = self.sigmask();
        let mut info = self.dequeue_signal(SigSet(!blocked.0))?;
        let action = self.group.handlers().lock().get(info.signal);
        if action.handler == SIG_DFL && info.signal.default_action() == DefaultAction::Stop {
            state.note_stop_taken();
        }
        drop(state);
        crate::time::posix::signal_taken(&self.group, &mut info);
        Some((info, action))
    }
}

fn default_action(cx: &mut Cx, info: &SigInfo) -> Flow {
    let group = cx.task.group.clone();
    let signal = info.signal;
    let action = signal.default_action();
    if matches!(action, DefaultAction::Ignore | DefaultAction::Continue) {
        return Flow::Run;
    }
    if group.shielded() && !signal.is_kernel_only() && !is_exception(info) {
        return Flow::Run;
    }
    if action == DefaultAction::Stop {
        if signal != Signal::SIGSTOP {
            let pgrp = cx.task.kernel.tasks.pgrp(&group);
            if pgrp.is_none_or(|p| cx.task.kernel.tasks.is_orphaned_pgrp(p.pid.number())) {
                return Flow::Run;
            }
        }
        group.begin_stop(signal);
        return Flow::Run;
    }
    group.exit(signal.number());
    Flow::Exit
}

/// Caused by the task's own instruction: not even the first process survives it.
fn is_exception(info: &SigInfo) -> bool {
    let synchronous = matches!(
        info.signal,
        Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE | Signal::SIGTRAP | Signal::SIGSYS
    );
    synchronous && info.code > code::SI_USER
}

fn run_handler(cx: &mut Cx, info: &SigInfo, action: SigAction) {
    let sa = action.sa();
    if let Some(restart) = cx.local.restart.take() {
        let again = match restart {
            Restart::NoIntr => true,
            Restart::Sys => sa.contains(SaFlags::RESTART),
            Restart::NoHand | Restart::Block => false,
        };
        if again {
            rewind(cx, u64::from(cx.local.call.0));
        } else {
            cx.ctx.regs_mut().rax = Errno::EINTR.as_return();
        }
    }
    if sa.contains(SaFlags::RESETHAND) {
        let handlers = cx.task.group.handlers();
        handlers.lock().set(
            info.signal,
            SigAction {
                handler: SIG_DFL,
                ..action
            },
        );
    }
    let mask = {
        let mut signals = cx.task.signals.lock();
        signals.saved_blocked.take().unwrap_or(signals.blocked)
    };
    if frame::push(cx, info, &action, mask).is_err() {
        cx.task.force_sigsegv(Some(info.signal));
        return;
    }
    let mut blocked = cx.task.sigmask().union(action.mask);
    if !sa.contains(SaFlags::NODEFER) {
        blocked = blocked.with(info.signal);
    }
    cx.task.set_sigmask(blocked);
}

/// No handler ran: the call is made again.
fn restart_unhandled(cx: &mut Cx) {
    match cx.local.restart.take() {
        None => {}
        Some(Restart::Block) => rewind(cx, RESTART_SYSCALL),
        Some(Restart::Sys | Restart::NoHand | Restart::NoIntr) => rewind(cx, u64::from(cx.local.call.0)),
    }
}

/// Back onto the `syscall` instruction, two bytes long.
fn rewind(cx: &mut Cx, nr: u64) {
    let regs = cx.ctx.regs_mut();
    regs.rip = regs.rip.wrapping_sub(2);
    regs.rax = nr;
}
