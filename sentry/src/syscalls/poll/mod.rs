//! Waiting for several files.

mod epoll;
mod eventfd;
mod poll;
mod select;

pub(super) use epoll::{
    sys_epoll_create, sys_epoll_create1, sys_epoll_ctl, sys_epoll_pwait, sys_epoll_pwait2, sys_epoll_wait,
};
pub(super) use eventfd::{sys_eventfd, sys_eventfd2};
pub(super) use poll::{sys_poll, sys_ppoll};
pub(super) use select::{sys_pselect6, sys_select};

use std::sync::Arc;

use abi::time::Timespec;
use abi::{Errno, Restart, SysError, SysResult};

use crate::executor::Executor;
use crate::fs::File;
use crate::signal::SigSet;
use crate::task::{Cx, Task};
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Deadline, Events};

/// Sets the mask for the time of the call, if one is given. `EINVAL` for a set of the wrong size.
pub(super) fn begin_sigmask(cx: &Cx, mask: UserAddr, size: usize) -> Result<(), Errno> {
    let Some(mask) = mask.nonnull() else { return Ok(()) };
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    let bits: u64 = cx.read_obj(mask)?;
    cx.task.set_temporary_sigmask(SigSet(bits));
    Ok(())
}

/// The old mask is back, unless a signal is to be delivered first: its handler runs with the call's mask.
pub(super) fn end_sigmask(cx: &Cx, result: SysResult<u64>) -> SysResult<u64> {
    let interrupted = match result {
        Err(SysError::Restart(_) | SysError::Errno(Errno::EINTR)) => cx.task.is_interrupted(),
        _ => false,
    };
    if !interrupted {
        cx.task.end_temporary_sigmask();
    }
    result
}

/// A relative time-out as a deadline; none for ever.
fn deadline_of(cx: &Cx, timeout: UserAddr) -> Result<Deadline, Errno> {
    let Some(timeout) = timeout.nonnull() else {
        return Ok(None);
    };
    let spec: Timespec = cx.read_obj(timeout)?;
    let ns = spec.to_ns().ok_or(Errno::EINVAL)?;
    Ok(Some(Executor::now().saturating_add(ns)))
}

/// Milliseconds as a deadline; negative for ever.
fn deadline_ms(ms: i32) -> Deadline {
    let ms = u64::try_from(ms).ok()?;
    Some(Executor::now().saturating_add(ms * 1_000_000))
}

/// Writes back what is left of a time-out. Nobody learns of a failure: the call has succeeded.
fn write_left(cx: &mut Cx, timeout: UserAddr, deadline: Deadline) {
    if let (Some(timeout), Some(deadline)) = (timeout.nonnull(), deadline) {
        let left = deadline.saturating_sub(Executor::now());
        let _ = cx.write_obj(timeout, &Timespec::from_ns(left));
    }
}

/// A file to look at and what for.
struct Watched {
    file: Option<Arc<File>>,
    events: Events,
    revents: Events,
}

impl Watched {
    fn look(&mut self) -> bool {
        if let Some(file) = &self.file {
            self.revents = file.ops.poll(file) & (self.events | Events::ALWAYS);
        }
        !self.revents.is_empty()
    }
}

/// Looks at all until at least one is ready or the time is over; gives how many are ready.
async fn wait(task: &Arc<Task>, watched: &mut [Watched], deadline: Deadline) -> Result<usize, Blocked> {
    let ready = watched.iter_mut().filter_map(|w| w.look().then_some(())).count();
    if ready > 0 || deadline.is_some_and(|d| d <= Executor::now()) {
        return Ok(ready);
    }
    let mut blocker = Blocker::new(task, deadline);
    for w in watched.iter() {
        if let Some(queue) = w.file.as_ref().and_then(|f| f.ops.wait_queue()) {
            blocker.register(queue, w.events);
        }
    }
    loop {
        let ready = watched.iter_mut().filter_map(|w| w.look().then_some(())).count();
        if ready > 0 {
            return Ok(ready);
        }
        match blocker.sleep().await {
            Ok(()) => {}
            Err(Blocked::TimedOut) => return Ok(0),
            Err(Blocked::Interrupted) => return Err(Blocked::Interrupted),
        }
    }
}

const RESTART_NOHAND: SysError = SysError::Restart(Restart::NoHand);
