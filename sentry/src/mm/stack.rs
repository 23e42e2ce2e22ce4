//! The main thread's stack: Linux's grows as it is used, ours is mapped at its full size from the start (ADR 2). What was never used is
//! not shown, and no limit counts it.

use abi::conv::size;
use platform::PageState;

use super::vma::VmaFlags;
use super::{Mm, State};
use crate::task::{Resource, Rlimits};

const PAGE: u64 = 4096;
/// Linux makes room for so much at once (`setup_arg_pages`).
pub(super) const LEAST_STACK: u64 = 128 << 10;

impl Mm {
    /// How much of the stack's area Linux would not have yet.
    pub(super) fn unused_stack(&self, state: &State) -> u64 {
        let top = state.layout.start_stack;
        match state.vmas.at(top) {
            Some(stack) if stack.flags.contains(VmaFlags::STACK) => self
                .stack_in_use(stack.start, stack.end, top)
                .saturating_sub(stack.start),
            _ => 0,
        }
    }

    /// Whether so many bytes more would be beyond `RLIMIT_AS`.
    pub(super) fn exceeds_as(&self, state: &State, more: u64, limits: &Rlimits) -> bool {
        let limit = limits.get(Resource::As).soft;
        let total = state.vmas.total.saturating_add(more);
        // The stack is looked at only where it matters.
        total > limit && total.saturating_sub(self.unused_stack(state)) > limit
    }

    /// Where the stack that is in use begins, as far as the host's pages tell.
    pub(super) fn stack_in_use(&self, start: u64, end: u64, top: u64) -> u64 {
        let mut at = top.min(end).saturating_sub(LEAST_STACK).max(start) & !(PAGE - 1);
        while at > start {
            let below = at.saturating_sub(LEAST_STACK).max(start);
            let Some(states) = self.aspace.resident(below, size((at - below) / PAGE)) else {
                return start;
            };
            let Some(first) = states.iter().position(|&s| s != PageState::Absent) else {
                break;
            };
            at = below.saturating_add(abi::conv::usize64(first).saturating_mul(PAGE));
            if first > 0 && at > below {
                break;
            }
        }
        at
    }
}
