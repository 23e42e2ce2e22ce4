//! Names of Unix sockets: paths, abstract names, and those that the kernel picks (autobind).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;
use abi::socket::af;

use super::UnixSocket;
use crate::net::addr::{self, AddrBuf};
use crate::sync::Mutex;

/// A name that a socket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// As given to `bind(2)`, without a NUL.
    Path(Vec<u8>),
    /// All bytes after the first, which is NUL.
    Abstract(Vec<u8>),
}

/// What a `struct sockaddr_un` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Only a family: pick a name.
    Autobind,
    /// That name.
    Name(UnixName),
}

/// Bytes of `struct sockaddr_un`.
const SOCKADDR_UN: usize = 110;

/// Parses an address; `EINVAL` as `unix_validate_addr` has it.
pub fn parse(bytes: &[u8]) -> Result<Wanted> {
    if bytes.len() > SOCKADDR_UN || bytes.len() < 2 || addr::family(bytes) != af::UNIX {
        return Err(Errno::EINVAL);
    }
    let path = bytes.get(2..).unwrap_or_default();
    match path.split_first() {
        None => Ok(Wanted::Autobind),
        Some((0, rest)) => Ok(Wanted::Name(UnixName::Abstract(rest.to_vec()))),
        Some(_) => {
            let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
            Ok(Wanted::Name(UnixName::Path(path.get(..end).unwrap_or(path).to_vec())))
        }
    }
}

/// As a `struct sockaddr_un`; the unnamed one has only a family.
pub fn format(name: Option<&UnixName>) -> AddrBuf {
    let mut out = AddrBuf::from_slice(&af::UNIX.to_ne_bytes());
    match name {
        None => {}
        Some(UnixName::Path(path)) => {
            out.extend_from_slice(path);
            out.push(0);
        }
        Some(UnixName::Abstract(name)) => {
            out.push(0);
            out.extend_from_slice(name);
        }
    }
    out
}

/// Abstract names of a network namespace, and the sockets that `/proc/net/unix` lists.
#[derive(Default)]
pub struct AbstractNames {
    names: Mutex<HashMap<Vec<u8>, Weak<UnixSocket>>>,
    all: Mutex<HashMap<u64, Weak<UnixSocket>>>,
    next_auto: std::sync::atomic::AtomicU32,
}

impl AbstractNames {
    /// The socket of that name and type; names of stream and datagram sockets are apart.
    pub fn get(&self, name: &[u8], kind: i32) -> Option<Arc<UnixSocket>> {
        self.names.lock().get(&key(name, kind))?.upgrade()
    }

    /// Gives the name away; `EADDRINUSE` if it is taken.
    pub fn add(&self, name: &[u8], kind: i32, socket: &Weak<UnixSocket>) -> Result<()> {
        let mut names = self.names.lock();
        let slot = names.entry(key(name, kind)).or_default();
        if slot.strong_count() > 0 {
            return Err(Errno::EADDRINUSE);
        }
        *slot = socket.clone();
        Ok(())
    }

    /// Picks a free name of five hexadecimal digits.
    pub fn add_auto(&self, kind: i32, socket: &Weak<UnixSocket>) -> Result<Vec<u8>> {
        for _ in 0..0x10_0000 {
            let n = self.next_auto.fetch_add(1, std::sync::atomic::Ordering::Relaxed) & 0xf_ffff;
            let name = format!("{n:05x}").into_bytes();
            if self.add(&name, kind, socket).is_ok() {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Takes a name back from its owner; others that share it leave it alone.
    pub fn remove_if(&self, name: &[u8], kind: i32, owner: &Weak<UnixSocket>) {
        let mut names = self.names.lock();
        let key = key(name, kind);
        if names.get(&key).is_some_and(|w| w.ptr_eq(owner)) {
            names.remove(&key);
        }
    }

    /// Lists a socket.
    pub fn enlist(&self, ino: u64, socket: &Weak<UnixSocket>) {
        self.all.lock().insert(ino, socket.clone());
    }

    /// Takes it off the list.
    pub fn delist(&self, ino: u64) {
        self.all.lock().remove(&ino);
    }

    /// All sockets of the namespace.
    pub fn list(&self) -> Vec<Arc<UnixSocket>> {
        self.all.lock().values().filter_map(Weak::upgrade).collect()
    }
}

fn key(name: &[u8], kind: i32) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.push(u8::try_from(kind).unwrap_or(0));
    key.extend_from_slice(name);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_its_nul() {
        let bytes = b"\x01\0/tmp/s\0junk";
        assert_eq!(parse(bytes), Ok(Wanted::Name(UnixName::Path(b"/tmp/s".to_vec()))));
    }

    #[test]
    fn an_abstract_name_keeps_every_byte() {
        let name = UnixName::Abstract(b"a\0b".to_vec());
        assert_eq!(parse(b"\x01\0\0a\0b"), Ok(Wanted::Name(name.clone())));
        assert_eq!(format(Some(&name)).as_slice(), b"\x01\0\0a\0b");
    }

    #[test]
    fn a_bare_family_asks_for_a_name() {
        assert_eq!(parse(b"\x01\0"), Ok(Wanted::Autobind));
        assert_eq!(parse(b"\x02\0/x"), Err(Errno::EINVAL));
        assert_eq!(parse(&[1; 111]), Err(Errno::EINVAL));
    }
}
