//! Reading a request or a report from a channel: fetched once, checked, then used.

use std::mem::offset_of;

use abi::conv::size;
use abi::regs::Regs;

use super::thread::Thread;
use crate::FaultInfo;
use crate::guest::drive::Stop;
use crate::guest::layout::{
    CONTROL_BYTES, Carried, Control, DATA_BYTES, KIND_FAULT, KIND_INTERRUPT, KIND_REPORT, KIND_SYSCALL, MAX_CARRIED,
    NREGS,
};

/// Why a thread has handed over.
#[derive(Debug)]
pub(super) enum Event {
    /// Guest code stopped.
    Stop(Stop),
    /// Orders: how many were carried out, and the last one's result.
    Report(usize, i64),
}

/// Guest bytes that came with a request.
#[derive(Default)]
pub(super) struct Luggage {
    pieces: Vec<(u64, usize, usize)>,
    bytes: Vec<u8>,
}

impl Luggage {
    /// All bytes from `addr` to the end of its piece.
    pub(super) fn from(&self, addr: u64) -> Option<&[u8]> {
        self.pieces.iter().find_map(|&(start, offset, len)| {
            let skip = size(addr.checked_sub(start)?);
            self.bytes
                .get(offset..offset + len)?
                .get(skip..)
                .filter(|rest| !rest.is_empty())
        })
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }
}

/// Reads what a stopped thread wrote.
pub(super) fn fetch(thread: &Thread, regs: &mut Regs, luggage: &mut Luggage) -> Event {
    let c = &thread.process.channel;
    luggage.clear();
    match c.read_u32(thread.at(offset_of!(Control, kind))) {
        KIND_SYSCALL => {
            fetch_regs(thread, regs);
            fetch_luggage(thread, luggage);
            Event::Stop(Stop::Syscall)
        }
        KIND_FAULT => {
            fetch_regs(thread, regs);
            Event::Stop(Stop::Fault(fetch_fault(thread)))
        }
        KIND_INTERRUPT => {
            fetch_regs(thread, regs);
            Event::Stop(Stop::Interrupt)
        }
        KIND_REPORT => {
            let done = size(c.read_u64(thread.at(offset_of!(Control, orders_done))));
            Event::Report(done, c.read_u64(thread.at(offset_of!(Control, result))).cast_signed())
        }
        // A new thread, or nonsense: of no interest to anybody.
        _ => Event::Stop(Stop::Interrupt),
    }
}

fn fetch_regs(thread: &Thread, regs: &mut Regs) {
    let mut words = [0u64; NREGS];
    thread
        .process
        .channel
        .read_words(thread.at(offset_of!(Control, regs)), &mut words);
    *regs = zerocopy::transmute!(words);
}

fn fetch_fault(thread: &Thread) -> FaultInfo {
    let c = &thread.process.channel;
    let int = |field| c.read_u32(thread.at(field)).cast_signed();
    let word = |field| c.read_u64(thread.at(field));
    let signo = match int(offset_of!(Control, signo)) {
        signo @ (libc::SIGILL | libc::SIGTRAP | libc::SIGBUS | libc::SIGFPE) => signo,
        _ => libc::SIGSEGV,
    };
    FaultInfo {
        signo,
        code: int(offset_of!(Control, code)),
        addr: word(offset_of!(Control, fault_addr)),
        trapno: word(offset_of!(Control, trapno)),
        err: word(offset_of!(Control, err)),
        cr2: word(offset_of!(Control, cr2)),
    }
}

fn fetch_luggage(thread: &Thread, luggage: &mut Luggage) {
    let c = &thread.process.channel;
    let count = c.read_u32(thread.at(offset_of!(Control, n_carried)));
    let count = usize::try_from(count).map_or(0, |n| n.min(MAX_CARRIED));
    let limit = size(DATA_BYTES);
    let mut end = 0;
    for i in 0..count {
        let at = thread.at(offset_of!(Control, carried)) + i * size_of::<Carried>();
        let (addr, len) = (c.read_u64(at), c.read_u32(at + offset_of!(Carried, len)));
        let offset = c.read_u32(at + offset_of!(Carried, offset));
        let (Ok(len), Ok(offset)) = (usize::try_from(len), usize::try_from(offset)) else {
            continue;
        };
        match offset.checked_add(len) {
            Some(to) if to <= limit => end = end.max(to),
            _ => continue,
        }
        luggage.pieces.push((addr, offset, len));
    }
    luggage.bytes.resize(end.max(luggage.bytes.len()), 0);
    if let Some(bytes) = luggage.bytes.get_mut(..end) {
        c.read_bytes(thread.at(size(CONTROL_BYTES)), bytes);
    }
}
