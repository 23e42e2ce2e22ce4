//! `/proc/PID/cgroup`, `/proc/PID/cpuset`, `/proc/cgroups`

use std::sync::Arc;

use abi::errno::Result;

use super::Proc;
use crate::cgroup::CgroupNamespace;
use crate::task::{Task, current};

/// Paths are as the reader's cgroup namespace has them.
fn reader(task: &Arc<Task>) -> Arc<CgroupNamespace> {
    current().unwrap_or_else(|| task.clone()).ns().cgroup.clone()
}

/// The hierarchy made last comes first.
pub(super) fn cgroup(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let ns = reader(task);
    let mut all = task.group.cgroup.hierarchies.all();
    all.sort_by_key(|hierarchy| std::cmp::Reverse(hierarchy.config.id));
    let mut text = Vec::new();
    for hierarchy in all {
        text.extend(format!("{}:{}:", hierarchy.config.id, hierarchy.label()).into_bytes());
        text.extend(ns.path_of(task, &hierarchy));
        text.push(b'\n');
    }
    Ok(text)
}

pub(super) fn cpuset(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut path = match task.group.cgroup.hierarchies.with("cpuset") {
        Some(hierarchy) => reader(task).path_of(task, &hierarchy),
        None => b"/".to_vec(),
    };
    path.push(b'\n');
    Ok(path)
}

/// Controllers, and how many groups the hierarchies of each have, as far as the reader's container goes.
pub(in crate::fs::impls::proc) fn cgroups() -> Result<String> {
    let mut text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_owned();
    let Some(task) = current() else { return Ok(text) };
    let hierarchies = &task.group.cgroup.hierarchies;
    for controller in &hierarchies.controllers {
        let (id, groups) = match hierarchies.with(controller) {
            Some(hierarchy) => (hierarchy.config.id, hierarchies.count(&hierarchy)),
            None => (0, 1),
        };
        text.push_str(&format!("{controller}\t{id}\t{groups}\t1\n"));
    }
    Ok(text)
}
