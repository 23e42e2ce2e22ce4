//! One guest thread as the Sentry's task drives it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll, ready};

use abi::Errno;
use abi::errno::Result;
use abi::regs::{Regs, USER_CS, USER_DS};

use super::hub::Hub;
use super::thread::{Event, Goal, Reply, Request, Thread};
use crate::guest::filter::advice_reaches_host;
use crate::guest::kick::{Kick, Target};
use crate::guest::layout::GUEST_END;
use crate::guest::memop::{in_guest, ranges};
use crate::{AddressSpace, BoxFuture, Context, Interrupter, MemOp, NewProcess, OpFailure, Trap, Vdso};

/// A guest thread.
pub(super) struct PtContext {
    hub: Arc<Hub>,
    thread: Arc<Thread>,
    kick: Arc<Kick<Thread>>,
    regs: Regs,
    /// Floating-point image (regset) of the last stop.
    xstate: Vec<u8>,
    /// The image that the next run starts with, if it is another.
    next_xstate: Option<Vec<u8>>,
    /// Operations to be carried out, with their place among the address space's changes (0 while no other thread shares it).
    queue: VecDeque<(u64, MemOp)>,
    /// What the tracer was asked for.
    asked: Option<Goal>,
    /// A guest event that came while somebody asked for something else.
    held: Option<Event>,
    /// Interrupted before it ran; what is queued is carried out first.
    kicked: bool,
    exec: Option<BoxFuture<'static, Result<PtContext>>>,
}

/// What came of a goal.
enum Outcome {
    Gone,
    Event(Event),
    Failed(OpFailure),
    Refused(Errno),
    Done(u32),
    Born(Arc<Thread>),
}

impl PtContext {
    /// Drives a stopped thread that nobody drives yet.
    pub(super) fn new(hub: &Arc<Hub>, thread: Arc<Thread>, regs: Regs, next_xstate: Option<Vec<u8>>) -> PtContext {
        thread.process.host.enter();
        let len = hub.facts.get().map_or(0, |facts| facts.xstate_len);
        PtContext {
            hub: Arc::clone(hub),
            kick: Kick::new(Arc::clone(&thread)),
            regs,
            xstate: vec![0; len],
            next_xstate,
            queue: VecDeque::new(),
            asked: None,
            held: None,
            kicked: false,
            exec: None,
            thread,
        }
    }

    /// Registers and floating-point state as after `execve`.
    pub(super) fn make_clean(&mut self) {
        self.regs = Regs {
            cs: USER_CS,
            ss: USER_DS,
            eflags: 0x202,
            orig_rax: u64::MAX,
            ..Regs::default()
        };
        let facts = self.hub.facts.get();
        self.next_xstate = facts.map(|facts| facts.fpu.initial_regset(facts.xstate_len));
    }

    pub(super) fn space(&self) -> Arc<dyn AddressSpace> {
        Arc::clone(&self.thread.process.host) as Arc<dyn AddressSpace>
    }

    /// Exchanges everything but the handle by which others know this context.
    fn swap(&mut self, other: &mut PtContext) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.kick, &mut other.kick);
        self.kick.follow(Arc::clone(&self.thread));
    }

    /// Asks the tracer as often as needed until the goal is reached.
    fn poll_goal(&mut self, cx: &mut task::Context<'_>, goal: Goal) -> Poll<Outcome> {
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
                ops: std::mem::take(&mut self.queue),
                regs: self.regs,
                xstate: if run { self.next_xstate.take() } else { None },
            });
            drop(state);
            self.hub.submit(&self.thread);
        }
    }

    /// Judges an answer; none if the goal is yet to be asked for.
    fn answered(
        &mut self,
        cx: &task::Context<'_>,
        goal: Goal,
        asked: Option<Goal>,
        reply: Reply,
    ) -> Poll<Option<Outcome>> {
        Poll::Ready(match reply {
            Reply::Stopped(event, regs) => {
                self.regs = regs;
                if goal == Goal::Run {
                    return Poll::Ready(Some(Outcome::Event(event)));
                }
                self.held = Some(event);
                None
            }
            Reply::Failed(failure) => {
                self.drop_queue();
                Some(Outcome::Failed(failure))
            }
            Reply::Blocked(ops) => {
                self.queue = ops.into_iter().chain(self.queue.drain(..)).collect();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Somebody asked for something else and does not wait any more.
            _ if asked != Some(goal) => None,
            Reply::Refused(errno) => Some(Outcome::Refused(errno)),
            Reply::Done(value) => Some(Outcome::Done(value)),
            Reply::Born(child) => Some(Outcome::Born(child)),
        })
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        self.thread.process.inflight.done(self.thread.tid.unsigned_abs(), None);
    }

    /// Forks or clones; see `Context::poll_fork`.
    pub(super) fn poll_born(&mut self, cx: &mut task::Context<'_>, goal: Goal) -> Poll<Result<PtContext>> {
        Poll::Ready(match ready!(self.poll_goal(cx, goal)) {
            Outcome::Born(child) => {
                // The host has copied the state of the last stop, not what was set since.
                let mut context = PtContext::new(&self.hub, child, self.regs, self.next_xstate.clone());
                context.xstate.clone_from(&self.xstate);
                Ok(context)
            }
            Outcome::Refused(errno) | Outcome::Failed(OpFailure { errno, .. }) => Err(errno),
            _ => Err(Errno::EAGAIN),
        })
    }

    /// What an event means to the caller of `poll_run`; none if guest code is to go on.
    fn trap(&mut self, event: Event) -> Option<Trap> {
        if matches!(event, Event::Interrupt) {
            return self.kick.stop_interrupted().then_some(Trap::Interrupted);
        }
        self.kick.stop();
        match event {
            Event::Syscall | Event::Vsyscall => Some(Trap::Syscall),
            Event::Fault(info) => Some(Trap::Fault(info)),
            Event::Interrupt => None,
        }
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
        loop {
            if let Some(event) = self.held.take() {
                match self.trap(event) {
                    Some(trap) => return Poll::Ready(trap),
                    None => continue,
                }
            }
            if self.asked.is_none() && !self.kicked && !self.kick.start() {
                if self.queue.is_empty() {
                    return Poll::Ready(Trap::Interrupted);
                }
                self.kicked = true;
            }
            let goal = if self.kicked { Goal::Flush } else { Goal::Run };
            match ready!(self.poll_goal(cx, goal)) {
                Outcome::Gone => return Poll::Ready(Trap::Gone),
                Outcome::Failed(failure) => {
                    self.kick.stop();
                    return Poll::Ready(Trap::OpFailed(failure));
                }
                Outcome::Event(event) => {
                    if let Some(trap) = self.trap(event) {
                        return Poll::Ready(trap);
                    }
                }
                _ if self.kicked => {
                    self.kicked = false;
                    return Poll::Ready(Trap::Interrupted);
                }
                _ => {}
            }
        }
    }

    fn queue(&mut self, op: MemOp) {
        debug_assert!(in_guest(&op), "outside the guest's range: {op:?}");
        if !in_guest(&op) {
            return;
        }
        if matches!(op, MemOp::Advise { advice, .. } if !advice_reaches_host(advice)) {
            return;
        }
        let process = &self.thread.process;
        let mut ticket = 0;
        if process.host.is_shared() {
            for range in ranges(&op).into_iter().flatten() {
                ticket = process.inflight.add(self.thread.tid.unsigned_abs(), range);
            }
        }
        self.queue.push_back((ticket, op));
    }

    fn poll_flush(&mut self, cx: &mut task::Context<'_>) -> Poll<std::result::Result<(), OpFailure>> {
        if self.queue.is_empty() && self.asked.is_none() {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.poll_goal(cx, Goal::Flush)) {
            Outcome::Failed(failure) => Poll::Ready(Err(failure)),
            // Where nobody is there to notice, the next run says that the thread is gone.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_cmpxchg(&mut self, cx: &mut task::Context<'_>, addr: u64, old: u32, new: u32) -> Poll<Result<u32>> {
        if addr >= GUEST_END {
            return Poll::Ready(Err(Errno::EFAULT));
        }
        match ready!(self.poll_goal(cx, Goal::Cmpxchg { addr, old, new })) {
            Outcome::Done(value) => Poll::Ready(Ok(value)),
            _ => Poll::Ready(Err(Errno::EFAULT)),
        }
    }

    fn poll_fork(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<NewProcess>> {
        let child = ready!(self.poll_born(cx, Goal::Fork))?;
        Poll::Ready(Ok((child.space(), Box::new(child))))
    }

    fn poll_clone(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Box<dyn Context>>> {
        let child = ready!(self.poll_born(cx, Goal::Clone))?;
        Poll::Ready(Ok(Box::new(child)))
    }

    fn poll_exec(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Arc<dyn AddressSpace>>> {
        let mut exec = match self.exec.take() {
            Some(exec) => exec,
            None => {
                let zygote = self.hub.zygote.lock().upgrade().ok_or(Errno::EAGAIN)?;
                Box::pin(async move { super::fork(&zygote).await })
            }
        };
        match exec.as_mut().poll(cx) {
            Poll::Pending => {
                self.exec = Some(exec);
                Poll::Pending
            }
            Poll::Ready(Err(errno)) => Poll::Ready(Err(errno)),
            Poll::Ready(Ok(mut fresh)) => {
                self.swap(&mut fresh);
                Poll::Ready(Ok(self.space()))
            }
        }
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        Arc::clone(&self.kick) as Arc<dyn Interrupter>
    }

    fn vdso(&self) -> Option<Vdso> {
        self.hub.facts.get()?.vdso
    }

    fn host_tid(&self) -> Option<i32> {
        Some(self.thread.tid)
    }

    fn cpu_time_ns(&self) -> u64 {
        self.thread.process.host.thread_cpu_ns(self.thread.tid)
    }
}

impl Drop for PtContext {
    fn drop(&mut self) {
        let process = &self.thread.process;
        process.inflight.done(self.thread.tid.unsigned_abs(), None);
        if process.host.exit() {
            process.host.kill();
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
