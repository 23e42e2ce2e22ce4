//! `unix(7)`

mod connect;
mod dgram;
pub mod names;
mod path;
pub mod scm;
mod stream;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::errno::Result;
use abi::socket::{sioc, so, sock, sol};
use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

use super::base::{PeerCred, SHUT_RCV, SHUT_SEND, SockBase, flag};
use super::skb::Charge;
use super::{AddrBuf, Dest, NetNamespace, OptVal, RecvMsg, SendMsg, Shut, Socket};
use crate::fs::{Path, Sink, Source};
use crate::sync::Mutex;
use crate::task::{Cx, Task};
use crate::usermem::UserAddr;
use crate::wait::Events;

pub use connect::backlog;
pub use names::UnixName;
use scm::Rights;

/// What a socket node of a file system leads to.
pub struct BoundSocket(Weak<UnixSocket>);

impl BoundSocket {
    /// The socket, while it lives.
    pub fn get(&self) -> Option<Arc<UnixSocket>> {
        self.0.upgrade()
    }
}

/// A message in a queue.
struct Skb {
    data: Vec<u8>,
    /// Read so far, on a stream.
    pos: usize,
    _charge: Charge,
    rights: Option<Rights>,
    creds: Option<PeerCred>,
    from: Option<Arc<UnixName>>,
}

impl Skb {
    fn rest(&self) -> &[u8] {
        self.data.get(self.pos..).unwrap_or_default()
    }
}

#[derive(Default)]
struct Queue {
    msgs: VecDeque<Skb>,
    /// Bytes not read yet.
    bytes: usize,
}

/// Connections that wait to be accepted.
struct Listener {
    backlog: usize,
    queue: VecDeque<Arc<UnixSocket>>,
}

enum Role {
    /// Neither connected nor listening.
    Idle,
    Listening(Listener),
    /// A stream's other end, or where a datagram socket sends to.
    Connected(Arc<UnixSocket>),
}

struct State {
    role: Role,
    name: Option<Arc<UnixName>>,
    /// Keeps the node alive that the name stands for.
    node: Option<Path>,
    /// Who `SO_PEERCRED` tells of; for a listener, who called `listen(2)`.
    peer_cred: Option<PeerCred>,
}

/// A Unix socket of any type.
pub struct UnixSocket {
    base: Arc<SockBase>,
    me: Weak<UnixSocket>,
    state: Mutex<State>,
    /// One reader at a time, while it copies.
    reader: Mutex<()>,
    queue: Mutex<Queue>,
    /// Sockets that wait for room here: to be accepted, or for their datagrams.
    blocked: Mutex<Vec<Weak<UnixSocket>>>,
}

/// `socket(AF_UNIX, ..)`
pub fn create(task: &Task, ns: Arc<NetNamespace>, kind: i32, protocol: i32) -> Result<Arc<UnixSocket>> {
    if protocol != 0 && protocol != i32::from(abi::socket::af::UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let kind = match kind {
        sock::STREAM | sock::SEQPACKET | sock::DGRAM => kind,
        // Believed to be for X servers of long ago: Linux makes it a datagram socket.
        sock::RAW => sock::DGRAM,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    let base = SockBase::new(task, ns, abi::socket::af::UNIX, kind, 0);
    Ok(UnixSocket::new(base))
}

/// `socketpair(AF_UNIX, ..)`
pub fn pair(
    task: &Task,
    ns: &Arc<NetNamespace>,
    kind: i32,
    protocol: i32,
) -> Result<(Arc<UnixSocket>, Arc<UnixSocket>)> {
    let one = create(task, ns.clone(), kind, protocol)?;
    let two = create(task, ns.clone(), kind, protocol)?;
    for (a, b) in [(&one, &two), (&two, &one)] {
        let mut state = a.state.lock();
        state.role = Role::Connected(b.clone());
        state.peer_cred = Some(PeerCred::of(task));
    }
    Ok((one, two))
}

impl UnixSocket {
    fn new(base: Arc<SockBase>) -> Arc<UnixSocket> {
        let socket = Arc::new_cyclic(|me| UnixSocket {
            base,
            me: me.clone(),
            state: Mutex::new(State {
                role: Role::Idle,
                name: None,
                node: None,
                peer_cred: None,
            }),
            reader: Mutex::new(()),
            queue: Mutex::new(Queue::default()),
            blocked: Mutex::new(Vec::new()),
        });
        socket.base.ns.unix.enlist(socket.base.ino, &socket.me);
        socket
    }

    fn peer(&self) -> Option<Arc<UnixSocket>> {
        match &self.state.lock().role {
            Role::Connected(peer) => Some(peer.clone()),
            _ => None,
        }
    }

    fn name(&self) -> Option<Arc<UnixName>> {
        self.state.lock().name.clone()
    }

    fn is_dead(&self) -> bool {
        self.base.dead.load(Ordering::Acquire)
    }

    fn is_dgram(&self) -> bool {
        self.base.kind == sock::DGRAM
    }

    /// Notes that `who` waits for room here.
    fn add_blocked(&self, who: &Weak<UnixSocket>) {
        let mut blocked = self.blocked.lock();
        if !blocked.iter().any(|w| w.ptr_eq(who)) {
            blocked.push(who.clone());
        }
    }

    /// There is room: those who wait for it try again.
    fn wake_blocked(&self) {
        let blocked = std::mem::take(&mut *self.blocked.lock());
        for who in blocked.iter().filter_map(Weak::upgrade) {
            who.base.wake(Events::WRITE);
        }
    }

    /// Ids of the files that wait in its queue and in those of connections not accepted yet.
    fn rights_ids(&self) -> Vec<u64> {
        let mut ids = Vec::new();
        for socket in self.with_embryos() {
            let queue = socket.queue.lock();
            let rights = queue.msgs.iter().filter_map(|m| m.rights.as_ref());
            ids.extend(rights.flat_map(|r| r.peek().into_iter().map(|f| f.id)));
        }
        ids
    }

    /// Takes those files out.
    fn take_rights(&self) -> Vec<Rights> {
        let mut all = Vec::new();
        for socket in self.with_embryos() {
            let mut queue = socket.queue.lock();
            all.extend(queue.msgs.iter_mut().filter_map(|m| m.rights.take()));
        }
        all
    }

    fn with_embryos(&self) -> Vec<Arc<UnixSocket>> {
        let mut all: Vec<Arc<UnixSocket>> = self.me.upgrade().into_iter().collect();
        if let Role::Listening(listener) = &self.state.lock().role {
            all.extend(listener.queue.iter().cloned());
        }
        all
    }

    /// What to attach to a message: the credentials given, or the sender's if either side asks for them.
    fn creds_for(&self, peer: &UnixSocket, msg: &mut SendMsg) -> Option<PeerCred> {
        if let Some(given) = &msg.control.creds {
            return Some(given.clone());
        }
        let wanted = self.base.has(flag::PASSCRED | flag::PASSPIDFD) || peer.base.has(flag::PASSCRED | flag::PASSPIDFD);
        wanted.then(|| match &msg.task {
            Some(task) => PeerCred::of(task),
            None => self.base.owner.clone(),
        })
    }

    /// Puts the sender's files in flight.
    fn rights_for(&self, msg: &mut SendMsg) -> Result<Option<Rights>> {
        if msg.control.rights.is_empty() {
            return Ok(None);
        }
        let Some(task) = &msg.task else { return Ok(None) };
        let inflight = &self.base.ns.inflight;
        inflight.maybe_collect();
        Rights::new(task, inflight, std::mem::take(&mut msg.control.rights)).map(Some)
    }

    /// Gives what came beside the bytes of a message.
    fn deliver(&self, skb: &mut Skb, peek: bool, msg: &mut RecvMsg) {
        if self.base.has(flag::PASSCRED | flag::PASSPIDFD) {
            msg.control.want_pidfd = self.base.has(flag::PASSPIDFD);
            let nobody = || PeerCred {
                pid: 0,
                cred: self.base.owner.cred.clone(),
            };
            msg.control.creds = Some(skb.creds.clone().unwrap_or_else(nobody));
        }
        if let Some(rights) = skb.rights.take_if(|_| !peek) {
            msg.control.rights = rights.take();
        } else if let Some(rights) = &skb.rights {
            msg.control.rights = rights.peek();
        }
        if msg.want_addr {
            msg.from = skb.from.as_ref().map(|name| names::format(Some(name)));
        }
    }

    /// What `/proc/net/unix` shows: type, state, flags, name, inode.
    pub fn describe(&self) -> (i32, u8, bool, Option<Arc<UnixName>>, u64) {
        let state = self.state.lock();
        let (code, listening) = match state.role {
            Role::Idle => (1, false),
            Role::Listening(_) => (1, true),
            Role::Connected(_) => (3, false),
        };
        (self.base.kind, code, listening, state.name.clone(), self.base.ino)
    }
}

impl Socket for UnixSocket {
    fn base(&self) -> &Arc<SockBase> {
        &self.base
    }

    fn bind(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        self.do_bind(cx, addr)
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        self.do_listen(backlog)
    }

    fn connect(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        if self.is_dgram() {
            self.connect_dgram(cx, addr)
        } else {
            self.connect_stream(cx, addr)
        }
    }

    fn accept(&self) -> Result<Arc<dyn Socket>> {
        self.do_accept()
    }

    fn getsockname(&self) -> Result<AddrBuf> {
        Ok(names::format(self.name().as_deref()))
    }

    fn getpeername(&self) -> Result<AddrBuf> {
        let peer = self.peer().ok_or(Errno::ENOTCONN)?;
        Ok(names::format(peer.name().as_deref()))
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        let bits = |read: bool, write: bool| if read { SHUT_RCV } else { 0 } | if write { SHUT_SEND } else { 0 };
        self.base.add_shut(bits(how.read, how.write));
        if !self.is_dgram()
            && let Some(peer) = self.peer()
        {
            peer.base.add_shut(bits(how.write, how.read));
            peer.base
                .wake(Events::READ | Events::WRITE | Events::RDHUP | peer.hup());
        }
        self.base
            .wake(Events::READ | Events::WRITE | Events::RDHUP | self.hup());
        Ok(())
    }

    fn resolve(&self, cx: &mut Cx, addr: &[u8]) -> Result<Dest> {
        match self.base.kind {
            sock::STREAM => match self.state.lock().role {
                Role::Connected(_) => Err(Errno::EISCONN),
                _ => Err(Errno::EOPNOTSUPP),
            },
            sock::SEQPACKET => Ok(Dest::Peer),
            _ => self.find(cx, addr).map(Dest::Unix),
        }
    }

    fn send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        if self.base.kind == sock::STREAM {
            self.send_stream(src, msg)
        } else {
            self.send_dgram(src, msg)
        }
    }

    fn recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if self.base.kind == sock::STREAM {
            self.recv_stream(dst, msg)
        } else {
            self.recv_dgram(dst, msg)
        }
    }

    fn poll(&self) -> Events {
        let mut events = Events::empty();
        if self.base.has_error() {
            events |= Events::ERR;
        }
        events |= self.hup();
        if self.base.is_shut(SHUT_RCV) {
            events |= Events::RDHUP | Events::READ;
        }
        if !self.queue.lock().msgs.is_empty() {
            events |= Events::READ;
        }
        let wmem = self.base.wmem.load(Ordering::Acquire);
        let mut room = super::skb::writable(&self.base, wmem);
        let state = self.state.lock();
        match &state.role {
            Role::Idle if !self.is_dgram() => events |= Events::HUP,
            Role::Listening(listener) => {
                room = false;
                if !listener.queue.is_empty() {
                    events |= Events::READ;
                }
            }
            Role::Connected(peer) if room && self.base.kind != sock::STREAM => {
                let peer = peer.clone();
                drop(state);
                room = !self.peer_is_full(&peer);
            }
            _ => {}
        }
        if room {
            events |= Events::WRITE | Events::WRBAND;
        }
        events
    }

    fn setsockopt(&self, _cx: &mut Cx, level: i32, _name: i32, _val: &[u8]) -> Result<()> {
        Err(if level == sol::SOCKET {
            Errno::ENOPROTOOPT
        } else {
            Errno::EOPNOTSUPP
        })
    }

    fn getsockopt(&self, cx: &mut Cx, level: i32, name: i32, len: usize) -> Result<OptVal> {
        if level != sol::SOCKET {
            return Err(Errno::EOPNOTSUPP);
        }
        let state = self.state.lock();
        match name {
            so::ACCEPTCONN => Ok(super::sockopt::boolean(matches!(state.role, Role::Listening(_)))),
            so::PEERCRED => {
                let reader = cx.task.cred();
                let none = abi::socket::Ucred {
                    pid: 0,
                    uid: u32::MAX,
                    gid: u32::MAX,
                };
                let ucred = state.peer_cred.as_ref().map_or(none, |p| p.ucred(&reader));
                Ok(OptVal::from_slice(ucred.as_bytes()))
            }
            so::PEERGROUPS => {
                let peer = state.peer_cred.as_ref().ok_or(Errno::ENODATA)?;
                let ns = &cx.task.cred().user_ns;
                let groups = peer.cred.groups.iter().map(|&g| ns.gid_out(g));
                Ok(groups.flat_map(u32::to_ne_bytes).collect())
            }
            so::PEERNAME => {
                drop(state);
                let name = self.getpeername()?;
                if name.len() > len {
                    return Err(Errno::EINVAL);
                }
                Ok(OptVal::from_slice(&name))
            }
            so::PEERPIDFD if state.peer_cred.is_none() => Err(Errno::ENODATA),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        let value = match cmd {
            sioc::FIONREAD => {
                if matches!(self.state.lock().role, Role::Listening(_)) {
                    return Err(Errno::EINVAL.into());
                }
                let queue = self.queue.lock();
                if self.is_dgram() {
                    queue.msgs.front().map_or(0, |m| m.data.len())
                } else {
                    queue.bytes
                }
            }
            sioc::TIOCOUTQ => self.base.wmem.load(Ordering::Acquire),
            sioc::ATMARK => 0,
            _ => return super::inet::ifreq::ioctl(cx, &self.base.ns, cmd, arg),
        };
        let value = i32::try_from(value).unwrap_or(i32::MAX);
        cx.write_obj(UserAddr(arg), &value)?;
        Ok(0)
    }

    fn release(&self) {
        self.do_release();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
