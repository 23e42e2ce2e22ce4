//! Which pages are in memory (`mincore(2)`).

use std::os::fd::AsFd;

use abi::conv::size;

use platform::PageState;

use super::Mm;
use super::vma::{Vma, VmaObject};
use crate::fs::SeekFrom;

const PAGE: u64 = 4096;

impl Mm {
    /// One byte for each page of `[start, end)`, 1 if it is in memory; none unless all of the range is mapped.
    ///
    /// Pages of a process's own are the platform's to know. Of a file every page that has data counts, as Linux answers to whoever may
    /// not write it: what of it the host keeps in memory is not for the guest to know.
    pub fn residency(&self, start: u64, end: u64) -> Option<Vec<u8>> {
        let areas: Vec<Vma> = {
            let state = self.state.lock();
            if !state.vmas.covers(start, end) {
                return None;
            }
            state.vmas.overlapping(start, end).map(|v| v.part(start, end)).collect()
        };
        let mut out = Vec::with_capacity(size((end - start) / PAGE));
        for area in &areas {
            let pages = size(area.len() / PAGE);
            let mut bits = match self.aspace.resident(area.start, pages) {
                Some(states) => states.iter().map(|&s| s != PageState::Absent).collect(),
                None => vec![true; pages],
            };
            bits.resize(pages, false);
            if !matches!(area.object, VmaObject::Anonymous) {
                add_data(area, &mut bits);
            }
            out.extend(bits.into_iter().map(u8::from));
        }
        Some(out)
    }
}

/// What of an area is in memory, in pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footprint {
    /// All.
    pub resident: u64,
    /// The process's own.
    pub anonymous: u64,
}

impl Mm {
    /// Of a range; none where the platform cannot tell, or where asking would take too long.
    pub fn footprint(&self, start: u64, end: u64) -> Option<Footprint> {
        // Eight bytes are read for each page.
        const LONGEST: u64 = 4 << 30;
        if end.saturating_sub(start) > LONGEST {
            return None;
        }
        let states = self.aspace.resident(start, size(end.saturating_sub(start) / PAGE))?;
        let count = |wanted: fn(&PageState) -> bool| abi::conv::usize64(states.iter().filter(|s| wanted(s)).count());
        Some(Footprint {
            resident: count(|&s| s != PageState::Absent),
            anonymous: count(|&s| s == PageState::Own),
        })
    }
}

/// Marks the pages for which the object has data.
fn add_data(area: &Vma, bits: &mut [bool]) {
    let end = area.offset.saturating_add(area.len());
    let mut at = area.offset;
    while at < end {
        let Some(data) = next(area, at, true).filter(|&d| d < end) else {
            return;
        };
        let hole = next(area, data, false).unwrap_or(end).min(end);
        let first = size((data - area.offset) / PAGE);
        let last = size((hole - area.offset).div_ceil(PAGE));
        bits.iter_mut()
            .take(last)
            .skip(first)
            .for_each(|present| *present = true);
        at = hole.max(data.saturating_add(1));
    }
}

/// The next data, or hole, from there on.
fn next(area: &Vma, at: u64, data: bool) -> Option<u64> {
    match &area.object {
        VmaObject::Anonymous => None,
        VmaObject::File(file) => {
            let at = i64::try_from(at).ok()?;
            let to = if data { SeekFrom::Data(at) } else { SeekFrom::Hole(at) };
            file.ops.seek(file, to, 0).ok()
        }
        VmaObject::Shared(object) => {
            let to = match data {
                true => rustix::fs::SeekFrom::Data(at),
                false => rustix::fs::SeekFrom::Hole(at),
            };
            // The memfd's position is nobody's.
            rustix::fs::seek(object.fd.as_fd(), to).ok()
        }
    }
}
