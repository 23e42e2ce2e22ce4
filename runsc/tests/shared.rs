//! Containers that name namespaces of others by a path, as `docker run --pid container:X` and Podman's pods do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::pod::{Pod, lives};
use common::{Bundle, wait_for};
use serde_json::{Value, json};

/// `linux.namespaces` with those of these kinds of a process, and others new.
fn those_of(pid: i64, kinds: &[&str]) -> Value {
    let one = |kind: &&str| {
        let name = if *kind == "network" { "net" } else { kind };
        match kinds.contains(kind) {
            true => json!({ "type": kind, "path": format!("/proc/{pid}/ns/{name}") }),
            false => json!({ "type": kind }),
        }
    };
    ["pid", "ipc", "uts", "network", "mount"].iter().map(one).collect()
}

fn processes(pod: &Pod, id: &str) -> Vec<i64> {
    serde_json::from_str(&pod.ok(&["ps", "--format", "json", id])).unwrap()
}

fn namespace(pod: &Pod, id: &str, kind: &str) -> String {
    pod.exec(id, &format!("readlink /proc/self/ns/{kind}"))
}

fn on_host(pid: i64, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    link.to_str().unwrap().to_owned()
}

#[test]
fn pid_alone() {
    let mut pod = Pod::plain();
    let spaces = those_of(pod.pid("pod"), &["pid"]);
    let spec = pod.other("a", "exec tail -f /dev/null");
    spec["linux"]["namespaces"] = spaces;
    spec["hostname"] = json!("own-name");
    pod.start("a");
    // One kernel, in the sandbox of the first: no Sentry of its own.
    assert_eq!(pod.exec("a", "cat /proc/1/comm"), "sleep");
    assert_eq!(pod.exec("pod", "cat /proc/[0-9]*/comm | grep -c tail"), "1");
    assert_eq!(namespace(&pod, "a", "pid"), namespace(&pod, "pod", "pid"));
    for kind in ["ipc", "uts", "net", "mnt"] {
        assert_ne!(namespace(&pod, "a", kind), namespace(&pod, "pod", kind), "{kind}");
        assert_ne!(on_host(pod.pid("a"), kind), on_host(pod.pid("pod"), kind), "{kind}");
        assert_ne!(
            on_host(pod.pid("a"), kind),
            on_host(i64::from(std::process::id()), kind),
            "{kind}"
        );
    }
    assert_eq!(pod.exec("a", "uname -n"), "own-name");
    let names = Command::new("nsenter")
        .args(["-t", &pod.pid("a").to_string(), "-u", "uname", "-n"])
        .output();
    assert_eq!(names.unwrap().stdout, b"own-name\n");
    // A loopback of its own, which is up.
    let server = "python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 7000)); open(\"/host/up\", \"w\"); s.accept()'";
    let mut listening = pod
        .first
        .command(&["exec", "a", "/bin/sh", "-c", server])
        .spawn()
        .unwrap();
    wait_for("the server", || pod.bundle("a").path("up").exists());
    let connect = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 7000))' 2>/dev/null && echo yes || echo no";
    assert_eq!(
        (pod.exec("pod", connect), pod.exec("a", connect)),
        ("no".into(), "yes".into())
    );
    assert!(listening.wait().unwrap().success());
    // Signals go where they do on Linux, and each ends alone while the first lives.
    assert_eq!(pod.exec("a", "kill -0 1 && echo reached"), "reached");
    assert_eq!(processes(&pod, "a").len(), 1);
    pod.ok(&["kill", "a", "KILL"]);
    pod.stops("a");
    assert_eq!(pod.status("pod"), "running");
    pod.ok(&["delete", "a"]);
    pod.start("a");
    let pid = pod.pid("a");
    pod.ok(&["kill", "pod", "KILL"]);
    pod.stops("a");
    wait_for("the end", || !lives(pid));
    pod.end();
}

#[test]
fn ipc_names_and_network_as_in_a_pod_of_podman() {
    let mut pod = Pod::plain();
    for id in ["a", "b"] {
        let spaces = those_of(pod.pid("pod"), &["ipc", "uts", "network"]);
        let spec = pod.other(id, "exec sleep 1000");
        spec["linux"]["namespaces"] = spaces;
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue" }));
        pod.start(id);
    }
    for kind in ["ipc", "uts", "net"] {
        assert_eq!(namespace(&pod, "a", kind), namespace(&pod, "b", kind), "{kind}");
        assert_eq!(namespace(&pod, "a", kind), namespace(&pod, "pod", kind), "{kind}");
        // Hooks, engines and further containers see the same of the processes that they are given.
        assert_eq!(on_host(pod.pid("a"), kind), on_host(pod.pid("pod"), kind), "{kind}");
    }
    // Not asked for: neither sees the other's, nor does the first.
    for id in ["pod", "a", "b"] {
        assert_eq!(pod.exec(id, "cat /proc/[0-9]*/comm | grep -c sleep"), "1", "{id}");
        assert_eq!(pod.exec(id, "cat /proc/1/comm"), "sleep", "{id}");
    }
    assert_eq!(pod.exec("a", "uname -n"), "the-pod");
    pod.exec("a", "ipcmk -M 4096 >/dev/null");
    assert_eq!(pod.exec("b", "ipcs -m | grep -c ^0x"), "1");
    pod.ok(&["delete", "--force", "a"]);
    assert_eq!(pod.exec("b", "echo still"), "still");
    pod.end();
}

#[test]
fn by_a_member_a_process_and_a_file() {
    let mut pod = Pod::plain();
    let spaces = those_of(pod.pid("pod"), &["ipc"]);
    pod.other("member", "exec sleep 1000")["linux"]["namespaces"] = spaces;
    pod.start("member");
    // By a container that joined itself: it is that one's processes.
    let spaces = those_of(pod.pid("member"), &["pid", "uts", "network"]);
    pod.other("a", "exec tail -f /dev/null")["linux"]["namespaces"] = spaces;
    pod.start("a");
    for kind in ["pid", "uts", "net"] {
        assert_eq!(namespace(&pod, "a", kind), namespace(&pod, "member", kind), "{kind}");
        assert_ne!(namespace(&pod, "a", kind), namespace(&pod, "pod", kind), "{kind}");
    }
    assert_ne!(namespace(&pod, "a", "ipc"), namespace(&pod, "member", "ipc"));
    // By any process of it on the host.
    let spaces = those_of(processes(&pod, "member")[0], &["pid"]);
    pod.other("b", "exec tail -f /dev/null")["linux"]["namespaces"] = spaces;
    pod.start("b");
    assert_eq!(namespace(&pod, "b", "pid"), namespace(&pod, "member", "pid"));
    // By a file at which a namespace is mounted.
    let file = pod.first.path("ipc");
    fs::write(&file, "").unwrap();
    let mount = |args: &[&str]| assert!(Command::new(args[0]).args(&args[1..]).status().unwrap().success());
    mount(&[
        "mount",
        "--bind",
        &format!("/proc/{}/ns/ipc", pod.pid("member")),
        file.to_str().unwrap(),
    ]);
    pod.other("c", "exec sleep 1000")["linux"]["namespaces"] =
        json!([{ "type": "ipc", "path": file }, { "type": "pid" }, { "type": "mount" }]);
    pod.create("c");
    mount(&["umount", file.to_str().unwrap()]);
    pod.ok(&["start", "c"]);
    assert_eq!(namespace(&pod, "c", "ipc"), namespace(&pod, "pod", "ipc"));
    assert_ne!(namespace(&pod, "c", "pid"), namespace(&pod, "pod", "pid"));
    pod.end();
}

/// Who enters the mount namespace of the pid finds that container's files and processes, and nothing of the host's.
#[test]
fn engines_find_the_containers_files() {
    let mut pod = Pod::plain();
    let spaces = those_of(pod.pid("pod"), &["ipc"]);
    pod.other("a", "exec tail -f /dev/null")["linux"]["namespaces"] = spaces.clone();
    for id in ["hidden", "hooked"] {
        pod.other(id, "exec tail -f /dev/null")["linux"]["namespaces"] = spaces.clone();
    }
    // Docker gives every container a hook.
    let hooked = &mut pod.members.last_mut().unwrap().1.spec;
    hooked["hooks"]["prestart"] = json!([{ "path": "/bin/true" }]);
    let own = tempfile::TempDir::new().unwrap();
    for name in ["bin", "proc", "tmp", "dev", "host"] {
        fs::create_dir(own.path().join(name)).unwrap();
    }
    for name in ["sh", "tail"] {
        fs::copy("/bin/busybox", own.path().join("bin").join(name)).unwrap();
    }
    pod.members[0].1.spec["root"]["path"] = json!(own.path());
    pod.create_plain("a");
    pod.ok(&["start", "a"]);
    pod.start("hidden");
    pod.start("hooked");
    let inside = |id: &str, script: &str| {
        let mount = format!("--mount=/proc/{}/ns/mnt", pod.pid(id));
        let output = Command::new("nsenter")
            .args([&mount, "/bin/sh", "-c", script])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(inside("a", "echo /*"), "/bin /dev /host /proc /tmp\n");
    assert_eq!(inside("a", "echo in >/new; echo done"), "done\n");
    assert_eq!(pod.exec("a", "read -r x </new; echo $x"), "in");
    assert_eq!(inside("a", "echo lost >/tmp/lost || echo refused"), "refused\n");
    // Its own first process is there; of the sandbox's and the other containers' nothing can be followed.
    let seen = inside(
        "a",
        "for p in /proc/[0-9]*; do test -e $p/comm && read -r x <$p/comm && echo $x; done",
    );
    assert!(
        seen.lines().any(|name| name == "tail") && !seen.contains("sleep"),
        "{seen}"
    );
    assert_eq!(inside("a", "echo /proc/1/*"), "/proc/1/*\n");
    // Where the host does not have the files there is nothing at all.
    for id in ["hidden", "hooked"] {
        assert_eq!(inside(id, "echo /*"), "");
    }
    for id in ["a", "hidden", "hooked"] {
        let root = format!("/proc/{}/root", pod.pid(id));
        let list: Vec<_> = fs::read_dir(&root).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(list.is_empty(), "{list:?}");
    }
    pod.end();
}

#[test]
fn hooks_run_on_the_host() {
    let mut pod = Pod::plain();
    let spaces = those_of(pod.pid("pod"), &["ipc", "network"]);
    let spec = pod.other("a", "exec sleep 1000");
    spec["linux"]["namespaces"] = spaces;
    spec["hooks"]["createRuntime"] =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cd /proc/self/ns; readlink net ipc uts >&2; exit 1"] }]);
    let said = pod.command("a", &["run", "a"]).output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    for kind in ["net", "ipc", "uts"] {
        assert!(
            said.contains(&on_host(i64::from(std::process::id()), kind)),
            "{kind}: {said}"
        );
    }
    pod.members.clear();
    pod.end();
}

#[test]
fn what_is_nobodys_and_what_is_refused() {
    let mut pod = Pod::plain();
    let mut stranger = Command::new("unshare")
        .args(["-p", "-i", "-f", "--kill-child", "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let parent = stranger.id();
    let children = format!("/proc/{parent}/task/{parent}/children");
    wait_for("a child", || {
        !fs::read_to_string(&children).unwrap_or_default().trim().is_empty()
    });
    let child: i64 = fs::read_to_string(&children).unwrap().trim().parse().unwrap();
    // Of nobody's pid or IPC namespace there is a note, and the guest has its own.
    pod.other("own", "cat /proc/[0-9]*/comm; ipcs -m | grep -c ^0x")["linux"]["namespaces"] =
        those_of(child, &["pid", "ipc"]);
    let output = pod.command("own", &["run", "own"]).output().unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "sh\n0\n");
    let said = String::from_utf8(output.stderr).unwrap();
    for kind in ["pid", "ipc"] {
        assert!(
            said.contains(&format!("the guest has its own {kind} namespace")),
            "{said}"
        );
    }

    let refused = |pod: &mut Pod, namespaces: Value, words: &[&str]| {
        pod.other("no", "true")["linux"]["namespaces"] = namespaces;
        let output = pod.command("no", &["run", "no"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in {said:?}");
        }
        assert!(!pod.first.path("state").join("no").exists());
    };
    let me = std::process::id();
    refused(
        &mut pod,
        json!([{ "type": "pid", "path": "/no/such" }]),
        &["linux.namespaces[0].path", "/no/such"],
    );
    for (kind, other) in [
        ("pid", "user"),
        ("ipc", "mnt"),
        ("mount", "net"),
        ("network", "pid"),
        ("cgroup", "ipc"),
        ("user", "uts"),
        ("uts", "cgroup"),
    ] {
        let path = format!("/proc/{me}/ns/{other}");
        refused(
            &mut pod,
            json!([{ "type": kind, "path": path }]),
            &[&path, "linux.namespaces[0].path", other],
        );
    }
    refused(
        &mut pod,
        json!([{ "type": "ipc", "path": "/etc/passwd" }]),
        &["/etc/passwd"],
    );
    // Two sandboxes are two kernels.
    let second = Bundle::new("exec sleep 1000");
    let command = |args: &[&str]| {
        fs::write(second.path("config.json"), second.spec.to_string()).unwrap();
        let mut command = pod.first.command(args);
        command
            .current_dir(second.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(command.status().unwrap().success());
    };
    command(&["run", "-d", "second"]);
    let both = json!([
        { "type": "pid", "path": format!("/proc/{}/ns/pid", pod.pid("pod")) },
        { "type": "ipc", "path": format!("/proc/{}/ns/ipc", pod.pid("second")) }
    ]);
    refused(&mut pod, both, &["two sandboxes", "pod", "second"]);
    pod.ok(&["delete", "--force", "second"]);
    // A sandbox that has one network of the host's cannot have another one as well.
    let mut on_host = Bundle::new("exec sleep 1000");
    on_host.spec["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "network" }, { "type": "mount" }]);
    assert_eq!(on_host.detached(&["--network=host", "run", "-d", "first"]), Some(0));
    let pid = on_host.state("first")["pid"].as_i64().unwrap();
    on_host.spec["linux"]["namespaces"] = those_of(pid, &["pid"]);
    let output = on_host.runsc(&["--network=host", "run", "-d", "second"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("network: not that of the container") && said.contains("first"),
        "{said}"
    );
    assert!(on_host.runsc(&["delete", "--force", "first"]).status.success());
    on_host.left_nothing();
    pod.members.clear();
    pod.end();
}
