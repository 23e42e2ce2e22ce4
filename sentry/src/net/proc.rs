//! Text of `/proc/net` (`proc_pid_net(5)`).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use super::NetNamespace;
use super::Socket;
use super::base::SockBase;
use super::inet::ports::Claim;
use super::unix::UnixName;

/// Names of the files that [`render`] knows.
pub const FILES: [&str; 20] = [
    "arp",
    "dev",
    "dev_mcast",
    "fib_trie",
    "if_inet6",
    "igmp",
    "ipv6_route",
    "netlink",
    "netstat",
    "packet",
    "protocols",
    "raw",
    "raw6",
    "route",
    "snmp",
    "sockstat",
    "tcp",
    "tcp6",
    "udp",
    "unix",
];

/// The contents of one of [`FILES`] and of `udp6` and `sockstat6`; empty for one that it does not know.
pub fn render(ns: &NetNamespace, file: &str) -> String {
    match file {
        "tcp" => tcp(ns, false),
        "tcp6" => tcp(ns, true),
        "udp" => udp(ns, false),
        "udp6" => udp(ns, true),
        "unix" => unix(ns),
        "dev" => dev(ns),
        "netlink" => netlink(ns),
        "sockstat" => sockstat(ns),
        "sockstat6" => {
            "TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n".into()
        }
        "if_inet6" if ns.lo_is_up() => "00000000000000000000000000000001 01 80 10 80       lo\n".into(),
        "ipv6_route" if ns.lo_is_up() => {
            let one = "00000000000000000000000000000001";
            let zero = "00000000000000000000000000000000";
            format!("{one} 80 {zero} 00 {zero} 00000000 00000002 00000000 80200001       lo\n")
        }
        "arp" => "IP address       HW type     Flags       HW address            Mask     Device\n".into(),
        "packet" => "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n".into(),
        "igmp" => "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n".into(),
        "raw" => format!("{TABLE_HEAD} ref pointer drops\n"),
        "raw6" => TABLE6_HEAD.into(),
        "route" => {
            let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
            format!("{head:<127}\n")
        }
        "snmp" => SNMP.into(),
        "netstat" => NETSTAT.into(),
        "protocols" => PROTOCOLS.into(),
        _ => String::new(),
    }
}

const TABLE_HEAD: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TABLE6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps
Icmp: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
IcmpMsg:
IcmpMsg:
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 0 0 0 0 0 0 0 0 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
UdpLite: 0 0 0 0 0 0 0 0 0
";

const NETSTAT: &str = "\
TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows ListenDrops
TcpExt: 0 0 0 0 0
IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets
IpExt: 0 0 0 0 0 0 0 0
";

const PROTOCOLS: &str = "\
protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh gp em
UNIX      1024      0      -1   NI       0   yes  kernel      n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n
UDP       1472      0       0   NI       0   yes  kernel      y  y  y  n  y  n  y  n  y  y  y  y  y  n  n  y  y  y  n
TCP       2432      0       0   no     320   yes  kernel      y  y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y
NETLINK   1096      0      -1   NI       0   no   kernel      n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n
";

/// An address as the tables have it: words of 32 bits in the host's order.
fn hex(addr: SocketAddr, six: bool) -> String {
    let mut out = String::new();
    match addr.ip() {
        IpAddr::V4(v4) if !six => {
            let _ = write!(out, "{:08X}", u32::from_ne_bytes(v4.octets()));
        }
        ip => {
            let octets = match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            for word in octets.chunks_exact(4) {
                let word: [u8; 4] = word.try_into().unwrap_or_default();
                let _ = write!(out, "{:08X}", u32::from_ne_bytes(word));
            }
        }
    }
    let _ = write!(out, ":{:04X}", addr.port());
    out
}

fn remote_of(claim: &Claim, family: u16) -> SocketAddr {
    claim.remote.unwrap_or(super::inet::unspecified(family))
}

fn is_six(base: &SockBase) -> bool {
    base.family == abi::socket::af::INET6
}

fn tcp(ns: &NetNamespace, six: bool) -> String {
    let mut out = if six {
        TABLE6_HEAD.to_owned()
    } else {
        format!("{TABLE_HEAD:<149}\n")
    };
    let mut all = ns.tcp.list();
    all.retain(|(_, s)| is_six(s.base()) == six && s.tcp_state() != abi::socket::tcp_state::CLOSE);
    all.sort_by_key(|(claim, _)| (!claim.listening, claim.id));
    for (sl, (claim, socket)) in all.iter().enumerate() {
        let base = socket.base();
        let (local, remote) = (hex(claim.local, six), hex(remote_of(claim, base.family), six));
        let line = format!(
            "{sl:4}: {local} {remote} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {} 1 0000000000000000 100 0 0 10 0",
            socket.tcp_state(),
            0,
            socket.queued(),
            base.owner.cred.euid,
            0,
            base.ino,
        );
        let _ = if six {
            writeln!(out, "{line}")
        } else {
            writeln!(out, "{line:<149}")
        };
    }
    out
}

fn udp(ns: &NetNamespace, six: bool) -> String {
    let mut out = if six {
        format!("{} ref pointer drops\n", TABLE6_HEAD.trim_end())
    } else {
        format!("{:<127}\n", format!("{TABLE_HEAD} ref pointer drops"))
    };
    let mut all = ns.udp.list();
    all.retain(|(_, s)| is_six(s.base()) == six);
    all.sort_by_key(|(claim, _)| claim.id);
    for (claim, socket) in &all {
        let base = socket.base();
        let (local, remote) = (hex(claim.local, six), hex(remote_of(claim, base.family), six));
        let (queued, dropped) = socket.queued();
        let state = if claim.remote.is_some() { 1 } else { 7 };
        let line = format!(
            "{:5}: {local} {remote} {state:02X} {:08X}:{queued:08X} 00:00000000 00000000 {:5} {:8} {} 2 0000000000000000 {dropped}",
            claim.local.port(),
            0,
            base.owner.cred.euid,
            0,
            base.ino,
        );
        let _ = if six {
            writeln!(out, "{line}")
        } else {
            writeln!(out, "{line:<127}")
        };
    }
    out
}

fn unix(ns: &NetNamespace) -> String {
    let mut out = "Num       RefCount Protocol Flags    Type St Inode Path\n".to_owned();
    let mut all: Vec<_> = ns.unix.list().iter().map(|s| s.describe()).collect();
    all.sort_by_key(|s| s.4);
    for (kind, state, listening, name, ino) in all {
        let flags = if listening { 0x10000 } else { 0 };
        let _ = write!(
            out,
            "0000000000000000: 00000002 00000000 {flags:08X} {kind:04X} {state:02X} {ino:5}"
        );
        match name.as_deref() {
            Some(UnixName::Path(path)) => {
                let _ = write!(out, " {}", String::from_utf8_lossy(path));
            }
            Some(UnixName::Abstract(name)) => {
                let shown: Vec<u8> = name.iter().map(|&b| if b == 0 { b'@' } else { b }).collect();
                let _ = write!(out, " @{}", String::from_utf8_lossy(&shown));
            }
            None => {}
        }
        out.push('\n');
    }
    out
}

fn dev(ns: &NetNamespace) -> String {
    let bytes = ns.lo_bytes.load(Ordering::Relaxed);
    let packets = ns.lo_packets.load(Ordering::Relaxed);
    format!(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
         {:>6}: {bytes:7} {packets:7} {:4} {:4} {:4} {:5} {:10} {:9} {bytes:8} {packets:7} {:4} {:4} {:4} {:5} {:7} {:10}\n",
        "lo", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    )
}

fn netlink(ns: &NetNamespace) -> String {
    let mut out =
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n".to_owned();
    let mut all = ns.netlink.list();
    all.sort_unstable();
    for (protocol, port, groups, ino) in all {
        let zero = 0;
        let _ = writeln!(
            out,
            "0000000000000000 {protocol:<3} {port:<10} {groups:08x} {zero:<8} {zero:<8} {zero:<5} {:<8} {zero:<8} {ino:<8}",
            2
        );
    }
    out
}

fn sockstat(ns: &NetNamespace) -> String {
    let (tcp, udp) = (ns.tcp.list().len(), ns.udp.list().len());
    let used = tcp + udp + ns.unix.list().len() + ns.netlink.list().len();
    format!(
        "sockets: used {used}\nTCP: inuse {tcp} orphan 0 tw 0 alloc {tcp} mem 0\nUDP: inuse {udp} mem 0\n\
         UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_host_order() {
        assert_eq!(hex("127.0.0.1:8080".parse().unwrap(), false), "0100007F:1F90");
        assert_eq!(
            hex("[::1]:80".parse().unwrap(), true),
            "00000000000000000000000001000000:0050"
        );
        assert_eq!(
            hex("127.0.0.1:80".parse().unwrap(), true),
            "0000000000000000FFFF00000100007F:0050"
        );
    }
}
