//! Wrong input: one line that names the culprit, the right exit code, nothing left behind. None of these comes as far as a
//! running sandbox.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Bundle {
    dir: TempDir,
    spec: Value,
}

impl Bundle {
    /// A bundle that would run.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        let spec = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/"
            },
            "root": { "path": "rootfs" },
            "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
            "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }] }
        });
        Self { dir, spec }
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn runsc(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runsc"))
            .arg("--root")
            .arg(self.state())
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    fn create_with(&self, config: &[u8]) -> Output {
        fs::write(self.dir.path().join("config.json"), config).unwrap();
        self.runsc(&["create", "c"])
    }

    /// Changes one place of the configuration and expects a refusal that says all of `words`.
    fn refuses(&self, pointer: &str, value: Value, words: &[&str]) {
        let mut spec = self.spec.clone();
        set(&mut spec, pointer, value);
        let output = self.create_with(spec.to_string().as_bytes());
        expect(&output, 1, words);
        self.left_nothing();
    }

    fn left_nothing(&self) {
        let left = fs::read_dir(self.state()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something stays in the state directory");
    }
}

fn set(spec: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = spec.pointer_mut(parent).unwrap();
    if value == json!("(remove)") {
        parent.as_object_mut().unwrap().remove(key);
    } else if let Some(list) = parent.as_array_mut() {
        list[key.parse::<usize>().unwrap()] = value;
    } else {
        parent[key] = value;
    }
}

fn expect(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "not one line: {stderr:?}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is missing in {stderr:?}");
    }
}

#[test]
fn hostile_configurations() {
    let b = Bundle::new();
    let gone = json!("(remove)");
    b.refuses("/ociVersion", gone.clone(), &["ociVersion", "missing"]);
    b.refuses("/ociVersion", json!("2.0.0"), &["ociVersion", "2.0.0"]);
    b.refuses("/ociVersion", json!(1), &["ociVersion"]);
    b.refuses("/process", gone.clone(), &["process", "missing"]);
    b.refuses("/process", json!("x"), &["process", "invalid type"]);
    b.refuses("/process/args", json!([]), &["process.args", "empty"]);
    b.refuses("/process/args", json!([""]), &["process.args[0]", "empty"]);
    b.refuses("/process/args", json!(["a", 7]), &["process.args[1]", "7"]);
    b.refuses("/process/args", json!(["a\u{0}b"]), &["process.args[0]", "NUL"]);
    b.refuses(
        "/process/args",
        json!(["x".repeat(7 << 20)]),
        &["process.args", "too many"],
    );
    b.refuses("/process/env", json!(["A=\u{0}"]), &["process.env[0]", "NUL"]);
    b.refuses("/process/cwd", json!("tmp"), &["process.cwd", "tmp", "absolute"]);
    b.refuses("/process/cwd", json!("/a/../b"), &["process.cwd", ".."]);
    b.refuses("/process/cwd", gone.clone(), &["process", "cwd"]);
    b.refuses("/process/user/uid", json!(-1), &["process.user.uid", "-1"]);
    b.refuses(
        "/process/rlimits",
        json!([{ "type": "RLIMIT_NOFILE", "soft": 5, "hard": u64::MAX }]),
        &["error: ", "process.rlimits[0].hard", "RLIMIT_NOFILE", "not permitted"],
    );
    b.refuses(
        "/process/capabilities",
        json!({ "inheritable": ["CAP_KILL", "CAP_SYS_ADMIN"], "bounding": ["CAP_KILL"] }),
        &["process.capabilities.inheritable", "CAP_SYS_ADMIN", "not permitted"],
    );
    b.refuses(
        "/process/user/uid",
        json!(4_294_967_295u32),
        &["process.user.uid", "4294967295"],
    );
    b.refuses("/process/user/uid", json!(1u64 << 40), &["process.user.uid"]);
    b.refuses("/process/user/umask", json!(0o1000), &["process.user.umask"]);
    b.refuses("/process/oomScoreAdj", json!(1001), &["process.oomScoreAdj", "1001"]);
    b.refuses("/process/terminal", json!("yes"), &["process.terminal", "yes"]);
    b.refuses("/root", gone.clone(), &["root", "missing"]);
    b.refuses(
        "/root/path",
        json!("nowhere"),
        &["root.path", "nowhere", "No such file or directory"],
    );
    b.refuses("/root/path", json!("config.json"), &["root.path", "not a directory"]);
    b.refuses("/root/path", json!(""), &["root.path", "empty"]);
    b.refuses("/root/path", json!("a\u{0}"), &["root.path", "NUL"]);
    b.refuses("/hostname", json!("h".repeat(65)), &["hostname"]);
    b.refuses(
        "/mounts/0/destination",
        json!("proc"),
        &["mounts[0].destination", "absolute"],
    );
    b.refuses(
        "/mounts/0/destination",
        json!("/../proc"),
        &["mounts[0].destination", ".."],
    );
    b.refuses(
        "/mounts/0/destination",
        json!(format!("/{}", "d".repeat(256))),
        &["mounts[0].destination", "255"],
    );
    b.refuses("/mounts/0/type", json!("ext4"), &["mounts[0].type", "ext4"]);
    b.refuses(
        "/mounts/0",
        json!({ "destination": "/x", "type": "bind" }),
        &["mounts[0].source", "missing"],
    );
    b.refuses(
        "/mounts/0",
        json!({ "destination": "/x", "type": "bind", "source": "/no/such" }),
        &["mounts[0].source", "/no/such", "No such file or directory"],
    );
    b.refuses(
        "/mounts/0",
        json!({ "destination": "/x", "type": "bind", "source": "/", "options": ["idmap"] }),
        &["mounts[0].options", "id-mapped"],
    );
    let rlimit = |typ: &str, soft: Value, hard: Value| json!([{ "type": typ, "soft": soft, "hard": hard }]);
    b.refuses(
        "/process/rlimits",
        rlimit("RLIMIT_NOFILE", json!(2), json!(1)),
        &["process.rlimits[0]", "soft"],
    );
    b.refuses(
        "/process/rlimits",
        rlimit("RLIMIT_NOPE", json!(1), json!(1)),
        &["process.rlimits[0].type", "RLIMIT_NOPE"],
    );
    b.refuses(
        "/process/rlimits",
        rlimit("RLIMIT_CPU", json!(-1), json!(1)),
        &["process.rlimits[0].soft"],
    );
    b.refuses(
        "/linux/namespaces",
        json!([{ "type": "pid" }, { "type": "pid" }]),
        &["linux.namespaces[1]", "twice"],
    );
    b.refuses(
        "/linux/namespaces",
        json!([{ "type": "network", "path": "x" }]),
        &["linux.namespaces[0].path"],
    );
    b.refuses(
        "/linux/namespaces",
        json!([{ "type": "user" }]),
        &["linux.uidMappings", "missing"],
    );
    b.refuses(
        "/linux/maskedPaths",
        json!(["../etc"]),
        &["linux.maskedPaths[0]", "../etc"],
    );
    b.refuses(
        "/linux/devices",
        json!([{ "path": "/dev/x", "type": "c", "major": -1 }]),
        &["linux.devices[0].major", "-1"],
    );
    b.refuses(
        "/linux/devices",
        json!([{ "path": "dev", "type": "c" }]),
        &["linux.devices[0].path"],
    );
    b.refuses(
        "/linux/cgroupsPath",
        json!("/a/../../../x"),
        &["linux.cgroupsPath", ".."],
    );
    b.refuses("/linux/sysctl", json!({ "net/../../x": "1" }), &["linux.sysctl", ".."]);
}

#[test]
fn not_a_configuration() {
    let b = Bundle::new();
    for (text, words) in [
        (&b""[..], ["config.json", "EOF"]),
        (b"{", ["config.json", "EOF"]),
        (b"[]", ["config.json", "object"]),
        (b"\xff\xfe", ["config.json", "line 1"]),
        (b"{\"ociVersion\": 1e999}", ["config.json", "out of range"]),
    ] {
        expect(&b.create_with(text), 1, &words);
        b.left_nothing();
    }
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    expect(&b.create_with(&deep), 1, &["config.json", "recursion"]);
    expect(
        &b.create_with(&vec![b' '; (16 << 20) + 1]),
        1,
        &["config.json", "larger than 16 MiB"],
    );
}

#[test]
fn no_bundle() {
    let b = Bundle::new();
    expect(
        &b.runsc(&["create", "c"]),
        1,
        &["config.json", "No such file or directory"],
    );
    expect(
        &b.runsc(&["run", "-b", "/no/where", "c"]),
        1,
        &["/no/where", "No such file or directory"],
    );
    fs::create_dir(b.dir.path().join("config.json")).unwrap();
    expect(&b.runsc(&["create", "c"]), 1, &["config.json", "not a regular file"]);
    b.left_nothing();
}

#[test]
fn ids() {
    let b = Bundle::new();
    fs::write(b.dir.path().join("config.json"), b.spec.to_string()).unwrap();
    for id in ["", ".", "..", "a/b", "../x", "a b", "a\nb", &"x".repeat(256)] {
        expect(&b.runsc(&["create", "--", id]), 1, &["invalid container id"]);
        expect(&b.runsc(&["state", "--", id]), 1, &["invalid container id"]);
    }
    for verb in ["state", "start", "kill", "delete"] {
        expect(&b.runsc(&[verb, "nobody"]), 1, &["container does not exist", "nobody"]);
    }
    let forced = b.runsc(&["delete", "--force", "nobody"]);
    assert_eq!(forced.status.code(), Some(0));
    b.left_nothing();
}

#[test]
fn command_line() {
    let b = Bundle::new();
    expect(&b.runsc(&["--platform=xen", "list"]), 1, &["xen", "systrap"]);
    expect(&b.runsc(&["--overlay2=root:dir=rel", "list"]), 1, &["root:dir"]);
    expect(&b.runsc(&["--no-such", "list"]), 1, &["--no-such"]);
    expect(&b.runsc(&["frobnicate"]), 1, &["frobnicate"]);
    expect(&b.runsc(&["create"]), 1, &["<ID>"]);
    expect(&b.runsc(&["kill", "c", "SIGNOPE"]), 1, &["SIGNOPE"]);
    expect(&b.runsc(&["do", "--uid", "me", "true"]), 1, &["--uid", "me"]);
    expect(&b.runsc(&["do", "--env", "=x", "true"]), 1, &["--env"]);
    expect(&b.runsc(&["do", "--volume", "/a", "true"]), 1, &["--volume", "/a"]);
    expect(&b.runsc(&["do", "--volume", "/no/such:/x", "true"]), 1, &["/no/such"]);
    expect(&b.runsc(&["do", "--root", "/no/such", "true"]), 1, &["/no/such"]);
    b.left_nothing();
}

#[test]
fn terminals() {
    let mut b = Bundle::new();
    set(&mut b.spec, "/process/terminal", json!(true));
    expect(&b.create_with(b.spec.to_string().as_bytes()), 1, &["console socket"]);
    expect(
        &b.runsc(&["create", "--console-socket", "/no/such", "c"]),
        1,
        &["console socket", "/no/such"],
    );
    b.left_nothing();
    set(&mut b.spec, "/process/terminal", json!(false));
    fs::write(b.dir.path().join("config.json"), b.spec.to_string()).unwrap();
    expect(
        &b.runsc(&["create", "--console-socket", "/x", "c"]),
        1,
        &["console socket"],
    );
    b.left_nothing();
}

#[test]
fn log_for_engines() {
    let b = Bundle::new();
    let log = b.dir.path().join("log.json");
    expect(
        &b.runsc(&[
            "--log-format",
            "json",
            "--log",
            log.to_str().unwrap(),
            "state",
            "nobody",
        ]),
        1,
        &["nobody"],
    );
    let line: Value = serde_json::from_str(fs::read_to_string(&log).unwrap().trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container does not exist: nobody");
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    expect(
        &b.runsc(&["--log", "/no/such/dir/log", "list"]),
        1,
        &["/no/such/dir/log"],
    );
}

#[test]
fn unwritable_state() {
    let b = Bundle::new();
    fs::write(b.dir.path().join("config.json"), b.spec.to_string()).unwrap();
    fs::write(b.state(), "a file").unwrap();
    expect(&b.runsc(&["create", "c"]), 1, &["state"]);
}

#[test]
fn broken_state_heals() {
    let b = Bundle::new();
    let dir = b.state().join("c");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("state.json"), "{ half").unwrap();
    assert_eq!(b.runsc(&["list"]).status.code(), Some(0));
    expect(&b.runsc(&["state", "c"]), 1, &["state.json"]);
    expect(&b.runsc(&["delete", "c"]), 1, &["state.json"]);
    assert_eq!(b.runsc(&["delete", "--force", "c"]).status.code(), Some(0));
    b.left_nothing();
}

#[test]
fn spec_is_written_once() {
    let b = Bundle::new();
    assert_eq!(b.runsc(&["spec"]).status.code(), Some(0));
    expect(&b.runsc(&["spec"]), 1, &["config.json", "exists"]);
    let spec: Value = serde_json::from_slice(&fs::read(b.dir.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(spec["process"]["terminal"], true);
    assert_eq!(spec["process"]["args"], json!(["sh"]));
}

#[test]
fn version_and_help() {
    let b = Bundle::new();
    let version = String::from_utf8(b.runsc(&["--version"]).stdout).unwrap();
    assert!(version.starts_with("runsc version "), "{version}");
    assert!(version.contains("\nspec: 1."), "{version}");
    assert_eq!(b.runsc(&["help"]).status.code(), Some(0));
    assert_eq!(b.runsc(&["create", "--help"]).status.code(), Some(0));
    let list = b.runsc(&["list"]);
    assert!(
        String::from_utf8(list.stdout)
            .unwrap()
            .starts_with("ID          PID         STATUS      BUNDLE")
    );
}

#[test]
fn permission() {
    // Nothing here is readable for others, which matters only to an ordinary user.
    let b = Bundle::new();
    let locked = b.dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(&locked).is_ok();
    if !readable {
        expect(
            &b.runsc(&["run", "-b", locked.to_str().unwrap(), "c"]),
            1,
            &["locked", "Permission denied"],
        );
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(Path::new(&locked).exists());
}
