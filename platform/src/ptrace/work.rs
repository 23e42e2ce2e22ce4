//! Carrying out what contexts ask for.

use std::sync::Arc;

use super::thread::{Done, Goal, Order, Reply, Request, Thread};
use super::tracer::{Gone, Tracer, errno};
use crate::guest::drive::Stop;
use crate::guest::kick::Target;
use crate::guest::layout::{FORK_FLAGS, THREAD_FLAGS};
use crate::guest::memop;
use crate::host::ptrace::{self, Go};
use crate::{MemOp, OpFailure};

impl Tracer<'_> {
    /// Attends to all threads that were submitted; true if a future was woken.
    pub(super) fn serve_queue(&self) -> bool {
        let mut woken = false;
        while let Some(thread) = self.hub.next() {
            woken |= self.serve(&thread);
        }
        woken
    }

    /// Attends to a thread's request; true if a future was woken.
    pub(super) fn serve(&self, thread: &Arc<Thread>) -> bool {
        let mut state = thread.state.lock();
        if state.running && thread.is_retired() {
            // Let go on by an earlier request.
            thread.interrupt();
        }
        if state.gone || state.running {
            return false;
        }
        let request = state.request.take();
        drop(state);
        if thread.is_retired() {
            self.end(thread);
            return false;
        }
        let Some(request) = request else { return false };
        match self.carry_out(thread, request) {
            Ok(Some(reply)) => thread.reply(reply),
            Ok(None) => false,
            // Its future was woken by that.
            Err(Gone) => true,
        }
    }

    /// Does what is asked; no answer yet if guest code runs with it.
    fn carry_out(&self, thread: &Arc<Thread>, request: Request) -> Result<Option<Reply>, Gone> {
        if let Some(reply) = self.operations(thread, request.ops)? {
            return Ok(Some(reply));
        }
        Ok(Some(match request.goal {
            Goal::Run => return self.run(thread, request.regs, request.xstate),
            Goal::Flush => Reply::Done(Done::Nothing),
            Goal::Extra(Order::Cmpxchg { addr, old, new }) => match self.cmpxchg(thread, addr, old, new)? {
                Some(value) => Reply::Done(Done::Word(value)),
                None => Reply::Refused(abi::Errno::EFAULT),
            },
            Goal::Extra(Order::Fork) => born(self.bear(thread, FORK_FLAGS)?),
            Goal::Extra(Order::Clone) => born(self.bear(thread, THREAD_FLAGS)?),
        }))
    }

    /// Carries out queued operations; an answer if they end early.
    fn operations(
        &self,
        thread: &Thread,
        mut ops: std::collections::VecDeque<(u64, MemOp)>,
    ) -> Result<Option<Reply>, Gone> {
        let inflight = &thread.process.inflight;
        let slot = thread.tid.unsigned_abs();
        while let Some((ticket, op)) = ops.pop_front() {
            let mut ranges = memop::ranges(&op).into_iter().flatten();
            if ticket != 0 && ranges.any(|range| inflight.conflict(slot, ticket, range).is_some()) {
                ops.push_front((ticket, op));
                return Ok(Some(Reply::Blocked(ops)));
            }
            let mut state = thread.state.lock();
            state.operations = state.operations.wrapping_add(1);
            let number = state.operations;
            drop(state);
            if ticket != 0 {
                inflight.ordered(ticket, number);
            }
            if let Err(errno) = self.operation(thread, &op)? {
                inflight.done(slot, None);
                return Ok(Some(Reply::Failed(OpFailure { op, errno })));
            }
            inflight.done(slot, Some(number));
        }
        Ok(None)
    }

    fn operation(&self, thread: &Thread, op: &MemOp) -> Result<Result<(), abi::Errno>, Gone> {
        let fd = match memop::file(op, self.hub.proc_fd.as_deref()) {
            Some(Err(errno)) => return Ok(Err(errno)),
            Some(Ok(file)) => match self.lend(thread, &file)? {
                Ok(fd) => Some(fd),
                Err(errno) => return Ok(Err(errno)),
            },
            None => None,
        };
        let (nr, args) = memop::call(op, fd.unwrap_or(0));
        let result = self.call(thread, nr, args)?;
        if let Some(fd) = fd {
            self.call(thread, abi::nr::CLOSE, [fd, 0, 0, 0, 0, 0])?;
        }
        Ok(if (-4095..0).contains(&result) {
            Err(errno(result))
        } else {
            Ok(())
        })
    }

    /// Lets guest code run, unless the interrupt signal has come already.
    fn run(&self, thread: &Thread, mut regs: abi::regs::Regs, xstate: Option<Vec<u8>>) -> Result<Option<Reply>, Gone> {
        if let Some(image) = xstate {
            let _ = ptrace::set_xstate(thread.tid, &image);
        }
        let mut state = thread.state.lock();
        if std::mem::take(&mut state.interrupted) {
            let _ = ptrace::xstate(thread.tid, &mut state.xstate);
            return Ok(Some(Reply::Stopped(Stop::Interrupt, regs)));
        }
        state.running = true;
        drop(state);
        self.hub.set_running(thread.tid, true);
        // In no call: else the kernel would see an interrupted call where the guest's result looks like one.
        regs.orig_rax = u64::MAX;
        // Both fail if the thread is being killed, which its end tells. A segment base that only `wrfsbase` can set stays.
        let _ = ptrace::set_regs(thread.tid, &regs);
        let _ = ptrace::resume(thread.tid, Go::Emulate, 0);
        Ok(None)
    }
}

fn born(child: Result<Arc<Thread>, abi::Errno>) -> Reply {
    match child {
        Ok(child) => Reply::Done(Done::Born(child)),
        Err(errno) => Reply::Refused(errno),
    }
}
