//! Names, connections and their end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::af;

use super::{Link, Listener, Phase, SNDBUF_TUNED, State, TcpSocket};
use crate::net::base::{SHUT_RCV, SHUT_SEND, flag};
use crate::net::inet::ports::Claim;
use crate::net::inet::{self, route};
use crate::net::unix::backlog;
use crate::net::{Shut, Socket, addr};
use crate::task::Cx;
use crate::wait::Events;

/// Everything that waits on a connection.
const ALL: Events = Events::READ
    .union(Events::WRITE)
    .union(Events::RDHUP)
    .union(Events::HUP)
    .union(Events::ERR);

impl TcpSocket {
    fn claim(&self, local: SocketAddr, remote: Option<SocketAddr>, listening: bool) -> Claim {
        Claim {
            id: self.base.ino,
            local,
            v6only: self.opts.v6only(),
            reuseaddr: self.base.has(flag::REUSEADDR),
            reuseport: self.base.has(flag::REUSEPORT),
            uid: self.base.owner.cred.euid,
            listening,
            remote,
        }
    }

    pub(super) fn do_bind(&self, cx: &mut Cx, bytes: &[u8]) -> Result<()> {
        let local = inet::parse_bind(&self.base, bytes)?;
        inet::check_bind(cx, &self.base, &self.opts, local)?;
        let mut state = self.state.lock();
        if state.bound || !matches!(state.phase, Phase::Closed) {
            return Err(Errno::EINVAL);
        }
        self.take_port(&mut state, local, None)?;
        state.bound = true;
        Ok(())
    }

    fn take_port(&self, state: &mut State, mut local: SocketAddr, remote: Option<SocketAddr>) -> Result<()> {
        let port = self.base.ns.tcp.bind(self.claim(local, remote, false), &self.me)?;
        local.set_port(port);
        state.claimed = Some(port);
        state.local = Some(local);
        Ok(())
    }

    pub(super) fn do_listen(&self, n: i32) -> Result<()> {
        let backlog = backlog(n);
        let mut state = self.state.lock();
        if state.link != Link::Unconnected {
            return Err(Errno::EINVAL);
        }
        match &mut state.phase {
            Phase::Listening(listener) => {
                listener.backlog = backlog;
                drop(state);
                self.admit();
                return Ok(());
            }
            Phase::Closed => {}
            _ => return Err(Errno::EINVAL),
        }
        let port = match state.claimed {
            Some(port) => port,
            None => {
                let local = state.local.unwrap_or(self.unspecified());
                self.take_port(&mut state, local, None)?;
                state.claimed.unwrap_or(0)
            }
        };
        let (reuseaddr, reuseport) = (self.base.has(flag::REUSEADDR), self.base.has(flag::REUSEPORT));
        self.base.ns.tcp.update(port, self.base.ino, true, |claim| {
            claim.listening = true;
            (claim.reuseaddr, claim.reuseport) = (reuseaddr, reuseport);
        })?;
        self.base.shut.store(0, Ordering::Release);
        state.phase = Phase::Listening(Listener {
            backlog,
            queue: VecDeque::new(),
            pending: VecDeque::new(),
        });
        Ok(())
    }

    pub(super) fn do_connect(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() < 2 {
            return Err(Errno::EINVAL);
        }
        if addr::family(bytes) == af::UNSPEC {
            self.disconnect();
            return Ok(());
        }
        let link = self.state.lock().link;
        match link {
            Link::Connected => return Err(Errno::EISCONN),
            Link::Connecting => {
                return self
                    .do_connect_result()
                    .map_err(|e| if e == Errno::EINPROGRESS { Errno::EALREADY } else { e });
            }
            Link::Unconnected => {}
        }
        let remote = inet::parse_dest(&self.base, bytes, self.opts.v6only())?;
        let remote = inet::any_to_loopback(remote);
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Closed) {
            return Err(Errno::EISCONN);
        }
        let source = route(&self.base.ns, remote.ip())?;
        let local = match state.local {
            Some(local) if !local.ip().is_unspecified() => local,
            other => SocketAddr::new(source, other.map_or(0, |l| l.port())),
        };
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(Errno::ENETUNREACH);
        }
        self.name_connection(&mut state, local, remote)?;
        // Options of an earlier connection do not hold for this one.
        self.base.shut.store(0, Ordering::Release);
        (state.fin_sent, state.fin_rcvd) = (false, false);
        state.remote = Some(remote);
        state.link = Link::Connecting;
        state.phase = Phase::SynSent;
        drop(state);
        self.send_syn(remote);
        Err(Errno::EINPROGRESS)
    }

    /// Claims the four numbers of a connection.
    fn name_connection(&self, state: &mut State, local: SocketAddr, remote: SocketAddr) -> Result<()> {
        let table = &self.base.ns.tcp;
        match state.claimed {
            Some(port) => {
                let local = SocketAddr::new(local.ip(), port);
                if table.has_connection(local, remote) {
                    return Err(Errno::EADDRNOTAVAIL);
                }
                table.update(port, self.base.ino, false, |claim| {
                    claim.local = local;
                    claim.remote = Some(remote);
                })?;
                state.local = Some(local);
                Ok(())
            }
            None => self.take_port(state, local, Some(remote)).map_err(|e| {
                if e == Errno::EADDRINUSE {
                    Errno::EADDRNOTAVAIL
                } else {
                    e
                }
            }),
        }
    }

    /// Asks the listener for a connection: made at once, refused, or put on its list.
    fn send_syn(&self, remote: SocketAddr) {
        let Some(listener) = self.base.ns.tcp.listener(remote) else {
            self.refused();
            return;
        };
        let mut theirs = listener.state.lock();
        let Phase::Listening(queue) = &mut theirs.phase else {
            drop(theirs);
            self.refused();
            return;
        };
        if queue.queue.len() > queue.backlog {
            queue.pending.push_back(self.me.clone());
            return;
        }
        if self.establish(&listener, queue) {
            drop(theirs);
            listener.base.wake(Events::READ);
        }
    }

    /// Makes the other end and joins both. The listener's state is held by the caller.
    fn establish(&self, listener: &TcpSocket, queue: &mut Listener) -> bool {
        let Some(me) = self.me.upgrade() else { return false };
        let mut state = self.state.lock();
        let (Phase::SynSent, Some(local), Some(remote)) = (&state.phase, state.local, state.remote) else {
            return false;
        };
        let child = TcpSocket::make(listener.base.child(), listener.opts.clone());
        let claim = child.claim(remote, Some(local), false);
        child.base.ns.tcp.join(claim, &child.me);
        {
            let mut born = child.state.lock();
            born.local = Some(remote);
            born.remote = Some(local);
            born.claimed = Some(remote.port());
            born.link = Link::Connected;
            born.phase = Phase::Open(me);
        }
        child.base.shut.store(0, Ordering::Release);
        for end in [&child.base, &self.base] {
            if !end.has(flag::SNDBUF_LOCK) {
                end.sndbuf.store(SNDBUF_TUNED, Ordering::Relaxed);
            }
        }
        state.phase = Phase::Open(child.clone());
        drop(state);
        queue.queue.push_back(child);
        self.base.ns.count(60);
        self.base.wake(Events::WRITE);
        true
    }

    /// Takes connections that waited for room.
    fn admit(&self) {
        let mut made = false;
        let mut state = self.state.lock();
        if let Phase::Listening(queue) = &mut state.phase {
            while queue.queue.len() <= queue.backlog {
                let Some(next) = queue.pending.pop_front() else { break };
                if let Some(next) = next.upgrade() {
                    made |= next.establish(self, queue);
                }
            }
        }
        drop(state);
        if made {
            self.base.wake(Events::READ);
        }
    }

    /// Nobody listens: like a reset in answer to a SYN.
    fn refused(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        self.unname(&mut state);
        drop(state);
        self.base.add_shut(SHUT_RCV | SHUT_SEND);
        self.base.set_error(Errno::ECONNREFUSED);
        self.base.wake(ALL);
    }

    /// The connection is over: gives back what it alone claimed.
    fn unname(&self, state: &mut State) {
        let table = &self.base.ns.tcp;
        let Some(port) = state.claimed else { return };
        if state.bound {
            let _ = table.update(port, self.base.ino, false, |claim| claim.remote = None);
        } else {
            table.release(port, self.base.ino);
            state.claimed = None;
        }
    }

    pub(super) fn do_connect_result(&self) -> Result<()> {
        let mut state = self.state.lock();
        match (&state.phase, state.link) {
            (Phase::SynSent, _) => Err(Errno::EINPROGRESS),
            (Phase::Open(_), Link::Connecting) => {
                state.link = Link::Connected;
                Ok(())
            }
            (Phase::Open(_), _) => Err(Errno::EISCONN),
            _ => {
                state.link = Link::Unconnected;
                if !state.bound {
                    state.local = None;
                }
                drop(state);
                self.base.shut.store(0, Ordering::Release);
                Err(self.base.take_error().unwrap_or(Errno::ECONNABORTED))
            }
        }
    }

    pub(super) fn do_accept(&self) -> Result<Arc<dyn Socket>> {
        let mut state = self.state.lock();
        let Phase::Listening(queue) = &mut state.phase else {
            return Err(Errno::EINVAL);
        };
        let Some(next) = queue.queue.pop_front() else {
            return Err(Errno::EAGAIN);
        };
        let more = !queue.pending.is_empty();
        drop(state);
        if more {
            self.admit();
        }
        Ok(next)
    }

    pub(super) fn do_shutdown(&self, how: Shut) -> Result<()> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Closed => return Err(Errno::ENOTCONN),
            Phase::Listening(_) => {
                drop(state);
                if how.read {
                    self.disconnect();
                }
                return Ok(());
            }
            Phase::SynSent => {
                drop(state);
                self.disconnect();
                return Ok(());
            }
            Phase::Open(peer) => {
                let peer = peer.clone();
                let both = state.fin_sent && state.fin_rcvd;
                if both {
                    return Err(Errno::ENOTCONN);
                }
                let fin = how.write && !state.fin_sent;
                state.fin_sent |= how.write;
                drop(state);
                let bits = if how.read { SHUT_RCV } else { 0 } | if how.write { SHUT_SEND } else { 0 };
                self.base.add_shut(bits);
                if fin {
                    peer.got_fin();
                }
            }
        }
        self.base.wake(ALL);
        Ok(())
    }

    /// The peer sends no more.
    fn got_fin(&self) {
        self.state.lock().fin_rcvd = true;
        self.base.add_shut(SHUT_RCV);
        self.base.wake(if self.base.is_shut(SHUT_SEND) {
            ALL
        } else {
            Events::READ | Events::RDHUP
        });
    }

    /// The peer is gone without a proper end (`tcp_reset`).
    pub(super) fn got_reset(&self) {
        let mut state = self.state.lock();
        let error = match (&state.phase, state.fin_rcvd) {
            (Phase::Closed | Phase::Listening(_), _) => return,
            (Phase::SynSent, _) => Errno::ECONNREFUSED,
            (Phase::Open(_), true) => Errno::EPIPE,
            (Phase::Open(_), false) => Errno::ECONNRESET,
        };
        // A connection that both sides have ended hears nothing any more.
        let over = state.fin_sent && state.fin_rcvd;
        let old = std::mem::replace(&mut state.phase, Phase::Closed);
        self.unname(&mut state);
        drop(state);
        drop(old);
        self.base.add_shut(SHUT_RCV | SHUT_SEND);
        if !over {
            self.base.set_error(error);
        }
        self.base.wake(ALL);
    }

    /// `connect(AF_UNSPEC)`, and `shutdown(2)` of a listener (`tcp_disconnect`).
    fn disconnect(&self) {
        let mut state = self.state.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        state.link = Link::Unconnected;
        state.remote = None;
        (state.fin_sent, state.fin_rcvd) = (false, false);
        let id = self.base.ino;
        if let Some(port) = state.claimed {
            let _ = self
                .base
                .ns
                .tcp
                .update(port, id, false, |claim| claim.listening = false);
        }
        self.unname(&mut state);
        drop(state);
        self.base.add_shut(SHUT_RCV | SHUT_SEND);
        let _ = self.base.take_error();
        self.end(phase, true);
        self.rx.lock().clear();
        self.rx_len.store(0, Ordering::Release);
        self.base.wake(ALL);
        self.base.shut.store(0, Ordering::Release);
    }

    /// Tells others of the end of a phase.
    fn end(&self, phase: Phase, reset: bool) {
        match phase {
            Phase::Closed | Phase::SynSent => {}
            Phase::Open(peer) if reset => peer.got_reset(),
            Phase::Open(peer) => {
                peer.got_fin();
                // Nothing of ours refers to it any more; it keeps us, to see that we are gone.
            }
            Phase::Listening(listener) => {
                for child in listener.queue {
                    child.abort();
                }
                for waiting in listener.pending.iter().filter_map(std::sync::Weak::upgrade) {
                    waiting.got_reset();
                }
            }
        }
    }

    /// Ends a connection that nobody accepted, by a reset.
    fn abort(&self) {
        self.base.dead.store(true, Ordering::Release);
        let mut state = self.state.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        state.bound = false;
        self.unname(&mut state);
        drop(state);
        self.end(phase, true);
    }

    pub(super) fn do_release(&self) {
        if self.base.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.state.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        let fin_sent = std::mem::replace(&mut state.fin_sent, true);
        state.bound = false;
        self.unname(&mut state);
        drop(state);
        self.base.add_shut(SHUT_RCV | SHUT_SEND);
        let unread = self.rx_len.load(Ordering::Acquire) > 0;
        let hard = self.base.rare.lock().linger == Some(0);
        if let Phase::Open(peer) = &phase
            && fin_sent
            && !unread
            && !hard
        {
            // The end was told already; the peer may wait for room that will never come.
            peer.base.wake(Events::WRITE);
            return;
        }
        self.end(phase, unread || hard);
        self.rx.lock().clear();
        self.rx_len.store(0, Ordering::Release);
    }
}
