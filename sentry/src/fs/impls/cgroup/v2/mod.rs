//! Files of groups of cgroup v2, one table for each controller (Documentation/admin-guide/cgroup-v2.rst).

mod control;
mod cpu;
mod cpuset;
mod hugetlb;
mod io;
mod memory;
mod number;
mod rare;

use abi::Errno;
use abi::errno::Result;

use super::file::{At, Def, Kind, def};
use super::members;
use super::v1;
use crate::cgroup::{Group, Hierarchy, NO_LIMIT, parse_bytes};
use crate::signal::{SigInfo, Signal};

pub use control::{KNOWN, may_hold};
pub use number::has_room;

const CPU_STAT: &str = "cpu.stat";
const MAX: &str = "memory.max";

/// Those that groups may have, by name; [`has_file`] tells which a group has.
pub fn files(hierarchy: &Hierarchy) -> Vec<Def> {
    let host = &hierarchy.config.files;
    let mut files = Vec::new();
    for controller in &hierarchy.config.controllers {
        files.extend(match controller.as_str() {
            "cpu" => cpu::files(),
            "cpuset" => cpuset::files(),
            "hugetlb" => hugetlb::files(host),
            "io" => io::files(),
            "memory" => memory::files(),
            "misc" => rare::misc(),
            "pids" => v1::pids::files(),
            "rdma" => rare::rdma(),
            _ => Vec::new(),
        });
    }
    if !host.is_empty() {
        files.retain(|def| host.iter().any(|name| *name == def.name));
    }
    files.extend(core());
    files.extend(number::files());
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// Whether the group has the file: those of a controller are there where the group above gives it.
pub fn has_file(hierarchy: &Hierarchy, group: &Group, name: &str) -> bool {
    match name.split_once('.') {
        Some((controller, _)) if controller != "cgroup" && name != CPU_STAT => {
            control::has(hierarchy, group, controller)
        }
        _ => true,
    }
}

/// Those that every group has.
fn core() -> Vec<Def> {
    vec![
        def("cgroup.controllers", Kind::Read(control::show_own)),
        def("cgroup.events", Kind::Read(events)),
        def("cgroup.freeze", Kind::Change(frozen, freeze)),
        def("cgroup.kill", Kind::Order(kill)),
        def("cgroup.procs", Kind::Change(members::processes, members::move_process)),
        def("cgroup.stat", Kind::Read(stat)),
        def(control::GIVEN, Kind::Change(control::show_given, control::set_given)),
        def("cgroup.threads", Kind::Change(members::threads, members::move_thread)),
        // Groups of threads cannot be made.
        def(
            "cgroup.type",
            Kind::Change(control::kind, |_, _| Err(Errno::EOPNOTSUPP)),
        ),
        def(CPU_STAT, Kind::Read(cpu::stat)),
    ]
}

/// An amount, or `max`; at first `first`.
fn limit(at: &At<'_>, first: i64) -> Result<String> {
    Ok(match at.number(at.name).unwrap_or(first) {
        NO_LIMIT => "max\n".to_owned(),
        bytes => format!("{bytes}\n"),
    })
}

fn set_limit(at: &At<'_>, text: &str) -> Result<()> {
    let bytes = parse_limit(text).ok_or(Errno::EINVAL)?;
    at.group.set_value(at.name, bytes.to_string());
    Ok(())
}

/// What is no limit has another word than in v1.
fn parse_limit(text: &str) -> Option<i64> {
    match text {
        "max" => Some(NO_LIMIT),
        "-1" => None,
        bytes => parse_bytes(bytes),
    }
}

fn events(at: &At<'_>) -> Result<String> {
    let threads = at.threads(true);
    let held = at.group.is_frozen_itself() || at.group.is_frozen_above();
    let frozen = held && !threads.iter().any(|task| task.runs_guest());
    let populated = u8::from(!threads.is_empty());
    Ok(format!("populated {populated}\nfrozen {}\n", u8::from(frozen)))
}

fn frozen(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", u8::from(at.group.is_frozen_itself())))
}

fn freeze(at: &At<'_>, text: &str) -> Result<()> {
    let on = match text.parse::<i64>() {
        Ok(0) => false,
        Ok(1) => true,
        Ok(_) => return Err(Errno::ERANGE),
        Err(_) => return Err(Errno::EINVAL),
    };
    at.kernel.tasks.freeze_group(at.container, at.group, on);
    Ok(())
}

fn kill(at: &At<'_>, text: &str) -> Result<()> {
    match text.parse::<i64>() {
        Ok(1) => {}
        Ok(_) => return Err(Errno::ERANGE),
        Err(_) => return Err(Errno::EINVAL),
    }
    for task in at.threads(true) {
        let _ = task.group.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
    }
    Ok(())
}

fn stat(at: &At<'_>) -> Result<String> {
    let beneath = at.group.subtree().len().saturating_sub(1);
    Ok(format!("nr_descendants {beneath}\nnr_dying_descendants 0\n"))
}

#[cfg(test)]
mod tests;
