//! Options of level `SOL_SOCKET` that mean the same for every family (`socket(7)`).

use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::{MsgFlags, so};
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::addr::{i32_at, u64_at};
use super::base::{BUF_MAX, RCVBUF_MIN, SNDBUF_MIN, SockBase, flag};
use crate::cred::cap;
use crate::task::Cx;

/// The value of an option.
pub type OptVal = SmallVec<[u8; 16]>;

/// An `int` as a value.
pub fn int(v: i32) -> OptVal {
    OptVal::from_slice(&v.to_ne_bytes())
}

/// A flag as a value.
pub fn boolean(on: bool) -> OptVal {
    int(i32::from(on))
}

/// The `int` that most options take; `EINVAL` if there are fewer bytes.
pub fn want_int(val: &[u8]) -> Result<i32> {
    i32_at(val, 0).ok_or(Errno::EINVAL)
}

fn flag_of(name: i32) -> Option<u32> {
    Some(match name {
        so::DEBUG => flag::DEBUG,
        so::REUSEADDR => flag::REUSEADDR,
        so::REUSEPORT => flag::REUSEPORT,
        so::KEEPALIVE => flag::KEEPALIVE,
        so::BROADCAST => flag::BROADCAST,
        so::OOBINLINE => flag::OOBINLINE,
        so::DONTROUTE => flag::DONTROUTE,
        so::PASSCRED => flag::PASSCRED,
        so::TIMESTAMP_OLD | so::TIMESTAMP_NEW => flag::TIMESTAMP,
        so::TIMESTAMPNS_OLD | so::TIMESTAMPNS_NEW => flag::TIMESTAMPNS,
        so::NO_CHECK => flag::NO_CHECK,
        so::RXQ_OVFL => flag::RXQ_OVFL,
        so::ZEROCOPY => flag::ZEROCOPY,
        so::PASSSEC => flag::PASSSEC,
        so::SELECT_ERR_QUEUE => flag::SELECT_ERR_QUEUE,
        so::NOFCS => flag::NOFCS,
        so::PASSPIDFD => flag::PASSPIDFD,
        _ => return None,
    })
}

/// `setsockopt(2)`; none if the option is not one of these.
pub fn set(cx: &mut Cx, base: &SockBase, name: i32, val: &[u8]) -> Result<Option<()>> {
    if matches!(name, so::BINDTODEVICE) {
        return bind_to_device(cx, base, val).map(Some);
    }
    let int = want_int(val)?;
    if let Some(bit) = flag_of(name) {
        let unix_only = matches!(name, so::PASSCRED | so::PASSSEC | so::PASSPIDFD);
        let inet_only = matches!(name, so::ZEROCOPY);
        let is_unix = base.family == abi::socket::af::UNIX;
        if (unix_only && !is_unix && base.family != abi::socket::af::NETLINK) || (inet_only && is_unix) {
            return Err(Errno::EOPNOTSUPP);
        }
        if name == so::DEBUG && int != 0 && !cx.task.cred().has_cap_in(&base.ns.user_ns, cap::NET_ADMIN) {
            return Err(Errno::EACCES);
        }
        base.set(bit, int != 0);
        return Ok(Some(()));
    }
    let admin = |cx: &Cx| cx.task.cred().has_cap_in(&base.ns.user_ns, cap::NET_ADMIN);
    match name {
        so::TYPE | so::PROTOCOL | so::DOMAIN | so::ERROR | so::ACCEPTCONN | so::PEERCRED | so::SNDLOWAT => {
            return Err(Errno::ENOPROTOOPT);
        }
        so::SNDBUF => set_buffer(base, true, int, BUF_MAX),
        so::RCVBUF => set_buffer(base, false, int, BUF_MAX),
        so::SNDBUFFORCE | so::RCVBUFFORCE => {
            if !admin(cx) {
                return Err(Errno::EPERM);
            }
            set_buffer(base, name == so::SNDBUFFORCE, int.max(0), i32::MAX.cast_unsigned() / 2);
        }
        so::BUF_LOCK => {
            if int & !3 != 0 {
                return Err(Errno::EINVAL);
            }
            base.set(flag::SNDBUF_LOCK, int & 1 != 0);
            base.set(flag::RCVBUF_LOCK, int & 2 != 0);
        }
        so::PRIORITY => {
            if !(0..=6).contains(&int) && !admin(cx) {
                return Err(Errno::EPERM);
            }
            base.rare.lock().priority = int;
        }
        so::MARK => {
            if !admin(cx) {
                return Err(Errno::EPERM);
            }
            base.rare.lock().mark = int.cast_unsigned();
        }
        so::LINGER => {
            let secs = i32_at(val, 4).ok_or(Errno::EINVAL)?;
            base.rare.lock().linger = (int != 0).then_some(secs);
        }
        so::RCVLOWAT => {
            let value = if int < 0 { i32::MAX } else { int.max(1) };
            base.rcvlowat.store(value, Ordering::Relaxed);
        }
        so::RCVTIMEO_OLD | so::RCVTIMEO_NEW => base.rcvtimeo.store(timeout(val)?, Ordering::Relaxed),
        so::SNDTIMEO_OLD | so::SNDTIMEO_NEW => base.sndtimeo.store(timeout(val)?, Ordering::Relaxed),
        so::PEEK_OFF => {
            if base.family != abi::socket::af::UNIX {
                return Err(Errno::EOPNOTSUPP);
            }
            base.rare.lock().peek_off = int;
        }
        so::BUSY_POLL => {
            if int < 0 {
                return Err(Errno::EINVAL);
            }
            base.rare.lock().busy_poll = int;
        }
        so::MAX_PACING_RATE => {
            let rate = u64_at(val, 0).unwrap_or(u64::from(int.cast_unsigned()));
            base.rare.lock().pacing = rate;
        }
        so::INCOMING_CPU => base.rare.lock().incoming_cpu = int,
        so::BINDTOIFINDEX => {
            let index = u32::try_from(int).map_err(|_| Errno::EINVAL)?;
            if index > 1 {
                return Err(Errno::ENODEV);
            }
            base.rare.lock().bound_if = index;
        }
        so::DETACH_FILTER => return Err(Errno::ENOENT),
        so::ATTACH_FILTER | so::ATTACH_BPF | so::ATTACH_REUSEPORT_CBPF | so::ATTACH_REUSEPORT_EBPF => {
            let value = u64::from(name.cast_unsigned());
            return Err(cx
                .task
                .kernel
                .counters
                .missing("setsockopt filter", value, Errno::ENOPROTOOPT));
        }
        _ => return Ok(None),
    }
    Ok(Some(()))
}

/// Doubled for bookkeeping, as Linux does; never below what one message needs.
fn set_buffer(base: &SockBase, send: bool, value: i32, max: u32) {
    // A negative value is a large one in Linux's comparison of `u32`.
    let value = value.cast_unsigned().min(max);
    let doubled = value.saturating_mul(2).min(i32::MAX.cast_unsigned());
    if send {
        base.sndbuf.store(doubled.max(SNDBUF_MIN), Ordering::Relaxed);
        base.set(flag::SNDBUF_LOCK, true);
        base.wake(crate::wait::Events::WRITE);
    } else {
        base.rcvbuf.store(doubled.max(RCVBUF_MIN), Ordering::Relaxed);
        base.set(flag::RCVBUF_LOCK, true);
    }
}

fn timeout(val: &[u8]) -> Result<u64> {
    let sec = u64_at(val, 0).ok_or(Errno::EINVAL)?.cast_signed();
    let usec = u64_at(val, 8).ok_or(Errno::EINVAL)?.cast_signed();
    if !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    // A negative time lets no call wait; Linux warns of it.
    let Ok(sec) = u64::try_from(sec) else { return Ok(1) };
    let nsec = usec.cast_unsigned() * 1000;
    Ok(sec
        .saturating_mul(1_000_000_000)
        .saturating_add(nsec)
        .min(i64::MAX.cast_unsigned()))
}

fn bind_to_device(cx: &Cx, base: &SockBase, val: &[u8]) -> Result<()> {
    let name = val.split(|&b| b == 0).next().unwrap_or_default();
    let bound = base.rare.lock().bound_if;
    if bound != 0 && !cx.task.cred().has_cap_in(&base.ns.user_ns, cap::NET_RAW) {
        return Err(Errno::EPERM);
    }
    let index = match name {
        b"" => 0,
        b"lo" => 1,
        _ => return Err(Errno::ENODEV),
    };
    base.rare.lock().bound_if = index;
    Ok(())
}

fn timeval(ns: u64) -> OptVal {
    let parts = [ns / 1_000_000_000, ns % 1_000_000_000 / 1000];
    OptVal::from_slice(parts.as_bytes())
}

/// `getsockopt(2)`; none if the option is not one of these.
pub fn get(cx: &mut Cx, base: &SockBase, name: i32, len: usize) -> Result<Option<OptVal>> {
    if let Some(bit) = flag_of(name) {
        return Ok(Some(boolean(base.has(bit))));
    }
    let rare = || base.rare.lock().clone();
    let load = |v: &std::sync::atomic::AtomicU32| int(v.load(Ordering::Relaxed).cast_signed());
    Ok(Some(match name {
        so::TYPE => int(base.kind),
        so::DOMAIN => int(i32::from(base.family)),
        so::PROTOCOL => int(base.protocol),
        so::ERROR => int(base.take_error().map_or(0, |e| i32::from(e.raw()))),
        so::SNDBUF => load(&base.sndbuf),
        so::RCVBUF => load(&base.rcvbuf),
        so::BUF_LOCK => int(i32::from(base.has(flag::SNDBUF_LOCK)) | (i32::from(base.has(flag::RCVBUF_LOCK)) << 1)),
        so::PRIORITY => int(rare().priority),
        so::MARK => int(rare().mark.cast_signed()),
        so::LINGER => {
            let linger = rare().linger;
            let parts = [i32::from(linger.is_some()), linger.unwrap_or(0)];
            OptVal::from_slice(parts.as_bytes())
        }
        so::RCVLOWAT => int(base.rcvlowat.load(Ordering::Relaxed)),
        so::SNDLOWAT => int(1),
        so::RCVTIMEO_OLD | so::RCVTIMEO_NEW => timeval(base.rcvtimeo.load(Ordering::Relaxed)),
        so::SNDTIMEO_OLD | so::SNDTIMEO_NEW => timeval(base.sndtimeo.load(Ordering::Relaxed)),
        so::PEEK_OFF => int(rare().peek_off),
        so::BUSY_POLL => int(rare().busy_poll),
        so::PREFER_BUSY_POLL | so::BUSY_POLL_BUDGET | so::INCOMING_NAPI_ID | so::RESERVE_MEM | so::LOCK_FILTER => {
            int(0)
        }
        so::MAX_PACING_RATE => {
            let rate = rare().pacing;
            if len >= 8 {
                OptVal::from_slice(&rate.to_ne_bytes())
            } else {
                int(u32::try_from(rate).unwrap_or(u32::MAX).cast_signed())
            }
        }
        so::INCOMING_CPU => int(rare().incoming_cpu),
        so::BINDTOIFINDEX => int(rare().bound_if.cast_signed()),
        so::BINDTODEVICE => match rare().bound_if {
            0 => OptVal::new(),
            _ if len < 16 => return Err(Errno::EINVAL),
            _ => OptVal::from_slice(b"lo\0"),
        },
        so::COOKIE => {
            if len < 8 {
                return Err(Errno::EINVAL);
            }
            OptVal::from_slice(&base.ino.to_ne_bytes())
        }
        so::NETNS_COOKIE => {
            if len != 8 {
                return Err(Errno::EINVAL);
            }
            OptVal::from_slice(&base.ns.id.to_ne_bytes())
        }
        so::MEMINFO => {
            let wmem = u32::try_from(base.wmem.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
            let (rcv, snd) = (base.rcvbuf.load(Ordering::Relaxed), base.sndbuf.load(Ordering::Relaxed));
            OptVal::from_slice([0u32, rcv, wmem, snd, 0, 0, 0, 0, 0].as_bytes())
        }
        so::PEERCRED if base.family != abi::socket::af::UNIX => {
            let nobody = [0i32, -1, -1];
            nobody.iter().flat_map(|v| v.to_ne_bytes()).collect()
        }
        so::PEERSEC => return Err(Errno::ENOPROTOOPT),
        _ => {
            let _ = cx;
            return Ok(None);
        }
    }))
}

/// `MSG_*` that a sender may give and that mean nothing to us.
pub const IGNORED_SEND: MsgFlags = MsgFlags::DONTROUTE
    .union(MsgFlags::CONFIRM)
    .union(MsgFlags::MORE)
    .union(MsgFlags::BATCH);
