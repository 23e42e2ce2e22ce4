//! What `runsc events --stats` says, in containerd's form. That is its form for cgroup v1, which its clients read on every host.

use containerd_shim::protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, MemoryEntry, MemoryStat, Metrics, PidsStat, Throttle,
};
use containerd_shim::protos::protobuf::MessageField;
use serde_json::Value;

/// From one line of `events`.
pub fn metrics(line: &Value) -> Metrics {
    let data = &line["data"];
    Metrics {
        pids: MessageField::some(PidsStat {
            current: number(&data["pids"]["current"]),
            limit: number(&data["pids"]["limit"]),
            ..PidsStat::default()
        }),
        cpu: MessageField::some(cpu(&data["cpu"])),
        memory: MessageField::some(memory(&data["memory"])),
        blkio: MessageField::some(BlkIOStat {
            io_service_bytes_recursive: devices(&data["blkio"]["ioServiceBytesRecursive"]),
            io_serviced_recursive: devices(&data["blkio"]["ioServicedRecursive"]),
            ..BlkIOStat::default()
        }),
        ..Metrics::default()
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn cpu(data: &Value) -> CPUStat {
    let (usage, throttling) = (&data["usage"], &data["throttling"]);
    CPUStat {
        usage: MessageField::some(CPUUsage {
            total: number(&usage["total"]),
            kernel: number(&usage["kernel"]),
            user: number(&usage["user"]),
            per_cpu: usage["percpu"].as_array().into_iter().flatten().map(number).collect(),
            ..CPUUsage::default()
        }),
        throttling: MessageField::some(Throttle {
            periods: number(&throttling["periods"]),
            throttled_periods: number(&throttling["throttledPeriods"]),
            throttled_time: number(&throttling["throttledTime"]),
            ..Throttle::default()
        }),
        ..CPUStat::default()
    }
}

fn memory(data: &Value) -> MemoryStat {
    let raw = &data["raw"];
    let entry = |name: &str| {
        let data = &data[name];
        MessageField::some(MemoryEntry {
            limit: number(&data["limit"]),
            usage: number(&data["usage"]),
            max: number(&data["max"]),
            failcnt: number(&data["failcnt"]),
            ..MemoryEntry::default()
        })
    };
    // cgroup v2 counts a group with all below it, and has no second name for that.
    let total = |v1: &str, v2: &str| number(raw.get(v1).unwrap_or(&raw[v2]));
    MemoryStat {
        cache: number(&data["cache"]),
        rss: total("rss", "anon"),
        rss_huge: total("rss_huge", "anon_thp"),
        mapped_file: total("mapped_file", "file_mapped"),
        dirty: total("dirty", "file_dirty"),
        writeback: total("writeback", "file_writeback"),
        pg_fault: total("pgfault", "pgfault"),
        pg_maj_fault: total("pgmajfault", "pgmajfault"),
        inactive_anon: total("inactive_anon", "inactive_anon"),
        active_anon: total("active_anon", "active_anon"),
        inactive_file: total("inactive_file", "inactive_file"),
        active_file: total("active_file", "active_file"),
        unevictable: total("unevictable", "unevictable"),
        hierarchical_memory_limit: total("hierarchical_memory_limit", ""),
        hierarchical_swap_limit: total("hierarchical_memsw_limit", ""),
        total_cache: total("total_cache", "file"),
        total_rss: total("total_rss", "anon"),
        total_inactive_anon: total("total_inactive_anon", "inactive_anon"),
        total_active_anon: total("total_active_anon", "active_anon"),
        // What readers take away from the usage to get the working set.
        total_inactive_file: total("total_inactive_file", "inactive_file"),
        total_active_file: total("total_active_file", "active_file"),
        total_pg_fault: total("total_pgfault", "pgfault"),
        total_pg_maj_fault: total("total_pgmajfault", "pgmajfault"),
        total_unevictable: total("total_unevictable", "unevictable"),
        usage: entry("usage"),
        swap: entry("swap"),
        kernel: entry("kernel"),
        kernel_tcp: entry("kernelTCP"),
        ..MemoryStat::default()
    }
}

fn devices(list: &Value) -> Vec<BlkIOEntry> {
    let entries = list.as_array().into_iter().flatten().map(|entry| BlkIOEntry {
        op: entry["op"].as_str().unwrap_or_default().to_owned(),
        major: number(&entry["major"]),
        minor: number(&entry["minor"]),
        value: number(&entry["value"]),
        ..BlkIOEntry::default()
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_versions_of_cgroups() {
        let line = |raw: Value| {
            json!({ "type": "stats", "id": "c", "data": {
                "cpu": { "usage": { "total": 7, "percpu": [3, 4], "kernel": 2, "user": 5 }, "throttling": { "throttledPeriods": 9 } },
                "memory": { "cache": 1, "usage": { "limit": 100, "usage": 50, "max": 60, "failcnt": 2 }, "raw": raw },
                "pids": { "current": 3, "limit": 0 },
                "blkio": { "ioServiceBytesRecursive": [{ "major": 8, "minor": 1, "op": "Read", "value": 4096 }] },
            } })
        };
        for raw in [
            json!({ "total_inactive_file": 11, "inactive_file": 1 }),
            json!({ "inactive_file": 11 }),
        ] {
            let m = metrics(&line(raw));
            assert_eq!(
                (m.cpu.usage.total, m.cpu.usage.per_cpu.as_slice()),
                (7, [3, 4].as_slice())
            );
            assert_eq!(m.cpu.throttling.throttled_periods, 9);
            assert_eq!(
                (m.memory.usage.usage, m.memory.usage.limit, m.memory.usage.failcnt),
                (50, 100, 2)
            );
            assert_eq!(m.memory.total_inactive_file, 11);
            assert_eq!(m.pids.current, 3);
            assert_eq!(
                (
                    m.blkio.io_service_bytes_recursive[0].major,
                    m.blkio.io_service_bytes_recursive[0].value
                ),
                (8, 4096)
            );
        }
    }
}
