//! Terminals: pseudo-terminal pairs (`pty(7)`) with `N_TTY`, job control, and the console of a container.
//!
//! Lock: `Tty::state`; no other lock of the kernel is taken while it is held but those of wait queues. Signals are sent
//! after it is released.

pub mod console;
mod ioctl;
mod job;
mod ldisc;
mod master;
mod slave;

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::termios::{ONLCR, Termios, Winsize};

use crate::kernel::Kernel;
use crate::signal::{SigInfo, Signal};
use crate::sync::Mutex;
use crate::task::{ControllingTty, Session};
use crate::wait::{Events, WaitQueue};

use ldisc::Ldisc;
pub use master::MasterFile;
pub use slave::{SlaveFile, open_slave};

/// Major number of pty slaves.
pub const PTS_MAJOR: u32 = 136;

/// Status bits of packet mode (`TIOCPKT_*`).
mod packet {
    pub(super) const FLUSHREAD: u8 = 1;
    pub(super) const FLUSHWRITE: u8 = 2;
    pub(super) const STOP: u8 = 4;
    pub(super) const START: u8 = 8;
    pub(super) const NOSTOP: u8 = 16;
    pub(super) const DOSTOP: u8 = 32;
}

/// A pair: the master is the screen and keyboard, the slave what programs take for a terminal.
pub struct Tty {
    me: Weak<Tty>,
    kernel: Weak<Kernel>,
    /// Its number: `/dev/pts/N`.
    pub index: u32,
    state: Mutex<State>,
    /// Master side: `IN` when there is output to show, `OUT` when input fits.
    pub(crate) master_queue: Arc<WaitQueue>,
    /// Slave side.
    slave_queue: Arc<WaitQueue>,
}

struct State {
    ldisc: Ldisc,
    winsize: Winsize,
    /// `TIOCSPTLCK`: the slave cannot be opened.
    locked: bool,
    master_open: bool,
    /// Open slaves, dead ones too: the master sees a hang-up only when the last is closed (`tty_io.c:__tty_hangup`).
    slaves: u32,
    /// A slave was open once: with the last one closed the master sees a hang-up.
    slave_seen: bool,
    /// Slaves opened before a hang-up are dead.
    generation: u64,
    session: Option<Weak<Session>>,
    /// Foreground process group, by its number in the first pid namespace.
    foreground: Option<i32>,
    /// `TIOCPKT`
    packet: bool,
    packet_status: u8,
    /// `TIOCEXCL`
    exclusive: bool,
    /// End of the wait of a read with `VTIME`.
    read_deadline: Option<u64>,
}

impl Tty {
    /// A pair with its slave locked.
    pub fn new(kernel: &Arc<Kernel>, index: u32) -> Arc<Tty> {
        Arc::new_cyclic(|me| Tty {
            me: me.clone(),
            kernel: Arc::downgrade(kernel),
            index,
            state: Mutex::new(State {
                ldisc: Ldisc::default(),
                winsize: Winsize::default(),
                locked: true,
                master_open: true,
                slaves: 0,
                slave_seen: false,
                generation: 0,
                session: None,
                foreground: None,
                packet: false,
                packet_status: 0,
                exclusive: false,
                read_deadline: None,
            }),
            master_queue: Arc::default(),
            slave_queue: Arc::default(),
        })
    }

    /// As a counted reference.
    pub fn arc(&self) -> Option<Arc<Tty>> {
        self.me.upgrade()
    }

    /// Takes keyboard input; gives how many bytes fitted.
    pub(crate) fn input(&self, data: &[u8]) -> usize {
        let mut state = self.state.lock();
        let was_stopped = state.ldisc.stopped;
        let (n, signals) = state.ldisc.receive(data);
        if state.packet && was_stopped != state.ldisc.stopped {
            state.packet_status |= if state.ldisc.stopped {
                packet::STOP
            } else {
                packet::START
            };
        }
        if !signals.is_empty() && state.packet && !state.ldisc.termios.l(abi::termios::NOFLSH) {
            state.packet_status |= packet::FLUSHREAD | packet::FLUSHWRITE;
        }
        let foreground = state.foreground;
        drop(state);
        for signal in signals {
            self.signal_foreground(foreground, signal);
        }
        self.slave_queue.wake(Events::READ | Events::WRITE);
        // Echo and status.
        self.master_queue.wake(Events::READ | Events::PRI);
        n
    }

    /// Takes up to `max` bytes of output for the screen.
    pub(crate) fn take_output(&self, max: usize) -> Vec<u8> {
        let mut state = self.state.lock();
        if state.ldisc.stopped {
            return Vec::new();
        }
        let n = state.ldisc.output.len().min(max);
        let out = state.ldisc.output.drain(..n).collect();
        drop(state);
        self.slave_queue.wake(Events::WRITE);
        out
    }

    /// Nothing is left to show.
    pub(crate) fn is_drained(&self) -> bool {
        self.state.lock().ldisc.output.is_empty()
    }

    /// `TIOCSWINSZ`: a change is told to the foreground.
    pub fn set_winsize(&self, size: Winsize) {
        let mut state = self.state.lock();
        if state.winsize == size {
            return;
        }
        state.winsize = size;
        let foreground = state.foreground;
        drop(state);
        self.signal_foreground(foreground, Signal::SIGWINCH);
    }

    /// Whether a line's end is written with a carriage return before it.
    pub(crate) fn set_onlcr(&self, on: bool) {
        let termios = &mut self.state.lock().ldisc.termios;
        termios.oflag = (termios.oflag & !ONLCR) | if on { ONLCR } else { 0 };
    }

    /// Opens the slave on behalf of nobody: the standard files of a container.
    pub fn open_unowned(self: &Arc<Self>) -> Arc<SlaveFile> {
        slave::open_unchecked(self)
    }

    /// Lets the slave be opened.
    pub fn unlock(&self) {
        self.state.lock().locked = false;
    }

    fn signal_foreground(&self, foreground: Option<i32>, signal: Signal) {
        if let (Some(kernel), Some(pgid)) = (self.kernel.upgrade(), foreground) {
            kernel.tasks.signal_pgrp(pgid, SigInfo::kernel(signal));
        }
    }

    fn set_termios(&self, termios: Termios, flush: bool) {
        let mut state = self.state.lock();
        let old = state.ldisc.termios;
        state.ldisc.set_termios(termios);
        if flush {
            state.ldisc.flush_input();
        }
        if state.packet {
            let flow = |t: &Termios| t.i(abi::termios::IXON) && t.is(8, 0x11) && t.is(9, 0x13);
            if flow(&old) != flow(&termios) {
                state.packet_status |= if flow(&termios) { packet::DOSTOP } else { packet::NOSTOP };
            }
        }
        drop(state);
        self.slave_queue.wake(Events::READ | Events::WRITE);
        self.master_queue.wake(Events::WRITE | Events::PRI);
    }

    /// The slave side ends for all who have it open: end of file, `EIO`, `SIGHUP` to the session (`vhangup`).
    fn hang_up(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        let session = state.session.take().and_then(|s| s.upgrade());
        let foreground = state.foreground.take();
        drop(state);
        if let (Some(session), Some(kernel)) = (session, self.kernel.upgrade()) {
            let mut tty = session.tty.lock();
            if tty.as_ref().is_some_and(|t| self.is(t.as_ref())) {
                *tty = None;
            }
            drop(tty);
            let leader = kernel.tasks.process(&kernel.tasks.root_ns, session.pid.number());
            if let Some(leader) = leader {
                let _ = leader.send_signal(SigInfo::kernel(Signal::SIGHUP));
                let _ = leader.send_signal(SigInfo::kernel(Signal::SIGCONT));
            }
            if let Some(pgid) = foreground.filter(|&p| p != session.pid.number()) {
                kernel.tasks.signal_pgrp(pgid, SigInfo::kernel(Signal::SIGHUP));
                kernel.tasks.signal_pgrp(pgid, SigInfo::kernel(Signal::SIGCONT));
            }
        }
        self.slave_queue
            .wake(Events::READ | Events::WRITE | Events::HUP | Events::ERR);
        self.master_queue.wake(Events::READ | Events::HUP);
    }

    /// The master is gone.
    fn close_master(&self) {
        self.state.lock().master_open = false;
        self.hang_up();
    }

    fn is(&self, other: &dyn ControllingTty) -> bool {
        other
            .as_any()
            .downcast_ref::<Tty>()
            .is_some_and(|t| std::ptr::eq(t, self))
    }
}

impl ControllingTty for Tty {
    fn foreground(&self) -> Option<i32> {
        self.state.lock().foreground
    }

    /// A pair is not hung up by its leader's end: it only belongs to no session then (`tty_jobctrl.c:disassociate_ctty`).
    fn disassociate(&self) {
        let mut state = self.state.lock();
        state.session = None;
        state.foreground = None;
    }

    fn vhangup(&self) {
        self.hang_up();
    }

    fn device(&self) -> u64 {
        crate::fs::stat::makedev(PTS_MAJOR, self.index)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
