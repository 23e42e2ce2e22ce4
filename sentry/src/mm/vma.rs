//! Areas of a memory map, and the ordered set of them.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bitflags::bitflags;
use platform::Prot;

use super::policy::Policy;
use crate::fs::File;

bitflags! {
    /// Properties of an area, like `vm_flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct VmaFlags: u32 {
        /// `MAP_SHARED`
        const SHARED = 1;
        /// `MAP_GROWSDOWN`
        const GROWSDOWN = 2;
        /// `MAP_NORESERVE`
        const NORESERVE = 4;
        /// `mlock(2)`
        const LOCKED = 8;
        /// `MADV_DONTFORK`
        const DONTFORK = 16;
        /// `MADV_WIPEONFORK`
        const WIPEONFORK = 32;
        /// `PROT_READ` may be given.
        const MAYREAD = 64;
        /// `PROT_WRITE` may be given.
        const MAYWRITE = 128;
        /// `PROT_EXEC` may be given.
        const MAYEXEC = 256;
        /// `mseal(2)`
        const SEALED = 512;
        /// The main thread's stack.
        const STACK = 1024;
        /// Grown by `brk(2)`.
        const HEAP = 2048;
        /// `MADV_DONTDUMP`
        const DONTDUMP = 4096;
    }
}

/// Shared memory without a file: `MAP_SHARED | MAP_ANONYMOUS`, System V segments.
#[derive(Debug)]
pub struct SharedObject {
    /// Names it, for futexes.
    pub id: u64,
    /// The memory.
    pub fd: Arc<OwnedFd>,
    /// As `/proc/PID/maps` shows it.
    pub name: String,
}

/// What an area shows.
#[derive(Clone)]
pub enum VmaObject {
    /// Private anonymous memory.
    Anonymous,
    /// A file of the guest's.
    File(Arc<File>),
    /// Shared memory of the kernel's.
    Shared(Arc<SharedObject>),
}

/// One area, like `struct vm_area_struct`.
#[derive(Clone)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
    /// Protection.
    pub prot: Prot,
    /// Properties.
    pub flags: VmaFlags,
    /// What it shows.
    pub object: VmaObject,
    /// Byte offset in the object at `start`.
    pub offset: u64,
    /// `PR_SET_VMA_ANON_NAME`
    pub name: Option<Arc<str>>,
    /// `mbind(2)`
    pub policy: Option<Policy>,
}

impl Vma {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// The part in `[start, end)`, which must not be empty.
    pub fn part(&self, start: u64, end: u64) -> Vma {
        let start = start.max(self.start);
        let mut part = self.clone();
        part.offset = match self.object {
            VmaObject::Anonymous => 0,
            _ => self.offset.wrapping_add(start - self.start),
        };
        part.start = start;
        part.end = end.min(self.end);
        part
    }

    fn continues(&self, next: &Vma) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.flags == next.flags
            && self.name == next.name
            && self.policy == next.policy
            && match (&self.object, &next.object) {
                (VmaObject::Anonymous, VmaObject::Anonymous) => true,
                (VmaObject::File(a), VmaObject::File(b)) => {
                    Arc::ptr_eq(a, b) && self.offset.checked_add(self.len()) == Some(next.offset)
                }
                (VmaObject::Shared(a), VmaObject::Shared(b)) => {
                    Arc::ptr_eq(a, b) && self.offset.checked_add(self.len()) == Some(next.offset)
                }
                _ => false,
            }
    }
}

/// Areas in order; they do not overlap.
#[derive(Clone, Default)]
pub struct VmaSet {
    map: BTreeMap<u64, Vma>,
    /// Sum of their lengths.
    pub total: u64,
}

impl VmaSet {
    /// The area that holds `addr`.
    pub fn at(&self, addr: u64) -> Option<&Vma> {
        self.map
            .range(..=addr)
            .next_back()
            .map(|(_, v)| v)
            .filter(|v| addr < v.end)
    }

    /// The first area that ends behind `addr`: the one that holds it or the next.
    pub fn from(&self, addr: u64) -> impl Iterator<Item = &Vma> {
        let first = self.at(addr).map_or(addr, |v| v.start);
        self.map.range(first..).map(|(_, v)| v)
    }

    /// All areas.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.map.values()
    }

    /// Number of areas.
    pub fn count(&self) -> usize {
        self.map.len()
    }

    /// Areas that touch `[start, end)`.
    pub fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Vma> {
        self.from(start).take_while(move |v| v.start < end)
    }

    /// True if every address of the range is in some area.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for vma in self.overlapping(start, end) {
            if vma.start > at {
                return false;
            }
            at = vma.end;
        }
        at >= end
    }

    /// Takes out what is in `[start, end)`, cutting areas at the borders.
    pub fn remove(&mut self, start: u64, end: u64) -> Vec<Vma> {
        let keys: Vec<u64> = self.overlapping(start, end).map(|v| v.start).collect();
        let mut out = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(vma) = self.map.remove(&key) else { continue };
            self.total -= vma.len();
            if vma.start < start {
                self.insert_raw(vma.part(vma.start, start));
            }
            if vma.end > end {
                self.insert_raw(vma.part(end, vma.end));
            }
            out.push(vma.part(start, end));
        }
        out
    }

    fn insert_raw(&mut self, vma: Vma) {
        self.total += vma.len();
        self.map.insert(vma.start, vma);
    }

    /// Puts an area where nothing is, joining it with equal neighbours.
    pub fn insert(&mut self, mut vma: Vma) {
        if let Some((&key, before)) = self.map.range(..vma.start).next_back()
            && before.continues(&vma)
        {
            vma.start = before.start;
            vma.offset = before.offset;
            self.total -= before.len();
            self.map.remove(&key);
        }
        if let Some(after) = self.map.get(&vma.end)
            && vma.continues(after)
        {
            let (key, end, len) = (after.start, after.end, after.len());
            vma.end = end;
            self.total -= len;
            self.map.remove(&key);
        }
        self.insert_raw(vma);
    }

    /// Changes the areas in `[start, end)`.
    pub fn update(&mut self, start: u64, end: u64, mut change: impl FnMut(&mut Vma)) {
        for mut vma in self.remove(start, end) {
            change(&mut vma);
            self.insert(vma);
        }
    }

    /// Highest start of `len` free bytes in `[low, high)`; `align` is a power of two.
    pub fn find_down(&self, len: u64, low: u64, high: u64, align: u64) -> Option<u64> {
        let mut top = high;
        let below = self.map.range(..high).rev().map(|(_, v)| v);
        for vma in below {
            if vma.end <= top
                && let Some(start) = top.checked_sub(len).map(|s| s & !(align - 1))
                && start >= vma.end.max(low)
            {
                return Some(start);
            }
            top = vma.start.min(top);
            if top <= low {
                return None;
            }
        }
        top.checked_sub(len).map(|s| s & !(align - 1)).filter(|&s| s >= low)
    }

    /// Lowest start of `len` free bytes in `[low, high)`.
    pub fn find_up(&self, len: u64, low: u64, high: u64) -> Option<u64> {
        let mut at = low;
        for vma in self.from(low) {
            if vma.start >= at && vma.start - at >= len {
                break;
            }
            at = at.max(vma.end);
        }
        at.checked_add(len).filter(|&end| end <= high).map(|_| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anon(start: u64, end: u64) -> Vma {
        let flags = VmaFlags::empty();
        Vma {
            start,
            end,
            prot: Prot::READ,
            flags,
            object: VmaObject::Anonymous,
            offset: 0,
            name: None,
            policy: None,
        }
    }

    #[test]
    fn neighbours_join_and_cuts_keep_the_total() {
        let mut set = VmaSet::default();
        set.insert(anon(0x1000, 0x2000));
        set.insert(anon(0x3000, 0x4000));
        set.insert(anon(0x2000, 0x3000));
        assert_eq!((set.count(), set.total), (1, 0x3000));
        let out = set.remove(0x1800 & !0xfff, 0x2000);
        assert_eq!(out.len(), 1);
        assert_eq!(set.total, 0x2000);
        set.remove(0x2800 & !0xfff, 0x3000);
        assert_eq!((set.count(), set.total), (1, 0x1000));
        assert!(!set.covers(0x2000, 0x4000));
        assert!(set.covers(0x3000, 0x4000));
    }

    #[test]
    fn gaps_are_found_from_both_ends() {
        let mut set = VmaSet::default();
        set.insert(anon(0x5000, 0x8000));
        assert_eq!(set.find_down(0x1000, 0x1000, 0x9000, 0x1000), Some(0x8000));
        assert_eq!(set.find_down(0x2000, 0x1000, 0x9000, 0x1000), Some(0x3000));
        assert_eq!(set.find_down(0x5000, 0x1000, 0x9000, 0x1000), None);
        assert_eq!(set.find_down(0x1000, 0x1000, 0x6000, 0x1000), Some(0x4000));
        assert_eq!(set.find_up(0x1000, 0x5000, 0x9000), Some(0x8000));
        assert_eq!(set.find_up(0x1000, 0x1000, 0x9000), Some(0x1000));
    }

    /// The set against a plain array of pages, for a fixed stream of operations.
    #[test]
    fn agrees_with_a_page_array() {
        let mut set = VmaSet::default();
        let mut model = [0u32; 64];
        let mut seed = 12345u64;
        for _ in 0..4000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let a = (seed >> 33) % 60;
            let n = (seed >> 40) % 4 + 1;
            let (start, end) = (a * 4096, (a + n) * 4096);
            let prot = u32::try_from((seed >> 50) % 3).unwrap();
            set.remove(start, end);
            if prot > 0 {
                let mut vma = anon(start, end);
                vma.prot = Prot::from_bits_truncate(prot);
                set.insert(vma);
            }
            for page in a..a + n {
                model[usize::try_from(page).unwrap()] = prot;
            }
            for (page, want) in model.iter().enumerate() {
                let got = set.at(page as u64 * 4096).map_or(0, |v| v.prot.bits());
                assert_eq!(got, *want);
            }
            assert_eq!(set.total, model.iter().filter(|&&p| p > 0).count() as u64 * 4096);
        }
    }
}
