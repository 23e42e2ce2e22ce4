//! Bytes of a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::MsgFlags;

use super::rx::Urgent;
use super::{Phase, TcpSocket};
use crate::fs::{Sink, Source};
use crate::net::base::{SHUT_RCV, SHUT_SEND, SockBase, flag};
use crate::net::{RecvMsg, SendMsg};
use crate::wait::Events;

/// Most bytes copied in one piece.
const PIECE: usize = 64 * 1024;

impl TcpSocket {
    /// Room for the peer to be told of: a third must be free, as for `sk_stream_is_writeable`.
    pub(super) fn has_room(&self, sender: &SockBase) -> bool {
        let capacity = self.capacity(sender);
        self.rx_len.load(Ordering::Acquire) <= capacity - capacity / 3
    }

    pub(super) fn do_send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        let peer = self.peer_to_send()?;
        let mut sent = 0;
        while src.remaining() > 0 {
            match self.send_piece(&peer, src) {
                Ok(n) => sent += n,
                Err(e) => {
                    if sent == 0 {
                        return Err(e);
                    }
                    break;
                }
            }
        }
        if sent > 0 {
            if msg.flags.contains(MsgFlags::OOB) && src.remaining() == 0 {
                peer.mark_urgent();
            }
            self.base.ns.count(sent);
            peer.base.wake(Events::READ);
        }
        Ok(sent)
    }

    fn peer_to_send(&self) -> Result<Arc<TcpSocket>> {
        let state = self.state.lock();
        match &state.phase {
            Phase::Open(peer) if !self.base.is_shut(SHUT_SEND) && !self.base.has_error() => Ok(peer.clone()),
            Phase::SynSent => Err(Errno::EAGAIN),
            _ => Err(self.base.take_error().unwrap_or(Errno::EPIPE)),
        }
    }

    fn send_piece(&self, peer: &Arc<TcpSocket>, src: &mut dyn Source) -> Result<usize> {
        if self.base.is_shut(SHUT_SEND) || self.base.has_error() {
            return Err(self.base.take_error().unwrap_or(Errno::EPIPE));
        }
        if peer.base.dead.load(Ordering::Acquire) {
            // Bytes for one who is gone are lost and answered by a reset.
            let mut lost = vec![0u8; src.remaining().min(PIECE)];
            let n = src.take(&mut lost)?;
            self.got_reset();
            return Ok(n);
        }
        let room = peer
            .capacity(&self.base)
            .saturating_sub(peer.rx_len.load(Ordering::Acquire));
        if room == 0 {
            return Err(Errno::EAGAIN);
        }
        let mut data = vec![0u8; src.remaining().min(room).min(PIECE)];
        let n = src.take(&mut data)?;
        data.truncate(n);
        let mut rx = peer.rx.lock();
        rx.push(data);
        // Within the lock, so that a reader never subtracts what was not added yet.
        peer.rx_len.fetch_add(n, Ordering::AcqRel);
        Ok(n)
    }

    /// The last byte received is the urgent one.
    fn mark_urgent(&self) {
        let mut rx = self.rx.lock();
        let seq = rx.end_seq.wrapping_sub(1);
        let byte = rx.last_byte();
        rx.urgent = byte.map(|b| Urgent { seq, byte: Some(b) });
        drop(rx);
        self.base.wake(Events::PRI | Events::RDBAND);
    }

    pub(super) fn do_recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN);
        }
        if msg.flags.contains(MsgFlags::OOB) {
            return self.recv_urgent(dst, msg);
        }
        if matches!(self.state.lock().phase, Phase::Listening(_)) {
            return Err(Errno::ENOTCONN);
        }
        let _reader = self.reader.lock();
        let waiting = self.rx_len.load(Ordering::Acquire);
        if !msg.more && waiting > 0 && self.below_lowat(waiting, dst.remaining()) {
            return Err(Errno::EAGAIN);
        }
        let before = waiting;
        let copied = if msg.flags.contains(MsgFlags::PEEK) {
            self.peek(dst)?
        } else if msg.flags.contains(MsgFlags::TRUNC) {
            self.read(&mut Discard(dst.remaining()))?
        } else {
            self.read(dst)?
        };
        if copied == 0 && dst.remaining() > 0 {
            return self.nothing();
        }
        self.tell_room(before);
        Ok(copied)
    }

    fn below_lowat(&self, waiting: usize, want: usize) -> bool {
        let lowat = usize::try_from(self.base.rcvlowat.load(Ordering::Relaxed)).unwrap_or(1);
        lowat > 1 && waiting < lowat.min(want) && !self.base.is_shut(SHUT_RCV) && !self.base.has_error()
    }

    /// The answer for an empty queue.
    fn nothing(&self) -> Result<usize> {
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        if self.base.is_shut(SHUT_RCV) {
            // The last bytes may have come between the look at the queue and the end.
            return if self.rx_len.load(Ordering::Acquire) > 0 {
                Err(Errno::EAGAIN)
            } else {
                Ok(0)
            };
        }
        match self.state.lock().phase {
            Phase::Closed => Err(Errno::ENOTCONN),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// Wakes a peer that was out of room and has some again.
    fn tell_room(&self, before: usize) {
        let state = self.state.lock();
        let Phase::Open(peer) = &state.phase else { return };
        let capacity = self.capacity(&peer.base);
        if before > capacity - capacity / 3 && self.rx_len.load(Ordering::Acquire) <= capacity - capacity / 3 {
            let peer = peer.clone();
            drop(state);
            peer.base.wake(Events::WRITE);
        }
    }

    /// Copies and removes bytes, up to the urgent mark.
    fn read(&self, dst: &mut dyn Sink) -> Result<usize> {
        let inline = self.base.has(flag::OOBINLINE);
        let mut copied = 0;
        while dst.remaining() > 0 {
            let mut rx = self.rx.lock();
            let Some(mut chunk) = rx.pop() else { break };
            let mut limit = chunk.rest().len();
            match rx.to_mark() {
                Some(0) if copied > 0 => {
                    rx.unpop(chunk);
                    break;
                }
                Some(0) if !inline => {
                    // The urgent byte is not part of the stream.
                    chunk.consume(1);
                    rx.read_seq = rx.read_seq.wrapping_add(1);
                    rx.unpop(chunk);
                    self.rx_len.fetch_sub(1, Ordering::AcqRel);
                    continue;
                }
                Some(0) | None => {}
                Some(ahead) => limit = limit.min(ahead),
            }
            drop(rx);
            let part = chunk.rest().get(..limit).unwrap_or_default();
            let result = dst.put(part);
            let n = *result.as_ref().unwrap_or(&0);
            chunk.consume(n);
            let mut rx = self.rx.lock();
            rx.read_seq = rx.read_seq.wrapping_add(abi::conv::usize64(n));
            rx.unpop(chunk);
            if rx.urgent.is_some_and(|u| u.seq < rx.read_seq) {
                rx.urgent = None;
            }
            self.rx_len.fetch_sub(n, Ordering::AcqRel);
            drop(rx);
            copied += n;
            if let Err(e) = result {
                return if copied > 0 { Ok(copied) } else { Err(e) };
            }
        }
        Ok(copied)
    }

    /// Copies bytes and leaves them.
    fn peek(&self, dst: &mut dyn Sink) -> Result<usize> {
        let mut held = Vec::new();
        let mut copied = 0;
        let mut outcome = Ok(());
        while dst.remaining() > 0 && outcome.is_ok() {
            let Some(chunk) = self.rx.lock().pop() else { break };
            match dst.put(chunk.rest()) {
                Ok(n) => copied += n,
                Err(e) => outcome = Err(e),
            }
            held.push(chunk);
        }
        let mut rx = self.rx.lock();
        for chunk in held.into_iter().rev() {
            rx.unpop(chunk);
        }
        drop(rx);
        match outcome {
            Err(e) if copied == 0 => Err(e),
            _ => Ok(copied),
        }
    }

    fn recv_urgent(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if matches!(self.state.lock().phase, Phase::Closed | Phase::Listening(_))
            && self.rx_len.load(Ordering::Acquire) == 0
        {
            return Err(Errno::ENOTCONN);
        }
        let mut rx = self.rx.lock();
        let inline = self.base.has(flag::OOBINLINE);
        let Some(Urgent { seq, byte: Some(byte) }) = rx.urgent else {
            return Err(Errno::EINVAL);
        };
        if inline {
            return Err(Errno::EINVAL);
        }
        if !msg.flags.contains(MsgFlags::PEEK) {
            rx.urgent = Some(Urgent { seq, byte: None });
        }
        drop(rx);
        msg.out_flags |= MsgFlags::OOB;
        if dst.remaining() == 0 {
            msg.out_flags |= MsgFlags::TRUNC;
            return Ok(0);
        }
        dst.put(&[byte])
    }
}

/// Takes bytes and forgets them (`MSG_TRUNC` on a stream).
struct Discard(usize);

impl Sink for Discard {
    fn remaining(&self) -> usize {
        self.0
    }

    fn put(&mut self, data: &[u8]) -> Result<usize> {
        let n = data.len().min(self.0);
        self.0 -= n;
        Ok(n)
    }
}
