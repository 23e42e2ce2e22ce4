//! Who traces whom, and what tracers wait for.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::table::Table;
use super::super::wait::{Found, WaitOptions, Who};
use super::super::{Pid, Task, TaskTable, Usage};
use super::{code_signal, option};
use crate::signal::info::{Detail, code};
use crate::signal::{SIG_IGN, SaFlags, SigInfo, Signal};
use crate::wait::Events;

/// Tracees by the id of the tracing thread, and those that ended and were not waited for.
#[derive(Default)]
pub(crate) struct Tracing {
    pub(super) tracees: HashMap<i32, Vec<Arc<Task>>>,
    dead: Vec<Dead>,
}

struct Dead {
    tracer: Arc<Task>,
    pid: Arc<Pid>,
    uid: u32,
    status: i32,
}

impl TaskTable {
    /// A tracee has stopped: `SIGCHLD` for the tracer's process, and its `wait`.
    pub(super) fn tell_tracer(&self, task: &Arc<Task>, stop: i32) {
        let Some(tracer) = task.tracer() else { return };
        let group = &tracer.group;
        let action = group.handlers().lock().get(Signal::SIGCHLD);
        if action.handler != SIG_IGN && !action.sa().contains(SaFlags::NOCLDSTOP) {
            let _ = group.send_signal(SigInfo {
                signal: Signal::SIGCHLD,
                errno: 0,
                code: code::CLD_TRAPPED,
                detail: Detail::Child {
                    pid: task.pid.in_ns(&group.pid.ns),
                    uid: tracer.cred().user_ns.uid_out(task.cred().uid),
                    status: code_signal(stop),
                    utime: 0,
                    stime: 0,
                },
            });
        }
        group.child_wait.wake(Events::IN);
    }
}

impl Table {
    pub(super) fn add_tracee(&mut self, tracer: &Arc<Task>, tracee: &Arc<Task>) {
        self.tracing.tracees.entry(tracer.tid).or_default().push(tracee.clone());
    }

    pub(super) fn remove_tracee(&mut self, tracer: i32, tracee: &Task) {
        if let Some(list) = self.tracing.tracees.get_mut(&tracer) {
            list.retain(|t| t.tid != tracee.tid);
            if list.is_empty() {
                self.tracing.tracees.remove(&tracer);
            }
        }
    }

    /// A thread has ended: its tracees are free, and its tracer learns of the end. True if its number is kept for that.
    pub(crate) fn trace_ended(&mut self, task: &Arc<Task>, status: i32) -> bool {
        for tracee in self.tracing.tracees.remove(&task.tid).unwrap_or_default() {
            let kill = tracee.ptrace.lock().options & option::EXITKILL != 0;
            tracee.end_trace(0);
            if kill {
                let _ = tracee.group.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
            }
        }
        self.tracing.dead.retain(|d| d.tracer.tid != task.tid);
        let Some(tracer) = task.tracer() else { return false };
        self.remove_tracee(tracer.tid, task);
        task.end_trace(0);
        let parent = self.procs.get(&task.group.tgid).map_or(0, |p| p.parent);
        if task.is_leader() && parent == tracer.group.tgid {
            // The tracer hears of it as its parent.
            return false;
        }
        self.tracing.dead.push(Dead {
            tracer: tracer.clone(),
            pid: task.pid.clone(),
            uid: task.cred().uid,
            status,
        });
        tracer.group.child_wait.wake(Events::IN);
        !task.is_leader()
    }

    /// What a tracer's `wait` finds. The flag says whether there is anything to wait for.
    pub(crate) fn wait_traced(&mut self, task: &Task, who: Who, options: WaitOptions) -> (bool, Option<Found>) {
        let mut any = false;
        let mine = |tracer: &Task| match options.contains(WaitOptions::NOTHREAD) {
            true => tracer.tid == task.tid,
            false => tracer.group.tgid == task.group.tgid,
        };
        let fits = |tid: i32| match who {
            Who::Any => true,
            Who::Process(pid) => pid == tid,
            Who::Group(_) => false,
        };
        let found = |pid: &Pid, uid: u32, status: i32, code: i32, value: i32| Found {
            pid: pid.in_ns(task.pid_ns()),
            uid,
            status,
            code,
            value,
            usage: Usage::default(),
        };
        for i in 0..self.tracing.dead.len() {
            let Some(dead) = self.tracing.dead.get(i) else { break };
            if !mine(&dead.tracer) || !fits(dead.pid.number()) {
                continue;
            }
            any = true;
            if options.contains(WaitOptions::EXITED) {
                let (code, value) = super::super::notify::end_code(dead.status);
                let hit = found(&dead.pid, dead.uid, dead.status, code, value);
                if !options.contains(WaitOptions::NOWAIT) {
                    let dead = self.tracing.dead.swap_remove(i);
                    if !self.procs.contains_key(&dead.pid.number()) {
                        self.remove_task(&dead.pid);
                    }
                }
                return (true, Some(hit));
            }
        }
        let lists = self.tracing.tracees.values().flatten();
        for tracee in lists {
            let in_group = match who {
                Who::Group(pgid) => {
                    let proc = self.procs.get(&tracee.group.tgid);
                    proc.is_some_and(|p| p.pgrp.pid.number() == pgid)
                }
                _ => fits(tracee.tid),
            };
            let mut trace = tracee.ptrace.lock();
            if !in_group || !trace.tracer.as_ref().is_some_and(|t| mine(t)) {
                continue;
            }
            any = true;
            let Some(stop) = trace.stop.as_mut().filter(|s| !s.reported && s.resumed.is_none()) else {
                continue;
            };
            stop.reported = !options.contains(WaitOptions::NOWAIT);
            let code = stop.code;
            drop(trace);
            let uid = tracee.cred().uid;
            return (
                true,
                Some(found(&tracee.pid, uid, code << 8 | 0x7f, code::CLD_TRAPPED, code)),
            );
        }
        (any, None)
    }
}
