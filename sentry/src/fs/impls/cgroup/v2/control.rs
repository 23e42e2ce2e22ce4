//! Which controllers a group has and gives to those beneath it, and where processes may be for that (the no-internal-process rule).

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::super::file::At;
use crate::cgroup::{Group, Hierarchy};

/// Controllers that cgroup v2 has, and the guest's kernel files for.
pub const KNOWN: [&str; 8] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];

/// Those that can divide what threads of one process have.
const THREADED: [&str; 3] = ["cpu", "cpuset", "pids"];

pub const GIVEN: &str = "cgroup.subtree_control";

/// Those that groups right beneath it have, in the kernel's order.
fn given(group: &Group) -> Vec<String> {
    let text = group.value(GIVEN).unwrap_or_default();
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Those that it has itself.
fn own(hierarchy: &Hierarchy, group: &Group) -> Vec<String> {
    match group.parent() {
        None => hierarchy.config.controllers.clone(),
        Some(parent) => given(&parent),
    }
}

/// Whether the group has that controller.
pub fn has(hierarchy: &Hierarchy, group: &Group, controller: &str) -> bool {
    own(hierarchy, group).iter().any(|c| c == controller)
}

fn line(words: &[String]) -> String {
    format!("{}\n", words.join(" "))
}

/// `cgroup.controllers`
pub fn show_own(at: &At<'_>) -> Result<String> {
    Ok(line(&own(at.hierarchy, at.group)))
}

/// `cgroup.subtree_control`
pub fn show_given(at: &At<'_>) -> Result<String> {
    Ok(line(&given(at.group)))
}

/// `cgroup.type`
pub fn kind(at: &At<'_>) -> Result<String> {
    let above = at.group.parent();
    let invalid = above.is_some_and(|parent| parent.upwards().any(|group| is_of_threads(&at.of(&group))));
    Ok(match (invalid, is_of_threads(at)) {
        (true, _) => "domain invalid\n",
        (false, true) => "domain threaded\n",
        (false, false) => "domain\n",
    }
    .to_owned())
}

/// What a write to `cgroup.subtree_control` asks for: controllers to give, and to take back.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    give: Vec<&'static str>,
    take: Vec<&'static str>,
}

/// The last word about a controller counts.
fn parse(text: &str) -> Result<Wish> {
    let (mut give, mut take) = (Vec::new(), Vec::new());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let known = |name: &str| KNOWN.into_iter().find(|c| *c == name).ok_or(Errno::EINVAL);
        let (name, to, from) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => (known(name)?, &mut give, &mut take),
            (_, Some(name)) => (known(name)?, &mut take, &mut give),
            _ => return Err(Errno::EINVAL),
        };
        to.push(name);
        from.retain(|other| *other != name);
    }
    Ok(Wish { give, take })
}

/// `cgroup_subtree_control_write`
pub fn set_given(at: &At<'_>, text: &str) -> Result<()> {
    let mut wish = parse(text)?;
    let (now, own) = (given(at.group), own(at.hierarchy, at.group));
    let is_in = |list: &[String], name: &str| list.iter().any(|c| c == name);
    wish.give.retain(|name| !is_in(&now, name));
    wish.take.retain(|name| is_in(&now, name));
    if wish.give.iter().any(|name| !is_in(&own, name)) {
        return Err(Errno::ENOENT);
    }
    let children = at.group.children();
    let passed_on = |name: &&str| children.iter().any(|child| is_in(&given(child), name));
    if wish.take.iter().any(passed_on) {
        return Err(Errno::EBUSY);
    }
    may_give(at, &wish.give)?;
    let mut new = own;
    new.retain(|name| (is_in(&now, name) || wish.give.contains(&&**name)) && !wish.take.contains(&&**name));
    at.group.set_value(GIVEN, new.join(" "));
    // What comes back later is new.
    for child in &children {
        wish.take.iter().for_each(|name| child.forget(name));
    }
    Ok(())
}

/// The host's root may have processes beside groups; no other can.
fn is_root(at: &At<'_>) -> bool {
    at.group.is_top() && at.hierarchy.config.group.is_empty()
}

/// `cgroup_vet_subtree_control_enable`
fn may_give(at: &At<'_>, new: &[&str]) -> Result<()> {
    if new.is_empty() || is_root(at) {
        return Ok(());
    }
    match new.iter().any(|name| !THREADED.contains(name)) {
        true if is_of_threads(at) => return Err(Errno::EOPNOTSUPP),
        false if can_be_of_threads(at) => return Ok(()),
        _ => {}
    }
    match at.threads(false).is_empty() {
        true => Ok(()),
        false => Err(Errno::EBUSY),
    }
}

/// `cgroup_migrate_vet_dst`
pub fn may_hold(at: &At<'_>) -> Result<()> {
    if kind(at)? == "domain invalid\n" {
        return Err(Errno::EOPNOTSUPP);
    }
    if is_root(at) || can_be_of_threads(at) || given(at.group).is_empty() {
        return Ok(());
    }
    Err(Errno::EBUSY)
}

/// Processes in it share with those beneath what works by threads: groups there are for threads alone.
fn is_of_threads(at: &At<'_>) -> bool {
    let shares = given(at.group).iter().any(|name| THREADED.contains(&&**name));
    shares && !is_root(at) && !at.threads(false).is_empty()
}

fn can_be_of_threads(at: &At<'_>) -> bool {
    let populated = at
        .group
        .children()
        .iter()
        .any(|child| !at.of(child).threads(true).is_empty());
    !populated && given(at.group).iter().all(|name| THREADED.contains(&&**name))
}

impl<'a> At<'a> {
    /// The same file of another group.
    fn of<'b>(&self, group: &'b Arc<Group>) -> At<'b>
    where
        'a: 'b,
    {
        At { group, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        let wish = parse("+cpu  -memory +memory -cpu +pids").unwrap();
        assert_eq!((wish.give, wish.take), (vec!["memory", "pids"], vec!["cpu"]));
        for wrong in ["cpu", "+", "+nope", "+cpu,+pids", "+cpuacct", "*pids"] {
            assert_eq!(parse(wrong), Err(Errno::EINVAL), "{wrong}");
        }
    }
}
