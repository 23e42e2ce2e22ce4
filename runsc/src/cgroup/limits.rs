//! `linux.resources` as files of the hierarchies.

use std::borrow::Cow;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::hierarchy::Hierarchy;
use crate::error::{Error, Result, words};

/// Room for threads of the Sentry and the Gofer (some per processor), stubs of `exec` and processes about to be reaped, which
/// are in the group but not what the limit is meant for. The guest's kernel keeps to the exact number.
const OWN_THREADS: i64 = 192;

/// One value for one file.
pub(super) struct Limit {
    /// config.json's name for it.
    field: &'static str,
    controller: &'static str,
    pub(super) file: Cow<'static, str>,
    pub(super) value: String,
    /// Without effect on safety when the host lacks the file.
    optional: bool,
    /// Serves where the group does not have this one.
    instead_of: Option<&'static str>,
}

impl Limit {
    pub(super) fn new(
        field: &'static str,
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: String,
        optional: bool,
    ) -> Self {
        Self {
            field,
            controller,
            file: file.into(),
            value,
            optional,
            instead_of: None,
        }
    }

    /// Whether it divides what groups have, which threads in one group's tree cannot do.
    pub(super) fn is_of_a_domain(&self) -> bool {
        !["cpu", "cpuset", "pids"].contains(&self.controller)
    }
}

/// All limits, in the words of the hierarchy that has each one's controller; beside v1 hierarchies, v2 has some.
pub(super) fn for_host(resources: &LinuxResources, hierarchies: &[Hierarchy], dirs: &[PathBuf]) -> Result<Vec<Limit>> {
    let in_v2 = |limit: &Limit| {
        let home = hierarchies.iter().find(|h| h.has(limit.controller));
        home.map_or_else(|| hierarchies.iter().all(|h| h.v2), |h| h.v2)
    };
    let mut list = limits(resources, false);
    list.retain(|limit| !in_v2(limit));
    list.extend(limits(resources, true).into_iter().filter(|limit| in_v2(limit)));
    let place = |controller: &str| hierarchies.iter().zip(dirs).find(|(h, _)| h.v2 && h.has(controller));
    if let Some((_, dir)) = place("memory") {
        list.extend(swap(resources, Some(dir))?);
    }
    if let Some((_, dir)) = place("cpu") {
        list.extend(bandwidth(resources, Some(dir)));
    }
    Ok(list)
}

/// Made of two fields, of which the group may have one.
fn swap(resources: &LinuxResources, dir: Option<&Path>) -> Result<Option<Limit>> {
    let Some(memory) = resources.memory() else {
        return Ok(None);
    };
    let swap = super::combined::swap(memory, dir)?;
    Ok(swap.map(|swap| Limit::new("memory.swap", "memory", "memory.swap.max", swap, true)))
}

/// Likewise.
fn bandwidth(resources: &LinuxResources, dir: Option<&Path>) -> Vec<Limit> {
    let mut list = Vec::new();
    if let Some(cpu) = resources.cpu()
        && let Some(max) = super::combined::cpu(cpu, dir)
    {
        list.push(Limit::new("cpu.quota", "cpu", "cpu.max", max, false));
        // Not more than the quota.
        let burst = cpu.burst().map(|b| b.to_string());
        list.extend(burst.map(|burst| Limit::new("cpu.burst", "cpu", "cpu.max.burst", burst, true)));
    }
    list
}

/// `unified` too as limits: they are written as they are, but systemd has to be told of them.
pub(super) fn with_unified(mut limits: Vec<Limit>, resources: &LinuxResources) -> Vec<Limit> {
    let raw = resources.unified().iter().flatten();
    limits.extend(raw.map(|(file, value)| Limit::new("unified", "", file.clone(), raised(file, value), false)));
    limits
}

/// All limits in the words of cgroup v1.
pub(super) fn in_v1(resources: &LinuxResources) -> Vec<Limit> {
    limits(resources, false)
}

/// All limits in the words of cgroup v2 and, last, what `unified` has; `dir` is the group that they are for, if there is one.
pub(super) fn in_v2(resources: &LinuxResources, dir: Option<&Path>) -> Result<Vec<Limit>> {
    let mut list = limits(resources, true);
    list.retain(|limit| {
        let better = limit.instead_of.zip(dir);
        !better.is_some_and(|(file, dir)| dir.join(file).exists())
    });
    list.extend(swap(resources, dir)?);
    list.extend(bandwidth(resources, dir));
    Ok(with_unified(list, resources))
}

/// Whether anything is limited that needs a group.
pub fn limits_something(resources: &LinuxResources) -> bool {
    !limits(resources, false).is_empty()
        || !limits(resources, true).is_empty()
        || resources.unified().is_some()
        || resources.devices().as_ref().is_some_and(|rules| !rules.is_empty())
}

/// Most tasks of the guest, where that is given: a negative number stands for any number of them.
pub fn pids_limit(resources: &LinuxResources) -> Option<i64> {
    let raw = resources.unified().as_ref().and_then(|files| files.get("pids.max"));
    match raw.map(|text| text.trim()) {
        Some("max") => Some(-1),
        Some(text) => text.parse().ok(),
        None => resources.pids().map(|pids| pids.limit()).filter(|limit| *limit != 0),
    }
}

/// Writes all limits.
pub fn apply(
    resources: &LinuxResources,
    hierarchies: &[Hierarchy],
    dirs: &[PathBuf],
    notes: &mut Vec<String>,
) -> Result<()> {
    super::devices::apply(resources, hierarchies, dirs)?;
    let mut again = Vec::new();
    for limit in for_host(resources, hierarchies, dirs)? {
        let place = hierarchies.iter().zip(dirs).find(|(h, _)| h.has(limit.controller));
        let Some((_, dir)) = place else {
            if !limit.optional {
                notes.push(format!(
                    "config.json: linux.resources.{}: {}: no {} controller on this host",
                    limit.field, limit.value, limit.controller
                ));
            }
            continue;
        };
        if limit.instead_of.is_some_and(|file| dir.join(file).exists()) {
            continue;
        }
        if write(dir, &limit).is_err() {
            again.push((dir, limit));
        }
    }
    // One limit may have to be raised before another can be: memory with swap, a quota with its period.
    again.iter().try_for_each(|(dir, limit)| write(dir, limit))?;
    for (file, value) in resources.unified().iter().flatten() {
        let Some((_, dir)) = hierarchies.iter().zip(dirs).find(|(h, _)| h.v2) else {
            return Err(Error::new(
                "config.json: linux.resources.unified: invalid configuration: no cgroup v2 on this host",
            ));
        };
        let controller = file.split('.').next().unwrap_or_default();
        if !hierarchies
            .iter()
            .any(|h| h.v2 && (h.has(controller) || controller == "cgroup"))
        {
            return Err(Error::new(format!(
                "config.json: linux.resources.unified: invalid configuration: {file:?}: no controller {controller:?} in cgroup v2 on this host"
            )));
        }
        if file.is_empty() || file.contains('/') || file.contains('\0') {
            return Err(Error::new(format!(
                "config.json: linux.resources.unified: {file:?} is no file of a cgroup"
            )));
        }
        put(dir, file, &raised(file, value)).map_err(|e| {
            Error::new(format!(
                "config.json: linux.resources.unified.{file}: {value:?}: {}",
                words(&e)
            ))
        })?;
    }
    Ok(())
}

/// The value of a file that `unified` names: the number of threads is the guest's there too.
fn raised(file: &str, value: &str) -> String {
    match (file, value.trim().parse::<i64>()) {
        ("pids.max", Ok(limit)) => limit.saturating_add(OWN_THREADS).to_string(),
        _ => value.trim().to_owned(),
    }
}

/// Writes to a file that is there: to make one is a question of permission, not of its name.
fn put(dir: &Path, file: &str, value: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(dir.join(file))?;
    file.write_all(value.as_bytes())
}

fn write(dir: &Path, limit: &Limit) -> Result<()> {
    match put(dir, limit.file.as_ref(), &limit.value) {
        Err(e) if !limit.optional && e.kind() == ErrorKind::NotFound => Err(Error::new(format!(
            "config.json: linux.resources.{}: {}: the group {} has no {}: is the {} controller passed on to it?",
            limit.field,
            limit.value,
            dir.display(),
            limit.file,
            limit.controller
        ))),
        Err(e) if !limit.optional => Err(Error::new(format!(
            "config.json: linux.resources.{}: {} to {}: {}",
            limit.field,
            limit.value,
            dir.join(limit.file.as_ref()).display(),
            words(&e)
        ))),
        _ => Ok(()),
    }
}

fn limits(resources: &LinuxResources, v2: bool) -> Vec<Limit> {
    let mut list = Vec::new();
    let mut add = |field, controller, file: &'static str, value: Option<String>, optional| {
        if let Some(value) = value {
            list.push(Limit::new(field, controller, file, value, optional));
        }
    };
    // Zero stands for "not set" wherever Go wrote it, and any negative number for "no limit".
    let bytes = |value: Option<i64>| {
        value.filter(|v| *v != 0).map(|v| match (v < 0, v2) {
            (true, true) => "max".to_owned(),
            (true, false) => "-1".to_owned(),
            _ => v.to_string(),
        })
    };
    // What v2 makes of two fields each is added where the group is known: `for_host`.
    if let Some(memory) = resources.memory() {
        let (limit, swap) = (memory.limit(), memory.swap());
        if v2 {
            add("memory.limit", "memory", "memory.max", bytes(limit), false);
            add(
                "memory.reservation",
                "memory",
                "memory.low",
                bytes(memory.reservation()),
                true,
            );
        } else {
            add("memory.limit", "memory", "memory.limit_in_bytes", bytes(limit), false);
            add(
                "memory.swap",
                "memory",
                "memory.memsw.limit_in_bytes",
                bytes(swap),
                true,
            );
            add(
                "memory.reservation",
                "memory",
                "memory.soft_limit_in_bytes",
                bytes(memory.reservation()),
                true,
            );
            add(
                "memory.kernelTCP",
                "memory",
                "memory.kmem.tcp.limit_in_bytes",
                bytes(memory.kernel_tcp()),
                true,
            );
            let no_killer = memory.disable_oom_killer().filter(|no| *no).map(|_| "1".to_owned());
            add(
                "memory.disableOOMKiller",
                "memory",
                "memory.oom_control",
                no_killer,
                true,
            );
            add(
                "memory.swappiness",
                "memory",
                "memory.swappiness",
                memory.swappiness().map(|s| s.to_string()),
                true,
            );
        }
    }
    if let Some(cpu) = resources.cpu() {
        let shares = cpu.shares().filter(|s| *s != 0);
        let (period, quota) = (cpu.period().filter(|p| *p != 0), cpu.quota().filter(|q| *q != 0));
        if v2 {
            // The kernel's own formula for 2..262144 to 1..10000.
            let weight = |s: u64| (1 + s.clamp(2, 262_144).saturating_sub(2) * 9999 / 262_142).to_string();
            add("cpu.shares", "cpu", "cpu.weight", shares.map(weight), true);
        } else {
            add("cpu.shares", "cpu", "cpu.shares", shares.map(|s| s.to_string()), true);
            add(
                "cpu.period",
                "cpu",
                "cpu.cfs_period_us",
                period.map(|p| p.to_string()),
                false,
            );
            add(
                "cpu.quota",
                "cpu",
                "cpu.cfs_quota_us",
                quota.map(|q| q.to_string()),
                false,
            );
            let burst = cpu.burst().map(|b| b.to_string());
            add("cpu.burst", "cpu", "cpu.cfs_burst_us", burst, true);
            let period = cpu.realtime_period().filter(|p| *p != 0).map(|p| p.to_string());
            add("cpu.realtimePeriod", "cpu", "cpu.rt_period_us", period, false);
            let runtime = cpu.realtime_runtime().filter(|r| *r != 0).map(|r| r.to_string());
            add("cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", runtime, false);
        }
        let idle = cpu.idle().filter(|i| *i != 0).map(|i| i.to_string());
        add("cpu.idle", "cpu", "cpu.idle", idle, true);
        let list = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        add("cpu.cpus", "cpuset", "cpuset.cpus", list(cpu.cpus()), false);
        add("cpu.mems", "cpuset", "cpuset.mems", list(cpu.mems()), false);
    }
    if let Some(pids) = resources.pids() {
        let value = match pids.limit() {
            0 => None,
            limit if limit < 0 => Some("max".to_owned()),
            limit => Some(limit.saturating_add(OWN_THREADS).to_string()),
        };
        add("pids.limit", "pids", "pids.max", value, false);
    }
    if let Some(weight) = resources.block_io().as_ref().and_then(|io| io.weight()) {
        // CFQ had the one name, BFQ has the other; a kernel has at most one of the files.
        let files: &[_] = if v2 {
            &[("io", "io.bfq.weight")]
        } else {
            &[("blkio", "blkio.weight"), ("blkio", "blkio.bfq.weight")]
        };
        for (controller, file) in files {
            add("blockIO.weight", controller, file, Some(weight.to_string()), true);
        }
        if v2 {
            // 10..1000 as 1..10000.
            let scaled = 1 + u64::from(weight.clamp(10, 1000).saturating_sub(10)) * 9999 / 990;
            let mut limit = Limit::new("blockIO.weight", "io", "io.weight", scaled.to_string(), true);
            limit.instead_of = Some("io.bfq.weight");
            list.push(limit);
        }
    }
    list.extend(super::rare::limits(resources, v2));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: serde_json::Value, v2: bool) -> Vec<(Cow<'static, str>, String)> {
        let resources: LinuxResources = serde_json::from_value(json).unwrap();
        limits(&resources, v2).into_iter().map(|l| (l.file, l.value)).collect()
    }

    #[test]
    fn both_versions() {
        let json = serde_json::json!({
            "memory": { "limit": 1000, "swap": 1500 }, "pids": { "limit": 10 },
            "cpu": { "quota": 50000, "period": 100000, "shares": 1024 }
        });
        let v1 = of(json.clone(), false);
        assert!(v1.contains(&("memory.memsw.limit_in_bytes".into(), "1500".into())));
        assert!(v1.contains(&("cpu.cfs_quota_us".into(), "50000".into())));
        let v2 = of(json, true);
        assert!(v2.contains(&("cpu.weight".into(), "39".into())));
        assert!(
            of(
                serde_json::json!({ "devices": [{ "allow": false, "access": "rwm" }] }),
                true
            )
            .is_empty()
        );
    }

    #[test]
    fn tasks_of_the_guest() {
        let of = |json| pids_limit(&serde_json::from_value(json).unwrap());
        assert_eq!(of(serde_json::json!({ "pids": { "limit": 7 } })), Some(7));
        assert_eq!(of(serde_json::json!({ "pids": { "limit": 0 } })), None);
        assert_eq!(of(serde_json::json!({ "unified": { "pids.max": " 9\n" } })), Some(9));
        assert_eq!(of(serde_json::json!({ "unified": { "pids.max": "max" } })), Some(-1));
        assert_eq!(raised("pids.max", "9"), (9 + OWN_THREADS).to_string());
        assert_eq!(raised("pids.max", "max"), "max");
        assert_eq!(raised("memory.max", "9"), "9");
    }

    #[test]
    fn rare_ones() {
        let json = serde_json::json!({
            "blockIO": { "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1000 }],
                         "weightDevice": [{ "major": 8, "minor": 0, "weight": 500 }] },
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4096 }],
            "network": { "classID": 5, "priorities": [{ "name": "lo", "priority": 3 }] },
            "rdma": { "mlx5_1": { "hcaHandles": 3 } },
            "cpu": { "burst": 10, "idle": 1 }
        });
        let v1 = of(json.clone(), false);
        for (file, value) in [
            ("blkio.throttle.read_bps_device", "8:0 1000"),
            ("blkio.weight_device", "8:0 500"),
            ("hugetlb.2MB.limit_in_bytes", "4096"),
            ("net_cls.classid", "5"),
            ("net_prio.ifpriomap", "lo 3"),
            ("rdma.max", "mlx5_1 hca_handle=3"),
            ("cpu.cfs_burst_us", "10"),
        ] {
            assert!(v1.contains(&(file.into(), value.into())), "{file}: {v1:?}");
        }
        let v2 = of(json, true);
        assert!(v2.contains(&("io.max".into(), "8:0 rbps=1000".into())));
        assert!(v2.contains(&("hugetlb.2MB.max".into(), "4096".into())));
        let weight = of(serde_json::json!({ "blockIO": { "weight": 500 } }), true);
        assert!(weight.contains(&("io.weight".into(), "4950".into())), "{weight:?}");
    }
}
