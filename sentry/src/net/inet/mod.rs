//! IPv4 and IPv6 (`ip(7)`, `ipv6(7)`).

pub mod ifreq;
pub mod ports;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::{NetNamespace, Socket};
use crate::task::Cx;

/// `socket(AF_INET or AF_INET6, ..)`
pub fn create(cx: &Cx, ns: Arc<NetNamespace>, family: u16, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
    let _ = (cx, ns, family, kind, protocol);
    Err(Errno::EAFNOSUPPORT)
}
