//! What scripts and engines written for runc expect beyond the specification. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use common::{Bundle, code, wait_for};
use serde_json::json;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A terminal where none of the streams is one: what is written comes out as written, the last word too.
#[test]
fn a_terminal_before_pipes() {
    let mut b = Bundle::new("test -t 0 && test -t 1 && test -t 2 && tty; seq 2000; stty size; echo end >&2");
    b.spec["process"]["terminal"] = json!(true);
    b.spec["process"]["consoleSize"] = json!({ "height": 11, "width": 22 });
    b.mount(json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"] }));
    let numbers: String = (1..=2000).map(|n| format!("{n}\n")).collect();
    for round in 0..3 {
        let output = b.runsc(&["run", &format!("c{round}")]);
        assert_eq!(code(&output), Some(0));
        assert_eq!(text(&output.stdout), format!("/dev/pts/0\n{numbers}11 22\nend\n"));
    }
    b.left_nothing();
}

/// What is written to runsc is typed there, and `exec --tty` does as `run`.
#[test]
fn typing_through_a_pipe() {
    let mut b = Bundle::new("read -r word; echo got $word; read -r word; exit 7");
    b.spec["process"]["terminal"] = json!(true);
    let mut child = b
        .command(&["run", "c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\r").unwrap();
    let mut seen = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    let mut byte = [0];
    while !text(&seen).contains("got hello\n") {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", text(&seen));
        seen.push(byte[0]);
    }
    let output = b.runsc(&["exec", "--tty", "c", "sh", "-c", "test -t 0 && test -t 1 && echo both"]);
    assert_eq!((code(&output), text(&output.stdout)), (Some(0), "both\n".to_owned()));
    stdin.write_all(b"x\r").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    b.left_nothing();
}

#[test]
fn kill_of_nobody() {
    let b = Bundle::new("exec sleep 1000");
    assert_eq!(b.detached(&["run", "-d", "c"]), Some(0));
    assert_eq!(code(&b.runsc(&["kill", "c", "0"])), Some(0));
    assert_eq!(code(&b.runsc(&["kill", "c", "KILL"])), Some(0));
    wait_for("its end", || b.state("c")["status"] == "stopped");
    assert_eq!(code(&b.runsc(&["kill", "c", "0"])), Some(1));
    assert_eq!(code(&b.runsc(&["kill", "--all", "c", "0"])), Some(0));
    assert_eq!(code(&b.runsc(&["kill", "-a", "c", "9"])), Some(0));
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    b.left_nothing();
}

/// `exec --process <(command)`
#[test]
fn a_process_from_a_pipe() {
    let b = Bundle::new("exec sleep 1000");
    assert_eq!(b.detached(&["run", "-d", "c"]), Some(0));
    let path = b.path("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, r#"{ "args": ["/bin/echo", "said"], "cwd": "/" }"#).unwrap()
    });
    let output = b.runsc(&["exec", "--process", path.to_str().unwrap(), "c"]);
    assert_eq!((code(&output), text(&output.stdout)), (Some(0), "said\n".to_owned()));
    writer.join().unwrap();
    assert_eq!(code(&b.runsc(&["delete", "-f", "c"])), Some(0));
    b.left_nothing();
}

/// Capabilities are those that execve(2) leaves, as on Linux: all that are permitted for root, the ambient ones for others.
#[test]
fn capabilities_after_exec() {
    let mut b = Bundle::new("grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status | cut -f2 | tr '\\n' ' '");
    for (uid, sets, wanted) in [
        (
            0,
            json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"] }),
            "20 20 0",
        ),
        (
            7,
            json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"] }),
            "0 0 0",
        ),
        (
            7,
            json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"],
                    "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"] }),
            "20 20 20",
        ),
    ] {
        b.spec["process"]["user"] = json!({ "uid": uid, "gid": uid });
        b.spec["process"]["capabilities"] = sets;
        let said = b.output();
        let sets: Vec<u64> = said
            .split_whitespace()
            .map(|n| u64::from_str_radix(n, 16).unwrap())
            .collect();
        let wanted: Vec<u64> = wanted.split(' ').map(|n| u64::from_str_radix(n, 16).unwrap()).collect();
        assert_eq!(sets, wanted);
    }
}

/// An image must not say where the windows into the kernel are.
#[test]
fn proc_is_no_link() {
    for name in ["proc", "sys"] {
        let mut b = Bundle::new("true");
        fs::create_dir_all(b.path("root")).unwrap();
        std::os::unix::fs::symlink("/elsewhere", b.path("root").join(name)).unwrap();
        b.spec["root"]["path"] = json!("root");
        let kind = if name == "proc" { "proc" } else { "sysfs" };
        b.spec["mounts"] = json!([{ "destination": format!("/{name}"), "type": kind, "source": kind }]);
        b.fails(1, &[&format!("/{name}"), "must be mounted on ordinary directory"]);
    }
}

fn group(name: &str) -> String {
    format!("/runsc-customs-{name}-{}", std::process::id())
}

/// A hierarchy with a freezer, the file that it is in and the words for frozen and not.
fn freezer() -> Option<(&'static Path, &'static str, [&'static str; 2])> {
    let v1 = Path::new("/sys/fs/cgroup/freezer");
    let v2 = Path::new("/sys/fs/cgroup");
    if v1.join("cgroup.procs").exists() {
        return Some((v1, "freezer.state", ["FROZEN", "THAWED"]));
    }
    let there = v2.join("cgroup.procs").exists();
    there.then_some((v2, "cgroup.freeze", ["1", "0"]))
}

#[test]
fn a_group_that_was_there() {
    let Some((freezer, file, [frozen, thawed])) = freezer() else {
        return;
    };
    let mut b = Bundle::new("exec sleep 1000");
    let name = group("there");
    b.spec["linux"]["cgroupsPath"] = json!(name);
    let dir = freezer.join(&name[1..]);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(file), frozen).unwrap();
    b.fails(1, &["container's cgroup unexpectedly frozen", &name]);
    fs::write(dir.join(file), thawed).unwrap();
    assert_eq!(b.detached(&["run", "-d", "c"]), Some(0));
    // A second one in the first one's group is told so, and runs.
    let output = b
        .command(&["run", "-d", "d"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(b.path("said")).unwrap())
        .status();
    assert!(output.unwrap().success());
    assert!(
        b.read("said").contains("container's cgroup is not empty"),
        "{}",
        b.read("said")
    );
    for id in ["d", "c"] {
        assert_eq!(code(&b.runsc(&["delete", "-f", id])), Some(0));
    }
    let _ = fs::remove_dir(&dir);
    b.left_nothing();
    assert!(!dir.exists());
}

/// A pod's group that somebody made has no processors of its own yet.
#[test]
fn an_empty_cpuset_above() {
    let top = Path::new("/sys/fs/cgroup/cpuset");
    if !top.join("cpuset.cpus").exists() {
        return;
    }
    let name = group("cpuset");
    let parent = top.join(&name[1..]);
    fs::create_dir(&parent).unwrap();
    let mut b = Bundle::new("true");
    b.spec["linux"]["cgroupsPath"] = json!(format!("{name}/inner"));
    let output = b.runsc(&["run", "c"]);
    let ended = code(&output);
    let _ = fs::remove_dir(&parent);
    assert_eq!(ended, Some(0));
    b.left_nothing();
}

/// crun's spellings.
#[test]
fn a_configuration_of_another_name() {
    let mut b = Bundle::new("exec sleep 1000");
    b.spec["linux"]["cgroupsPath"] = json!(group("other"));
    fs::create_dir(b.path("sub")).unwrap();
    fs::write(b.path("sub/other.json"), b.spec.to_string()).unwrap();
    b.spec = json!({});
    let flags = [
        "--cgroup-manager",
        "disabled",
        "run",
        "-d",
        "--config",
        "sub/other.json",
        "c",
    ];
    assert_eq!(b.detached(&flags), Some(0));
    let pid = b.state("c")["pid"].to_string();
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(!groups.contains("runsc-customs-other"), "{groups}");
    // The environment of what is run later is that configuration's.
    let output = b.runsc(&["exec", "c", "sh", "-c", "echo $PATH"]);
    assert_eq!(text(&output.stdout), "/usr/sbin:/usr/bin:/sbin:/bin\n");
    assert_eq!(code(&b.runsc(&["delete", "-f", "c"])), Some(0));
    b.left_nothing();
}

/// `HOME` is what the container's own passwd says, unless the configuration says something.
#[test]
fn home() {
    let mut b = Bundle::new("echo $HOME");
    let passwd = "root:x:0:0::/roots:/bin/sh\nu:x:77:77::/home/u:/bin/sh\n";
    fs::write(b.path("passwd"), passwd).unwrap();
    let source = b.path("passwd");
    b.mount(json!({ "destination": "/etc/passwd", "type": "bind", "source": source, "options": ["bind", "ro"] }));
    for (uid, wanted) in [(0, "/roots\n"), (77, "/home/u\n"), (78, "/\n")] {
        b.spec["process"]["user"] = json!({ "uid": uid, "gid": uid });
        assert_eq!(b.output(), wanted);
    }
    b.spec["process"]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!("HOME=/mine"));
    assert_eq!(b.output(), "/mine\n");
}

#[test]
fn an_unknown_capability_is_told_of() {
    let b = Bundle::new("exec sleep 1000");
    assert_eq!(b.detached(&["run", "-d", "c"]), Some(0));
    let output = b.runsc(&[
        "exec",
        "--cap",
        "CAP_NO",
        "--cap",
        "kill",
        "c",
        "grep",
        "CapEff",
        "/proc/self/status",
    ]);
    assert_eq!(
        (code(&output), text(&output.stdout)),
        (Some(0), "CapEff:\t0000000000000020\n".to_owned())
    );
    assert!(text(&output.stderr).contains("CAP_NO"));
    assert_eq!(code(&b.runsc(&["delete", "-f", "c"])), Some(0));
    b.left_nothing();
}

/// A listener is wanted only by a rule that notifies it.
#[test]
fn a_listener_that_nobody_calls() {
    let mut b = Bundle::new("echo ran");
    let mut profile =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such/socket", "listenerMetadata": "x" });
    b.spec["linux"]["seccomp"] = profile.clone();
    assert_eq!(b.output(), "ran\n");
    for (name, word) in [
        ("mkdir", "user notification is not supported"),
        ("write", "cannot be used for the write syscall"),
    ] {
        profile["syscalls"] = json!([{ "names": [name], "action": "SCMP_ACT_NOTIFY" }]);
        b.spec["linux"]["seccomp"] = profile.clone();
        b.fails(1, &["linux.seccomp.syscalls[0].action", word]);
    }
}
