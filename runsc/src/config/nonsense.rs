//! Nonsense in every place of a configuration: an answer or a one-line refusal, never a panic (DESIGN S7).

use serde_json::{Value, json};

use super::{Bundle, parse, plan};
use crate::cli::{Cli, Globals};

fn globals(flags: &[&str]) -> Globals {
    use clap::Parser;
    let line = ["runsc"].iter().chain(flags).chain(&["list"]);
    Cli::try_parse_from(line).map(|cli| cli.globals).unwrap()
}

/// A configuration with something everywhere.
fn full() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": true, "consoleSize": { "height": 25, "width": 80 },
            "user": { "uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4], "username": "x" },
            "args": ["/bin/true", "x"], "env": ["PATH=/bin", "A=b"], "cwd": "/",
            "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"],
                              "inheritable": [], "ambient": [] },
            "rlimits": [{ "type": "RLIMIT_CORE", "soft": 1, "hard": 2 }],
            "noNewPrivileges": true, "oomScoreAdj": 5, "apparmorProfile": "a", "selinuxLabel": "b",
            "scheduler": { "policy": "SCHED_OTHER", "nice": 3 }, "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 4 }
        },
        "root": { "path": "/", "readonly": true },
        "hostname": "h", "domainname": "d",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"] },
            { "destination": "/x", "type": "tmpfs", "source": "t", "options": ["size=5", "tmpcopyup"] },
            { "destination": "/y", "type": "bind", "source": "/", "options": ["rbind", "ro"] }
        ],
        "annotations": { "a": "b" },
        "hooks": {
            "prestart": [{ "path": "/bin/true", "args": ["true"], "env": ["A=B"], "timeout": 5 }],
            "startContainer": [{ "path": "/bin/true" }], "poststop": [{ "path": "/bin/true" }]
        },
        "linux": {
            "uidMappings": [{ "containerID": 0, "hostID": 1000, "size": 10 }],
            "gidMappings": [{ "containerID": 0, "hostID": 1000, "size": 10 }],
            "sysctl": { "net.ipv4.ip_forward": "1" },
            "resources": {
                "devices": [{ "allow": false, "type": "c", "major": 1, "minor": 2, "access": "rwm" }],
                "memory": { "limit": 1, "swap": 2, "reservation": 3, "swappiness": 4, "kernelTCP": 5, "disableOOMKiller": true },
                "cpu": { "shares": 1, "quota": 2, "period": 3, "burst": 4, "cpus": "0", "mems": "0", "idle": 1,
                         "realtimeRuntime": 5, "realtimePeriod": 6 },
                "pids": { "limit": 7 },
                "blockIO": { "weight": 10, "leafWeight": 11, "weightDevice": [{ "major": 8, "minor": 0, "weight": 5 }],
                             "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 5 }] },
                "hugepageLimits": [{ "pageSize": "2MB", "limit": 9 }],
                "network": { "classID": 1, "priorities": [{ "name": "lo", "priority": 2 }] },
                "rdma": { "m": { "hcaHandles": 1, "hcaObjects": 2 } },
                "unified": { "memory.high": "5" }
            },
            "cgroupsPath": "/a/b",
            "namespaces": [{ "type": "pid" }, { "type": "network", "path": "/proc/self/ns/net" }, { "type": "user" }],
            "devices": [{ "path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0 }],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls": [{ "names": ["read", "write"], "action": "SCMP_ACT_ALLOW",
                               "args": [{ "index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ" }] }]
            },
            "rootfsPropagation": "rslave",
            "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "mountLabel": "x",
            "personality": { "domain": "LINUX" }, "intelRdt": { "closID": "x" }
        }
    })
}

fn nonsense() -> Vec<Value> {
    let mut list = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(u32::MAX),
        json!(65536),
        json!(""),
        json!("\u{0}"),
        json!("a\nb\u{1b}[31m"),
        json!("../../../etc"),
        json!("/"),
        json!("/../x"),
        json!("/\u{0}"),
        json!("x".repeat(5000)),
        json!(format!("/{}", "y/".repeat(5000))),
        json!("\u{202e}\u{feff}é"),
        json!("%s%n{}"),
        json!([]),
        json!([null]),
        json!([[], {}, -1, ""]),
        json!({}),
        json!({ "": "" }),
        json!({ "\u{0}": null, "type": -1, "path": [] }),
    ];
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    list.push(deep);
    list
}

/// Paths of every value within.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| places(v, &format!("{at}/{k}"), out)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, v)| places(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

/// Takes the text as `create` would, up to starting anything; gives whether it was accepted.
fn judge(text: &[u8], globals: &Globals) -> bool {
    let result = parse(text).and_then(|(spec, notes)| {
        let dir = "/".into();
        plan("c", Bundle { dir, spec, notes }, globals)
    });
    match result {
        Ok(plan) => {
            let _ = plan.resources.as_ref().map(crate::cgroup::limits_something);
            // It goes through a message to the Sentry, as JSON.
            serde_json::to_string(&plan.container).unwrap();
            true
        }
        Err(e) => {
            let line = e.to_string();
            assert_eq!(line.lines().count(), 1, "{line:?}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(line.len() < 200_000, "an endless line");
            false
        }
    }
}

#[test]
fn the_base_is_accepted() {
    assert!(judge(full().to_string().as_bytes(), &globals(&[])));
}

#[test]
fn in_every_place() {
    let base = full();
    let mut all = Vec::new();
    places(&base, "", &mut all);
    let all_globals = [globals(&[]), globals(&["--rootless", "--systemd-cgroup"])];
    let mut refused = 0;
    for place in &all {
        for value in nonsense() {
            let mut spec = base.clone();
            *spec.pointer_mut(place).unwrap() = value;
            for globals in &all_globals {
                refused += usize::from(!judge(spec.to_string().as_bytes(), globals));
            }
        }
    }
    // It is judged, not waved through.
    assert!(refused > all.len() * 10, "{refused} refused of {} places", all.len());
}

#[test]
fn names_that_nobody_knows_and_lists_that_are_doubled() {
    let base = full();
    let mut all = Vec::new();
    places(&base, "", &mut all);
    let globals = globals(&[]);
    for place in &all {
        let mut spec = base.clone();
        match spec.pointer_mut(place).unwrap() {
            Value::Object(map) => {
                for value in nonsense() {
                    map.insert(format!("unknown{}", map.len()), value);
                }
            }
            Value::Array(list) => {
                let copy = list.clone();
                list.extend(copy);
            }
            _ => continue,
        }
        judge(spec.to_string().as_bytes(), &globals);
    }
}

#[test]
fn damaged_text() {
    let text = full().to_string().into_bytes();
    let globals = globals(&[]);
    // A fixed sequence: a failure can be found again.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..3000 {
        let mut damaged = text.clone();
        for _ in 0..1 + random(4) {
            let at = random(damaged.len());
            match random(4) {
                0 => damaged[at] = u8::try_from(random(256)).unwrap(),
                1 => {
                    let end = (at + random(30)).min(damaged.len());
                    damaged.drain(at..end);
                }
                2 => damaged.truncate(at),
                _ => damaged.insert(at, b"{}[]\",:0-\\"[random(10)]),
            }
            if damaged.is_empty() {
                break;
            }
        }
        judge(&damaged, &globals);
    }
}
