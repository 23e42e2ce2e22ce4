//! Datagrams on their way.

use std::net::{IpAddr, SocketAddr};

use abi::Errno;
use abi::errno::Result;
use abi::socket::{MsgFlags, af, ip, ipv6, scm, sol};
use zerocopy::IntoBytes;

use super::{Dgram, ErrItem, UdpSocket};
use crate::fs::stat::Timestamp;
use crate::fs::{Sink, Source};
use crate::net::base::{SHUT_RCV, SHUT_SEND, flag};
use crate::net::inet::any_to_loopback;
use crate::net::namespace::is_broadcast;
use crate::net::skb::truesize;
use crate::net::{Dest, Received, RecvMsg, SendMsg, addr};
use crate::wait::Events;

/// Most bytes of a datagram over IPv4 and over IPv6.
const MAX_V4: usize = 65535 - 20 - 8;
const MAX_V6: usize = 65535 - 8;
/// Most errors that wait for `MSG_ERRQUEUE`.
const MAX_ERRORS: usize = 64;

impl UdpSocket {
    /// Source address for a destination: groups are reached by the interface that was chosen for them.
    pub(super) fn source_for(&self, to: IpAddr) -> Result<IpAddr> {
        if to.is_multicast() {
            let chosen = match to {
                IpAddr::V4(_) => self.opts.is_on(sol::IP, ip::MULTICAST_IF),
                IpAddr::V6(_) => self.opts.is_on(sol::IPV6, ipv6::MULTICAST_IF),
            };
            let lo = chosen || self.base.rare.lock().bound_if != 0;
            let home: IpAddr = match to {
                IpAddr::V4(_) => [127, 0, 0, 1].into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            return if lo && self.base.ns.lo_is_up() {
                Ok(home)
            } else {
                Err(Errno::ENETUNREACH)
            };
        }
        super::route(&self.base.ns, to)
    }

    pub(super) fn do_send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        let len = src.remaining();
        if len > 0xffff {
            return Err(Errno::EMSGSIZE);
        }
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let (local, remote) = {
            let mut state = self.state.lock();
            let remote = match msg.dest {
                Dest::Inet(to) => any_to_loopback(to),
                _ => state.remote.filter(|r| r.port() != 0).ok_or(Errno::EDESTADDRREQ)?,
            };
            self.autobind(&mut state)?;
            (state.local.ok_or(Errno::EINVAL)?, remote)
        };
        if is_broadcast(remote.ip()) && !self.base.has(flag::BROADCAST) {
            return Err(Errno::EACCES);
        }
        let source = self.source_for(remote.ip())?;
        let source = match msg.control.source {
            Some(given) if self.base.ns.is_local(given) => given,
            Some(_) => return Err(Errno::EINVAL),
            None if local.ip().is_unspecified() => source,
            None => local.ip(),
        };
        if source.is_ipv4() != remote.is_ipv4() {
            return Err(Errno::ENETUNREACH);
        }
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        if self.base.is_shut(SHUT_SEND) {
            return Err(Errno::EPIPE);
        }
        if len > if remote.is_ipv4() { MAX_V4 } else { MAX_V6 } {
            return Err(Errno::EMSGSIZE);
        }
        let mut data = vec![0u8; len];
        if len > 0 && src.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        let dgram = self.dress(data, SocketAddr::new(source, local.port()), remote, msg);
        self.base.ns.count(len + 28);
        if remote.ip().is_multicast() || is_broadcast(remote.ip()) {
            self.deliver_to_all(&dgram);
        } else {
            match self.table().receiver(remote, dgram.from) {
                Some(receiver) => receiver.take(dgram),
                None => self.unreachable(dgram),
            }
        }
        Ok(len)
    }

    fn dress(&self, data: Vec<u8>, from: SocketAddr, to: SocketAddr, msg: &SendMsg) -> Dgram {
        let multicast = to.ip().is_multicast();
        let (ttl, tos) = match (to.ip(), multicast) {
            (IpAddr::V4(_), false) => (self.opts.get(sol::IP, ip::TTL), self.opts.get(sol::IP, ip::TOS)),
            (IpAddr::V4(_), true) => (
                self.opts.get(sol::IP, ip::MULTICAST_TTL),
                self.opts.get(sol::IP, ip::TOS),
            ),
            (IpAddr::V6(_), many) => {
                let hops = if many { ipv6::MULTICAST_HOPS } else { ipv6::UNICAST_HOPS };
                (self.opts.get(sol::IPV6, hops), self.opts.get(sol::IPV6, ipv6::TCLASS))
            }
        };
        let now = Timestamp::now();
        let secs = u64::try_from(now.sec).unwrap_or(0);
        Dgram {
            data,
            from,
            to,
            ttl: msg.control.ttl.unwrap_or(ttl),
            tos: msg.control.tos.unwrap_or(tos),
            stamp: secs.saturating_mul(1_000_000_000).saturating_add(u64::from(now.nsec)),
        }
    }

    /// Queues a datagram, or drops it where `SO_RCVBUF` is used up.
    fn take(&self, dgram: Dgram) {
        let size = truesize(dgram.data.len());
        let mut queue = self.queue.lock();
        if self.base.is_shut(SHUT_RCV) {
            return;
        }
        // One message may go beyond the limit, as in `__udp_enqueue_schedule_skb`.
        if queue.charged > self.base.rcvbuf_size() {
            queue.dropped = queue.dropped.wrapping_add(1);
            return;
        }
        queue.charged += size;
        queue.dgrams.push_back(dgram);
        drop(queue);
        self.base.wake(Events::READ);
    }

    /// Multicast and broadcast: every socket on the port that wants it.
    fn deliver_to_all(&self, dgram: &Dgram) {
        let group = dgram.to.ip();
        for (claim, socket) in self.table().all_on(dgram.to.port()) {
            let at = claim.local.ip();
            let addressed = at == group || (at.is_unspecified() && (at.is_ipv4() == group.is_ipv4() || !claim.v6only));
            let from_peer = claim.remote.is_none_or(|r| r == dgram.from);
            let all_groups = match group {
                IpAddr::V4(_) => socket.opts.is_on(sol::IP, ip::MULTICAST_ALL),
                IpAddr::V6(_) => socket.opts.is_on(sol::IPV6, ipv6::MULTICAST_ALL),
            };
            // With IP_MULTICAST_ALL it is enough that somebody on this host joined; on `lo` that is any socket here.
            let member = !group.is_multicast() || socket.opts.is_member(group) || (all_groups && at == group);
            if addressed && from_peer && member {
                socket.take(Dgram {
                    data: dgram.data.clone(),
                    ..*dgram
                });
            }
        }
    }

    /// Nobody is there: like the ICMP message that comes back.
    fn unreachable(&self, dgram: Dgram) {
        let recverr = match dgram.to.ip() {
            IpAddr::V4(_) => self.opts.is_on(sol::IP, ip::RECVERR),
            IpAddr::V6(_) => self.opts.is_on(sol::IPV6, ipv6::RECVERR),
        };
        if recverr {
            let mut queue = self.queue.lock();
            if queue.errors.len() < MAX_ERRORS {
                queue.errors.push_back(ErrItem {
                    data: dgram.data,
                    to: dgram.to,
                    offender: SocketAddr::new(dgram.to.ip(), 0),
                });
            }
        }
        if recverr || self.is_connected() {
            self.base.set_error(Errno::ECONNREFUSED);
        }
    }

    pub(super) fn do_recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        if msg.flags.contains(MsgFlags::ERRQUEUE) {
            return self.recv_error(dst, msg);
        }
        if msg.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if let Some(e) = self.base.take_error() {
            return Err(e);
        }
        let peek = msg.flags.contains(MsgFlags::PEEK);
        let mut queue = self.queue.lock();
        let Some(dgram) = queue.dgrams.pop_front() else {
            let over = self.base.is_shut(SHUT_RCV) && !msg.flags.contains(MsgFlags::DONTWAIT);
            return if over { Ok(0) } else { Err(Errno::EAGAIN) };
        };
        if !peek {
            queue.charged = queue.charged.saturating_sub(truesize(dgram.data.len()));
        }
        drop(queue);
        let len = dgram.data.len();
        let room = dst.remaining().min(len);
        let copied = dst.put(dgram.data.get(..room).unwrap_or_default());
        if copied.is_ok() {
            self.describe(&dgram, msg);
            if room < len {
                msg.out_flags |= MsgFlags::TRUNC;
            }
        }
        if peek {
            self.queue.lock().dgrams.push_front(dgram);
        }
        let n = copied?;
        if n < room {
            return Err(Errno::EFAULT);
        }
        Ok(if msg.flags.contains(MsgFlags::TRUNC) { len } else { n })
    }

    /// Sender and control messages of a datagram, in Linux's order.
    fn describe(&self, dgram: &Dgram, msg: &mut RecvMsg) {
        if msg.want_addr {
            msg.from = Some(addr::format(dgram.from, self.base.family));
        }
        self.base.rare.lock().stamp = dgram.stamp;
        if !msg.want_control {
            return;
        }
        let out = &mut msg.control;
        let (sec, nsec) = (dgram.stamp / 1_000_000_000, dgram.stamp % 1_000_000_000);
        if self.base.has(flag::TIMESTAMPNS) {
            out.push(sol::SOCKET, scm::TIMESTAMPNS, [sec, nsec].as_bytes());
        } else if self.base.has(flag::TIMESTAMP) {
            out.push(sol::SOCKET, scm::TIMESTAMP, [sec, nsec / 1000].as_bytes());
        }
        if self.base.has(flag::RXQ_OVFL) {
            let dropped = self.queue.lock().dropped;
            out.push(sol::SOCKET, abi::socket::so::RXQ_OVFL, &dropped.to_ne_bytes());
        }
        match dgram.to.ip() {
            IpAddr::V4(to) => self.describe_v4(to.octets(), dgram, out),
            IpAddr::V6(to) => self.describe_v6(to.octets(), dgram, out),
        }
    }

    fn describe_v4(&self, to: [u8; 4], dgram: &Dgram, out: &mut Received) {
        let on = |name| self.opts.is_on(sol::IP, name);
        if self.base.family == af::INET6 && self.opts.is_on(sol::IPV6, ipv6::RECVPKTINFO) {
            let mapped = std::net::Ipv4Addr::from(to).to_ipv6_mapped();
            out.push(sol::IPV6, ipv6::PKTINFO, &pktinfo6(mapped.octets()));
        }
        if on(ip::PKTINFO) {
            let mut info = 1u32.to_ne_bytes().to_vec();
            info.extend_from_slice(&to);
            info.extend_from_slice(&to);
            out.push(sol::IP, ip::PKTINFO, &info);
        }
        if on(ip::RECVTTL) {
            out.push(sol::IP, ip::TTL, &dgram.ttl.to_ne_bytes());
        }
        if on(ip::RECVTOS) {
            out.push(sol::IP, ip::TOS, &[u8::try_from(dgram.tos & 0xff).unwrap_or(0)]);
        }
        if on(ip::RECVORIGDSTADDR) {
            out.push(sol::IP, ip::RECVORIGDSTADDR, &addr::format(dgram.to, af::INET));
        }
    }

    fn describe_v6(&self, to: [u8; 16], dgram: &Dgram, out: &mut Received) {
        let on = |name| self.opts.is_on(sol::IPV6, name);
        if on(ipv6::RECVPKTINFO) {
            out.push(sol::IPV6, ipv6::PKTINFO, &pktinfo6(to));
        }
        if on(ipv6::RECVHOPLIMIT) {
            out.push(sol::IPV6, ipv6::HOPLIMIT, &dgram.ttl.to_ne_bytes());
        }
        if on(ipv6::RECVTCLASS) {
            out.push(sol::IPV6, ipv6::TCLASS, &dgram.tos.to_ne_bytes());
        }
    }

    /// `MSG_ERRQUEUE`: the datagram that could not be delivered, and why (`struct sock_extended_err`).
    fn recv_error(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        let item = self.queue.lock().errors.pop_front().ok_or(Errno::EAGAIN)?;
        let room = dst.remaining().min(item.data.len());
        let n = dst.put(item.data.get(..room).unwrap_or_default())?;
        if room < item.data.len() {
            msg.out_flags |= MsgFlags::TRUNC;
        }
        msg.out_flags |= MsgFlags::ERRQUEUE;
        msg.from = Some(addr::format(item.to, self.base.family));
        let v4 = item.to.is_ipv4();
        let mut data = u32::from(Errno::ECONNREFUSED.raw()).to_ne_bytes().to_vec();
        // Origin, type and code: destination unreachable, port unreachable.
        data.extend_from_slice(if v4 { &[2, 3, 3, 0] } else { &[3, 1, 4, 0] });
        data.extend_from_slice(&[0; 8]);
        data.extend_from_slice(&addr::format(item.offender, if v4 { af::INET } else { af::INET6 }));
        let (level, kind) = if v4 {
            (sol::IP, ip::RECVERR)
        } else {
            (sol::IPV6, ipv6::RECVERR)
        };
        msg.control.push(level, kind, &data);
        let _ = self.base.take_error();
        Ok(n)
    }
}

fn pktinfo6(to: [u8; 16]) -> Vec<u8> {
    let mut info = to.to_vec();
    info.extend_from_slice(&1u32.to_ne_bytes());
    info
}
