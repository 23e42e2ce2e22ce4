//! `hooks` of config.json. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::fs;

use common::{Bundle, code, wait_for};
use serde_json::{Value, json};

const STAGES: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

fn shell(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] })
}

/// A hook in every stage that writes its state to a file and its name to a list.
fn recording(b: &mut Bundle) {
    let dir = b.dir.path().display().to_string();
    b.spec["annotations"] = json!({ "a.b": "c d" });
    for stage in STAGES {
        let script = format!("cat >{dir}/{stage}; echo {stage} >>{dir}/order");
        b.spec["hooks"][stage] = json!([shell(&script), shell(&format!("echo {stage}2 >>{dir}/order"))]);
    }
}

#[test]
fn order_and_state() {
    let mut b = Bundle::new("echo program >>/host/order; while [ ! -e /host/go ]; do sleep 0.05; done");
    recording(&mut b);
    assert_eq!(b.detached(&["create", "--pid-file", "pid", "c"]), Some(0));
    let created = "prestart\nprestart2\ncreateRuntime\ncreateRuntime2\ncreateContainer\ncreateContainer2\n";
    assert_eq!(b.read("order"), created);
    assert_eq!(code(&b.runsc(&["start", "c"])), Some(0));
    wait_for("the program", || b.read("order").contains("program"));
    // The program runs at the same time.
    let order = b.read("order").replace("program\n", "");
    assert!(order.ends_with("poststart\npoststart2\n"), "{order}");
    fs::write(b.path("go"), "").unwrap();
    wait_for("the end", || b.state("c")["status"] == "stopped");
    assert!(!b.path("poststop").exists());
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    assert!(b.read("order").ends_with("poststop\npoststop2\n"));
    let pid: i64 = b.read("pid").parse().unwrap();
    for stage in STAGES {
        let state: Value = serde_json::from_str(&b.read(stage)).unwrap();
        assert_eq!(state["id"], "c", "{stage}");
        assert_eq!(state["bundle"], b.dir.path().to_str().unwrap(), "{stage}");
        assert_eq!(state["annotations"]["a.b"], "c d", "{stage}");
        let (status, with_pid) = match stage {
            "poststart" => ("running", true),
            "poststop" => ("stopped", false),
            _ => ("creating", true),
        };
        assert_eq!(state["status"], status, "{stage}");
        assert_eq!(state["pid"].as_i64(), with_pid.then_some(pid), "{stage}");
    }
    b.left_nothing();
}

#[test]
fn in_the_foreground() {
    let mut b = Bundle::new("sleep 0.3; echo program >>/host/order");
    recording(&mut b);
    assert_eq!(code(&b.runsc(&["run", "c"])), Some(0));
    let order = b.read("order");
    assert!(order.contains("createContainer2\npoststart\n"), "{order}");
    assert!(order.ends_with("program\npoststop\npoststop2\n"), "{order}");
}

/// The pid that hooks are told has the network namespace and the cgroup that are the container's.
#[test]
fn the_process_is_in_place() {
    let mut b = Bundle::new("true");
    let dir = b.dir.path().display().to_string();
    let script = format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); cat /proc/$pid/cgroup >{dir}/cgroup; \
         readlink /proc/$pid/ns/net >{dir}/net; readlink /proc/self/ns/net >{dir}/own"
    );
    let group = format!("/runsc-hooks-{}", std::process::id());
    b.spec["linux"]["namespaces"] = json!([{ "type": "network" }]);
    b.spec["linux"]["cgroupsPath"] = json!(group);
    b.spec["hooks"]["createRuntime"] = json!([shell(&script)]);
    b.spec["hooks"]["createContainer"] = json!([shell(&format!("readlink /proc/self/ns/net >{dir}/inner"))]);
    assert_eq!(code(&b.runsc(&["run", "c"])), Some(0));
    assert!(b.read("cgroup").contains(&group), "{}", b.read("cgroup"));
    assert!(b.read("net").starts_with("net:["));
    assert_ne!(b.read("net"), b.read("own"));
    assert_eq!(b.read("net"), b.read("inner"));
}

/// startContainer hooks run in the container, before its program, as the same user.
#[test]
fn inside() {
    let mut b = Bundle::new("cat /tmp/out; echo program");
    b.spec["process"]["user"] = json!({ "uid": 77, "gid": 88 });
    b.spec["hooks"]["startContainer"] = json!([
        { "path": "/bin/sh", "env": ["PATH=/usr/bin:/bin", "A=b"],
          "args": ["name", "-c", "cat >/tmp/out; echo; echo $0 $A $(id -u) $(cat /proc/1/comm) >>/tmp/out"] },
        { "path": "/bin/sh", "args": ["sh", "-c", "echo second >>/tmp/out"] }
    ]);
    let output = b.output();
    let (state, rest) = output.rsplit_once("}").unwrap();
    assert!(
        state.contains("\"status\":\"created\"") && state.contains("\"pid\":1"),
        "{output}"
    );
    assert!(rest.ends_with("name b 77 sh\nsecond\nprogram\n"), "{output}");
    assert_eq!(b.detached(&["create", "c"]), Some(0));
    assert_eq!(code(&b.runsc(&["start", "c"])), Some(0));
    wait_for("the end", || b.state("c")["status"] == "stopped");
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    b.spec["hooks"]["startContainer"] = json!([shell("echo why >&2; exit 9")]);
    b.spec["process"]["args"] = json!(["touch", "/host/ran"]);
    b.fails(
        1,
        &["error running hook startContainer[0] /bin/sh", "exit status 9", "why"],
    );
    // One without an environment has the container's.
    b.spec["hooks"]["startContainer"] = json!([
        { "path": "/bin/sh", "args": ["sh", "-c", "test \"$ONE\" = two"] }
    ]);
    b.spec["process"]["env"].as_array_mut().unwrap().push(json!("ONE=two"));
    b.spec["process"]["args"] = json!(["true"]);
    b.output();
    b.spec["process"]["args"] = json!(["touch", "/host/ran"]);
    let mut slow = shell("sleep 1000");
    slow["timeout"] = json!(1);
    b.spec["hooks"]["startContainer"] = json!([slow]);
    b.fails(1, &["error running hook startContainer[0]", "timeout of 1 s"]);
    b.spec["hooks"]["startContainer"] = json!([{ "path": "/no/such" }]);
    b.fails(1, &["error running hook startContainer[0] /no/such", "no such file"]);
    assert!(!b.path("ran").exists(), "the program ran after a failed hook");
}

/// What a createContainer hook mounts is the container's alone.
#[test]
fn mounts_of_hooks() {
    let mut b = Bundle::new("cat /mnt/file");
    let dir = b.dir.path().display().to_string();
    let script = format!("mount --bind {dir} /mnt && echo inside >{dir}/file");
    b.spec["hooks"]["createContainer"] = json!([shell(&script)]);
    assert_eq!(b.output(), "inside\n");
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(&dir));
}

#[test]
fn a_failure_ends_the_container() {
    for stage in ["prestart", "createRuntime", "createContainer", "poststart"] {
        let mut b = Bundle::new("sleep 1000");
        recording(&mut b);
        b.spec["hooks"][stage] = json!([shell("true"), shell("echo why >&2; exit 3"), shell("echo never")]);
        b.fails(1, &[&format!("hook {stage}[1] /bin/sh"), "exit status 3", "why"]);
        assert!(b.path("poststop").exists(), "{stage}");
    }
    let mut b = Bundle::new("sleep 1000");
    b.spec["hooks"]["prestart"] = json!([{ "path": "/no/such/hook" }]);
    b.fails(1, &["hook prestart[0] /no/such/hook", "No such file or directory"]);
}

#[test]
fn a_failure_after_start_stops_it() {
    let mut b = Bundle::new("sleep 1000");
    b.spec["hooks"]["poststart"] = json!([shell("exit 1")]);
    assert_eq!(b.detached(&["create", "c"]), Some(0));
    let output = b.runsc(&["start", "c"]);
    assert_eq!(code(&output), Some(1));
    assert_eq!(b.state("c")["status"], "stopped");
    assert_eq!(code(&b.runsc(&["delete", "c"])), Some(0));
    b.left_nothing();
}

#[test]
fn failures_of_poststop_are_only_told() {
    let mut b = Bundle::new("exit 4");
    recording(&mut b);
    b.spec["hooks"]["poststop"][0] = shell("exit 1");
    assert_eq!(code(&b.runsc(&["--log", "log", "run", "c"])), Some(4));
    assert!(b.read("log").contains("hook poststop[0]"), "{}", b.read("log"));
    assert!(b.read("order").ends_with("poststop2\n"));
}

#[test]
fn timeouts() {
    let mut b = Bundle::new("true");
    let mut slow = shell("sleep 1000");
    slow["timeout"] = json!(1);
    b.spec["hooks"]["prestart"] = json!([slow]);
    b.fails(1, &["hook prestart[0]", "timeout of 1 s"]);
    // A daemon that keeps the streams does not hold anybody up.
    b.spec["hooks"]["prestart"] = json!([shell("sleep 3 & true")]);
    assert_eq!(code(&b.runsc(&["run", "c"])), Some(0));
}

#[test]
fn nonsense() {
    let mut b = Bundle::new("true");
    let relative = json!([{ "path": "sh" }]);
    for (hooks, words) in [
        (
            json!({ "prestart": relative }),
            ["hooks.prestart[0].path", "not an absolute path"],
        ),
        (
            json!({ "poststop": [{ "path": "/bin/sh", "timeout": 0 }] }),
            ["hooks.poststop[0].timeout", "0"],
        ),
        (
            json!({ "poststart": [{ "path": "/bin/sh", "timeout": -5 }] }),
            ["hooks.poststart[0].timeout", "-5"],
        ),
        (
            json!({ "createRuntime": [{ "path": "/bin/sh", "env": ["A=\u{0}"] }] }),
            ["hooks.createRuntime[0].env[0]", "NUL"],
        ),
        (
            json!({ "createRuntime": [{ "args": ["x"] }] }),
            ["hooks.createRuntime[0]", "path"],
        ),
        (json!("x"), ["hooks", "invalid type"]),
    ] {
        b.spec["hooks"] = hooks;
        b.fails(1, &words);
    }
}

/// Hooks that enter the mount namespace of the pid, and one that is run there: what they mount the guest has, where config.json
/// has a file system of its own too; the host has not.
#[test]
fn what_hooks_mount() {
    let script =
        "cat /a/file /b/file; cat /dev/made; ls /c; echo w >/b/file || echo refused; grep -c ' /a ' /proc/mounts";
    for user in [false, true] {
        let mut b = Bundle::new(script);
        b.own_root();
        for applet in ["cat", "ls", "grep"] {
            std::os::unix::fs::symlink("busybox", b.path("rootfs/bin").join(applet)).unwrap();
        }
        for dir in ["a", "b", "c", "from-a", "from-b", "from-c"] {
            let at = if dir.starts_with("from") {
                b.path(dir)
            } else {
                b.path("rootfs").join(dir)
            };
            fs::create_dir(at).unwrap();
        }
        fs::write(b.path("from-a/file"), "from a\n").unwrap();
        fs::write(b.path("from-b/file"), "from b\n").unwrap();
        if user {
            std::os::unix::fs::chown(b.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
        }
        let root = b.path("rootfs").display().to_string();
        let dir = b.dir.path().display().to_string();
        let pid = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";
        let enter = format!("{pid}; nsenter -m -t $pid mount");
        b.spec["hooks"]["prestart"] = json!([
            shell(&format!("{enter} --bind {dir}/from-a {root}/a")),
            shell(&format!(
                "mkdir -p {root}/dev && : >{root}/dev/made && {enter} --bind {dir}/from-a/file {root}/dev/made"
            ))
        ]);
        b.spec["hooks"]["createRuntime"] = json!([shell(&format!(
            "{pid}; nsenter -m -t $pid sh -c 'mount --bind {dir}/from-b {root}/b && mount -o remount,bind,ro {root}/b'"
        ))]);
        b.spec["hooks"]["createContainer"] = json!([shell(&format!(
            "mount -t tmpfs none ./c && : >c/in-memory && grep -c ' {root}/[ab] ' /proc/mounts >{dir}/seen"
        ))]);
        if user {
            let all = json!([{ "containerID": 0, "hostID": 100_000, "size": 100_000 }]);
            b.spec["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "type": "user" }));
            b.spec["linux"]["uidMappings"] = all.clone();
            b.spec["linux"]["gidMappings"] = all;
        }
        let output = b.plain(&["run", "c"]).output().unwrap();
        let wanted = "from a\nfrom b\nfrom a\nin-memory\nrefused\n1\n";
        assert_eq!(code(&output), Some(0), "{user}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{user}");
        assert_eq!(b.read("seen"), "2\n", "{user}");
        let host = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!host.contains(&root), "{host}");
        assert!(!b.path("rootfs/c/in-memory").exists());
        b.left_nothing();
    }
}

/// Those who enter the mount namespace of the container's process see it too.
#[test]
fn what_hooks_mount_engines_see() {
    let mut b = Bundle::new("while :; do busybox sleep 1; done");
    b.own_root();
    fs::create_dir(b.path("rootfs/a")).unwrap();
    fs::create_dir(b.path("from")).unwrap();
    fs::write(b.path("from/file"), "it\n").unwrap();
    let (dir, root) = (
        b.dir.path().display().to_string(),
        b.path("rootfs").display().to_string(),
    );
    b.spec["hooks"]["createRuntime"] = json!([shell(&format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); nsenter -m -t $pid mount --bind {dir}/from {root}/a"
    ))]);
    let run = |args: &[&str]| {
        let mut command = b.plain(args);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command.status().unwrap().code()
    };
    assert_eq!(run(&["run", "-d", "c"]), Some(0));
    let pid = b.state("c")["pid"].to_string();
    let seen = std::process::Command::new("nsenter")
        .args(["-m", "-t", &pid, "/bin/busybox", "cat", "/a/file"])
        .output()
        .unwrap();
    assert_eq!(run(&["delete", "-f", "c"]), Some(0));
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "it\n", "{seen:?}");
    b.left_nothing();
}
