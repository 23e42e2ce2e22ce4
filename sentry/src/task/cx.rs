//! What the future of a task owns: the way into guest code and state that nobody else looks at.

use std::sync::Arc;

use abi::{Restart, SysError};
use platform::{Context, FaultInfo};

use super::Task;
use crate::mm::Mm;
use crate::wait::Deadline;

/// The running side of a task. Handlers get `&mut Cx`.
pub struct Cx {
    /// The side that others see.
    pub task: Arc<Task>,
    /// Guest registers and the way into guest code.
    pub ctx: Box<dyn Context>,
    /// The memory that guest code of this task runs in.
    pub mm: Arc<Mm>,
    pub(crate) local: Local,
}

/// State of the task loop.
#[derive(Default)]
pub(crate) struct Local {
    /// The task ends with this wait status once the call in progress has returned.
    pub(crate) exit: Option<i32>,
    /// The call in progress, for restarts.
    pub(crate) call: (u32, [u64; 6]),
    /// How the last call wishes to go on once signals are dealt with.
    pub(crate) restart: Option<Restart>,
    /// What `restart_syscall(2)` does.
    pub(crate) restart_block: Option<RestartBlock>,
    /// This call goes on with the deadline of its first attempt.
    pub(crate) resumed: Option<Deadline>,
    /// The host has ended the thread: its memory cannot be reached.
    pub(crate) gone: bool,
    /// The last exception, for signal frames.
    pub(crate) fault: FaultInfo,
}

/// A call to go on with, like `struct restart_block`.
#[derive(Clone, Copy)]
pub(crate) struct RestartBlock {
    pub(crate) nr: u32,
    pub(crate) args: [u64; 6],
    pub(crate) deadline: Deadline,
}

impl Cx {
    /// A task's running side.
    pub(crate) fn new(task: Arc<Task>, ctx: Box<dyn Context>, mm: Arc<Mm>) -> Cx {
        task.set_interrupter(ctx.interrupter());
        Cx {
            task,
            ctx,
            mm,
            local: Local::default(),
        }
    }

    /// The deadline of a call with a relative time-out: `fresh`, or the first attempt's if the call goes on after a signal
    /// (see [`Cx::restart_with`]).
    pub fn deadline(&mut self, fresh: Deadline) -> Deadline {
        self.local.resumed.take().unwrap_or(fresh)
    }

    /// The error of an interrupted call with a relative time-out: it goes on by `restart_syscall(2)` with the same deadline,
    /// or gives `EINTR` if a handler runs.
    pub fn restart_with(&mut self, deadline: Deadline) -> SysError {
        let (nr, args) = self.local.call;
        self.local.restart_block = Some(RestartBlock { nr, args, deadline });
        SysError::Restart(Restart::Block)
    }

    /// Ends the task with this wait status once the handler has returned.
    pub(crate) fn exit_with(&mut self, status: i32) {
        self.local.exit = Some(status);
    }
}
