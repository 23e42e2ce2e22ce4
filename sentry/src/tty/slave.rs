//! The slave side of a pair: what programs take for a terminal.

use std::any::Any;
use std::sync::Arc;

use abi::errno::Result;
use abi::termios::{ICANON, VMIN, VTIME};
use abi::{Errno, SysResult};

use super::{Tty, ioctl, job};
use crate::cred::cap;
use crate::executor::Executor;
use crate::fs::{File, FileOps, OpenFlags, Sink, Source, WriteAt};
use crate::task::{Cx, Task, current};
use crate::wait::{Events, Listener, WaitQueue};

/// Largest piece written at once.
const PIECE: usize = 4096;
/// A read that comes this long after a `VTIME` wait has ended is a new read.
const STALE_NS: u64 = 50_000_000;

/// An open slave.
pub struct SlaveFile {
    tty: Arc<Tty>,
    generation: u64,
}

/// Opens the slave for a task. `EIO` while locked or without a master. Without `O_NOCTTY` it becomes the controlling
/// terminal of a session leader that has none.
pub fn open_slave(tty: &Arc<Tty>, task: &Arc<Task>, flags: OpenFlags) -> Result<Arc<SlaveFile>> {
    let state = tty.state.lock();
    if state.locked || !state.master_open {
        return Err(Errno::EIO);
    }
    if state.exclusive && !task.capable(cap::SYS_ADMIN) {
        return Err(Errno::EBUSY);
    }
    drop(state);
    let file = open_unchecked(tty);
    if !flags.contains(OpenFlags::NOCTTY) {
        job::take_if_free(tty, task);
    }
    Ok(file)
}

/// Opens the slave whatever its state.
pub(super) fn open_unchecked(tty: &Arc<Tty>) -> Arc<SlaveFile> {
    let mut state = tty.state.lock();
    state.slaves += 1;
    state.slave_seen = true;
    let generation = state.generation;
    drop(state);
    Arc::new(SlaveFile {
        tty: tty.clone(),
        generation,
    })
}

impl SlaveFile {
    /// The pair.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// A hang-up came after the open.
    pub(super) fn is_dead(&self) -> bool {
        self.tty.state.lock().generation != self.generation
    }

    /// How a read without data goes on, by `VMIN` and `VTIME` (`termios(3)`): wait, or end with what is there.
    fn read_raw(&self, file: &File, max: usize) -> Result<Vec<u8>> {
        let tty = &self.tty;
        let mut state = tty.state.lock();
        let (min, time) = (state.ldisc.termios.char(VMIN), state.ldisc.termios.char(VTIME));
        let there = state.ldisc.available().unwrap_or(0);
        let enough = usize::from(min).min(max).max(1);
        let now = Executor::now();
        let nonblock = file.nonblock();
        let timed_out = match state.read_deadline {
            Some(at) if now >= at.saturating_add(STALE_NS) => {
                state.read_deadline = None;
                false
            }
            Some(at) => now >= at,
            None => false,
        };
        if there >= enough || (there > 0 && (nonblock || timed_out)) {
            state.read_deadline = None;
            let data = state.ldisc.read(max).unwrap_or_default();
            drop(state);
            tty.master_queue.wake(Events::WRITE);
            return Ok(data);
        }
        if min == 0 && there == 0 && (time == 0 || timed_out) {
            state.read_deadline = None;
            return Ok(Vec::new());
        }
        // With VMIN the clock starts at the first byte, without at once.
        if time > 0 && !nonblock && (min == 0 || there > 0) && state.read_deadline.is_none() {
            let at = now.saturating_add(u64::from(time) * 100_000_000);
            state.read_deadline = Some(at);
            if let (Some(kernel), Some(me)) = (tty.kernel.upgrade(), tty.me.upgrade()) {
                kernel.executor.notify_at(at, Arc::new(WakeReaders(me)));
            }
        }
        Err(Errno::EAGAIN)
    }
}

/// The time of `VTIME` is over.
struct WakeReaders(Arc<Tty>);

impl Listener for WakeReaders {
    fn notify(&self, _events: Events) {
        self.0.slave_queue.wake(Events::READ);
    }
}

impl Drop for SlaveFile {
    fn drop(&mut self) {
        let mut state = self.tty.state.lock();
        state.slaves = state.slaves.saturating_sub(1);
        let last = state.slaves == 0;
        if last {
            state.exclusive = false;
        }
        drop(state);
        if last {
            self.tty.master_queue.wake(Events::READ | Events::HUP);
        }
    }
}

impl FileOps for SlaveFile {
    fn read(&self, file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if self.is_dead() {
            return Ok(0);
        }
        if let Some(task) = current() {
            job::check_read(&self.tty, &task)?;
        }
        let max = dst.remaining();
        if max == 0 {
            return Ok(0);
        }
        let mut state = self.tty.state.lock();
        let data = if state.ldisc.termios.l(ICANON) {
            let line = state.ldisc.read(max);
            let gone = !state.master_open;
            drop(state);
            match line {
                Some(data) => {
                    self.tty.master_queue.wake(Events::WRITE);
                    data
                }
                None if gone => return Ok(0),
                None => return Err(Errno::EAGAIN),
            }
        } else {
            drop(state);
            self.read_raw(file, max)?
        };
        if data.is_empty() { Ok(0) } else { dst.put(&data) }
    }

    fn write(&self, _file: &File, src: &mut dyn Source, _at: &mut WriteAt) -> Result<usize> {
        if self.is_dead() {
            return Err(Errno::EIO);
        }
        if let Some(task) = current() {
            job::check_write(&self.tty, &task)?;
        }
        let mut done = 0;
        while src.remaining() > 0 {
            let mut piece = vec![0u8; src.remaining().min(PIECE)];
            let got = match src.take(&mut piece) {
                Ok(got) => got,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            let mut state = self.tty.state.lock();
            if !state.master_open {
                return Err(Errno::EIO);
            }
            let n = state.ldisc.write(piece.get(..got).unwrap_or_default());
            drop(state);
            done += n;
            if n < got {
                src.put_back(got - n);
                break;
            }
        }
        self.tty.master_queue.wake(Events::READ);
        if done == 0 && src.remaining() > 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }

    fn poll(&self, _file: &File) -> Events {
        if self.is_dead() {
            return Events::READ | Events::WRITE | Events::ERR | Events::HUP;
        }
        let state = self.tty.state.lock();
        let mut events = Events::empty();
        let min = if state.ldisc.termios.l(ICANON) || state.ldisc.termios.char(VTIME) > 0 {
            1
        } else {
            usize::from(state.ldisc.termios.char(VMIN)).max(1)
        };
        if state.ldisc.available().is_some_and(|n| n >= min) {
            events |= Events::READ;
        }
        if state.ldisc.can_write() {
            events |= Events::WRITE;
        }
        if !state.master_open {
            events |= Events::READ | Events::HUP;
        }
        events
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.tty.slave_queue)
    }

    fn ioctl(&self, cx: &mut Cx, file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        if self.is_dead() {
            return Err(Errno::EIO.into());
        }
        ioctl::slave(&self.tty, cx, file, cmd, arg)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
