//! A bundle over this machine's own file system, and a state directory of its own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail them, and each file uses some"
)]

pub mod pod;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Bundle {
    pub dir: TempDir,
    pub spec: Value,
}

impl Bundle {
    /// Runs a shell script; the bundle's directory is `/host` inside.
    pub fn new(script: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let spec = spec(script, dir.path());
        Self { dir, spec }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn mount(&mut self, mount: Value) {
        self.spec["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Has a root of its own, with busybox and its shell.
    pub fn own_root(&mut self) {
        fs::create_dir_all(self.path("rootfs/bin")).unwrap();
        fs::copy("/bin/busybox", self.path("rootfs/bin/busybox")).unwrap();
        std::os::unix::fs::symlink("busybox", self.path("rootfs/bin/sh")).unwrap();
        self.spec["root"]["path"] = json!("rootfs");
    }

    /// `runsc` with its root under an overlay in memory, and the configuration as it is now.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.plain(&["--overlay2=root:memory"]);
        command.args(args);
        command
    }

    /// The same, without the overlay.
    pub fn plain(&self, args: &[&str]) -> Command {
        let mut spec = self.spec.clone();
        let linux = &mut spec["linux"];
        if linux["resources"].is_object() && linux["cgroupsPath"].is_null() {
            // The default is the container's name, which those of other tests have too.
            let name = self
                .dir
                .path()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_start_matches('.');
            linux["cgroupsPath"] = json!(format!("/runsc-{name}"));
        }
        fs::write(self.path("config.json"), spec.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_runsc"));
        command
            .arg("--root")
            .arg(self.path("state"))
            .args(["--platform", &platform()])
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub fn runsc(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// For what lives on: its standard streams go to the container, so that nobody may wait for their end.
    pub fn detached(&self, args: &[&str]) -> Option<i32> {
        let status = self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.unwrap().code()
    }

    /// Runs it and gives what it printed; it must succeed.
    pub fn output(&self) -> String {
        let output = self.runsc(&["run", "c"]);
        assert_eq!(code(&output), Some(0));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it and expects one line with all of `words`, and nothing left.
    pub fn fails(&self, wanted: i32, words: &[&str]) {
        let output = self.runsc(&["run", "c"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(wanted), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "not one line: {stderr:?}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is missing in {stderr:?}");
        }
        self.left_nothing();
    }

    pub fn state(&self, id: &str) -> Value {
        serde_json::from_slice(&self.runsc(&["state", id]).stdout).unwrap_or(Value::Null)
    }

    pub fn left_nothing(&self) {
        let left = fs::read_dir(self.path("state")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something stays in the state directory");
    }
}

/// The configuration of a container that runs a shell script and has this directory as `/host`.
pub fn spec(script: &str, dir: &Path) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/bin/sh", "-c", script], "cwd": "/", "user": { "uid": 0, "gid": 0 },
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        },
        "root": { "path": "/" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" },
            { "destination": "/host", "type": "bind", "source": dir, "options": ["rbind"] }
        ],
        "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }] }
    })
}

/// What `RUNSC_PLATFORM` says, or the default.
pub fn platform() -> String {
    std::env::var("RUNSC_PLATFORM").unwrap_or_else(|_| "systrap".to_owned())
}

pub fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn code(output: &Output) -> Option<i32> {
    eprintln!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.status.code()
}
