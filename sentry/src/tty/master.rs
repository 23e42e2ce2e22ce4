//! The master side of a pair: `/dev/ptmx` opened.

use std::any::Any;
use std::sync::Arc;

use abi::errno::Result;
use abi::{Errno, SysResult};

use super::{Tty, ioctl};
use crate::fs::{File, FileOps, Sink, Source, WriteAt};
use crate::task::Cx;
use crate::wait::{Events, WaitQueue};

/// Largest piece taken at once.
const PIECE: usize = 4096;

/// An open master. There is one per pair; its end hangs the slave up.
pub struct MasterFile {
    tty: Arc<Tty>,
    /// Takes the pair out of its file system.
    on_close: Box<dyn Fn(u32) + Send + Sync>,
}

impl MasterFile {
    /// `on_close` gets the pair's number when it ends.
    pub fn new(tty: Arc<Tty>, on_close: Box<dyn Fn(u32) + Send + Sync>) -> Arc<MasterFile> {
        Arc::new(MasterFile { tty, on_close })
    }

    /// The pair.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }
}

impl Drop for MasterFile {
    fn drop(&mut self) {
        self.tty.close_master();
        (self.on_close)(self.tty.index);
    }
}

impl FileOps for MasterFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.tty.state.lock();
        if state.packet && state.packet_status != 0 {
            let status = std::mem::take(&mut state.packet_status);
            drop(state);
            return dst.put(&[status]);
        }
        if state.ldisc.output.is_empty() || state.ldisc.stopped {
            // Once no slave is open any more, the master sees an error rather than the end.
            return Err(if state.slave_seen && state.slaves == 0 {
                Errno::EIO
            } else {
                Errno::EAGAIN
            });
        }
        let packet = state.packet;
        let room = dst.remaining() - usize::from(packet);
        let n = state.ldisc.output.len().min(room);
        let mut out = Vec::with_capacity(n + 1);
        if packet {
            out.push(0);
        }
        out.extend(state.ldisc.output.drain(..n));
        drop(state);
        self.tty.slave_queue.wake(Events::WRITE);
        dst.put(&out)
    }

    fn write(&self, _file: &File, src: &mut dyn Source, _at: &mut WriteAt) -> Result<usize> {
        let mut done = 0;
        while src.remaining() > 0 {
            let mut piece = vec![0u8; src.remaining().min(PIECE)];
            let got = match src.take(&mut piece) {
                Ok(got) => got,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            let n = self.tty.input(piece.get(..got).unwrap_or_default());
            done += n;
            if n < got {
                src.put_back(got - n);
                if done == 0 {
                    return Err(Errno::EAGAIN);
                }
                break;
            }
        }
        Ok(done)
    }

    fn poll(&self, _file: &File) -> Events {
        let state = self.tty.state.lock();
        let mut events = Events::empty();
        if !state.ldisc.output.is_empty() && !state.ldisc.stopped {
            events |= Events::READ;
        }
        if state.packet && state.packet_status != 0 {
            events |= Events::READ | Events::PRI;
        }
        if state.ldisc.has_room() {
            events |= Events::WRITE;
        }
        if state.slave_seen && state.slaves == 0 {
            events |= Events::HUP;
        }
        events
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.tty.master_queue)
    }

    fn ioctl(&self, cx: &mut Cx, file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        ioctl::master(&self.tty, cx, file, cmd, arg)
    }

    fn fdinfo(&self, _file: &File) -> String {
        format!("tty-index:\t{}\n", self.tty.index)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
