//! The memory controller.

use std::collections::HashSet;

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use super::{reset, zero};
use crate::cgroup::{NO_LIMIT, parse_bytes};

const LIMIT: &str = "memory.limit_in_bytes";
const BOTH: &str = "memory.memsw.limit_in_bytes";
pub const SWAPPINESS: &str = "memory.swappiness";
pub const OOM_DISABLED: &str = "memory.oom_control";

pub fn files() -> Vec<Def> {
    let mut files = vec![
        def("memory.force_empty", Kind::Order(|_, _| Ok(()))),
        def(
            "memory.kmem.limit_in_bytes",
            Kind::Change(|at| kept(at, at.name), |_, _| Err(Errno::EOPNOTSUPP)),
        ),
        def("memory.kmem.tcp.limit_in_bytes", Kind::Bytes),
        def("memory.kmem.tcp.usage_in_bytes", Kind::Read(zero)),
        def("memory.kmem.usage_in_bytes", Kind::Read(zero)),
        def(LIMIT, Kind::Change(|at| kept(at, LIMIT), set_limit)),
        def(BOTH, Kind::Change(|at| kept(at, BOTH), set_both)),
        def("memory.memsw.usage_in_bytes", Kind::Read(usage)),
        def("memory.move_charge_at_immigrate", Kind::Number(0, 0..=3)),
        def("memory.numa_stat", Kind::Read(numa)),
        def(OOM_DISABLED, Kind::Change(oom, set_oom)),
        def("memory.soft_limit_in_bytes", Kind::Bytes),
        def("memory.stat", Kind::Read(stat)),
        def(SWAPPINESS, Kind::Number(60, 0..=200)),
        def("memory.usage_in_bytes", Kind::Read(usage)),
        def("memory.use_hierarchy", Kind::Number(1, 1..=1)),
    ];
    // The host's kernel is the one that refuses memory; the guest's counts no failures.
    for name in [
        "memory.failcnt",
        "memory.kmem.failcnt",
        "memory.kmem.tcp.failcnt",
        "memory.memsw.failcnt",
    ] {
        files.push(def(name, Kind::Change(zero, reset)));
    }
    for name in ["memory.kmem.max_usage_in_bytes", "memory.kmem.tcp.max_usage_in_bytes"] {
        files.push(def(name, Kind::Change(zero, reset)));
    }
    for name in ["memory.max_usage_in_bytes", "memory.memsw.max_usage_in_bytes"] {
        files.push(def(name, Kind::Change(most, forget_most)));
    }
    files
}

/// Memory that processes have, and their faults: all, and those that read from a disk.
#[derive(Default)]
pub struct Used {
    pub bytes: u64,
    pub faults: (u64, u64),
}

pub fn used(at: &At<'_>, beneath: bool) -> Used {
    let mut seen = HashSet::new();
    let mut used = Used::default();
    for task in at.threads(beneath) {
        if let Some(mm) = task.mm()
            && seen.insert(mm.id)
        {
            let (minor, major) = mm.aspace().faults();
            used.bytes = used.bytes.saturating_add(mm.memory_use().resident);
            used.faults.0 = used.faults.0.saturating_add(minor).saturating_add(major);
            used.faults.1 = used.faults.1.saturating_add(major);
        }
    }
    used
}

const MOST: &str = "memory.most seen";

/// What is used now; the most that was ever seen here is kept.
fn current(at: &At<'_>) -> u64 {
    let bytes = used(at, true).bytes;
    let before = at.number(MOST).unwrap_or(0).unsigned_abs();
    if bytes > before {
        at.group.set_value(MOST, bytes.to_string());
    }
    bytes
}

pub fn usage(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", current(at)))
}

pub fn most(at: &At<'_>) -> Result<String> {
    current(at);
    Ok(format!("{}\n", at.number(MOST).unwrap_or(0)))
}

fn forget_most(at: &At<'_>, text: &str) -> Result<()> {
    reset(at, text)?;
    at.group.set_value(MOST, "0".to_owned());
    Ok(())
}

fn limit(at: &At<'_>, name: &str) -> i64 {
    at.number(name).unwrap_or(NO_LIMIT)
}

fn kept(at: &At<'_>, name: &str) -> Result<String> {
    Ok(format!("{}\n", limit(at, name)))
}

fn set_limit(at: &At<'_>, text: &str) -> Result<()> {
    let bytes = parse_bytes(text).ok_or(Errno::EINVAL)?;
    if bytes > limit(at, BOTH) {
        return Err(Errno::EINVAL);
    }
    set(at, LIMIT, bytes)
}

/// Memory and swap together are not less than memory.
fn set_both(at: &At<'_>, text: &str) -> Result<()> {
    let bytes = parse_bytes(text).ok_or(Errno::EINVAL)?;
    if bytes < limit(at, LIMIT) {
        return Err(Errno::EINVAL);
    }
    set(at, BOTH, bytes)
}

fn set(at: &At<'_>, name: &str, bytes: i64) -> Result<()> {
    if at.by.is_some() && bytes.unsigned_abs() < current(at) {
        return Err(Errno::EBUSY);
    }
    at.group.set_value(name, bytes.to_string());
    Ok(())
}

fn oom(at: &At<'_>) -> Result<String> {
    let disabled = at.number(OOM_DISABLED).unwrap_or(0);
    Ok(format!("oom_kill_disable {disabled}\nunder_oom 0\noom_kill 0\n"))
}

fn set_oom(at: &At<'_>, text: &str) -> Result<()> {
    match text {
        "0" | "1" => at.group.set_value(OOM_DISABLED, text.to_owned()),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// The least limit of the group and those above it.
fn least(at: &At<'_>, name: &str) -> i64 {
    let limits = at.group.upwards().filter_map(|group| group.number(name));
    limits.min().unwrap_or(NO_LIMIT)
}

fn rows(used: &Used, prefix: &str) -> String {
    let (bytes, (faults, major)) = (used.bytes, used.faults);
    let rows = [
        ("cache", 0),
        ("rss", bytes),
        ("rss_huge", 0),
        ("shmem", 0),
        ("mapped_file", 0),
        ("dirty", 0),
        ("writeback", 0),
        ("swap", 0),
        ("pgpgin", 0),
        ("pgpgout", 0),
        ("pgfault", faults),
        ("pgmajfault", major),
        ("inactive_anon", 0),
        ("active_anon", bytes),
        ("inactive_file", 0),
        ("active_file", 0),
        ("unevictable", 0),
    ];
    rows.iter()
        .map(|(name, value)| format!("{prefix}{name} {value}\n"))
        .collect()
}

fn stat(at: &At<'_>) -> Result<String> {
    let mut text = rows(&used(at, false), "");
    text.push_str(&format!("hierarchical_memory_limit {}\n", least(at, LIMIT)));
    let host = &at.hierarchy.config.files;
    if host.is_empty() || host.iter().any(|name| name == BOTH) {
        text.push_str(&format!("hierarchical_memsw_limit {}\n", least(at, BOTH)));
    }
    text.push_str(&rows(&used(at, true), "total_"));
    Ok(text)
}

fn numa(at: &At<'_>) -> Result<String> {
    let mut text = String::new();
    for (prefix, beneath) in [("", false), ("hierarchical_", true)] {
        let pages = used(at, beneath).bytes / 4096;
        for (name, pages) in [("total", pages), ("file", 0), ("anon", pages), ("unevictable", 0)] {
            text.push_str(&format!("{prefix}{name}={pages} N0={pages}\n"));
        }
    }
    Ok(text)
}
