//! Telling parents what became of their children: `SIGCHLD` and `wait4(2)`.

use super::table::{Proc, Table};
use super::{TaskTable, ThreadGroup};
use crate::signal::info::{Detail, code};
use crate::signal::{SIG_IGN, SaFlags, SigInfo, Signal};
use crate::wait::Events;

/// Nanoseconds of a clock tick (`USER_HZ` 100).
const TICK_NS: u64 = 10_000_000;

impl TaskTable {
    /// All threads of a process have stopped.
    pub(super) fn child_stopped(&self, group: &ThreadGroup, signal: Signal) {
        let mut table = self.lock();
        if let Some(proc) = table.procs.get_mut(&group.tgid) {
            proc.stop_report = Some(signal.number());
            proc.continue_report = false;
        }
        table.tell_of_stop(group.tgid, code::CLD_STOPPED, signal.number());
    }

    /// A stopped process goes on.
    pub(super) fn child_continued(&self, group: &ThreadGroup) {
        let mut table = self.lock();
        if let Some(proc) = table.procs.get_mut(&group.tgid) {
            proc.stop_report = None;
            proc.continue_report = true;
        }
        table.tell_of_stop(group.tgid, code::CLD_CONTINUED, Signal::SIGCONT.number());
    }
}

impl Table {
    fn tell_of_stop(&self, tgid: i32, what: i32, status: i32) {
        let Some(proc) = self.procs.get(&tgid) else { return };
        let Some(parent) = self.procs.get(&proc.parent) else {
            return;
        };
        let action = parent.group.handlers().lock().get(Signal::SIGCHLD);
        if action.handler != SIG_IGN && !action.sa().contains(SaFlags::NOCLDSTOP) {
            let info = child_info(proc, parent, Signal::SIGCHLD, what, status);
            let _ = parent.group.send_signal(info);
        }
        parent.group.child_wait.wake(Events::IN);
    }

    /// Like `do_notify_parent`, for a process that became a zombie. True if nobody will wait for it.
    pub(super) fn tell_of_end(&self, tgid: i32) -> bool {
        let Some(proc) = self.procs.get(&tgid) else {
            return false;
        };
        let Some(parent) = self.procs.get(&proc.parent) else {
            return true;
        };
        let mut autoreap = false;
        let mut silent = proc.exit_signal == 0;
        if proc.exit_signal == Signal::SIGCHLD.number() {
            let action = parent.group.handlers().lock().get(Signal::SIGCHLD);
            autoreap = action.handler == SIG_IGN || action.sa().contains(SaFlags::NOCLDWAIT);
            silent |= action.handler == SIG_IGN;
        }
        if !silent && let Some(signal) = Signal::new(proc.exit_signal) {
            let (what, status) = end_code(proc.zombie.unwrap_or(0));
            let _ = parent.group.send_signal(child_info(proc, parent, signal, what, status));
        }
        parent.group.child_wait.wake(Events::IN);
        autoreap
    }
}

/// `si_code` and `si_status` of a wait status.
pub(super) fn end_code(status: i32) -> (i32, i32) {
    if status & 0x80 != 0 {
        (code::CLD_DUMPED, status & 0x7f)
    } else if status & 0x7f != 0 {
        (code::CLD_KILLED, status & 0x7f)
    } else {
        (code::CLD_EXITED, (status >> 8) & 0xff)
    }
}

fn child_info(proc: &Proc, parent: &Proc, signal: Signal, what: i32, status: i32) -> SigInfo {
    let usage = proc.group.usage();
    let ticks = |ns: u64| i64::try_from(ns / TICK_NS).unwrap_or(i64::MAX);
    let reader = parent.group.any_thread().map(|t| t.cred());
    let uid = proc.leader.cred().uid;
    SigInfo {
        signal,
        errno: 0,
        code: what,
        detail: Detail::Child {
            pid: proc.group.pid.in_ns(&parent.group.pid.ns),
            uid: reader.map_or(uid, |c| c.user_ns.uid_out(uid)),
            status,
            utime: ticks(usage.user_ns),
            stime: ticks(usage.system_ns),
        },
    }
}
