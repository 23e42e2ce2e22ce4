//! `rtnetlink(7)`: the loopback interface, its addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::af;

use super::attr::{Message, find};
use crate::cred::{Cred, cap};
use crate::net::NetNamespace;
use crate::net::addr::u32_at;
use crate::net::namespace::{IFF_UP, LO_MTU};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETRULE: u16 = 34;
const RTM_GETQDISC: u16 = 38;
/// Types are in groups of four: new, delete, get, set.
const GET: u16 = 2;

/// Serves one request; messages of a dump, or the answer.
pub(super) fn serve(
    ns: &Arc<NetNamespace>,
    cred: Option<&Cred>,
    kind: u16,
    dump: bool,
    body: &[u8],
) -> Result<Vec<Message>> {
    let reads = kind & 3 == GET;
    if !reads && !cred.is_some_and(|c| c.has_cap_in(&ns.user_ns, cap::NET_ADMIN)) {
        return Err(Errno::EPERM);
    }
    let family = u16::from(body.first().copied().unwrap_or(0));
    match kind {
        RTM_GETLINK if dump => Ok(vec![link(ns)]),
        RTM_GETLINK => {
            which_link(body)?;
            Ok(vec![link(ns)])
        }
        RTM_NEWLINK | RTM_SETLINK => {
            which_link(body)?;
            let (flags, change) = (u32_at(body, 8).unwrap_or(0), u32_at(body, 12).unwrap_or(0));
            // Without a mask of changes the flags stand as they are.
            if (change == 0 && flags != 0) || change & IFF_UP != 0 {
                ns.set_lo_up(flags & IFF_UP != 0);
            }
            Ok(Vec::new())
        }
        RTM_GETADDR => Ok(addresses(ns, family)),
        RTM_NEWADDR => match find(body.get(8..).unwrap_or_default(), 2) {
            Some([127, 0, 0, 1]) if ns.lo_is_up() => Err(Errno::EEXIST),
            _ => Err(Errno::EOPNOTSUPP),
        },
        RTM_DELADDR => Err(Errno::EOPNOTSUPP),
        RTM_GETROUTE if dump => Ok(routes(ns, family)),
        RTM_GETROUTE => route_to(ns, family, body).map(|m| vec![m]),
        RTM_GETNEIGH | RTM_GETRULE | RTM_GETQDISC if dump => Ok(Vec::new()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// `struct ifinfomsg` must mean the one interface there is.
fn which_link(body: &[u8]) -> Result<()> {
    if body.len() < 16 {
        return Err(Errno::EINVAL);
    }
    let index = u32_at(body, 4).unwrap_or(0);
    let name = find(body.get(16..).unwrap_or_default(), 3).map(|n| n.split(|&b| b == 0).next().unwrap_or_default());
    match (index, name) {
        (1, _) | (0, Some(b"lo")) => Ok(()),
        (0, None) => Err(Errno::EINVAL),
        _ => Err(Errno::ENODEV),
    }
}

fn link(ns: &NetNamespace) -> Message {
    let mut header = vec![0u8, 0];
    // ARPHRD_LOOPBACK
    header.extend_from_slice(&772u16.to_ne_bytes());
    header.extend_from_slice(&1i32.to_ne_bytes());
    header.extend_from_slice(&ns.lo_flags().to_ne_bytes());
    header.extend_from_slice(&0u32.to_ne_bytes());
    let mut m = Message::new(RTM_NEWLINK, &header);
    let up = ns.lo_is_up();
    m.put(3, b"lo\0")
        .put_u32(13, 1000)
        .put(16, &[if up { 0 } else { 2 }])
        .put(17, &[0])
        .put_u32(4, LO_MTU)
        .put_u32(50, 0)
        .put_u32(51, 0)
        .put_u32(27, 0)
        .put_u32(30, 0)
        .put_u32(31, 1)
        .put_u32(32, 1)
        .put(33, &[1])
        .put(6, if up { b"noqueue\0" } else { b"noop\0" })
        .put(1, &[0; 6])
        .put(2, &[0; 6]);
    let (bytes, packets) = (
        ns.lo_bytes.load(Ordering::Relaxed),
        ns.lo_packets.load(Ordering::Relaxed),
    );
    let mut stats = Vec::new();
    for value in [packets, packets, bytes, bytes] {
        stats.extend_from_slice(&value.to_ne_bytes());
    }
    stats.resize(24 * 8, 0);
    m.put(23, &stats);
    m
}

fn addresses(ns: &NetNamespace, family: u16) -> Vec<Message> {
    if !ns.lo_is_up() {
        return Vec::new();
    }
    let forever: Vec<u8> = [u32::MAX, u32::MAX, 0, 0]
        .iter()
        .flat_map(|v| v.to_ne_bytes())
        .collect();
    // Family, prefix length, IFA_F_PERMANENT, RT_SCOPE_HOST, index.
    let header = |family: u8, prefix: u8| {
        let mut h = vec![family, prefix, 0x80, 254];
        h.extend_from_slice(&1u32.to_ne_bytes());
        h
    };
    let mut out = Vec::new();
    if family == af::UNSPEC || family == af::INET {
        let mut m = Message::new(RTM_NEWADDR, &header(2, 8));
        let ip = Ipv4Addr::LOCALHOST.octets();
        m.put(1, &ip)
            .put(2, &ip)
            .put(3, b"lo\0")
            .put_u32(8, 0x80)
            .put(6, &forever);
        out.push(m);
    }
    if family == af::UNSPEC || family == af::INET6 {
        let mut m = Message::new(RTM_NEWADDR, &header(10, 128));
        m.put(1, &Ipv6Addr::LOCALHOST.octets())
            .put(6, &forever)
            .put_u32(8, 0x80);
        out.push(m);
    }
    out
}

fn route(family: u8, prefix: u8, scope: u8, kind: u8, dst: &[u8], prefsrc: &[u8]) -> Message {
    // Family, prefix lengths, TOS, table "local", protocol "kernel", scope, type, flags.
    let mut m = Message::new(RTM_NEWROUTE, &[family, prefix, 0, 0, 255, 2, scope, kind, 0, 0, 0, 0]);
    m.put_u32(15, 255).put(1, dst);
    if !prefsrc.is_empty() {
        m.put(7, prefsrc);
    }
    m.put_u32(4, 1);
    m
}

fn routes(ns: &NetNamespace, family: u16) -> Vec<Message> {
    if !ns.lo_is_up() {
        return Vec::new();
    }
    let home = Ipv4Addr::LOCALHOST.octets();
    let mut out = Vec::new();
    if family == af::UNSPEC || family == af::INET {
        out.push(route(2, 8, 254, 2, &[127, 0, 0, 0], &home));
        out.push(route(2, 32, 254, 2, &home, &home));
        out.push(route(2, 32, 253, 3, &[127, 255, 255, 255], &home));
    }
    if family == af::UNSPEC || family == af::INET6 {
        out.push(route(10, 128, 0, 2, &Ipv6Addr::LOCALHOST.octets(), &[]));
    }
    out
}

/// `ip route get`
fn route_to(ns: &NetNamespace, family: u16, body: &[u8]) -> Result<Message> {
    let dst = find(body.get(12..).unwrap_or_default(), 1).ok_or(Errno::EINVAL)?;
    let ip: IpAddr = if family == af::INET6 {
        <[u8; 16]>::try_from(dst).map_err(|_| Errno::EINVAL)?.into()
    } else {
        <[u8; 4]>::try_from(dst).map_err(|_| Errno::EINVAL)?.into()
    };
    if !ns.is_local(ip) {
        return Err(Errno::ENETUNREACH);
    }
    Ok(match ip {
        IpAddr::V4(v4) => route(2, 32, 254, 2, &v4.octets(), &Ipv4Addr::LOCALHOST.octets()),
        IpAddr::V6(v6) => route(10, 128, 0, 2, &v6.octets(), &Ipv6Addr::LOCALHOST.octets()),
    })
}
