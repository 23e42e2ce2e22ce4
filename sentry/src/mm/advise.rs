//! `madvise(2)`, `msync(2)`, `mlock(2)` and kin.

use abi::Errno;
use abi::errno::Result;
use platform::{Context, MemOp, Prot};

use super::vma::{VmaFlags, VmaObject};
use super::{Mm, page_up};
use crate::task::{Resource, Rlimits};

#[allow(missing_docs, reason = "madvise(2) documents each name")]
pub mod advice {
    pub const NORMAL: i32 = 0;
    pub const WILLNEED: i32 = 3;
    pub const DONTNEED: i32 = 4;
    pub const FREE: i32 = 8;
    pub const REMOVE: i32 = 9;
    pub const DONTFORK: i32 = 10;
    pub const DOFORK: i32 = 11;
    pub const DONTDUMP: i32 = 16;
    pub const DODUMP: i32 = 17;
    pub const WIPEONFORK: i32 = 18;
    pub const KEEPONFORK: i32 = 19;
    pub const COLD: i32 = 20;
    pub const PAGEOUT: i32 = 21;
    pub const POPULATE_READ: i32 = 22;
    pub const POPULATE_WRITE: i32 = 23;
    pub const DONTNEED_LOCKED: i32 = 24;
}

/// `MADV_MERGEABLE`
const MERGEABLE: i32 = 12;
/// `MADV_UNMERGEABLE`
const UNMERGEABLE: i32 = 13;

/// Splits `[addr, addr + len)` as `madvise(2)` and `mlock(2)` take it: `EINVAL` unaligned or wrapping.
fn range(addr: u64, len: u64) -> Result<(u64, u64)> {
    if !addr.is_multiple_of(4096) {
        return Err(Errno::EINVAL);
    }
    let len = page_up(len).ok_or(Errno::EINVAL)?;
    Ok((addr, addr.checked_add(len).ok_or(Errno::EINVAL)?))
}

impl Mm {
    /// `madvise(2)`. True if the host's answer must be awaited (`MADV_POPULATE_*`, `MADV_REMOVE`).
    pub fn advise(&self, ctx: &mut dyn Context, addr: u64, len: u64, what: i32) -> Result<bool> {
        if !(advice::NORMAL..=advice::DONTNEED).contains(&what)
            && !(advice::FREE..=advice::DONTNEED_LOCKED).contains(&what)
        {
            return Err(Errno::EINVAL);
        }
        let (start, end) = range(addr, len)?;
        if start == end {
            return Ok(false);
        }
        let mut state = self.state.lock();
        if end > self.guest_end {
            return Err(Errno::ENOMEM);
        }
        let mut failure = None;
        let mut spans = Vec::new();
        let mut at = start;
        for vma in state.vmas.overlapping(start, end) {
            if vma.start > at {
                failure = Some(Errno::ENOMEM);
            }
            let anonymous = matches!(vma.object, VmaObject::Anonymous);
            let locked = vma.flags.contains(VmaFlags::LOCKED);
            let refused = match what {
                advice::DONTNEED | advice::PAGEOUT | advice::COLD => locked,
                advice::FREE => !anonymous || locked,
                advice::WIPEONFORK => !anonymous,
                advice::REMOVE => anonymous || locked,
                _ => false,
            };
            if refused {
                failure = Some(Errno::EINVAL);
                break;
            }
            if what == advice::REMOVE && !(vma.flags.contains(VmaFlags::SHARED) && vma.prot.contains(Prot::WRITE)) {
                failure = Some(Errno::EACCES);
                break;
            }
            if matches!(what, advice::DONTNEED | advice::FREE)
                && vma.flags.contains(VmaFlags::SEALED)
                && !vma.prot.contains(Prot::WRITE)
            {
                failure = Some(Errno::EPERM);
                break;
            }
            let (from, to) = (vma.start.max(start), vma.end.min(end));
            spans.push((from, to));
            at = to;
        }
        if failure.is_none() && at < end {
            failure = Some(Errno::ENOMEM);
        }
        for (from, to) in spans {
            state.vmas.update(from, to, |v| match what {
                advice::DONTFORK => v.flags.insert(VmaFlags::DONTFORK),
                advice::DOFORK => v.flags.remove(VmaFlags::DONTFORK),
                advice::WIPEONFORK => v.flags.insert(VmaFlags::WIPEONFORK),
                advice::KEEPONFORK => v.flags.remove(VmaFlags::WIPEONFORK),
                advice::DONTDUMP => v.flags.insert(VmaFlags::DONTDUMP),
                advice::DODUMP => v.flags.remove(VmaFlags::DONTDUMP),
                _ => {}
            });
            // Locks are the Sentry's book-keeping; the host's pages are not locked.
            let what = if what == advice::DONTNEED_LOCKED {
                advice::DONTNEED
            } else {
                what
            };
            // Merging and paging out would tell of, or act on, pages that others share: hints that do nothing here.
            let hint = matches!(what, advice::COLD | advice::PAGEOUT | MERGEABLE | UNMERGEABLE);
            if !hint && !matches!(what, advice::DONTDUMP | advice::DODUMP) {
                ctx.queue(MemOp::Advise {
                    addr: from,
                    len: to - from,
                    advice: what,
                });
            }
        }
        match failure {
            Some(errno) => Err(errno),
            None => Ok(matches!(
                what,
                advice::POPULATE_READ | advice::POPULATE_WRITE | advice::REMOVE
            )),
        }
    }

    /// `msync(2)`: queues the write-back of shared areas.
    pub fn sync(&self, ctx: &mut dyn Context, addr: u64, len: u64, flags: i32) -> Result<()> {
        const MS_ASYNC: i32 = 1;
        const MS_INVALIDATE: i32 = 2;
        const MS_SYNC: i32 = 4;
        if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0 || flags & (MS_ASYNC | MS_SYNC) == (MS_ASYNC | MS_SYNC) {
            return Err(Errno::EINVAL);
        }
        if !addr.is_multiple_of(4096) {
            return Err(Errno::EINVAL);
        }
        let len = page_up(len).ok_or(Errno::ENOMEM)?;
        let end = addr.checked_add(len).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Ok(());
        }
        let state = self.state.lock();
        let mut at = addr;
        let mut hole = false;
        for vma in state.vmas.overlapping(addr, end) {
            hole |= vma.start > at;
            if flags & MS_INVALIDATE != 0 && vma.flags.contains(VmaFlags::LOCKED) {
                return Err(Errno::EBUSY);
            }
            let (from, to) = (vma.start.max(addr), vma.end.min(end));
            if vma.flags.contains(VmaFlags::SHARED) && matches!(vma.object, VmaObject::File(_)) {
                ctx.queue(MemOp::Sync {
                    addr: from,
                    len: to - from,
                    flags,
                });
            }
            at = to;
        }
        if hole || at < end { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// `mlock(2)`, `munlock(2)`: marks areas and brings their pages in. `privileged` is `CAP_IPC_LOCK`.
    pub fn lock(
        &self,
        ctx: &mut dyn Context,
        addr: u64,
        len: u64,
        on: bool,
        populate: bool,
        privileged: bool,
        limits: &Rlimits,
    ) -> Result<()> {
        let (start, end) = range(addr & !4095, len.checked_add(addr & 4095).ok_or(Errno::EINVAL)?)?;
        let limit = limits.get(Resource::Memlock).soft;
        if on && !privileged && limit == 0 {
            return Err(Errno::EPERM);
        }
        if start == end {
            return Ok(());
        }
        let mut state = self.state.lock();
        let change: u64 = state
            .vmas
            .overlapping(start, end)
            .filter(|v| v.flags.contains(VmaFlags::LOCKED) != on)
            .map(|v| v.end.min(end) - v.start.max(start))
            .sum();
        if on && !privileged && state.locked.saturating_add(change) > limit {
            return Err(Errno::ENOMEM);
        }
        if !state.vmas.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        let spans: Vec<(u64, u64, Prot)> = state
            .vmas
            .overlapping(start, end)
            .map(|v| (v.start.max(start), v.end.min(end), v.prot))
            .collect();
        state.vmas.update(start, end, |v| v.flags.set(VmaFlags::LOCKED, on));
        state.locked = if on {
            state.locked.saturating_add(change)
        } else {
            state.locked.saturating_sub(change)
        };
        if on && populate {
            for (from, to, prot) in spans {
                let advice = if prot.contains(Prot::WRITE) {
                    advice::POPULATE_WRITE
                } else {
                    advice::POPULATE_READ
                };
                if prot.intersects(Prot::READ | Prot::WRITE) {
                    ctx.queue(MemOp::Advise {
                        addr: from,
                        len: to - from,
                        advice,
                    });
                }
            }
        }
        Ok(())
    }

    /// `mlockall(2)` and `munlockall(2)` (no flag): 1 is `MCL_CURRENT`, 2 `MCL_FUTURE`.
    pub fn lock_all(&self, flags: i32, privileged: bool, limits: &Rlimits) -> Result<()> {
        let mut state = self.state.lock();
        let limit = limits.get(Resource::Memlock).soft;
        if flags != 0 && !privileged {
            if limit == 0 {
                return Err(Errno::EPERM);
            }
            if flags & 1 != 0 && state.vmas.total - self.unused_stack(&state) > limit {
                return Err(Errno::ENOMEM);
            }
        }
        state.lock_future = flags & 2 != 0;
        if flags & 1 != 0 || flags == 0 {
            let end = self.guest_end;
            state.vmas.update(0, end, |v| v.flags.set(VmaFlags::LOCKED, flags != 0));
            state.locked = if flags == 0 {
                0
            } else {
                state.vmas.total - self.unused_stack(&state)
            };
        }
        Ok(())
    }

    /// `mseal(2)`
    pub fn seal(&self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = range(addr, len)?;
        if start == end {
            return Ok(());
        }
        let mut state = self.state.lock();
        if !state.vmas.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        state.vmas.update(start, end, |v| v.flags.insert(VmaFlags::SEALED));
        Ok(())
    }

    /// Names anonymous areas (`PR_SET_VMA_ANON_NAME`).
    pub fn set_name(&self, addr: u64, len: u64, name: Option<&str>) -> Result<()> {
        let (start, end) = range(addr, len)?;
        let mut state = self.state.lock();
        if start == end {
            return Ok(());
        }
        if state
            .vmas
            .overlapping(start, end)
            .any(|v| !matches!(v.object, VmaObject::Anonymous))
        {
            return Err(Errno::EBADF);
        }
        let covered = state.vmas.covers(start, end);
        state.vmas.update(start, end, |v| v.name = name.map(Into::into));
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}
