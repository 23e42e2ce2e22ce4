//! Options of level `IPPROTO_TCP`.

use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;
use abi::socket::{so, sol, tcp};

use super::{Phase, TcpSocket};
use crate::cred::cap;
use crate::net::{OptVal, sockopt};
use crate::task::Cx;

/// Congestion controls by name.
const CONGESTION: [&[u8]; 2] = [b"reno", b"cubic"];
/// Segment size on the loopback interface, and before there is a connection.
const MSS: i32 = 65_483;
const MSS_CLOSED: i32 = 536;
/// Bytes of `struct tcp_info` that we fill or clear.
const TCP_INFO: usize = 248;

/// Range and default; a flag has the range of all numbers.
fn rule(name: i32) -> Option<(i32, i32, i32)> {
    const ANY: (i32, i32) = (i32::MIN, i32::MAX);
    Some(match name {
        tcp::NODELAY | tcp::CORK | tcp::THIN_LINEAR_TIMEOUTS | tcp::FASTOPEN_CONNECT => (ANY.0, ANY.1, 0),
        tcp::QUICKACK => (ANY.0, ANY.1, 1),
        tcp::INQ | tcp::SAVE_SYN => (0, 1, 0),
        tcp::KEEPIDLE => (1, 32767, 7200),
        tcp::KEEPINTVL => (1, 32767, 75),
        tcp::KEEPCNT => (1, 127, 9),
        tcp::SYNCNT => (1, 127, 6),
        tcp::LINGER2 => (ANY.0, ANY.1, 60),
        tcp::DEFER_ACCEPT => (ANY.0, ANY.1, 0),
        tcp::WINDOW_CLAMP => (0, ANY.1, 0),
        tcp::USER_TIMEOUT => (0, ANY.1, 0),
        tcp::FASTOPEN => (0, ANY.1, 0),
        tcp::NOTSENT_LOWAT => (ANY.0, ANY.1, -1),
        tcp::TX_DELAY => (0, ANY.1, 0),
        tcp::TIMESTAMP => (ANY.0, ANY.1, 0),
        _ => return None,
    })
}

fn is_flag(name: i32) -> bool {
    matches!(
        name,
        tcp::NODELAY | tcp::CORK | tcp::QUICKACK | tcp::THIN_LINEAR_TIMEOUTS | tcp::FASTOPEN_CONNECT
    )
}

/// `TCP_DEFER_ACCEPT` is kept as a number of retransmissions: the time told is a sum of time-outs from 1 s on.
fn defer_accept(seconds: i32) -> i32 {
    let (mut total, mut timeout) = (0, 0);
    while total < seconds && total < 7200 {
        timeout = if timeout == 0 { 1 } else { (timeout * 2).min(120) };
        total += timeout;
    }
    total
}

impl TcpSocket {
    pub(super) fn set_option(&self, cx: &mut Cx, level: i32, name: i32, val: &[u8]) -> Result<()> {
        match level {
            sol::IP | sol::IPV6 => {
                let bound = self.state.lock().claimed.is_some();
                self.opts.set(cx, &self.base, bound, level, name, val)
            }
            sol::TCP => self.set_tcp(cx, name, val),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_tcp(&self, cx: &Cx, name: i32, val: &[u8]) -> Result<()> {
        match name {
            tcp::CONGESTION => {
                let wanted = val.split(|&b| b == 0).next().unwrap_or_default();
                let at = CONGESTION.iter().position(|&c| c == wanted).ok_or(Errno::ENOENT)?;
                self.opts.put(sol::TCP, name, i32::try_from(at).unwrap_or(0) + 1);
                return Ok(());
            }
            // No upper layer protocol is there (kernel TLS).
            tcp::ULP => return Err(Errno::ENOENT),
            tcp::MD5SIG | tcp::CC_INFO | tcp::SAVED_SYN => return Err(Errno::ENOPROTOOPT),
            tcp::REPAIR if !cx.task.cred().has_cap_in(&self.base.ns.user_ns, cap::NET_ADMIN) => {
                return Err(Errno::EPERM);
            }
            _ => {}
        }
        let value = sockopt::want_int(val)?;
        if name == tcp::MAXSEG {
            if value != 0 && !(88..=32767).contains(&value) {
                return Err(Errno::EINVAL);
            }
            self.opts.put(sol::TCP, name, value);
            return Ok(());
        }
        let (min, max, _) = rule(name).ok_or(Errno::ENOPROTOOPT)?;
        if !(min..=max).contains(&value) {
            return Err(Errno::EINVAL);
        }
        let value = match name {
            _ if is_flag(name) => i32::from(value != 0),
            tcp::DEFER_ACCEPT => defer_accept(value),
            tcp::LINGER2 if value < 0 => -1,
            tcp::LINGER2 => value.min(120),
            _ => value,
        };
        self.opts.put(sol::TCP, name, value);
        Ok(())
    }

    pub(super) fn get_option(&self, cx: &mut Cx, level: i32, name: i32, len: usize) -> Result<OptVal> {
        let _ = cx;
        let (listening, open) = {
            let state = self.state.lock();
            (
                matches!(state.phase, Phase::Listening(_)),
                matches!(state.phase, Phase::Open(_)),
            )
        };
        match level {
            sol::SOCKET => match name {
                so::ACCEPTCONN => Ok(sockopt::boolean(listening)),
                so::PEERNAME => {
                    let peer = crate::net::Socket::getpeername(self)?;
                    if len < peer.len() {
                        return Err(Errno::EINVAL);
                    }
                    Ok(OptVal::from_slice(&peer))
                }
                so::PEERGROUPS => Err(Errno::ENODATA),
                _ => Err(Errno::ENOPROTOOPT),
            },
            sol::IP | sol::IPV6 => self.opts.get_option(&self.base, open, level, name, len),
            sol::TCP => self.get_tcp(name, len, open),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn get_tcp(&self, name: i32, len: usize, open: bool) -> Result<OptVal> {
        let stored = self.opts.get(sol::TCP, name);
        match name {
            tcp::INFO => Ok(self.info(len)),
            tcp::CONGESTION => {
                let at = usize::try_from(stored).unwrap_or(0);
                let name = CONGESTION.get(at.wrapping_sub(1)).copied().unwrap_or(b"cubic");
                let mut value = name.to_vec();
                value.resize(16, 0);
                value.truncate(len);
                Ok(OptVal::from_vec(value))
            }
            tcp::MAXSEG => Ok(sockopt::int(match (open, stored) {
                (true, 0) => MSS,
                (false, 0) => MSS_CLOSED,
                (_, set) => set,
            })),
            tcp::ULP => Ok(OptVal::new()),
            tcp::SAVED_SYN => Ok(OptVal::new()),
            tcp::CC_INFO => Ok(OptVal::new()),
            _ => {
                let (_, _, default) = rule(name).ok_or(Errno::ENOPROTOOPT)?;
                let kept = self.opts.kept(sol::TCP, name);
                Ok(sockopt::int(kept.unwrap_or(default)))
            }
        }
    }

    /// `struct tcp_info`: the state, and figures of a connection without loss.
    fn info(&self, len: usize) -> OptVal {
        let mut info = vec![0u8; TCP_INFO];
        let mut put = |at: usize, value: u32| {
            if let Some(to) = info.get_mut(at..at + 4) {
                to.copy_from_slice(&value.to_ne_bytes());
            }
        };
        let open = matches!(self.state.lock().phase, Phase::Open(_));
        let mss = if open {
            MSS.cast_unsigned()
        } else {
            MSS_CLOSED.cast_unsigned()
        };
        put(8, if open { 204_000 } else { 1_000_000 });
        put(16, mss);
        put(20, if open { 536 } else { 0 });
        put(24, u32::try_from(self.queued()).unwrap_or(u32::MAX));
        put(60, if open { 65535 } else { 0 });
        put(64, self.base.rcvbuf.load(Ordering::Relaxed) / 2);
        put(68, if open { 20 } else { 0 });
        put(72, if open { 10 } else { 250_000 });
        put(76, i32::MAX.cast_unsigned());
        put(80, 10);
        put(84, mss);
        put(88, 3);
        if let Some(first) = info.first_mut() {
            *first = self.tcp_state();
        }
        if let (true, Some(options)) = (open, info.get_mut(5)) {
            // Time stamps, selective acknowledgement, window scaling.
            *options = 7;
        }
        info.truncate(len);
        OptVal::from_vec(info)
    }
}
