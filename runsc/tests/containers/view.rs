//! What those see who enter the mount namespace of a container's process, and what its kernel does not see of it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::Host;

/// A running container `a` whose files are a directory of the test's own.
fn with_own_files() -> (Host, String) {
    let h = Host::new();
    for name in ["bin", "proc", "tmp", "volume"] {
        fs::create_dir_all(h.path("rootfs").join(name)).unwrap();
    }
    fs::create_dir(h.path("shared")).unwrap();
    fs::copy("/bin/busybox", h.path("rootfs/bin/sh")).unwrap();
    h.bundle("echo up >/volume/up; while :; do sleep 1; done");
    let mut spec: Value = serde_json::from_slice(&fs::read(h.path("config.json")).unwrap()).unwrap();
    spec["root"] = json!({ "path": "rootfs" });
    spec["mounts"] = json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" },
        { "destination": "/volume", "type": "bind", "source": h.path("shared"), "options": ["rbind"] }
    ]);
    fs::write(h.path("config.json"), spec.to_string()).unwrap();
    assert_eq!(h.detached_plain(&["run", "-d", "a"]), Some(0));
    h.wait_for("the guest", || h.path("shared/up").exists());
    let pid = h.state("a")["pid"].to_string();
    (h, pid)
}

/// Standard output of a command of the host in the mount namespace of the process.
fn inside(pid: &str, command: &str) -> String {
    let script = "exec nsenter --mount=/proc/$0/ns/mnt /bin/sh -c \"$1\"";
    let output = Command::new("sh").args(["-c", script, pid, command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn engines_find_the_containers_files() {
    let (h, pid) = with_own_files();
    assert_eq!(inside(&pid, "echo /*"), "/bin /dev /proc /tmp /volume\n");
    assert_eq!(
        inside(&pid, "cat() { read -r x <$1; echo $x; }; cat /volume/up"),
        "up\n"
    );
    assert_eq!(inside(&pid, "echo in >/new; echo in >/volume/new; echo done"), "done\n");
    assert_eq!(fs::read_to_string(h.path("rootfs/new")).unwrap(), "in\n");
    assert_eq!(fs::read_to_string(h.path("shared/new")).unwrap(), "in\n");
    // The guest's own tmpfs is not there, and nothing is lost in what it hides.
    assert_eq!(inside(&pid, "echo lost >/tmp/lost || echo refused"), "refused\n");
    assert!(!h.path("rootfs/tmp/lost").exists());
    assert_eq!(h.runsc(&["delete", "-f", "a"]).status.code(), Some(0));
    h.left_nothing();
}

#[test]
fn its_procfs_has_the_guests_processes_only() {
    let (h, pid) = with_own_files();
    let all = "for p in /proc/[0-9]*; do test -e $p/stat && read -r a b c <$p/stat && echo $a; done";
    let seen = inside(&pid, all);
    let mut inner = String::new();
    for host in h
        .says(&["ps", "-f", "json", "a"])
        .trim()
        .trim_matches(['[', ']'])
        .split(',')
    {
        let status = fs::read_to_string(format!("/proc/{host}/status")).unwrap();
        let numbers = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
        inner += &format!("{}\n", numbers.split_whitespace().last().unwrap());
    }
    assert!(!seen.is_empty());
    for number in seen.lines() {
        assert!(
            inner.lines().any(|line| line == number),
            "{number} is not among {inner:?}"
        );
    }
    assert_eq!(inside(&pid, "echo /proc/1/*"), "/proc/1/*\n");
    assert_eq!(
        inside(&pid, "echo x >/proc/sys/vm/drop_caches || echo refused"),
        "refused\n"
    );
    h.runsc(&["delete", "-f", "a"]);
}

/// DESIGN S4: what is mounted there does not reach the Sentry nor any process of the guest.
#[test]
fn the_sandbox_sees_nothing_of_it() {
    let (h, pid) = with_own_files();
    let helpers = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let processes = std::iter::once(pid.as_str()).chain(helpers.split_whitespace());
    for process in processes {
        for place in ["root", "cwd", "root/..", "root/../.."] {
            let path = format!("/proc/{process}/{place}");
            let list: Vec<_> = fs::read_dir(&path).unwrap().flatten().map(|e| e.file_name()).collect();
            assert!(list.is_empty(), "{path}: {list:?}");
        }
        // No mount of its namespace can be named from its root.
        assert_eq!(fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap(), "");
        // A directory that it has open hangs nowhere.
        for fd in fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten() {
            if fd.path().is_dir() {
                let up = fd.path().join("..");
                let ids = |path: &std::path::Path| {
                    use std::os::unix::fs::MetadataExt;
                    fs::metadata(path).map(|m| (m.dev(), m.ino())).unwrap()
                };
                assert_eq!(ids(&up), ids(&fd.path()), "{}", fd.path().display());
            }
        }
    }
    assert_eq!(h.runsc(&["delete", "-f", "a"]).status.code(), Some(0));
}
