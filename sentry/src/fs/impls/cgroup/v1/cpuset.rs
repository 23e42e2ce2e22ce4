//! The cpuset controller. A new group has no processor and no memory, and nobody can enter it until it has.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use super::zero;
use crate::cgroup::Group;

pub const CPUS: &str = "cpuset.cpus";
pub const MEMS: &str = "cpuset.mems";

/// Most numbers of a list.
const MOST: u32 = 4096;

pub fn files() -> Vec<Def> {
    let mut files = vec![
        def(CPUS, Kind::Change(|at| text(at, CPUS), |at, list| set(at, CPUS, list))),
        def(MEMS, Kind::Change(|at| text(at, MEMS), |at, list| set(at, MEMS, list))),
        def("cpuset.effective_cpus", Kind::Read(|at| text(at, CPUS))),
        def("cpuset.effective_mems", Kind::Read(|at| text(at, MEMS))),
        def("cpuset.memory_pressure", Kind::Read(zero)),
        def("cpuset.sched_load_balance", Kind::Number(1, 0..=1)),
        def("cpuset.sched_relax_domain_level", Kind::Number(-1, -1..=5)),
    ];
    for name in [
        "cpuset.cpu_exclusive",
        "cpuset.mem_exclusive",
        "cpuset.mem_hardwall",
        "cpuset.memory_migrate",
        "cpuset.memory_spread_page",
        "cpuset.memory_spread_slab",
    ] {
        files.push(def(name, Kind::Number(0, 0..=1)));
    }
    files
}

/// The guest's processors, or its one memory.
pub fn there(at: &At<'_>, name: &str) -> u32 {
    match name {
        CPUS => at.kernel.config.cpus.max(1),
        _ => 1,
    }
}

fn list(at: &At<'_>, group: &Group, name: &str) -> Vec<u32> {
    match group.value(name) {
        Some(text) => parse(&text).unwrap_or_default(),
        None if group.is_top() => (0..there(at, name)).collect(),
        None => Vec::new(),
    }
}

fn text(at: &At<'_>, name: &str) -> Result<String> {
    Ok(format!("{}\n", show(&list(at, at.group, name))))
}

/// `validate_change`
fn set(at: &At<'_>, name: &str, text: &str) -> Result<()> {
    let new = parse(text).ok_or(Errno::EINVAL)?;
    if new.iter().any(|n| *n >= there(at, name)) {
        return Err(Errno::EINVAL);
    }
    let within = |of: &[u32], all: &[u32]| of.iter().all(|n| all.contains(n));
    if at
        .group
        .children()
        .iter()
        .any(|child| !within(&list(at, child, name), &new))
    {
        return Err(Errno::EBUSY);
    }
    if let Some(parent) = at.group.parent()
        && !within(&new, &list(at, &parent, name))
    {
        return Err(Errno::EACCES);
    }
    if new.is_empty() && !at.threads(false).is_empty() {
        return Err(Errno::ENOSPC);
    }
    at.group.set_value(name, show(&new));
    Ok(())
}

/// `ENOSPC` where a task would have nothing to run on.
pub fn may_enter(at: &At<'_>) -> Result<()> {
    match [CPUS, MEMS].iter().any(|name| list(at, at.group, name).is_empty()) {
        true => Err(Errno::ENOSPC),
        false => Ok(()),
    }
}

/// `cgroup.clone_children`: a new group has what the one above has.
pub fn copy(parent: &Arc<Group>, child: &Arc<Group>) {
    for name in [CPUS, MEMS] {
        if let Some(value) = parent.value(name) {
            child.set_value(name, value);
        }
    }
}

/// A list as `0-2,7`.
pub fn parse(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        all.extend(first..=last);
        all.sort_unstable();
        all.dedup();
    }
    Some(all)
}

pub fn show(list: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &n in list {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => ranges.push((n, n)),
        }
    }
    let one = |&(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(show(&parse("7,0-2,1").unwrap()), "0-2,7");
        assert_eq!(show(&parse("").unwrap()), "");
        for wrong in ["x", "2-1", "-", "1-", "99999"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
