//! Options of the host's sockets that a guest may use. None has a value that holds a pointer or a descriptor.

use abi::socket::{ip, ipv6, scm, so, sol, tcp};

/// May be set.
pub(super) fn is_settable(level: i32, name: i32) -> bool {
    match level {
        sol::SOCKET => matches!(
            name,
            so::REUSEADDR
                | so::REUSEPORT
                | so::KEEPALIVE
                | so::BROADCAST
                | so::SNDBUF
                | so::RCVBUF
                | so::LINGER
                | so::OOBINLINE
                | so::RCVLOWAT
                | so::TIMESTAMP_OLD
                | so::TIMESTAMPNS_OLD
                | so::PRIORITY
                | so::DONTROUTE
        ),
        sol::TCP => matches!(
            name,
            tcp::NODELAY
                | tcp::MAXSEG
                | tcp::CORK
                | tcp::KEEPIDLE
                | tcp::KEEPINTVL
                | tcp::KEEPCNT
                | tcp::SYNCNT
                | tcp::LINGER2
                | tcp::DEFER_ACCEPT
                | tcp::WINDOW_CLAMP
                | tcp::QUICKACK
                | tcp::CONGESTION
                | tcp::USER_TIMEOUT
                | tcp::FASTOPEN
                | tcp::NOTSENT_LOWAT
                | tcp::INQ
        ),
        sol::IP => matches!(
            name,
            ip::TOS
                | ip::TTL
                | ip::PKTINFO
                | ip::MTU_DISCOVER
                | ip::RECVERR
                | ip::RECVTTL
                | ip::RECVTOS
                | ip::RECVORIGDSTADDR
                | ip::BIND_ADDRESS_NO_PORT
                | ip::MULTICAST_IF
                | ip::MULTICAST_TTL
                | ip::MULTICAST_LOOP
                | ip::MULTICAST_ALL
                | ip::ADD_MEMBERSHIP
                | ip::DROP_MEMBERSHIP
        ),
        sol::IPV6 => matches!(
            name,
            ipv6::V6ONLY
                | ipv6::UNICAST_HOPS
                | ipv6::MULTICAST_IF
                | ipv6::MULTICAST_HOPS
                | ipv6::MULTICAST_LOOP
                | ipv6::ADD_MEMBERSHIP
                | ipv6::DROP_MEMBERSHIP
                | ipv6::MTU_DISCOVER
                | ipv6::RECVERR
                | ipv6::RECVPKTINFO
                | ipv6::RECVHOPLIMIT
                | ipv6::RECVTCLASS
                | ipv6::TCLASS
                | ipv6::AUTOFLOWLABEL
                | ipv6::DONTFRAG
        ),
        // Numbers and flags only.
        sol::NETLINK => matches!(name, 1..=5 | 8 | 10 | 11 | 12),
        _ => false,
    }
}

/// May be read.
pub(super) fn is_readable(level: i32, name: i32) -> bool {
    is_settable(level, name)
        || match level {
            sol::SOCKET => matches!(
                name,
                so::TYPE | so::ERROR | so::ACCEPTCONN | so::DOMAIN | so::PROTOCOL | so::SNDLOWAT
            ),
            sol::TCP => matches!(name, tcp::INFO),
            sol::IP => matches!(name, ip::MTU),
            sol::IPV6 => matches!(name, ipv6::MTU),
            _ => false,
        }
}

/// A control message of the host that passes to the guest.
pub(super) fn is_message(level: i32, kind: i32) -> bool {
    match level {
        sol::SOCKET => matches!(kind, scm::TIMESTAMP | scm::TIMESTAMPNS),
        sol::IP | sol::IPV6 | sol::NETLINK => true,
        sol::TCP => kind == tcp::INQ,
        _ => false,
    }
}
