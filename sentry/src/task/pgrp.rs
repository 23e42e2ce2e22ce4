//! Moving between process groups and sessions, and signals to whole groups.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::session::{ProcessGroup, Session};
use super::table::{PgrpEntry, SessionEntry, Table};
use super::{TaskTable, ThreadGroup};
use crate::signal::{SigInfo, Signal};
use crate::sync::Mutex;

impl TaskTable {
    /// `setsid(2)`: the caller leads a new session. `EPERM` if it leads a group already.
    pub fn setsid(&self, group: &ThreadGroup) -> Result<()> {
        let mut table = self.lock();
        if table.pgrps.contains_key(&group.tgid) {
            return Err(Errno::EPERM);
        }
        let session = Arc::new(Session {
            pid: group.pid.clone(),
            tty: Mutex::new(None),
        });
        table.add_session(&session);
        let pgrp = table.add_pgrp(&group.pid, &session);
        table.move_to(group.tgid, &pgrp);
        Ok(())
    }

    /// `setpgid(2)`: `who` is the caller or a child of it; `pgid` a number in the caller's namespace.
    pub fn setpgid(&self, caller: &ThreadGroup, who: &ThreadGroup, pgid: i32) -> Result<()> {
        let mut table = self.lock();
        let mine = table.procs.get(&caller.tgid).ok_or(Errno::ESRCH)?.pgrp.session.clone();
        let proc = table.procs.get(&who.tgid).ok_or(Errno::ESRCH)?;
        if who.tgid != caller.tgid {
            if proc.parent != caller.tgid {
                return Err(Errno::ESRCH);
            }
            if !Arc::ptr_eq(&proc.pgrp.session, &mine) {
                return Err(Errno::EPERM);
            }
            if proc.execed {
                return Err(Errno::EACCES);
            }
        }
        if table.sessions.contains_key(&who.tgid) {
            return Err(Errno::EPERM);
        }
        let ns = &caller.pid.ns;
        if pgid == who.pid.in_ns(ns) {
            let pgrp = match table.pgrps.get(&who.tgid) {
                Some(entry) => entry.pgrp.clone(),
                None => table.add_pgrp(&who.pid, &mine),
            };
            table.move_to(who.tgid, &pgrp);
            return Ok(());
        }
        let number = table.pid(ns, pgid).ok_or(Errno::EPERM)?.number();
        let pgrp = table.pgrps.get(&number).ok_or(Errno::EPERM)?.pgrp.clone();
        if !Arc::ptr_eq(&pgrp.session, &mine) {
            return Err(Errno::EPERM);
        }
        table.move_to(who.tgid, &pgrp);
        Ok(())
    }

    /// The process group with that number in the first pid namespace.
    pub fn find_pgrp(&self, pgid: i32) -> Option<Arc<ProcessGroup>> {
        self.lock().pgrps.get(&pgid).map(|e| e.pgrp.clone())
    }

    /// The process group with that number in `ns`.
    pub fn find_pgrp_in(&self, ns: &super::PidNamespace, pgid: i32) -> Option<Arc<ProcessGroup>> {
        let table = self.lock();
        let number = table.pid(ns, pgid)?.number();
        table.pgrps.get(&number).map(|e| e.pgrp.clone())
    }

    /// Members of a process group (number in the first pid namespace).
    pub fn pgrp_members(&self, pgid: i32) -> Vec<Arc<ThreadGroup>> {
        let table = self.lock();
        let Some(entry) = table.pgrps.get(&pgid) else {
            return Vec::new();
        };
        let members = entry.members.iter();
        members
            .filter_map(|m| table.procs.get(m).map(|p| p.group.clone()))
            .collect()
    }

    /// Sends a signal from the kernel to every member of a process group (number in the first pid namespace): what a
    /// terminal does for `^C`. False if the group has no members.
    pub fn signal_pgrp(&self, pgid: i32, info: SigInfo) -> bool {
        let members = self.pgrp_members(pgid);
        for member in &members {
            let _ = member.send_signal(info);
        }
        !members.is_empty()
    }

    /// No member's parent is in another group of the same session: nobody can control its jobs.
    pub fn is_orphaned_pgrp(&self, pgid: i32) -> bool {
        self.lock().is_orphaned(pgid, None)
    }
}

impl Table {
    pub(super) fn add_session(&mut self, session: &Arc<Session>) {
        self.sessions.insert(
            session.pid.number(),
            SessionEntry {
                session: session.clone(),
                pgrps: 0,
            },
        );
    }

    pub(super) fn add_pgrp(&mut self, pid: &Arc<super::Pid>, session: &Arc<Session>) -> Arc<ProcessGroup> {
        let pgrp = Arc::new(ProcessGroup {
            pid: pid.clone(),
            session: session.clone(),
        });
        self.pgrps.insert(
            pid.number(),
            PgrpEntry {
                pgrp: pgrp.clone(),
                members: Vec::new(),
            },
        );
        if let Some(entry) = self.sessions.get_mut(&session.pid.number()) {
            entry.pgrps += 1;
        }
        pgrp
    }

    /// Puts a process into a group of which it is not yet recorded as a member.
    pub(super) fn join_pgrp(&mut self, tgid: i32, pgrp: &Arc<ProcessGroup>) {
        if let Some(entry) = self.pgrps.get_mut(&pgrp.pid.number()) {
            entry.members.push(tgid);
        }
    }

    /// Takes a process out of its group; the last member's leaving ends the group, the last group's end the session.
    pub(super) fn leave_pgrp(&mut self, tgid: i32, pgrp: &Arc<ProcessGroup>) {
        let number = pgrp.pid.number();
        let Some(entry) = self.pgrps.get_mut(&number) else {
            return;
        };
        entry.members.retain(|&m| m != tgid);
        if !entry.members.is_empty() {
            return;
        }
        self.pgrps.remove(&number);
        let sid = pgrp.session.pid.number();
        if let Some(entry) = self.sessions.get_mut(&sid) {
            entry.pgrps = entry.pgrps.saturating_sub(1);
            if entry.pgrps == 0 {
                let session = self.sessions.remove(&sid);
                if let Some(session) = session {
                    self.release_pid(&session.session.pid);
                }
            }
        }
        self.release_pid(&pgrp.pid);
    }

    fn move_to(&mut self, tgid: i32, pgrp: &Arc<ProcessGroup>) {
        let Some(proc) = self.procs.get_mut(&tgid) else { return };
        if Arc::ptr_eq(&proc.pgrp, pgrp) {
            return;
        }
        let old = std::mem::replace(&mut proc.pgrp, pgrp.clone());
        self.join_pgrp(tgid, pgrp);
        self.leave_pgrp(tgid, &old);
    }

    /// Like `will_become_orphaned_pgrp`: without `leaving`, no member has a parent in another group of the session.
    pub(super) fn is_orphaned(&self, pgid: i32, leaving: Option<i32>) -> bool {
        let Some(entry) = self.pgrps.get(&pgid) else {
            return true;
        };
        let holds = |m: &i32| {
            let Some(proc) = self.procs.get(m) else { return false };
            if Some(*m) == leaving || proc.zombie.is_some() {
                return false;
            }
            let Some(parent) = self.procs.get(&proc.parent) else {
                return false;
            };
            parent.pgrp.pid.number() != pgid && Arc::ptr_eq(&parent.pgrp.session, &proc.pgrp.session)
        };
        !entry.members.iter().any(holds)
    }

    fn has_stopped(&self, pgid: i32) -> bool {
        let Some(entry) = self.pgrps.get(&pgid) else {
            return false;
        };
        let mut groups = entry.members.iter().filter_map(|m| self.procs.get(m));
        groups.any(|p| p.group.is_stopped())
    }

    /// Like `kill_orphaned_pgrp`: `SIGHUP` and `SIGCONT` if the end of `leaving` orphans a group with stopped members.
    pub(super) fn hangup_if_orphaned(&self, pgid: i32, leaving: Option<i32>) {
        if !self.is_orphaned(pgid, leaving) || !self.has_stopped(pgid) {
            return;
        }
        let Some(entry) = self.pgrps.get(&pgid) else { return };
        for proc in entry.members.iter().filter_map(|m| self.procs.get(m)) {
            let _ = proc.group.send_signal(SigInfo::kernel(Signal::SIGHUP));
            let _ = proc.group.send_signal(SigInfo::kernel(Signal::SIGCONT));
        }
    }
}
