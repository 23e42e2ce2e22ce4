//! UDP (`udp(7)`) over the loopback interface.

mod data;

use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::errno::Result;
use abi::socket::{af, sioc, so, sol};
use abi::{Errno, SysResult};

use super::ports::{Claim, PortTable};
use super::{InetOpts, any_to_loopback, check_bind, parse_bind, parse_dest, route};
use crate::fs::{Sink, Source};
use crate::net::base::{SHUT_RCV, SHUT_SEND, SockBase, flag};
use crate::net::namespace::is_broadcast;
use crate::net::{AddrBuf, Dest, OptVal, RecvMsg, SendMsg, Shut, Socket, addr, sockopt};
use crate::sync::Mutex;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::Events;

/// `UDP_CORK`, `UDP_NO_CHECK6_TX`, `UDP_NO_CHECK6_RX`: kept, without effect where no packets are made.
const UDP_OPTIONS: [i32; 3] = [1, 101, 102];

/// Level of UDP-Lite (`udplite(7)`), `UDPLITE_SEND_CSCOV` and `UDPLITE_RECV_CSCOV`.
const SOL_UDPLITE: i32 = 136;
const UDPLITE_COVERAGE: [i32; 2] = [10, 11];

/// A datagram received.
struct Dgram {
    data: Vec<u8>,
    from: SocketAddr,
    to: SocketAddr,
    ttl: i32,
    tos: i32,
    /// `CLOCK_REALTIME`, nanoseconds.
    stamp: u64,
}

/// What `MSG_ERRQUEUE` gives.
struct ErrItem {
    data: Vec<u8>,
    to: SocketAddr,
    offender: SocketAddr,
}

#[derive(Default)]
struct Queue {
    dgrams: VecDeque<Dgram>,
    /// Charged against `SO_RCVBUF`.
    charged: usize,
    errors: VecDeque<ErrItem>,
    dropped: u32,
}

#[derive(Default)]
struct State {
    /// Name; its address is unspecified until bound or connected.
    local: Option<SocketAddr>,
    /// `bind(2)` gave the address, the port.
    bound_ip: bool,
    bound_port: bool,
    claimed: Option<u16>,
    remote: Option<SocketAddr>,
}

/// A UDP socket.
pub struct UdpSocket {
    base: Arc<SockBase>,
    me: Weak<UdpSocket>,
    opts: InetOpts,
    state: Mutex<State>,
    queue: Mutex<Queue>,
}

impl UdpSocket {
    /// Without a name.
    pub fn create(base: Arc<SockBase>) -> Arc<UdpSocket> {
        Arc::new_cyclic(|me| UdpSocket {
            base,
            me: me.clone(),
            opts: InetOpts::default(),
            state: Mutex::default(),
            queue: Mutex::default(),
        })
    }

    /// UDP and UDP-Lite have ports of their own.
    fn table(&self) -> &PortTable<UdpSocket> {
        if self.is_lite() {
            &self.base.ns.udplite
        } else {
            &self.base.ns.udp
        }
    }

    fn is_lite(&self) -> bool {
        self.base.protocol == super::IPPROTO_UDPLITE
    }

    fn take_port(&self, state: &mut State, mut local: SocketAddr) -> Result<()> {
        let claim = Claim {
            id: self.base.ino,
            local,
            v6only: self.opts.v6only(),
            reuseaddr: self.base.has(flag::REUSEADDR),
            reuseport: self.base.has(flag::REUSEPORT),
            uid: self.base.owner.cred.euid,
            listening: false,
            remote: state.remote,
        };
        let port = self.table().bind(claim, &self.me)?;
        local.set_port(port);
        state.claimed = Some(port);
        state.local = Some(local);
        Ok(())
    }

    fn autobind(&self, state: &mut State) -> Result<()> {
        if state.claimed.is_some() {
            return Ok(());
        }
        let local = state.local.unwrap_or(super::unspecified(self.base.family));
        let taken = self.take_port(state, SocketAddr::new(local.ip(), 0));
        taken.map_err(|e| if e == Errno::EADDRINUSE { Errno::EAGAIN } else { e })
    }

    /// Tells the table of the names now.
    fn publish(&self, state: &State) {
        let (Some(port), Some(local)) = (state.claimed, state.local) else {
            return;
        };
        let remote = state.remote;
        let _ = self.table().update(port, self.base.ino, false, |claim| {
            claim.local = local;
            claim.remote = remote;
        });
    }

    fn disconnect(&self) {
        let mut state = self.state.lock();
        state.remote = None;
        if !state.bound_ip
            && let Some(local) = state.local
        {
            state.local = Some(SocketAddr::new(super::unspecified(self.base.family).ip(), local.port()));
        }
        if !state.bound_port
            && let Some(port) = state.claimed.take()
        {
            self.table().release(port, self.base.ino);
            state.local = None;
        }
        self.publish(&state);
    }

    /// Bytes that wait, for `/proc/net/udp`.
    pub fn queued(&self) -> (usize, u32) {
        let queue = self.queue.lock();
        (queue.charged, queue.dropped)
    }

    fn is_connected(&self) -> bool {
        self.state.lock().remote.is_some()
    }
}

impl Socket for UdpSocket {
    fn base(&self) -> &Arc<SockBase> {
        &self.base
    }

    fn bind(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        let local = parse_bind(&self.base, addr)?;
        check_bind(cx, &self.base, &self.opts, local)?;
        let mut state = self.state.lock();
        if state.claimed.is_some() {
            return Err(Errno::EINVAL);
        }
        self.take_port(&mut state, local)?;
        state.bound_ip = !local.ip().is_unspecified();
        state.bound_port = local.port() != 0;
        Ok(())
    }

    fn connect(&self, _cx: &mut Cx, bytes: &[u8]) -> Result<()> {
        if bytes.len() < 2 {
            return Err(Errno::EINVAL);
        }
        if addr::family(bytes) == af::UNSPEC {
            self.disconnect();
            return Ok(());
        }
        let remote = any_to_loopback(parse_dest(&self.base, bytes, self.opts.v6only())?);
        if is_broadcast(remote.ip()) && !self.base.has(flag::BROADCAST) {
            return Err(Errno::EACCES);
        }
        let source = self.source_for(remote.ip())?;
        let mut state = self.state.lock();
        if state.local.is_none_or(|l| l.ip().is_unspecified()) {
            let port = state.local.map_or(0, |l| l.port());
            state.local = Some(SocketAddr::new(source, port));
        }
        state.remote = Some(remote);
        self.autobind(&mut state)?;
        self.publish(&state);
        Ok(())
    }

    fn getsockname(&self) -> Result<AddrBuf> {
        let local = self.state.lock().local;
        let local = local.unwrap_or(super::unspecified(self.base.family));
        Ok(addr::format(local, self.base.family))
    }

    fn getpeername(&self) -> Result<AddrBuf> {
        let remote = self.state.lock().remote.filter(|r| r.port() != 0);
        Ok(addr::format(remote.ok_or(Errno::ENOTCONN)?, self.base.family))
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        self.base
            .add_shut(if how.read { SHUT_RCV } else { 0 } | if how.write { SHUT_SEND } else { 0 });
        self.base
            .wake(Events::READ | Events::WRITE | Events::RDHUP | Events::HUP);
        if self.is_connected() {
            Ok(())
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    fn resolve(&self, _cx: &mut Cx, bytes: &[u8]) -> Result<Dest> {
        // On IPv6, AF_UNSPEC stands for where it is connected to.
        if self.base.family == af::INET6 && addr::family(bytes) == af::UNSPEC {
            return Ok(Dest::Peer);
        }
        let unspec = self.base.family == af::INET && addr::family(bytes) == af::UNSPEC;
        let to = if unspec {
            addr::parse_in(bytes)?
        } else {
            parse_dest(&self.base, bytes, self.opts.v6only())?
        };
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Dest::Inet(to))
    }

    fn send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        self.do_send(src, msg)
    }

    fn recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        self.do_recv(dst, msg)
    }

    fn poll(&self) -> Events {
        let mut events = Events::WRITE | Events::WRBAND;
        let queue = self.queue.lock();
        if self.base.has_error() || !queue.errors.is_empty() {
            events |= Events::ERR;
        }
        if !queue.dgrams.is_empty() {
            events |= Events::READ;
        }
        if self.base.is_shut(SHUT_RCV) {
            events |= Events::READ | Events::RDHUP;
        }
        if self.base.is_shut(SHUT_RCV | SHUT_SEND) {
            events |= Events::HUP;
        }
        events
    }

    fn setsockopt(&self, cx: &mut Cx, level: i32, name: i32, val: &[u8]) -> Result<()> {
        match level {
            sol::IP | sol::IPV6 => {
                let bound = self.state.lock().claimed.is_some();
                self.opts.set(cx, &self.base, bound, level, name, val)
            }
            sol::UDP if UDP_OPTIONS.contains(&name) => {
                self.opts.put(level, name, i32::from(sockopt::want_int(val)? != 0));
                Ok(())
            }
            SOL_UDPLITE if self.is_lite() && UDPLITE_COVERAGE.contains(&name) => {
                // Nothing is lost or damaged on the way: how much the checksum covers makes no difference.
                let bytes = sockopt::want_int(val)?.clamp(0, 0xffff);
                self.opts
                    .put(level, name, if (1..8).contains(&bytes) { 8 } else { bytes });
                Ok(())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn getsockopt(&self, _cx: &mut Cx, level: i32, name: i32, len: usize) -> Result<OptVal> {
        match level {
            sol::SOCKET => match name {
                so::ACCEPTCONN => Ok(sockopt::boolean(false)),
                so::PEERNAME => self.getpeername().map(|n| OptVal::from_slice(&n)),
                _ => Err(Errno::ENOPROTOOPT),
            },
            sol::IP | sol::IPV6 => {
                let connected = self.is_connected();
                self.opts.get_option(&self.base, connected, level, name, len)
            }
            SOL_UDPLITE if self.is_lite() && UDPLITE_COVERAGE.contains(&name) => {
                Ok(sockopt::int(self.opts.kept(level, name).unwrap_or(0)))
            }
            sol::UDP if UDP_OPTIONS.contains(&name) => Ok(sockopt::int(self.opts.kept(level, name).unwrap_or(0))),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        let value = match cmd {
            sioc::FIONREAD => self.queue.lock().dgrams.front().map_or(0, |d| d.data.len()),
            sioc::TIOCOUTQ => self.base.wmem.load(Ordering::Acquire),
            _ => return super::ifreq::ioctl(cx, &self.base.ns, cmd, arg),
        };
        cx.write_obj(UserAddr(arg), &i32::try_from(value).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    fn release(&self) {
        self.base.dead.store(true, Ordering::Release);
        let mut state = self.state.lock();
        if let Some(port) = state.claimed.take() {
            self.table().release(port, self.base.ino);
        }
        drop(state);
        *self.queue.lock() = Queue::default();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
