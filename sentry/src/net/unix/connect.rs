//! Names, connections and their end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::{af, sock};

use super::names::{Wanted, parse};
use super::{Listener, Role, UnixName, UnixSocket, path};
use crate::net::base::{PeerCred, SHUT_RCV, SHUT_SEND, flag};
use crate::net::{Socket, addr};
use crate::task::Cx;
use crate::wait::Events;

/// The backlog that `listen(2)` asks for, limited already.
pub fn backlog(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}

impl UnixSocket {
    pub(super) fn do_bind(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        let wanted = parse(addr)?;
        let me = self.me.upgrade().ok_or(Errno::EINVAL)?;
        match wanted {
            Wanted::Autobind => self.autobind(),
            Wanted::Name(UnixName::Abstract(name)) => {
                let mut state = self.state.lock();
                if state.name.is_some() {
                    return Err(Errno::EINVAL);
                }
                self.base.ns.unix.add(&name, self.base.kind, &self.me)?;
                state.name = Some(Arc::new(UnixName::Abstract(name)));
                Ok(())
            }
            Wanted::Name(UnixName::Path(name)) => {
                if self.name().is_some() {
                    return Err(Errno::EINVAL);
                }
                let node = path::bind(cx, &name, &me)?;
                let mut state = self.state.lock();
                state.node = Some(node);
                state.name = Some(Arc::new(UnixName::Path(name)));
                Ok(())
            }
        }
    }

    /// Picks a name, unless there is one.
    pub(super) fn autobind(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.name.is_none() {
            let name = self.base.ns.unix.add_auto(self.base.kind, &self.me)?;
            state.name = Some(Arc::new(UnixName::Abstract(name)));
        }
        Ok(())
    }

    /// The socket of a name, of the same type (`unix_find_other`).
    pub(super) fn find(&self, cx: &mut Cx, addr: &[u8]) -> Result<Arc<UnixSocket>> {
        let Wanted::Name(name) = parse(addr)? else {
            return Err(Errno::EINVAL);
        };
        let found = match name {
            UnixName::Abstract(name) => self
                .base
                .ns
                .unix
                .get(&name, self.base.kind)
                .ok_or(Errno::ECONNREFUSED)?,
            UnixName::Path(name) => path::find(cx, &name)?,
        };
        if found.is_dead() {
            return Err(Errno::ECONNREFUSED);
        }
        if found.base.kind != self.base.kind {
            return Err(Errno::EPROTOTYPE);
        }
        Ok(found)
    }

    pub(super) fn do_listen(&self, n: i32) -> Result<()> {
        if self.is_dgram() {
            return Err(Errno::EOPNOTSUPP);
        }
        let backlog = backlog(n);
        let mut state = self.state.lock();
        if state.name.is_none() {
            return Err(Errno::EINVAL);
        }
        match &mut state.role {
            Role::Idle => {
                state.role = Role::Listening(Listener {
                    backlog,
                    queue: VecDeque::new(),
                });
            }
            Role::Listening(listener) => listener.backlog = backlog,
            Role::Connected(_) => return Err(Errno::EINVAL),
        }
        // Who connects learns of the process that made the socket a listener.
        state.peer_cred = Some(self.base.owner.clone());
        drop(state);
        self.wake_blocked();
        Ok(())
    }

    pub(super) fn connect_stream(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        if self.base.has(flag::PASSCRED | flag::PASSPIDFD) {
            self.autobind()?;
        }
        let other = self.find(cx, addr)?;
        let me = self.me.upgrade().ok_or(Errno::EINVAL)?;
        let embryo = UnixSocket::new(self.child_of(&other));
        let result = self.join(cx, &me, &other, &embryo);
        if result.is_err() {
            embryo.do_release();
        }
        result
    }

    /// The other end of a new connection has the options of the one who connects to it.
    fn child_of(&self, listener: &UnixSocket) -> Arc<crate::net::SockBase> {
        let base = listener.base.child();
        base.shut.store(0, Ordering::Relaxed);
        base
    }

    fn join(&self, cx: &Cx, me: &Arc<UnixSocket>, other: &Arc<UnixSocket>, embryo: &Arc<UnixSocket>) -> Result<()> {
        let mut listening = other.state.lock();
        let (name, node, listener_cred) = (
            listening.name.clone(),
            listening.node.clone(),
            listening.peer_cred.clone(),
        );
        let Role::Listening(listener) = &mut listening.role else {
            return Err(Errno::ECONNREFUSED);
        };
        if other.is_dead() || other.base.is_shut(SHUT_RCV) {
            return Err(Errno::ECONNREFUSED);
        }
        if listener.queue.len() > listener.backlog {
            drop(listening);
            other.add_blocked(&self.me);
            return Err(Errno::EAGAIN);
        }
        // A listener and one who connects: never the same socket, and never two listeners.
        if Arc::ptr_eq(me, other) {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        match state.role {
            Role::Idle => {}
            Role::Connected(_) => return Err(Errno::EISCONN),
            Role::Listening(_) => return Err(Errno::EINVAL),
        }
        {
            let mut born = embryo.state.lock();
            born.role = Role::Connected(me.clone());
            born.name = name;
            born.node = node;
            born.peer_cred = Some(PeerCred::of(&cx.task));
        }
        state.role = Role::Connected(embryo.clone());
        state.peer_cred = listener_cred;
        listener.queue.push_back(embryo.clone());
        drop(state);
        drop(listening);
        other.base.wake(Events::READ);
        Ok(())
    }

    pub(super) fn connect_dgram(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        if addr.len() < 2 {
            return Err(Errno::EINVAL);
        }
        let target = if addr::family(addr) == af::UNSPEC {
            None
        } else {
            let Wanted::Name(_) = parse(addr)? else {
                return Err(Errno::EINVAL);
            };
            if self.base.has(flag::PASSCRED | flag::PASSPIDFD) {
                self.autobind()?;
            }
            let other = self.find(cx, addr)?;
            if !self.may_send(&other) {
                return Err(Errno::EPERM);
            }
            Some(other)
        };
        let role = target.clone().map_or(Role::Idle, Role::Connected);
        let old = std::mem::replace(&mut self.state.lock().role, role);
        if let Role::Connected(old) = old
            && !target.as_ref().is_some_and(|t| Arc::ptr_eq(t, &old))
        {
            self.disconnected(&old);
        }
        Ok(())
    }

    /// Like `unix_dgram_disconnected`: messages of the old partner are lost, and it is told.
    fn disconnected(&self, old: &Arc<UnixSocket>) {
        let lost = std::mem::take(&mut *self.queue.lock());
        if lost.msgs.is_empty() {
            return;
        }
        drop(lost);
        self.wake_blocked();
        let mutual = matches!(&old.state.lock().role, Role::Connected(p) if std::ptr::eq(p.as_ref(), self));
        if !old.is_dead() && mutual {
            old.base.set_error(Errno::ECONNRESET);
        }
    }

    pub(super) fn do_accept(&self) -> Result<Arc<dyn Socket>> {
        if self.is_dgram() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let Role::Listening(listener) = &mut state.role else {
            return Err(Errno::EINVAL);
        };
        match listener.queue.pop_front() {
            Some(embryo) => {
                drop(state);
                self.wake_blocked();
                Ok(embryo)
            }
            None if self.base.is_shut(SHUT_RCV) => Err(Errno::EINVAL),
            None => Err(Errno::EAGAIN),
        }
    }

    /// Hang up: a connection whose both directions have ended, and what never was one.
    pub(super) fn hup(&self) -> Events {
        if self.base.is_shut(SHUT_RCV | SHUT_SEND) {
            Events::HUP
        } else {
            Events::empty()
        }
    }

    pub(super) fn do_release(&self) {
        if self.base.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        self.base.ns.unix.delist(self.base.ino);
        let mut state = self.state.lock();
        let role = std::mem::replace(&mut state.role, Role::Idle);
        let name = state.name.clone();
        let node = state.node.take();
        drop(state);
        // A connection shares its listener's name; only the one that was bound gives it back.
        if let Some(UnixName::Abstract(name)) = name.as_deref() {
            self.base.ns.unix.remove_if(name, self.base.kind, &self.me);
        }
        drop(node);
        self.base.add_shut(SHUT_RCV | SHUT_SEND);
        let unread = std::mem::take(&mut *self.queue.lock());
        match role {
            Role::Connected(peer) if self.base.kind != sock::DGRAM => {
                peer.base.add_shut(SHUT_RCV | SHUT_SEND);
                if !unread.msgs.is_empty() {
                    peer.base.set_error(Errno::ECONNRESET);
                }
                peer.base
                    .wake(Events::READ | Events::WRITE | Events::RDHUP | Events::HUP);
            }
            Role::Listening(listener) => {
                for embryo in listener.queue {
                    // Who connected and was never accepted learns of it by a reset.
                    if let Some(peer) = embryo.peer() {
                        peer.base.set_error(Errno::ECONNRESET);
                    }
                    embryo.do_release();
                }
            }
            _ => {}
        }
        self.wake_blocked();
        drop(unread);
        self.base.ns.inflight.collect();
    }
}
