//! `/proc/sys/net`

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

use super::{constant, number, steer, words};
use crate::fs::impls::proc::Proc;
use crate::fs::impls::pseudo::{DirBuilder, Text, parse_number};
use crate::kernel::Kernel;
use crate::net::NetNamespace;
use crate::task::current;

const INT: i64 = i32::MAX as i64;

pub(super) fn fill(dir: &mut DirBuilder<'_>, proc: &Arc<Proc>) {
    dir.dir("core", |d| {
        steer::kernel(d, &proc.kernel, "somaxconn", |s| &s.somaxconn, (0, INT));
        for (name, value) in [
            ("rmem_default", 212_992),
            ("rmem_max", 212_992),
            ("wmem_default", 212_992),
            ("wmem_max", 212_992),
            ("optmem_max", 131_072),
            ("netdev_max_backlog", 1000),
            ("message_cost", 5),
            ("message_burst", 10),
        ] {
            number(d, name, value, 0, INT);
        }
        constant(d, "default_qdisc", "noqueue");
    });
    dir.dir("unix", |d| number(d, "max_dgram_qlen", 512, 0, INT));
    dir.dir("ipv4", |d| ipv4(d, &proc.kernel));
    dir.dir("ipv6", |d| {
        number(d, "bindv6only", 0, 0, 1);
        dir_conf6(d);
    });
}

/// Of the reader's network namespace.
struct UnprivilegedPort(Arc<Kernel>);

impl UnprivilegedPort {
    fn ns(&self) -> Arc<NetNamespace> {
        current().map_or_else(|| self.0.net.clone(), |t| t.ns().net.clone())
    }
}

impl Text for UnprivilegedPort {
    fn read(&self) -> Result<Vec<u8>> {
        let port = self.ns().unprivileged_port.load(Ordering::Relaxed);
        Ok(format!("{port}\n").into_bytes())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        match u32::try_from(parse_number(data)?) {
            Ok(port) if port <= 65536 => self.ns().unprivileged_port.store(port, Ordering::Relaxed),
            _ => return Err(Errno::EINVAL),
        }
        Ok(data.len())
    }
}

fn ipv4(dir: &mut DirBuilder<'_>, kernel: &Arc<Kernel>) {
    dir.file("ip_unprivileged_port_start", 0o644, UnprivilegedPort(kernel.clone()));
    words(dir, "ip_local_port_range", "32768\t60999", 63);
    words(dir, "ip_local_reserved_ports", "", 4095);
    words(dir, "ping_group_range", "1\t0", 63);
    words(dir, "tcp_rmem", "4096\t131072\t6291456", 63);
    words(dir, "tcp_wmem", "4096\t16384\t4194304", 63);
    words(dir, "tcp_mem", "190887\t254519\t381774", 63);
    words(dir, "udp_mem", "381774\t509034\t763548", 63);
    words(dir, "tcp_congestion_control", "cubic", 15);
    constant(dir, "tcp_available_congestion_control", "reno cubic");
    constant(dir, "tcp_allowed_congestion_control", "reno cubic");
    for (name, value) in [
        ("ip_forward", 0),
        ("ip_default_ttl", 64),
        ("ip_nonlocal_bind", 0),
        ("tcp_fin_timeout", 60),
        ("tcp_keepalive_time", 7200),
        ("tcp_keepalive_intvl", 75),
        ("tcp_keepalive_probes", 9),
        ("tcp_max_syn_backlog", 512),
        ("tcp_sack", 1),
        ("tcp_timestamps", 1),
        ("tcp_window_scaling", 1),
        ("tcp_tw_reuse", 2),
        ("tcp_syn_retries", 6),
        ("tcp_synack_retries", 5),
        ("tcp_syncookies", 1),
        ("tcp_moderate_rcvbuf", 1),
        ("tcp_slow_start_after_idle", 1),
        ("tcp_fastopen", 1),
        ("tcp_retries1", 3),
        ("tcp_retries2", 15),
        ("icmp_echo_ignore_all", 0),
        ("udp_rmem_min", 4096),
        ("udp_wmem_min", 4096),
    ] {
        number(dir, name, value, 0, INT);
    }
    dir.dir("conf", |d| {
        for name in ["all", "default", "lo"] {
            d.dir(name, |d| {
                for (key, value) in [
                    ("forwarding", 0),
                    ("rp_filter", 0),
                    ("accept_redirects", 1),
                    ("accept_source_route", 0),
                    ("arp_ignore", 0),
                    ("arp_announce", 0),
                    ("route_localnet", 0),
                    ("send_redirects", 1),
                    ("tag", 0),
                ] {
                    number(d, key, value, -(1 << 31), INT);
                }
            });
        }
    });
}

fn dir_conf6(dir: &mut DirBuilder<'_>) {
    dir.dir("conf", |d| {
        for name in ["all", "default", "lo"] {
            d.dir(name, |d| {
                for key in ["disable_ipv6", "forwarding", "accept_ra", "accept_dad"] {
                    number(d, key, 0, -1, INT);
                }
            });
        }
    });
}
