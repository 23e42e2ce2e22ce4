//! The life of a task: run guest code, serve what it traps with, deliver signals, end.

use std::sync::atomic::Ordering;
use std::task::Poll;

use abi::{Errno, Restart, SysError, SysResult, conv};
use platform::{FaultInfo, Trap};

use super::ptrace::{Mode, Place};
use super::seccomp::{Answer, Verdict};
use super::{Cx, Task, exit, ptrace, seccomp, strace};
use crate::signal::deliver::{Flow, before_guest};
use crate::signal::info::{Detail, code};
use crate::signal::{SigInfo, Signal};
use crate::syscalls;

const NR_RESTART_SYSCALL: u32 = 219;

/// The future of one task.
pub(super) async fn run(mut cx: Cx) {
    std::future::poll_fn(|context| {
        cx.task.set_waker(context.waker().clone());
        Poll::Ready(())
    })
    .await;
    let status = run_guest(&mut cx).await;
    exit::finish(cx, status).await;
}

/// Gives the wait status once the task shall end.
async fn run_guest(cx: &mut Cx) -> i32 {
    loop {
        if (cx.local.restart.is_some() || cx.task.is_interrupted()) && before_guest(cx).await == Flow::Exit {
            return cx.task.group.exit_status().unwrap_or(0);
        }
        match next_trap(cx).await {
            Trap::Syscall => {
                syscall(cx).await;
                if let Some(status) = cx.local.exit {
                    return status;
                }
            }
            Trap::Fault(fault) => {
                let limits = cx.task.group.rlimits().clone();
                let mm = cx.mm.clone();
                if !mm.handle_fault(&mut *cx.ctx, &fault, &limits) {
                    raise(cx, fault);
                }
            }
            Trap::Interrupted => {}
            Trap::OpFailed(failure) => {
                let errno = cx.mm.op_failed(&failure);
                cx.ctx.regs_mut().rax = errno.as_return();
            }
            Trap::Gone => {
                // The host has killed the process: out of memory, or by its own doing.
                cx.local.gone = true;
                cx.task.group.exit(Signal::SIGKILL.number());
                return cx.task.group.exit_status().unwrap_or(0);
            }
        }
    }
}

async fn next_trap(cx: &mut Cx) -> Trap {
    cx.task.in_guest.store(true, Ordering::SeqCst);
    // Whoever interrupts from here on tells the platform too.
    let trap = if cx.task.is_interrupted() {
        Trap::Interrupted
    } else {
        cx.ctx.run().await
    };
    cx.task.in_guest.store(false, Ordering::SeqCst);
    trap
}

async fn syscall(cx: &mut Cx) {
    let traced = cx.task.is_traced();
    if traced {
        cx.ctx.regs_mut().rax = Errno::ENOSYS.as_return();
        ptrace::syscall_stop(cx, Place::Entry).await;
    }
    if let Some(result) = call(cx, traced).await {
        finish(cx, result);
    }
    cx.task.run_later();
    if traced {
        after_traced(cx).await;
    }
}

/// Makes the call; none if a filter or the tracer put something in its place.
async fn call(cx: &mut Cx, traced: bool) -> Option<SysResult<u64>> {
    let (mut nr, mut args) = asked(cx);
    cx.local.call = (nr, args);
    let regs = cx.ctx.regs();
    *cx.task.call.lock() = Some(super::Call {
        nr,
        args,
        sp: regs.rsp,
        ip: regs.rip,
    });
    cx.local.resumed = None;
    if traced && nr == u32::MAX {
        return None;
    }
    if cx.task.filtered.load(Ordering::Relaxed) {
        match seccomp::check(cx, nr, &args) {
            Verdict::Run => {}
            Verdict::Result(value) => {
                cx.ctx.regs_mut().rax = value;
                return None;
            }
            Verdict::Exit(status) => {
                cx.local.exit = Some(status);
                return None;
            }
            Verdict::Notify(notifier, data) => {
                let task = cx.task.clone();
                match notifier.ask(&task, data).await {
                    Answer::Continue => {}
                    Answer::Interrupted => return Some(Err(SysError::Restart(Restart::Sys))),
                    Answer::Result(value) => {
                        cx.ctx.regs_mut().rax = value;
                        return None;
                    }
                }
            }
            Verdict::Trace(data) => {
                if !ptrace::event(cx, ptrace::event_code::SECCOMP, u64::from(data)).await {
                    return Some(Err(Errno::ENOSYS.into()));
                }
                (nr, args) = asked(cx);
                cx.local.call = (nr, args);
                if nr == u32::MAX {
                    return None;
                }
            }
        }
    }
    if nr == NR_RESTART_SYSCALL
        && let Some(block) = cx.local.restart_block.take()
    {
        (nr, args) = (block.nr, block.args);
        cx.local.call = (nr, args);
        cx.local.resumed = Some(block.deadline);
    }
    let result = syscalls::serve(cx, nr, args).await;
    if cx.task.kernel.config.strace {
        strace::log(cx, nr, &args, &result);
    }
    Some(result)
}

fn asked(cx: &Cx) -> (u32, [u64; 6]) {
    let regs = cx.ctx.regs();
    (conv::low32(regs.orig_rax), regs.args())
}

fn finish(cx: &mut Cx, result: SysResult<u64>) {
    match result {
        Ok(value) => cx.ctx.regs_mut().rax = value,
        Err(SysError::Errno(errno)) => cx.ctx.regs_mut().rax = errno.as_return(),
        Err(SysError::Restart(restart)) => cx.local.restart = Some(restart),
    }
}

/// The tracer sees the result; of a call that will be made again it sees the kernel's own number for that.
async fn after_traced(cx: &mut Cx) {
    if let Some(restart) = cx.local.restart {
        let number: u64 = match restart {
            Restart::Sys => 512,
            Restart::NoIntr => 513,
            Restart::NoHand => 514,
            Restart::Block => 516,
        };
        cx.ctx.regs_mut().rax = 0u64.wrapping_sub(number);
    }
    ptrace::syscall_stop(cx, Place::Exit).await;
    if cx.task.is_traced() && cx.task.ptrace.lock().mode == Mode::Step {
        // The instruction stepped over was the call itself.
        cx.task.force_signal(SigInfo {
            code: code::TRAP_TRACE,
            ..SigInfo::kernel(Signal::SIGTRAP)
        });
    }
}

/// An exception becomes a signal that nothing holds back.
fn raise(cx: &mut Cx, fault: FaultInfo) {
    cx.local.fault = fault;
    let Some(signal) = Signal::new(fault.signo) else { return };
    cx.task.force_signal(SigInfo {
        signal,
        errno: 0,
        code: fault.code,
        detail: Detail::Fault {
            addr: fault.addr,
            trapno: fault.trapno,
            err: fault.err,
            cr2: fault.cr2,
        },
    });
}

impl Task {
    pub(crate) fn clear_interrupted(&self) {
        self.interrupted.store(false, Ordering::SeqCst);
    }
}
