//! A sandbox that is ended between `create` and `start` leaves a reason. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test may fail it")]

mod common;

use std::fs::{self, File};

use common::{Bundle, code, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A created container whose standard error is the file `err`; and its record.
fn created(b: &Bundle) -> Value {
    let mut create = b.command(&["create", "c"]);
    create
        .stdout(std::process::Stdio::null())
        .stderr(File::create(b.path("err")).unwrap());
    assert_eq!(create.status().unwrap().code(), Some(0), "{}", b.read("err"));
    serde_json::from_str(&b.read("state/c/state.json")).unwrap()
}

fn pid(process: &Value) -> i32 {
    i32::try_from(process["pid"].as_i64().unwrap()).unwrap()
}

/// Kills, and gives what `start` says then and what the container's standard error has.
fn after(kill_what: impl Fn(&Value) -> Vec<i32>) -> (String, String) {
    let b = Bundle::new("exec sleep 1000");
    let record = created(&b);
    for pid in kill_what(&record) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    wait_for("its end", || b.state("c")["status"] == "stopped");
    let start = b.runsc(&["start", "c"]);
    assert_eq!(code(&start), Some(1));
    let log = b.path("log").display().to_string();
    assert_eq!(code(&b.runsc(&["--log", &log, "delete", "c"])), Some(0));
    b.left_nothing();
    let said = String::from_utf8_lossy(&start.stderr).into_owned();
    let reason = said.trim().rsplit(": ").next().unwrap().to_owned();
    assert!(b.read("log").contains(&reason), "{:?}", b.read("log"));
    (said, b.read("err"))
}

#[test]
fn the_gofer_is_killed() {
    let (start, stderr) = after(|record| vec![pid(&record["gofer"])]);
    assert!(start.contains("the sandbox has ended: the gofer was killed"), "{start}");
    assert_eq!(stderr, "runsc: the sandbox has ended: the gofer was killed\n");
}

#[test]
fn the_sentry_is_killed() {
    let (start, _) = after(|record| vec![pid(&record["sandbox"])]);
    assert!(start.contains("the sandbox has ended: killed, by somebody"), "{start}");
}

#[test]
fn the_first_guest_process_is_killed() {
    let children = |record: &Value| {
        let sentry = pid(&record["sandbox"]);
        let tasks = fs::read_dir(format!("/proc/{sentry}/task")).unwrap();
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let list: Vec<i32> = tasks
            .flat_map(|task| {
                of(task.unwrap())
                    .split_whitespace()
                    .map(|n| n.parse().unwrap())
                    .collect::<Vec<_>>()
            })
            .collect();
        // The container's own process is a fork of it.
        vec![*list.iter().min().unwrap()]
    };
    let (start, stderr) = after(children);
    assert!(
        start.contains("its first guest process was killed from outside"),
        "{start}"
    );
    assert!(
        stderr.contains("its first guest process was killed from outside"),
        "{stderr}"
    );
}

/// What a command has killed is no riddle.
#[test]
fn a_kill_is_no_fault() {
    let b = Bundle::new("exec sleep 1000");
    created(&b);
    assert_eq!(code(&b.runsc(&["kill", "c", "KILL"])), Some(0));
    let start = b.runsc(&["start", "c"]);
    assert_eq!(code(&start), Some(1));
    let said = String::from_utf8_lossy(&start.stderr).into_owned();
    assert!(
        said.trim().ends_with("cannot start a container that has stopped: c"),
        "{said}"
    );
    let wait = b.runsc(&["wait", "c"]);
    assert!(String::from_utf8_lossy(&wait.stdout).contains("137"), "{wait:?}");
    let log = b.path("log").display().to_string();
    assert_eq!(code(&b.runsc(&["--log", &log, "delete", "c"])), Some(0));
    assert!(!b.read("log").contains("ended"), "{:?}", b.read("log"));
    b.left_nothing();
}
