//! What runsc remembers of a container between two commands: one directory each, beneath `--root`.
//!
//! `state.json` is replaced as a whole, so a reader never needs the lock and never sees half of it. Writers hold `lock`
//! (flock). What runs is not believed from the file but looked up: a pid counts only with the start time written down.

mod process;
mod record;
mod store;

pub use process::{Process, wait_gone};
pub use record::{Phase, Pod, Record, Status};
pub use store::{Container, Store, write_atomically};
