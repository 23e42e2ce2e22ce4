//! TCP (`tcp(7)`) over the loopback interface.
//!
//! Both ends of a connection live here, so bytes go straight into the receiver's queue and no packets are made. What a
//! program can see of the protocol is kept: states, the accept queue, half close, resets, the urgent byte.
//!
//! `connect` makes and ends connections, `data` moves bytes, `option` has the options, `rx` the queue.

mod connect;
mod data;
mod option;
mod rx;

use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::errno::Result;
use abi::socket::{sioc, tcp_state};
use abi::{Errno, SysResult};

use super::InetOpts;
use crate::fs::{Sink, Source};
use crate::net::base::{SHUT_RCV, SHUT_SEND, SockBase, flag};
use crate::net::{AddrBuf, Dest, OptVal, RecvMsg, SendMsg, Shut, Socket, addr};
use crate::sync::Mutex;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::Events;

use rx::Rx;

/// `/proc/sys/net/ipv4/tcp_wmem` and `tcp_rmem`, middle values.
const SNDBUF: u32 = 16_384;
const RCVBUF: u32 = 131_072;
/// What Linux tunes the send buffer of a loopback connection to.
const SNDBUF_TUNED: u32 = 2_626_560;
/// Bytes that one direction holds when no buffer size was asked for.
const CAPACITY: usize = 1 << 20;

/// Connections that wait to be accepted, and those that wait for room among them.
struct Listener {
    backlog: usize,
    queue: VecDeque<Arc<TcpSocket>>,
    pending: VecDeque<Weak<TcpSocket>>,
}

/// The life of a connection; a file per state would be longer than the states.
enum Phase {
    Closed,
    Listening(Listener),
    /// The listener's accept queue is full: like a SYN that is sent again and again.
    SynSent,
    /// Has a peer. `fin_sent` and `fin_rcvd` tell the states from ESTABLISHED on.
    Open(Arc<TcpSocket>),
}

/// `sock->state`: what `connect(2)` thinks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Unconnected,
    Connecting,
    Connected,
}

struct State {
    phase: Phase,
    link: Link,
    /// Address asked for by `bind(2)`, or found by `connect(2)`.
    local: Option<SocketAddr>,
    /// The port was given by `bind(2)`: it outlives a failed connection.
    bound: bool,
    /// Port claimed in the table.
    claimed: Option<u16>,
    remote: Option<SocketAddr>,
    fin_sent: bool,
    fin_rcvd: bool,
}

/// A TCP socket.
pub struct TcpSocket {
    base: Arc<SockBase>,
    me: Weak<TcpSocket>,
    opts: InetOpts,
    state: Mutex<State>,
    /// One reader at a time, while it copies.
    reader: Mutex<()>,
    rx: Mutex<Rx>,
    /// Bytes in `rx`, for those who need no more.
    rx_len: AtomicUsize,
}

impl TcpSocket {
    /// A closed one.
    pub fn create(base: Arc<SockBase>) -> Arc<TcpSocket> {
        base.sndbuf.store(SNDBUF, Ordering::Relaxed);
        base.rcvbuf.store(RCVBUF, Ordering::Relaxed);
        TcpSocket::make(base, InetOpts::default())
    }

    fn make(base: Arc<SockBase>, opts: InetOpts) -> Arc<TcpSocket> {
        Arc::new_cyclic(|me| TcpSocket {
            base,
            me: me.clone(),
            opts,
            state: Mutex::new(State {
                phase: Phase::Closed,
                link: Link::Unconnected,
                local: None,
                bound: false,
                claimed: None,
                remote: None,
                fin_sent: false,
                fin_rcvd: false,
            }),
            reader: Mutex::new(()),
            rx: Mutex::new(Rx::default()),
            rx_len: AtomicUsize::new(0),
        })
    }

    fn unspecified(&self) -> SocketAddr {
        super::unspecified(self.base.family)
    }

    /// Bytes that `self` takes from its peer before the peer must wait.
    fn capacity(&self, sender: &SockBase) -> usize {
        let rcv = if self.base.has(flag::RCVBUF_LOCK) {
            self.base.rcvbuf_size()
        } else {
            CAPACITY / 2
        };
        let snd = if sender.has(flag::SNDBUF_LOCK) {
            sender.sndbuf_size()
        } else {
            CAPACITY / 2
        };
        rcv + snd
    }

    /// State as `TCP_INFO` and `/proc/net/tcp` have it.
    pub fn tcp_state(&self) -> u8 {
        let state = self.state.lock();
        match state.phase {
            Phase::Closed => tcp_state::CLOSE,
            Phase::Listening(_) => tcp_state::LISTEN,
            Phase::SynSent => tcp_state::SYN_SENT,
            Phase::Open(_) => match (state.fin_sent, state.fin_rcvd) {
                (false, false) => tcp_state::ESTABLISHED,
                (true, false) => tcp_state::FIN_WAIT2,
                (false, true) => tcp_state::CLOSE_WAIT,
                (true, true) => tcp_state::CLOSE,
            },
        }
    }

    /// Bytes received and not read; for a listener, connections not accepted.
    pub fn queued(&self) -> usize {
        match &self.state.lock().phase {
            Phase::Listening(listener) => listener.queue.len(),
            _ => self.rx_len.load(Ordering::Acquire),
        }
    }
}

impl Socket for TcpSocket {
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
        let _ = cx;
        self.do_connect(addr)
    }

    fn connect_result(&self) -> Result<()> {
        self.do_connect_result()
    }

    fn accept(&self) -> Result<Arc<dyn Socket>> {
        self.do_accept()
    }

    fn getsockname(&self) -> Result<AddrBuf> {
        let local = self.state.lock().local;
        Ok(addr::format(local.unwrap_or(self.unspecified()), self.base.family))
    }

    fn getpeername(&self) -> Result<AddrBuf> {
        let state = self.state.lock();
        let open = matches!(state.phase, Phase::Open(_)) && !(state.fin_sent && state.fin_rcvd);
        match state.remote {
            Some(remote) if open => Ok(addr::format(remote, self.base.family)),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn accepted_from(&self) -> Result<AddrBuf> {
        let remote = self.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(addr::format(remote, self.base.family))
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        self.do_shutdown(how)
    }

    fn resolve(&self, _cx: &mut Cx, _addr: &[u8]) -> Result<Dest> {
        // A connected stream ignores the address.
        Ok(Dest::Peer)
    }

    fn send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        self.do_send(src, msg)
    }

    fn recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        self.do_recv(dst, msg)
    }

    fn poll(&self) -> Events {
        let mut events = Events::empty();
        if self.base.has_error() {
            events |= Events::ERR;
        }
        let state = self.state.lock();
        let peer = match &state.phase {
            Phase::Listening(listener) => {
                let ready = !listener.queue.is_empty();
                return if ready { Events::READ } else { Events::empty() };
            }
            Phase::SynSent => return events,
            Phase::Closed => None,
            Phase::Open(peer) => Some(peer.clone()),
        };
        let over = peer.is_none() || (state.fin_sent && state.fin_rcvd);
        drop(state);
        if over || self.base.is_shut(SHUT_RCV | SHUT_SEND) {
            events |= Events::HUP;
        }
        if self.base.is_shut(SHUT_RCV) {
            events |= Events::READ | Events::RDHUP;
        }
        let lowat = usize::try_from(self.base.rcvlowat.load(Ordering::Relaxed)).unwrap_or(1);
        let waiting = self.rx_len.load(Ordering::Acquire);
        if waiting > 0 && waiting >= lowat.min(self.base.rcvbuf_size()) {
            events |= Events::READ;
        }
        let room = match &peer {
            Some(peer) if !self.base.is_shut(SHUT_SEND) => peer.has_room(&self.base),
            _ => true,
        };
        if room {
            events |= Events::WRITE;
        }
        if waiting > 0 && self.rx.lock().urgent.is_some_and(|u| u.byte.is_some()) {
            events |= Events::PRI;
        }
        events
    }

    fn setsockopt(&self, cx: &mut Cx, level: i32, name: i32, val: &[u8]) -> Result<()> {
        self.set_option(cx, level, name, val)
    }

    fn getsockopt(&self, cx: &mut Cx, level: i32, name: i32, len: usize) -> Result<OptVal> {
        self.get_option(cx, level, name, len)
    }

    fn ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        let listening = matches!(self.state.lock().phase, Phase::Listening(_));
        let value = match cmd {
            sioc::FIONREAD | sioc::TIOCOUTQ if listening => return Err(Errno::EINVAL.into()),
            sioc::FIONREAD => self.rx_len.load(Ordering::Acquire),
            // What was sent has arrived.
            sioc::TIOCOUTQ => 0,
            sioc::ATMARK => usize::from(self.rx.lock().to_mark() == Some(0)),
            _ => return super::ifreq::ioctl(cx, &self.base.ns, cmd, arg),
        };
        cx.write_obj(UserAddr(arg), &i32::try_from(value).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    fn release(&self) {
        self.do_release();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
