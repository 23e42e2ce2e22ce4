//! Waiting for children (`wait(2)`).

use bitflags::bitflags;

use abi::Errno;
use abi::errno::Result;

use super::notify::end_code;
use super::table::{Proc, Table};
use super::{Task, TaskTable, Usage};
use crate::signal::Signal;
use crate::signal::info::code;

bitflags! {
    /// Options of `wait4(2)` and `waitid(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, reason = "wait(2) documents each name")]
    pub(crate) struct WaitOptions: u32 {
        const NOHANG = 1;
        const STOPPED = 2;
        const EXITED = 4;
        const CONTINUED = 8;
        const NOWAIT = 0x0100_0000;
        const NOTHREAD = 0x2000_0000;
        const ALL = 0x4000_0000;
        const CLONE = 0x8000_0000;
    }
}

/// Which children, by numbers of the first pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// All.
    Any,
    /// That process; -1 for one that does not exist.
    Process(i32),
    /// Members of that group.
    Group(i32),
}

/// A child's change of state.
pub(crate) struct Found {
    /// Its number as the caller sees it.
    pub(crate) pid: i32,
    /// Real user id, global.
    pub(crate) uid: u32,
    /// As `wait4(2)` gives it.
    pub(crate) status: i32,
    /// `si_code`
    pub(crate) code: i32,
    /// `si_status`
    pub(crate) value: i32,
    pub(crate) usage: Usage,
}

impl TaskTable {
    /// Looks once. None: there are such children but nothing to tell. `ECHILD` if there are none.
    pub(crate) fn try_wait(&self, task: &Task, who: Who, options: WaitOptions) -> Result<Option<Found>> {
        let mut table = self.lock();
        let me = table.procs.get(&task.group.tgid).ok_or(Errno::ECHILD)?;
        let mut any = false;
        let mut hit = None;
        for child in &me.children {
            let Some(proc) = table.procs.get(child) else { continue };
            if !is_eligible(proc, task, who, options) {
                continue;
            }
            any = true;
            if let Some(found) = look(proc, task, options) {
                hit = Some((*child, found));
                break;
            }
        }
        let Some((child, found)) = hit else {
            let (traced, found) = table.wait_traced(task, who, options);
            return if any || traced { Ok(found) } else { Err(Errno::ECHILD) };
        };
        if !options.contains(WaitOptions::NOWAIT) {
            table.consume(child, task);
        }
        Ok(Some(found))
    }
}

fn is_eligible(proc: &Proc, task: &Task, who: Who, options: WaitOptions) -> bool {
    let matches = match who {
        Who::Any => true,
        Who::Process(pid) => proc.group.tgid == pid,
        Who::Group(pgid) => proc.pgrp.pid.number() == pgid,
    };
    if !matches || (options.contains(WaitOptions::NOTHREAD) && proc.parent_tid != task.tid) {
        return false;
    }
    let is_clone = proc.exit_signal != Signal::SIGCHLD.number();
    options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE)
}

/// What there is to tell of a child.
fn look(proc: &Proc, task: &Task, options: WaitOptions) -> Option<Found> {
    let found = |status: i32, code: i32, value: i32| {
        let mut usage = proc.group.usage();
        usage.add(&proc.group.children_usage());
        Found {
            pid: proc.group.pid.in_ns(task.pid_ns()),
            uid: proc.leader.cred().uid,
            status,
            code,
            value,
            usage,
        }
    };
    if let Some(status) = proc.zombie {
        let (code, value) = end_code(status);
        return options
            .contains(WaitOptions::EXITED)
            .then(|| found(status, code, value));
    }
    if proc.leader.is_traced() {
        // Its tracer hears of its stops.
        return None;
    }
    if options.contains(WaitOptions::STOPPED)
        && let Some(signal) = proc.stop_report
    {
        return Some(found(signal << 8 | 0x7f, code::CLD_STOPPED, signal));
    }
    if options.contains(WaitOptions::CONTINUED) && proc.continue_report {
        return Some(found(0xffff, code::CLD_CONTINUED, Signal::SIGCONT.number()));
    }
    None
}

impl Table {
    /// The child's change of state has been told.
    fn consume(&mut self, child: i32, task: &Task) {
        let Some(proc) = self.procs.get_mut(&child) else { return };
        if proc.zombie.is_none() {
            if proc.stop_report.take().is_none() {
                proc.continue_report = false;
            }
            return;
        }
        let mut usage = proc.group.usage();
        usage.add(&proc.group.children_usage());
        task.group.usage.lock().children.add(&usage);
        self.release(child);
    }
}
