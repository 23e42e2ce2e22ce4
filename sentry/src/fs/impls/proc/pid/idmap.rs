//! `/proc/PID/{uid_map,gid_map,setgroups}` (`user_namespaces(7)`).

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

use super::Proc;
use crate::cred::{UserNamespace, cap};
use crate::fs::impls::proc::reader_ns;
use crate::fs::impls::pseudo::trim;
use crate::task::{Task, current};

/// Most lines of a map (`UID_GID_MAP_MAX_EXTENTS`).
const MAX_LINES: usize = 340;

/// (first inside, first global, count)
type Map = Vec<(u32, u32, u32)>;

fn show(map: &Map, viewed: &UserNamespace, out: impl Fn(u32) -> Option<u32>) -> Vec<u8> {
    let _ = viewed;
    let mut text = String::new();
    for &(inside, global, count) in map {
        let lower = out(global).unwrap_or(u32::MAX);
        let _ = writeln!(text, "{inside:10} {lower:10} {count:10}");
    }
    text.into_bytes()
}

/// A global id as shown to a reader: in its own namespace, or in the parent's for a reader inside.
fn lower_ns(task: &Arc<Task>, proc: &Proc) -> (Arc<UserNamespace>, Arc<UserNamespace>) {
    let ns = task.cred().user_ns.clone();
    let reader = reader_ns(&proc.kernel);
    let lower = match &ns.parent {
        Some(parent) if reader.id == ns.id => parent.clone(),
        _ => reader,
    };
    (ns, lower)
}

fn out_of(map: &Map, id: u32) -> Option<u32> {
    map.iter().find_map(|&(inside, global, count)| {
        let off = id.checked_sub(global).filter(|&o| o < count)?;
        inside.checked_add(off)
    })
}

/// The first namespace's ids as the host has them, where the configuration gave it a map.
fn outermost(proc: &Proc, ns: &UserNamespace, ids: Ids) -> Option<Vec<u8>> {
    let [users, groups] = &*proc.kernel.outer_ids.lock();
    let map = if ids == Ids::User { users } else { groups };
    let shown = ns.parent.is_none() && !map.is_empty();
    shown.then(|| show(map, ns, Some))
}

pub(super) fn uid_map(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let (ns, lower) = lower_ns(task, proc);
    if let Some(text) = outermost(proc, &ns, Ids::User) {
        return Ok(text);
    }
    let map = ns.uid_map.lock().clone();
    Ok(show(&map, &lower, |id| out_of(&lower.uid_map.lock(), id)))
}

pub(super) fn gid_map(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let (ns, lower) = lower_ns(task, proc);
    if let Some(text) = outermost(proc, &ns, Ids::Group) {
        return Ok(text);
    }
    let map = ns.gid_map.lock().clone();
    Ok(show(&map, &lower, |id| out_of(&lower.gid_map.lock(), id)))
}

pub(super) fn projid_map(_: &Proc, _: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(format!("{:10} {:10} {:10}\n", 0, 0, u32::MAX).into_bytes())
}

pub(super) fn setgroups(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let denied = task.cred().user_ns.setgroups_denied.load(Ordering::SeqCst);
    Ok(if denied {
        b"deny\n".to_vec()
    } else {
        b"allow\n".to_vec()
    })
}

pub(super) fn set_setgroups(_: &Proc, task: &Arc<Task>, data: &[u8], pos: u64) -> Result<usize> {
    let me = current().ok_or(Errno::EPERM)?;
    let ns = task.cred().user_ns.clone();
    if !me.cred().has_cap_in(&ns, cap::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    if pos != 0 || data.len() >= 8 {
        return Err(Errno::EINVAL);
    }
    match trim(data) {
        b"allow" => {
            if ns.setgroups_denied.load(Ordering::SeqCst) {
                return Err(Errno::EPERM);
            }
        }
        b"deny" => {
            if !ns.gid_map.lock().is_empty() {
                return Err(Errno::EPERM);
            }
            ns.setgroups_denied.store(true, Ordering::SeqCst);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(data.len())
}

/// Lines of three numbers; ranges must not overlap.
fn parse(data: &[u8]) -> Result<Map> {
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    let mut map: Map = Vec::new();
    for line in text.split('\n') {
        if line.trim().is_empty() {
            continue;
        }
        let mut numbers = line
            .split_ascii_whitespace()
            .map(|w| w.parse::<u32>().map_err(|_| Errno::EINVAL));
        let mut next = || numbers.next().ok_or(Errno::EINVAL)?;
        let (inside, lower, count) = (next()?, next()?, next()?);
        if numbers.next().is_some() || inside == u32::MAX || lower == u32::MAX || count == 0 {
            return Err(Errno::EINVAL);
        }
        let (Some(end), Some(lower_end)) = (inside.checked_add(count), lower.checked_add(count)) else {
            return Err(Errno::EINVAL);
        };
        let overlaps = |&(i, l, c): &(u32, u32, u32)| {
            (inside < i.saturating_add(c) && i < end) || (lower < l.saturating_add(c) && l < lower_end)
        };
        if map.iter().any(overlaps) {
            return Err(Errno::EINVAL);
        }
        map.push((inside, lower, count));
        if map.len() > MAX_LINES {
            return Err(Errno::EINVAL);
        }
    }
    if map.is_empty() { Err(Errno::EINVAL) } else { Ok(map) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ids {
    User,
    Group,
}

fn set(task: &Arc<Task>, data: &[u8], pos: u64, ids: Ids) -> Result<usize> {
    let me = current().ok_or(Errno::EPERM)?;
    let cred = me.cred();
    let ns = task.cred().user_ns.clone();
    let parent = ns.parent.clone().ok_or(Errno::EPERM)?;
    if cred.user_ns.id != ns.id && cred.user_ns.id != parent.id {
        return Err(Errno::EPERM);
    }
    if pos != 0 || data.len() >= 4096 {
        return Err(Errno::EINVAL);
    }
    let asked = parse(data)?;
    if !cred.has_cap_in(&ns, cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    // Like Linux's `user_namespace.c:verify_root_map`.
    let maps_root = ids == Ids::User && asked.iter().any(|&(_, lower, _)| lower == 0);
    let may_map_root = if cred.user_ns.id == ns.id {
        ns.creator_had_setfcap
    } else {
        cred.has_cap_in(&parent, cap::SETFCAP)
    };
    if maps_root && !may_map_root {
        return Err(Errno::EPERM);
    }
    let capability = if ids == Ids::User { cap::SETUID } else { cap::SETGID };
    if !cred.has_cap_in(&parent, capability) {
        // Without privilege above: one line that maps the writer's own id, groups only once setgroups(2) is denied.
        let own = if ids == Ids::User { cred.euid } else { cred.egid };
        let (&[(_, lower, 1)], true) = (asked.as_slice(), ns.owner == cred.euid) else {
            return Err(Errno::EPERM);
        };
        let global = if ids == Ids::User {
            parent.uid_in(lower)
        } else {
            parent.gid_in(lower)
        };
        if global != Ok(own) || (ids == Ids::Group && !ns.setgroups_denied.load(Ordering::SeqCst)) {
            return Err(Errno::EPERM);
        }
    }
    let mut map = Map::new();
    for (inside, lower, count) in asked {
        let (first, last) = (lower, lower.saturating_add(count - 1));
        let of = |id| {
            if ids == Ids::User {
                parent.uid_in(id)
            } else {
                parent.gid_in(id)
            }
        };
        let (global, global_last) = (
            of(first).map_err(|_| Errno::EPERM)?,
            of(last).map_err(|_| Errno::EPERM)?,
        );
        // A range must lie in one range of the parent's map.
        if global_last.checked_sub(global) != Some(count - 1) {
            return Err(Errno::EPERM);
        }
        map.push((inside, global, count));
    }
    let slot = if ids == Ids::User { &ns.uid_map } else { &ns.gid_map };
    let mut slot = slot.lock();
    if !slot.is_empty() {
        return Err(Errno::EPERM);
    }
    *slot = map;
    Ok(data.len())
}

pub(super) fn set_uid_map(_: &Proc, task: &Arc<Task>, data: &[u8], pos: u64) -> Result<usize> {
    set(task, data, pos, Ids::User)
}

pub(super) fn set_gid_map(_: &Proc, task: &Arc<Task>, data: &[u8], pos: u64) -> Result<usize> {
    set(task, data, pos, Ids::Group)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use abi::Errno;

    #[test]
    fn maps_are_parsed_and_overlaps_refused() {
        assert_eq!(parse(b"0 1000 1\n1 2000 10"), Ok(vec![(0, 1000, 1), (1, 2000, 10)]));
        assert_eq!(parse(b"0 1000 2\n1 2000 10\n"), Err(Errno::EINVAL));
        assert_eq!(parse(b"0 1000 0\n"), Err(Errno::EINVAL));
        assert_eq!(parse(b"0 1000\n"), Err(Errno::EINVAL));
        assert_eq!(parse(b"0 4294967290 10\n"), Err(Errno::EINVAL));
        assert_eq!(parse(b"\n"), Err(Errno::EINVAL));
    }
}
