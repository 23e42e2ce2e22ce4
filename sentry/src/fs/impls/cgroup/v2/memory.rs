//! The memory controller.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use super::super::v1::memory::{most, usage, used};
use super::super::v1::zero;
use super::{MAX, limit, set_limit};
use crate::cgroup::NO_LIMIT;

/// The host's kernel is the one that refuses memory; the guest's counts no such events.
const EVENTS: &str = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n";

pub fn files() -> Vec<Def> {
    let mut files = vec![
        def("memory.current", Kind::Read(usage)),
        def("memory.events", Kind::Fixed(EVENTS)),
        def("memory.events.local", Kind::Fixed(EVENTS)),
        def("memory.numa_stat", Kind::Read(numa)),
        def("memory.oom.group", Kind::Number(0, 0..=1)),
        def("memory.peak", Kind::Read(most)),
        def("memory.stat", Kind::Read(stat)),
        def("memory.swap.current", Kind::Read(zero)),
        def("memory.swap.events", Kind::Fixed("high 0\nmax 0\nfail 0\n")),
        def("memory.swap.peak", Kind::Read(zero)),
        def("memory.zswap.current", Kind::Read(zero)),
        def("memory.zswap.writeback", Kind::Number(1, 0..=1)),
    ];
    for name in [
        "memory.high",
        MAX,
        "memory.swap.high",
        "memory.swap.max",
        "memory.zswap.max",
    ] {
        files.push(def(name, Kind::Change(|at| limit(at, NO_LIMIT), set_limit)));
    }
    // What nobody takes away from it.
    for name in ["memory.low", "memory.min"] {
        files.push(def(name, Kind::Change(|at| limit(at, 0), set_limit)));
    }
    files.push(def("memory.reclaim", Kind::Order(reclaim)));
    files
}

/// There is nothing to give back.
fn reclaim(_: &At<'_>, text: &str) -> Result<()> {
    match super::parse_limit(text) {
        Some(0) => Ok(()),
        Some(_) => Err(Errno::EAGAIN),
        None => Err(Errno::EINVAL),
    }
}

/// All resident memory counts as anonymous.
fn stat(at: &At<'_>) -> Result<String> {
    let used = used(at, true);
    let value = |name: &str| match name {
        "anon" | "active_anon" => used.bytes,
        "pgfault" => used.faults.0,
        "pgmajfault" => used.faults.1,
        _ => 0,
    };
    Ok(ROWS.iter().map(|name| format!("{name} {}\n", value(name))).collect())
}

fn numa(at: &At<'_>) -> Result<String> {
    let bytes = used(at, true).bytes;
    let value = |name: &str| match name {
        "anon" | "active_anon" => bytes,
        _ => 0,
    };
    let last = ROWS.iter().position(|name| *name == LAST_OF_NODE).unwrap_or(0);
    Ok(ROWS
        .iter()
        .take(last.saturating_add(1))
        .filter(|name| !NOT_OF_NODE.contains(name))
        .map(|name| format!("{name} N0={}\n", value(name)))
        .collect())
}

/// In the order of Linux 6.1.
const ROWS: &[&str] = &[
    "anon",
    "file",
    "kernel",
    "kernel_stack",
    "pagetables",
    "sec_pagetables",
    "percpu",
    "sock",
    "vmalloc",
    "shmem",
    "zswap",
    "zswapped",
    "file_mapped",
    "file_dirty",
    "file_writeback",
    "swapcached",
    "anon_thp",
    "file_thp",
    "shmem_thp",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "slab",
    "workingset_refault_anon",
    "workingset_refault_file",
    "workingset_activate_anon",
    "workingset_activate_file",
    "workingset_restore_anon",
    "workingset_restore_file",
    "workingset_nodereclaim",
    "pgscan",
    "pgsteal",
    "pgscan_kswapd",
    "pgscan_direct",
    "pgsteal_kswapd",
    "pgsteal_direct",
    "pgfault",
    "pgmajfault",
    "pgrefill",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pglazyfreed",
    "zswpin",
    "zswpout",
    "thp_fault_alloc",
    "thp_collapse_alloc",
];

/// The last that is of nodes, and those before it that are not.
const LAST_OF_NODE: &str = "workingset_nodereclaim";
const NOT_OF_NODE: &[&str] = &["kernel", "percpu", "sock", "vmalloc", "zswap", "zswapped", "slab"];
