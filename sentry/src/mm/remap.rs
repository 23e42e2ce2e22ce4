//! `mremap(2)`

use abi::Errno;
use abi::errno::Result;
use platform::{Context, MemOp};

use super::vma::{Vma, VmaFlags};
use super::{MMAP_MIN_ADDR, Mm, page_up};
use crate::task::{Resource, Rlimits};

/// `MREMAP_MAYMOVE`
pub const MAYMOVE: i32 = 1;
/// `MREMAP_FIXED`
pub const FIXED: i32 = 2;
/// `MREMAP_DONTUNMAP`
pub const DONTUNMAP: i32 = 4;

impl Mm {
    /// Moves or resizes; gives the new address. Flags as the guest gave them.
    pub fn remap(
        &self,
        ctx: &mut dyn Context,
        old: u64,
        old_len: u64,
        new_len: u64,
        flags: i32,
        new_addr: u64,
        limits: &Rlimits,
    ) -> Result<u64> {
        if flags & !(MAYMOVE | FIXED | DONTUNMAP) != 0 || (flags & (FIXED | DONTUNMAP) != 0 && flags & MAYMOVE == 0) {
            return Err(Errno::EINVAL);
        }
        let (Some(old_len), Some(new_len)) = (page_up(old_len), page_up(new_len)) else {
            return Err(Errno::EINVAL);
        };
        if !old.is_multiple_of(4096) || new_len == 0 || (flags & DONTUNMAP != 0 && old_len != new_len) {
            return Err(Errno::EINVAL);
        }
        let fixed = flags & FIXED != 0;
        if fixed {
            let end = new_addr.checked_add(new_len).ok_or(Errno::EINVAL)?;
            let overlap = new_addr < old.saturating_add(old_len) && old < end;
            if !new_addr.is_multiple_of(4096) || end > self.guest_end || overlap {
                return Err(Errno::EINVAL);
            }
            if new_addr < MMAP_MIN_ADDR {
                return Err(Errno::EPERM);
            }
        }
        let mut state = self.state.lock();
        let vma = state.vmas.at(old).cloned().ok_or(Errno::EFAULT)?;
        let old_end = old.checked_add(old_len).ok_or(Errno::EINVAL)?;
        if old_end > vma.end {
            return Err(Errno::EFAULT);
        }
        if old_len == 0 && !vma.flags.contains(VmaFlags::SHARED) {
            return Err(Errno::EINVAL);
        }
        state.check_sealed(old, old_end.max(old + 1))?;
        let growth = if flags & DONTUNMAP != 0 || old_len == 0 {
            new_len
        } else {
            new_len.saturating_sub(old_len)
        };
        if self.exceeds_as(&state, growth, limits) {
            return Err(Errno::ENOMEM);
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            let limit = limits.get(Resource::Memlock).soft;
            if state.locked.saturating_add(growth) > limit {
                return Err(Errno::EAGAIN);
            }
            state.locked = state.locked.saturating_add(growth);
        }
        let in_place = !fixed && flags & DONTUNMAP == 0 && old_len != 0;
        if in_place && new_len <= old_len {
            if new_len < old_len {
                state.vmas.remove(old + new_len, old_end);
                ctx.queue(MemOp::Unmap {
                    addr: old + new_len,
                    len: old_len - new_len,
                });
            }
            return Ok(old);
        }
        let place = |start: u64| {
            let mut moved = vma.part(old, old_end.max(old + 1));
            moved.start = start;
            moved.end = start + new_len;
            if moved.flags.contains(VmaFlags::STACK | VmaFlags::HEAP) {
                moved.flags.remove(VmaFlags::STACK | VmaFlags::HEAP);
            }
            moved
        };
        if in_place && old_end == vma.end {
            let new_end = old.checked_add(new_len).ok_or(Errno::EINVAL)?;
            if new_end <= self.guest_end && state.vmas.overlapping(old_end, new_end).next().is_none() {
                state.vmas.remove(old, old_end);
                state.vmas.insert(place(old));
                state.note_peak();
                ctx.queue(MemOp::Remap {
                    old,
                    old_len,
                    new: old,
                    new_len,
                    keep: false,
                });
                return Ok(old);
            }
        }
        if flags & MAYMOVE == 0 {
            return Err(Errno::ENOMEM);
        }
        let new = if fixed {
            new_addr
        } else {
            let base = state.layout.mmap_base;
            let hint = Some(new_addr).filter(|&a| {
                flags & DONTUNMAP != 0
                    && a != 0
                    && a.is_multiple_of(4096)
                    && a.checked_add(new_len)
                        .is_some_and(|e| e <= self.guest_end && state.vmas.overlapping(a, e).next().is_none())
            });
            hint.or_else(|| state.vmas.find_down(new_len, MMAP_MIN_ADDR, base, 4096))
                .ok_or(Errno::ENOMEM)?
        };
        state.vmas.remove(new, new + new_len);
        let moved: Vma = place(new);
        if old_len > new_len && flags & DONTUNMAP == 0 {
            // The host's call unmaps the tail too, but the areas must agree.
            ctx.queue(MemOp::Unmap {
                addr: old + new_len,
                len: old_len - new_len,
            });
        }
        let move_len = if flags & DONTUNMAP != 0 {
            old_len
        } else {
            old_len.min(new_len)
        };
        if flags & DONTUNMAP == 0 && old_len != 0 {
            state.vmas.remove(old, old_end);
        }
        state.vmas.insert(moved);
        state.note_peak();
        ctx.queue(MemOp::Remap {
            old,
            old_len: move_len,
            new,
            new_len,
            keep: flags & DONTUNMAP != 0,
        });
        Ok(new)
    }
}
