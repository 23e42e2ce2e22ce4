//! `mmap(2)`, `munmap(2)`, `mprotect(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use platform::{Context, MapFlags, MemOp, Prot};

use super::stack::LEAST_STACK;
use super::vma::{SharedObject, Vma, VmaFlags, VmaObject};
use super::{MAX_MAP_COUNT, MMAP_MIN_ADDR, Mm, State, next_id, page_up};
use crate::fs::{Backing, File, FileMode};
use crate::task::{Resource, Rlimits};

/// Where a mapping shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// There if that is free, else anywhere.
    Hint(u64),
    /// There, replacing what is mapped.
    Fixed(u64),
    /// There, or `EEXIST`.
    FixedNoReplace(u64),
    /// Below 2 GiB (`MAP_32BIT`).
    Low,
}

/// A checked `mmap(2)`.
pub struct MapRequest {
    /// Where.
    pub place: Placement,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// Protection.
    pub prot: Prot,
    /// `SHARED`, `NORESERVE`, `GROWSDOWN`, `LOCKED`, `STACK`; the `MAY*` bits are found out.
    pub flags: VmaFlags,
    /// What to map, with a byte offset.
    pub object: Option<(Arc<File>, u64)>,
    /// `MAP_POPULATE`
    pub populate: bool,
}

/// Prot bits that Linux adds on x86: none; kept in one place for architectures where reading implies executing.
fn may_flags(file: Option<&File>, shared: bool) -> VmaFlags {
    let mut may = VmaFlags::MAYREAD | VmaFlags::MAYEXEC | VmaFlags::MAYWRITE;
    if let Some(file) = file
        && shared
        && !file.mode.contains(FileMode::WRITE)
    {
        may.remove(VmaFlags::MAYWRITE);
    }
    may
}

/// Whether the file is sealed against being written (`F_SEAL_WRITE`).
fn is_sealed(object: Option<&(Arc<File>, u64)>) -> bool {
    object.is_some_and(|(file, _)| crate::fs::impls::tmpfs::is_write_sealed(file))
}

/// A memfd of that size for shared memory.
pub(crate) fn shared_object(name: &str, len: u64) -> Result<Arc<SharedObject>> {
    let host = |e: rustix::io::Errno| Errno::from_raw(e.raw_os_error());
    let fd = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC).map_err(host)?;
    rustix::fs::ftruncate(&fd, len).map_err(host)?;
    // Inode addresses are even; ids of shared objects are odd, so that futex keys of the two never meet.
    let id = next_id().wrapping_mul(2) | 1;
    Ok(Arc::new(SharedObject {
        id,
        fd: Arc::new(fd),
        name: name.to_owned(),
    }))
}

fn map_flags(flags: VmaFlags, populate: bool) -> MapFlags {
    let mut out = MapFlags::empty();
    out.set(MapFlags::SHARED, flags.contains(VmaFlags::SHARED));
    out.set(MapFlags::NORESERVE, flags.contains(VmaFlags::NORESERVE));
    out.set(MapFlags::POPULATE, populate);
    out.set(
        MapFlags::WRITABLE,
        flags.contains(VmaFlags::SHARED | VmaFlags::MAYWRITE),
    );
    out
}

impl State {
    fn place(&self, place: Placement, len: u64, guest_end: u64) -> Result<u64> {
        let in_range = |addr: u64| addr >= MMAP_MIN_ADDR && addr.checked_add(len).is_some_and(|end| end <= guest_end);
        match place {
            Placement::Fixed(addr) | Placement::FixedNoReplace(addr) => {
                if addr.checked_add(len).is_none_or(|end| end > guest_end) {
                    return Err(Errno::ENOMEM);
                }
                if addr < MMAP_MIN_ADDR {
                    return Err(Errno::EPERM);
                }
                let taken = self.vmas.overlapping(addr, addr + len).next().is_some();
                if matches!(place, Placement::FixedNoReplace(_)) && taken {
                    return Err(Errno::EEXIST);
                }
                Ok(addr)
            }
            Placement::Hint(hint) => {
                let hint = hint & !0xfff;
                if hint != 0 && in_range(hint) && self.vmas.overlapping(hint, hint + len).next().is_none() {
                    return Ok(hint);
                }
                let base = self.layout.mmap_base;
                let below = self.vmas.find_down(len, MMAP_MIN_ADDR, base, 4096);
                below
                    .or_else(|| self.vmas.find_up(len, base, guest_end))
                    .ok_or(Errno::ENOMEM)
            }
            Placement::Low => self.vmas.find_up(len, 0x4000_0000, 0x8000_0000).ok_or(Errno::ENOMEM),
        }
    }

    /// `RLIMIT_DATA` and the number of areas allow `len` more bytes of that kind.
    fn check_limits(&self, len: u64, flags: VmaFlags, prot: Prot, limits: &Rlimits) -> Result<()> {
        let data = |prot: Prot, flags: VmaFlags| {
            prot.contains(Prot::WRITE) && !flags.intersects(VmaFlags::SHARED | VmaFlags::STACK)
        };
        let limit = limits.get(Resource::Data).soft;
        if limit != u64::MAX && data(prot, flags) {
            let now: u64 = self.vmas.iter().filter(|v| data(v.prot, v.flags)).map(Vma::len).sum();
            if now.saturating_add(len) > limit {
                return Err(Errno::ENOMEM);
            }
        }
        if self.vmas.count() >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Nothing sealed is in the range (`mseal(2)`).
    pub(super) fn check_sealed(&self, start: u64, end: u64) -> Result<()> {
        let sealed = self
            .vmas
            .overlapping(start, end)
            .any(|v| v.flags.contains(VmaFlags::SEALED));
        if sealed { Err(Errno::EPERM) } else { Ok(()) }
    }

    pub(super) fn note_peak(&mut self) {
        self.peak_total = self.peak_total.max(self.vmas.total);
    }
}

impl Mm {
    /// Maps; gives the address. The change is queued on `ctx`.
    pub fn map(&self, ctx: &mut dyn Context, request: &MapRequest, limits: &Rlimits) -> Result<u64> {
        let len = page_up(request.len).filter(|&l| l > 0).ok_or(Errno::ENOMEM)?;
        let shared = request.flags.contains(VmaFlags::SHARED);
        let (object, backing, offset) = match &request.object {
            None if shared => {
                let object = shared_object("/dev/zero (deleted)", len)?;
                let fd = object.fd.clone();
                (VmaObject::Shared(object), Some((fd, 0)), 0)
            }
            None => (VmaObject::Anonymous, None, 0),
            Some((file, offset)) => match file.ops.mmap(file, *offset, len, shared)? {
                Backing::Host { fd, offset: host } => (VmaObject::File(file.clone()), Some((fd, host)), *offset),
                Backing::Anonymous if shared => {
                    let object = shared_object("/dev/zero (deleted)", len)?;
                    let fd = object.fd.clone();
                    (VmaObject::Shared(object), Some((fd, 0)), 0)
                }
                Backing::Anonymous => (VmaObject::Anonymous, None, 0),
            },
        };
        let mut may = may_flags(request.object.as_ref().map(|(f, _)| &**f), shared);
        if shared && is_sealed(request.object.as_ref()) {
            if request.prot.contains(Prot::WRITE) {
                return Err(Errno::EPERM);
            }
            may.remove(VmaFlags::MAYWRITE);
        }
        self.insert(ctx, request, limits, len, may, object, backing, offset)
    }

    /// Maps an object of the kernel's own, shared (`shmat(2)`); gives the address.
    pub fn map_shared_object(
        &self,
        ctx: &mut dyn Context,
        place: Placement,
        object: &Arc<SharedObject>,
        len: u64,
        prot: Prot,
        limits: &Rlimits,
    ) -> Result<u64> {
        let len = page_up(len).filter(|&l| l > 0).ok_or(Errno::EINVAL)?;
        let mut may = VmaFlags::MAYREAD | VmaFlags::MAYEXEC | VmaFlags::MAYWRITE;
        may.set(VmaFlags::MAYWRITE, prot.contains(Prot::WRITE));
        let request = MapRequest {
            place,
            len,
            prot,
            flags: VmaFlags::SHARED,
            object: None,
            populate: false,
        };
        let backing = Some((object.fd.clone(), 0));
        self.insert(
            ctx,
            &request,
            limits,
            len,
            may,
            VmaObject::Shared(object.clone()),
            backing,
            0,
        )
    }

    fn insert(
        &self,
        ctx: &mut dyn Context,
        request: &MapRequest,
        limits: &Rlimits,
        len: u64,
        may: VmaFlags,
        object: VmaObject,
        backing: Option<(Arc<std::os::fd::OwnedFd>, u64)>,
        offset: u64,
    ) -> Result<u64> {
        let mut state = self.state.lock();
        let addr = state.place(request.place, len, self.guest_end)?;
        let end = addr + len;
        state.check_sealed(addr, end)?;
        let replaced: u64 = state
            .vmas
            .overlapping(addr, end)
            .map(|v| v.end.min(end) - v.start.max(addr))
            .sum();
        let more = len - replaced;
        let counted = match request.flags.contains(VmaFlags::STACK) {
            true => more.min(LEAST_STACK),
            false => more,
        };
        if self.exceeds_as(&state, counted, limits) {
            return Err(Errno::ENOMEM);
        }
        state.check_limits(more, request.flags, request.prot, limits)?;
        let mut flags = request.flags | may;
        if state.lock_future {
            flags |= VmaFlags::LOCKED;
        }
        if flags.contains(VmaFlags::LOCKED) {
            state.locked = state.locked.saturating_add(len);
        }
        state.vmas.remove(addr, end);
        state.vmas.insert(Vma {
            start: addr,
            end,
            prot: request.prot,
            flags,
            object,
            offset,
            name: None,
            policy: None,
        });
        state.note_peak();
        let populate = request.populate || flags.contains(VmaFlags::LOCKED);
        let flags = map_flags(flags, populate);
        ctx.queue(MemOp::Map {
            addr,
            len,
            prot: request.prot,
            flags,
            file: backing,
        });
        Ok(addr)
    }

    /// Unmaps pages; what is not mapped is skipped (`munmap(2)`).
    pub fn unmap(&self, ctx: &mut dyn Context, addr: u64, len: u64) -> Result<()> {
        let len = page_up(len).filter(|&l| l > 0).ok_or(Errno::EINVAL)?;
        let end = addr
            .checked_add(len)
            .filter(|&e| e <= self.guest_end)
            .ok_or(Errno::EINVAL)?;
        if !addr.is_multiple_of(4096) {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        state.check_sealed(addr, end)?;
        let removed = state.vmas.remove(addr, end);
        let locked: u64 = removed
            .iter()
            .filter(|v| v.flags.contains(VmaFlags::LOCKED))
            .map(Vma::len)
            .sum();
        state.locked = state.locked.saturating_sub(locked);
        if !removed.is_empty() {
            ctx.queue(MemOp::Unmap { addr, len });
        }
        drop(state);
        // Files may end here, which takes file system locks.
        drop(removed);
        Ok(())
    }

    /// `mprotect(2)`: areas before the first that refuses are changed, as Linux does.
    pub fn protect(&self, ctx: &mut dyn Context, addr: u64, len: u64, prot: Prot) -> Result<()> {
        let len = page_up(len).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Ok(());
        }
        let end = addr.checked_add(len).ok_or(Errno::ENOMEM)?;
        if end > self.guest_end {
            return Err(Errno::ENOMEM);
        }
        let mut state = self.state.lock();
        state.check_sealed(addr, end)?;
        let mut at = addr;
        let mut failure = None;
        for vma in state.vmas.overlapping(addr, end) {
            if vma.start > at {
                failure = Some(Errno::ENOMEM);
                break;
            }
            let needs = [
                (Prot::READ, VmaFlags::MAYREAD),
                (Prot::WRITE, VmaFlags::MAYWRITE),
                (Prot::EXEC, VmaFlags::MAYEXEC),
            ];
            if needs
                .iter()
                .any(|&(p, may)| prot.contains(p) && !vma.flags.contains(may))
            {
                failure = Some(Errno::EACCES);
                break;
            }
            at = vma.end.min(end);
        }
        if failure.is_none() && at < end {
            failure = Some(Errno::ENOMEM);
        }
        if at > addr {
            state.vmas.update(addr, at, |v| v.prot = prot);
            ctx.queue(MemOp::Protect {
                addr,
                len: at - addr,
                prot,
            });
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Mm {
    /// Start of `len` free bytes below the mapping base.
    pub fn find_free(&self, len: u64) -> Option<u64> {
        let state = self.state.lock();
        state
            .vmas
            .find_down(page_up(len)?, MMAP_MIN_ADDR, state.layout.mmap_base, 4096)
    }
}
