//! `brk(2)`

use platform::{Context, MapFlags, MemOp, Prot};

use super::vma::{Vma, VmaFlags, VmaObject};
use super::{Mm, page_up};
use crate::task::{Resource, Rlimits};

impl Mm {
    /// Moves the end of the heap; gives where it is then, which is the old end if it could not be moved.
    pub fn set_brk(&self, ctx: &mut dyn Context, new: u64, limits: &Rlimits) -> u64 {
        let mut state = self.state.lock();
        let (start, old) = (state.layout.start_brk, state.layout.brk);
        if new < start || new > self.guest_end {
            return old;
        }
        let data = state.layout.end_data.saturating_sub(state.layout.start_data);
        if (new - start).saturating_add(data) > limits.get(Resource::Data).soft {
            return old;
        }
        let (Some(old_end), Some(new_end)) = (page_up(old), page_up(new)) else {
            return old;
        };
        if new_end < old_end {
            state.vmas.remove(new_end, old_end);
            ctx.queue(MemOp::Unmap {
                addr: new_end,
                len: old_end - new_end,
            });
        } else if new_end > old_end {
            let grow = new_end - old_end;
            // A guard page keeps the heap from running into what lies above.
            let taken = state
                .vmas
                .overlapping(old_end, new_end.saturating_add(4096))
                .next()
                .is_some();
            let too_much = self.exceeds_as(&state, grow, limits);
            if taken || too_much || new_end > self.guest_end {
                return old;
            }
            let prot = Prot::READ | Prot::WRITE;
            let flags = VmaFlags::HEAP | VmaFlags::MAYREAD | VmaFlags::MAYWRITE | VmaFlags::MAYEXEC;
            let object = VmaObject::Anonymous;
            state.vmas.insert(Vma {
                start: old_end,
                end: new_end,
                prot,
                flags,
                object,
                offset: 0,
                name: None,
                policy: None,
            });
            state.note_peak();
            ctx.queue(MemOp::Map {
                addr: old_end,
                len: grow,
                prot,
                flags: MapFlags::empty(),
                file: None,
            });
        }
        state.layout.brk = new;
        new
    }
}
