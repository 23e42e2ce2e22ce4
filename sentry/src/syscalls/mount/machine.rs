//! What only the machine's own administrator does: quotas, swap.

use abi::conv::usize64;
use abi::{Errno, SysResult};

use crate::fs::impls;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `quotactl(2)`: no file system of ours has quotas.
pub(in super::super) fn sys_quotactl(
    cx: &mut Cx,
    cmd: u32,
    special: UserAddr,
    id: i32,
    addr: UserAddr,
) -> SysResult<u64> {
    const Q_SYNC: u32 = 0x80_0001;
    let _ = (id, addr);
    if special.is_null() && cmd >> 8 == Q_SYNC {
        return Ok(0);
    }
    cx.read_path(special)?;
    Err(Errno::ENOTBLK.into())
}

/// `sysfs(2)`: numbers and names of file system types.
pub(in super::super) fn sys_sysfs(cx: &mut Cx, option: i32, arg1: u64, arg2: u64) -> SysResult<u64> {
    let types = impls::registry();
    match option {
        1 => {
            let name = cx.read_path(UserAddr(arg1))?;
            let at = types.iter().position(|t| t.name().as_bytes() == name);
            Ok(usize64(at.ok_or(Errno::EINVAL)?))
        }
        2 => {
            let at = usize::try_from(arg1).map_err(|_| Errno::EINVAL)?;
            let mut name = types.get(at).ok_or(Errno::EINVAL)?.name().as_bytes().to_vec();
            name.push(0);
            cx.write_bytes(UserAddr(arg2), &name)?;
            Ok(0)
        }
        3 => Ok(usize64(types.len())),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `swapon(2)`: the sandbox's memory is the host's to swap.
pub(in super::super) fn sys_swapon(cx: &mut Cx, path: UserAddr, flags: i32) -> SysResult<u64> {
    let _ = (cx, path, flags);
    Err(Errno::EPERM.into())
}

/// `swapoff(2)`
pub(in super::super) fn sys_swapoff(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let _ = (cx, path);
    Err(Errno::EPERM.into())
}
