//! Control messages (`cmsg(3)`): what a sender gives, what a receiver gets.

use std::net::IpAddr;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use abi::socket::{CmsgHdr, ip, ipv6, scm, sol};
use zerocopy::{FromBytes, IntoBytes};

use super::addr::{i32_at, u32_at};
use super::base::PeerCred;
use crate::cred::cap;
use crate::fs::File;
use crate::task::Cx;

/// Most bytes of control messages that a sender may give (`/proc/sys/net/core/optmem_max`).
pub const OPTMEM_MAX: usize = 131_072;

const HDR: usize = size_of::<CmsgHdr>();

/// `CMSG_ALIGN`
pub const fn align(n: usize) -> usize {
    n.next_multiple_of(8)
}

/// Control messages of a sender, parsed.
#[derive(Default)]
pub struct Control {
    /// `SCM_RIGHTS`
    pub rights: Vec<Arc<File>>,
    /// `SCM_CREDENTIALS`, checked.
    pub creds: Option<PeerCred>,
    /// `IP_PKTINFO`, `IPV6_PKTINFO`: source address.
    pub source: Option<IpAddr>,
    /// `IP_TTL`, `IPV6_HOPLIMIT`
    pub ttl: Option<i32>,
    /// `IP_TOS`, `IPV6_TCLASS`
    pub tos: Option<i32>,
}

/// One control message as a receiver gets it.
pub struct CmsgOut {
    /// `SOL_*`
    pub level: i32,
    /// Its number there.
    pub kind: i32,
    /// What follows the header.
    pub data: Vec<u8>,
}

/// What came beside the bytes of a message.
#[derive(Default)]
pub struct Received {
    /// In the order in which Linux puts them.
    pub messages: Vec<CmsgOut>,
    /// `SCM_CREDENTIALS`, to be put first and translated for the reader.
    pub creds: Option<PeerCred>,
    /// `SCM_RIGHTS`, to be put after the credentials.
    pub rights: Vec<Arc<File>>,
    /// The sender's process as a pidfd was asked for.
    pub want_pidfd: bool,
}

impl Received {
    /// Adds one.
    pub fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        self.messages.push(CmsgOut {
            level,
            kind,
            data: data.to_vec(),
        });
    }
}

/// Parses the control bytes of `sendmsg(2)` for a socket of that family. Unknown levels are passed over, as Linux does.
pub fn parse(cx: &Cx, family: u16, bytes: &[u8]) -> Result<Control> {
    let mut control = Control::default();
    let mut at = 0usize;
    while let Some(rest) = bytes.get(at..).filter(|r| r.len() >= HDR) {
        let hdr = CmsgHdr::read_from_bytes(rest.get(..HDR).unwrap_or_default()).map_err(|_| Errno::EINVAL)?;
        let len = usize::try_from(hdr.len).map_err(|_| Errno::EINVAL)?;
        if len < HDR || len > rest.len() {
            return Err(Errno::EINVAL);
        }
        let data = rest.get(HDR..len).unwrap_or_default();
        if family == abi::socket::af::UNIX {
            if hdr.level == sol::SOCKET {
                unix_message(cx, hdr.kind, data, &mut control)?;
            }
        } else {
            inet_message(hdr.level, hdr.kind, data, &mut control)?;
        }
        at = at.saturating_add(align(len));
    }
    Ok(control)
}

fn unix_message(cx: &Cx, kind: i32, data: &[u8], control: &mut Control) -> Result<()> {
    match kind {
        scm::RIGHTS => rights(cx, data, control),
        scm::CREDENTIALS => {
            if data.len() != 12 {
                return Err(Errno::EINVAL);
            }
            let field = |at| u32_at(data, at).ok_or(Errno::EINVAL);
            let (pid, uid, gid) = (field(0)?.cast_signed(), field(4)?, field(8)?);
            control.creds = Some(check_creds(cx, pid, uid, gid)?);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

fn rights(cx: &Cx, data: &[u8], control: &mut Control) -> Result<()> {
    let count = data.len() / 4;
    if count + control.rights.len() > scm::MAX_FD {
        return Err(Errno::EINVAL);
    }
    let files = cx.task.files();
    for i in 0..count {
        let fd = i32_at(data, i * 4).ok_or(Errno::EINVAL)?;
        // O_PATH descriptors travel too.
        control.rights.push(files.get_any(fd)?);
    }
    Ok(())
}

/// Like `scm_check_creds`: one may claim only what one could become.
fn check_creds(cx: &Cx, pid: i32, uid: u32, gid: u32) -> Result<PeerCred> {
    let cred = cx.task.cred();
    let uid = cred.user_ns.uid_in(uid)?;
    let gid = cred.user_ns.gid_in(gid)?;
    let own_pid = pid == cx.task.group.tgid || cred.has_cap(cap::SYS_ADMIN);
    let own_uid = [cred.uid, cred.euid, cred.suid].contains(&uid) || cred.has_cap(cap::SETUID);
    let own_gid = [cred.gid, cred.egid, cred.sgid].contains(&gid) || cred.has_cap(cap::SETGID);
    if !(own_pid && own_uid && own_gid) {
        return Err(Errno::EPERM);
    }
    let claimed = if uid == cred.euid && gid == cred.egid {
        cred
    } else {
        let mut other = (*cred).clone();
        (other.euid, other.egid) = (uid, gid);
        Arc::new(other)
    };
    Ok(PeerCred { pid, cred: claimed })
}

fn inet_message(level: i32, kind: i32, data: &[u8], control: &mut Control) -> Result<()> {
    match (level, kind) {
        (sol::SOCKET, scm::RIGHTS | scm::CREDENTIALS) => Ok(()),
        (sol::SOCKET, abi::socket::so::MARK) => Err(Errno::EPERM),
        (sol::IP, ip::PKTINFO) => {
            let source: [u8; 4] = data.get(4..8).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
            if source != [0; 4] {
                control.source = Some(IpAddr::from(source));
            }
            Ok(())
        }
        (sol::IP, ip::TTL) => {
            let ttl = i32_at(data, 0).ok_or(Errno::EINVAL)?;
            if !(1..=255).contains(&ttl) {
                return Err(Errno::EINVAL);
            }
            control.ttl = Some(ttl);
            Ok(())
        }
        (sol::IP, ip::TOS) => {
            let tos = i32_at(data, 0).or_else(|| data.first().map(|&b| i32::from(b)));
            control.tos = Some(tos.filter(|t| (0..=255).contains(t)).ok_or(Errno::EINVAL)?);
            Ok(())
        }
        (sol::IPV6, ipv6::PKTINFO) => {
            let source: [u8; 16] = data.get(..16).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
            if source != [0; 16] {
                control.source = Some(IpAddr::from(source));
            }
            Ok(())
        }
        (sol::IPV6, ipv6::HOPLIMIT | ipv6::TCLASS) => {
            let value = i32_at(data, 0).ok_or(Errno::EINVAL)?;
            if !(-1..=255).contains(&value) {
                return Err(Errno::EINVAL);
            }
            let slot = if kind == ipv6::TCLASS {
                &mut control.tos
            } else {
                &mut control.ttl
            };
            *slot = (value >= 0).then_some(value);
            Ok(())
        }
        // UDP_SEGMENT needs hardware that loopback lacks; programs fall back on EINVAL... to plain sends.
        (sol::IP | sol::IPV6 | sol::SOCKET, _) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// Bytes of one control message with header; without the padding behind it.
pub fn encode(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let hdr = CmsgHdr {
        len: abi::conv::usize64(HDR + data.len()),
        level,
        kind,
    };
    let mut out = hdr.as_bytes().to_vec();
    out.extend_from_slice(data);
    out
}
