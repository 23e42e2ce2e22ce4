//! Making a process from outside: the first one of a container, and those that `runsc exec` adds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use abi::errno::Result;
use platform::Context;

use super::cgroup::Cgroup;
use super::ns::Nsproxy;
use super::session::Session;
use super::table::Proc;
use super::{Cx, Pid, Rlimits, Slots, Task, TaskAttr, ThreadGroup};
use crate::cgroup::Groups;
use crate::cred::Cred;
use crate::fs::{FdTable, FsContext};
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::signal::{SigHandlers, TaskSignals};
use crate::sync::Mutex;

/// What a process made from outside starts with.
pub struct ContainerProcess {
    /// Credentials.
    pub cred: Cred,
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Open files.
    pub files: Arc<FdTable>,
    /// Limits.
    pub rlimits: Rlimits,
    /// Namespaces. The process gets its pid in `ns.pid_for_children`.
    pub ns: Nsproxy,
    /// Its container's.
    pub cgroup: Arc<Cgroup>,
    /// Groups below those; none: its own.
    pub groups: Option<Arc<Groups>>,
    /// `/proc/PID/oom_score_adj`
    pub oom_score_adj: i32,
}

impl Kernel {
    /// Makes a process without parent that leads a session of its own. It has run nothing yet: the caller loads a program
    /// into it and then calls [`Kernel::start`]. The first in its pid namespace is the namespace's init.
    pub fn create_init(self: &Arc<Kernel>, with: ContainerProcess, mm: Arc<Mm>, ctx: Box<dyn Context>) -> Result<Cx> {
        let mut table = self.tasks.lock();
        // It may have been removed since it was found.
        if with
            .groups
            .iter()
            .flat_map(|groups| groups.iter())
            .any(|group| group.is_removed())
        {
            return Err(Errno::ENODEV);
        }
        let pid = table.alloc_pid(&with.ns.pid_for_children, &[], self.tunables.pid_max.get())?;
        let handlers = Arc::new(Mutex::new(SigHandlers::default()));
        let group = ThreadGroup::new(pid.clone(), with.cgroup, handlers, with.rlimits);
        group.oom_score_adj.store(with.oom_score_adj, Ordering::Relaxed);
        let slots = Slots {
            cred: Arc::new(with.cred),
            fs: with.fs,
            files: with.files,
            ns: Arc::new(with.ns),
            mm: Some(mm.clone()),
            comm: [0; 16],
            groups: with.groups,
        };
        let attr = TaskAttr::new(self.config.cpus);
        let task = Task::new(self, pid.clone(), Arc::new(group), slots, TaskSignals::default(), attr);
        let session = Arc::new(Session {
            pid: pid.clone(),
            tty: Mutex::new(None),
        });
        table.add_session(&session);
        let pgrp = table.add_pgrp(&pid, &session);
        table.insert_process(&task, Proc::new(&task, pgrp, (0, 0), 0));
        drop(table);
        Ok(Cx::new(task, ctx, mm))
    }

    /// Lets a new task run. Its program has been loaded.
    pub fn start(self: &Arc<Kernel>, cx: Cx) {
        let task = cx.task.clone();
        // Made before the freeze could see it, or after: it does not run either way.
        if task.is_frozen() {
            task.interrupt();
        }
        self.executor
            .spawn(super::current::as_current(task, super::run::run(cx)));
    }

    /// Takes back a process that was never started, as if it had ended with this wait status.
    pub fn abandon(self: &Arc<Kernel>, cx: Cx, status: i32) {
        cx.task.group.exit(status);
        self.executor.spawn(super::exit::finish(cx, status));
    }
}

impl Task {
    pub(super) fn new(
        kernel: &Arc<Kernel>,
        pid: Arc<Pid>,
        group: Arc<ThreadGroup>,
        slots: Slots,
        signals: TaskSignals,
        attr: TaskAttr,
    ) -> Arc<Task> {
        let filtered = attr.seccomp.mode() != 0;
        let task = Arc::new(Task {
            kernel: kernel.clone(),
            tid: pid.number(),
            pid,
            group,
            slots: Mutex::new(slots),
            signals: Mutex::new(signals),
            attr: Mutex::new(attr),
            waker: Mutex::new(None),
            interrupter: Mutex::new(None),
            interrupted: AtomicBool::new(false),
            in_guest: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            traced: AtomicBool::new(false),
            ptrace: Mutex::default(),
            filtered: AtomicBool::new(filtered),
            cpu_ns: AtomicU64::new(0),
            system_ns: AtomicU64::new(0),
            charged: [const { AtomicU64::new(0) }; 2],
            call: Mutex::default(),
            later: Mutex::default(),
            has_later: AtomicBool::new(false),
            vfork: Mutex::new(None),
        });
        task.group.state.lock().threads.push(task.clone());
        task
    }
}

impl Proc {
    pub(super) fn new(
        leader: &Arc<Task>,
        pgrp: Arc<super::ProcessGroup>,
        (parent, parent_tid): (i32, i32),
        exit_signal: i32,
    ) -> Proc {
        Proc {
            group: leader.group.clone(),
            leader: leader.clone(),
            parent,
            parent_tid,
            children: Vec::new(),
            pgrp,
            exit_signal,
            zombie: None,
            leader_status: 0,
            stop_report: None,
            continue_report: false,
            subreaper: false,
            execed: false,
        }
    }
}

impl super::table::Table {
    /// Puts a new process into the tree, its group and the pid table.
    pub(super) fn insert_process(&mut self, leader: &Arc<Task>, proc: Proc) {
        let tgid = leader.tid;
        self.join_pgrp(tgid, &proc.pgrp.clone());
        if let Some(parent) = self.procs.get_mut(&proc.parent) {
            parent.children.push(tgid);
        }
        self.procs.insert(tgid, proc);
        self.insert_task(leader);
    }
}
