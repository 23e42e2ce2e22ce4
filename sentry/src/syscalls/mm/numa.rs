//! Memory policies: there is one node.

use abi::{Errno, SysResult};

use crate::cred::cap;
use crate::mm::page_up;
use crate::mm::policy::{NodeMask, Policy, split};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `MAX_NUMNODES`, and in words.
const MAX_NODES: u64 = 1024;
const MAX_WORDS: usize = 16;
/// Bits in a page: the longest mask.
const MASK_MAX: u64 = 4096 * 8;

/// Reads a mask of nodes (`get_nodes`): `maxnode` is one more than its bits.
fn read_nodes(cx: &Cx, at: UserAddr, maxnode: u64) -> SysResult<NodeMask> {
    let bits = maxnode.wrapping_sub(1);
    if bits == 0 || at.is_null() {
        return Ok(NodeMask::default());
    }
    if bits > MASK_MAX {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = vec![0u8; abi::conv::size(bits.div_ceil(64) * 8)];
    cx.read_bytes(at, &mut bytes)?;
    let words = bytes
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
    let mut words: Vec<u64> = words.collect();
    if words.iter().skip(MAX_WORDS).any(|&word| word != 0) {
        return Err(Errno::EINVAL.into());
    }
    if bits < MAX_NODES
        && !bits.is_multiple_of(64)
        && let Some(last) = words.last_mut()
    {
        *last &= (1 << (bits % 64)) - 1;
    }
    Ok(NodeMask {
        low: words.first().copied().unwrap_or(0),
        more: words.iter().skip(1).any(|&word| word != 0),
    })
}

/// Writes a mask of nodes (`copy_nodes_to_user`).
fn write_nodes(cx: &mut Cx, at: UserAddr, maxnode: u64, nodes: u64) -> SysResult<()> {
    let bytes = maxnode.saturating_sub(1).div_ceil(64).saturating_mul(8);
    if bytes > 4096 {
        return Err(Errno::EINVAL.into());
    }
    if bytes > 8 {
        cx.write_bytes(at.add(8)?, &vec![0; abi::conv::size(bytes - 8)])?;
    }
    if bytes > 0 {
        cx.write_obj(at, &nodes)?;
    }
    Ok(())
}

/// `set_mempolicy(2)`
pub(in crate::syscalls) fn sys_set_mempolicy(
    cx: &mut Cx,
    mode: i32,
    nodemask: UserAddr,
    maxnode: u64,
) -> SysResult<u64> {
    let (mode, flags) = split(mode.cast_unsigned())?;
    let nodes = read_nodes(cx, nodemask, maxnode)?;
    let policy = Policy::new(mode, flags, nodes)?;
    cx.task.attr.lock().mempolicy = policy;
    Ok(0)
}

/// The end of a range of pages.
fn range_end(addr: u64, len: u64) -> SysResult<u64> {
    // A length that is rounded up to nothing is nothing, as Linux computes it.
    let len = page_up(len).unwrap_or(0);
    Ok(addr.checked_add(len).ok_or(Errno::EINVAL)?)
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
    const STRICT_AND_MOVES: u32 = 7;
    const MOVE_ALL: u32 = 4;
    let (mode, mode_flags) = split(abi::conv::low32(mode))?;
    let nodes = read_nodes(cx, nodemask, maxnode)?;
    if flags & !STRICT_AND_MOVES != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & MOVE_ALL != 0 && !cx.task.capable(cap::SYS_NICE) {
        return Err(Errno::EPERM.into());
    }
    if !addr.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    let end = range_end(addr, len)?;
    if end == addr {
        return Ok(0);
    }
    let policy = Policy::new(mode, mode_flags, nodes)?;
    cx.mm.set_policy(addr, end, policy)?;
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
    if !nodemask.is_null() && maxnode < 1 {
        return Err(Errno::EINVAL.into());
    }
    let (word, nodes) = look_up(cx, addr, flags)?;
    if let Some(mode) = mode.nonnull() {
        cx.write_obj(mode, &word)?;
    }
    if let Some(nodemask) = nodemask.nonnull() {
        write_nodes(cx, nodemask, maxnode, nodes)?;
    }
    Ok(0)
}

/// What is asked for, and the nodes.
fn look_up(cx: &Cx, addr: u64, flags: u64) -> SysResult<(u32, u64)> {
    const F_NODE: u64 = 1;
    const F_ADDR: u64 = 2;
    const F_MEMS_ALLOWED: u64 = 4;
    const NODE: u32 = 0;
    if flags & !(F_NODE | F_ADDR | F_MEMS_ALLOWED) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & F_MEMS_ALLOWED != 0 {
        return match flags & (F_NODE | F_ADDR) {
            0 => Ok((0, 1)),
            _ => Err(Errno::EINVAL.into()),
        };
    }
    let at_address = flags & F_ADDR != 0;
    let policy = match at_address {
        true => cx.mm.policy_at(addr)?,
        false if addr != 0 => return Err(Errno::EINVAL.into()),
        false => cx.task.attr.lock().mempolicy,
    };
    let nodes = policy.map_or(0, |p| p.nodes());
    if flags & F_NODE == 0 {
        return Ok((policy.map_or(0, |p| p.word()), nodes));
    }
    if at_address {
        // Where the page is, which for that has to be there.
        let mut byte = [0];
        cx.read_bytes(UserAddr(addr), &mut byte)?;
        return Ok((NODE, nodes));
    }
    match policy.is_some_and(|p| p.interleaves()) {
        true => Ok((NODE, nodes)),
        false => Err(Errno::EINVAL.into()),
    }
}

/// `set_mempolicy_home_node(2)`
pub(in crate::syscalls) fn sys_set_mempolicy_home_node(
    cx: &mut Cx,
    start: u64,
    len: u64,
    home_node: u64,
    flags: u64,
) -> SysResult<u64> {
    if !start.is_multiple_of(4096) || flags != 0 || home_node != 0 {
        return Err(Errno::EINVAL.into());
    }
    let end = range_end(start, len)?;
    if end == start {
        return Ok(0);
    }
    cx.mm.set_home_node(start, end, 0)?;
    Ok(0)
}
