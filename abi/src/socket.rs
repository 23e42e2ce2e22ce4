//! Sockets: numbers and structures of `socket(2)`, `socket(7)`, `send(2)`, `recv(2)`, `ip(7)`, `tcp(7)` and `unix(7)`.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Address families.
#[allow(missing_docs, reason = "address_families(7) documents each name")]
pub mod af {
    pub const UNSPEC: u16 = 0;
    pub const UNIX: u16 = 1;
    pub const INET: u16 = 2;
    pub const INET6: u16 = 10;
    pub const NETLINK: u16 = 16;
    pub const PACKET: u16 = 17;
    /// Families are below this number.
    pub const MAX: i32 = 46;
}

/// Types of sockets and the flags that `socket(2)` takes with them.
#[allow(missing_docs, reason = "socket(2) documents each name")]
pub mod sock {
    pub const STREAM: i32 = 1;
    pub const DGRAM: i32 = 2;
    pub const RAW: i32 = 3;
    pub const RDM: i32 = 4;
    pub const SEQPACKET: i32 = 5;
    pub const PACKET: i32 = 10;
    pub const TYPE_MASK: i32 = 0xf;
    pub const NONBLOCK: i32 = 0o4000;
    pub const CLOEXEC: i32 = 0o2_000_000;
}

/// Levels of `setsockopt(2)` and of control messages.
#[allow(missing_docs, reason = "the man pages of the protocols document each name")]
pub mod sol {
    pub const IP: i32 = 0;
    pub const SOCKET: i32 = 1;
    pub const TCP: i32 = 6;
    pub const UDP: i32 = 17;
    pub const IPV6: i32 = 41;
    pub const ICMPV6: i32 = 58;
    pub const RAW: i32 = 255;
    pub const PACKET: i32 = 263;
    pub const NETLINK: i32 = 270;
}

/// Options of level `SOL_SOCKET`.
#[allow(missing_docs, reason = "socket(7) documents each name")]
pub mod so {
    pub const DEBUG: i32 = 1;
    pub const REUSEADDR: i32 = 2;
    pub const TYPE: i32 = 3;
    pub const ERROR: i32 = 4;
    pub const DONTROUTE: i32 = 5;
    pub const BROADCAST: i32 = 6;
    pub const SNDBUF: i32 = 7;
    pub const RCVBUF: i32 = 8;
    pub const KEEPALIVE: i32 = 9;
    pub const OOBINLINE: i32 = 10;
    pub const NO_CHECK: i32 = 11;
    pub const PRIORITY: i32 = 12;
    pub const LINGER: i32 = 13;
    pub const REUSEPORT: i32 = 15;
    pub const PASSCRED: i32 = 16;
    pub const PEERCRED: i32 = 17;
    pub const RCVLOWAT: i32 = 18;
    pub const SNDLOWAT: i32 = 19;
    pub const RCVTIMEO_OLD: i32 = 20;
    pub const SNDTIMEO_OLD: i32 = 21;
    pub const BINDTODEVICE: i32 = 25;
    pub const ATTACH_FILTER: i32 = 26;
    pub const DETACH_FILTER: i32 = 27;
    pub const PEERNAME: i32 = 28;
    pub const TIMESTAMP_OLD: i32 = 29;
    pub const ACCEPTCONN: i32 = 30;
    pub const PEERSEC: i32 = 31;
    pub const SNDBUFFORCE: i32 = 32;
    pub const RCVBUFFORCE: i32 = 33;
    pub const PASSSEC: i32 = 34;
    pub const TIMESTAMPNS_OLD: i32 = 35;
    pub const MARK: i32 = 36;
    pub const TIMESTAMPING_OLD: i32 = 37;
    pub const PROTOCOL: i32 = 38;
    pub const DOMAIN: i32 = 39;
    pub const RXQ_OVFL: i32 = 40;
    pub const PEEK_OFF: i32 = 42;
    pub const NOFCS: i32 = 43;
    pub const LOCK_FILTER: i32 = 44;
    pub const SELECT_ERR_QUEUE: i32 = 45;
    pub const BUSY_POLL: i32 = 46;
    pub const MAX_PACING_RATE: i32 = 47;
    pub const ATTACH_BPF: i32 = 50;
    pub const ATTACH_REUSEPORT_CBPF: i32 = 51;
    pub const ATTACH_REUSEPORT_EBPF: i32 = 52;
    pub const INCOMING_CPU: i32 = 49;
    pub const MEMINFO: i32 = 55;
    pub const INCOMING_NAPI_ID: i32 = 56;
    pub const COOKIE: i32 = 57;
    pub const PEERGROUPS: i32 = 59;
    pub const ZEROCOPY: i32 = 60;
    pub const TXTIME: i32 = 61;
    pub const BINDTOIFINDEX: i32 = 62;
    pub const TIMESTAMP_NEW: i32 = 63;
    pub const TIMESTAMPNS_NEW: i32 = 64;
    pub const TIMESTAMPING_NEW: i32 = 65;
    pub const RCVTIMEO_NEW: i32 = 66;
    pub const SNDTIMEO_NEW: i32 = 67;
    pub const DETACH_REUSEPORT_BPF: i32 = 68;
    pub const PREFER_BUSY_POLL: i32 = 69;
    pub const BUSY_POLL_BUDGET: i32 = 70;
    pub const NETNS_COOKIE: i32 = 71;
    pub const BUF_LOCK: i32 = 72;
    pub const RESERVE_MEM: i32 = 73;
    pub const TXREHASH: i32 = 74;
    pub const RCVMARK: i32 = 75;
    pub const PASSPIDFD: i32 = 76;
    pub const PEERPIDFD: i32 = 77;
}

/// Control messages of level `SOL_SOCKET`.
#[allow(missing_docs, reason = "unix(7) and socket(7) document each name")]
pub mod scm {
    pub const RIGHTS: i32 = 1;
    pub const CREDENTIALS: i32 = 2;
    pub const SECURITY: i32 = 3;
    pub const PIDFD: i32 = 4;
    pub const TIMESTAMP: i32 = 29;
    pub const TIMESTAMPNS: i32 = 35;
    /// Most fds in one message.
    pub const MAX_FD: usize = 253;
}

/// Options of level `IPPROTO_TCP`.
#[allow(missing_docs, reason = "tcp(7) documents each name")]
pub mod tcp {
    pub const NODELAY: i32 = 1;
    pub const MAXSEG: i32 = 2;
    pub const CORK: i32 = 3;
    pub const KEEPIDLE: i32 = 4;
    pub const KEEPINTVL: i32 = 5;
    pub const KEEPCNT: i32 = 6;
    pub const SYNCNT: i32 = 7;
    pub const LINGER2: i32 = 8;
    pub const DEFER_ACCEPT: i32 = 9;
    pub const WINDOW_CLAMP: i32 = 10;
    pub const INFO: i32 = 11;
    pub const QUICKACK: i32 = 12;
    pub const CONGESTION: i32 = 13;
    pub const MD5SIG: i32 = 14;
    pub const THIN_LINEAR_TIMEOUTS: i32 = 16;
    pub const THIN_DUPACK: i32 = 17;
    pub const USER_TIMEOUT: i32 = 18;
    pub const REPAIR: i32 = 19;
    pub const FASTOPEN: i32 = 23;
    pub const TIMESTAMP: i32 = 24;
    pub const NOTSENT_LOWAT: i32 = 25;
    pub const CC_INFO: i32 = 26;
    pub const SAVE_SYN: i32 = 27;
    pub const SAVED_SYN: i32 = 28;
    pub const FASTOPEN_CONNECT: i32 = 30;
    pub const ULP: i32 = 31;
    pub const INQ: i32 = 36;
    pub const TX_DELAY: i32 = 37;
}

/// Options of level `IPPROTO_IP`.
#[allow(missing_docs, reason = "ip(7) documents each name")]
pub mod ip {
    pub const TOS: i32 = 1;
    pub const TTL: i32 = 2;
    pub const HDRINCL: i32 = 3;
    pub const OPTIONS: i32 = 4;
    pub const RECVOPTS: i32 = 6;
    pub const RETOPTS: i32 = 7;
    pub const PKTINFO: i32 = 8;
    pub const PKTOPTIONS: i32 = 9;
    pub const MTU_DISCOVER: i32 = 10;
    pub const RECVERR: i32 = 11;
    pub const RECVTTL: i32 = 12;
    pub const RECVTOS: i32 = 13;
    pub const MTU: i32 = 14;
    pub const FREEBIND: i32 = 15;
    pub const TRANSPARENT: i32 = 19;
    pub const RECVORIGDSTADDR: i32 = 20;
    pub const MINTTL: i32 = 21;
    pub const NODEFRAG: i32 = 22;
    pub const CHECKSUM: i32 = 23;
    pub const BIND_ADDRESS_NO_PORT: i32 = 24;
    pub const RECVFRAGSIZE: i32 = 25;
    pub const MULTICAST_IF: i32 = 32;
    pub const MULTICAST_TTL: i32 = 33;
    pub const MULTICAST_LOOP: i32 = 34;
    pub const ADD_MEMBERSHIP: i32 = 35;
    pub const DROP_MEMBERSHIP: i32 = 36;
    pub const MCAST_JOIN_GROUP: i32 = 42;
    pub const MCAST_LEAVE_GROUP: i32 = 45;
    pub const MULTICAST_ALL: i32 = 49;
    pub const UNICAST_IF: i32 = 50;
    pub const LOCAL_PORT_RANGE: i32 = 51;
}

/// Options of level `IPPROTO_IPV6`.
#[allow(missing_docs, reason = "ipv6(7) documents each name")]
pub mod ipv6 {
    pub const ADDRFORM: i32 = 1;
    pub const CHECKSUM: i32 = 7;
    pub const NEXTHOP: i32 = 9;
    pub const UNICAST_HOPS: i32 = 16;
    pub const MULTICAST_IF: i32 = 17;
    pub const MULTICAST_HOPS: i32 = 18;
    pub const MULTICAST_LOOP: i32 = 19;
    pub const ADD_MEMBERSHIP: i32 = 20;
    pub const DROP_MEMBERSHIP: i32 = 21;
    pub const ROUTER_ALERT: i32 = 22;
    pub const MTU_DISCOVER: i32 = 23;
    pub const MTU: i32 = 24;
    pub const RECVERR: i32 = 25;
    pub const V6ONLY: i32 = 26;
    pub const JOIN_ANYCAST: i32 = 27;
    pub const LEAVE_ANYCAST: i32 = 28;
    pub const MULTICAST_ALL: i32 = 29;
    pub const RECVPKTINFO: i32 = 49;
    pub const PKTINFO: i32 = 50;
    pub const RECVHOPLIMIT: i32 = 51;
    pub const HOPLIMIT: i32 = 52;
    pub const RECVTCLASS: i32 = 66;
    pub const TCLASS: i32 = 67;
    pub const AUTOFLOWLABEL: i32 = 70;
    pub const ADDR_PREFERENCES: i32 = 72;
    pub const DONTFRAG: i32 = 62;
    pub const FREEBIND: i32 = 78;
    pub const TRANSPARENT: i32 = 75;
}

bitflags! {
    /// `MSG_*` of `send(2)` and `recv(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    #[allow(missing_docs, reason = "send(2) and recv(2) document each name")]
    pub struct MsgFlags: u32 {
        const OOB = 0x1;
        const PEEK = 0x2;
        const DONTROUTE = 0x4;
        const CTRUNC = 0x8;
        const PROBE = 0x10;
        const TRUNC = 0x20;
        const DONTWAIT = 0x40;
        const EOR = 0x80;
        const WAITALL = 0x100;
        const FIN = 0x200;
        const SYN = 0x400;
        const CONFIRM = 0x800;
        const RST = 0x1000;
        const ERRQUEUE = 0x2000;
        const NOSIGNAL = 0x4000;
        const MORE = 0x8000;
        const WAITFORONE = 0x1_0000;
        const BATCH = 0x4_0000;
        const ZEROCOPY = 0x400_0000;
        const FASTOPEN = 0x2000_0000;
        const CMSG_CLOEXEC = 0x4000_0000;
    }
}

/// `struct msghdr` of 64-bit targets.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MsgHdr {
    /// Address.
    pub name: u64,
    /// Its length; Linux takes it as an `int`.
    pub namelen: i32,
    /// Padding.
    pub pad0: u32,
    /// `struct iovec` array.
    pub iov: u64,
    /// Its length.
    pub iovlen: u64,
    /// Control messages.
    pub control: u64,
    /// Bytes of them.
    pub controllen: u64,
    /// Flags on receipt.
    pub flags: u32,
    /// Padding.
    pub pad1: u32,
}

/// Bytes of `struct mmsghdr`.
pub const MMSGHDR_SIZE: usize = 64;

/// `struct cmsghdr` of 64-bit targets.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CmsgHdr {
    /// Bytes with this header.
    pub len: u64,
    /// `SOL_*`
    pub level: i32,
    /// `SCM_*` and the like.
    pub kind: i32,
}

/// `struct ucred`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ucred {
    /// Process id.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// States of `tcp_info` and `/proc/net/tcp`.
#[allow(missing_docs, reason = "tcp(7) documents each name")]
pub mod tcp_state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
}

/// Requests of `ioctl(2)` on sockets.
#[allow(missing_docs, reason = "netdevice(7) and socket(7) document each name")]
pub mod sioc {
    pub const FIONREAD: u32 = 0x541b;
    pub const FIONBIO: u32 = 0x5421;
    pub const FIOASYNC: u32 = 0x5452;
    pub const TIOCOUTQ: u32 = 0x5411;
    pub const FIOSETOWN: u32 = 0x8901;
    pub const SPGRP: u32 = 0x8902;
    pub const FIOGETOWN: u32 = 0x8903;
    pub const GPGRP: u32 = 0x8904;
    pub const ATMARK: u32 = 0x8905;
    pub const GSTAMP_OLD: u32 = 0x8906;
    pub const GIFNAME: u32 = 0x8910;
    pub const GIFCONF: u32 = 0x8912;
    pub const GIFFLAGS: u32 = 0x8913;
    pub const SIFFLAGS: u32 = 0x8914;
    pub const GIFADDR: u32 = 0x8915;
    pub const SIFADDR: u32 = 0x8916;
    pub const GIFDSTADDR: u32 = 0x8917;
    pub const GIFBRDADDR: u32 = 0x8919;
    pub const GIFNETMASK: u32 = 0x891b;
    pub const SIFNETMASK: u32 = 0x891c;
    pub const GIFMETRIC: u32 = 0x891d;
    pub const GIFMTU: u32 = 0x8921;
    pub const SIFMTU: u32 = 0x8922;
    pub const GIFHWADDR: u32 = 0x8927;
    pub const GIFINDEX: u32 = 0x8933;
    pub const GIFTXQLEN: u32 = 0x8942;
    pub const ETHTOOL: u32 = 0x8946;
    pub const GIFMAP: u32 = 0x8970;
}
