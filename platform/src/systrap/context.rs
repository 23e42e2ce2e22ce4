//! One guest thread as the Sentry's task drives it.

use std::mem::offset_of;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use abi::Errno;
use abi::conv::low32;
use abi::errno::Result;
use abi::regs::Regs;

use super::births::Birth;
use super::event::Luggage;
use super::exchange::Step;
use super::hub::Hub;
use super::reply::{self, Batch};
use super::thread::Thread;
use crate::guest::drive::{self, Drive, Driven, Goal, Outcome};
use crate::guest::layout::{Control, GUEST_END, ORDER_CMPXCHG, Order};
use crate::{AddressSpace, Context, Interrupter, MemOp, NewProcess, OpFailure, Trap, Vdso};

/// A guest thread.
pub(super) struct SysContext {
    pub(super) hub: Arc<Hub>,
    pub(super) thread: Arc<Thread>,
    pub(super) drive: Drive<SysContext>,
    pub(super) regs: Regs,
    /// Orders of the last answer.
    pub(super) batch: Batch,
    /// Bytes in the data area to be copied to guest memory, and where free room begins.
    pub(super) back: Vec<Order>,
    pub(super) back_end: usize,
    pub(super) luggage: Luggage,
    /// Fds that a failed operation left in the process.
    pub(super) stray: Vec<u64>,
    /// The next run starts with the processor's initial floating-point state.
    pub(super) init_fpu: bool,
    pub(super) fp_addr: u64,
    /// Answers given so far: what the stub's own count will be.
    pub(super) answers: u64,
    /// An answer is out.
    pub(super) busy: Option<Step>,
    pub(super) birth: Option<(Arc<Birth>, Option<i32>)>,
    /// Turns spent waiting for another thread of the process to carry out its orders.
    pub(super) patience: u32,
}

impl SysContext {
    /// Drives a stopped thread that nobody drives yet.
    pub(super) fn new(hub: &Arc<Hub>, thread: Arc<Thread>, regs: Regs, init_fpu: bool) -> SysContext {
        let at = thread.at(offset_of!(Control, fp_addr));
        SysContext {
            hub: Arc::clone(hub),
            drive: Drive::new(&thread.process.host, thread.slot, Arc::clone(&thread)),
            regs,
            batch: Batch::default(),
            back: Vec::new(),
            back_end: 0,
            luggage: Luggage::default(),
            stray: Vec::new(),
            init_fpu,
            fp_addr: thread.process.channel.read_u64(at),
            answers: 0,
            busy: None,
            birth: None,
            patience: 0,
            thread,
        }
    }

    pub(super) fn space(&self) -> Arc<dyn AddressSpace> {
        self.drive.space()
    }
}

impl Driven for SysContext {
    type Thread = Thread;
    type Order = Order;
    type Done = i64;

    fn drive(&mut self) -> &mut Drive<SysContext> {
        &mut self.drive
    }

    fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    fn has_luggage(&self) -> bool {
        !self.back.is_empty()
    }

    fn poll_goal(&mut self, cx: &mut task::Context<'_>, goal: Goal<Order>) -> Poll<Outcome<i64>> {
        self.poll_exchange(cx, goal)
    }

    fn poll_child(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<SysContext>> {
        self.poll_fork_context(cx)
    }

    fn make_clean(&mut self) {
        self.regs = drive::clean_regs();
        self.init_fpu = true;
    }
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
        let args = [addr, u64::from(old), u64::from(new), 0, 0, 0];
        let order = Order {
            kind: ORDER_CMPXCHG,
            nr: 0,
            args,
        };
        match ready!(self.poll_goal(cx, Goal::Extra(order))) {
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
        drive::poll_exec(self, cx)
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        Arc::clone(&self.drive.kick) as Arc<dyn Interrupter>
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
        if !self.drive.leave() {
            self.thread.retire();
            self.thread.process.give_slot(self.thread.slot, self.thread.tid);
        }
    }
}
