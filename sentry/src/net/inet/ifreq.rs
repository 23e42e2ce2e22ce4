//! Requests about network interfaces (`netdevice(7)`): there is one, `lo`.

use std::sync::Arc;

use abi::socket::{af, sioc};
use abi::{Errno, SysResult};

use crate::cred::cap;
use crate::net::namespace::{IFF_UP, LO_MTU, NetNamespace};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `struct ifreq`: name, then a union.
const IFREQ: usize = 40;
/// Hardware type of the loopback interface (`ARPHRD_LOOPBACK`).
const ARPHRD_LOOPBACK: u16 = 772;

/// An IPv4 address as a `struct sockaddr_in` of the union.
fn sockaddr(ip: [u8; 4]) -> Vec<u8> {
    let mut out = af::INET.to_ne_bytes().to_vec();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&ip);
    out
}

fn reply(cx: &mut Cx, at: UserAddr, value: &[u8]) -> SysResult<u64> {
    let mut union = [0u8; IFREQ - 16];
    for (to, from) in union.iter_mut().zip(value) {
        *to = *from;
    }
    cx.write_bytes(at.add(16)?, &union)?;
    Ok(0)
}

/// Serves a request; `ENOTTY` for what no socket knows.
pub fn ioctl(cx: &mut Cx, ns: &Arc<NetNamespace>, cmd: u32, arg: u64) -> SysResult<u64> {
    let at = UserAddr(arg);
    match cmd {
        sioc::GIFCONF => return ifconf(cx, ns, at),
        sioc::GIFNAME => return name_of(cx, at),
        _ if (0x8910..=0x897f).contains(&cmd) => {}
        _ => return Err(Errno::ENOTTY.into()),
    }
    let req: [u8; IFREQ] = cx.read_obj(at)?;
    let name = req.split(|&b| b == 0).next().unwrap_or_default();
    let writes = matches!(cmd, sioc::SIFFLAGS | sioc::SIFADDR | sioc::SIFNETMASK | sioc::SIFMTU);
    if writes && !cx.task.cred().has_cap_in(&ns.user_ns, cap::NET_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    if name.get(..name.len().min(15)) != Some(b"lo") {
        return Err(Errno::ENODEV.into());
    }
    let up = ns.lo_is_up();
    let address = |ip: [u8; 4]| {
        if up {
            Ok(sockaddr(ip))
        } else {
            Err(Errno::EADDRNOTAVAIL)
        }
    };
    let value = match cmd {
        sioc::GIFFLAGS => (ns.lo_flags() & 0xffff).to_ne_bytes().to_vec(),
        sioc::GIFADDR | sioc::GIFDSTADDR => address([127, 0, 0, 1])?,
        sioc::GIFNETMASK => address([255, 0, 0, 0])?,
        sioc::GIFBRDADDR => address([0, 0, 0, 0])?,
        sioc::GIFHWADDR => ARPHRD_LOOPBACK.to_ne_bytes().to_vec(),
        sioc::GIFINDEX => 1u32.to_ne_bytes().to_vec(),
        sioc::GIFMTU => LO_MTU.to_ne_bytes().to_vec(),
        sioc::GIFMETRIC => 0u32.to_ne_bytes().to_vec(),
        sioc::GIFTXQLEN => 1000u32.to_ne_bytes().to_vec(),
        sioc::GIFMAP => Vec::new(),
        sioc::SIFFLAGS => {
            let flags = u32::from(u16::from_ne_bytes([req[16], req[17]]));
            ns.set_lo_up(flags & IFF_UP != 0);
            return Ok(0);
        }
        sioc::SIFADDR | sioc::SIFNETMASK | sioc::SIFMTU => {
            let what = u64::from(cmd);
            return Err(cx
                .task
                .kernel
                .counters
                .missing("netdevice ioctl", what, Errno::EOPNOTSUPP)
                .into());
        }
        sioc::ETHTOOL => return Err(Errno::EOPNOTSUPP.into()),
        _ => {
            return Err(cx
                .task
                .kernel
                .counters
                .missing("netdevice ioctl", u64::from(cmd), Errno::ENOTTY)
                .into());
        }
    };
    reply(cx, at, &value)
}

/// `SIOCGIFNAME`
fn name_of(cx: &mut Cx, at: UserAddr) -> SysResult<u64> {
    let index: i32 = cx.read_obj(at.add(16)?)?;
    if index != 1 {
        return Err(Errno::ENODEV.into());
    }
    cx.write_bytes(at, b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0")?;
    Ok(0)
}

/// `SIOCGIFCONF`: the interfaces that have an IPv4 address.
fn ifconf(cx: &mut Cx, ns: &NetNamespace, at: UserAddr) -> SysResult<u64> {
    let [len, buf]: [u64; 2] = cx.read_obj(at)?;
    let room = abi::conv::int(len);
    let used = match (ns.lo_is_up(), buf) {
        (false, _) => 0i32,
        (true, 0) => 40,
        (true, _) if room < 40 => 0,
        (true, _) => {
            let mut req = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
            req.extend_from_slice(&sockaddr([127, 0, 0, 1]));
            req.resize(IFREQ, 0);
            cx.write_bytes(UserAddr(buf), &req)?;
            40
        }
    };
    cx.write_obj(at, &used)?;
    Ok(0)
}
