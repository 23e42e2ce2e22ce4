//! Bytes of a stream (`SOCK_STREAM`).

use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::MsgFlags;

use super::{Skb, UnixSocket};
use crate::fs::{Sink, Source};
use crate::net::base::{SHUT_RCV, SHUT_SEND, flag};
use crate::net::skb::{Charge, MAX_HEAD, truesize};
use crate::net::{RecvMsg, SendMsg};
use crate::wait::Events;

/// Most bytes in one message of a stream: the head and pages of an allocation of 32 KiB.
const CHUNK_MAX: usize = MAX_HEAD + 32768;

impl UnixSocket {
    pub(super) fn send_stream(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let peer = self.peer().ok_or(Errno::ENOTCONN)?;
        if self.base.is_shut(SHUT_SEND) {
            return Err(Errno::EPIPE);
        }
        let mut sent = 0;
        while src.remaining() > 0 {
            match self.send_chunk(&peer, src, msg) {
                Ok(n) => sent += n,
                Err(_) if sent > 0 => break,
                Err(e) => return Err(e),
            }
        }
        if sent > 0 {
            peer.base.wake(Events::READ);
        }
        Ok(sent)
    }

    fn send_chunk(&self, peer: &UnixSocket, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        let sndbuf = self.base.sndbuf_size();
        if self.base.is_shut(SHUT_SEND) || peer.base.is_shut(SHUT_RCV) || peer.is_dead() {
            return Err(Errno::EPIPE);
        }
        if self.base.wmem.load(Ordering::Acquire) >= sndbuf {
            return Err(Errno::EAGAIN);
        }
        let size = src.remaining().min((sndbuf / 2).saturating_sub(64)).min(CHUNK_MAX);
        let mut data = vec![0u8; size];
        let n = src.take(&mut data)?;
        data.truncate(n);
        let creds = self.creds_for(peer, msg);
        let rights = self.rights_for(msg)?;
        let skb = Skb {
            _charge: Charge::new(&self.base, truesize(n)),
            data,
            pos: 0,
            rights,
            creds,
            from: self.name(),
        };
        let mut queue = peer.queue.lock();
        // The peer may have gone since: its release takes the queue once.
        if peer.is_dead() {
            return Err(Errno::EPIPE);
        }
        queue.bytes += n;
        queue.msgs.push_back(skb);
        Ok(n)
    }

    pub(super) fn recv_stream(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if !self.base.dead.load(Ordering::Relaxed) && !matches!(self.state.lock().role, super::Role::Connected(_)) {
            return Err(Errno::EINVAL);
        }
        let _reader = self.reader.lock();
        if !msg.more && self.below_lowat(dst.remaining()) {
            return Err(Errno::EAGAIN);
        }
        let peek = msg.flags.contains(MsgFlags::PEEK);
        let mut held = Vec::new();
        let result = self.read_chunks(dst, msg, peek, &mut held);
        if !held.is_empty() {
            let mut queue = self.queue.lock();
            for skb in held.into_iter().rev() {
                queue.msgs.push_front(skb);
            }
        }
        match result {
            Ok(0) if dst.remaining() > 0 => self.nothing(),
            other => other,
        }
    }

    /// Fewer bytes than `SO_RCVLOWAT` wait, and more may come.
    fn below_lowat(&self, want: usize) -> bool {
        let lowat = usize::try_from(self.base.rcvlowat.load(Ordering::Relaxed)).unwrap_or(1);
        if lowat <= 1 || self.base.is_shut(SHUT_RCV) || self.base.has_error() {
            return false;
        }
        self.queue.lock().bytes < lowat.min(want)
    }

    /// The answer for an empty queue.
    fn nothing(&self) -> Result<usize> {
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        // The last message may have come between the look at the queue and the end of the other side.
        if self.base.is_shut(SHUT_RCV) && self.queue.lock().msgs.is_empty() {
            return Ok(0);
        }
        Err(Errno::EAGAIN)
    }

    /// Copies messages until the sink is full, the queue empty, or one cannot be joined to the last.
    fn read_chunks(&self, dst: &mut dyn Sink, msg: &mut RecvMsg, peek: bool, held: &mut Vec<Skb>) -> Result<usize> {
        let pass = self.base.has(flag::PASSCRED | flag::PASSPIDFD);
        let mut skip = if peek { self.peek_offset() } else { 0 };
        let mut copied = 0;
        while dst.remaining() > 0 {
            let Some(mut skb) = self.queue.lock().msgs.pop_front() else {
                break;
            };
            if pass && (copied > 0 || msg.more) && !same_sender(&skb, msg) {
                held.push(skb);
                break;
            }
            if peek && skip >= skb.rest().len() {
                skip -= skb.rest().len();
                held.push(skb);
                continue;
            }
            let part = skb.rest().get(skip..).unwrap_or_default();
            let n = match dst.put(part) {
                Ok(n) => n,
                Err(e) => {
                    held.push(skb);
                    return if copied > 0 { Ok(copied) } else { Err(e) };
                }
            };
            skip = 0;
            copied += n;
            let had_rights = skb.rights.is_some();
            self.deliver(&mut skb, peek, msg);
            if peek {
                held.push(skb);
            } else {
                self.queue.lock().bytes -= n;
                skb.pos += n;
                if !skb.rest().is_empty() {
                    held.push(skb);
                    break;
                }
            }
            // Files belong to the bytes that they came with.
            if had_rights {
                break;
            }
        }
        if copied > 0 {
            self.move_peek_offset(peek, copied);
        }
        Ok(copied)
    }

    /// `SO_PEEK_OFF`
    pub(super) fn peek_offset(&self) -> usize {
        usize::try_from(self.base.rare.lock().peek_off).unwrap_or(0)
    }

    /// Peeking moves the offset on, reading moves it back.
    fn move_peek_offset(&self, peek: bool, n: usize) {
        if !peek && self.base.family == 0 {
            return;
        }
        let mut rare = self.base.rare.lock();
        if rare.peek_off < 0 {
            return;
        }
        let n = i32::try_from(n).unwrap_or(i32::MAX);
        rare.peek_off = if peek {
            rare.peek_off.saturating_add(n)
        } else {
            (rare.peek_off - n).max(0)
        };
    }
}

/// Bytes of two senders are not joined when the reader asked who they are.
fn same_sender(skb: &Skb, msg: &RecvMsg) -> bool {
    match (&skb.creds, &msg.control.creds) {
        (Some(a), Some(b)) => a.pid == b.pid && a.cred.euid == b.cred.euid && a.cred.egid == b.cred.egid,
        (None, Some(b)) => b.pid == 0,
        _ => true,
    }
}
