//! Pods: a sandbox container and containers that join it, as CRI's engines ask for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::pod::{Pod, kill, lives};
use common::{Bundle, wait_for};
use serde_json::{Value, json};

#[test]
fn what_is_shared_and_what_is_not() {
    let mut pod = Pod::new();
    let apart = json!([{ "type": "pid" }, { "type": "mount" }]);
    pod.member("a", "echo $$ > /host/pid-inside; echo a > /marker; exec sleep 1000")["linux"]["namespaces"] = apart;
    pod.member("b", "exec sleep 1000");
    pod.start("a");
    pod.start("b");
    for (id, hostname) in [("pod", "the-pod"), ("a", "the-pod"), ("b", "the-pod")] {
        assert_eq!(pod.exec(id, "uname -n"), hostname, "{id}");
    }
    let ns = |id: &str, name: &str| pod.exec(id, &format!("readlink /proc/self/ns/{name}"));
    for name in ["ipc", "net", "uts"] {
        assert_eq!(ns("a", name), ns("b", name), "{name}");
        assert_eq!(ns("a", name), ns("pod", name), "{name}");
    }
    for name in ["pid", "mnt"] {
        assert_ne!(ns("a", name), ns("b", name), "{name}");
        assert_ne!(ns("a", name), ns("pod", name), "{name}");
    }
    // Each has a first process, and sees no other container's.
    wait_for("the first process", || pod.bundle("a").read("pid-inside") == "1\n");
    for id in ["pod", "a", "b"] {
        let names = pod.exec(id, "cat /proc/[0-9]*/comm | sort | uniq -c | grep -c sleep");
        assert_eq!(names, "1", "{id} sees one sleep");
    }
    // A root each.
    assert_eq!(pod.exec("a", "cat /marker"), "a");
    assert_eq!(pod.exec("b", "test -e /marker || echo none"), "none");
    // One loopback, one set of System V objects.
    pod.exec("a", "ipcmk -Q >/dev/null");
    assert_eq!(pod.exec("b", "ipcs -q | grep -c ^0x"), "1");
    let server = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 7000, Listen => 1) \
                  or die; open(F, '>', '/host/listens'); close F; my $c = $s->accept; print $c qq(hello\\n);";
    let client = "use IO::Socket::INET; my $c = IO::Socket::INET->new('127.0.0.1:7000') or die; print <$c>;";
    let mut listening = pod
        .first
        .command(&["exec", "a", "/usr/bin/perl", "-e", server])
        .spawn()
        .unwrap();
    wait_for("the server", || pod.bundle("a").path("listens").exists());
    assert_eq!(pod.ok(&["exec", "b", "/usr/bin/perl", "-e", client]), "hello");
    assert!(listening.wait().unwrap().success());
    pod.end();
}

#[test]
fn a_shared_pid_namespace() {
    let mut pod = Pod::new();
    let path = format!("/proc/{}/ns/pid", pod.pid("pod"));
    let shared = json!([{ "type": "pid", "path": path }, { "type": "mount" }, { "type": "uts" }, { "type": "ipc" }]);
    let spec = pod.member("a", "sleep 1000 & echo $$ > /host/pid-inside; wait");
    spec["linux"]["namespaces"] = shared.clone();
    spec["hostname"] = json!("own-name");
    pod.member("b", "exec tail -f /dev/null")["linux"]["namespaces"] = shared;
    pod.start("a");
    pod.start("b");
    wait_for("the first process", || pod.bundle("a").read("pid-inside").len() > 1);
    assert_ne!(pod.bundle("a").read("pid-inside"), "1\n");
    assert_eq!(pod.exec("b", "cat /proc/1/comm"), "sleep");
    assert_eq!(pod.exec("b", "cat /proc/[0-9]*/comm | grep -c sleep"), "2");
    assert_eq!(pod.exec("a", "uname -n"), "own-name");
    let ipc = |id: &str| pod.exec(id, "readlink /proc/self/ns/ipc");
    assert_ne!(ipc("a"), ipc("b"));
    // Others of a container do not outlive its first process, though that is no namespace's init.
    let list = |id: &str| serde_json::from_str::<Vec<i64>>(&pod.ok(&["ps", "--format", "json", id])).unwrap();
    let of_a = list("a");
    assert_eq!(of_a.len(), 2, "{of_a:?}");
    assert!(of_a.iter().all(|pid| lives(*pid)));
    pod.ok(&["kill", "a", "KILL"]);
    pod.stops("a");
    assert!(!of_a.iter().any(|pid| lives(*pid)), "{of_a:?}");
    assert_eq!(list("b").len(), 1);
    // The pod's first process does not reap what it inherits, and a zombie has no command line.
    assert_eq!(
        pod.exec("b", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c ^sleep"),
        "1"
    );
    pod.end();
}

#[test]
fn a_member_s_own_time() {
    let mut pod = Pod::new();
    let apart = json!([{ "type": "pid" }, { "type": "mount" }, { "type": "time" }]);
    let spec = pod.member("a", "exec sleep 1000");
    spec["linux"]["namespaces"] = apart;
    spec["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 5000 } });
    pod.start("a");
    let path = format!("/proc/{}/ns/time", pod.pid("a"));
    pod.member("b", "exec sleep 1000")["linux"]["namespaces"] = json!([{ "type": "time", "path": path }]);
    pod.start("b");
    let boottime = |id: &str| pod.exec(id, "grep boottime /proc/self/timens_offsets | tr -s ' '");
    assert_eq!(boottime("pod"), "boottime 0 0");
    assert_eq!(boottime("a"), "boottime 5000 0");
    assert_eq!(boottime("b"), "boottime 5000 0");
    let ns = |id: &str| pod.exec(id, "readlink /proc/self/ns/time");
    assert_eq!(ns("a"), ns("b"));
    assert_ne!(ns("a"), ns("pod"));
    pod.end();
}

#[test]
fn verbs_work_on_one_container() {
    let mut pod = Pod::new();
    pod.member(
        "a",
        "trap 'exit 7' TERM; while :; do date +%s%N > /host/tick; sleep 0.02; done",
    );
    pod.member("b", "exec sleep 1000");
    pod.create("a");
    assert_eq!(pod.status("a"), "created");
    assert!(!pod.bundle("a").path("tick").exists());
    let pid = pod.bundle("a").read("pid");
    assert_eq!(pid, pod.pid("a").to_string());
    pod.ok(&["start", "a"]);
    assert!(!pod.runsc(&["start", "a"]).status.success(), "started twice");
    pod.start("b");
    assert_eq!(pod.status("a"), "running");
    let tick = || pod.bundle("a").read("tick");
    wait_for("a sign of life", || !tick().is_empty());

    pod.ok(&["pause", "a"]);
    assert_eq!((pod.status("a"), pod.status("b")), ("paused".into(), "running".into()));
    let frozen = tick();
    assert_eq!(pod.exec("b", "echo goes on"), "goes on");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(tick(), frozen);
    pod.ok(&["resume", "a"]);
    wait_for("life after the pause", || tick() != frozen);

    let ids = pod.ok(&["list", "-q"]);
    assert_eq!(ids.lines().collect::<Vec<_>>(), ["a", "b", "pod"]);
    let exit = pod.runsc(&["exec", "b", "/bin/sh", "-c", "exit 9"]);
    assert_eq!(exit.status.code(), Some(9));

    let wait = pod
        .first
        .command(&["wait", "a"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    pod.ok(&["kill", "a", "TERM"]);
    let said = wait.wait_with_output().unwrap().stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["exitStatus"], 7);
    pod.stops("a");
    pod.ok(&["kill", "--all", "a", "9"]);
    let late = pod.runsc(&["kill", "a", "9"]);
    assert!(String::from_utf8_lossy(&late.stderr).contains("not running"));
    assert_eq!(pod.status("b"), "running");
    pod.ok(&["kill", "--all", "b", "9"]);
    pod.stops("b");
    assert_eq!(pod.status("pod"), "running");
    pod.end();
}

#[test]
fn the_host_process_ends_as_the_guests_did() {
    let mut pod = Pod::new();
    pod.member("code", "exit 42");
    pod.member("signal", "sleep 1000 & exec sleep 1000");
    let run = |id: &str| pod.command(id, &["run", id]).status().unwrap().code();
    assert_eq!(run("code"), Some(42));
    let mut child = pod.command("signal", &["run", "signal"]).spawn().unwrap();
    wait_for("the container", || pod.status("signal") == "running");
    pod.ok(&["kill", "signal", "KILL"]);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 9));
    assert_eq!(pod.status("pod"), "running");
    pod.end();
}

#[test]
fn one_container_is_made_anew() {
    let mut pod = Pod::new();
    pod.member("a", "echo first > /host/said; exec sleep 1000");
    pod.member("b", "exec sleep 1000");
    pod.start("a");
    pod.start("b");
    let (b, sandbox) = (pod.pid("b"), pod.pid("pod"));
    for round in 0..3 {
        wait_for("the container's word", || {
            pod.bundle("a").read("said").contains("first")
        });
        fs::remove_file(pod.bundle("a").path("said")).unwrap();
        if round == 1 {
            pod.ok(&["delete", "--force", "a"]);
        } else {
            pod.ok(&["kill", "a", "KILL"]);
            pod.stops("a");
            pod.ok(&["delete", "a"]);
        }
        assert!(pod.runsc(&["state", "a"]).stdout.is_empty());
        pod.start("a");
    }
    assert_eq!((pod.pid("b"), pod.pid("pod")), (b, sandbox));
    assert_eq!(pod.exec("b", "echo there"), "there");
    pod.end();
}

#[test]
fn the_end_of_the_sandbox_is_the_end_of_all() {
    let mut pod = Pod::new();
    pod.member("a", "exec sleep 1000");
    pod.member("b", "exec sleep 1000");
    pod.start("a");
    pod.create("b");
    let pids = [pod.pid("a"), pod.pid("b")];
    pod.ok(&["kill", "pod", "KILL"]);
    pod.stops("a");
    pod.stops("b");
    wait_for("the processes' end", || !pids.iter().any(|pid| lives(*pid)));
    pod.member("late", "true");
    let output = pod.command("late", &["run", "late"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("not running: pod"), "{said}");
    pod.end();
}

#[test]
fn what_dies_takes_one_container_with_it() {
    let mut pod = Pod::new();
    for id in ["stub", "gofer", "unstarted", "lives"] {
        pod.member(id, "sleep 1000 & exec sleep 1000");
        if id == "unstarted" {
            pod.create(id)
        } else {
            pod.start(id)
        }
    }
    let state = |id: &str| {
        let text = fs::read(pod.first.path("state").join(id).join("state.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    let gofers = ["stub", "gofer", "unstarted"].map(|id| state(id)["gofer"]["pid"].as_i64().unwrap());
    kill(pod.pid("stub"));
    kill(pod.pid("unstarted"));
    kill(gofers[1]);
    for id in ["stub", "gofer", "unstarted"] {
        pod.stops(id);
        // Its Gofer has nobody left to serve.
        pod.ok(&["delete", id]);
    }
    assert!(!gofers.iter().any(|pid| lives(*pid)));
    assert_eq!(pod.exec("lives", "echo still"), "still");
    pod.end();
}

/// Whatever a container of a pod runs is in its cgroup: what it starts, the programs these become, and what exec adds.
#[test]
fn a_cgroup_holds_its_container() {
    let mut pod = Pod::new();
    let group = format!("/runsc-pods-{}", std::process::id());
    for id in ["a", "b"] {
        let spec = pod.member(id, "sleep 1000 & (exec sh -c 'exec sleep 1001') & exec sleep 1002");
        spec["linux"]["cgroupsPath"] = json!(format!("{group}/{id}"));
        spec["linux"]["resources"] = json!({ "memory": { "limit": 104_857_600 }, "pids": { "limit": 50 } });
        pod.start(id);
    }
    let list = |id: &str| serde_json::from_str::<Vec<i64>>(&pod.ok(&["ps", "--format", "json", id])).unwrap();
    wait_for("three processes each", || list("a").len() == 3 && list("b").len() == 3);
    let of_exec = pod.exec("b", "sleep 1003 >/dev/null 2>&1 & true");
    assert_eq!(of_exec, "");
    for (id, count) in [("a", 3), ("b", 4)] {
        let pids = list(id);
        assert_eq!(pids.len(), count, "{id}");
        for pid in pids {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            let memory = groups
                .lines()
                .find(|line| line.contains(":memory:") || line.starts_with("0::"));
            assert!(memory.unwrap().ends_with(&format!("{group}/{id}")), "{id}: {groups}");
        }
    }
    // The pod's own are elsewhere.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", list("pod")[0])).unwrap();
    assert!(!groups.contains(&group), "{groups}");
    pod.member("eater", "python3 -c 'x = bytearray(300 << 20); print(len(x))'; exit $?")["linux"]["cgroupsPath"] =
        json!(format!("{group}/eater"));
    let spec = &mut pod.members.last_mut().unwrap().1.spec;
    spec["linux"]["resources"] = json!({ "memory": { "limit": 104_857_600, "swap": 104_857_600 } });
    assert_eq!(
        pod.command("eater", &["run", "eater"]).status().unwrap().code(),
        Some(137)
    );
    assert_eq!(pod.exec("a", "echo there"), "there");
    pod.end();
    // What stood above several is nobody's to remove.
    let top = Path::new("/sys/fs/cgroup");
    let below = fs::read_dir(top).unwrap().flatten().map(|entry| entry.path());
    let tops = below.chain([top.to_owned()]).map(|top| top.join(&group[1..]));
    for top in tops.filter(|dir| dir.exists()) {
        fs::remove_dir(&top).unwrap_or_else(|e| panic!("{}: {e}", top.display()));
    }
}

/// Two containers that have one directory of the host have one file system there, though each has a Gofer of its own.
#[test]
fn a_volume_is_one_file_system() {
    let mut pod = Pod::new();
    let volume = tempfile::TempDir::new().unwrap();
    for id in ["a", "b"] {
        let mounts = &mut pod.member(id, "exec sleep 1000")["mounts"];
        let mount = json!({ "destination": "/v", "type": "bind", "source": volume.path(), "options": ["rbind"] });
        mounts.as_array_mut().unwrap().push(mount);
        pod.start(id);
    }
    let begin = |id: &str, script: &str| {
        let mut command = pod.first.command(&["exec", id, "/bin/sh", "-c", script]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let said = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let there = |name: &str| wait_for(name, || volume.path().join(name).exists());

    // Unix sockets, and fifos.
    let server = begin(
        "a",
        "python3 -c 'import socket as s; l = s.socket(s.AF_UNIX); l.bind(\"/v/socket\"); l.listen(); open(\"/v/listens\", \"w\"); \
         c = l.accept()[0]; print(c.recv(9).decode()); c.send(b\"pong\")'",
    );
    there("listens");
    let client = "import socket as s; c = s.socket(s.AF_UNIX); c.connect(\"/v/socket\"); c.send(b\"ping\"); print(c.recv(9).decode())";
    assert_eq!(pod.exec("b", &format!("python3 -c '{client}'")), "pong");
    assert_eq!(said(server), "ping\n");
    pod.exec("a", "mkfifo /v/fifo");
    let reader = begin("a", "cat /v/fifo");
    pod.exec("b", "echo through >/v/fifo");
    assert_eq!(said(reader), "through\n");

    // Locks of both kinds.
    let holder = begin(
        "a",
        "flock /v/lock sh -c 'touch /v/locked; while [ -e /v/locked ]; do sleep 0.02; done'",
    );
    there("locked");
    assert_eq!(pod.exec("b", "flock -n /v/lock true || echo busy"), "busy");
    assert_eq!(pod.exec("b", "rm /v/locked; flock /v/lock echo mine"), "mine");
    said(holder);
    let holder = begin(
        "b",
        "python3 -c 'import fcntl, os, time; f = open(\"/v/lock\", \"r+\"); fcntl.lockf(f, fcntl.LOCK_EX); open(\"/v/posix\", \"w\")\n\
         while os.path.exists(\"/v/posix\"): time.sleep(0.02)'",
    );
    there("posix");
    let test = "import fcntl; fcntl.lockf(open(\"/v/lock\", \"r+\"), fcntl.LOCK_EX | fcntl.LOCK_NB)";
    assert_eq!(
        pod.exec(
            "a",
            &format!("python3 -c '{test}' 2>/dev/null || echo busy; rm /v/posix")
        ),
        "busy"
    );
    said(holder);

    // inotify.
    let libc = "import ctypes, mmap, os; c = ctypes.CDLL(None)";
    let watch = "i = c.inotify_init(); c.inotify_add_watch(i, b\"/v\", 0x100); open(\"/v/watched\", \"w\"); os.read(i, 999); \
                 print(os.read(i, 999)[16:].decode().strip(chr(0)))";
    let watcher = begin("a", &format!("python3 -c '{libc}; {watch}'"));
    there("watched");
    pod.exec("b", "touch /v/news");
    assert_eq!(said(watcher), "news\n");

    // A futex in a mapped file.
    let map = "f = open(\"/v/map\", \"r+b\"); m = mmap.mmap(f.fileno(), 4096); w = ctypes.c_uint32.from_buffer(m); \
               futex = lambda op, n: c.syscall(202, ctypes.byref(w), op, n, None, None, 0)";
    pod.exec("a", "head -c 4096 /dev/zero >/v/map");
    let waiter = begin(
        "a",
        &format!("python3 -c '{libc}; {map}; open(\"/v/waits\", \"w\"); print(futex(0, 0), w.value)'"),
    );
    there("waits");
    pod.exec(
        "b",
        &format!("python3 -c '{libc}; {map}; import time\nwhile futex(1, 1) == 0: time.sleep(0.02)'"),
    );
    assert_eq!(said(waiter), "0 0\n");

    // One may be read-only, and the other goes on when it is made anew.
    pod.ok(&["delete", "--force", "a"]);
    assert_eq!(pod.exec("b", "echo still >/v/x; cat /v/x"), "still");
    let member = pod.members.iter_mut().find(|(id, _)| id == "a").unwrap();
    let last = member.1.spec["mounts"].as_array_mut().unwrap().last_mut().unwrap();
    last["options"] = json!(["rbind", "ro"]);
    pod.start("a");
    assert_eq!(
        pod.exec("a", "cat /v/x; touch /v/y 2>/dev/null || echo refused"),
        "still\nrefused"
    );
    pod.exec("b", "touch /v/y");
    pod.end();
}

#[test]
fn refusals() {
    let mut pod = Pod::new();
    let says = |pod: &Pod, id: &str, code: i32, word: &str| {
        let output = pod.command(id, &["run", id]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(word), "{word:?} is missing in {said:?}");
        assert!(!pod.first.path("state").join(id).exists());
    };
    pod.member("lost", "true")["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("nowhere");
    says(&pod, "lost", 1, "nowhere");
    pod.member("nobodys", "true")["annotations"] = json!({ "io.kubernetes.cri.container-type": "container" });
    says(&pod, "nobodys", 1, "io.kubernetes.cri.sandbox-id");
    pod.member("program", "true")["process"]["args"] = json!(["/no/such/program"]);
    says(&pod, "program", 127, "/no/such/program");
    pod.member("pids", "true")["linux"]["namespaces"] = json!([{ "type": "pid", "path": "/proc/1/ns/pid" }]);
    says(&pod, "pids", 1, "/proc/1/ns/pid");
    pod.member("mount", "true")["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/x", "type": "bind", "source": "/no/such/dir", "options": ["bind"] }));
    says(&pod, "mount", 1, "/no/such/dir");
    // CRI-O's words.
    pod.member("crio", "exit 3")["annotations"] = json!({
        "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "pod"
    });
    assert_eq!(pod.command("crio", &["run", "crio"]).status().unwrap().code(), Some(3));
    assert!(Path::new(&format!("/proc/{}", pod.pid("pod"))).exists());
    pod.end();
}

/// The way of CRI-O where nothing asks for a pause container: a pod that is only an id.
impl Pod {
    fn bare() -> Self {
        Self {
            first: Bundle::new("exit 1"),
            members: Vec::new(),
        }
    }

    fn crio_member(&mut self, id: &str, script: &str) -> &mut Value {
        let spec = self.member(id, script);
        spec["hostname"] = json!("the-pod");
        spec["annotations"] = json!({
            "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "pod"
        });
        spec
    }

    fn create_fails(&self, id: &str, words: &str) {
        let output = self.command(id, &["create", id]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(words), "{errors:?}");
        assert_eq!(errors.lines().count(), 1, "{errors:?}");
    }
}

#[test]
fn a_pod_without_a_first_container() {
    let mut pod = Pod::bare();
    pod.crio_member("a", "exec sleep 1000");
    pod.crio_member("b", "exec sleep 1000");
    pod.start("a");
    pod.start("b");
    for name in ["ipc", "net", "uts"] {
        let link = format!("readlink /proc/self/ns/{name}");
        assert_eq!(pod.exec("a", &link), pod.exec("b", &link), "{name}");
    }
    let pids = "readlink /proc/self/ns/pid";
    assert_ne!(pod.exec("a", pids), pod.exec("b", pids));
    assert_eq!(pod.exec("b", "uname -n"), "the-pod");
    let sandbox = pod.pid("pod");
    assert!(lives(sandbox));
    // One ends and comes back; the other and the sandbox stay.
    pod.ok(&["kill", "a", "KILL"]);
    pod.stops("a");
    pod.ok(&["delete", "a"]);
    assert_eq!(pod.exec("b", "echo there"), "there");
    pod.start("a");
    assert_eq!(pod.pid("pod"), sandbox);
    // Nothing runs any more: nor does the sandbox, although nobody has deleted anything yet.
    for id in ["a", "b"] {
        pod.ok(&["kill", id, "KILL"]);
        pod.stops(id);
    }
    wait_for("the end of the sandbox", || !lives(sandbox));
    assert_eq!(pod.status("b"), "stopped");
    // The pod goes on in another one.
    pod.ok(&["delete", "a"]);
    pod.start("a");
    assert!(lives(pod.pid("pod")) && pod.pid("pod") != sandbox);
    pod.ok(&["delete", "--force", "b"]);
    assert_eq!(pod.exec("a", "echo there"), "there");
    pod.ok(&["delete", "--force", "a"]);
    pod.first.left_nothing();
}

#[test]
fn first_containers_of_a_pod_at_once() {
    let mut pod = Pod::bare();
    let ids = ["a", "b", "c"];
    for id in ids {
        pod.crio_member(id, "exec sleep 1000");
    }
    let creates: Vec<_> = ids
        .iter()
        .map(|id| {
            let mut command = pod.command(id, &["create", id]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut create in creates {
        assert!(create.wait().unwrap().success());
    }
    let ipc: Vec<String> = ids
        .iter()
        .map(|id| {
            pod.ok(&["start", id]);
            pod.exec(id, "readlink /proc/self/ns/ipc")
        })
        .collect();
    assert!(ipc.iter().all(|link| *link == ipc[0]), "{ipc:?}");
    for id in ids {
        pod.ok(&["delete", "--force", id]);
    }
    pod.first.left_nothing();
}

#[test]
fn what_cannot_begin_a_pod_leaves_nothing() {
    let mut pod = Pod::bare();
    pod.crio_member("a", "")["process"]["args"] = json!(["/no/such/program"]);
    pod.create_fails("a", "/no/such/program");
    pod.first.left_nothing();
    // Others always make the first container themselves.
    pod.member("b", "exec sleep 1000");
    pod.create_fails("b", "sandbox of the pod: container does not exist: pod");
    pod.first.left_nothing();
}

/// CRI-O pins the namespace of the process that stands for a container, to have another one look at it.
#[test]
fn processes_of_a_container_by_a_pinned_namespace() {
    let mut pod = Pod::bare();
    pod.crio_member("a", "exec sleep 1001");
    pod.start("a");
    // That of `create` is that of the process which stands for `a`.
    let pinned = json!([{ "type": "mount" }, { "type": "pid", "path": "/proc/self/ns/pid" }]);
    pod.crio_member("look", "exec sleep 1000")["linux"]["namespaces"] = pinned.clone();
    pod.start("look");
    let pids = "readlink /proc/self/ns/pid";
    assert_eq!(pod.exec("look", pids), pod.exec("a", pids));
    // Now it could be either.
    pod.crio_member("again", "exit 0")["linux"]["namespaces"] = pinned;
    pod.create_fails("again", "2 containers of the pod pod have this one on the host");
    for id in ["look", "a"] {
        pod.ok(&["delete", "--force", id]);
    }
    pod.first.left_nothing();
}
