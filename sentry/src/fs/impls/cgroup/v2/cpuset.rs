//! The cpuset controller. What is not set is what the group above has.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use super::super::v1::cpuset::{CPUS, MEMS, parse, show, there};
use crate::cgroup::Group;

const PARTITION: &str = "cpuset.cpus.partition";

pub fn files() -> Vec<Def> {
    vec![
        def(CPUS, Kind::Change(kept, set)),
        def("cpuset.cpus.effective", Kind::Read(|at| effective(at, CPUS))),
        def(PARTITION, Kind::Change(partition, set_partition)),
        def(MEMS, Kind::Change(kept, set)),
        def("cpuset.mems.effective", Kind::Read(|at| effective(at, MEMS))),
    ]
}

fn kept(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", at.group.value(at.name).unwrap_or_default()))
}

fn set(at: &At<'_>, text: &str) -> Result<()> {
    let new = parse(text).ok_or(Errno::EINVAL)?;
    if new.iter().any(|n| *n >= there(at, at.name)) {
        return Err(Errno::EINVAL);
    }
    at.group.set_value(at.name, show(&new));
    Ok(())
}

fn effective(at: &At<'_>, name: &str) -> Result<String> {
    let all = (0..there(at, name)).collect();
    Ok(format!("{}\n", show(&within(at.group, name, all))))
}

/// From the top down: what each has left of what the one above has, or all of that.
fn within(group: &Group, name: &str, all: Vec<u32>) -> Vec<u32> {
    let above = match group.parent() {
        Some(parent) => within(&parent, name, all),
        None => all,
    };
    let own = group.value(name).and_then(|text| parse(&text)).unwrap_or_default();
    let both: Vec<u32> = above.iter().copied().filter(|n| own.contains(n)).collect();
    if both.is_empty() { above } else { both }
}

/// Processors of a group's own are the host's to give: a wish for them is kept, and shown as one that did not come true.
fn partition(at: &At<'_>) -> Result<String> {
    let wish = |group: &Group| group.value(PARTITION).filter(|wish| wish != "member");
    let Some(wished) = wish(at.group) else {
        return Ok("member\n".to_owned());
    };
    let why = match at.group.parent().and_then(|parent| wish(&parent)) {
        Some(_) => "Parent is an invalid partition root",
        None => "Parent is not a partition root",
    };
    Ok(format!("{wished} invalid ({why})\n"))
}

fn set_partition(at: &At<'_>, text: &str) -> Result<()> {
    match text {
        "member" | "root" | "isolated" => at.group.set_value(PARTITION, text.to_owned()),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
