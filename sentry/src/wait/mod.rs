//! Blocking, written once: queues that objects wake, and the wait that tasks do on them.
//!
//! The shape of every blocking call: try; on `EAGAIN` register; try again; sleep until woken, timed out or interrupted by a
//! signal; try again. [`Blocker`] carries it, so that `EINTR`, time-outs and lost wake-ups have one home.

mod blocker;
mod queue;

pub use blocker::{Blocked, Blocker, Deadline};
pub use queue::{Events, Listener, WaitKey, WaitQueue};
