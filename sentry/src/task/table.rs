//! Who has which pid.

/// Pids, process groups and sessions of the sandbox.
#[derive(Default)]
pub struct TaskTable {}
