//! `cgroup.procs` and `tasks`: who is in a group, and moving there.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::file::{At, Kind, def};
use crate::cgroup::{Group, Hierarchy};
use crate::fs::impls::pseudo::parse_number;
use crate::fs::perm;
use crate::task::{Task, ThreadGroup};

impl At<'_> {
    /// Threads in the group, and with `beneath` in those below it.
    pub fn threads(&self, beneath: bool) -> Vec<Arc<Task>> {
        let mut threads = self.kernel.tasks.threads_of(self.container);
        threads.retain(|task| {
            let group = task.group_in(self.hierarchy);
            match beneath {
                true => group.is_within(self.group),
                false => Arc::ptr_eq(&group, self.group),
            }
        });
        threads
    }
}

/// Numbers as the reader's pid namespace has them.
fn list(at: &At<'_>, number: impl Fn(&Task, &Task) -> i32) -> Result<String> {
    let Some(reader) = at.by else { return Ok(String::new()) };
    let mut numbers: Vec<i32> = at.threads(false).iter().map(|task| number(task, reader)).collect();
    numbers.retain(|n| *n > 0);
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers.iter().map(|n| format!("{n}\n")).collect())
}

/// `cgroup.procs`
pub fn processes(at: &At<'_>) -> Result<String> {
    list(at, |task, reader| task.group.pid.in_ns(reader.pid_ns()))
}

/// `tasks`, `cgroup.threads`
pub fn threads(at: &At<'_>) -> Result<String> {
    list(at, |task, reader| task.pid.in_ns(reader.pid_ns()))
}

/// Moves a process with all its threads.
pub fn move_process(at: &At<'_>, text: &str) -> Result<()> {
    let (writer, pid) = named(at, text)?;
    let process = match pid {
        0 => writer.group.clone(),
        pid => process_of(at, writer, pid)?,
    };
    go(at, writer, &process.threads())
}

/// Moves one thread.
pub fn move_thread(at: &At<'_>, text: &str) -> Result<()> {
    let (writer, tid) = named(at, text)?;
    let task = match tid {
        0 => writer.clone(),
        tid => at.kernel.tasks.task(writer.pid_ns(), tid).ok_or(Errno::ESRCH)?,
    };
    if at.hierarchy.is_v2() && !Arc::ptr_eq(&task.group_in(at.hierarchy), at.group) {
        // No group is threaded.
        return Err(Errno::EOPNOTSUPP);
    }
    go(at, writer, &[task])
}

fn named<'a>(at: &At<'a>, text: &str) -> Result<(&'a Arc<Task>, i32)> {
    let writer = at.by.ok_or(Errno::EPERM)?;
    let number = i32::try_from(parse_number(text.as_bytes())?).map_err(|_| Errno::EINVAL)?;
    match number {
        0.. => Ok((writer, number)),
        _ => Err(Errno::EINVAL),
    }
}

/// The process that has a thread of that number.
fn process_of(at: &At<'_>, writer: &Task, pid: i32) -> Result<Arc<ThreadGroup>> {
    let task = at.kernel.tasks.task(writer.pid_ns(), pid).ok_or(Errno::ESRCH)?;
    Ok(task.group.clone())
}

fn go(at: &At<'_>, writer: &Task, threads: &[Arc<Task>]) -> Result<()> {
    let first = threads.first().ok_or(Errno::ESRCH)?;
    // Another container's groups are not in this tree.
    if !Arc::ptr_eq(&first.group.cgroup, at.container) {
        return Err(Errno::EACCES);
    }
    match at.hierarchy.is_v2() {
        true => may_move_v2(at.hierarchy, at.group, writer, first)?,
        false => may_move_v1(writer, first)?,
    }
    if !at.hierarchy.is_v2() && at.hierarchy.has("cpuset") {
        super::v1::may_enter(at)?;
    }
    at.kernel.tasks.move_to_group(at.group, threads)
}

/// `cgroup1_procs_write`: root may move everybody, others their own.
fn may_move_v1(writer: &Task, task: &Task) -> Result<()> {
    let (me, to) = (writer.cred(), task.cred());
    match me.euid == 0 || me.euid == to.uid || me.euid == to.suid {
        true => Ok(()),
        false => Err(Errno::EACCES),
    }
}

/// `cgroup_attach_permissions`: who could write the file of the group that both are beneath, to a group that may have processes.
pub fn may_move_v2(hierarchy: &Arc<Hierarchy>, to: &Arc<Group>, writer: &Task, task: &Task) -> Result<()> {
    let from = task.group_in(hierarchy);
    let common = from.upwards().find(|group| to.is_within(group));
    let common = common.unwrap_or_else(|| hierarchy.top.clone());
    let attr = super::dir::attr(&common, &def("cgroup.procs", Kind::Change(processes, move_process)));
    let stat = crate::fs::Stat {
        mode: crate::fs::FileType::Regular.mode_bits() | attr.mode,
        uid: attr.uid,
        gid: attr.gid,
        ..Default::default()
    };
    perm::generic(&writer.cred(), &stat, perm::MAY_WRITE)?;
    super::v2::may_hold(&At {
        kernel: &task.kernel,
        container: &task.group.cgroup,
        hierarchy,
        group: to,
        name: "cgroup.procs",
        by: None,
    })
}
