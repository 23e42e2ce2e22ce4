//! `getsockopt(2)` and `setsockopt(2)`.

use abi::socket::so;
use abi::{Errno, SysResult};
use smallvec::SmallVec;

use super::{is_common, lookup};
use crate::net::{Socket, sockopt};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// Most bytes of a value that are looked at.
const MAX_VALUE: usize = 65536;

/// True for an option that is kept here: of the host's sockets, the time limits, since those never wait.
fn ours(socket: &dyn Socket, name: i32) -> bool {
    let limits = [so::RCVTIMEO_OLD, so::SNDTIMEO_OLD, so::RCVTIMEO_NEW, so::SNDTIMEO_NEW];
    !socket.is_host() || limits.contains(&name)
}

/// `setsockopt(2)`
pub(in crate::syscalls) fn sys_setsockopt(
    cx: &mut Cx,
    fd: i32,
    level: i32,
    optname: i32,
    optval: UserAddr,
    optlen: u32,
) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    let len = usize::try_from(optlen.cast_signed()).map_err(|_| Errno::EINVAL)?;
    let mut value: SmallVec<[u8; 64]> = SmallVec::from_elem(0, len.min(MAX_VALUE));
    cx.read_bytes(optval, &mut value)?;
    let base = socket.base().clone();
    if is_common(level)
        && ours(&*socket, optname)
        && let Some(()) = sockopt::set(cx, &base, optname, &value)?
    {
        return Ok(0);
    }
    socket.setsockopt(cx, level, optname, &value).map_err(|e| {
        if e == Errno::ENOPROTOOPT {
            let what = (u64::from(level.cast_unsigned()) << 32) | u64::from(optname.cast_unsigned());
            return cx.task.kernel.counters.missing("setsockopt", what, e);
        }
        e
    })?;
    Ok(0)
}

/// `getsockopt(2)`
pub(in crate::syscalls) fn sys_getsockopt(
    cx: &mut Cx,
    fd: i32,
    level: i32,
    optname: i32,
    optval: UserAddr,
    optlen: UserAddr,
) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    let len: i32 = cx.read_obj(optlen)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let base = socket.base().clone();
    let common = if is_common(level) && ours(&*socket, optname) {
        sockopt::get(cx, &base, optname, len)?
    } else {
        None
    };
    let value = match common {
        Some(value) => value,
        None => socket.getsockopt(cx, level, optname, len).map_err(|e| {
            if e == Errno::ENOPROTOOPT {
                let what = (u64::from(level.cast_unsigned()) << 32) | u64::from(optname.cast_unsigned());
                return cx.task.kernel.counters.missing("getsockopt", what, e);
            }
            e
        })?,
    };
    let told = i32::try_from(value.len()).unwrap_or(i32::MAX);
    if is_common(level) && optname == so::PEERGROUPS && len < value.len() {
        cx.write_obj(optlen, &told)?;
        return Err(Errno::ERANGE.into());
    }
    let n = len.min(value.len());
    cx.write_bytes(optval, value.get(..n).unwrap_or_default())?;
    cx.write_obj(optlen, &i32::try_from(n).unwrap_or(i32::MAX))?;
    Ok(0)
}
