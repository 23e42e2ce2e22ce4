//! `install` and `uninstall`: the engines' files, with what stood there before.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Engine {
    dir: TempDir,
    engine: &'static str,
}

impl Engine {
    fn new(engine: &'static str) -> Self {
        let dir = TempDir::new().unwrap();
        Self { dir, engine }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("sub/config")
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        fs::write(self.file(), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    fn run(&self, before: &[&str], verb: &str, after: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runsc"))
            .args(before)
            .args([verb, "--engine", self.engine, "--config-file"])
            .arg(self.file())
            .env("PATH", self.dir.path().join("bin"))
            .args(after)
            .output()
            .unwrap()
    }

    fn does(&self, verb: &str, after: &[&str]) {
        let output = self.run(&[], verb, after);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
        // The file alone: nothing half-written beside it.
        let left = fs::read_dir(self.file().parent().unwrap()).map_or(0, Iterator::count);
        assert!(left <= 1, "{left} files");
    }

    fn refuses(&self, verb: &str, after: &[&str], words: &[&str]) {
        let before = fs::read(self.file()).ok();
        let output = self.run(&[], verb, after);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is missing in {stderr:?}");
        }
        assert_eq!(fs::read(self.file()).ok(), before, "the file was touched");
    }
}

fn program() -> String {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_runsc")).canonicalize().unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn docker_keeps_what_is_there() {
    let e = Engine::new("docker");
    e.write("{\"log-level\": \"debug\", \"runtimes\": {\"kata\": {\"path\": \"/k\"}}, \"bip\": \"10.0.0.1/24\", \"a\": 1.50}");
    fs::set_permissions(e.file(), fs::Permissions::from_mode(0o600)).unwrap();
    e.does("install", &[]);
    let expected = json!({
        "log-level": "debug",
        "runtimes": { "kata": { "path": "/k" }, "runsc": { "path": program() } },
        "bip": "10.0.0.1/24",
        "a": 1.5
    });
    assert_eq!(e.json(), expected);
    let places: Vec<usize> = ["log-level", "runtimes", "kata", "runsc", "bip"]
        .iter()
        .map(|key| e.text().find(key).unwrap())
        .collect();
    assert!(places.is_sorted(), "the order is another: {}", e.text());
    assert_eq!(fs::metadata(e.file()).unwrap().mode() & 0o777, 0o600);
    let ino = fs::metadata(e.file()).unwrap().ino();
    e.does("install", &[]);
    assert_eq!(fs::metadata(e.file()).unwrap().ino(), ino, "written again for nothing");
    e.does("uninstall", &["--runtime", "other"]);
    e.does("uninstall", &[]);
    assert_eq!(e.json()["runtimes"], json!({ "kata": { "path": "/k" } }));
    e.does("uninstall", &[]);
}

#[test]
fn docker_from_nothing() {
    let e = Engine::new("docker");
    e.does("uninstall", &[]);
    assert!(!e.file().exists());
    e.does("install", &[]);
    assert_eq!(e.json(), json!({ "runtimes": { "runsc": { "path": program() } } }));
    e.does("uninstall", &[]);
    assert_eq!(e.json(), json!({}));
    e.write(" \n");
    e.does("install", &[]);
}

#[test]
fn flags_are_passed_on() {
    let e = Engine::new("docker");
    let after = ["--runtime", "runsc-net", "--", "--network=host", "--strace"];
    let output = e.run(&["--debug"], "install", &after);
    assert_eq!(output.status.code(), Some(0));
    let args = &e.json()["runtimes"]["runsc-net"]["runtimeArgs"];
    assert_eq!(*args, json!(["--debug", "--network=host", "--strace"]));
    e.refuses("install", &["--", "--no-such-flag"], &["--no-such-flag"]);
    e.refuses(
        "install",
        &["--clobber=false", "--runtime", "runsc-net"],
        &["runsc-net", "already"],
    );
    e.refuses("install", &["--runtime", "a b"], &["--runtime", "a b"]);
    e.refuses("install", &["--runtime", "runc"], &["runc"]);
}

#[test]
fn broken_files_stay_as_they_are() {
    let e = Engine::new("docker");
    for (text, words) in [
        ("{\"a\": }", ["config", "not JSON", "line 1"]),
        ("[]", ["config", "not a JSON object", ""]),
        ("{\"runtimes\": 5}", ["config", "runtimes", "not an object"]),
    ] {
        e.write(text);
        e.refuses("install", &[], &words);
        e.refuses("uninstall", &[], &words);
    }
    e.write("{\"default-runtime\": \"runsc\", \"runtimes\": {\"runsc\": {\"path\": \"/x\"}}}");
    e.refuses("uninstall", &[], &["default-runtime"]);
    let c = Engine::new("containerd");
    for (text, words) in [
        ("version = 2\na = [", ["config", "not TOML", "line 2"]),
        ("version = 9", ["config", "version 9", ""]),
        ("version = \"2\"", ["config", "version", "not a number"]),
        ("version = 2\nplugins = 5", ["config", "plugins", "not a table"]),
    ] {
        c.write(text);
        c.refuses("install", &[], &words);
    }
    c.write("version = 2\n");
    c.refuses(
        "install",
        &["--shim", "runc", "--", "--strace"],
        &["containerd", "--strace"],
    );
    fs::remove_file(c.file()).unwrap();
    fs::create_dir(c.file()).unwrap();
    let output = c.run(&[], "install", &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"));
}

#[test]
fn a_link_stays_a_link() {
    let e = Engine::new("docker");
    let real = e.dir.path().join("real.json");
    fs::write(&real, "{}").unwrap();
    fs::create_dir(e.dir.path().join("sub")).unwrap();
    symlink(&real, e.file()).unwrap();
    e.does("install", &[]);
    assert!(e.file().is_symlink());
    assert!(fs::read_to_string(real).unwrap().contains("runsc"));
}

#[test]
fn containerd_keeps_comments() {
    let e = Engine::new("containerd");
    let before = "# mine\nversion = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  # pause\n  sandbox_image = \"p:1\"\n\n\
                  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n";
    e.write(before);
    e.does("install", &["--shim", "runc"]);
    let text = e.text();
    assert!(text.starts_with(before), "{text}");
    let entry = format!(
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc]\nruntime_type = \"io.containerd.runc.v2\"\n\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc.options]\nBinaryName = \"{}\"\n",
        program()
    );
    assert!(text.contains(&entry), "{text}");
    e.does("install", &["--shim", "runc"]);
    assert_eq!(e.text(), text);
    e.does("uninstall", &[]);
    assert_eq!(e.text().trim_end(), before.trim_end());
}

#[test]
fn containerd_versions() {
    let e = Engine::new("containerd");
    e.does("install", &[]);
    assert!(e.text().contains("version = 2\n"), "{}", e.text());
    e.write("version = 3\n");
    e.does("install", &[]);
    assert!(
        e.text()
            .contains("[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runsc]")
    );
    e.write("root = \"/x\"\n");
    e.does("install", &[]);
    assert!(
        e.text().contains("[plugins.cri.containerd.runtimes.runsc]"),
        "{}",
        e.text()
    );
}

impl Engine {
    /// Puts the shim into PATH, and a runsc beside it that is this one.
    fn with_shim(self) -> Self {
        let bin = self.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("containerd-shim-runsc-v1"), "").unwrap();
        symlink(program(), bin.join("runsc")).unwrap();
        self
    }
}

const OWN: &str =
    "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc]\nruntime_type = \"io.containerd.runsc.v1\"\n";

#[test]
fn own_shim() {
    let e = Engine::new("containerd").with_shim();
    e.does("install", &[]);
    assert_eq!(e.text(), format!("version = 2\n\n{OWN}"));
    // Another kind, and back; what an administrator wrote beside it stays.
    let more = "pod_annotations = [\"a\"]\n";
    e.write(&format!("version = 2\n\n{OWN}{more}"));
    e.does("install", &["--shim", "runc"]);
    assert!(
        e.text().contains("io.containerd.runc.v2") && e.text().contains("BinaryName") && e.text().contains(more),
        "{}",
        e.text()
    );
    e.refuses("install", &["--clobber=false"], &["runsc", "already"]);
    e.does("install", &["--shim", "runsc"]);
    assert_eq!(e.text().trim_end(), format!("version = 2\n\n{OWN}{more}").trim_end());
    e.does("uninstall", &[]);
    assert!(!e.text().contains("runsc"), "{}", e.text());
    e.write("version = 3\n");
    e.does("install", &[]);
    let entry = "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runsc]\nruntime_type = \"io.containerd.runsc.v1\"\n";
    assert!(e.text().contains(entry), "{}", e.text());
}

#[test]
fn settings_of_the_own_shim() {
    let e = Engine::new("containerd").with_shim();
    let settings = e.file().with_file_name("net.toml");
    let installs = |before: &[&str], after: &[&str]| {
        let output = e.run(before, "install", after);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    installs(&["--debug"], &["--runtime", "net", "--", "--network=host"]);
    let path = settings.display();
    let entry = format!("TypeUrl = \"io.containerd.runsc.v1.options\"\nConfigPath = \"{path}\"\n");
    assert!(e.text().contains(&entry), "{}", e.text());
    let text = fs::read_to_string(&settings).unwrap();
    let want = format!(
        "binary_name = \"{}\"\n\n[runsc_config]\ndebug = \"true\"\nnetwork = \"host\"\n",
        program()
    );
    assert_eq!(text, want);
    fs::write(&settings, format!("# mine\nroot = \"/x\"\n{want}")).unwrap();
    installs(&[], &["--runtime", "net", "--", "--strace"]);
    let text = fs::read_to_string(&settings).unwrap();
    assert!(
        text.starts_with("# mine\nroot = \"/x\"\n") && text.ends_with("network = \"host\"\nstrace = \"true\"\n"),
        "{text}"
    );
    fs::write(&settings, "x = [").unwrap();
    let before = e.text();
    let output = e.run(&[], "install", &["--runtime", "net"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("net.toml: not TOML"));
    assert_eq!(e.text(), before);
    // A shim that would call another runsc is told which.
    fs::remove_file(e.dir.path().join("bin/runsc")).unwrap();
    installs(&[], &["--runtime", "other"]);
    let text = fs::read_to_string(e.file().with_file_name("other.toml")).unwrap();
    assert_eq!(text, format!("binary_name = \"{}\"\n", program()));
}

#[test]
fn no_shim_where_one_is_wished() {
    if [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .iter()
    .any(|dir| PathBuf::from(dir).join("containerd-shim-runsc-v1").exists())
    {
        // Installed on this machine.
        return;
    }
    let e = Engine::new("containerd");
    e.does("install", &[]);
    assert!(e.text().contains("io.containerd.runc.v2"), "{}", e.text());
    let output = e.run(&[], "install", &["--shim", "runsc"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("containerd-shim-runsc-v1"), "{stderr}");
    let d = Engine::new("docker");
    d.refuses("install", &["--shim", "runsc"], &["--shim"]);
}
