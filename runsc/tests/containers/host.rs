//! A state directory of a test's own, bundles, and waiting for what comes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common;
pub use crate::common::code;

pub struct Host {
    pub dir: TempDir,
    pub platform: String,
}

impl Host {
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            platform: common::platform(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runsc"));
        command
            .arg("--root")
            .arg(self.path("state"))
            .arg("--platform")
            .arg(&self.platform)
            .args(args);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn runsc(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts what lives on: its standard streams go to the container, so that nobody may wait for their end.
    pub fn detached(&self, args: &[&str]) -> Option<i32> {
        self.detached_plain(&[&["--overlay2=root:memory"], args].concat())
    }

    pub fn detached_plain(&self, args: &[&str]) -> Option<i32> {
        let null = || Stdio::null();
        self.command(args)
            .stdout(null())
            .stderr(null())
            .status()
            .unwrap()
            .code()
    }

    pub fn sh(&self, script: &str) -> Output {
        self.runsc(&["do", "sh", "-c", script])
    }

    /// A bundle whose program is a shell script.
    pub fn bundle(&self, script: &str) {
        let mut spec = common::spec(script, self.dir.path());
        let pts = json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts" });
        spec["mounts"].as_array_mut().unwrap().push(pts);
        fs::write(self.path("config.json"), spec.to_string()).unwrap();
    }

    /// A running container, `a`, whose process sleeps, in a cgroup of its own.
    pub fn sleeping(&self) {
        self.bundle("exec sleep 1000");
        let mut spec: Value = serde_json::from_slice(&fs::read(self.path("config.json")).unwrap()).unwrap();
        spec["linux"]["cgroupsPath"] = json!(self.cgroup());
        fs::write(self.path("config.json"), spec.to_string()).unwrap();
        assert_eq!(self.detached(&["run", "-d", "a"]), Some(0));
        self.wait_for("sleep", || self.says(&["ps", "a"]).contains("sleep 1000"));
    }

    pub fn cgroup(&self) -> String {
        let name = self.dir.path().file_name().unwrap().to_str().unwrap();
        format!("/runsc-test{name}")
    }

    /// Standard output of a command that succeeds.
    pub fn says(&self, args: &[&str]) -> String {
        let output = self.runsc(args);
        assert_eq!(code(&output), Some(0), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of one that fails with this code.
    pub fn refuses(&self, args: &[&str], wanted: i32) -> String {
        let output = self.runsc(args);
        assert_eq!(code(&output), Some(wanted), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn overlaid(&self, args: &[&str]) -> Output {
        self.runsc(&[&["--overlay2=root:memory"], args].concat())
    }

    pub fn state(&self, id: &str) -> Value {
        let output = self.runsc(&["state", id]);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    pub fn wait_for(&self, what: &str, done: impl Fn() -> bool) {
        common::wait_for(what, done);
    }

    /// Where its groups would be: in each hierarchy of cgroup v1, or in the one of v2.
    pub fn groups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let below = fs::read_dir(top).unwrap().flatten().map(|entry| entry.path());
        let tops = below.chain([top.to_owned()]);
        tops.map(|top| top.join(&self.cgroup()[1..])).collect()
    }

    /// No state, no process that was started from this state directory.
    pub fn left_nothing(&self) {
        let groups = self.groups();
        self.wait_for("the end of the cgroups", || !groups.iter().any(|g| g.exists()));
        self.wait_for("an empty state directory", || {
            fs::read_dir(self.path("state")).map_or(0, Iterator::count) == 0
        });
    }
}

/// A test that fails leaves nothing running either.
impl Drop for Host {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.path("state")).into_iter().flatten().flatten() {
            let id = entry.file_name();
            let _ = self
                .command(&["delete", "--force"])
                .arg(id)
                .stderr(Stdio::null())
                .status();
        }
    }
}

pub fn gone(pid: i64) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    }
}

pub fn record(dir: &Path, id: &str, process: &str) -> i64 {
    let text = fs::read(dir.join("state").join(id).join("state.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()[process]["pid"]
        .as_i64()
        .unwrap()
}
