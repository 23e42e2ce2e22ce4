//! One guest thread as the Sentry's task drives it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use abi::Errno;
use abi::conv::low32;
use abi::errno::Result;
use abi::regs::{Regs, USER_CS, USER_DS};

use super::births::Birth;
use super::event::{self, Event, Luggage};
use super::exec::Exec;
use super::hub::Hub;
use super::reply::{self, Batch, Ending};
use super::thread::Thread;
use crate::guest::filter::advice_reaches_host;
use crate::guest::kick::Kick;
use crate::guest::layout::{FORK_FLAGS, GUEST_END, ORDER_CLONE, ORDER_CMPXCHG, ORDER_FORK, Order, THREAD_FLAGS};
use crate::guest::memop::{in_guest, ranges};
use crate::{AddressSpace, Context, Interrupter, MemOp, NewProcess, OpFailure, Trap, Vdso};

/// A guest thread.
pub(super) struct SysContext {
    pub(super) hub: Arc<Hub>,
    pub(super) thread: Arc<Thread>,
    pub(super) kick: Arc<Kick<Thread>>,
    regs: Regs,
    /// Operations to be ordered, with their place among the address space's changes (0 while no other thread shares it).
    queue: VecDeque<(u64, MemOp)>,
    /// Orders of the last answer.
    batch: Batch,
    /// Bytes in the data area to be copied to guest memory, and where free room begins.
    back: Vec<Order>,
    back_end: usize,
    luggage: Luggage,
    /// Fds that a failed operation left in the process.
    stray: Vec<u64>,
    /// The next run starts with the processor's initial floating-point state.
    init_fpu: bool,
    fp_addr: u64,
    /// Answers given so far: what the stub's own count will be.
    answers: u64,
    /// An answer is out.
    busy: Option<Step>,
    /// A guest event that came while somebody asked for something else.
    held: Option<Event>,
    /// Interrupted before it ran; what is queued is carried out first.
    kicked: bool,
    birth: Option<(Arc<Birth>, Option<i32>)>,
    exec: Option<Exec>,
    /// Turns spent waiting for another thread of the process to carry out its orders.
    patience: u32,
}

#[derive(Clone, Copy)]
struct Step {
    /// Guest code runs with it.
    run: bool,
    /// More is queued than fitted.
    part: bool,
    /// It ends with the goal's own order.
    extra: bool,
}

/// What an answer is to bring.
#[derive(Clone, Copy)]
enum Goal {
    Run,
    Flush,
    Extra(Order),
}

/// What came of it.
enum Outcome {
    Gone,
    Event(Event),
    /// An operation failed.
    Failed(OpFailure),
    /// The goal's own order failed.
    Refused(Errno),
    /// All is carried out, with the result of the goal's own order.
    Done(i64),
}

/// Turns after which a thread that does not do what it was ordered is taken for hostile.
const PATIENCE: u32 = 200_000;

impl SysContext {
    /// Drives a stopped thread that nobody drives yet.
    pub(super) fn new(hub: &Arc<Hub>, thread: Arc<Thread>, regs: Regs, init_fpu: bool) -> SysContext {
        thread.process.host.enter();
        let at = thread.at(std::mem::offset_of!(crate::guest::layout::Control, fp_addr));
        SysContext {
            hub: Arc::clone(hub),
            kick: Kick::new(Arc::clone(&thread)),
            regs,
            queue: VecDeque::new(),
            batch: Batch::default(),
            back: Vec::new(),
            back_end: 0,
            luggage: Luggage::default(),
            stray: Vec::new(),
            init_fpu,
            fp_addr: thread.process.channel.read_u64(at),
            answers: 0,
            busy: None,
            held: None,
            kicked: false,
            birth: None,
            exec: None,
            patience: 0,
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
        self.init_fpu = true;
    }

    pub(super) fn space(&self) -> Arc<dyn AddressSpace> {
        Arc::clone(&self.thread.process.host) as Arc<dyn AddressSpace>
    }

    /// Exchanges everything but the handle by which others know this context.
    pub(super) fn swap(&mut self, other: &mut SysContext) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.kick, &mut other.kick);
        self.kick.follow(Arc::clone(&self.thread));
    }

    /// Answers as often as needed until the goal is reached.
    fn poll_goal(&mut self, cx: &mut task::Context<'_>, goal: Goal) -> Poll<Outcome> {
        loop {
            let Some(step) = self.busy else {
                if self.thread.is_gone() {
                    return Poll::Ready(Outcome::Gone);
                }
                match self.send(goal) {
                    Ok(step) => self.busy = Some(step),
                    Err(Unsent::Conflict) if self.patience < PATIENCE => {
                        self.patience += 1;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Err(Unsent::Conflict) => self.thread.process.host.kill(),
                    Err(Unsent::Failed(failure)) => {
                        self.drop_queue();
                        return Poll::Ready(Outcome::Failed(failure));
                    }
                }
                continue;
            };
            if ready!(self.thread.poll_stopped(cx.waker())).is_err() {
                return Poll::Ready(Outcome::Gone);
            }
            self.busy = None;
            self.thread.process.inflight.done(self.thread.slot, Some(self.answers));
            let event = event::fetch(&self.thread, &mut self.regs, &mut self.luggage);
            match event {
                Event::Report(done, result) => match self.reported(step, done, result) {
                    Some(outcome) => return Poll::Ready(outcome),
                    None if step.part => {}
                    None => return Poll::Ready(Outcome::Done(result)),
                },
                event if step.run => {
                    let at = self
                        .thread
                        .at(std::mem::offset_of!(crate::guest::layout::Control, fp_addr));
                    self.fp_addr = self.thread.process.channel.read_u64(at);
                    self.init_fpu = false;
                    if matches!(goal, Goal::Run) {
                        return Poll::Ready(Outcome::Event(event));
                    }
                    self.held = Some(event);
                }
                // It was told to report: this is not our stub any more.
                _ => {
                    self.thread.process.host.kill();
                    return Poll::Ready(Outcome::Gone);
                }
            }
        }
    }

    /// Judges a report; none if all orders were carried out.
    fn reported(&mut self, step: Step, done: usize, result: i64) -> Option<Outcome> {
        if done >= self.batch.len() {
            return None;
        }
        let errno = i32::try_from(result.saturating_neg()).map_or(Errno::EIO, Errno::from_raw);
        self.stray.extend(self.batch.stray(done));
        let last = done + 1 == self.batch.len();
        let outcome = match self.batch.op_at(done) {
            _ if step.extra && last => Outcome::Refused(errno),
            Some(op) => Outcome::Failed(OpFailure { op: op.clone(), errno }),
            None => Outcome::Refused(errno),
        };
        self.drop_queue();
        Some(outcome)
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        self.thread.process.inflight.done(self.thread.slot, None);
    }

    /// Writes one answer with as much of the queue as fits, and gives it to the guest side.
    fn send(&mut self, goal: Goal) -> std::result::Result<Step, Unsent> {
        let (slot, bell) = (self.thread.slot, self.thread.bell());
        self.batch.clear();
        if bell.is_none()
            && self
                .queue
                .iter()
                .any(|(_, op)| matches!(op, MemOp::Map { file: Some(_), .. }))
        {
            // An fd can be put only into a process whose thread waits in a notification.
            self.write_answer(false);
            return Ok(Step {
                run: false,
                part: true,
                extra: false,
            });
        }
        for fd in self.stray.drain(..).take(8) {
            self.batch.push(reply::close(fd));
        }
        let inflight = &self.thread.process.inflight;
        let reserved = self.back.len() + 1;
        let mut sent = 0;
        while self.batch.has_room(reserved.min(16))
            && let Some((ticket, op)) = self.queue.front()
        {
            let conflict = ranges(op).into_iter().flatten().find_map(|range| {
                if *ticket == 0 {
                    None
                } else {
                    inflight.conflict(slot, *ticket, range)
                }
            });
            if let Some(other) = conflict {
                // Perhaps it has done it and only nobody has looked.
                inflight.done(other, Some(self.thread.process.answers_done(other)));
                if sent > 0 {
                    break;
                }
                return Err(Unsent::Conflict);
            }
            let Some((ticket, op)) = self.queue.pop_front() else {
                break;
            };
            if let Err((op, errno)) = self.batch.push_op(&self.thread, bell, op) {
                // What was put together so far is not begun; fds already lent are closed later.
                self.stray.extend(self.batch.stray(0));
                return Err(Unsent::Failed(OpFailure { op, errno }));
            }
            if ticket != 0 {
                inflight.ordered(ticket, self.answers + 1);
            }
            sent += 1;
        }
        self.patience = 0;
        let part = !self.queue.is_empty();
        let mut step = Step {
            run: false,
            part,
            extra: false,
        };
        if !part {
            match goal {
                Goal::Run => {
                    for order in self.back.drain(..) {
                        self.batch.push(order);
                    }
                    self.back_end = 0;
                    step.run = true;
                }
                Goal::Flush => {}
                Goal::Extra(order) => {
                    self.batch.push(order);
                    step.extra = true;
                }
            }
        }
        self.write_answer(step.run);
        Ok(step)
    }

    /// Gives the batch to the guest side.
    fn write_answer(&mut self, run: bool) {
        let resume = run.then_some(&self.regs);
        let spin = if run { self.hub.pace.turns(&self.thread) } else { 0 };
        let ending = Ending {
            resume,
            init_fpu: self.init_fpu,
            spin,
        };
        reply::write(&self.thread, &self.batch, &ending);
        self.answers += 1;
        self.thread.answer(spin > 0);
    }

    /// Forks; see `Context::poll_fork`.
    pub(super) fn poll_fork_context(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<SysContext>> {
        let slot = self.thread.slot;
        self.poll_birth(
            cx,
            FORK_FLAGS,
            |hub, _| Birth::process(hub, slot),
            |birth| Order {
                kind: ORDER_FORK,
                nr: 0,
                args: [birth.token, 0, 0, 0, 0, 0],
            },
        )
    }

    fn poll_clone_context(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<SysContext>> {
        let mut slot = 0;
        if self.birth.is_none() {
            slot = match self.thread.process.take_slot() {
                Some(slot) => slot,
                None => return Poll::Ready(Err(Errno::EAGAIN)),
            };
            reply::reset_slot(&self.thread, slot, self.hub.no_fsgsbase);
        }
        self.poll_birth(
            cx,
            THREAD_FLAGS,
            |hub, thread| Birth::thread(hub, &thread.process, slot),
            |birth| Order {
                kind: ORDER_CLONE,
                nr: 0,
                args: [u64::from(birth.slot()), birth.token, 0, 0, 0, 0],
            },
        )
    }

    fn poll_birth(
        &mut self,
        cx: &mut task::Context<'_>,
        flags: u64,
        make: impl FnOnce(&Arc<Hub>, &Thread) -> Result<Arc<Birth>>,
        order: impl FnOnce(&Birth) -> Order,
    ) -> Poll<Result<SysContext>> {
        let (birth, pid) = match &self.birth {
            Some((birth, pid)) => (Arc::clone(birth), *pid),
            None => {
                let birth = make(&self.hub, &self.thread)?;
                self.thread.allow_clone(Some(flags));
                self.birth = Some((Arc::clone(&birth), None));
                (birth, None)
            }
        };
        let pid = match pid {
            Some(pid) => pid,
            None => match ready!(self.poll_goal(cx, Goal::Extra(order(&birth)))) {
                Outcome::Done(pid) => low32(pid.cast_unsigned()).cast_signed(),
                Outcome::Failed(OpFailure { errno, .. }) | Outcome::Refused(errno) => {
                    return Poll::Ready(Err(self.abort_birth(errno)));
                }
                Outcome::Gone | Outcome::Event(_) => return Poll::Ready(Err(self.abort_birth(Birth::FAILED))),
            },
        };
        self.birth = Some((Arc::clone(&birth), Some(pid)));
        birth.set_waker(cx.waker());
        let Some(child) = birth.child() else {
            // A thread that dies with its process is not stillborn: nobody but the parent's own end tells of it.
            if birth.dead_before_hello(pid) || self.thread.is_gone() {
                return Poll::Ready(Err(self.abort_birth(Birth::FAILED)));
            }
            return Poll::Pending;
        };
        let alive = ready!(child.poll_stopped(cx.waker())).is_ok();
        self.birth = None;
        if !alive {
            return Poll::Ready(Err(Birth::FAILED));
        }
        Poll::Ready(Ok(SysContext::new(&self.hub, child, self.regs, self.init_fpu)))
    }

    fn abort_birth(&mut self, errno: Errno) -> Errno {
        self.thread.allow_clone(None);
        if let Some((birth, _)) = self.birth.take() {
            birth.cancel();
        }
        errno
    }

    /// What an event means to the caller of `poll_run`; none if guest code is to go on.
    fn trap(&mut self, event: Event) -> Option<Trap> {
        if matches!(event, Event::Interrupt) {
            return self.kick.stop_interrupted().then_some(Trap::Interrupted);
        }
        self.kick.stop();
        match event {
            Event::Syscall => Some(Trap::Syscall),
            Event::Fault(info) => Some(Trap::Fault(info)),
            _ => None,
        }
    }
}

/// Why no answer was given.
enum Unsent {
    Conflict,
    Failed(OpFailure),
}

impl Context for SysContext {
    fn regs(&self) -> &Regs {
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        &mut self.regs
    }

    fn fpu(&mut self) -> Result<Vec<u8>> {
        if self.init_fpu {
            return Ok(self.hub.fpu.initial());
        }
        let (addr, process) = (self.fp_addr, &self.thread.process);
        self.hub.fpu.read(|buf| {
            process
                .host
                .with_alive(|pid| crate::host::vm::read(pid, addr, buf))
                .unwrap_or(0)
        })
    }

    fn set_fpu(&mut self, image: &[u8]) -> Result<()> {
        if image.is_empty() {
            self.init_fpu = true;
            return Ok(());
        }
        let image = self.hub.fpu.check(image)?;
        let addr = self.fp_addr;
        let written = self
            .thread
            .process
            .host
            .with_alive(|pid| crate::host::vm::write(pid, addr, &image));
        if written != Some(image.len()) {
            return Err(Errno::EFAULT);
        }
        self.init_fpu = false;
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
            if self.busy.is_none() && !self.kicked && !self.kick.start() {
                if self.queue.is_empty() && self.back.is_empty() {
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
                Outcome::Done(_) | Outcome::Refused(_) if self.kicked => {
                    self.kicked = false;
                    return Poll::Ready(Trap::Interrupted);
                }
                Outcome::Done(_) | Outcome::Refused(_) => {}
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
                ticket = process.inflight.add(self.thread.slot, range);
            }
        }
        self.queue.push_back((ticket, op));
    }

    fn poll_flush(&mut self, cx: &mut task::Context<'_>) -> Poll<std::result::Result<(), OpFailure>> {
        if self.queue.is_empty() && self.busy.is_none() {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.poll_goal(cx, Goal::Flush)) {
            Outcome::Failed(failure) => Poll::Ready(Err(failure)),
            // Nobody is there to notice; the next run says that the thread is gone.
            Outcome::Gone | Outcome::Event(_) | Outcome::Refused(_) | Outcome::Done(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_cmpxchg(&mut self, cx: &mut task::Context<'_>, addr: u64, old: u32, new: u32) -> Poll<Result<u32>> {
        if addr >= GUEST_END {
            return Poll::Ready(Err(Errno::EFAULT));
        }
        let args = [addr, u64::from(old), u64::from(new), 0, 0, 0];
        match ready!(self.poll_goal(
            cx,
            Goal::Extra(Order {
                kind: ORDER_CMPXCHG,
                nr: 0,
                args
            })
        )) {
            Outcome::Done(value) => Poll::Ready(Ok(low32(value.cast_unsigned()))),
            _ => Poll::Ready(Err(Errno::EFAULT)),
        }
    }

    fn poll_fork(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<NewProcess>> {
        let child = ready!(self.poll_fork_context(cx))?;
        Poll::Ready(Ok((child.space(), Box::new(child))))
    }

    fn poll_clone(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Box<dyn Context>>> {
        let child = ready!(self.poll_clone_context(cx))?;
        Poll::Ready(Ok(Box::new(child)))
    }

    fn poll_exec(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Arc<dyn AddressSpace>>> {
        let mut exec = match self.exec.take() {
            Some(exec) => exec,
            None => Exec::start(&self.hub)?,
        };
        match exec.poll(cx) {
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

    fn carried(&self, addr: u64, len: usize) -> Option<&[u8]> {
        self.luggage.from(addr)?.get(..len)
    }

    fn carried_from(&self, addr: u64) -> &[u8] {
        self.luggage.from(addr).unwrap_or_default()
    }

    fn carry_back(&mut self, addr: u64, data: &[u8]) -> bool {
        let in_guest = addr
            .checked_add(abi::conv::usize64(data.len()))
            .is_some_and(|end| end <= GUEST_END);
        if !in_guest
            || self.busy.is_some()
            || self.back.len() >= 12
            || !reply::put_data(&self.thread, self.back_end, data)
        {
            return false;
        }
        self.back.push(reply::copy(addr, data.len(), self.back_end));
        self.back_end = (self.back_end + data.len()).next_multiple_of(8);
        true
    }

    fn vdso(&self) -> Option<Vdso> {
        self.hub.vdso
    }

    fn host_tid(&self) -> Option<i32> {
        Some(self.thread.tid)
    }

    fn cpu_time_ns(&self) -> u64 {
        self.thread.cpu_time_ns()
    }
}

impl Drop for SysContext {
    fn drop(&mut self) {
        if self.birth.is_some() {
            self.abort_birth(Birth::FAILED);
        }
        let process = &self.thread.process;
        process.inflight.done(self.thread.slot, None);
        if process.host.exit() {
            process.host.kill();
        } else {
            self.thread.retire();
            process.give_slot(self.thread.slot, self.thread.tid);
        }
    }
}
