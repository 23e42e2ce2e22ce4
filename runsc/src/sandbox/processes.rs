//! Which processes of the host carry the guest's.

use std::collections::HashMap;
use std::fs;

use sentry::boot::control::ProcessInfo;

use super::control;
use crate::commands::Env;
use crate::error::{Error, Result};
use crate::state::Record;

/// Host pids of the guest's processes, in the order of their numbers in the container.
pub fn host_pids(env: &Env<'_>, record: &Record) -> Result<Vec<i32>> {
    let list = list(env, record)?;
    let translation = translation(record)?;
    let host = |process: &ProcessInfo| translation.get(&process.host_pid?).copied();
    Ok(list.iter().filter_map(host).collect())
}

/// Host pids of everything in the sandbox's pid namespace, with the sandbox's own helpers.
pub fn all_host_pids(record: &Record) -> Result<Vec<i32>> {
    Ok(translation(record)?.into_values().collect())
}

/// The host pid of a process in the sandbox's pid namespace.
pub fn host_pid(record: &Record, inner: i32) -> Result<i32> {
    let found = translation(record)?.get(&inner).copied();
    found.ok_or_else(|| Error::new(format!("the sandbox has no process {inner}")))
}

/// What the guest's kernel knows of its processes.
pub fn list(env: &Env<'_>, record: &Record) -> Result<Vec<ProcessInfo>> {
    control::processes(&env.store.sandbox_dir(record), &record.id)
}

/// From numbers in the sandbox's pid namespace to those of this process's.
fn translation(record: &Record) -> Result<HashMap<i32, i32>> {
    let sandbox = record.sentry().ok_or_else(|| Error::new("container not running"))?;
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let inside = namespace(sandbox.pid);
    let inner = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        // Others of the group, such as the Gofer, count in a namespace of their own.
        (namespace(pid) == inside).then_some(())?;
        numbers.split_whitespace().last()?.parse().ok()
    };
    Ok(candidates(record)
        .into_iter()
        .filter_map(|pid| Some((inner(pid)?, pid)))
        .collect())
}

/// Processes among which the sandbox's are.
fn candidates(record: &Record) -> Vec<i32> {
    // The processes of a pod's containers may be in any group of the pod.
    let own = record.cgroup.as_ref().filter(|_| record.pod.is_none());
    let group = own.and_then(|c| c.dirs.first());
    if let Some(text) = group.and_then(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok()) {
        return text.lines().filter_map(|pid| pid.parse().ok()).collect();
    }
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
