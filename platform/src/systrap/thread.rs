//! A guest thread as all parts of the platform see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use abi::Errno;
use parking_lot::Mutex;

use super::births::Birth;
use super::process::Process;
use crate::guest::kick::Target;
use crate::guest::layout::{Control, SIG_INTERRUPT, SLOT_BYTES, TURN_ASLEEP, TURN_REPLY, TURN_REQUEST};
use crate::host::notify::Answer;
use crate::host::process;

/// A host thread in a guest process.
pub(super) struct Thread {
    pub(super) process: Arc<Process>,
    pub(super) slot: u32,
    pub(super) tid: i32,
    state: Mutex<State>,
    /// No context drives it any more: it is to end as soon as it stops.
    retired: AtomicBool,
}

#[derive(Default)]
struct State {
    /// It has handed over and waits for an answer.
    stopped: bool,
    /// The notification that it waits in, unless it spins.
    bell: Option<u64>,
    /// Times it has handed over.
    bells: u64,
    /// It was answered before its notification came.
    owed: bool,
    /// It may clone once, with these flags.
    clone: Option<u64>,
    gone: bool,
    waker: Option<Waker>,
    birth: Option<Arc<Birth>>,
}

/// Why a thread cannot be waited for.
#[derive(Debug)]
pub(super) struct Gone;

impl Thread {
    pub(super) fn new(process: Arc<Process>, slot: u32, tid: i32, birth: Option<Arc<Birth>>) -> Arc<Thread> {
        let state = Mutex::new(State {
            birth,
            ..State::default()
        });
        Arc::new(Thread {
            process,
            slot,
            tid,
            state,
            retired: AtomicBool::new(false),
        })
    }

    /// Its doorbell notification came; true if a future was woken.
    pub(super) fn rang(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        if state.gone {
            return false;
        }
        if std::mem::take(&mut state.owed) {
            drop(state);
            self.process.answer(id, Answer::Zero);
            return false;
        }
        state.bell = Some(id);
        state.bells += 1;
        if self.retired.load(Ordering::Acquire) {
            drop(state);
            self.end();
            return false;
        }
        if std::mem::replace(&mut state.stopped, true) {
            return false;
        }
        let (waker, birth) = (state.waker.take(), state.birth.take());
        drop(state);
        waker.map(Waker::wake).is_some() | birth.is_some_and(|b| b.wake())
    }

    /// Whether a request is in the channel of a thread that does not ring for it.
    pub(super) fn has_called(&self) -> bool {
        self.process.channel.load(self.at(std::mem::offset_of!(Control, turn))) == TURN_REQUEST
    }

    /// Its request was seen before it rang; true if a future was woken.
    pub(super) fn spotted(&self) -> bool {
        if let Some(hub) = self.process.hub.upgrade() {
            hub.pace.called(self);
        }
        let mut state = self.state.lock();
        if state.gone || self.retired.load(Ordering::Acquire) || std::mem::replace(&mut state.stopped, true) {
            return false;
        }
        state.bells += 1;
        let waker = state.waker.take();
        drop(state);
        waker.map(Waker::wake).is_some()
    }

    /// Ready when the thread has handed over.
    pub(super) fn poll_stopped(&self, waker: &Waker) -> Poll<Result<(), Gone>> {
        let mut state = self.state.lock();
        if state.gone {
            return Poll::Ready(Err(Gone));
        }
        if state.stopped {
            return Poll::Ready(Ok(()));
        }
        match &mut state.waker {
            Some(old) if old.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// The notification that it waits in.
    pub(super) fn bell(&self) -> Option<u64> {
        self.state.lock().bell
    }

    /// Gives the channel, filled with an answer, to the guest side. With `watched` this worker does not sleep then.
    pub(super) fn answer(&self, watched: bool) {
        let mut state = self.state.lock();
        state.stopped = false;
        let before = self
            .process
            .channel
            .swap(self.at(std::mem::offset_of!(Control, turn)), TURN_REPLY);
        match state.bell.take() {
            Some(id) => {
                drop(state);
                if watched {
                    self.process.answer_elsewhere(id);
                } else {
                    self.process.answer(id, Answer::Zero);
                }
            }
            None => state.owed = before == TURN_ASLEEP,
        }
    }

    /// Lets it clone once with those flags.
    pub(super) fn allow_clone(&self, flags: Option<u64>) {
        self.state.lock().clone = flags;
    }

    /// Whether a clone with those flags was ordered; it counts once.
    pub(super) fn may_clone(&self, flags: u64) -> bool {
        self.state.lock().clone.take_if(|ordered| *ordered == flags).is_some()
    }

    /// Whether it was let go, or ended itself: its number may be another thread's.
    pub(super) fn has_ended(&self) -> bool {
        let exists = || {
            self.process
                .host
                .with_alive(|pid| process::tgkill(pid, self.tid, 0).is_ok())
        };
        self.retired.load(Ordering::Acquire) || exists() != Some(true)
    }

    /// Whether it has handed over since `bells` were counted, or can be forgotten.
    pub(super) fn responded(&self, bells: u64) -> bool {
        let state = self.state.lock();
        state.gone || state.stopped || state.bells != bells
    }

    /// Times it has handed over.
    pub(super) fn bells(&self) -> u64 {
        self.state.lock().bells
    }

    /// Its process died.
    pub(super) fn set_gone(&self) {
        let mut state = self.state.lock();
        state.gone = true;
        let (waker, birth) = (state.waker.take(), state.birth.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(birth) = birth {
            birth.wake();
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    /// Its context is dropped: it ends now, or as soon as it stops.
    pub(super) fn retire(self: &Arc<Thread>) {
        self.retired.store(true, Ordering::Release);
        let stopped = self.state.lock().stopped;
        if stopped {
            self.end();
        } else {
            self.interrupt();
        }
    }

    /// Orders the stopped thread to end. The leader of the group only waits: as a zombie its process could not be reached
    /// by its pid any more.
    fn end(&self) {
        if self.tid != self.process.host.pid {
            super::reply::order_exit(self);
            self.answer(false);
        }
    }

    /// Processor time, of the whole process where the host tells no finer.
    pub(super) fn cpu_time_ns(&self) -> u64 {
        self.process.host.thread_cpu_ns(self.tid)
    }

    /// Offset of this thread's slot in the channel area, plus `field`.
    pub(super) fn at(&self, field: usize) -> usize {
        let slot = u64::from(self.slot).saturating_mul(SLOT_BYTES);
        abi::conv::size(slot).saturating_add(field)
    }
}

impl Target for Thread {
    fn interrupt(self: &Arc<Thread>) {
        let sent = self
            .process
            .host
            .with_alive(|pid| process::tgkill(pid, self.tid, SIG_INTERRUPT));
        match sent {
            // Guest code has ended its thread behind our back.
            Some(Err(Errno::ESRCH)) => self.set_gone(),
            Some(_) => {
                if let Some(hub) = self.process.hub.upgrade() {
                    hub.watchdog.expect(self);
                }
            }
            // The reaper tells it.
            None => {}
        }
    }
}
