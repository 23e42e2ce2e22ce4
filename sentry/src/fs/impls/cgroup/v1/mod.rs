//! Files of groups of cgroup v1, one table for each controller (Documentation/admin-guide/cgroup-v1).

pub(super) mod blkio;
mod cpu;
pub(super) mod cpuset;
mod devices;
mod freezer;
mod hugetlb;
pub(super) mod memory;
mod net;
pub(super) mod pids;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::file::{At, Def, Kind, def};
use super::members;
use crate::cgroup::{Group, Hierarchy};

pub use cpu::times;
pub use cpuset::may_enter;

const CLONE_CHILDREN: &str = "cgroup.clone_children";
const NOTIFY: &str = "notify_on_release";

/// Those of a hierarchy's groups, by name.
pub fn files(hierarchy: &Hierarchy) -> Vec<Def> {
    let mut files = vec![
        def(CLONE_CHILDREN, Kind::Change(flag, set_flag)),
        def("cgroup.procs", Kind::Change(members::processes, members::move_process)),
        def(NOTIFY, Kind::Change(flag, set_flag)),
        def("tasks", Kind::Change(members::threads, members::move_thread)),
    ];
    for controller in &hierarchy.config.controllers {
        files.extend(match controller.as_str() {
            "blkio" => blkio::files(),
            "cpu" => cpu::shares(),
            "cpuacct" => cpu::accounting(),
            "cpuset" => cpuset::files(),
            "devices" => devices::files(),
            "freezer" => freezer::files(),
            "hugetlb" => hugetlb::files(&hierarchy.config.files),
            "memory" => memory::files(),
            "net_cls" => net::class(),
            "net_prio" => net::priority(),
            "pids" => pids::files(),
            _ => Vec::new(),
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// What a new group has of the one above it.
pub fn inherit(parent: &Arc<Group>, child: &Arc<Group>) {
    for name in [CLONE_CHILDREN, NOTIFY, memory::SWAPPINESS, memory::OOM_DISABLED] {
        if let Some(value) = parent.value(name) {
            child.set_value(name, value);
        }
    }
    if parent.number(CLONE_CHILDREN) == Some(1) {
        cpuset::copy(parent, child);
    }
}

fn flag(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", at.number(at.name).unwrap_or(0)))
}

fn set_flag(at: &At<'_>, text: &str) -> Result<()> {
    let on = text.parse::<u64>().map_err(|_| Errno::EINVAL)? != 0;
    at.group.set_value(at.name, u8::from(on).to_string());
    Ok(())
}

/// A counter that can be set back, and counts nothing here.
fn reset(_: &At<'_>, text: &str) -> Result<()> {
    text.parse::<u64>().map(drop).map_err(|_| Errno::EINVAL)
}

pub(super) fn zero(_: &At<'_>) -> Result<String> {
    Ok("0\n".to_owned())
}
