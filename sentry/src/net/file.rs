//! Sockets as files: `read(2)`, `write(2)`, `poll(2)`, `ioctl(2)`, and their end.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::errno::Result;
use abi::socket::{MsgFlags, sioc};
use abi::{Errno, SysResult};

use super::{Control, Dest, RecvMsg, SendMsg, Socket};
use crate::fs::{File, FileOps, Sink, Source, WriteAt};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Events, WaitQueue};

/// The open file of a socket. Its end releases the socket.
pub struct SocketFile {
    /// The socket.
    pub socket: Arc<dyn Socket>,
}

impl SocketFile {
    /// The socket of an open file; `ENOTSOCK` for any other file.
    pub fn of(file: &File) -> Result<&Arc<dyn Socket>> {
        file.downcast::<SocketFile>().map(|f| &f.socket).ok_or(Errno::ENOTSOCK)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.socket.release();
    }
}

fn flags_of(file: &File) -> MsgFlags {
    if file.nonblock() {
        MsgFlags::DONTWAIT
    } else {
        MsgFlags::empty()
    }
}

impl FileOps for SocketFile {
    fn read(&self, file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.socket.recv(dst, &mut RecvMsg::plain(flags_of(file)))
    }

    fn write(&self, file: &File, src: &mut dyn Source, _at: &mut WriteAt) -> Result<usize> {
        let mut msg = SendMsg {
            flags: flags_of(file),
            dest: Dest::Peer,
            control: Control::default(),
            task: src.task().cloned(),
        };
        self.socket.send(src, &mut msg)
    }

    fn poll(&self, _file: &File) -> Events {
        self.socket.poll()
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.socket.base().queue)
    }

    fn timeout_ns(&self, write: bool) -> u64 {
        let base = self.socket.base();
        let limit = if write { &base.sndtimeo } else { &base.rcvtimeo };
        limit.load(Ordering::Relaxed)
    }

    fn ioctl(&self, cx: &mut Cx, file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        let at = UserAddr(arg);
        match cmd {
            sioc::FIOSETOWN | sioc::SPGRP => {
                let pid: i32 = cx.read_obj(at)?;
                let mut owner = file.owner.lock();
                owner.kind = if pid < 0 { 2 } else { 1 };
                owner.id = pid.checked_abs().ok_or(Errno::EINVAL)?;
                Ok(0)
            }
            sioc::FIOGETOWN | sioc::GPGRP => {
                let owner = *file.owner.lock();
                let pid = if owner.kind == 2 { -owner.id } else { owner.id };
                cx.write_obj(at, &pid)?;
                Ok(0)
            }
            sioc::GSTAMP_OLD => {
                let stamp = self.socket.base().rare.lock().stamp;
                if stamp == 0 {
                    return Err(Errno::ENOENT.into());
                }
                cx.write_obj(at, &[stamp / 1_000_000_000, stamp % 1_000_000_000 / 1000])?;
                Ok(0)
            }
            _ => self.socket.ioctl(cx, cmd, arg),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
