//! Writing answers: orders first, then whether guest code runs.

use std::mem::offset_of;

use abi::Errno;
use abi::conv::{size, usize64};
use abi::regs::Regs;

use super::thread::Thread;
use crate::MemOp;
use crate::guest::layout::{
    CONTROL_BYTES, Control, DATA_BYTES, FPU_INIT, FPU_KEEP, MAX_ORDERS, NREGS, ORDER_COPY, ORDER_EXIT, ORDER_SYSCALL,
    Order, THEN_REPORT, THEN_RESUME,
};
use crate::guest::memop;

/// Orders being collected, and which operation each belongs to.
#[derive(Default)]
pub(super) struct Batch {
    orders: Vec<Order>,
    /// Operations with the index of their first order.
    ops: Vec<(usize, MemOp)>,
    /// Fds put into the process for this batch, with the index of the order that closes each.
    fds: Vec<(usize, u64)>,
}

impl Batch {
    /// Whether an operation still fits beside `reserved` orders to come.
    pub(super) fn has_room(&self, reserved: usize) -> bool {
        self.orders.len() + 2 + reserved <= MAX_ORDERS
    }

    pub(super) fn push(&mut self, order: Order) {
        self.orders.push(order);
    }

    /// Adds an operation. A file is put into the process now, which needs the notification that its thread waits in.
    pub(super) fn push_op(&mut self, thread: &Thread, bell: Option<u64>, op: MemOp) -> Result<(), (MemOp, Errno)> {
        let first = self.orders.len();
        let hub = thread.process.hub.upgrade();
        let proc_fd = hub.as_ref().and_then(|hub| hub.proc_fd.as_deref());
        match memop::file(&op, proc_fd) {
            None => self.push(order(memop::call(&op, 0))),
            Some(file) => {
                let lent = file.and_then(|file| lend(thread, bell, &file));
                let fd = match lent {
                    Ok(fd) => fd,
                    Err(errno) => return Err((op, errno)),
                };
                self.push(order(memop::call(&op, fd)));
                self.fds.push((self.orders.len(), fd));
                self.push(close(fd));
            }
        }
        self.ops.push((first, op));
        Ok(())
    }

    /// The operation that order `index` belongs to.
    pub(super) fn op_at(&self, index: usize) -> Option<&MemOp> {
        self.ops
            .iter()
            .rev()
            .find(|(first, _)| *first <= index)
            .map(|(_, op)| op)
    }

    /// Fds that stay in the process if the orders end before `index`.
    pub(super) fn stray(&self, index: usize) -> impl Iterator<Item = u64> + '_ {
        self.fds
            .iter()
            .filter(move |(close, _)| *close >= index)
            .map(|(_, fd)| *fd)
    }

    pub(super) fn len(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn clear(&mut self) {
        self.orders.clear();
        self.ops.clear();
        self.fds.clear();
    }
}

fn order((nr, args): (u32, [u64; 6])) -> Order {
    Order {
        kind: ORDER_SYSCALL,
        nr,
        args,
    }
}

/// Closes an fd in the guest process.
pub(super) fn close(fd: u64) -> Order {
    order((abi::nr::CLOSE, [fd, 0, 0, 0, 0, 0]))
}

/// Copies from the data area to guest memory.
pub(super) fn copy(addr: u64, len: usize, offset: usize) -> Order {
    Order {
        kind: ORDER_COPY,
        nr: 0,
        args: [addr, usize64(len), usize64(offset), 0, 0, 0],
    }
}

fn lend(thread: &Thread, bell: Option<u64>, file: &impl std::os::fd::AsFd) -> Result<u64, Errno> {
    let (Some(hub), Some(id)) = (thread.process.hub.upgrade(), bell) else {
        return Err(Errno::EAGAIN);
    };
    hub.listener.add_fd(id, std::os::fd::AsFd::as_fd(file))
}

/// What an answer sets beside the orders.
pub(super) struct Ending<'a> {
    /// Guest code runs with these registers; without, the thread reports.
    pub(super) resume: Option<&'a Regs>,
    pub(super) init_fpu: bool,
    pub(super) spin: u32,
}

/// Writes an answer to a stopped thread's channel. It counts once `Thread::answer` is called.
pub(super) fn write(thread: &Thread, batch: &Batch, ending: &Ending<'_>) {
    let c = &thread.process.channel;
    for (i, order) in batch.orders.iter().take(MAX_ORDERS).enumerate() {
        write_order(thread, i, order);
    }
    let count = u32::try_from(batch.orders.len().min(MAX_ORDERS)).unwrap_or(0);
    c.write_u32(thread.at(offset_of!(Control, n_orders)), count);
    c.write_u32(
        thread.at(offset_of!(Control, fpu)),
        if ending.init_fpu { FPU_INIT } else { FPU_KEEP },
    );
    c.write_u32(thread.at(offset_of!(Control, spin)), ending.spin);
    let then = match ending.resume {
        Some(regs) => {
            let words: [u64; NREGS] = zerocopy::transmute!(*regs);
            c.write_words(thread.at(offset_of!(Control, regs)), &words);
            c.write_u32(thread.at(offset_of!(Control, set_regs)), 1);
            THEN_RESUME
        }
        None => THEN_REPORT,
    };
    c.write_u32(thread.at(offset_of!(Control, then)), then);
}

/// Orders a stopped thread to end.
pub(super) fn order_exit(thread: &Thread) {
    write_order(
        thread,
        0,
        &Order {
            kind: ORDER_EXIT,
            nr: 0,
            args: [0; 6],
        },
    );
    thread
        .process
        .channel
        .write_u32(thread.at(offset_of!(Control, n_orders)), 1);
}

/// Makes a slot ready for a new thread.
pub(super) fn reset_slot(thread: &Thread, slot: u32, no_fsgsbase: bool) {
    let c = &thread.process.channel;
    let base = size(u64::from(slot).saturating_mul(crate::guest::layout::SLOT_BYTES));
    c.write_u32(base + offset_of!(Control, turn), 0);
    c.write_u32(base + offset_of!(Control, spin), 0);
    c.write_u64(base + offset_of!(Control, done), 0);
    c.write_u32(base + offset_of!(Control, no_fsgsbase), u32::from(no_fsgsbase));
}

/// Puts bytes at an offset of the data area; false if they do not fit.
pub(super) fn put_data(thread: &Thread, offset: usize, data: &[u8]) -> bool {
    let fits = offset
        .checked_add(data.len())
        .is_some_and(|end| end <= size(DATA_BYTES));
    fits && thread
        .process
        .channel
        .write_bytes(thread.at(size(CONTROL_BYTES) + offset), data)
}

fn write_order(thread: &Thread, index: usize, order: &Order) {
    let c = &thread.process.channel;
    let at = thread.at(offset_of!(Control, orders)) + index * size_of::<Order>();
    c.write_u32(at, order.kind);
    c.write_u32(at + offset_of!(Order, nr), order.nr);
    c.write_words(at + offset_of!(Order, args), &order.args);
}
