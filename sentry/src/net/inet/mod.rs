//! IPv4 and IPv6 (`ip(7)`, `ipv6(7)`) over the loopback interface.

pub mod ifreq;
mod options;
pub mod ports;
pub mod tcp;
pub mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::{af, sock};

use super::namespace::is_broadcast;
use super::{NetNamespace, SockBase, Socket, addr};
use crate::cred::cap;
use crate::task::Cx;

pub use options::InetOpts;

/// `IPPROTO_*`
const IPPROTO_ICMP: i32 = 1;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_UDP: i32 = 17;
const IPPROTO_ICMPV6: i32 = 58;
const IPPROTO_UDPLITE: i32 = 136;
const IPPROTO_MAX: i32 = 263;

/// `socket(AF_INET or AF_INET6, ..)`
pub fn create(cx: &Cx, ns: Arc<NetNamespace>, family: u16, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
    if !(0..IPPROTO_MAX).contains(&protocol) {
        return Err(Errno::EINVAL);
    }
    let base = |protocol| SockBase::new(&cx.task, ns.clone(), family, kind, protocol);
    match (kind, protocol) {
        (sock::STREAM, 0 | IPPROTO_TCP) => Ok(tcp::TcpSocket::create(base(IPPROTO_TCP))),
        (sock::DGRAM, 0 | IPPROTO_UDP) => Ok(udp::UdpSocket::create(base(IPPROTO_UDP))),
        (sock::DGRAM, IPPROTO_UDPLITE) => Ok(udp::UdpSocket::create(base(IPPROTO_UDPLITE))),
        // Ping sockets: `net.ipv4.ping_group_range` is empty.
        (sock::DGRAM, IPPROTO_ICMP | IPPROTO_ICMPV6) => Err(Errno::EACCES),
        (sock::STREAM | sock::DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        (sock::RAW, 0) => Err(Errno::EPROTONOSUPPORT),
        (sock::RAW, _) if !cx.task.cred().has_cap_in(&ns.user_ns, cap::NET_RAW) => Err(Errno::EPERM),
        (sock::RAW, _) => {
            let what = u64::from(protocol.cast_unsigned());
            Err(cx
                .task
                .kernel
                .counters
                .missing("raw socket", what, Errno::EPROTONOSUPPORT))
        }
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// `INADDR_ANY` or `::`, port 0.
pub fn unspecified(family: u16) -> SocketAddr {
    let ip = if family == af::INET6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    };
    SocketAddr::new(ip, 0)
}

/// The address that `bind(2)` is given.
pub fn parse_bind(base: &SockBase, bytes: &[u8]) -> Result<SocketAddr> {
    let given = addr::family(bytes);
    if base.family == af::INET {
        let parsed = addr::parse_in(bytes)?;
        // AF_UNSPEC with INADDR_ANY is taken for old programs' sake.
        let old = given == af::UNSPEC && parsed.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if given != af::INET && !old {
            return Err(Errno::EAFNOSUPPORT);
        }
        return Ok(parsed);
    }
    if bytes.len() < 24 {
        return Err(Errno::EINVAL);
    }
    if given != af::INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    addr::parse_in6(bytes)
}

/// The address of `connect(2)` and `sendto(2)`.
pub fn parse_dest(base: &SockBase, bytes: &[u8], v6only: bool) -> Result<SocketAddr> {
    let given = addr::family(bytes);
    if base.family == af::INET {
        if bytes.len() < 16 {
            return Err(Errno::EINVAL);
        }
        if given != af::INET {
            return Err(Errno::EAFNOSUPPORT);
        }
        return addr::parse_in(bytes);
    }
    // An IPv6 socket may be told an IPv4 address as such.
    if given == af::INET && !v6only && base.kind == sock::DGRAM {
        return addr::parse_in(bytes);
    }
    if bytes.len() < 24 {
        return Err(Errno::EINVAL);
    }
    if given != af::INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let to = addr::parse_in6(bytes)?;
    if to.is_ipv4() && v6only {
        return Err(Errno::ENETUNREACH);
    }
    Ok(to)
}

/// Connecting to no address in particular means this machine.
pub fn any_to_loopback(to: SocketAddr) -> SocketAddr {
    let ip = match to.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, to.port())
}

/// Source address for a destination; `ENETUNREACH` where there is no way.
pub fn route(ns: &NetNamespace, to: IpAddr) -> Result<IpAddr> {
    ns.source_for(to).ok_or(Errno::ENETUNREACH)
}

/// Checks of `bind(2)`, in the order of `inet_bind` and `inet6_bind`.
pub fn check_bind(cx: &Cx, base: &SockBase, opts: &InetOpts, local: SocketAddr) -> Result<()> {
    let ip = local.ip();
    if base.family == af::INET6 && ip.is_ipv4() && opts.v6only() {
        return Err(Errno::EINVAL);
    }
    let stream = base.kind == sock::STREAM;
    let group = ip.is_multicast() || is_broadcast(ip);
    if base.family == af::INET6 && ip.is_multicast() && stream {
        return Err(Errno::EINVAL);
    }
    let known = ip.is_unspecified() || base.ns.is_local(ip) || (group && !stream) || opts.free_bind();
    if !known {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let port = local.port();
    if port != 0
        && u32::from(port) < base.ns.unprivileged_port.load(Ordering::Relaxed)
        && !cx.task.cred().has_cap_in(&base.ns.user_ns, cap::NET_BIND_SERVICE)
    {
        return Err(Errno::EACCES);
    }
    Ok(())
}
