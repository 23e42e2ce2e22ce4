//! Faults that are the kernel's to serve: areas that grow down (`MAP_GROWSDOWN`, `mmap(2)`).

use platform::{Context, FaultInfo, MapFlags, MemOp};

use super::vma::{Vma, VmaFlags};
use super::{MMAP_MIN_ADDR, Mm, page_down};
use crate::task::{Resource, Rlimits};

/// Pages kept free below an area that grows down (`stack_guard_gap`).
const GUARD: u64 = 256 * 4096;

impl Mm {
    /// Serves a fault by growing an area down to its address; false if it is a real one.
    pub fn handle_fault(&self, ctx: &mut dyn Context, fault: &FaultInfo, limits: &Rlimits) -> bool {
        const SIGSEGV: i32 = 11;
        const SEGV_MAPERR: i32 = 1;
        if fault.signo != SIGSEGV || fault.code != SEGV_MAPERR {
            return false;
        }
        let start = page_down(fault.addr);
        let mut state = self.state.lock();
        if start < MMAP_MIN_ADDR || state.vmas.at(start).is_some() {
            return false;
        }
        let Some(above) = state.vmas.from(start).next().cloned() else {
            return false;
        };
        if !above.flags.contains(VmaFlags::GROWSDOWN) || above.end - start > limits.get(Resource::Stack).soft {
            return false;
        }
        let guard = start.saturating_sub(GUARD);
        if state
            .vmas
            .overlapping(guard, start)
            .any(|v| !v.flags.contains(VmaFlags::GROWSDOWN))
        {
            return false;
        }
        let len = above.start - start;
        if self.exceeds_as(&state, len, limits) {
            return false;
        }
        let prot = above.prot;
        state.vmas.insert(Vma {
            start,
            end: above.start,
            ..above
        });
        state.note_peak();
        ctx.queue(MemOp::Map {
            addr: start,
            len,
            prot,
            flags: MapFlags::empty(),
            file: None,
        });
        true
    }
}
