//! The loop around a guest thread: what a context does alike, whichever way its thread is reached.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use abi::Errno;
use abi::errno::Result;
use abi::regs::{Regs, USER_CS, USER_DS};

use super::filter::advice_reaches_host;
use super::kick::{Kick, Target};
use super::memop::{in_guest, ranges};
use super::process::HostProcess;
use super::zygote::Zygote;
use crate::{AddressSpace, BoxFuture, FaultInfo, MemOp, OpFailure, Trap};

/// Why guest code stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Syscall,
    Fault(FaultInfo),
    Interrupt,
}

/// What the guest side is asked for. What is queued is carried out before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal<X> {
    /// Guest code runs.
    Run,
    Flush,
    /// An order of the platform's own.
    Extra(X),
}

/// What came of it.
pub(crate) enum Outcome<Y> {
    Gone,
    /// Guest code ran, and stopped.
    Stopped(Stop),
    /// An operation failed; nothing is queued any more.
    Failed(OpFailure),
    /// The platform's own order failed.
    Refused(Errno),
    /// All is carried out, with the result of the platform's own order.
    Done(Y),
}

/// A context, by what differs between the platforms.
pub(crate) trait Driven: Sized + Send + 'static {
    type Thread: Target;
    type Order;
    type Done;

    fn drive(&mut self) -> &mut Drive<Self>;

    /// The guest side has been asked, and has not answered.
    fn is_busy(&self) -> bool;

    /// Something beside the queue is to be brought to guest memory.
    fn has_luggage(&self) -> bool {
        false
    }

    /// Asks the guest side as often as needed until the goal is reached.
    fn poll_goal(&mut self, cx: &mut Context<'_>, goal: Goal<Self::Order>) -> Poll<Outcome<Self::Done>>;

    /// See `Context::poll_fork`.
    fn poll_child(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self>>;

    /// Registers and floating-point state as after `execve`.
    fn make_clean(&mut self);
}

/// What drives one guest thread.
pub(crate) struct Drive<D: Driven> {
    host: Arc<HostProcess>,
    /// The thread among those that change the same memory.
    number: u32,
    pub(crate) kick: Arc<Kick<D::Thread>>,
    /// Operations to be carried out, with their place among the address space's changes (0 while no other thread shares it).
    pub(crate) ops: VecDeque<(u64, MemOp)>,
    /// A stop that came while somebody asked for something else.
    pub(crate) held: Option<Stop>,
    /// Interrupted before it ran; what is queued is carried out first.
    kicked: bool,
    /// What its process was forked from, or the ancestor of that.
    pub(crate) origin: Weak<Zygote<D>>,
    exec: Option<BoxFuture<'static, Result<D>>>,
}

impl<D: Driven> Drive<D> {
    /// Begins to drive a thread that nobody drives yet.
    pub(crate) fn new(host: &Arc<HostProcess>, number: u32, thread: Arc<D::Thread>) -> Drive<D> {
        host.enter();
        Drive {
            host: Arc::clone(host),
            number,
            kick: Kick::new(thread),
            ops: VecDeque::new(),
            held: None,
            kicked: false,
            origin: Weak::new(),
            exec: None,
        }
    }

    /// Forks the zygote for `execve(2)`. The old process is never used again: its stub, its signal frames and its fds may be in
    /// the hands of guest code that the new program, perhaps with more rights, must not meet.
    fn fresh(&self) -> Result<BoxFuture<'static, Result<D>>> {
        let zygote = self.origin.upgrade().ok_or(Errno::EAGAIN)?;
        Ok(Box::pin(async move { zygote.fork().await }))
    }

    pub(crate) fn space(&self) -> Arc<dyn AddressSpace> {
        Arc::clone(&self.host) as Arc<dyn AddressSpace>
    }

    /// See `Context::queue`.
    pub(crate) fn queue(&mut self, op: MemOp) {
        debug_assert!(in_guest(&op), "outside the guest's range: {op:?}");
        if !in_guest(&op) {
            return;
        }
        if matches!(op, MemOp::Advise { advice, .. } if !advice_reaches_host(advice)) {
            return;
        }
        let mut ticket = 0;
        if self.host.is_shared() {
            for range in ranges(&op).into_iter().flatten() {
                ticket = self.host.inflight.add(self.number, range);
            }
        }
        self.ops.push_back((ticket, op));
    }

    pub(crate) fn drop_queue(&mut self) {
        self.ops.clear();
        self.host.inflight.done(self.number, None);
    }

    /// The context is dropped, and the process with its last one: true then.
    pub(crate) fn leave(&self) -> bool {
        self.host.inflight.done(self.number, None);
        let last = self.host.exit();
        if last {
            self.host.kill();
        }
        last
    }

    /// What a stop means to the caller of `poll_run`; none if guest code is to go on.
    fn trap(&self, stop: Stop) -> Option<Trap> {
        if matches!(stop, Stop::Interrupt) {
            return self.kick.stop_interrupted().then_some(Trap::Interrupted);
        }
        self.kick.stop();
        match stop {
            Stop::Syscall => Some(Trap::Syscall),
            Stop::Fault(info) => Some(Trap::Fault(info)),
            Stop::Interrupt => None,
        }
    }
}

/// See `Context::poll_run`.
pub(crate) fn poll_run<D: Driven>(context: &mut D, cx: &mut Context<'_>) -> Poll<Trap> {
    loop {
        let (busy, luggage) = (context.is_busy(), context.has_luggage());
        let drive = context.drive();
        if let Some(stop) = drive.held.take() {
            match drive.trap(stop) {
                Some(trap) => return Poll::Ready(trap),
                None => continue,
            }
        }
        if !busy && !drive.kicked && !drive.kick.start() {
            if drive.ops.is_empty() && !luggage {
                return Poll::Ready(Trap::Interrupted);
            }
            drive.kicked = true;
        }
        let kicked = drive.kicked;
        let outcome = ready!(context.poll_goal(cx, if kicked { Goal::Flush } else { Goal::Run }));
        let drive = context.drive();
        match outcome {
            Outcome::Gone => return Poll::Ready(Trap::Gone),
            Outcome::Failed(failure) => {
                drive.kick.stop();
                return Poll::Ready(Trap::OpFailed(failure));
            }
            Outcome::Stopped(stop) => {
                if let Some(trap) = drive.trap(stop) {
                    return Poll::Ready(trap);
                }
            }
            Outcome::Done(_) | Outcome::Refused(_) if kicked => {
                drive.kicked = false;
                return Poll::Ready(Trap::Interrupted);
            }
            Outcome::Done(_) | Outcome::Refused(_) => {}
        }
    }
}

/// See `Context::poll_flush`.
pub(crate) fn poll_flush<D: Driven>(context: &mut D, cx: &mut Context<'_>) -> Poll<std::result::Result<(), OpFailure>> {
    if context.drive().ops.is_empty() && !context.is_busy() {
        return Poll::Ready(Ok(()));
    }
    match ready!(context.poll_goal(cx, Goal::Flush)) {
        Outcome::Failed(failure) => Poll::Ready(Err(failure)),
        // Where nobody is there to notice, the next run says that the thread is gone.
        Outcome::Gone | Outcome::Stopped(_) | Outcome::Refused(_) | Outcome::Done(_) => Poll::Ready(Ok(())),
    }
}

/// See `Context::poll_exec`.
pub(crate) fn poll_exec<D: Driven>(context: &mut D, cx: &mut Context<'_>) -> Poll<Result<Arc<dyn AddressSpace>>> {
    let mut exec = match context.drive().exec.take() {
        Some(exec) => exec,
        None => context.drive().fresh()?,
    };
    match exec.as_mut().poll(cx) {
        Poll::Pending => {
            context.drive().exec = Some(exec);
            Poll::Pending
        }
        Poll::Ready(fresh) => {
            swap(context, &mut fresh?);
            Poll::Ready(Ok(context.drive().space()))
        }
    }
}

/// Exchanges everything but the handle by which others know this context.
fn swap<D: Driven>(context: &mut D, other: &mut D) {
    let thread = other.drive().kick.thread();
    std::mem::swap(context, other);
    std::mem::swap(&mut context.drive().kick, &mut other.drive().kick);
    context.drive().kick.follow(thread);
}

/// Registers as after `execve(2)`.
pub(crate) fn clean_regs() -> Regs {
    Regs {
        cs: USER_CS,
        ss: USER_DS,
        eflags: 0x202,
        orig_rax: u64::MAX,
        ..Regs::default()
    }
}
