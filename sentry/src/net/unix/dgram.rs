//! Messages with borders (`SOCK_DGRAM`, `SOCK_SEQPACKET`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::{MsgFlags, sock};

use super::{Role, Skb, UnixSocket};
use crate::fs::{Sink, Source};
use crate::net::base::{SHUT_RCV, SHUT_SEND, flag};
use crate::net::skb::{Charge, truesize};
use crate::net::{Dest, RecvMsg, SendMsg};
use crate::wait::Events;

/// Messages that wait at a receiver at most (`/proc/sys/net/unix/max_dgram_qlen`), beyond one.
const MAX_DGRAM_QLEN: usize = 10;

impl UnixSocket {
    /// Who is connected takes messages only from there (`unix_may_send`).
    pub(super) fn may_send(&self, to: &UnixSocket) -> bool {
        match &to.state.lock().role {
            Role::Connected(peer) => std::ptr::eq(peer.as_ref(), self),
            _ => true,
        }
    }

    /// The receiver takes no more for now, and `self` is noted to be woken when it does.
    pub(super) fn peer_is_full(&self, peer: &Arc<UnixSocket>) -> bool {
        let mutual = matches!(&peer.state.lock().role, Role::Connected(p) if std::ptr::eq(p.as_ref(), self));
        if mutual || std::ptr::eq(peer.as_ref(), self) {
            return false;
        }
        let full = || peer.queue.lock().msgs.len() > MAX_DGRAM_QLEN && !peer.is_dead();
        if !full() {
            return false;
        }
        peer.add_blocked(&self.me);
        // It may have been emptied before we were on its list.
        full()
    }

    pub(super) fn send_dgram(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let seqpacket = self.base.kind == sock::SEQPACKET;
        let named = match &msg.dest {
            Dest::Unix(to) => Some(to.clone()),
            _ => None,
        };
        let to = match &named {
            Some(to) => to.clone(),
            None => self.peer().ok_or(Errno::ENOTCONN)?,
        };
        if self.base.has(flag::PASSCRED | flag::PASSPIDFD) && !seqpacket {
            self.autobind()?;
        }
        let len = src.remaining();
        if len > self.base.sndbuf_size().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        if self.base.is_shut(SHUT_SEND) {
            return Err(Errno::EPIPE);
        }
        if self.base.wmem.load(Ordering::Acquire) >= self.base.sndbuf_size() {
            return Err(Errno::EAGAIN);
        }
        if !seqpacket && !self.may_send(&to) {
            return Err(Errno::EPERM);
        }
        if to.is_dead() {
            return Err(self.receiver_gone(&to, seqpacket, named.is_none()));
        }
        if to.base.is_shut(SHUT_RCV) {
            return Err(Errno::EPIPE);
        }
        if self.peer_is_full(&to) {
            return Err(Errno::EAGAIN);
        }
        let mut data = vec![0u8; len];
        if len > 0 && src.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        let skb = Skb {
            _charge: Charge::new(&self.base, truesize(len)),
            data,
            pos: 0,
            creds: self.creds_for(&to, msg),
            rights: self.rights_for(msg)?,
            from: self.name(),
        };
        let mut queue = to.queue.lock();
        if to.is_dead() {
            drop(queue);
            return Err(self.receiver_gone(&to, seqpacket, named.is_none()));
        }
        queue.bytes += len;
        queue.msgs.push_back(skb);
        drop(queue);
        to.base.wake(Events::READ);
        Ok(len)
    }

    /// The receiver has been closed: a connection to it ends.
    fn receiver_gone(&self, to: &Arc<UnixSocket>, seqpacket: bool, connected: bool) -> Errno {
        if seqpacket {
            return Errno::EPIPE;
        }
        if connected {
            let mut state = self.state.lock();
            if matches!(&state.role, Role::Connected(p) if Arc::ptr_eq(p, to)) {
                state.role = Role::Idle;
            }
        }
        Errno::ECONNREFUSED
    }

    pub(super) fn recv_dgram(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let seqpacket = self.base.kind == sock::SEQPACKET;
        if seqpacket && !matches!(self.state.lock().role, Role::Connected(_)) {
            return Err(Errno::ENOTCONN);
        }
        let _reader = self.reader.lock();
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        let peek = msg.flags.contains(MsgFlags::PEEK);
        let mut queue = self.queue.lock();
        let Some(mut skb) = queue.msgs.pop_front() else {
            drop(queue);
            // A datagram socket that does not block says EAGAIN even after shutdown(2), as on Linux.
            let over = self.base.is_shut(SHUT_RCV) && (seqpacket || !msg.flags.contains(MsgFlags::DONTWAIT));
            return if over { Ok(0) } else { Err(Errno::EAGAIN) };
        };
        let len = skb.data.len();
        if !peek {
            queue.bytes -= len;
        }
        drop(queue);
        let skip = if peek { self.peek_offset().min(len) } else { 0 };
        let part = skb.data.get(skip..).unwrap_or_default();
        let room = dst.remaining().min(part.len());
        let copied = dst.put(part.get(..room).unwrap_or_default());
        let full = part.len();
        if copied.is_ok() {
            if room < full {
                msg.out_flags |= MsgFlags::TRUNC;
            }
            self.deliver(&mut skb, peek, msg);
        }
        if peek {
            self.queue.lock().msgs.push_front(skb);
        } else {
            drop(skb);
            self.wake_blocked();
        }
        let n = copied?;
        if n < room {
            return Err(Errno::EFAULT);
        }
        Ok(if msg.flags.contains(MsgFlags::TRUNC) { full } else { n })
    }
}
