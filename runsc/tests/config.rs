//! What config.json asks for is so inside. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use common::{Bundle, code};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn host_names() {
    let mut b = Bundle::new("hostname");
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(b.output(), own);
    b.spec["hostname"] = json!("another");
    assert_eq!(b.output(), "another\n");
}

/// A container beside another, as engines make pods of plain containers: it has the other's names.
#[test]
fn joined_names() {
    let mut first = Bundle::new("sleep 1000");
    first.spec["hostname"] = json!("together");
    assert_eq!(first.detached(&["run", "--detach", "c"]), Some(0));
    let path = format!("/proc/{}/ns/uts", first.state("c")["pid"]);
    let mut b = Bundle::new("uname -n");
    b.spec["linux"]["namespaces"] = json!([{ "type": "uts", "path": path }]);
    assert_eq!(b.output(), "together\n");
    assert_eq!(code(&first.runsc(&["delete", "--force", "c"])), Some(0));
    b.fails(1, &["linux.namespaces", &path]);
    first.left_nothing();
}

/// Seconds since the host was started.
fn host_uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn time_offsets() {
    let mut b = Bundle::new("cat /proc/self/timens_offsets; read up idle < /proc/uptime; echo $up");
    b.spec["linux"]["namespaces"] = json!([{ "type": "time" }]);
    b.spec["linux"]["timeOffsets"] = json!({
        "monotonic": { "secs": -1, "nanosecs": 7 },
        "boottime": { "secs": 1_000_000 },
    });
    let text = b.output();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..2],
        ["monotonic          -1         7", "boottime      1000000         0"]
    );
    let up: f64 = lines[2].parse().unwrap();
    assert!((up - host_uptime() - 1e6).abs() < 1000.0, "{up}");
    // Processes that are added are in it too, and nobody can change it any more.
    b.spec["process"]["args"][2] = json!("sleep 1000");
    assert_eq!(b.detached(&["run", "--detach", "c"]), Some(0));
    let script = "cat /proc/self/timens_offsets; read up idle < /proc/uptime; echo $up; \
                  echo 1 2 3 > /proc/self/timens_offsets || readlink /proc/1/ns/time /proc/self/ns/time | uniq | wc -l";
    let added = b.runsc(&["exec", "c", "sh", "-c", script]);
    let text = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(
        text.starts_with("monotonic          -1         7\nboottime      1000000         0\n"),
        "{text}"
    );
    let up: f64 = text.lines().nth(2).unwrap().parse().unwrap();
    assert!((up - host_uptime() - 1e6).abs() < 1000.0, "{up}");
    assert!(text.ends_with("\n1\n"), "{text}");
    assert_eq!(code(&b.runsc(&["delete", "--force", "c"])), Some(0));
    b.left_nothing();
}

#[test]
fn time_namespaces_without_sense() {
    let mut b = Bundle::new("readlink /proc/self/ns/time");
    let plain = b.output();
    b.spec["linux"]["namespaces"] = json!([{ "type": "time" }]);
    assert_ne!(b.output(), plain);
    b.spec["linux"]["timeOffsets"] = json!({ "realtime": { "secs": 1 } });
    b.fails(1, &["linux.timeOffsets.realtime"]);
    b.spec["linux"]["timeOffsets"] = json!({ "boottime": { "nanosecs": 1_000_000_000 } });
    b.fails(1, &["linux.timeOffsets.boottime.nanosecs", "1000000000"]);
    b.spec["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": -4_000_000_000i64 } });
    b.fails(1, &["linux.timeOffsets", "out of range"]);
    b.spec["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } });
    b.spec["linux"]["namespaces"] = json!([]);
    b.fails(1, &["linux.timeOffsets", "without a time namespace"]);
    b.spec["linux"]["timeOffsets"] = json!({});
    b.spec["linux"]["namespaces"] = json!([{ "type": "time", "path": "/proc/self/ns/time" }]);
    assert_eq!(b.output(), plain);
    b.spec["linux"]["namespaces"] = json!([{ "type": "time", "path": "/proc/self/ns/uts" }]);
    b.fails(1, &["linux.namespaces[0].path", "not of time"]);
    b.spec["linux"]["namespaces"] = json!([{ "type": "time", "path": "/nowhere" }]);
    b.fails(1, &["linux.namespaces[0].path", "/nowhere"]);
}

#[test]
fn memory_policy() {
    let mut b = Bundle::new("sed 's/^[^ ]* //;s/ .*//' /proc/self/numa_maps | sort -u");
    b.spec["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    assert_eq!(b.output(), "bind=static:0\n");
    b.spec["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_DEFAULT", "nodes": "" });
    assert_eq!(b.output(), "default\n");
    b.spec["process"]["args"][2] = json!("sleep 1000");
    b.spec["linux"]["memoryPolicy"] =
        json!({ "mode": "MPOL_PREFERRED", "nodes": "3,5-7", "flags": ["MPOL_F_RELATIVE_NODES"] });
    assert_eq!(b.detached(&["run", "--detach", "c"]), Some(0));
    let added = b.runsc(&["exec", "c", "cat", "/proc/self/numa_maps"]);
    assert!(
        String::from_utf8_lossy(&added.stdout).contains(" prefer=relative:0"),
        "{added:?}"
    );
    assert_eq!(code(&b.runsc(&["delete", "--force", "c"])), Some(0));
    b.spec["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "1" });
    b.fails(1, &["linux.memoryPolicy", "invalid argument"]);
    b.spec["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0-9999" });
    b.fails(1, &["linux.memoryPolicy.nodes", "0-9999"]);
}

#[test]
fn sysctls() {
    let mut b = Bundle::new(
        "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax net/ipv4/ip_unprivileged_port_start kernel/shmmax; \
         mount -t proc proc /mnt && cat /mnt/sys/net/ipv4/ip_forward",
    );
    let all = json!(["CAP_SYS_ADMIN"]);
    b.spec["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
    b.spec["linux"]["sysctl"] = json!({
        "net.ipv4.ip_forward": "1", "kernel.msgmax": "4096", "net/ipv4/ip_unprivileged_port_start": "80",
        "kernel.shmmax": "65536"
    });
    assert_eq!(b.output(), "1\n4096\n80\n65536\n1\n");
    for (name, value, word) in [
        ("net.foo.bar", "1", "no such file or directory"),
        ("net.ipv4.ip_forward", "no", "invalid argument"),
        ("kernel.osrelease", "6", "permission denied"),
        ("kernel", "6", "permission denied"),
        ("kernel.hostname", "x", "hostname"),
    ] {
        b.spec["linux"]["sysctl"] = json!({ name: value });
        b.fails(1, &["sysctl", name, word]);
    }
}

/// Who names no user runs as root, as with runc.
/// What is left out is told: where engines look if they named a log, else on standard error. What nobody knows is for the log.
#[test]
fn what_is_ignored_is_told() {
    let mut c = Bundle::new("true");
    c.spec["bogus"] = json!(1);
    c.spec["process"]["capabilities"] = json!({ "bounding": ["CAP_BOGUS"] });
    let told = String::from_utf8(c.runsc(&["run", "c"]).stderr).unwrap();
    assert!(told.contains("unknown capability \"CAP_BOGUS\""), "{told}");
    assert!(!told.contains("bogus: unknown field"), "{told}");
    let output = c.runsc(&["--log", "log", "run", "c"]);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    let told = c.read("log");
    for words in ["bogus: unknown field", "unknown capability"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn no_user() {
    let mut b = Bundle::new("id -u; id -g");
    b.spec["process"].as_object_mut().unwrap().remove("user");
    assert_eq!(b.output(), "0\n0\n");
}

/// What the guest's kernel keeps of a process.
#[test]
fn scheduling() {
    let ask = "import os; print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.nice(0))";
    let mut b = Bundle::new(&format!(
        "python3 -c '{ask}'; ionice; uname -m; cat /proc/self/personality"
    ));
    b.spec["process"]["scheduler"] =
        json!({ "policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"] });
    b.spec["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    b.spec["linux"]["personality"] = json!({ "domain": "LINUX32" });
    // A child of the shell: the policy is reset, a nice value above 0 is not.
    assert_eq!(b.output(), "0 0 5\nbest-effort: prio 6\ni686\n00000008\n");
    b.spec["process"]["scheduler"] = json!({ "policy": "SCHED_RR", "priority": 7 });
    assert!(b.output().starts_with("2 7 0\n"), "{}", b.output());
    b.spec["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "priority": 7 });
    b.fails(1, &["process.scheduler.priority", "7", "SCHED_OTHER"]);
    b.spec["process"]["scheduler"] = json!({ "policy": "SCHED_DEADLINE", "runtime": 5 });
    b.fails(1, &["process.scheduler", "runtime 5"]);
    b.spec["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 20 });
    b.fails(1, &["process.scheduler.nice", "20"]);
    b.spec["process"].as_object_mut().unwrap().remove("scheduler");
    b.spec["process"]["ioPriority"]["priority"] = json!(8);
    b.fails(1, &["process.ioPriority.priority", "8"]);
}

/// What the host mounts while the container runs is seen in a mount that follows, and only there, until it is unmounted.
#[test]
fn mounts_that_follow() {
    let mut b = Bundle::new(
        "ls /slave/sub /private/sub; touch /host/ready; until test -e /slave/sub/f; do sleep 0.02; done; cat /slave/sub/f; \
         ls /private/sub; echo x >/slave/sub/g; touch /host/seen; until ! test -e /slave/sub/f; do sleep 0.02; done",
    );
    for (place, option) in [("/slave", "rslave"), ("/private", "rprivate")] {
        b.mount(json!({ "destination": place, "type": "bind", "source": b.path("vol"), "options": ["rbind", option] }));
    }
    // In a mount namespace of its own, which goes with it.
    let script = "set -e; mkdir vol; mount -t tmpfs t vol; mount --make-shared vol; mkdir vol/sub; \
         \"$@\" & trap 'kill $!' TERM; until test -e ready; do sleep 0.02; done; mount -t tmpfs t vol/sub; echo 1 >vol/sub/f; \
         until test -e seen; do sleep 0.02; done; cat vol/sub/g; umount --lazy vol/sub; wait $!";
    let runsc = b.command(&["run", "c"]);
    let output = Command::new("timeout")
        .args(["20", "unshare", "--mount", "sh", "-c", script, "sh"])
        .arg(runsc.get_program())
        .args(runsc.get_args())
        .current_dir(&b.dir)
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "/private/sub:\n\n/slave/sub:\n1\nx\n");
    b.left_nothing();
}

/// Limits that sysctls set are in force.
#[test]
fn sysctls_steer() {
    let mut b = Bundle::new(
        "python3 -c \"
import socket
s = socket.socket(); s.bind(('127.0.0.1', 80)); print('bound')
try: socket.socket().bind(('127.0.0.1', 79))
except PermissionError: print('refused')
\"",
    );
    b.spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    b.spec["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "80" });
    assert_eq!(b.output(), "bound\nrefused\n");
}

#[test]
fn tmpfs_options() {
    let mut b =
        Bundle::new("stat -c '%a %u %g' /mnt; grep ' /mnt ' /proc/mounts; df -k /mnt | tail -1 | awk '{print $2}'");
    b.mount(json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "size=1m", "mode=1770", "uid=12", "gid=34"] }));
    let output = b.output();
    assert!(
        output.starts_with("1770 12 34\n") && output.ends_with("\n1024\n"),
        "{output}"
    );
    assert!(output.contains("nosuid") && output.contains("size=1024k"), "{output}");
    b.spec["mounts"][4]["options"] = json!(["size=much"]);
    b.fails(1, &["mount \"/mnt\"", "with", "invalid argument"]);
    b.spec["mounts"][4]["options"] = json!(["tmpcopyup", "what=ever"]);
    b.fails(1, &["mount \"/mnt\"", "invalid argument"]);
}

#[test]
fn copied_up() {
    let mut b = Bundle::new(
        "cd /host/data; cat file deep/down/x link; stat -c '%a %u' . file deep; echo more >file; ls -A | sort | tr '\\n' ' '",
    );
    let data = b.path("data");
    fs::create_dir_all(data.join("deep/down")).unwrap();
    fs::write(data.join("file"), "old\n").unwrap();
    fs::write(data.join("deep/down/x"), "x\n").unwrap();
    fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(data.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(data.join("file"), Some(77), None).unwrap();
    std::os::unix::fs::symlink("file", data.join("link")).unwrap();
    b.mount(json!({ "destination": "/host/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] }));
    assert_eq!(b.output(), "old\nx\nold\n755 0\n640 77\n700 0\ndeep file link ");
    assert_eq!(b.read("data/file"), "old\n", "the original is as it was");
}

#[test]
fn proc_options() {
    let mut b = Bundle::new(
        "grep ' /proc ' /proc/mounts; ls -d /proc/1 2>&1; setpriv --reuid 5 --regid 5 --clear-groups ls -d /proc/1 2>&1",
    );
    let all = json!(["CAP_SETUID", "CAP_SETGID"]);
    b.spec["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
    b.spec["mounts"][0]["options"] = json!(["hidepid=2", "nosuid"]);
    let output = code_and_text(&b);
    assert!(output.contains("hidepid=invisible"), "{output}");
    assert!(output.contains("\n/proc/1\n"), "{output}");
    assert!(output.contains("No such file"), "{output}");
}

fn code_and_text(b: &Bundle) -> String {
    let output = b.runsc(&["run", "c"]);
    code(&output);
    String::from_utf8(output.stdout).unwrap()
}

/// Mount points that are missing are made, also in a root that is then read-only.
#[test]
fn readonly_root() {
    let mut b = Bundle::new("touch /here 2>&1; grep ' /new/point ' /proc/mounts; cat /newfile; touch /newfile 2>&1");
    fs::write(b.path("source"), "content\n").unwrap();
    b.spec["root"]["readonly"] = json!(true);
    b.mount(json!({ "destination": "/new/point", "type": "tmpfs", "source": "tmpfs" }));
    let source = b.path("source");
    b.mount(json!({ "destination": "/newfile", "type": "bind", "source": source, "options": ["bind", "ro"] }));
    let output = code_and_text(&b);
    let readonly = output.matches("Read-only file system").count();
    assert!(
        readonly == 2 && output.contains("/new/point tmpfs rw") && output.contains("content\n"),
        "{output}"
    );
}

#[test]
fn binds() {
    let mut b =
        Bundle::new("grep ' /mnt ' /proc/mounts; touch /mnt/x 2>&1; /mnt/program 2>&1; cat /mnt/file; touch /host/y");
    fs::create_dir(b.path("data")).unwrap();
    fs::write(b.path("data/file"), "text\n").unwrap();
    fs::copy("/bin/true", b.path("data/program")).unwrap();
    let source = b.path("data");
    b.mount(json!({ "destination": "/mnt", "source": source,
        "options": ["rbind", "ro", "nosuid", "noexec", "nodev", "rslave", "x-whatever"] }));
    let output = code_and_text(&b);
    assert!(output.contains("ro,nosuid,nodev,noexec"), "{output}");
    assert!(
        output.contains("Read-only file system") && output.contains("Permission denied"),
        "{output}"
    );
    assert!(output.ends_with("text\n"), "{output}");
    assert!(b.path("y").exists());
}

/// What shows the host's kernel is never served: the sandbox has its own.
#[test]
fn windows_into_the_kernel() {
    let mut b = Bundle::new("grep ' /sys ' /proc/mounts; touch /sys/x 2>&1; cat /mnt/sys/kernel/osrelease");
    b.mount(json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "ro"] }));
    b.mount(json!({ "destination": "/mnt", "type": "bind", "source": "/proc/", "options": ["rbind"] }));
    let output = b.runsc(&["--log", "log", "run", "c"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("/sys sysfs ro,nosuid") && text.contains("Read-only file system"),
        "{text}"
    );
    assert!(
        !text.ends_with(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap()),
        "{text}"
    );
    assert!(b.read("log").contains("mounts[4]: /sys"), "{}", b.read("log"));
}

/// Ids of a user namespace: the guest's root is another on the host, and what the host's root owns is nobody's.
#[test]
fn user_namespace() {
    let mut b = Bundle::new(
        "id -u; cat /proc/self/uid_map; echo x >/host/open/new; stat -c %u /host/open/new /host/closed; \
         echo x 2>&1 >/host/closed/new; chown 500 /host/open/new; chown 5000 /host/open/new 2>&1",
    );
    let all = json!(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]);
    b.spec["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
    for (name, mode) in [("open", 0o777), ("closed", 0o755)] {
        fs::create_dir(b.path(name)).unwrap();
        fs::set_permissions(b.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let map = json!([{ "containerID": 0, "hostID": 20000, "size": 1000 }]);
    b.spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user" }));
    b.spec["linux"]["uidMappings"] = map.clone();
    b.spec["linux"]["gidMappings"] = map;
    let output = code_and_text(&b);
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(&words[..6], ["0", "0", "20000", "1000", "0", "65534"], "{output}");
    assert!(output.contains("Invalid argument"), "{output}");
    assert!(!b.path("closed/new").exists(), "{output}");
    assert_eq!(fs::metadata(b.path("open/new")).unwrap().uid(), 20500);
}

/// The first program is executed as any: who is not root keeps of all these only what is ambient.
#[test]
fn capabilities_of_a_user() {
    let mut b = Bundle::new("while read -r line; do case $line in Cap*) echo $line;; esac; done </proc/self/status");
    let (all, one) = (json!(["CAP_CHOWN", "CAP_KILL"]), json!(["CAP_KILL"]));
    b.spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    b.spec["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
    let caps = |b: &Bundle| {
        let text = code_and_text(b);
        let words: Vec<u64> = text
            .split_whitespace()
            .filter_map(|w| u64::from_str_radix(w, 16).ok())
            .collect();
        assert_eq!(words.len(), 5, "{text}");
        words
    };
    assert_eq!(caps(&b), [0, 0, 0, 0x21, 0]);
    let sets = json!({ "bounding": all, "effective": all, "permitted": all, "inheritable": one, "ambient": one });
    b.spec["process"]["capabilities"] = sets;
    assert_eq!(caps(&b), [0x20, 0x20, 0x20, 0x21, 0x20]);
    b.spec["process"]["user"] = json!({ "uid": 0, "gid": 0 });
    assert_eq!(caps(&b)[1..4], [0x21, 0x21, 0x21]);
}

#[test]
fn seccomp() {
    let mut b = Bundle::new(
        "grep -E 'Seccomp|NoNew' /proc/self/status; mkdir /tmp/a 2>&1; chmod 123 /tmp 2>&1; chmod 755 /tmp && echo done",
    );
    b.spec["process"]["noNewPrivileges"] = json!(true);
    b.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
            { "names": ["fchmodat"], "action": "SCMP_ACT_ERRNO",
              "args": [{ "index": 2, "value": 0o123, "op": "SCMP_CMP_EQ" }] }
        ]
    });
    let output = code_and_text(&b);
    assert!(output.contains("Seccomp:\t2\nSeccomp_filters:\t1\n"), "{output}");
    assert!(output.contains("NoNewPrivs:\t1\n"), "{output}");
    assert!(output.contains("No space left on device"), "{output}");
    assert!(
        output.contains("Operation not permitted") && output.ends_with("done\n"),
        "{output}"
    );
    let off = b.runsc(&["--oci-seccomp=false", "run", "c"]);
    assert!(String::from_utf8_lossy(&off.stdout).contains("Seccomp:\t0\n"));
}

#[test]
fn seccomp_kills() {
    let mut b = Bundle::new("echo before; mkdir /tmp/a; echo after $?");
    b.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" }]
    });
    assert_eq!(b.output(), "before\nafter 159\n");
}

#[test]
fn seccomp_nonsense() {
    let mut b = Bundle::new("true");
    let rule = |rule: Value| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    for (profile, words) in [
        (
            json!({ "defaultAction": "SCMP_ACT_NOPE" }),
            ["linux.seccomp.defaultAction", "SCMP_ACT_NOPE"],
        ),
        (json!({}), ["linux.seccomp", "defaultAction"]),
        (
            json!({ "defaultAction": "SCMP_ACT_NOTIFY" }),
            ["linux.seccomp.defaultAction", "notification"],
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"] }),
            ["linux.seccomp.architectures[0]", "SCMP_ARCH_VAX"],
        ),
        (
            rule(json!({ "names": [], "action": "SCMP_ACT_ERRNO" })),
            ["linux.seccomp.syscalls[0].names", "empty"],
        ),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000 })),
            ["linux.seccomp.syscalls[0].action", "5000"],
        ),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO",
                "args": [{ "index": 6, "value": 1, "op": "SCMP_CMP_EQ" }] })),
            ["linux.seccomp.syscalls[0].args[0].index", "6"],
        ),
    ] {
        b.spec["linux"]["seccomp"] = profile;
        b.fails(1, &words);
    }
}

#[test]
fn unknown_fields_are_noted() {
    let mut b = Bundle::new("echo hi");
    b.spec["newThing"] = json!({ "a": [1, 2] });
    b.spec["linux"]["newer"] = json!(1);
    b.spec["process"]["apparmorProfile"] = json!("docker-default");
    b.spec["process"]["selinuxLabel"] = json!("a:b:c");
    let output = b.runsc(&["--log", "log", "run", "c"]);
    assert_eq!(code(&output), Some(0));
    assert!(output.stderr.is_empty());
    let log = b.read("log");
    for word in ["newThing", "linux.newer", "apparmorProfile", "selinuxLabel"] {
        assert!(log.contains(word), "{word} is missing in {log}");
    }
}

#[test]
fn masked_and_readonly() {
    let mut b = Bundle::new(
        "cat /etc/passwd; ls -A /usr/lib; touch /etc/x 2>&1; echo 1 2>&1 >/proc/sys/net/ipv4/ip_forward; cat /no/such 2>&1",
    );
    b.spec["linux"]["maskedPaths"] = json!(["/etc/passwd", "/usr/share", "/no/such", "/proc/keys"]);
    b.spec["linux"]["readonlyPaths"] = json!(["etc", "/proc/sys", "/not/there", "nor/there"]);
    b.spec["process"]["args"][2] = json!(
        "wc -c </etc/passwd; ls -A /usr/share | wc -l; touch /etc/x 2>&1; (echo 1 >/proc/sys/net/ipv4/ip_forward) 2>&1"
    );
    let output = code_and_text(&b);
    assert!(output.starts_with("0\n0\n"), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
}

/// As `setgroups(2)` leaves them: sorted, and doubled where they were given twice.
#[test]
fn groups() {
    let mut b = Bundle::new("grep Groups /proc/self/status");
    b.spec["process"]["user"]["additionalGids"] = json!([100, 7, 100]);
    assert_eq!(
        b.output().split_whitespace().collect::<Vec<_>>(),
        ["Groups:", "7", "100", "100"]
    );
}

/// Mounts are listed in the order in which they were made, also in a copy of the namespace.
#[test]
fn order_of_mounts() {
    let list = "cut -d' ' -f5 /proc/self/mountinfo";
    let mut b = Bundle::new(&format!("{list}; echo; unshare -m {list}"));
    b.mount(json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts" }));
    b.mount(json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs" }));
    b.mount(json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm" }));
    b.spec["process"]["capabilities"] =
        json!({ "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"], "bounding": ["CAP_SYS_ADMIN"] });
    let output = b.output();
    let (first, copy) = output.split_once("\n\n").unwrap();
    let order = ["/", "/proc", "/dev", "/tmp", "/host", "/dev/pts", "/sys", "/dev/shm"];
    assert_eq!(first.lines().collect::<Vec<_>>(), order);
    // Each mount with all below it before its next sibling.
    let order = ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/tmp", "/host", "/sys"];
    assert_eq!(copy.lines().collect::<Vec<_>>(), order);
}

/// What is mounted beneath the source of an rbind is a mount in the guest too, with its own flags and those that are meant for it.
#[test]
fn mounts_beneath() {
    let dir = TempDir::new().unwrap();
    let sub = dir.path().join("sub");
    let script = "cut -d' ' -f4-6 /proc/self/mountinfo | grep /v; touch /v/x 2>&1; touch /v/sub/y 2>&1";
    let mut b = Bundle::new(script);
    b.mount(json!({ "destination": "/v", "type": "bind", "source": dir.path(), "options": ["rbind", "ro"] }));
    let run = |b: &Bundle| {
        let mut command = b.command(&["run", "c"]);
        let mount = format!(
            "mkdir {0}; mount -t tmpfs -o noexec t {0} && exec \"$@\"",
            sub.display()
        );
        let args: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        let program = command.get_program().to_owned();
        command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", &mount, "sh"])
            .arg(program)
            .args(args)
            .current_dir(b.dir.path());
        let output = command.output().unwrap();
        code(&output);
        fs::remove_dir(&sub).unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let source = dir.path().display();
    let output = run(&b);
    let wanted = format!("{source} /v ro,relatime\n{source}/sub /v/sub rw,noexec,relatime\n");
    assert!(output.starts_with(&wanted), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 1, "{output}");
    b.spec["mounts"][4]["options"] = json!(["rbind", "rro", "rexec", "rnoatime"]);
    let output = run(&b);
    let wanted = format!("{source} /v ro,noatime\n{source}/sub /v/sub ro,noatime\n");
    assert!(output.starts_with(&wanted), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
}

/// Times of access of what is bound are kept as the mount says.
#[test]
fn times_of_access() {
    let mut b = Bundle::new("ls /v >/dev/null; cat /v/file");
    let (dir, file) = (b.path("dir"), b.path("dir/file"));
    let bind = json!({ "destination": "/v", "type": "bind", "source": dir, "options": ["bind"] });
    b.mount(bind);
    for (option, counts) in [
        ("noatime", [false, false]),
        ("nodiratime", [false, true]),
        ("rw", [true, true]),
    ] {
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "").unwrap();
        let read = |path: &std::path::Path| fs::metadata(path).unwrap().accessed().unwrap();
        let before = [read(&dir), read(&file)];
        std::thread::sleep(std::time::Duration::from_millis(20));
        b.spec["mounts"][4]["options"] = json!(["bind", option]);
        b.output();
        let after = [read(&dir), read(&file)];
        let changed: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a != b).collect();
        assert_eq!(changed, counts, "{option}");
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// The root and each mount take part in propagation as they are told, within the guest.
#[test]
fn propagation() {
    let mut b = Bundle::new(
        "cut -d' ' -f5,7 /proc/self/mountinfo | grep -E '^(/|/v|/w) '; mkdir /tmp/a /tmp/b; mount --bind / /tmp/a; \
         mount -t tmpfs t /mnt; touch /mnt/x; ls /tmp/a/mnt | grep -x x",
    );
    b.spec["process"]["capabilities"] = json!({
        "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"], "bounding": ["CAP_SYS_ADMIN"]
    });
    b.mount(json!({ "destination": "/v", "type": "tmpfs", "source": "t", "options": ["shared"] }));
    b.mount(json!({ "destination": "/w", "type": "tmpfs", "source": "t", "options": ["unbindable"] }));
    let output = b.runsc(&["run", "c"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "/ -\n/v shared:1\n/w unbindable\n"
    );
    b.spec["linux"]["rootfsPropagation"] = json!("shared");
    assert_eq!(b.output(), "/ shared:2\n/v shared:1\n/w unbindable\nx\n");
    b.spec["linux"]["rootfsPropagation"] = json!("sometimes");
    b.fails(1, &["linux.rootfsPropagation", "sometimes"]);
}

/// A mount that is there can get other flags, and a mount point can be a read-only path.
#[test]
fn remounts() {
    let mut b = Bundle::new("grep -c ' /proc ' /proc/mounts; touch /tmp/x 2>&1; touch /mnt/y 2>&1; touch /host/z");
    b.mount(json!({ "destination": "/mnt", "type": "tmpfs", "source": "t" }));
    b.mount(json!({ "destination": "/tmp", "type": "tmpfs", "source": "t", "options": ["remount", "ro"] }));
    b.mount(json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["remount", "nosuid"] }));
    b.spec["linux"]["readonlyPaths"] = json!(["/mnt"]);
    let output = code_and_text(&b);
    assert!(output.starts_with("1\n"), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
    b.spec["mounts"][5]["destination"] = json!("/usr");
    b.fails(1, &["mount \"/usr\"", "invalid argument"]);
}

#[test]
fn devices() {
    let mut b = Bundle::new(
        "stat -c '%F %a %u %t:%T' /dev/fuse /dev/pipe /dev/blk /dev/null; head -c 3 /dev/zero | od -An -tx1",
    );
    b.spec["linux"]["devices"] = json!([
        { "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 3, "gid": 4 },
        { "path": "/dev/pipe", "type": "p" },
        { "path": "/dev/blk", "type": "b", "major": 8, "minor": 1 }
    ]);
    assert_eq!(
        b.output(),
        "character special file 600 3 a:e5\nfifo 666 0 0:0\nblock special file 666 0 8:1\n\
         character special file 666 0 1:3\n 00 00 00\n"
    );
}

/// The first process's terminal is also `/dev/console`.
#[test]
fn console() {
    let mut b = Bundle::new("tty; echo written >/dev/console; stat -c %t /dev/console");
    b.spec["process"]["terminal"] = json!(true);
    b.mount(json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] }));
    let inner = b.command(&["run", "c"]);
    let line: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let output = Command::new("script")
        .args(["-qec", &line.join(" "), "/dev/null"])
        .current_dir(b.dir.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("/dev/pts/0\nwritten\n88\n"), "{text}");
}

#[test]
fn few_descriptors() {
    let b = Bundle::new("echo fine");
    let run = |limit: &str| {
        let inner = b.command(&["run", "c"]);
        let mut command = Command::new("prlimit");
        command.args([limit]).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(b.dir.path()).output().unwrap()
    };
    for limit in ["--nofile=20", "--nofile=64:64", "--fsize=1000"] {
        let output = run(limit);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && stderr.lines().count() == 1,
            "{limit}: {stderr}"
        );
        assert!(
            stderr.contains("too few") || stderr.contains("File too large"),
            "{limit}: {stderr}"
        );
        b.left_nothing();
    }
    for limit in ["--nofile=256", "--nofile=20:4096"] {
        assert_eq!(String::from_utf8_lossy(&run(limit).stdout), "fine\n", "{limit}");
    }
}

/// A bundle of an ordinary user, in a user namespace of his own.
#[test]
fn a_users_own_bundle() {
    let mut b = Bundle::new(
        "id -u; cat /proc/self/uid_map; echo x >/host/file; stat -c %u /host/file; cat /etc/shadow 2>&1; true",
    );
    let program = b.path("runsc");
    fs::copy(env!("CARGO_BIN_EXE_runsc"), &program).unwrap();
    let map = json!([{ "containerID": 0, "hostID": 1234, "size": 1 }]);
    b.spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user" }));
    b.spec["linux"]["uidMappings"] = map.clone();
    b.spec["linux"]["gidMappings"] = map;
    drop(b.command(&[]));
    std::os::unix::fs::chown(b.dir.path(), Some(1234), Some(1234)).unwrap();
    let run = |args: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", "1234", "--regid", "1234", "--clear-groups"])
            .arg(&program)
            .arg("--root")
            .arg(b.path("state"))
            .arg("--overlay2=root:memory")
            .args(args)
            .current_dir(b.dir.path())
            .output()
            .unwrap()
    };
    let output = run(&["run", "c"]);
    assert_eq!(code(&output), Some(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(&words[..5], ["0", "0", "1234", "1", "0"], "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    assert_eq!(fs::metadata(b.path("file")).unwrap().uid(), 1234);
    let output = run(&["--rootless=false", "run", "c"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert!(stderr.contains("Operation not permitted"), "{stderr}");
    b.left_nothing();
}

#[test]
fn a_full_disk() {
    let b = Bundle::new("true");
    let disk = b.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |args: &[&str]| assert!(Command::new("mount").args(args).status().unwrap().success());
    mount(&[
        "-t",
        "tmpfs",
        "-o",
        "size=4k,nr_inodes=3",
        "full",
        disk.to_str().unwrap(),
    ]);
    fs::write(disk.join("filler"), vec![0; 4096]).unwrap();
    let output = b.command(&["--root", disk.to_str().unwrap(), "run", "c"]).output();
    let output = output.unwrap();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert!(stderr.contains("No space left on device"), "{stderr}");
}
