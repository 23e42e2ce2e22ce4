//! The end of a task and of its process.

use std::sync::Arc;

use super::table::Table;
use super::{Cx, Task, TaskTable, ThreadGroup};
use crate::fs::FdTable;
use crate::signal::{SigInfo, Signal};
use crate::wait::Events;

/// Ends the task whose loop is over. `status` as of `wait(2)`.
pub(super) async fn finish(mut cx: Cx, status: i32) {
    let task = cx.task.clone();
    task.note_cpu_ns(cx.ctx.cpu_time_ns());
    super::ptrace::exit_event(&mut cx, status).await;
    task.signals.lock().exiting = true;
    release_user_words(&mut cx).await;
    let last = task.usage();
    {
        let mut usage = task.group.usage.lock();
        usage.dead.max_rss_kib = usage.dead.max_rss_kib.max(last.max_rss_kib);
        usage.dead.minor_faults = usage.dead.minor_faults.max(last.minor_faults);
        usage.dead.major_faults = usage.dead.major_faults.max(last.major_faults);
    }
    task.set_mm(None);
    release_files(&task);
    task.finish_vfork();
    task.retarget(crate::signal::SigSet(u64::MAX));
    task.kernel.tasks.task_ended(&task, status);
    // Only now the host thread goes; the process's parent need not wait for that.
    drop(cx);
}

/// What the dying thread has promised to tell others through memory: robust futexes, the cleared thread id.
pub(super) async fn release_user_words(cx: &mut Cx) {
    super::robust::release(cx).await;
    let clear = std::mem::take(&mut cx.task.attr.lock().clear_child_tid);
    // `cx.mm` and the task's own slot are one user.
    if Arc::strong_count(&cx.mm) <= 2 || cx.local.gone {
        return;
    }
    // What the thread has still to do for the others, such as unmapping its stack. Failures have nobody to hear of them.
    let _ = cx.ctx.flush().await;
    // Straight to memory: what is carried with an answer would never arrive, since this thread gets none.
    if clear != 0 && cx.mm.aspace().write(clear, &0u32.to_le_bytes()) == 4 {
        super::robust::futex_wake(cx, crate::usermem::UserAddr(clear));
    }
}

/// Gives up the descriptor table; the last user's end closes the files.
fn release_files(task: &Arc<Task>) {
    let files = task.set_files(Arc::new(FdTable::default()));
    if let Ok(files) = Arc::try_unwrap(files) {
        for file in files.remove_range(0, u32::MAX) {
            let _ = file.ops.flush(&file);
        }
    }
}

impl TaskTable {
    fn task_ended(&self, task: &Arc<Task>, status: i32) {
        let group = &task.group;
        let mut table = self.lock();
        let (last, exec) = {
            let mut state = group.state.lock();
            state.threads.retain(|t| t.tid != task.tid);
            (state.threads.is_empty(), state.exec)
        };
        let mut usage = group.usage.lock();
        usage.dead.user_ns += task.cpu_ns();
        usage.dead.system_ns += task.system_ns();
        drop(usage);
        task.settle_last();
        if let Some(proc) = table.procs.get_mut(&group.tgid)
            && task.is_leader()
        {
            proc.leader_status = status;
        }
        let awaited = table.trace_ended(task, status);
        if !task.is_leader() && !awaited {
            table.remove_task(&task.pid);
        }
        table.pass_children_on(task, last);
        if last {
            table.group_ended(group);
        }
        drop(table);
        if last {
            return;
        }
        if let Some(tid) = exec
            && let Some(execing) = group.threads().iter().find(|t| t.tid == tid)
        {
            execing.wake();
        }
        if let Some(signal) = group.recheck_stop() {
            self.child_stopped(group, signal);
        }
    }

    /// `PR_SET_CHILD_SUBREAPER`
    pub fn set_subreaper(&self, group: &ThreadGroup, on: bool) {
        if let Some(proc) = self.lock().procs.get_mut(&group.tgid) {
            proc.subreaper = on;
        }
    }

    /// `PR_GET_CHILD_SUBREAPER`
    pub fn is_subreaper(&self, group: &ThreadGroup) -> bool {
        self.lock().procs.get(&group.tgid).is_some_and(|p| p.subreaper)
    }
}

impl Table {
    /// The process has no thread left.
    fn group_ended(&mut self, group: &Arc<ThreadGroup>) {
        let tgid = group.tgid;
        let Some(proc) = self.procs.get_mut(&tgid) else { return };
        let status = *group.state.lock().exit.get_or_insert(proc.leader_status);
        proc.zombie = Some(status);
        proc.stop_report = None;
        proc.continue_report = false;
        let pgrp = proc.pgrp.clone();
        let parent = proc.parent;
        if pgrp.session.pid.number() == tgid {
            self.hangup_session(&pgrp.session);
        }
        let controlled = self
            .procs
            .get(&parent)
            .is_some_and(|p| !Arc::ptr_eq(&p.pgrp, &pgrp) && Arc::ptr_eq(&p.pgrp.session, &pgrp.session));
        if controlled {
            self.hangup_if_orphaned(pgrp.pid.number(), Some(tgid));
        }
        if group.unkillable {
            self.kill_namespace(group);
        }
        crate::time::exit_process(group);
        if let Some(leader) = self.procs.get(&tgid).map(|p| p.leader.clone()) {
            crate::ipc::sysv::sem::exit_process(&leader.ipc().sysv, tgid);
        }
        let reap = self.tell_of_end(tgid);
        group.exit_wait.wake(Events::IN | Events::HUP);
        if reap {
            self.release(tgid);
        }
    }

    /// The end of the leader takes the terminal away from its session.
    fn hangup_session(&mut self, session: &super::Session) {
        let Some(tty) = session.tty.lock().take() else { return };
        if let Some(pgid) = tty.foreground()
            && let Some(entry) = self.pgrps.get(&pgid)
        {
            for proc in entry.members.iter().filter_map(|m| self.procs.get(m)) {
                let _ = proc.group.send_signal(SigInfo::kernel(Signal::SIGHUP));
            }
        }
        tty.disassociate();
    }

    /// The first process of a pid namespace takes all others with it.
    fn kill_namespace(&mut self, init: &ThreadGroup) {
        let ns = &init.pid.ns;
        for proc in self.procs.values() {
            if proc.group.tgid != init.tgid && proc.group.pid.ns.is_within(ns) {
                let _ = proc.group.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
            }
        }
    }

    /// Children of the thread get another parent: a thread of the same process or, after the last one, the nearest
    /// subreaper or the first process of the pid namespace.
    fn pass_children_on(&mut self, task: &Task, last: bool) {
        let tgid = task.group.tgid;
        let Some(me) = self.procs.get(&tgid) else { return };
        let father_pgrp = me.pgrp.clone();
        let moved: Vec<i32> = {
            let mine = |c: &i32| last || self.procs.get(c).is_some_and(|p| p.parent_tid == task.tid);
            me.children.iter().copied().filter(mine).collect()
        };
        if moved.is_empty() {
            return;
        }
        let heir = if last {
            self.find_reaper(tgid)
        } else {
            task.group.any_thread().map(|t| (tgid, t.tid))
        };
        let (parent, parent_tid) = heir.unwrap_or((0, 0));
        for child in moved {
            self.give_child(child, tgid, parent, parent_tid);
            if !last {
                continue;
            }
            let Some(proc) = self.procs.get(&child) else { continue };
            let pgrp = proc.pgrp.clone();
            if proc.zombie.is_some() {
                if self.tell_of_end(child) {
                    self.release(child);
                }
            } else if !Arc::ptr_eq(&pgrp, &father_pgrp) && Arc::ptr_eq(&pgrp.session, &father_pgrp.session) {
                self.hangup_if_orphaned(pgrp.pid.number(), None);
            }
        }
    }

    fn give_child(&mut self, child: i32, from: i32, parent: i32, parent_tid: i32) {
        let Some(proc) = self.procs.get_mut(&child) else { return };
        proc.parent = parent;
        proc.parent_tid = parent_tid;
        let group = proc.group.clone();
        if parent != from {
            proc.exit_signal = Signal::SIGCHLD.number();
            if let Some(old) = self.procs.get_mut(&from) {
                old.children.retain(|&c| c != child);
            }
            if let Some(new) = self.procs.get_mut(&parent) {
                new.children.push(child);
            }
        }
        for thread in group.threads() {
            let signal = Signal::new(thread.attr.lock().pdeath_signal);
            if let Some(signal) = signal {
                let _ = group.send_signal(SigInfo::user(signal, 0, 0));
            }
        }
    }

    /// Who takes in the children of a process that ends: (process, thread).
    fn find_reaper(&self, tgid: i32) -> Option<(i32, i32)> {
        let me = self.procs.get(&tgid)?;
        let ns = me.group.pid.ns.clone();
        let alive = |p: &super::table::Proc| p.group.any_thread().map(|t| (p.group.tgid, t.tid));
        let mut at = me.parent;
        while let Some(proc) = self.procs.get(&at) {
            if proc.group.pid.ns.id != ns.id {
                break;
            }
            if proc.subreaper
                && let Some(found) = alive(proc)
            {
                return Some(found);
            }
            at = proc.parent;
        }
        let init = self.pid(&ns, 1)?.number();
        if init == tgid {
            return None;
        }
        self.procs.get(&init).and_then(alive)
    }

    /// Forgets a zombie.
    pub(super) fn release(&mut self, tgid: i32) {
        let Some(proc) = self.procs.remove(&tgid) else { return };
        if let Some(parent) = self.procs.get_mut(&proc.parent) {
            parent.children.retain(|&c| c != tgid);
        }
        self.leave_pgrp(tgid, &proc.pgrp);
        self.remove_task(&proc.group.pid);
        proc.group.exit_wait.wake(Events::IN | Events::HUP);
    }
}
