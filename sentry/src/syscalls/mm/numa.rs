//! Memory policies: there is one node.

use abi::{Errno, SysResult};

use crate::mm::page_up;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// Memory policies: there is one node, and every policy that names only it is in force already.
fn check_nodes(cx: &Cx, mode: u32, nodemask: UserAddr, maxnode: u64) -> SysResult<u64> {
    const MODE_FLAGS: u32 = 0xe000;
    let policy = mode & !MODE_FLAGS;
    if policy > 6 {
        return Err(Errno::EINVAL.into());
    }
    let mut mask = 0u64;
    if !nodemask.is_null() && maxnode > 1 {
        if maxnode > 4096 * 8 {
            return Err(Errno::EINVAL.into());
        }
        mask = cx.read_obj(nodemask)?;
        mask &= u64::MAX >> (64 - (maxnode - 1).min(63));
    }
    let needs_nodes = matches!(policy, 2 | 3 | 6);
    if mask & !1 != 0 || (needs_nodes && mask == 0) || (policy == 0 && mask != 0) {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// `mbind(2)`
pub(in crate::syscalls) fn sys_mbind(
    cx: &mut Cx,
    addr: u64,
    len: u64,
    mode: u64,
    nodemask: UserAddr,
    maxnode: u64,
    flags: u32,
) -> SysResult<u64> {
    if flags & !7 != 0 || !addr.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    let end = page_up(len).and_then(|l| addr.checked_add(l)).ok_or(Errno::EINVAL)?;
    check_nodes(cx, u32::try_from(mode).map_err(|_| Errno::EINVAL)?, nodemask, maxnode)?;
    if end > addr && !cx.mm.is_mapped(addr, end) {
        return Err(Errno::EFAULT.into());
    }
    Ok(0)
}

/// `get_mempolicy(2)`
pub(in crate::syscalls) fn sys_get_mempolicy(
    cx: &mut Cx,
    mode: UserAddr,
    nodemask: UserAddr,
    maxnode: u64,
    addr: u64,
    flags: u64,
) -> SysResult<u64> {
    const F_NODE: u64 = 1;
    const F_ADDR: u64 = 2;
    const F_MEMS_ALLOWED: u64 = 4;
    if flags & !7 != 0 || (flags & F_MEMS_ALLOWED != 0 && flags & (F_NODE | F_ADDR) != 0) {
        return Err(Errno::EINVAL.into());
    }
    if !nodemask.is_null() && maxnode < 1 {
        return Err(Errno::EINVAL.into());
    }
    if flags & F_ADDR != 0 {
        if cx.mm.area(addr).is_none() {
            return Err(Errno::EFAULT.into());
        }
    } else if addr != 0 {
        return Err(Errno::EINVAL.into());
    }
    if !mode.is_null() && flags & F_MEMS_ALLOWED == 0 {
        cx.write_obj(mode, &0i32)?;
    }
    if !nodemask.is_null() {
        let mask = u64::from(flags & F_MEMS_ALLOWED != 0);
        cx.write_obj(nodemask, &mask)?;
    }
    Ok(0)
}

/// `set_mempolicy(2)`
pub(in crate::syscalls) fn sys_set_mempolicy(
    cx: &mut Cx,
    mode: i32,
    nodemask: UserAddr,
    maxnode: u64,
) -> SysResult<u64> {
    check_nodes(cx, mode.cast_unsigned(), nodemask, maxnode)
}
