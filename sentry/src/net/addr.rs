//! Socket addresses as bytes (`sockaddr(3type)`), and internet addresses as values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::Errno;
use abi::errno::Result;
use abi::socket::af;
use smallvec::SmallVec;

/// A `struct sockaddr` of any family.
pub type AddrBuf = SmallVec<[u8; 28]>;

/// Longest address that a call takes (`struct sockaddr_storage`).
pub const MAX_ADDR: usize = 128;

/// The two bytes at `at` as Linux stores a family.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Four bytes at `at` in the host's order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// An `int` at `at`.
pub fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    u32_at(bytes, at).map(u32::cast_signed)
}

/// A 64-bit word at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// `sa_family`; `AF_UNSPEC` for an address too short to have one.
pub fn family(addr: &[u8]) -> u16 {
    u16_at(addr, 0).unwrap_or(af::UNSPEC)
}

fn be16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// `struct sockaddr_in`, family not looked at.
pub fn parse_in(addr: &[u8]) -> Result<SocketAddr> {
    if addr.len() < 16 {
        return Err(Errno::EINVAL);
    }
    let port = be16_at(addr, 2).ok_or(Errno::EINVAL)?;
    let ip: [u8; 4] = addr.get(4..8).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port))
}

/// `struct sockaddr_in6`, family not looked at. A v4-mapped address becomes one of IPv4.
pub fn parse_in6(addr: &[u8]) -> Result<SocketAddr> {
    // RFC 2133 had no scope id.
    if addr.len() < 24 {
        return Err(Errno::EINVAL);
    }
    let port = be16_at(addr, 2).ok_or(Errno::EINVAL)?;
    let ip: [u8; 16] = addr.get(8..24).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
    let ip = Ipv6Addr::from(ip);
    let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
    Ok(SocketAddr::new(ip, port))
}

/// As the bytes that a socket of that family shows.
pub fn format(addr: SocketAddr, shown: u16) -> AddrBuf {
    let mut out = AddrBuf::new();
    out.extend_from_slice(&shown.to_ne_bytes());
    out.extend_from_slice(&addr.port().to_be_bytes());
    if shown == af::INET6 {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&ip.octets());
        let scope = if ip.is_unicast_link_local() { 1u32 } else { 0 };
        out.extend_from_slice(&scope.to_ne_bytes());
    } else {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        out.extend_from_slice(&ip.octets());
        out.extend_from_slice(&[0; 8]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_goes_there_and_back() {
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let bytes = format(addr, af::INET);
        assert_eq!(bytes.as_slice(), [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse_in(&bytes).unwrap(), addr);
    }

    #[test]
    fn an_ipv4_address_is_mapped_on_an_ipv6_socket() {
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let bytes = format(addr, af::INET6);
        assert_eq!(bytes.len(), 28);
        assert_eq!(parse_in6(&bytes).unwrap(), addr);
        assert_eq!(bytes.get(18..24), Some(&[0xff, 0xff, 127, 0, 0, 1][..]));
    }

    #[test]
    fn short_addresses_are_refused() {
        assert_eq!(parse_in(&[2, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(parse_in6(&[0; 16]), Err(Errno::EINVAL));
    }
}
