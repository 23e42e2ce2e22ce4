//! Containers that share a sandbox.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{Bundle, wait_for};

/// A sandbox container `pod` that runs, and members with bundles of their own in the same state directory.
pub struct Pod {
    pub first: Bundle,
    pub members: Vec<(String, Bundle)>,
}

impl Pod {
    pub fn new() -> Self {
        let mut first = Bundle::new("exec sleep 1000");
        first.spec["annotations"] = json!({ "io.kubernetes.cri.container-type": "sandbox" });
        Self::begin(first)
    }

    /// One that knows of no pod: others come by the paths of its namespaces.
    pub fn plain() -> Self {
        Self::begin(Bundle::new("exec sleep 1000"))
    }

    fn begin(mut first: Bundle) -> Self {
        first.spec["hostname"] = json!("the-pod");
        assert_eq!(first.detached(&["create", "pod"]), Some(0));
        assert_eq!(first.detached(&["start", "pod"]), Some(0));
        Self {
            first,
            members: Vec::new(),
        }
    }

    /// A bundle of a member, which may still be changed.
    pub fn member(&mut self, id: &str, script: &str) -> &mut Value {
        let spec = self.other(id, script);
        spec["annotations"] = json!({
            "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod"
        });
        spec
    }

    /// The same, of a container that no annotation tells where it goes.
    pub fn other(&mut self, id: &str, script: &str) -> &mut Value {
        let bundle = Bundle::new(script);
        self.members.retain(|(old, _)| old != id);
        self.members.push((id.to_owned(), bundle));
        &mut self.members.last_mut().unwrap().1.spec
    }

    pub fn bundle(&self, id: &str) -> &Bundle {
        &self.members.iter().find(|(member, _)| member == id).unwrap().1
    }

    pub fn command(&self, id: &str, args: &[&str]) -> Command {
        let bundle = self.bundle(id);
        fs::write(bundle.path("config.json"), bundle.spec.to_string()).unwrap();
        let mut command = self.first.command(args);
        command.current_dir(bundle.dir.path());
        command
    }

    pub fn create(&self, id: &str) {
        let status = self
            .command(id, &["create", "--pid-file", "pid", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "create {id}");
    }

    /// Without an overlay: the host has the container's files.
    pub fn create_plain(&self, id: &str) {
        let all = self.command(id, &["create", id]);
        let args = all
            .get_args()
            .filter(|arg| !arg.to_string_lossy().starts_with("--overlay2"));
        let mut command = Command::new(all.get_program());
        command
            .args(args)
            .current_dir(self.bundle(id).dir.path())
            .stdin(Stdio::null());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.unwrap().success(), "create {id}");
    }

    pub fn start(&self, id: &str) {
        self.create(id);
        self.ok(&["start", id]);
    }

    pub fn runsc(&self, args: &[&str]) -> Output {
        self.first.runsc(args)
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.runsc(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn exec(&self, id: &str, script: &str) -> String {
        self.ok(&["exec", id, "/bin/sh", "-c", script])
    }

    pub fn status(&self, id: &str) -> String {
        self.first.state(id)["status"].as_str().unwrap_or_default().to_owned()
    }

    pub fn pid(&self, id: &str) -> i64 {
        self.first.state(id)["pid"].as_i64().unwrap_or(0)
    }

    pub fn stops(&self, id: &str) {
        wait_for(&format!("the end of {id}"), || self.status(id) == "stopped");
    }

    pub fn end(&self) {
        for (id, _) in &self.members {
            self.ok(&["delete", "--force", id]);
        }
        self.ok(&["delete", "--force", "pod"]);
        self.first.left_nothing();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // After a failed test.
        for (id, _) in &self.members {
            let _ = self.runsc(&["delete", "--force", id]);
        }
        let _ = self.runsc(&["delete", "--force", "pod"]);
    }
}

pub fn lives(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

pub fn kill(pid: i64) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.unwrap().success());
}
