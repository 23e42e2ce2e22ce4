//! `linux.resources` and `cgroupsPath`: in force, and gone with the container. Needs root and cgroups.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Bundle, code, wait_for};
use serde_json::json;

/// Where a controller is mounted, and whether it is of cgroup v2.
fn hierarchy(controller: &str) -> (PathBuf, bool) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let mount = Path::new(fields[1]);
        match fields[2] {
            "cgroup" if fields[3].split(',').any(|o| o == controller) => return (mount.to_owned(), false),
            "cgroup2" => {
                let has = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                if has.split_whitespace().any(|c| c == controller) {
                    return (mount.to_owned(), true);
                }
            }
            _ => {}
        }
    }
    panic!("no {controller} controller");
}

fn group(name: &str) -> String {
    format!("/runsc-{name}-{}", std::process::id())
}

#[test]
fn files_and_members() {
    let mut b = Bundle::new("while [ ! -e /host/go ]; do sleep 0.05; done");
    let group = group("files");
    b.spec["linux"]["cgroupsPath"] = json!(format!("{group}/inner"));
    b.spec["linux"]["resources"] = json!({
        "memory": { "limit": 104_857_600 }, "pids": { "limit": 50 }, "cpu": { "quota": 50_000, "period": 100_000, "shares": 512 },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }],
        "devices": [{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw" }]
    });
    assert_eq!(b.detached(&["run", "--detach", "c"]), Some(0));
    let pid = b.state("c")["pid"].to_string();
    for (controller, v1, v2) in [
        (
            "memory",
            ("memory.limit_in_bytes", "104857600"),
            ("memory.max", "104857600"),
        ),
        ("cpu", ("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000")),
        ("cpu", ("cpu.shares", "512"), ("cpu.weight", "20")),
    ] {
        let (mount, is_v2) = hierarchy(controller);
        let dir = mount.join(&group[1..]).join("inner");
        let (file, value) = if is_v2 { v2 } else { v1 };
        assert_eq!(fs::read_to_string(dir.join(file)).unwrap().trim(), value, "{file}");
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert!(
            members.lines().any(|line| line == pid),
            "{controller}: {pid} is not in {members}"
        );
    }
    let (mount, _) = hierarchy("pids");
    let most = fs::read_to_string(mount.join(&group[1..]).join("inner/pids.max")).unwrap();
    assert!(most.trim().parse::<u64>().unwrap() >= 50);
    // The rules of v2 are a program in the kernel, which cannot be read back.
    if !hierarchy("memory").1 {
        let (devices, _) = hierarchy("devices");
        let list = fs::read_to_string(devices.join(&group[1..]).join("inner/devices.list")).unwrap();
        assert!(
            list.contains("c 10:200 rw") && list.contains("c 1:3 rwm") && !list.contains("a *:*"),
            "{list}"
        );
    }
    fs::write(b.path("go"), "").unwrap();
    wait_for("the end", || b.state("c")["status"] == "stopped");
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    assert!(!hierarchy("memory").0.join(&group[1..]).exists(), "the group stays");
}

/// The guest's memory counts: what takes too much is killed.
#[test]
fn memory() {
    let mut b = Bundle::new("python3 -c 'x = bytearray(300 << 20); print(len(x))'; echo status $?");
    b.spec["linux"]["cgroupsPath"] = json!(group("memory"));
    b.spec["linux"]["resources"] = json!({ "memory": { "limit": 104_857_600, "swap": 104_857_600 } });
    assert_eq!(b.output(), "status 137\n");
    b.spec["linux"]["resources"]["memory"] = json!({ "limit": 1_073_741_824 });
    assert_eq!(b.output(), "314572800\nstatus 0\n");
}

#[test]
fn nonsense() {
    let mut b = Bundle::new("true");
    b.spec["linux"]["cgroupsPath"] = json!(group("nonsense"));
    for (resources, words) in [
        (
            json!({ "cpu": { "quota": 5, "period": 100_000 } }),
            ["linux.resources.cpu.quota", "Invalid argument"],
        ),
        (
            json!({ "cpu": { "cpus": "9999" } }),
            ["linux.resources.cpu.cpus", "9999"],
        ),
        (
            json!({ "devices": [{ "allow": true, "type": "c", "access": "xyz" }] }),
            ["linux.resources.devices[0]", "xyz"],
        ),
        (
            json!({ "hugepageLimits": [{ "pageSize": "../x", "limit": 1 }] }),
            ["linux.resources.hugepageLimits[0].pageSize", "../x"],
        ),
        (
            json!({ "unified": { "../../x": "1" } }),
            ["linux.resources.unified", ""],
        ),
    ] {
        b.spec["linux"]["resources"] = resources;
        b.fails(1, &words);
        let (mount, _) = hierarchy("cpu");
        assert!(!mount.join(&group("nonsense")[1..]).exists(), "a group stays");
    }
}

/// Guest processes go before the sandbox when memory is short, and no more willingly than others of its rank.
#[test]
fn who_goes_first() {
    let mut b = Bundle::new("exec sleep 1000");
    for (own, guest) in [(0, "500"), (100, "600"), (1000, "1000")] {
        b.spec["process"]["oomScoreAdj"] = json!(own);
        assert_eq!(b.detached(&["run", "-d", "c"]), Some(0));
        let score = |pid: i64| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap_or_default();
        let sandbox = b.state("c")["pid"].as_i64().unwrap();
        assert_eq!(score(sandbox).trim(), own.to_string());
        // By the time one is looked at it may have executed, which makes it another process of the host.
        wait_for(guest, || {
            let pids: Vec<i64> = serde_json::from_slice(&b.runsc(&["ps", "-f", "json", "c"]).stdout).unwrap();
            pids.iter().any(|pid| score(*pid).trim() == guest)
        });
        assert_eq!(b.runsc(&["delete", "-f", "c"]).status.code(), Some(0));
    }
}

/// What does not start for want of memory says so.
#[test]
fn too_little_memory() {
    let mut b = Bundle::new("true");
    b.spec["linux"]["resources"] = json!({ "memory": { "limit": 131_072 } });
    b.fails(1, &["out of memory", "linux.resources.memory"]);
}
