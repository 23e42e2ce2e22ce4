//! `runsc update`.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use super::Env;
use super::pause::open;
use crate::cgroup::{self, CgroupRecord};
use crate::config;
use crate::error::{Context, Error, Result};
use crate::sandbox::{control, processes};
use crate::state::Status;

/// No honest list of limits comes near it.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Args)]
pub struct UpdateArgs {
    /// Take the limits from this file, `linux.resources` of a config.json; - stands for standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,

    /// Memory, in bytes or with K, M, G; -1: without limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    memory: Option<i64>,

    /// Memory and swap together
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    memory_swap: Option<i64>,

    /// Memory to be kept when it is short
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    memory_reservation: Option<i64>,

    /// Accepted for scripts written for runc: the kernel has given this limit up
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    kernel_memory: Option<i64>,

    /// Likewise
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    kernel_memory_tcp: Option<i64>,

    /// Length of a period, in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,

    /// Processor time in a period, in microseconds; -1: without limit
    #[arg(long, value_name = "US", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,

    /// Length of a period of realtime processes, in microseconds
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,

    /// Their processor time in a period, in microseconds
    #[arg(long, value_name = "US")]
    cpu_rt_runtime: Option<i64>,

    /// Share of processor time against other groups
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,

    /// Processors to use: 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Threads of the guest; -1: without limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,

    /// Share of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,

    /// Container
    id: String,
}

pub fn run(env: &Env<'_>, args: &UpdateArgs) -> Result<i32> {
    let resources = resources(args)?;
    if env.store.load(&args.id)?.cgroup.is_none() {
        adopt(env, &args.id)?;
    }
    let (_container, record) = open(env, &args.id)?;
    if !matches!(record.status(), Status::Created | Status::Running | Status::Paused) {
        return Err(Error::new(format!(
            "container not running: {} is {}",
            args.id,
            record.status().name()
        )));
    }
    let cgroup = record
        .cgroup
        .as_ref()
        .ok_or_else(|| Error::new("the container has no cgroup"))?;
    let mut notes = Vec::new();
    cgroup::update(cgroup, &resources, &mut notes).map_err(|e| renamed(&e))?;
    for note in &notes {
        env.log.tell(&renamed(&Error::new(note)).to_string());
    }
    let (limit, values) = (
        cgroup::pids_limit(&resources),
        cgroup::guest::values(&resources, Some(cgroup)),
    );
    if limit.is_some() || !values.is_empty() {
        control::update(&env.store.sandbox_dir(&record), &args.id, limit, values)?;
    }
    Ok(0)
}

/// Gives a running container the group that its config.json did not ask for.
pub fn adopt(env: &Env<'_>, id: &str) -> Result<CgroupRecord> {
    let (container, mut record) = open(env, id)?;
    if let Some(cgroup) = record.cgroup {
        return Ok(cgroup);
    }
    let mut intent = |cgroup: &CgroupRecord| {
        record.cgroup = Some(cgroup.clone());
        container.write(&record)
    };
    let cgroup = cgroup::adopt(id, &mut intent).inspect_err(|_| {
        record.cgroup = None;
        let _ = container.write(&record);
    })?;
    let own = [record.gofer, record.sandbox].into_iter().flatten();
    own.map(|process| process.pid)
        .try_for_each(|pid| cgroup::enter(&cgroup, pid))?;
    if record.pod.is_some() {
        // Its guest's processes are in the pod's group.
        return Ok(cgroup);
    }
    // What the moved ones start is in it; those there before are not. A round without a newcomer was the last.
    record.cgroup = None;
    let mut moved = Vec::new();
    loop {
        let others = processes::all_host_pids(&record)?;
        let new: Vec<i32> = others.into_iter().filter(|pid| !moved.contains(pid)).collect();
        if new.is_empty() {
            return Ok(cgroup);
        }
        for pid in new {
            // One that has ended meanwhile needs no group.
            let _ = cgroup::enter(&cgroup, pid);
            moved.push(pid);
        }
    }
}

/// Errors of the checks that config.json shares, under the name of this verb.
fn renamed(e: &Error) -> Error {
    Error::new(e.to_string().replacen("config.json: linux.resources", "update", 1))
}

fn resources(args: &UpdateArgs) -> Result<LinuxResources> {
    let value = match &args.resources {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = Vec::new();
            let what = || "standard input";
            std::io::stdin().take(MAX_BYTES).read_to_end(&mut text).context(what)?;
            serde_json::from_slice(&text).context(what)?
        }
        Some(path) => serde_json::from_slice(&config::read_file(path)?).context(|| path.display().to_string())?,
        None => flags(args),
    };
    let spec = json!({ "ociVersion": "1.0.2", "linux": { "resources": value } });
    let (spec, _) = config::parse(&serde_json::to_vec(&spec).context(|| "update")?).map_err(|e| renamed(&e))?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
    resources.ok_or_else(|| Error::new("update: no resources given"))
}

fn flags(args: &UpdateArgs) -> Value {
    let mut value = json!({
        "memory": { "limit": args.memory, "swap": args.memory_swap, "reservation": args.memory_reservation },
        "cpu": {
            "period": args.cpu_period, "quota": args.cpu_quota, "shares": args.cpu_share,
            "cpus": args.cpuset_cpus, "mems": args.cpuset_mems,
            "realtimePeriod": args.cpu_rt_period, "realtimeRuntime": args.cpu_rt_runtime,
        },
        "blockIO": { "weight": args.blkio_weight },
    });
    if let Some(limit) = args.pids_limit {
        value["pids"] = json!({ "limit": limit });
    }
    value
}

/// A number of bytes, perhaps with a unit of 1024.
fn bytes(text: &str) -> std::result::Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match lower.as_bytes().last() {
        Some(b'k') => (lower.trim_end_matches('k'), 10),
        Some(b'm') => (lower.trim_end_matches('m'), 20),
        Some(b'g') => (lower.trim_end_matches('g'), 30),
        Some(b't') => (lower.trim_end_matches('t'), 40),
        _ => (lower, 0),
    };
    let bytes = number.parse::<i64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.ok_or_else(|| "want a number of bytes, perhaps with K, M or G".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes() {
        for (text, wanted) in [
            ("-1", Some(-1)),
            ("1000", Some(1000)),
            ("32M", Some(32 << 20)),
            ("1gib", Some(1 << 30)),
        ] {
            assert_eq!(super::bytes(text).ok(), wanted, "{text}");
        }
        for text in ["", "M", "1x", "99999999999G"] {
            assert!(super::bytes(text).is_err(), "{text}");
        }
    }
}
