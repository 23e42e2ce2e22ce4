//! Who has which pid, and the process tree.

use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use smallvec::SmallVec;

use super::cgroup::Cgroup;
use super::pid::{Pid, PidNamespace};
use super::session::{ProcessGroup, Session};
use super::{Task, ThreadGroup};
use crate::cgroup::Groups;
use crate::sync::{Mutex, MutexGuard};

/// Numbers up to here are not given again once they ran out (`RESERVED_PIDS`).
const RESERVED: i32 = 300;

/// Pids, process groups and sessions of the sandbox.
pub struct TaskTable {
    table: Mutex<Table>,
    /// The first pid namespace.
    pub root_ns: Arc<PidNamespace>,
}

/// One lock for the whole tree, like Linux's `tasklist_lock`.
#[derive(Default)]
pub(super) struct Table {
    /// (namespace, number): who has it.
    pids: HashMap<(u64, i32), Entry>,
    /// Where the search for a free number goes on, per namespace.
    next: HashMap<u64, i32>,
    /// By process id in the first namespace. Zombies included.
    pub(super) procs: HashMap<i32, Proc>,
    pub(super) pgrps: HashMap<i32, PgrpEntry>,
    pub(super) sessions: HashMap<i32, SessionEntry>,
    pub(super) tracing: super::ptrace::Tracing,
    /// Threads that have not been released.
    tasks: u64,
}

struct Entry {
    pid: Arc<Pid>,
    task: Option<Arc<Task>>,
}

pub(super) struct PgrpEntry {
    pub(super) pgrp: Arc<ProcessGroup>,
    pub(super) members: Vec<i32>,
}

pub(super) struct SessionEntry {
    pub(super) session: Arc<Session>,
    pub(super) pgrps: usize,
}

/// A process in the tree.
pub(super) struct Proc {
    pub(super) group: Arc<ThreadGroup>,
    /// The thread whose id is the process's; it may have ended.
    pub(super) leader: Arc<Task>,
    /// Process id of the parent; 0 for none.
    pub(super) parent: i32,
    /// The thread of the parent that made it.
    pub(super) parent_tid: i32,
    pub(super) children: Vec<i32>,
    pub(super) pgrp: Arc<ProcessGroup>,
    /// Sent to the parent when it ends; 0 for nothing.
    pub(super) exit_signal: i32,
    /// All threads have ended: wait status.
    pub(super) zombie: Option<i32>,
    /// Wait status of a leader that ended before other threads.
    pub(super) leader_status: i32,
    /// Stop signal that no `wait` has reported.
    pub(super) stop_report: Option<i32>,
    /// A continuation that no `wait` has reported.
    pub(super) continue_report: bool,
    /// `PR_SET_CHILD_SUBREAPER`
    pub(super) subreaper: bool,
    /// Has called `execve(2)`: its parent may no longer move it to another group.
    pub(super) execed: bool,
}

impl TaskTable {
    /// An empty table.
    pub fn new(root_ns: Arc<PidNamespace>) -> TaskTable {
        TaskTable {
            table: Mutex::default(),
            root_ns,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// How many threads there are, zombies included.
    pub fn count(&self) -> u64 {
        self.lock().tasks
    }

    /// The thread with that number in `ns`.
    pub fn task(&self, ns: &PidNamespace, tid: i32) -> Option<Arc<Task>> {
        self.lock().pids.get(&(ns.id, tid))?.task.clone()
    }

    /// The process with that number in `ns` (of its leader). Zombies included.
    pub fn process(&self, ns: &PidNamespace, pid: i32) -> Option<Arc<ThreadGroup>> {
        let table = self.lock();
        let tgid = table.pids.get(&(ns.id, pid))?.pid.number();
        table.procs.get(&tgid).map(|p| p.group.clone())
    }

    /// The number given last in a namespace.
    pub fn last_pid(&self, ns: &PidNamespace) -> i32 {
        self.lock().next.get(&ns.id).map_or(0, |next| next.saturating_sub(1))
    }

    /// The search for the next number begins behind this one.
    pub fn set_last_pid(&self, ns: &PidNamespace, number: i32) {
        self.lock().next.insert(ns.id, number.saturating_add(1));
    }

    /// Every process that members of `ns` see, in the order of their numbers there. Zombies included.
    pub fn processes(&self, ns: &PidNamespace) -> Vec<(i32, Arc<ThreadGroup>)> {
        let table = self.lock();
        let groups = table.procs.values().map(|p| (p.group.pid.in_ns(ns), p.group.clone()));
        let mut list: Vec<_> = groups.filter(|(n, _)| *n > 0).collect();
        list.sort_by_key(|(n, _)| *n);
        list
    }

    /// Every thread that has not been released.
    pub fn all_tasks(&self) -> Vec<Arc<Task>> {
        let table = self.lock();
        let root = self.root_ns.id;
        let mine = table.pids.iter().filter(|((ns, _), _)| *ns == root);
        mine.filter_map(|(_, e)| e.task.clone()).collect()
    }

    /// Process id of the parent as `ns` sees it; 0 if it does not or there is none.
    pub fn parent_in(&self, group: &ThreadGroup, ns: &PidNamespace) -> i32 {
        let table = self.lock();
        let parent = table.procs.get(&group.tgid).and_then(|p| table.procs.get(&p.parent));
        parent.map_or(0, |p| p.group.pid.in_ns(ns))
    }

    /// The parent process.
    pub fn parent(&self, group: &ThreadGroup) -> Option<Arc<ThreadGroup>> {
        let table = self.lock();
        let parent = table.procs.get(&group.tgid)?.parent;
        table.procs.get(&parent).map(|p| p.group.clone())
    }

    /// The thread that made a process, or one that stands for it.
    pub(super) fn parent_thread(&self, group: &ThreadGroup) -> Option<Arc<Task>> {
        let table = self.lock();
        let proc = table.procs.get(&group.tgid)?;
        let parent = table.procs.get(&proc.parent)?;
        let threads = parent.group.threads();
        let maker = threads.iter().find(|t| t.tid == proc.parent_tid);
        maker.or_else(|| threads.first()).cloned()
    }

    /// Children of a process, in the order in which they were made.
    pub fn children(&self, group: &ThreadGroup) -> Vec<Arc<ThreadGroup>> {
        let table = self.lock();
        let Some(proc) = table.procs.get(&group.tgid) else {
            return Vec::new();
        };
        let children = proc.children.iter();
        children
            .filter_map(|c| table.procs.get(c).map(|p| p.group.clone()))
            .collect()
    }

    /// Wait status of a process that has ended and waits to be reaped.
    pub fn zombie_status(&self, group: &ThreadGroup) -> Option<i32> {
        self.lock().procs.get(&group.tgid).and_then(|p| p.zombie)
    }

    /// Process group of a process; none once it is reaped.
    pub fn pgrp(&self, group: &ThreadGroup) -> Option<Arc<ProcessGroup>> {
        self.lock().procs.get(&group.tgid).map(|p| p.pgrp.clone())
    }

    /// Session of a process.
    pub fn session(&self, group: &ThreadGroup) -> Option<Arc<Session>> {
        self.pgrp(group).map(|p| p.session.clone())
    }
}

impl Table {
    /// Numbers for a new task, one per level of `ns`. `wanted` are numbers asked for by `clone3(2)`, innermost first.
    /// Those that the kernel chooses stay below `max`.
    pub(super) fn alloc_pid(&mut self, ns: &Arc<PidNamespace>, wanted: &[i32], max: i64) -> Result<Arc<Pid>> {
        let mut chain: SmallVec<[&Arc<PidNamespace>; 2]> = SmallVec::new();
        let mut at = Some(ns);
        while let Some(n) = at {
            chain.push(n);
            at = n.parent.as_ref();
        }
        let mut numbers: SmallVec<[i32; 2]> = SmallVec::new();
        for (i, n) in chain.iter().enumerate() {
            let number = match wanted.get(i) {
                Some(&number) => {
                    if self.pids.contains_key(&(n.id, number)) {
                        return Err(Errno::EEXIST);
                    }
                    number
                }
                None => self.free_number(n.id, max)?,
            };
            numbers.push(number);
        }
        numbers.reverse();
        Ok(Arc::new(Pid {
            ns: ns.clone(),
            numbers,
        }))
    }

    fn free_number(&mut self, ns: u64, max: i64) -> Result<i32> {
        let max = i32::try_from(max).unwrap_or(i32::MAX);
        let wrapped = |n: i32| if n >= max { RESERVED } else { n };
        let start = wrapped(self.next.get(&ns).copied().unwrap_or(1));
        let mut number = start;
        loop {
            let next = wrapped(number.saturating_add(1));
            if !self.pids.contains_key(&(ns, number)) {
                self.next.insert(ns, next);
                return Ok(number);
            }
            number = next;
            if number == start {
                return Err(Errno::EAGAIN);
            }
        }
    }

    /// Whether the pids limit, and `threads-max`, let one more be made.
    pub(super) fn check_limit(&self, group: &Cgroup, groups: Option<&Groups>, threads_max: u64) -> Result<()> {
        if self.tasks >= threads_max || !group.has_room(groups) {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Makes a task findable.
    pub(super) fn insert_task(&mut self, task: &Arc<Task>) {
        self.tasks = self.tasks.saturating_add(1);
        self.count_in(task);
        for key in task.pid.keys() {
            self.pids.insert(
                key,
                Entry {
                    pid: task.pid.clone(),
                    task: Some(task.clone()),
                },
            );
        }
    }

    /// The task is gone; its numbers are free once no group or session has them.
    pub(super) fn remove_task(&mut self, pid: &Arc<Pid>) {
        let mut had = None;
        for key in pid.keys() {
            if let Some(entry) = self.pids.get_mut(&key) {
                had = entry.task.take().or(had);
            }
        }
        if let Some(task) = had {
            self.tasks = self.tasks.saturating_sub(1);
            self.count_out(&task);
        }
        self.release_pid(pid);
    }

    /// Frees the numbers if nothing has them any more.
    pub(super) fn release_pid(&mut self, pid: &Arc<Pid>) {
        let number = pid.number();
        if self.pgrps.contains_key(&number) || self.sessions.contains_key(&number) {
            return;
        }
        for key in pid.keys() {
            if self.pids.get(&key).is_some_and(|e| e.task.is_none()) {
                self.pids.remove(&key);
            }
        }
    }

    /// The pid object of that number, whoever has it.
    pub(super) fn pid(&self, ns: &PidNamespace, number: i32) -> Option<&Arc<Pid>> {
        self.pids.get(&(ns.id, number)).map(|e| &e.pid)
    }
}
