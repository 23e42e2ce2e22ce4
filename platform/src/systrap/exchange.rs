//! Exchanges of a context with its thread: one answer after the other until what was asked for has come about.

use std::mem::offset_of;
use std::task::{self, Poll, ready};

use abi::Errno;

use super::context::SysContext;
use super::event::{self, Event};
use super::reply::{self, Ending};
use crate::guest::drive::{Goal, Outcome};
use crate::guest::layout::{Control, Order};
use crate::guest::memop::ranges;
use crate::{MemOp, OpFailure};

/// Turns after which a thread that does not do what it was ordered is taken for hostile.
const PATIENCE: u32 = 200_000;

/// What an answer is for.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Guest code runs with it.
    run: bool,
    /// More is queued than fitted.
    part: bool,
    /// It ends with the goal's own order.
    extra: bool,
}

/// Why no answer was given.
enum Unsent {
    Conflict,
    Failed(OpFailure),
}

impl SysContext {
    /// Answers as often as needed until the goal is reached.
    pub(super) fn poll_exchange(&mut self, cx: &mut task::Context<'_>, goal: Goal<Order>) -> Poll<Outcome<i64>> {
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
                        self.drive.drop_queue();
                        return Poll::Ready(Outcome::Failed(failure));
                    }
                }
                continue;
            };
            if ready!(self.thread.poll_stopped(cx.waker())).is_err() {
                return Poll::Ready(Outcome::Gone);
            }
            self.busy = None;
            self.thread
                .process
                .host
                .inflight
                .done(self.thread.slot, Some(self.answers));
            let event = event::fetch(&self.thread, &mut self.regs, &mut self.luggage);
            match event {
                Event::Report(done, result) => match self.reported(step, done, result) {
                    Some(outcome) => return Poll::Ready(outcome),
                    None if step.part => {}
                    None => return Poll::Ready(Outcome::Done(result)),
                },
                Event::Stop(stop) if step.run => {
                    let at = self.thread.at(offset_of!(Control, fp_addr));
                    self.fp_addr = self.thread.process.channel.read_u64(at);
                    self.init_fpu = false;
                    if matches!(goal, Goal::Run) {
                        return Poll::Ready(Outcome::Stopped(stop));
                    }
                    self.drive.held = Some(stop);
                }
                // It was told to report: this is not our stub any more.
                Event::Stop(_) => {
                    self.thread.process.host.kill();
                    return Poll::Ready(Outcome::Gone);
                }
            }
        }
    }

    /// Judges a report; none if all orders were carried out.
    fn reported(&mut self, step: Step, done: usize, result: i64) -> Option<Outcome<i64>> {
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
        self.drive.drop_queue();
        Some(outcome)
    }

    /// Writes one answer with as much of the queue as fits, and gives it to the guest side.
    fn send(&mut self, goal: Goal<Order>) -> std::result::Result<Step, Unsent> {
        let (slot, bell) = (self.thread.slot, self.thread.bell());
        self.batch.clear();
        if bell.is_none()
            && self
                .drive
                .ops
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
        let inflight = &self.thread.process.host.inflight;
        let reserved = self.back.len() + 1;
        let mut sent = 0;
        while self.batch.has_room(reserved.min(16))
            && let Some((ticket, op)) = self.drive.ops.front()
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
            let Some((ticket, op)) = self.drive.ops.pop_front() else {
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
        let part = !self.drive.ops.is_empty();
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
}
