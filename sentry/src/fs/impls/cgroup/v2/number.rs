//! How many groups there may be beneath one.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use crate::cgroup::Group;

const DEPTH: &str = "cgroup.max.depth";
const DESCENDANTS: &str = "cgroup.max.descendants";

pub fn files() -> Vec<Def> {
    let limit = |name| def(name, Kind::Change(show, set));
    vec![limit(DEPTH), limit(DESCENDANTS)]
}

fn show(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", at.group.value(at.name).unwrap_or("max".to_owned())))
}

fn set(at: &At<'_>, text: &str) -> Result<()> {
    if text != "max" {
        let number: i32 = text.parse().map_err(|_| Errno::EINVAL)?;
        u32::try_from(number).map_err(|_| Errno::ERANGE)?;
    }
    at.group.set_value(at.name, text.to_owned());
    Ok(())
}

/// Whether one more may be made in it (`cgroup_check_hierarchy_limits`).
pub fn has_room(parent: &Arc<Group>) -> bool {
    let most = |group: &Group, name: &str| group.value(name)?.parse::<usize>().ok();
    (1_usize..).zip(parent.upwards()).all(|(level, group)| {
        let deep = most(&group, DEPTH).is_some_and(|most| level > most);
        // It is in its subtree itself.
        let many = most(&group, DESCENDANTS).is_some_and(|most| group.subtree().len() > most);
        !deep && !many
    })
}
