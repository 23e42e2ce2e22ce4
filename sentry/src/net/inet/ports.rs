//! Who has which port, like the bind and listening hash tables of TCP and the one of UDP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use crate::sync::Mutex;

/// `/proc/sys/net/ipv4/ip_local_port_range`
pub const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;
/// Ports below need `CAP_NET_BIND_SERVICE`, unless a namespace says otherwise.
pub const UNPRIVILEGED: u32 = 1024;

/// What a socket claims.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Its number, which names the claim.
    pub id: u64,
    /// Address and port.
    pub local: SocketAddr,
    /// An `AF_INET6` socket that takes no IPv4.
    pub v6only: bool,
    /// `SO_REUSEADDR`
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`
    pub reuseport: bool,
    /// Owner.
    pub uid: u32,
    /// Takes connections.
    pub listening: bool,
    /// Connected to.
    pub remote: Option<SocketAddr>,
}

struct Entry<S> {
    claim: Claim,
    socket: Weak<S>,
}

struct Ports<S> {
    by_port: HashMap<u16, Vec<Entry<S>>>,
    next: u16,
    pick: usize,
}

/// The ports of one protocol in one namespace.
pub struct PortTable<S> {
    ports: Mutex<Ports<S>>,
    /// Datagram sockets share where both say `SO_REUSEADDR`; of streams only one may listen.
    stream: bool,
}

fn any(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

/// The addresses of two sockets have something in common (`inet_rcv_saddr_equal`).
fn overlap(a: &Claim, b: &Claim) -> bool {
    match (a.local.ip(), b.local.ip()) {
        (IpAddr::V4(x), IpAddr::V4(y)) => x == y || x.is_unspecified() || y.is_unspecified(),
        (IpAddr::V6(x), IpAddr::V6(y)) => x == y || x.is_unspecified() || y.is_unspecified(),
        (IpAddr::V6(six), IpAddr::V4(_)) => six.is_unspecified() && !a.v6only,
        (IpAddr::V4(_), IpAddr::V6(six)) => six.is_unspecified() && !b.v6only,
    }
}

/// How well a claim fits a destination; none if not at all.
fn score(claim: &Claim, to: IpAddr) -> Option<u32> {
    match (claim.local.ip(), to) {
        (a, b) if a == b => Some(4),
        (IpAddr::V4(a), IpAddr::V4(_)) if a.is_unspecified() => Some(2),
        (IpAddr::V6(a), IpAddr::V6(_)) if a.is_unspecified() => Some(2),
        (IpAddr::V6(a), IpAddr::V4(_)) if a.is_unspecified() && !claim.v6only => Some(1),
        _ => None,
    }
}

impl<S> PortTable<S> {
    /// An empty one.
    pub fn new(stream: bool) -> PortTable<S> {
        PortTable {
            ports: Mutex::new(Ports {
                by_port: HashMap::new(),
                // Where it starts tells a guest nothing: everything in the namespace is its own.
                next: *EPHEMERAL.start(),
                pick: 0,
            }),
            stream,
        }
    }

    fn conflict(&self, a: &Claim, b: &Claim) -> bool {
        if a.id == b.id || !overlap(a, b) {
            return false;
        }
        let reuse = a.reuseaddr && b.reuseaddr && (!self.stream || !(b.listening));
        let shared = a.reuseport && b.reuseport && a.uid == b.uid;
        !(reuse || shared)
    }

    fn is_free(&self, ports: &Ports<S>, claim: &Claim) -> bool {
        let taken = ports.by_port.get(&claim.local.port());
        !taken.is_some_and(|all| {
            all.iter()
                .any(|e| e.socket.strong_count() > 0 && self.conflict(claim, &e.claim))
        })
    }

    /// Claims a port, or one of the ephemeral ones for port 0; gives the port. `EADDRINUSE`.
    pub fn bind(&self, mut claim: Claim, socket: &Weak<S>) -> Result<u16> {
        let mut ports = self.ports.lock();
        if claim.local.port() == 0 {
            let port = self.ephemeral(&mut ports, claim)?;
            claim.local.set_port(port);
        } else if !self.is_free(&ports, &claim) {
            return Err(Errno::EADDRINUSE);
        }
        let port = claim.local.port();
        let socket = socket.clone();
        ports.by_port.entry(port).or_default().push(Entry { claim, socket });
        Ok(port)
    }

    /// A port that nobody has at all, as `SO_REUSEADDR` shall not make strangers share by chance.
    fn ephemeral(&self, ports: &mut Ports<S>, mut claim: Claim) -> Result<u16> {
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        (claim.reuseaddr, claim.reuseport) = (false, false);
        for _ in 0..count {
            let port = ports.next;
            ports.next = if port >= *EPHEMERAL.end() {
                *EPHEMERAL.start()
            } else {
                port + 1
            };
            claim.local.set_port(port);
            if self.is_free(ports, &claim) {
                return Ok(port);
            }
        }
        // Connections to different places may share a port.
        if let Some(remote) = claim.remote {
            for port in EPHEMERAL {
                let all = ports.by_port.get(&port).map(Vec::as_slice).unwrap_or_default();
                if all.iter().all(|e| e.claim.remote.is_some_and(|r| r != remote)) {
                    return Ok(port);
                }
            }
            return Err(Errno::EADDRNOTAVAIL);
        }
        Err(Errno::EADDRINUSE)
    }

    /// Adds a claim that cannot conflict: that of an accepted connection.
    pub fn join(&self, claim: Claim, socket: &Weak<S>) {
        let socket = socket.clone();
        let mut ports = self.ports.lock();
        ports
            .by_port
            .entry(claim.local.port())
            .or_default()
            .push(Entry { claim, socket });
    }

    /// Changes a claim. `EADDRINUSE` where the changed one conflicts, and then nothing is changed.
    pub fn update(&self, port: u16, id: u64, check: bool, change: impl FnOnce(&mut Claim)) -> Result<()> {
        let mut ports = self.ports.lock();
        let all = ports.by_port.get(&port).map(Vec::as_slice).unwrap_or_default();
        let Some(old) = all.iter().find(|e| e.claim.id == id) else {
            return Ok(());
        };
        let mut claim = old.claim;
        change(&mut claim);
        if check && !self.is_free(&ports, &claim) {
            return Err(Errno::EADDRINUSE);
        }
        let entry = ports
            .by_port
            .get_mut(&port)
            .and_then(|all| all.iter_mut().find(|e| e.claim.id == id));
        if let Some(entry) = entry {
            entry.claim = claim;
        }
        Ok(())
    }

    /// Gives a port back.
    pub fn release(&self, port: u16, id: u64) {
        let mut ports = self.ports.lock();
        if let Some(all) = ports.by_port.get_mut(&port) {
            if let Some(at) = all.iter().position(|e| e.claim.id == id) {
                all.swap_remove(at);
            }
            if all.is_empty() {
                ports.by_port.remove(&port);
            }
        }
    }

    /// True if there is such a connection: its four numbers must differ from all others'.
    pub fn has_connection(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let ports = self.ports.lock();
        let all = ports.by_port.get(&local.port()).map(Vec::as_slice).unwrap_or_default();
        all.iter()
            .any(|e| e.claim.local.ip() == local.ip() && e.claim.remote == Some(remote) && e.socket.strong_count() > 0)
    }

    /// The socket that takes connections to `to`. Of several with `SO_REUSEPORT` each in turn.
    pub fn listener(&self, to: SocketAddr) -> Option<Arc<S>> {
        self.best(to, |claim| claim.listening)
    }

    /// The socket that takes datagrams to `to` from `from`: one connected to the sender before all others.
    pub fn receiver(&self, to: SocketAddr, from: SocketAddr) -> Option<Arc<S>> {
        self.best(to, |c| c.remote == Some(from))
            .or_else(|| self.best(to, |c| c.remote.is_none()))
    }

    fn best(&self, to: SocketAddr, fits: impl Fn(&Claim) -> bool) -> Option<Arc<S>> {
        let mut ports = self.ports.lock();
        ports.pick = ports.pick.wrapping_add(1);
        let pick = ports.pick;
        let all = ports.by_port.get(&to.port())?;
        let scored = |e: &Entry<S>| {
            let fit = fits(&e.claim) && e.socket.strong_count() > 0;
            score(&e.claim, to.ip()).filter(|_| fit)
        };
        let top = all.iter().filter_map(scored).max()?;
        let mut tops = all.iter().filter(|e| scored(e) == Some(top));
        let group = tops.clone().filter(|e| e.claim.reuseport).count();
        if group > 1 {
            return tops.filter(|e| e.claim.reuseport).nth(pick % group)?.socket.upgrade();
        }
        // Of datagram sockets that share an address the last one bound receives.
        tops.next_back()?.socket.upgrade()
    }

    /// All receivers of a multicast or broadcast datagram to `port`.
    pub fn all_on(&self, port: u16) -> Vec<(Claim, Arc<S>)> {
        let ports = self.ports.lock();
        let all = ports.by_port.get(&port).map(Vec::as_slice).unwrap_or_default();
        all.iter()
            .filter_map(|e| Some((e.claim, e.socket.upgrade()?)))
            .collect()
    }

    /// All claims, for `/proc/net`.
    pub fn list(&self) -> Vec<(Claim, Arc<S>)> {
        let ports = self.ports.lock();
        let all = ports.by_port.values().flatten();
        all.filter_map(|e| Some((e.claim, e.socket.upgrade()?))).collect()
    }
}

/// True for a claim that takes from any address.
pub fn is_wild(claim: &Claim) -> bool {
    any(claim.local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: u64, addr: &str) -> Claim {
        Claim {
            id,
            local: addr.parse().unwrap(),
            v6only: false,
            reuseaddr: false,
            reuseport: false,
            uid: 0,
            listening: false,
            remote: None,
        }
    }

    fn bind(table: &PortTable<u8>, owner: &Arc<u8>, claim: Claim) -> Result<u16> {
        table.bind(claim, &Arc::downgrade(owner))
    }

    #[test]
    fn one_port_has_one_owner() {
        let (table, owner) = (PortTable::new(true), Arc::new(0));
        assert_eq!(bind(&table, &owner, claim(1, "127.0.0.1:80")), Ok(80));
        assert_eq!(bind(&table, &owner, claim(2, "127.0.0.1:80")), Err(Errno::EADDRINUSE));
        assert_eq!(bind(&table, &owner, claim(3, "0.0.0.0:80")), Err(Errno::EADDRINUSE));
        assert_eq!(bind(&table, &owner, claim(4, "[::]:80")), Err(Errno::EADDRINUSE));
        assert_eq!(bind(&table, &owner, claim(5, "127.0.0.2:80")), Ok(80));
        table.release(80, 1);
        assert_eq!(bind(&table, &owner, claim(6, "127.0.0.1:80")), Ok(80));
    }

    #[test]
    fn reuseaddr_does_not_let_two_listen() {
        let (table, owner) = (PortTable::new(true), Arc::new(0));
        let reuse = |id| Claim {
            reuseaddr: true,
            ..claim(id, "127.0.0.1:80")
        };
        assert_eq!(bind(&table, &owner, reuse(1)), Ok(80));
        assert_eq!(bind(&table, &owner, reuse(2)), Ok(80));
        assert_eq!(table.update(80, 1, true, |c| c.listening = true), Ok(()));
        assert_eq!(
            table.update(80, 2, true, |c| c.listening = true),
            Err(Errno::EADDRINUSE)
        );
        assert_eq!(bind(&table, &owner, reuse(3)), Err(Errno::EADDRINUSE));
    }

    #[test]
    fn v6only_leaves_ipv4_alone() {
        let (table, owner) = (PortTable::new(true), Arc::new(0));
        let six = Claim {
            v6only: true,
            ..claim(1, "[::]:80")
        };
        assert_eq!(bind(&table, &owner, six), Ok(80));
        assert_eq!(bind(&table, &owner, claim(2, "0.0.0.0:80")), Ok(80));
    }

    #[test]
    fn the_closest_receiver_wins() {
        let table: PortTable<u8> = PortTable::new(false);
        let (wild, exact, connected) = (Arc::new(1), Arc::new(2), Arc::new(3));
        let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let to: SocketAddr = "127.0.0.1:53".parse().unwrap();
        let shared = |id, addr| Claim {
            reuseaddr: true,
            ..claim(id, addr)
        };
        bind(&table, &exact, shared(2, "127.0.0.1:53")).unwrap();
        bind(&table, &wild, shared(1, "0.0.0.0:53")).unwrap();
        assert_eq!(table.receiver(to, peer).as_deref(), Some(&2));
        let to_peer = Claim {
            remote: Some(peer),
            ..shared(3, "127.0.0.1:53")
        };
        bind(&table, &connected, to_peer).unwrap();
        assert_eq!(table.receiver(to, peer).as_deref(), Some(&3));
        assert_eq!(table.receiver(to, "127.0.0.1:10".parse().unwrap()).as_deref(), Some(&2));
    }

    #[test]
    fn ephemeral_ports_are_all_different() {
        let (table, owner) = (PortTable::new(true), Arc::new(0));
        let a = bind(&table, &owner, claim(1, "0.0.0.0:0")).unwrap();
        let b = bind(&table, &owner, claim(2, "0.0.0.0:0")).unwrap();
        assert_ne!(a, b);
        assert!(EPHEMERAL.contains(&a));
    }
}
