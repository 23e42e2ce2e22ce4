//! Netlink sockets (`netlink(7)`): `NETLINK_ROUTE` answers questions, `NETLINK_KOBJECT_UEVENT` stays silent.

mod attr;
mod route;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use abi::errno::Result;
use abi::socket::{MsgFlags, af, sioc, sock, sol};
use abi::{Errno, SysResult};

use super::addr::{u16_at, u32_at};
use super::{AddrBuf, Dest, NetNamespace, OptVal, RecvMsg, SendMsg, SockBase, Socket, addr, sockopt};
use crate::fs::{Sink, Source};
use crate::sync::Mutex;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::Events;

use attr::Message;

/// `NETLINK_ROUTE`
pub const NETLINK_ROUTE: i32 = 0;
/// `NETLINK_KOBJECT_UEVENT`
pub const NETLINK_KOBJECT_UEVENT: i32 = 15;
/// Protocols are below this number (`MAX_LINKS`).
const MAX_LINKS: i32 = 32;

/// `NLM_F_ACK`, `NLM_F_DUMP`
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// `NLMSG_ERROR`, `NLMSG_DONE`, first type of a protocol's own.
const NLMSG_ERROR: u16 = 2;
const NLMSG_MIN_TYPE: u16 = 0x10;
/// Bytes of `struct nlmsghdr`.
const NLMSGHDR: usize = 16;

/// `NETLINK_*` options that are flags.
const FLAG_OPTIONS: [i32; 7] = [3, 4, 5, 8, 10, 11, 12];
const ADD_MEMBERSHIP: i32 = 1;
const DROP_MEMBERSHIP: i32 = 2;
const LIST_MEMBERSHIPS: i32 = 9;

/// Port numbers in use, by protocol.
#[derive(Default)]
pub struct NetlinkPorts {
    ports: Mutex<HashMap<(i32, u32), Weak<NetlinkSocket>>>,
}

impl NetlinkPorts {
    /// All sockets, with protocol and port.
    pub fn list(&self) -> Vec<(i32, u32, u32, u64)> {
        let ports = self.ports.lock();
        let alive = ports
            .iter()
            .filter_map(|(&(protocol, port), s)| Some((protocol, port, s.upgrade()?)));
        alive
            .map(|(protocol, port, s)| (protocol, port, s.state.lock().groups, s.base.ino))
            .collect()
    }
}

#[derive(Default)]
struct State {
    port: Option<u32>,
    groups: u32,
    /// Where `connect(2)` leads: only the kernel answers.
    peer: u32,
    flags: u32,
    replies: VecDeque<Vec<u8>>,
    queued: usize,
}

/// A netlink socket.
pub struct NetlinkSocket {
    base: Arc<SockBase>,
    me: Weak<NetlinkSocket>,
    pid: i32,
    state: Mutex<State>,
}

/// `socket(AF_NETLINK, ..)`
pub fn create(cx: &Cx, ns: Arc<NetNamespace>, kind: i32, protocol: i32) -> Result<Arc<NetlinkSocket>> {
    if kind != sock::RAW && kind != sock::DGRAM {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if !(0..MAX_LINKS).contains(&protocol) || !matches!(protocol, NETLINK_ROUTE | NETLINK_KOBJECT_UEVENT) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let base = SockBase::new(&cx.task, ns, af::NETLINK, kind, protocol);
    Ok(Arc::new_cyclic(|me| NetlinkSocket {
        base,
        me: me.clone(),
        pid: cx.task.group.tgid,
        state: Mutex::default(),
    }))
}

/// `struct sockaddr_nl`: port and groups.
fn parse(bytes: &[u8]) -> Result<(u32, u32)> {
    if bytes.len() < 12 || addr::family(bytes) != af::NETLINK {
        return Err(Errno::EINVAL);
    }
    Ok((
        u32_at(bytes, 4).ok_or(Errno::EINVAL)?,
        u32_at(bytes, 8).ok_or(Errno::EINVAL)?,
    ))
}

fn format(port: u32, groups: u32) -> AddrBuf {
    let mut out = AddrBuf::from_slice(&af::NETLINK.to_ne_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&port.to_ne_bytes());
    out.extend_from_slice(&groups.to_ne_bytes());
    out
}

impl NetlinkSocket {
    /// Takes a port: the one asked for, or the process id, or a large number.
    fn take_port(&self, wanted: u32) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(port) = state.port {
            return if wanted == port { Ok(()) } else { Err(Errno::EINVAL) };
        }
        let mut ports = self.base.ns.netlink.ports.lock();
        let protocol = self.base.protocol;
        let is_free = |port: u32| ports.get(&(protocol, port)).is_none_or(|s| s.strong_count() == 0);
        let port = if wanted != 0 {
            if !is_free(wanted) {
                return Err(Errno::EADDRINUSE);
            }
            wanted
        } else {
            let own = self.pid.cast_unsigned();
            let other = (1..=u32::MAX / 2).map(|n| u32::MAX - n - 4095);
            std::iter::once(own)
                .chain(other)
                .find(|&p| is_free(p))
                .ok_or(Errno::EADDRINUSE)?
        };
        ports.insert((protocol, port), self.me.clone());
        state.port = Some(port);
        Ok(())
    }

    /// Serves the requests of one datagram (`netlink_rcv_skb`).
    fn serve(&self, cx: Option<&crate::cred::Cred>, data: &[u8], port: u32) {
        let mut rest = data;
        while rest.len() >= NLMSGHDR {
            let len = u32_at(rest, 0).map_or(0, |n| n as usize);
            let Some(msg) = rest.get(..len).filter(|m| m.len() >= NLMSGHDR) else {
                return;
            };
            self.serve_one(cx, msg, port);
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    fn serve_one(&self, cred: Option<&crate::cred::Cred>, msg: &[u8], port: u32) {
        let kind = u16_at(msg, 4).unwrap_or(0);
        let flags = u16_at(msg, 6).unwrap_or(0);
        let seq = u32_at(msg, 8).unwrap_or(0);
        let wanted = flags & NLM_F_REQUEST != 0 && kind >= NLMSG_MIN_TYPE;
        let body = msg.get(NLMSGHDR..).unwrap_or_default();
        let dump = flags & NLM_F_DUMP != 0;
        let outcome = if wanted && self.base.protocol == NETLINK_ROUTE {
            route::serve(&self.base.ns, cred, kind, dump, body)
        } else {
            Ok(Vec::new())
        };
        match outcome {
            Ok(messages) if dump && wanted => {
                let mut datagram = Vec::new();
                for message in messages {
                    datagram.extend_from_slice(&message.finish(seq, port, true));
                }
                self.reply(datagram);
                self.reply(Message::done().finish(seq, port, true));
            }
            Ok(messages) => {
                for message in messages {
                    self.reply(message.finish(seq, port, false));
                }
                if flags & NLM_F_ACK != 0 {
                    self.reply(Message::error(0, msg).finish(seq, port, false));
                }
            }
            Err(e) => self.reply(Message::error(-i32::from(e.raw()), msg).finish(seq, port, false)),
        }
    }

    fn reply(&self, data: Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if state.queued > self.base.rcvbuf_size() {
            drop(state);
            self.base.set_error(Errno::ENOBUFS);
            return;
        }
        state.queued += data.len();
        state.replies.push_back(data);
        drop(state);
        self.base.wake(Events::READ);
    }
}

impl Socket for NetlinkSocket {
    fn base(&self) -> &Arc<SockBase> {
        &self.base
    }

    fn bind(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        let (port, groups) = parse(addr)?;
        let admin = cx
            .task
            .cred()
            .has_cap_in(&self.base.ns.user_ns, crate::cred::cap::NET_ADMIN);
        let open = matches!(self.base.protocol, NETLINK_ROUTE | NETLINK_KOBJECT_UEVENT);
        if groups != 0 && !open && !admin {
            return Err(Errno::EPERM);
        }
        let unset = self.state.lock().port.is_none();
        if port != 0 || unset {
            self.take_port(port)?;
        }
        self.state.lock().groups = groups;
        Ok(())
    }

    fn connect(&self, _cx: &mut Cx, addr: &[u8]) -> Result<()> {
        if addr.len() >= 2 && addr::family(addr) == af::UNSPEC {
            self.state.lock().peer = 0;
            return Ok(());
        }
        let (port, _) = parse(addr)?;
        if self.state.lock().port.is_none() {
            self.take_port(0)?;
        }
        self.state.lock().peer = port;
        Ok(())
    }

    fn getsockname(&self) -> Result<AddrBuf> {
        let state = self.state.lock();
        Ok(format(state.port.unwrap_or(0), state.groups))
    }

    fn getpeername(&self) -> Result<AddrBuf> {
        Ok(format(self.state.lock().peer, 0))
    }

    fn resolve(&self, _cx: &mut Cx, addr: &[u8]) -> Result<Dest> {
        let (port, groups) = parse(addr)?;
        Ok(Dest::Raw(format(port, groups)))
    }

    fn send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = match &msg.dest {
            Dest::Raw(bytes) => u32_at(bytes, 4).unwrap_or(0),
            _ => self.state.lock().peer,
        };
        if self.state.lock().port.is_none() {
            self.take_port(0)?;
        }
        let len = src.remaining();
        if len > self.base.sndbuf_size().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        let mut data = vec![0u8; len];
        if len > 0 && src.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        // Only the kernel listens.
        if to != 0 {
            return Err(Errno::ECONNREFUSED);
        }
        let port = self.state.lock().port.unwrap_or(0);
        let cred = msg.task.as_ref().map(|t| t.cred());
        self.serve(cred.as_deref(), &data, port);
        Ok(len)
    }

    fn recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        let peek = msg.flags.contains(MsgFlags::PEEK);
        let data = {
            let mut state = self.state.lock();
            if peek {
                state.replies.front().cloned()
            } else {
                let data = state.replies.pop_front();
                state.queued = state.queued.saturating_sub(data.as_ref().map_or(0, Vec::len));
                data
            }
        };
        let data = data.ok_or(Errno::EAGAIN)?;
        let room = dst.remaining().min(data.len());
        let n = dst.put(data.get(..room).unwrap_or_default())?;
        if room < data.len() {
            msg.out_flags |= MsgFlags::TRUNC;
        }
        msg.from = Some(format(0, 0));
        if self.base.has(super::base::flag::PASSCRED) {
            let kernel = super::base::PeerCred {
                pid: 0,
                cred: self.base.owner.cred.clone(),
            };
            msg.control.creds = Some(kernel);
        }
        Ok(if msg.flags.contains(MsgFlags::TRUNC) {
            data.len()
        } else {
            n
        })
    }

    fn poll(&self) -> Events {
        let mut events = Events::WRITE | Events::WRBAND;
        if self.base.has_error() {
            events |= Events::ERR;
        }
        if !self.state.lock().replies.is_empty() {
            events |= Events::READ;
        }
        events
    }

    fn setsockopt(&self, _cx: &mut Cx, level: i32, name: i32, val: &[u8]) -> Result<()> {
        if level != sol::NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let value = sockopt::want_int(val)?;
        let mut state = self.state.lock();
        match name {
            ADD_MEMBERSHIP | DROP_MEMBERSHIP => {
                let bit = u32::try_from(value)
                    .ok()
                    .filter(|v| (1..=32).contains(v))
                    .ok_or(Errno::EINVAL)?;
                let bit = 1u32 << (bit - 1);
                if name == ADD_MEMBERSHIP {
                    state.groups |= bit;
                } else {
                    state.groups &= !bit;
                }
            }
            _ if FLAG_OPTIONS.contains(&name) => {
                let bit = 1u32 << (name & 31);
                state.flags = if value != 0 {
                    state.flags | bit
                } else {
                    state.flags & !bit
                };
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn getsockopt(&self, _cx: &mut Cx, level: i32, name: i32, _len: usize) -> Result<OptVal> {
        if level != sol::NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let state = self.state.lock();
        match name {
            LIST_MEMBERSHIPS => Ok(OptVal::from_slice(&state.groups.to_ne_bytes())),
            _ if FLAG_OPTIONS.contains(&name) => Ok(sockopt::boolean(state.flags & (1u32 << (name & 31)) != 0)),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        match cmd {
            sioc::FIONREAD => {
                let n = self.state.lock().replies.front().map_or(0, Vec::len);
                cx.write_obj(UserAddr(arg), &i32::try_from(n).unwrap_or(i32::MAX))?;
                Ok(0)
            }
            _ => super::inet::ifreq::ioctl(cx, &self.base.ns, cmd, arg),
        }
    }

    fn release(&self) {
        if let Some(port) = self.state.lock().port.take() {
            self.base.ns.netlink.ports.lock().remove(&(self.base.protocol, port));
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
