//! Moving threads between the groups of their container, and what depends on who is where.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

use super::table::Table;
use super::{Cgroup, Task, TaskTable, ThreadGroup};
use crate::cgroup::{Group, Groups, Hierarchy};

/// Whether the limits of the group and those above it let one more task be made. Called under the table's lock.
pub(super) fn has_room(group: &Arc<Group>) -> bool {
    let mut below_top = group.upwards().filter(|g| !g.is_top());
    below_top.all(|g| g.tasks.load(Ordering::Relaxed) < g.max_tasks.load(Ordering::Relaxed))
}

/// One more task, or one fewer, in the group whose tasks are counted.
fn count(groups: Option<&Groups>, change: impl Fn(&Group)) {
    if let Some(group) = groups.and_then(Groups::pids) {
        group.upwards().for_each(|group| change(&group));
    }
}

fn one_more(group: &Group) {
    let before = group.tasks.fetch_add(1, Ordering::Relaxed);
    group.most_tasks.fetch_max(before.saturating_add(1), Ordering::Relaxed);
}

fn one_fewer(group: &Group) {
    group.tasks.fetch_sub(1, Ordering::Relaxed);
}

impl Task {
    /// Where it is below the container's own groups; none: nowhere.
    pub fn groups(&self) -> Option<Arc<Groups>> {
        match self.group.cgroup.is_divided() {
            true => self.slots.lock().groups.clone(),
            false => None,
        }
    }

    /// Its group in a hierarchy of its container.
    pub fn group_in(&self, hierarchy: &Hierarchy) -> Arc<Group> {
        let groups = self.groups();
        let group = groups.as_ref().and_then(|groups| groups.of(hierarchy.config.id));
        group.unwrap_or(&hierarchy.top).clone()
    }

    /// User and system time since it came to its groups.
    pub fn times_in_groups(&self) -> [u64; 2] {
        let [user, system] = &self.charged;
        [
            self.cpu_ns().saturating_sub(user.load(Ordering::Relaxed)),
            self.system_ns().saturating_sub(system.load(Ordering::Relaxed)),
        ]
    }

    /// What it has used is its groups' from now on.
    fn settle(&self, groups: Option<&Groups>) {
        let times = self.times_in_groups();
        for group in groups.into_iter().flat_map(Groups::iter) {
            group.charge(times);
        }
        for (charged, time) in self.charged.iter().zip(times) {
            charged.fetch_add(time, Ordering::Relaxed);
        }
    }

    /// It has ended: its times stay with its groups and its container.
    pub(super) fn settle_last(&self) {
        self.group.cgroup.add_ended([self.cpu_ns(), self.system_ns()]);
        if let Some(groups) = self.groups() {
            self.settle(Some(&groups));
        }
    }
}

impl Table {
    /// A task is counted where it is.
    pub(super) fn count_in(&self, task: &Task) {
        let container = &task.group.cgroup;
        let before = container.tasks.fetch_add(1, Ordering::Relaxed);
        container
            .most_tasks
            .fetch_max(before.saturating_add(1), Ordering::Relaxed);
        count(task.groups().as_deref(), one_more);
    }

    /// It is counted no more.
    pub(super) fn count_out(&self, task: &Task) {
        task.group.cgroup.tasks.fetch_sub(1, Ordering::Relaxed);
        count(task.groups().as_deref(), one_fewer);
    }
}

impl TaskTable {
    /// Moves threads of one process into a group of their container.
    pub fn move_to_group(&self, group: &Arc<Group>, threads: &[Arc<Task>]) -> Result<()> {
        let Some(first) = threads.first() else {
            return Err(Errno::ESRCH);
        };
        let container = first.group.cgroup.clone();
        let table = self.lock();
        if group.is_removed() {
            return Err(Errno::ENODEV);
        }
        container.divide();
        for task in threads {
            let old = task.groups();
            let new = Groups::moved(old.as_deref(), group, &container.hierarchies);
            task.settle(old.as_deref());
            count(old.as_deref(), one_fewer);
            count(new.as_deref(), one_more);
            task.slots.lock().groups = new;
        }
        drop(table);
        self.refreeze(&container);
        Ok(())
    }

    /// Removes a group in which nothing runs; `EBUSY` otherwise.
    pub fn remove_group(&self, container: &Arc<Cgroup>, hierarchy: &Hierarchy, group: &Arc<Group>) -> Result<()> {
        let table = self.lock();
        let mut processes = table.procs.values().map(|proc| &proc.group);
        let is_in = |process: &Arc<ThreadGroup>| {
            Arc::ptr_eq(&process.cgroup, container)
                && process
                    .threads()
                    .iter()
                    .any(|task| Arc::ptr_eq(&task.group_in(hierarchy), group))
        };
        if processes.any(is_in) {
            return Err(Errno::EBUSY);
        }
        container.hierarchies.remove_group(group)?;
        drop(table);
        self.freeze_group(container, group, false);
        Ok(())
    }

    /// Threads of a container that have not ended.
    pub fn threads_of(&self, container: &Arc<Cgroup>) -> Vec<Arc<Task>> {
        let processes = self.processes_in(container);
        processes.iter().flat_map(|process| process.threads()).collect()
    }
}
