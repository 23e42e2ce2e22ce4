//! Options of the levels `IPPROTO_IP` and `IPPROTO_IPV6`.
//!
//! Most are numbers that are kept and given back: each has a range and a default, listed in [`rule`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::Errno;
use abi::errno::Result;
use abi::socket::{af, ip, ipv6, sock, sol};

use crate::cred::cap;
use crate::net::addr::{i32_at, u32_at};
use crate::net::{NetNamespace, OptVal, SockBase, sockopt};
use crate::sync::Mutex;
use crate::task::Cx;

/// Most groups that one socket joins (`/proc/sys/net/ipv4/igmp_max_memberships`).
const MAX_MEMBERSHIPS: usize = 20;

/// What a socket's options of these levels are.
#[derive(Default)]
pub struct InetOpts {
    values: Mutex<HashMap<(i32, i32), i32>>,
    groups: Mutex<Vec<IpAddr>>,
}

impl Clone for InetOpts {
    /// What an accepted connection inherits.
    fn clone(&self) -> InetOpts {
        InetOpts {
            values: Mutex::new(self.values.lock().clone()),
            groups: Mutex::default(),
        }
    }
}

/// Range of an option and its value when never set.
struct Rule {
    min: i32,
    max: i32,
    default: i32,
}

const fn number(min: i32, max: i32, default: i32) -> Option<Rule> {
    Some(Rule { min, max, default })
}

/// Any number, kept as 0 or 1.
const FLAG: Option<Rule> = number(i32::MIN, i32::MAX, 0);

fn is_flag(rule: &Rule) -> bool {
    rule.min == i32::MIN
}

fn rule(level: i32, name: i32) -> Option<Rule> {
    match (level, name) {
        (sol::IP, ip::TOS) => number(i32::MIN + 1, i32::MAX, 0),
        (sol::IP, ip::TTL) => number(-1, 255, 64),
        (sol::IP, ip::MTU_DISCOVER) => number(0, 5, 1),
        (sol::IP, ip::MINTTL) => number(0, 255, 0),
        (sol::IP, ip::MULTICAST_TTL) => number(-1, 255, 1),
        (sol::IP, ip::MULTICAST_LOOP | ip::MULTICAST_ALL) => number(i32::MIN, i32::MAX, 1),
        (sol::IP, ip::LOCAL_PORT_RANGE) => number(0, i32::MAX, 0),
        (
            sol::IP,
            ip::PKTINFO
            | ip::RECVERR
            | ip::RECVTTL
            | ip::RECVTOS
            | ip::RECVOPTS
            | ip::RETOPTS
            | ip::FREEBIND
            | ip::TRANSPARENT
            | ip::RECVORIGDSTADDR
            | ip::CHECKSUM
            | ip::BIND_ADDRESS_NO_PORT
            | ip::RECVFRAGSIZE,
        ) => FLAG,
        (sol::IPV6, ipv6::UNICAST_HOPS) => number(-1, 255, 64),
        (sol::IPV6, ipv6::MULTICAST_HOPS) => number(-1, 255, 1),
        (sol::IPV6, ipv6::MULTICAST_LOOP) => number(0, 1, 1),
        (sol::IPV6, ipv6::MULTICAST_ALL) => number(0, 1, 1),
        (sol::IPV6, ipv6::MTU_DISCOVER) => number(0, 5, 1),
        (sol::IPV6, ipv6::TCLASS) => number(-1, 255, 0),
        (sol::IPV6, ipv6::ADDR_PREFERENCES) => number(0, i32::MAX, 0),
        (
            sol::IPV6,
            ipv6::V6ONLY
            | ipv6::RECVERR
            | ipv6::RECVPKTINFO
            | ipv6::RECVHOPLIMIT
            | ipv6::RECVTCLASS
            | ipv6::AUTOFLOWLABEL
            | ipv6::DONTFRAG
            | ipv6::FREEBIND
            | ipv6::TRANSPARENT,
        ) => FLAG,
        _ => None,
    }
}

impl InetOpts {
    /// The value of an option, or its default.
    pub fn get(&self, level: i32, name: i32) -> i32 {
        let values = self.values.lock();
        let default = || rule(level, name).map_or(0, |r| r.default);
        values.get(&(level, name)).copied().unwrap_or_else(default)
    }

    /// The value that was set, if one was.
    pub fn kept(&self, level: i32, name: i32) -> Option<i32> {
        self.values.lock().get(&(level, name)).copied()
    }

    /// True for an option that is on.
    pub fn is_on(&self, level: i32, name: i32) -> bool {
        self.get(level, name) != 0
    }

    /// `IPV6_V6ONLY`
    pub fn v6only(&self) -> bool {
        self.is_on(sol::IPV6, ipv6::V6ONLY)
    }

    /// Addresses that are not here may be bound.
    pub fn free_bind(&self) -> bool {
        let on = |level, name| self.is_on(level, name);
        on(sol::IP, ip::FREEBIND)
            || on(sol::IP, ip::TRANSPARENT)
            || on(sol::IPV6, ipv6::FREEBIND)
            || on(sol::IPV6, ipv6::TRANSPARENT)
    }

    /// Member of that multicast group.
    pub fn is_member(&self, group: IpAddr) -> bool {
        self.groups.lock().contains(&group)
    }

    /// Keeps a value that has been checked.
    pub fn put(&self, level: i32, name: i32, value: i32) {
        self.values.lock().insert((level, name), value);
    }

    /// `setsockopt(2)` of these levels.
    pub fn set(&self, cx: &mut Cx, base: &SockBase, bound: bool, level: i32, name: i32, val: &[u8]) -> Result<()> {
        if level == sol::IPV6 && base.family != af::INET6 {
            return Err(Errno::ENOPROTOOPT);
        }
        match (level, name) {
            (sol::IP, ip::ADD_MEMBERSHIP | ip::DROP_MEMBERSHIP | ip::MULTICAST_IF) => {
                return self.multicast4(base, name, val);
            }
            (sol::IPV6, ipv6::ADD_MEMBERSHIP | ipv6::DROP_MEMBERSHIP) => return self.multicast6(base, name, val),
            (sol::IPV6, ipv6::MULTICAST_IF) | (sol::IP, ip::UNICAST_IF) => {
                let index = sockopt::want_int(val)?;
                let index = if level == sol::IP { i32::from_be(index) } else { index };
                if !(0..=1).contains(&index) {
                    return Err(Errno::ENODEV);
                }
                self.put(level, name, index);
                return Ok(());
            }
            (sol::IPV6, ipv6::V6ONLY) if bound => return Err(Errno::EINVAL),
            (sol::IP, ip::MULTICAST_TTL) if base.kind == sock::STREAM => return Err(Errno::EINVAL),
            (sol::IP, ip::TTL) if int_or_byte(val) == Ok(0) => return Err(Errno::EINVAL),
            (sol::IP, ip::TRANSPARENT) | (sol::IPV6, ipv6::TRANSPARENT) => {
                let cred = cx.task.cred();
                let may = |c| cred.has_cap_in(&base.ns.user_ns, c);
                if sockopt::want_int(val)? != 0 && !may(cap::NET_ADMIN) && !may(cap::NET_RAW) {
                    return Err(Errno::EPERM);
                }
            }
            (sol::IP, ip::HDRINCL | ip::NODEFRAG) => return Err(Errno::ENOPROTOOPT),
            (sol::IP, ip::OPTIONS) if val.is_empty() => return Ok(()),
            _ => {}
        }
        let rule = rule(level, name).ok_or(Errno::ENOPROTOOPT)?;
        let value = if level == sol::IP {
            int_or_byte(val)?
        } else {
            sockopt::want_int(val)?
        };
        if !(rule.min..=rule.max).contains(&value) {
            return Err(Errno::EINVAL);
        }
        let value = match (level, name) {
            _ if is_flag(&rule) => i32::from(value != 0),
            (sol::IP, ip::TOS) => value & 0xff,
            // -1 asks for the default.
            _ if value == -1 => rule.default,
            _ => value,
        };
        self.put(level, name, value);
        Ok(())
    }

    /// `getsockopt(2)` of these levels.
    pub fn get_option(&self, base: &SockBase, connected: bool, level: i32, name: i32, len: usize) -> Result<OptVal> {
        if level == sol::IPV6 && base.family != af::INET6 {
            return Err(Errno::ENOPROTOOPT);
        }
        let value = match (level, name) {
            (sol::IP, ip::MTU) | (sol::IPV6, ipv6::MTU) => {
                if !connected {
                    return Err(Errno::ENOTCONN);
                }
                65535
            }
            (sol::IP, ip::OPTIONS) => return Ok(OptVal::new()),
            (sol::IP, ip::MULTICAST_IF) => {
                let addr = self.get(level, name).cast_unsigned();
                return Ok(OptVal::from_slice(&addr.to_ne_bytes()));
            }
            (sol::IPV6, ipv6::MULTICAST_IF) => self.get(level, name),
            (sol::IP, ip::UNICAST_IF) => self.get(level, name).to_be(),
            _ if rule(level, name).is_some() => self.get(level, name),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        // IP options fit into a byte where the caller has no room for more.
        if level == sol::IP
            && (1..4).contains(&len)
            && let Ok(byte) = u8::try_from(value)
        {
            return Ok(OptVal::from_slice(&[byte]));
        }
        Ok(sockopt::int(value))
    }

    fn multicast4(&self, base: &SockBase, name: i32, val: &[u8]) -> Result<()> {
        if base.kind == sock::STREAM {
            return Err(if name == ip::MULTICAST_IF {
                Errno::EINVAL
            } else {
                Errno::EPROTO
            });
        }
        let addr = |at: usize| -> Option<[u8; 4]> { val.get(at..at + 4)?.try_into().ok() };
        if name == ip::MULTICAST_IF {
            let (local, index) = if val.len() >= 8 {
                (addr(4).ok_or(Errno::EINVAL)?, i32_at(val, 8).unwrap_or(0))
            } else {
                (addr(0).ok_or(Errno::EINVAL)?, 0)
            };
            check_interface(&base.ns, Ipv4Addr::from(local), index)?;
            self.put(sol::IP, name, u32::from_ne_bytes(local).cast_signed());
            return Ok(());
        }
        if val.len() < 8 {
            return Err(Errno::EINVAL);
        }
        let group = Ipv4Addr::from(addr(0).ok_or(Errno::EINVAL)?);
        let local = Ipv4Addr::from(addr(4).ok_or(Errno::EINVAL)?);
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let index = i32_at(val, 8).unwrap_or(0);
        if index == 0 && local.is_unspecified() {
            // No route leads to a group here.
            return Err(Errno::ENODEV);
        }
        check_interface(&base.ns, local, index).map_err(|_| Errno::ENODEV)?;
        self.join_or_leave(IpAddr::V4(group), name == ip::ADD_MEMBERSHIP)
    }

    fn multicast6(&self, base: &SockBase, name: i32, val: &[u8]) -> Result<()> {
        if base.kind == sock::STREAM {
            return Err(Errno::EPROTO);
        }
        let group: [u8; 16] = val.get(..16).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
        let index = u32_at(val, 16).ok_or(Errno::EINVAL)?;
        let group = Ipv6Addr::from(group);
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        if index > 1 || !base.ns.lo_is_up() {
            return Err(Errno::ENODEV);
        }
        self.join_or_leave(IpAddr::V6(group), name == ipv6::ADD_MEMBERSHIP)
    }

    fn join_or_leave(&self, group: IpAddr, join: bool) -> Result<()> {
        let mut groups = self.groups.lock();
        let at = groups.iter().position(|&g| g == group);
        match (join, at) {
            (true, Some(_)) => Err(Errno::EADDRINUSE),
            (true, None) if groups.len() >= MAX_MEMBERSHIPS => Err(Errno::ENOBUFS),
            (true, None) => {
                groups.push(group);
                Ok(())
            }
            (false, Some(at)) => {
                groups.swap_remove(at);
                Ok(())
            }
            (false, None) => Err(Errno::EADDRNOTAVAIL),
        }
    }
}

fn check_interface(ns: &NetNamespace, local: Ipv4Addr, index: i32) -> Result<()> {
    let known = match index {
        0 => local.is_unspecified() || ns.is_local(IpAddr::V4(local)),
        1 => true,
        _ => false,
    };
    if known { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
}

/// Most options of this level also take a byte.
fn int_or_byte(val: &[u8]) -> Result<i32> {
    i32_at(val, 0)
        .or_else(|| val.first().map(|&b| i32::from(b)))
        .ok_or(Errno::EINVAL)
}
