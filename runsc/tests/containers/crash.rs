//! `kill -9` of any process at any moment: `list`, `state` and `delete --force` always work, and nothing is left.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::host::{Host, code};
use serde_json::{Value, json};

/// Delays that cover a command from its first step to behind its last.
const ROUNDS: u64 = 24;

fn start(h: &Host, args: &[&str]) -> Child {
    let mut command = h.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Kills a command after a while; gives whether it had ended by itself.
fn kill_after(mut child: Child, micros: u64) -> bool {
    std::thread::sleep(Duration::from_micros(micros));
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

/// How long the whole command takes, in microseconds.
fn length(h: &Host, args: &[&str]) -> u64 {
    let begin = std::time::Instant::now();
    assert!(start(h, args).wait().unwrap().success(), "{args:?}");
    u64::try_from(begin.elapsed().as_micros()).unwrap()
}

/// Processes of sandboxes that were started from this state directory still live by their cgroup.
fn processes(h: &Host) -> usize {
    let groups = h.groups().into_iter();
    let texts = groups.filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
    texts.map(|text| text.lines().count()).sum()
}

fn check_and_remove(h: &Host) {
    let list: Value = serde_json::from_str(&h.says(&["list", "--format", "json"])).unwrap();
    for container in list.as_array().unwrap() {
        let status = container["status"].as_str().unwrap();
        assert!(
            ["creating", "created", "running", "stopped"].contains(&status),
            "{container}"
        );
        let state = h.runsc(&["state", "a"]);
        assert_eq!(code(&state), Some(0));
    }
    assert_eq!(code(&h.runsc(&["delete", "--force", "a"])), Some(0));
    assert!(h.refuses(&["state", "a"], 1).contains("does not exist"));
    h.wait_for("the end of all processes", || processes(h) == 0);
    h.left_nothing();
}

fn bundle(h: &Host) {
    h.bundle("exec sleep 1000");
    let mut spec: Value = serde_json::from_slice(&fs::read(h.path("config.json")).unwrap()).unwrap();
    spec["linux"]["cgroupsPath"] = json!(h.cgroup());
    fs::write(h.path("config.json"), spec.to_string()).unwrap();
}

const CREATE: [&str; 3] = ["--overlay2=root:memory", "create", "a"];

#[test]
fn killed_in_create() {
    let h = Host::new();
    bundle(&h);
    let whole = length(&h, &CREATE);
    check_and_remove(&h);
    for round in 0..ROUNDS {
        kill_after(start(&h, &CREATE), whole * round / (ROUNDS - 2));
        check_and_remove(&h);
        // The name is free again.
        if round % 8 == 7 {
            assert_eq!(h.detached(&["create", "a"]), Some(0));
            check_and_remove(&h);
        }
    }
}

#[test]
fn killed_in_start_and_delete() {
    let h = Host::new();
    bundle(&h);
    for round in 0..ROUNDS / 2 {
        assert_eq!(h.detached(&["create", "a"]), Some(0));
        kill_after(start(&h, &["start", "a"]), 400 * round);
        // It runs or it does not; either way `start` or `kill` settles it.
        let status = h.state("a")["status"].as_str().unwrap().to_owned();
        assert!(["created", "running"].contains(&status.as_str()), "{status}");
        if status == "created" {
            h.says(&["start", "a"]);
        }
        assert_eq!(h.state("a")["status"], "running");
        h.wait_for("the process", || h.says(&["ps", "a"]).contains("sleep 1000"));
        kill_after(start(&h, &["delete", "--force", "a"]), 1500 * round);
        check_and_remove(&h);
    }
}

#[test]
fn killed_in_run_and_pause() {
    let h = Host::new();
    bundle(&h);
    for round in 0..ROUNDS / 2 {
        assert_eq!(h.detached(&["run", "-d", "a"]), Some(0));
        kill_after(start(&h, &["pause", "a"]), 400 * round);
        if h.state("a")["status"] == "paused" {
            h.says(&["resume", "a"]);
        }
        assert_eq!(h.state("a")["status"], "running");
        assert_eq!(h.says(&["exec", "a", "echo", "alive"]), "alive\n");
        kill_after(start(&h, &["exec", "a", "sleep", "2000"]), 1000 * round);
        h.wait_for("the end of the process", || {
            !h.says(&["ps", "a"]).contains("sleep 2000")
        });
        // One of the two processes of the sandbox, at some moment of another command.
        let victim = if round % 2 == 0 { "sandbox" } else { "gofer" };
        let pid = crate::host::record(h.dir.path(), "a", victim).to_string();
        let exec = start(&h, &["exec", "a", "true"]);
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        let _ = exec.wait_with_output();
        h.wait_for("the stop", || h.state("a")["status"] == "stopped");
        check_and_remove(&h);
    }
}
