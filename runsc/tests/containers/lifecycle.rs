//! Containers from create to delete, on this machine's own file system under an overlay in memory. Needs root.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::host::{Host, code, gone, record};
use serde_json::{Value, json};

#[test]
fn exit_codes() {
    let h = Host::new();
    assert_eq!(code(&h.runsc(&["do", "true"])), Some(0));
    assert_eq!(code(&h.sh("exit 7")), Some(7));
    assert_eq!(code(&h.sh("kill -KILL $$")), Some(137));
    assert_eq!(code(&h.sh("sh -c 'kill -TERM $$'; exit $?")), Some(143));
    h.left_nothing();
}

#[test]
fn programs_that_do_not_start() {
    let h = Host::new();
    let bad = |name: &str, text: &[u8], mode: u32| {
        fs::write(h.path(name), text).unwrap();
        fs::set_permissions(h.path(name), fs::Permissions::from_mode(mode)).unwrap();
        h.path(name).to_str().unwrap().to_owned()
    };
    let one_line = |output: Output, wanted: i32, word: &str| {
        assert_eq!(code(&output), Some(wanted));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.lines().count() == 1 && stderr.contains(word), "{stderr}");
    };
    one_line(h.runsc(&["do", "no-such-program"]), 127, "no-such-program");
    one_line(h.runsc(&["do", "/no/such/program"]), 127, "/no/such/program");
    let plain = bad("plain", b"#!/bin/sh\n", 0o644);
    one_line(h.runsc(&["do", &plain]), 126, "plain");
    one_line(h.runsc(&["do", "/etc"]), 126, "/etc");
    let broken = bad("broken", b"\x7fELF\x02\x01\x01 and no more", 0o755);
    one_line(h.runsc(&["do", &broken]), 126, "broken");
    h.left_nothing();
}

#[test]
fn the_host_stays_as_it_is() {
    let h = Host::new();
    fs::write(h.path("a"), "old").unwrap();
    let script = "echo new >a && echo more >b && cat a b && rm a && ls";
    let output = h.sh(script);
    assert_eq!(code(&output), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("new\nmore\n"));
    assert_eq!(fs::read_to_string(h.path("a")).unwrap(), "old");
    assert!(!h.path("b").exists());
    let volume = format!("{}:/v", h.dir.path().display());
    assert_eq!(
        code(&h.runsc(&["do", "--volume", &volume, "sh", "-c", "echo new >/v/b"])),
        Some(0)
    );
    assert_eq!(fs::read_to_string(h.path("b")).unwrap(), "new\n");
    let volume = format!("{volume}:ro");
    assert_ne!(
        code(&h.runsc(&["do", "--volume", &volume, "sh", "-c", "echo x >/v/b"])),
        Some(0)
    );
    assert_eq!(fs::read_to_string(h.path("b")).unwrap(), "new\n");
}

#[test]
fn environment_user_and_directory() {
    let h = Host::new();
    let args = [
        "do",
        "--uid",
        "12:34",
        "--env",
        "A=b c",
        "--cwd",
        "/usr",
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd",
    ];
    let output = h.runsc(&args);
    assert_eq!(code(&output), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "12\n34\nb c\n/usr\n");
}

#[test]
fn streams() {
    let h = Host::new();
    let mut child = h
        .command(&["do", "sh", "-c", "cat; echo err >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let data = vec![b'x'; 1 << 20];
    let copy = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&copy));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(
        code(&Output {
            stdout: Vec::new(),
            ..output.clone()
        }),
        Some(0)
    );
    assert_eq!(output.stdout.len(), data.len());
    assert_eq!(output.stderr, b"err\n");
}

#[test]
fn signals_are_passed_on() {
    let h = Host::new();
    let script = "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done";
    let mut child = h
        .command(&["do", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    assert!(Command::new("kill").args(["-USR1", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(5));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got\n");
}

#[test]
fn states() {
    let h = Host::new();
    h.bundle("echo started >/host/out; while [ ! -e /host/go ]; do sleep 0.05; done; exit 3");
    assert_eq!(h.detached(&["create", "--pid-file", "pid", "c"]), Some(0));
    let state = h.state("c");
    assert_eq!(state["status"], "created");
    let pid = state["pid"].as_i64().unwrap();
    assert_eq!(fs::read_to_string(h.path("pid")).unwrap(), pid.to_string());
    assert!(!h.path("out").exists(), "the program runs before start");
    assert_eq!(code(&h.overlaid(&["create", "c"])), Some(1));
    assert_ne!(code(&h.runsc(&["delete", "c"])), Some(0));
    assert_eq!(code(&h.runsc(&["start", "c"])), Some(0));
    h.wait_for("the program", || h.path("out").exists());
    assert_eq!(h.state("c")["status"], "running");
    assert_ne!(code(&h.runsc(&["start", "c"])), Some(0));
    fs::write(h.path("go"), "").unwrap();
    h.wait_for("the end", || h.state("c")["status"] == "stopped");
    assert_ne!(code(&h.runsc(&["start", "c"])), Some(0));
    assert_ne!(code(&h.runsc(&["kill", "c"])), Some(0));
    assert_eq!(code(&h.runsc(&["delete", "c"])), Some(0));
    assert!(gone(pid));
    h.left_nothing();
}

#[test]
fn a_missing_program_fails_at_create() {
    let h = Host::new();
    h.bundle("");
    let mut spec: Value = serde_json::from_slice(&fs::read(h.path("config.json")).unwrap()).unwrap();
    spec["process"]["args"] = json!(["nope"]);
    fs::write(h.path("config.json"), spec.to_string()).unwrap();
    let output = h.overlaid(&["create", "c"]);
    assert_eq!(code(&output), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("executable file not found"));
    h.left_nothing();
}

#[test]
fn kill_ends_it() {
    let h = Host::new();
    h.bundle("sleep 1000");
    for (id, signal) in [("a", "KILL"), ("b", "9")] {
        assert_eq!(h.detached(&["run", "--detach", id]), Some(0));
        assert_eq!(code(&h.runsc(&["kill", id, signal])), Some(0));
        h.wait_for("the end", || h.state(id)["status"] == "stopped");
        assert_eq!(code(&h.runsc(&["delete", id])), Some(0));
    }
    assert_eq!(h.detached(&["create", "c"]), Some(0));
    assert_eq!(code(&h.runsc(&["kill", "c", "KILL"])), Some(0));
    h.wait_for("the end", || h.state("c")["status"] == "stopped");
    assert_eq!(code(&h.runsc(&["delete", "c"])), Some(0));
    assert_eq!(h.detached(&["create", "c"]), Some(0));
    assert_eq!(code(&h.runsc(&["delete", "--force", "c"])), Some(0));
    h.left_nothing();
}

#[test]
fn killed_in_the_foreground() {
    let h = Host::new();
    h.bundle("sleep 1000");
    let run = h.command(&["run", "c"]).stderr(Stdio::piped()).spawn().unwrap();
    h.wait_for("the start", || h.state("c")["status"] == "running");
    assert_eq!(code(&h.runsc(&["kill", "c", "KILL"])), Some(0));
    let output = run.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(137), &b""[..]));
    h.left_nothing();
}

/// Kills one of the processes of a sandbox: the others follow.
fn one_dies(process: &str) {
    let h = Host::new();
    h.bundle("sleep 1000 & sleep 1000");
    assert_eq!(h.detached(&["run", "--detach", "c"]), Some(0));
    let (sandbox, gofer) = (record(h.dir.path(), "c", "sandbox"), record(h.dir.path(), "c", "gofer"));
    let victim = if process == "sandbox" { sandbox } else { gofer };
    assert!(
        Command::new("kill")
            .args(["-KILL", &victim.to_string()])
            .status()
            .unwrap()
            .success()
    );
    h.wait_for("both to end", || gone(sandbox) && gone(gofer));
    assert_eq!(h.state("c")["status"], "stopped");
    assert_eq!(code(&h.runsc(&["delete", "c"])), Some(0));
    h.left_nothing();
}

#[test]
fn the_sentry_dies() {
    one_dies("sandbox");
}

#[test]
fn the_gofer_dies() {
    one_dies("gofer");
}

#[test]
fn runsc_dies() {
    let h = Host::new();
    h.bundle("sleep 1000");
    let mut child: Child = h.command(&["--overlay2=root:memory", "run", "c"]).spawn().unwrap();
    h.wait_for("the container", || h.state("c")["status"] == "running");
    let (sandbox, gofer) = (record(h.dir.path(), "c", "sandbox"), record(h.dir.path(), "c", "gofer"));
    child.kill().unwrap();
    child.wait().unwrap();
    h.wait_for("both to end", || gone(sandbox) && gone(gofer));
    assert_eq!(code(&h.runsc(&["list"])), Some(0));
    h.left_nothing();
}

#[test]
fn runsc_dies_at_any_moment() {
    let h = Host::new();
    h.bundle("sleep 1000");
    for round in 0..20u64 {
        let id = format!("c{round}");
        let mut command = h.command(&["--overlay2=root:memory", "create", &id]);
        let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round * 3));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let leaked = || {
        let state = h.path("state");
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let fd = entry.path().join("fd");
            fs::read_dir(fd)
                .into_iter()
                .flatten()
                .flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.starts_with(&state)))
        })
    };
    // What was created entirely is there to be deleted; the rest is cleared away.
    assert_eq!(code(&h.runsc(&["list"])), Some(0));
    for entry in fs::read_dir(h.path("state")).into_iter().flatten().flatten() {
        let id = entry.file_name().into_string().unwrap();
        assert_eq!(code(&h.runsc(&["delete", "--force", &id])), Some(0));
    }
    h.wait_for("the last process", || !leaked());
    h.left_nothing();
}

#[test]
fn an_ordinary_user() {
    let h = Host::new();
    fs::set_permissions(h.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = h.path("runsc");
    fs::copy(env!("CARGO_BIN_EXE_runsc"), &program).unwrap();
    let state = h.path("mine");
    let run = |args: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", "1234", "--regid", "1234", "--clear-groups"])
            .arg(&program)
            .arg("--root")
            .arg(&state)
            .args(["--platform", &h.platform])
            .args(args)
            .current_dir(h.dir.path())
            .output()
            .unwrap()
    };
    let output = run(&["do", "sh", "-c", "id -u; echo x >file; cat file; exit 4"]);
    assert_eq!(code(&output), Some(4));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1234\nx\n");
    let output = run(&["do", "--uid", "0", "id", "-u"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
}
