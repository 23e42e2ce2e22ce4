//! Tracing (`ptrace(2)`): stops of the traced thread, as its own future sees them.
//!
//! A stopped tracee sleeps inside [`stop`] with its registers laid out in [`Stop`]; the tracer reads and changes them
//! there, and they go back into the context when it resumes. Who traces whom is in the task table.

mod events;
mod request;
mod table;

pub(super) use events::{attach_child, event, exec_event, exit_event, syscall_stop};
pub(crate) use events::{before_signals, signal_stop};
pub(super) use request::may_attach;
pub(crate) use request::ptrace;
pub(super) use table::Tracing;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::regs::Regs;

use super::{Cx, Task};
use crate::signal::{SigInfo, Signal};

/// `PTRACE_O_*`
pub(super) mod option {
    pub(crate) const TRACESYSGOOD: u32 = 1;
    pub(crate) const EXITKILL: u32 = 0x10_0000;
    pub(crate) const ALL: u32 = 0x30_00ff;
}

/// `PTRACE_EVENT_*`; the option that asks for one is `1 << event`.
pub(super) mod event_code {
    pub(crate) const FORK: u32 = 1;
    pub(crate) const VFORK: u32 = 2;
    pub(crate) const CLONE: u32 = 3;
    pub(crate) const EXEC: u32 = 4;
    pub(crate) const VFORK_DONE: u32 = 5;
    pub(crate) const EXIT: u32 = 6;
    pub(crate) const SECCOMP: u32 = 7;
    pub(crate) const STOP: u32 = 128;
}

/// How the tracer let the tracee go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Continue,
    /// To the next entry into or exit from a system call.
    Syscall,
    /// One instruction.
    Step,
}

/// The trace of one thread.
#[derive(Default)]
pub(crate) struct Ptrace {
    /// The tracing thread.
    pub(super) tracer: Option<Arc<Task>>,
    pub(super) seized: bool,
    pub(super) options: u32,
    pub(super) mode: Mode,
    /// `PTRACE_GETEVENTMSG`
    pub(super) message: u64,
    /// `PTRACE_INTERRUPT` wants a stop.
    pub(super) interrupt: bool,
    pub(super) stop: Option<Stop>,
}

/// Which kind of system call stop, for `PTRACE_GET_SYSCALL_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Entry,
    Exit,
    Seccomp,
    Elsewhere,
}

/// A tracee that sleeps for its tracer.
pub(super) struct Stop {
    /// Signal, with the event above its 8 bits.
    pub(super) code: i32,
    pub(super) place: Place,
    /// `PTRACE_GETSIGINFO`
    pub(super) info: Option<SigInfo>,
    /// A `wait` has told it.
    pub(super) reported: bool,
    pub(super) regs: Regs,
    pub(super) fpu: Vec<u8>,
    pub(super) fpu_changed: bool,
    /// The signal to go on with; 0 for none.
    pub(super) resumed: Option<i32>,
    /// `PTRACE_LISTEN`: a signal or interrupt ends the stop.
    pub(super) listening: bool,
}

const EFLAGS_TF: u64 = 0x100;

/// Sleeps for the tracer; gives the signal it went on with, and the information that may have been changed.
pub(super) async fn stop(cx: &mut Cx, code: i32, place: Place, info: Option<SigInfo>) -> (i32, Option<SigInfo>) {
    let task = cx.task.clone();
    cx.ctx.regs_mut().eflags &= !EFLAGS_TF;
    let fpu = cx.ctx.fpu().unwrap_or_default();
    {
        let mut trace = task.ptrace.lock();
        if trace.tracer.is_none() {
            return (info.map_or(0, |i| i.signal.number()), info);
        }
        trace.stop = Some(Stop {
            code,
            place,
            info,
            reported: false,
            regs: *cx.ctx.regs(),
            fpu,
            fpu_changed: false,
            resumed: None,
            listening: false,
        });
    }
    task.kernel.tasks.tell_tracer(&task, code);
    let resumed = || {
        let trace = task.ptrace.lock();
        trace.stop.as_ref().and_then(|s| s.resumed)
    };
    let signal = task.park(resumed).await.unwrap_or(0);
    let mut trace = task.ptrace.lock();
    let Some(stop) = trace.stop.take() else {
        return (signal, info);
    };
    let step = trace.mode == Mode::Step && trace.tracer.is_some();
    drop(trace);
    *cx.ctx.regs_mut() = stop.regs;
    if step {
        cx.ctx.regs_mut().eflags |= EFLAGS_TF;
    }
    if stop.fpu_changed {
        // The tracer's image was checked by nobody yet: a bad one leaves the state as it was.
        let _ = cx.ctx.set_fpu(&stop.fpu);
    }
    (signal, stop.info)
}

impl Task {
    /// Somebody traces it.
    pub fn is_traced(&self) -> bool {
        self.traced.load(Ordering::SeqCst)
    }

    /// The tracing thread.
    pub fn tracer(&self) -> Option<Arc<Task>> {
        self.ptrace.lock().tracer.clone()
    }

    /// In a stop for its tracer (`t` in `/proc/PID/stat`).
    pub fn is_trace_stopped(&self) -> bool {
        self.ptrace.lock().stop.is_some()
    }

    pub(super) fn set_tracer(&self, tracer: &Arc<Task>, seized: bool, options: u32) {
        let mut trace = self.ptrace.lock();
        trace.tracer = Some(tracer.clone());
        trace.seized = seized;
        trace.options = options;
        trace.mode = Mode::Continue;
        trace.interrupt = false;
        self.traced.store(true, Ordering::SeqCst);
    }

    /// Ends the trace; a stopped tracee goes on with that signal.
    pub(super) fn end_trace(&self, signal: i32) {
        {
            let mut trace = self.ptrace.lock();
            trace.tracer = None;
            trace.options = 0;
            trace.interrupt = false;
            trace.mode = Mode::Continue;
            if let Some(stop) = trace.stop.as_mut() {
                stop.resumed = Some(signal);
            }
            self.traced.store(false, Ordering::SeqCst);
        }
        // It may belong to a stop of its process.
        self.interrupt();
        self.wake();
    }

    /// A stop that only listens gives way to news.
    pub(crate) fn end_listening(&self) {
        let listening = {
            let mut trace = self.ptrace.lock();
            let stop = trace.stop.as_mut().filter(|s| s.listening && s.resumed.is_none());
            let listening = stop.map(|s| s.resumed = Some(0)).is_some();
            trace.interrupt |= listening;
            listening
        };
        if listening {
            self.wake();
        }
    }
}

/// A stop code as the signal in it.
pub(super) fn code_signal(code: i32) -> i32 {
    code & 0x7f
}

/// `SIGTRAP` from the kernel, with the stop's code.
pub(super) fn trap_info(code: i32, task: &Task) -> SigInfo {
    SigInfo {
        code,
        ..SigInfo::user(Signal::SIGTRAP, task.own_tid(), task.cred().uid)
    }
}
