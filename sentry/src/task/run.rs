//! The life of a task: run guest code, serve what it traps with, deliver signals, end.

use std::sync::atomic::Ordering;
use std::task::Poll;

use abi::{Errno, SysError, conv};
use platform::{FaultInfo, Trap};

use super::seccomp::Verdict;
use super::{Cx, Task, exit, seccomp, strace};
use crate::signal::deliver::{Flow, before_guest};
use crate::signal::info::Detail;
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
            Trap::Fault(fault) => raise(cx, fault),
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
    let regs = cx.ctx.regs();
    let mut nr = conv::low32(regs.orig_rax);
    let mut args = regs.args();
    cx.local.resumed = None;
    if nr == NR_RESTART_SYSCALL
        && let Some(block) = cx.local.restart_block.take()
    {
        (nr, args) = (block.nr, block.args);
        cx.local.resumed = Some(block.deadline);
    }
    cx.local.call = (nr, args);
    if cx.task.filtered.load(Ordering::Relaxed) {
        match seccomp::check(cx, nr, &args) {
            Verdict::Run => {}
            Verdict::Result(value) => {
                cx.ctx.regs_mut().rax = value;
                return;
            }
            Verdict::Exit(status) => {
                cx.local.exit = Some(status);
                return;
            }
            // Nobody traces.
            Verdict::Trace(_) => {
                cx.ctx.regs_mut().rax = Errno::ENOSYS.as_return();
                return;
            }
        }
    }
    let result = syscalls::serve(cx, nr, args).await;
    if cx.task.kernel.config.strace {
        strace::log(cx, nr, &args, &result);
    }
    match result {
        Ok(value) => cx.ctx.regs_mut().rax = value,
        Err(SysError::Errno(errno)) => cx.ctx.regs_mut().rax = errno.as_return(),
        Err(SysError::Restart(restart)) => cx.local.restart = Some(restart),
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
