//! Network namespaces (`network_namespaces(7)`): interfaces, port tables and abstract names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::inet::ports::PortTable;
use super::inet::tcp::TcpSocket;
use super::inet::udp::UdpSocket;
use super::netlink::NetlinkPorts;
use super::unix::names::AbstractNames;
use super::unix::scm::Inflight;
use crate::cred::UserNamespace;

/// `IFF_UP`
pub const IFF_UP: u32 = 0x1;
/// `IFF_LOOPBACK`
pub const IFF_LOOPBACK: u32 = 0x8;
/// `IFF_RUNNING`
pub const IFF_RUNNING: u32 = 0x40;
/// `IFF_LOWER_UP`
pub const IFF_LOWER_UP: u32 = 0x1_0000;
/// MTU of the loopback interface.
pub const LO_MTU: u32 = 65536;

/// What a set of processes sees of the network: a loopback interface of its own.
pub struct NetNamespace {
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Capabilities count in this user namespace.
    pub user_ns: Arc<UserNamespace>,
    lo_up: AtomicBool,
    /// Bytes and packets that went over the loopback interface.
    pub lo_bytes: AtomicU64,
    /// See `lo_bytes`.
    pub lo_packets: AtomicU64,
    /// Ports below need `CAP_NET_BIND_SERVICE` (`net.ipv4.ip_unprivileged_port_start`).
    pub unprivileged_port: AtomicU32,
    next_ino: Arc<AtomicU64>,
    /// TCP ports and connections.
    pub tcp: PortTable<TcpSocket>,
    /// UDP ports.
    pub udp: PortTable<UdpSocket>,
    /// UDP-Lite ports.
    pub udplite: PortTable<UdpSocket>,
    /// Abstract names of Unix sockets.
    pub unix: AbstractNames,
    /// Netlink ports.
    pub netlink: NetlinkPorts,
    /// Files on their way through Unix sockets, of all namespaces.
    pub inflight: Arc<Inflight>,
}

impl NetNamespace {
    /// A namespace whose loopback interface is up (the sandbox's first) or down (`unshare(2)`).
    pub fn new(id: u64, user_ns: Arc<UserNamespace>, lo_up: bool) -> Arc<NetNamespace> {
        // Sockets that listeners make are numbered apart from those that `Kernel::unique_id` numbers.
        NetNamespace::make(
            id,
            user_ns,
            lo_up,
            Arc::new(AtomicU64::new(0x1_0000_0000)),
            Arc::default(),
        )
    }

    fn make(
        id: u64,
        user_ns: Arc<UserNamespace>,
        lo_up: bool,
        next_ino: Arc<AtomicU64>,
        inflight: Arc<Inflight>,
    ) -> Arc<NetNamespace> {
        Arc::new(NetNamespace {
            id,
            user_ns,
            lo_up: AtomicBool::new(lo_up),
            lo_bytes: AtomicU64::new(0),
            lo_packets: AtomicU64::new(0),
            unprivileged_port: AtomicU32::new(super::inet::ports::UNPRIVILEGED),
            next_ino,
            tcp: PortTable::new(true),
            udp: PortTable::new(false),
            udplite: PortTable::new(false),
            unix: AbstractNames::default(),
            netlink: NetlinkPorts::default(),
            inflight,
        })
    }

    /// A fresh one for `unshare(2)`.
    pub fn unshare(&self, id: u64, user_ns: Arc<UserNamespace>) -> Arc<NetNamespace> {
        NetNamespace::make(id, user_ns, false, self.next_ino.clone(), self.inflight.clone())
    }

    /// Number of a socket that no system call made.
    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The loopback interface is up.
    pub fn lo_is_up(&self) -> bool {
        self.lo_up.load(Ordering::Relaxed)
    }

    /// `ip link set lo up` and `down`.
    pub fn set_lo_up(&self, up: bool) {
        self.lo_up.store(up, Ordering::Relaxed);
    }

    /// `IFF_*` of the loopback interface.
    pub fn lo_flags(&self) -> u32 {
        let up = if self.lo_is_up() {
            IFF_UP | IFF_RUNNING | IFF_LOWER_UP
        } else {
            0
        };
        IFF_LOOPBACK | up
    }

    /// True if packets to that address stay here.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        self.lo_is_up()
            && match ip {
                IpAddr::V4(v4) => v4.is_loopback(),
                IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST,
            }
    }

    /// Address that a socket connecting to `to` gets, if there is a way there.
    pub fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        if !self.is_local(to) {
            return None;
        }
        Some(match to {
            // The route "local 127.0.0.0/8" has a preferred source.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        })
    }

    /// Counts a packet over the loopback interface.
    pub fn count(&self, bytes: usize) {
        self.lo_packets.fetch_add(1, Ordering::Relaxed);
        self.lo_bytes.fetch_add(abi::conv::usize64(bytes), Ordering::Relaxed);
    }
}

/// True for an address of the whole world's choice: `INADDR_ANY`, `::`.
pub fn is_any(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

/// `255.255.255.255`
pub fn is_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::BROADCAST) || ip == IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255))
}
