//! A guest thread as the tracer and its context share it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use abi::Errno;
use abi::regs::Regs;
use parking_lot::Mutex;

use crate::guest::drive::{self, Stop};
use crate::guest::kick::Target;
use crate::guest::layout::SIG_INTERRUPT;
use crate::guest::process::HostProcess;
use crate::host::process;
use crate::{MemOp, OpFailure};

/// A host thread in a guest process, a tracee.
pub(super) struct Thread {
    pub(super) process: Arc<HostProcess>,
    pub(super) tid: i32,
    pub(super) state: Mutex<State>,
    /// No context drives it any more: it is to end as soon as it stops.
    pub(super) retired: AtomicBool,
}

/// What the two sides have for each other.
#[derive(Default)]
pub(super) struct State {
    /// For the tracer to take.
    pub(super) request: Option<Request>,
    /// For the context to take.
    pub(super) reply: Option<Reply>,
    /// It runs guest code.
    pub(super) running: bool,
    pub(super) gone: bool,
    /// The interrupt signal came while the tracer had it do something.
    pub(super) interrupted: bool,
    /// Floating-point image (regset) of the last stop.
    pub(super) xstate: Vec<u8>,
    /// Operations carried out so far.
    pub(super) operations: u64,
    pub(super) waker: Option<Waker>,
}

/// What a stopped thread is to do.
pub(super) struct Request {
    pub(super) goal: Goal,
    /// To be carried out first, with their places among the address space's changes (0 while no other thread shares it).
    pub(super) ops: VecDeque<(u64, MemOp)>,
    pub(super) regs: Regs,
    /// A floating-point image to be set before it runs, or before it is copied.
    pub(super) xstate: Option<Vec<u8>>,
}

/// The purpose of a request.
pub(super) type Goal = drive::Goal<Order>;

/// What is asked of the tracer beside running guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Cmpxchg { addr: u64, old: u32, new: u32 },
    Fork,
    Clone,
}

/// What an order gives.
pub(super) enum Done {
    Nothing,
    /// The word that was compared.
    Word(u32),
    /// The new thread.
    Born(Arc<Thread>),
}

/// What came of it.
#[expect(clippy::large_enum_variant, reason = "the large one is the frequent one")]
pub(super) enum Reply {
    /// Guest code stopped.
    Stopped(Stop, Regs),
    /// All is carried out.
    Done(Done),
    /// An operation failed.
    Failed(OpFailure),
    /// The goal itself failed.
    Refused(Errno),
    /// Another thread's change has to come first: what is left.
    Blocked(VecDeque<(u64, MemOp)>),
}

impl Thread {
    /// A stopped thread.
    pub(super) fn new(process: Arc<HostProcess>, tid: i32, xstate: Vec<u8>) -> Arc<Thread> {
        Arc::new(Thread {
            process,
            tid,
            state: Mutex::new(State {
                xstate,
                ..State::default()
            }),
            retired: AtomicBool::new(false),
        })
    }

    /// Gives the context an answer; true if a future was woken.
    pub(super) fn reply(&self, reply: Reply) -> bool {
        let mut state = self.state.lock();
        state.reply = Some(reply);
        let waker = state.waker.take();
        drop(state);
        waker.map(Waker::wake).is_some()
    }

    /// It is no more; true if a future was woken.
    pub(super) fn set_gone(&self) -> bool {
        let mut state = self.state.lock();
        state.gone = true;
        let waker = state.waker.take();
        drop(state);
        waker.map(Waker::wake).is_some()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether its end would be the end of its process: as a zombie that could not be reached by its pid any more. It is left
    /// stopped.
    pub(super) fn leads(&self) -> bool {
        self.tid == self.process.pid
    }
}

impl Target for Thread {
    fn interrupt(self: &Arc<Thread>) {
        // If it has ended, the tracer tells.
        self.process
            .with_alive(|pid| process::tgkill(pid, self.tid, SIG_INTERRUPT));
    }
}
