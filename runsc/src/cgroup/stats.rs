//! What a container's group has used, in the form of runc's `events`.

use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};

use super::CgroupRecord;

/// A group's files, wherever their hierarchy is mounted.
struct Files<'a>(&'a CgroupRecord);

impl Files<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0
            .dirs
            .iter()
            .find_map(|dir| fs::read_to_string(dir.join(name)).ok())
    }

    /// One number; `max` stands for no limit.
    fn number(&self, name: &str) -> Option<u64> {
        parse(self.text(name)?.trim())
    }

    fn value(&self, name: &str) -> u64 {
        self.number(name).unwrap_or(0)
    }

    /// Lines of a name and a number.
    fn table(&self, name: &str) -> HashMap<String, u64> {
        let text = self.text(name).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(key, value)| Some((key.to_owned(), parse(value.trim())?)))
            .collect()
    }

    /// v1: `MAJOR:MINOR OP VALUE` lines; v2: `MAJOR:MINOR key=value ...`.
    fn devices(&self, name: &str) -> Vec<Value> {
        let text = self.text(name).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split_whitespace();
            let (major, minor) = words.next()?.split_once(':')?;
            let (op, value) = (words.next()?, words.next()?.parse::<u64>().ok()?);
            let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
            Some(json!({ "major": major, "minor": minor, "op": op, "value": value }))
        };
        text.lines().filter_map(entry).collect()
    }

    /// The entries of `io.stat` whose key is `read` or `write`.
    fn io(&self, read: &str, write: &str) -> Vec<Value> {
        let text = self.text("io.stat").unwrap_or_default();
        let mut list = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some((major, minor)) = words.next().and_then(|w| w.split_once(':')) else {
                continue;
            };
            let (Ok(major), Ok(minor)) = (major.parse::<u64>(), minor.parse::<u64>()) else {
                continue;
            };
            for (key, value) in words.filter_map(|w| w.split_once('=')) {
                let op = match key {
                    _ if key == read => "Read",
                    _ if key == write => "Write",
                    _ => continue,
                };
                let value = value.parse::<u64>().unwrap_or(0);
                list.push(json!({ "major": major, "minor": minor, "op": op, "value": value }));
            }
        }
        list
    }
}

fn parse(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        _ => text.parse().ok(),
    }
}

/// Everything that is counted, as `data` of a `stats` event.
pub fn stats(cgroup: &CgroupRecord) -> Value {
    let files = Files(cgroup);
    // A v2 hierarchy beside v1 ones has none of the controllers that count.
    let v2 = cgroup.dirs.iter().all(|dir| dir.join("cgroup.controllers").exists());
    let (cpu, memory, blkio) = if v2 {
        (cpu_v2(&files), memory_v2(&files), io_v2(&files))
    } else {
        (cpu_v1(&files), memory_v1(&files), blkio_v1(&files))
    };
    let limit = files.number("pids.max").filter(|limit| *limit != u64::MAX);
    json!({
        "cpu": cpu,
        "cpuset": {},
        "memory": memory,
        "pids": { "current": files.value("pids.current"), "limit": limit.unwrap_or(0) },
        "blkio": blkio,
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn cpu_v1(files: &Files<'_>) -> Value {
    let stat = files.table("cpuacct.stat");
    let throttled = files.table("cpu.stat");
    // Clock ticks of a hundredth second.
    let ticks = |key: &str| stat.get(key).copied().unwrap_or(0).saturating_mul(10_000_000);
    let percpu: Vec<u64> = files
        .text("cpuacct.usage_percpu")
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    cpu(
        [files.value("cpuacct.usage"), ticks("user"), ticks("system")],
        percpu,
        [
            throttled.get("nr_periods"),
            throttled.get("nr_throttled"),
            throttled.get("throttled_time"),
        ],
    )
}

fn cpu_v2(files: &Files<'_>) -> Value {
    let stat = files.table("cpu.stat");
    let nanos = |key: &str| stat.get(key).copied().unwrap_or(0).saturating_mul(1000);
    let throttled = nanos("throttled_usec");
    cpu(
        [nanos("usage_usec"), nanos("user_usec"), nanos("system_usec")],
        Vec::new(),
        [stat.get("nr_periods"), stat.get("nr_throttled"), Some(&throttled)],
    )
}

fn cpu([total, user, kernel]: [u64; 3], percpu: Vec<u64>, throttling: [Option<&u64>; 3]) -> Value {
    let [periods, throttled, time] = throttling.map(|n| n.copied().unwrap_or(0));
    json!({
        "usage": { "total": total, "percpu": percpu, "kernel": kernel, "user": user },
        "throttling": { "periods": periods, "throttledPeriods": throttled, "throttledTime": time },
    })
}

fn memory_v1(files: &Files<'_>) -> Value {
    let stat = files.table("memory.stat");
    let entry = |name: &str| {
        json!({
            "limit": files.value(&format!("memory.{name}limit_in_bytes")),
            "usage": files.value(&format!("memory.{name}usage_in_bytes")),
            "max": files.value(&format!("memory.{name}max_usage_in_bytes")),
            "failcnt": files.value(&format!("memory.{name}failcnt")),
        })
    };
    json!({
        "cache": stat.get("cache").copied().unwrap_or(0),
        "usage": entry(""),
        "swap": entry("memsw."),
        "kernel": entry("kmem."),
        "kernelTCP": entry("kmem.tcp."),
        "raw": stat,
    })
}

fn memory_v2(files: &Files<'_>) -> Value {
    let stat = files.table("memory.stat");
    let events = files.table("memory.events");
    let used = files.value("memory.current");
    let swap = files.value("memory.swap.current");
    let limit = files.value("memory.max");
    let peak = files.number("memory.peak").unwrap_or(used);
    json!({
        "cache": stat.get("file").copied().unwrap_or(0),
        "usage": { "limit": limit, "usage": used, "max": peak, "failcnt": events.get("max").copied().unwrap_or(0) },
        // Together, as v1 counts and as readers expect it.
        "swap": {
            "limit": limit.saturating_add(files.value("memory.swap.max")),
            "usage": used.saturating_add(swap), "max": 0, "failcnt": 0,
        },
        "kernel": { "limit": 0, "usage": stat.get("kernel").copied().unwrap_or(0), "max": 0, "failcnt": 0 },
        "kernelTCP": { "limit": 0, "usage": stat.get("sock").copied().unwrap_or(0), "max": 0, "failcnt": 0 },
        "raw": stat,
    })
}

fn blkio_v1(files: &Files<'_>) -> Value {
    json!({
        "ioServiceBytesRecursive": files.devices("blkio.throttle.io_service_bytes_recursive"),
        "ioServicedRecursive": files.devices("blkio.throttle.io_serviced_recursive"),
    })
}

fn io_v2(files: &Files<'_>) -> Value {
    json!({
        "ioServiceBytesRecursive": files.io("rbytes", "wbytes"),
        "ioServicedRecursive": files.io("rios", "wios"),
    })
}
