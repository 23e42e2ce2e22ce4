//! What a container sees of control groups: the version that the host has, with its own limits in it. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::path::Path;

use common::{Bundle, code, wait_for};
use serde_json::json;

/// Whether the host has hierarchies of cgroup v1.
fn is_v1() -> bool {
    Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists()
}

/// A container with limits and control groups at `/sys/fs/cgroup`.
fn bundle(name: &str, options: &[&str], script: &str) -> (Bundle, String) {
    let mut b = Bundle::new(script);
    let group = format!("/runsc-{name}-{}", std::process::id());
    b.spec["linux"]["cgroupsPath"] = json!(format!("{group}/inner"));
    b.spec["linux"]["resources"] = json!({
        "memory": { "limit": 104_857_600, "reservation": 52_428_800 }, "pids": { "limit": 50 },
        "cpu": { "quota": 50_000, "period": 100_000, "shares": 512, "cpus": "0" },
        "devices": [{ "allow": false, "access": "rwm" }]
    });
    b.mount(json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs" }));
    b.mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options }));
    (b, group)
}

/// Lines as `file:text`, with paths from `/sys/fs/cgroup` on.
fn has(output: &str, lines: &[&str]) {
    for line in lines {
        assert!(output.lines().any(|l| l == *line), "{line:?} is missing in:\n{output}");
    }
}

#[test]
fn limits_are_shown() {
    let script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; grep -H . memory/memory.limit_in_bytes \
                  memory/memory.soft_limit_in_bytes pids/pids.* cpu/cpu.shares cpu/cpu.cfs_* cpuset/cpuset.cpus \
                  devices/devices.list; stat -f -c %T . memory; ls -d */";
    if !is_v1() {
        return v2();
    }
    let (b, group) = bundle("shown", &["ro", "nosuid", "noexec", "nodev"], script);
    let output = b.output();
    has(
        &output,
        &[
            "memory/memory.limit_in_bytes:104857600",
            "memory/memory.soft_limit_in_bytes:52428800",
            "pids/pids.max:50",
            "pids/pids.current:2",
            "cpu/cpu.shares:512",
            "cpu/cpu.cfs_quota_us:50000",
            "cpu/cpu.cfs_period_us:100000",
            "cpuset/cpuset.cpus:0",
            "devices/devices.list:c 1:3 rwm",
            "tmpfs",
            "cgroupfs",
        ],
    );
    // The host's paths, and its hierarchies in its order.
    assert!(output.contains(&format!(":memory:{group}/inner\n")), "{output}");
    let host = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let labels = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.split(':').count() == 3);
        lines.map(|line| line.rsplit_once(':').unwrap().0.to_owned()).collect()
    };
    let inside: Vec<String> = labels(&output)
        .into_iter()
        .filter(|label| !label.contains('/'))
        .collect();
    assert_eq!(inside[..labels(&host).len()], labels(&host));
}

fn v2() {
    let script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; stat -f -c %T .; grep -H . memory.max memory.low memory.high \
                  memory.swap.max cpu.max cpu.weight cpuset.cpus cpuset.cpus.effective pids.max pids.current; \
                  grep -o memory cgroup.controllers";
    let (mut b, group) = bundle("shown", &["ro"], script);
    b.spec["linux"]["resources"]["unified"] = json!({ "memory.high": "83886080" });
    let output = b.output();
    has(
        &output,
        &[
            &format!("0::{group}/inner"),
            "cgroup2fs",
            "memory",
            "memory.max:104857600",
            "memory.low:52428800",
            "memory.high:83886080",
            "memory.swap.max:max",
            "cpu.max:50000 100000",
            "cpu.weight:20",
            "cpuset.cpus:0",
            "cpuset.cpus.effective:0",
            "pids.max:50",
            "pids.current:2",
        ],
    );
}

#[test]
fn a_namespace_shows_the_root() {
    let (mut b, _) = bundle("ns", &[], "cat /proc/self/cgroup; grep cgroup /proc/self/mountinfo");
    let namespaces = b.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "cgroup" }));
    let output = b.output();
    for line in output.lines() {
        let root = match line.split_once(" - ") {
            Some((left, _)) => left.split(' ').nth(3).unwrap(),
            None => line.splitn(3, ':').nth(2).unwrap(),
        };
        assert_eq!(root, "/", "{line}");
    }
}

#[test]
fn read_only_as_configured() {
    if !is_v1() {
        return;
    }
    let script = "mkdir /sys/fs/cgroup/memory/sub; echo 7 >/sys/fs/cgroup/pids/pids.max; cat /sys/fs/cgroup/pids/pids.max; \
                  [ -d /sys/fs/cgroup/memory/sub ] && echo made";
    let (b, _) = bundle("ro", &["ro"], script);
    let output = b.runsc(&["run", "c"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "50\n", "{}", String::from_utf8_lossy(&output.stderr));
    let (b, _) = bundle("rw", &[], script);
    let output = b.runsc(&["run", "c"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\nmade\n");
}

/// What is written inside cannot lift what was given from outside.
#[test]
fn limits_hold_from_outside() {
    if !is_v1() {
        return;
    }
    let script = "cd /sys/fs/cgroup; echo 'c 1:3 w' >devices/devices.deny && echo taken; echo 'c 1:3 w' >devices/devices.allow && echo \
                  given; echo 'c 10:200 rwm' >devices/devices.allow || echo refused; echo max >pids/pids.max; cat pids/pids.max; \
                  for i in 1 2 3 4 5 6 7 8; do sleep 5 & done 2>/host/said";
    let (mut b, _) = bundle("outside", &[], script);
    b.spec["linux"]["resources"]["pids"]["limit"] = json!(6);
    let admin = json!(["CAP_SYS_ADMIN"]);
    b.spec["process"]["capabilities"] = json!({ "bounding": admin, "permitted": admin, "effective": admin });
    let output = b.runsc(&["run", "c"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "taken\ngiven\nrefused\nmax\n");
    let said = b.read("said");
    assert!(said.contains("fork"), "{said}");
}

/// `exec --cgroup`
fn exec_in_groups(b: &Bundle, group: &str) {
    let made =
        "mkdir -p /sys/fs/cgroup/memory/sub/deep /sys/fs/cgroup/pids/few && echo 1 >/sys/fs/cgroup/pids/few/pids.max";
    assert_eq!(code(&b.runsc(&["exec", "c", "sh", "-c", made])), Some(0));
    let script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/few/pids.current";
    let args = [
        "exec",
        "--cgroup",
        "memory:sub/deep",
        "--cgroup",
        "pids:few",
        "c",
        "sh",
        "-c",
    ];
    let output = b.runsc(&[&args[..], &["cat /proc/self/cgroup"]].concat());
    assert_eq!(code(&output), Some(2), "its group has no room for cat");
    let output = b.runsc(&[&args[..3], &["c", "sh", "-c", script]].concat());
    assert_eq!(code(&output), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!(":memory:{group}/inner/sub/deep\n")), "{text}");
    assert!(text.contains(&format!(":pids:{group}/inner\n")), "{text}");
    assert!(text.ends_with("\n0\n"), "{text}");
    for (argument, wanted) in [
        ("..", ".. is not a sub cgroup path"),
        ("none", "/none/cgroup.procs: no such file"),
        ("what:/", "unknown controller what"),
        ("memory,memory:sub", "given twice"),
    ] {
        let output = b.runsc(&["exec", "--cgroup", argument, "c", "true"]);
        assert_eq!(output.status.code(), Some(255));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(wanted) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn update_and_exec() {
    if !is_v1() {
        return;
    }
    let (b, group) = bundle("update", &[], "while [ ! -e /host/go ]; do sleep 0.05; done");
    assert_eq!(b.detached(&["run", "--detach", "c"]), Some(0));
    let update = [
        "update",
        "--memory",
        "209715200",
        "--pids-limit",
        "40",
        "--cpu-share",
        "256",
        "c",
    ];
    assert_eq!(code(&b.runsc(&update)), Some(0));
    let script = "cd /sys/fs/cgroup; grep -H . memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes \
                  pids/pids.max cpu/cpu.shares; cat /proc/self/cgroup; grep -x $$ memory/tasks >/dev/null && echo listed";
    let output = b.runsc(&["exec", "c", "sh", "-c", script]);
    assert_eq!(code(&output), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    has(
        &text,
        &[
            "memory/memory.limit_in_bytes:209715200",
            "memory/memory.soft_limit_in_bytes:52428800",
            "pids/pids.max:40",
            "cpu/cpu.shares:256",
            "listed",
        ],
    );
    assert!(text.contains(&format!(":memory:{group}/inner\n")), "{text}");
    exec_in_groups(&b, &group);
    std::fs::write(b.path("go"), "").unwrap();
    wait_for("the end", || b.state("c")["status"] == "stopped");
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    b.left_nothing();
}

/// Where groups below share what the container's own has, no process can enter that: it goes where the first one is.
#[test]
fn exec_goes_to_the_first_process() {
    if is_v1() {
        return;
    }
    let script = "cd /sys/fs/cgroup; mkdir init; echo $$ >init/cgroup.procs; echo +memory >cgroup.subtree_control; \
                  touch /host/ready; while [ ! -e /host/go ]; do sleep 0.05; done";
    let (mut b, _) = bundle("first", &[], script);
    let namespaces = b.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "cgroup" }));
    assert_eq!(b.detached(&["run", "--detach", "c"]), Some(0));
    wait_for("the groups", || b.path("ready").exists());
    let output = b.runsc(&["exec", "c", "cat", "/proc/self/cgroup"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0::/init\n");
    std::fs::write(b.path("go"), "").unwrap();
    wait_for("the end", || b.state("c")["status"] == "stopped");
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    b.left_nothing();
}
