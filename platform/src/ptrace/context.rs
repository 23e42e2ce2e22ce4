//! One guest thread as the Sentry's task drives it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll, ready};

use abi::Errno;
use abi::errno::Result;
use abi::regs::Regs;

use super::hub::Hub;
use super::thread::{Done, Goal, Order, Reply, Request, Thread};
use crate::guest::drive::{self, Drive, Driven, Outcome};
use crate::guest::kick::Target;
use crate::guest::layout::GUEST_END;
use crate::{AddressSpace, Context, Interrupter, MemOp, NewProcess, OpFailure, Trap, Vdso};

/// A guest thread.
pub(super) struct PtContext {
    hub: Arc<Hub>,
    thread: Arc<Thread>,
    drive: Drive<PtContext>,
    regs: Regs,
    /// Floating-point image (regset) of the last stop.
    xstate: Vec<u8>,
    /// The image that the next run starts with, if it is another.
    next_xstate: Option<Vec<u8>>,
    /// What the tracer was asked for.
    asked: Option<Goal>,
}

impl PtContext {
    /// Drives a stopped thread that nobody drives yet.
    pub(super) fn new(hub: &Arc<Hub>, thread: Arc<Thread>, regs: Regs, next_xstate: Option<Vec<u8>>) -> PtContext {
        let len = hub.facts.get().map_or(0, |facts| facts.xstate_len);
        PtContext {
            hub: Arc::clone(hub),
            drive: Drive::new(&thread.process, thread.tid.unsigned_abs(), Arc::clone(&thread)),
            regs,
            xstate: vec![0; len],
            next_xstate,
            asked: None,
            thread,
        }
    }

    pub(super) fn space(&self) -> Arc<dyn AddressSpace> {
        self.drive.space()
    }

    /// Judges an answer; none if the goal is yet to be asked for.
    fn answered(
        &mut self,
        cx: &task::Context<'_>,
        goal: Goal,
        asked: Option<Goal>,
        reply: Reply,
    ) -> Poll<Option<Outcome<Done>>> {
        Poll::Ready(match reply {
            Reply::Stopped(stop, regs) => {
                self.regs = regs;
                if goal == Goal::Run {
                    return Poll::Ready(Some(Outcome::Stopped(stop)));
                }
                self.drive.held = Some(stop);
                None
            }
            Reply::Failed(failure) => {
                self.drive.drop_queue();
                Some(Outcome::Failed(failure))
            }
            Reply::Blocked(ops) => {
                self.drive.ops = ops.into_iter().chain(self.drive.ops.drain(..)).collect();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Somebody asked for something else and does not wait any more.
            _ if asked != Some(goal) => None,
            Reply::Refused(errno) => Some(Outcome::Refused(errno)),
            Reply::Done(done) => Some(Outcome::Done(done)),
        })
    }

    /// Forks or clones; see `Context::poll_fork`.
    pub(super) fn poll_born(&mut self, cx: &mut task::Context<'_>, order: Order) -> Poll<Result<PtContext>> {
        Poll::Ready(match ready!(self.poll_goal(cx, Goal::Extra(order))) {
            Outcome::Done(Done::Born(child)) => {
                // The host has copied the state of the last stop, not what was set since.
                let mut context = PtContext::new(&self.hub, child, self.regs, self.next_xstate.clone());
                context.drive.origin.clone_from(&self.drive.origin);
                context.xstate.clone_from(&self.xstate);
                Ok(context)
            }
            Outcome::Refused(errno) | Outcome::Failed(OpFailure { errno, .. }) => Err(errno),
            _ => Err(Errno::EAGAIN),
        })
    }
}

impl Driven for PtContext {
    type Thread = Thread;
    type Order = Order;
    type Done = Done;

    fn drive(&mut self) -> &mut Drive<PtContext> {
        &mut self.drive
    }

    fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    fn poll_goal(&mut self, cx: &mut task::Context<'_>, goal: Goal) -> Poll<Outcome<Done>> {
        loop {
            let mut state = self.thread.state.lock();
            if let Some(reply) = state.reply.take() {
                if matches!(reply, Reply::Stopped(..)) {
                    std::mem::swap(&mut self.xstate, &mut state.xstate);
                }
                drop(state);
                let asked = self.asked.take();
                if let Some(outcome) = ready!(self.answered(cx, goal, asked, reply)) {
                    return Poll::Ready(outcome);
                }
                continue;
            }
            if state.gone {
                self.asked = None;
                return Poll::Ready(Outcome::Gone);
            }
            match &mut state.waker {
                Some(old) if old.will_wake(cx.waker()) => {}
                other => *other = Some(cx.waker().clone()),
            }
            if self.asked.is_some() {
                return Poll::Pending;
            }
            self.asked = Some(goal);
            let run = goal == Goal::Run;
            state.request = Some(Request {
                goal,
                ops: std::mem::take(&mut self.drive.ops),
                regs: self.regs,
                xstate: if run { self.next_xstate.take() } else { None },
            });
            drop(state);
            self.hub.submit(&self.thread);
        }
    }

    fn poll_child(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<PtContext>> {
        self.poll_born(cx, Order::Fork)
    }

    fn make_clean(&mut self) {
        self.regs = drive::clean_regs();
        let facts = self.hub.facts.get();
        self.next_xstate = facts.map(|facts| facts.fpu.initial_regset(facts.xstate_len));
    }
}

impl Context for PtContext {
    fn regs(&self) -> &Regs {
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        &mut self.regs
    }

    fn fpu(&mut self) -> Result<Vec<u8>> {
        let facts = self.hub.facts.get().ok_or(Errno::EAGAIN)?;
        Ok(facts.fpu.frame_of(self.next_xstate.as_ref().unwrap_or(&self.xstate)))
    }

    fn set_fpu(&mut self, image: &[u8]) -> Result<()> {
        let facts = self.hub.facts.get().ok_or(Errno::EAGAIN)?;
        self.next_xstate = Some(if image.is_empty() {
            facts.fpu.initial_regset(facts.xstate_len)
        } else {
            facts.fpu.regset_of(&facts.fpu.check(image)?, facts.xstate_len)
        });
        Ok(())
    }

    fn poll_run(&mut self, cx: &mut task::Context<'_>) -> Poll<Trap> {
        drive::poll_run(self, cx)
    }

    fn queue(&mut self, op: MemOp) {
        self.drive.queue(op);
    }

    fn poll_flush(&mut self, cx: &mut task::Context<'_>) -> Poll<std::result::Result<(), OpFailure>> {
        drive::poll_flush(self, cx)
    }

    fn poll_cmpxchg(&mut self, cx: &mut task::Context<'_>, addr: u64, old: u32, new: u32) -> Poll<Result<u32>> {
        if addr >= GUEST_END {
            return Poll::Ready(Err(Errno::EFAULT));
        }
        match ready!(self.poll_goal(cx, Goal::Extra(Order::Cmpxchg { addr, old, new }))) {
            Outcome::Done(Done::Word(value)) => Poll::Ready(Ok(value)),
            _ => Poll::Ready(Err(Errno::EFAULT)),
        }
    }

    fn poll_fork(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<NewProcess>> {
        let child = ready!(self.poll_born(cx, Order::Fork))?;
        Poll::Ready(Ok((child.space(), Box::new(child))))
    }

    fn poll_clone(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Box<dyn Context>>> {
        let child = ready!(self.poll_born(cx, Order::Clone))?;
        Poll::Ready(Ok(Box::new(child)))
    }

    fn poll_exec(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Arc<dyn AddressSpace>>> {
        drive::poll_exec(self, cx)
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        Arc::clone(&self.drive.kick) as Arc<dyn Interrupter>
    }

    fn vdso(&self) -> Option<Vdso> {
        self.hub.facts.get()?.vdso
    }

    fn host_tid(&self) -> Option<i32> {
        Some(self.thread.tid)
    }

    fn cpu_time_ns(&self) -> u64 {
        self.thread.process.thread_cpu_ns(self.thread.tid)
    }
}

impl Drop for PtContext {
    fn drop(&mut self) {
        if self.drive.leave() {
            return;
        }
        self.thread.retired.store(true, Ordering::Release);
        if self.thread.state.lock().running {
            self.thread.interrupt();
        } else {
            self.hub.submit(&self.thread);
        }
    }
}
