//! What engines and people do with a running container. Needs root.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::host::{Host, code, gone, record};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::{Value, json};

#[test]
fn exec_codes_and_streams() {
    let h = Host::new();
    h.sleeping();
    assert_eq!(h.says(&["exec", "a", "echo", "--help", "-d"]), "--help -d\n");
    assert_eq!(code(&h.runsc(&["exec", "a", "sh", "-c", "exit 7"])), Some(7));
    assert_eq!(code(&h.runsc(&["exec", "a", "sh", "-c", "kill -9 $$"])), Some(137));
    // More than any pipe holds, and nothing of it is lost.
    let mut child = h
        .command(&["exec", "a", "sh", "-c", "cat; echo end >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![b'x'; 3_000_000]).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(
        (output.stdout.len(), output.stderr.as_slice()),
        (3_000_000, b"end\n".as_slice())
    );
    // A process that lets go of its streams is not waited for by their reader.
    let script = "exec >&- 2>&- <&-; exec sleep 1000";
    let mut child = h
        .command(&["exec", "a", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut text = String::new();
    // runsc itself still has it; the guest's end is what counts, so it is ended first.
    child.kill().unwrap();
    child.wait().unwrap();
    pipe.read_to_string(&mut text).unwrap();
    // Whoever kills the host's process kills the guest's.
    h.wait_for("the end of the process", || {
        !h.says(&["ps", "a"]).contains("sleep 1000\n") || h.says(&["ps", "a"]).matches("sleep 1000").count() == 1
    });
    for (command, word) in [
        ("no-such", "executable file not found in $PATH"),
        ("/no/such", "no such file or directory"),
        ("/etc", "permission denied"),
    ] {
        let said = h.refuses(&["exec", "a", command], 255);
        assert!(
            said.contains(word) && said.contains(command) && said.lines().count() == 1,
            "{said}"
        );
    }
    assert!(h.refuses(&["exec", "nobody", "true"], 255).contains("does not exist"));
    h.says(&["delete", "--force", "a"]);
    h.left_nothing();
}

#[test]
fn exec_flags() {
    let h = Host::new();
    h.sleeping();
    let script = "id -u; id -g; id -G; echo $X; pwd; grep -E 'CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t'";
    let args = [
        "exec",
        "-u",
        "12:34",
        "-g",
        "56",
        "--env=X=y",
        "--cwd",
        "/tmp",
        "--no-new-privs",
        "-c",
        "CAP_SYS_BOOT",
    ];
    let wanted = "12\n34\n34 56\ny\n/tmp\nCapBnd:0000000000400000\nNoNewPrivs:1\n";
    assert_eq!(h.says(&[&args[..], &["a", "sh", "-c", script]].concat()), wanted);
    // Options behind the container's name, as some engines write them.
    assert_eq!(h.says(&["exec", "a", "--env", "X=z", "sh", "-c", "echo $X"]), "z\n");
    let process = json!({
        "args": ["sh", "-c", "echo $Y; id -u; pwd"], "env": ["Y=q", "PATH=/bin:/usr/bin"], "cwd": "/etc",
        "user": { "uid": 7, "gid": 7 }, "capabilities": null
    });
    fs::write(h.path("p.json"), process.to_string()).unwrap();
    assert_eq!(h.says(&["exec", "a", "--process", "p.json"]), "q\n7\n/etc\n");
    fs::write(h.path("p.json"), r#"{"args":["true"],"cwd":"rel"}"#).unwrap();
    assert!(h.refuses(&["exec", "-p", "p.json", "a"], 255).contains("p.json.cwd"));
    for (args, word) in [
        (vec!["exec", "a"], "--process"),
        (vec!["exec", "-u", "root", "a", "true"], "root"),
        (vec!["exec", "-e", "x", "a", "true"], "NAME=VALUE"),
        (vec!["exec", "--cwd", "/no/such", "a", "true"], "/no/such"),
        (vec!["exec", "--preserve-fds", "1000", "a", "true"], "preserve-fds"),
        (vec!["exec", "-d", "-t", "a", "true"], "tty"),
        (vec!["exec", "--console-socket", "s", "a", "true"], "console socket"),
    ] {
        assert!(h.refuses(&args, 255).contains(word), "{args:?}");
    }
    h.says(&["delete", "--force", "a"]);
    h.left_nothing();
}

#[test]
fn exec_on_some_processors() {
    let h = Host::new();
    h.sleeping();
    let mut process = json!({
        "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "env": ["PATH=/bin:/usr/bin"], "cwd": "/",
        "execCPUAffinity": { "initial": "0", "final": "0" }
    });
    fs::write(h.path("p.json"), process.to_string()).unwrap();
    assert_eq!(h.says(&["exec", "-p", "p.json", "a"]), "Cpus_allowed_list:\t0\n");
    for (list, word) in [("0-", "p.json.execCPUAffinity.final"), ("8000-8100", "execCPUAffinity")] {
        process["execCPUAffinity"]["final"] = json!(list);
        fs::write(h.path("p.json"), process.to_string()).unwrap();
        let error = h.refuses(&["exec", "-p", "p.json", "a"], 255);
        assert!(error.contains(word), "{error}");
    }
    h.says(&["delete", "--force", "a"]);
    h.left_nothing();
}

#[test]
fn exec_under_the_profile() {
    let h = Host::new();
    h.bundle("exec sleep 1000");
    let mut spec: Value = serde_json::from_slice(&fs::read(h.path("config.json")).unwrap()).unwrap();
    spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }]
    });
    fs::write(h.path("config.json"), spec.to_string()).unwrap();
    assert_eq!(h.detached(&["run", "-d", "a"]), Some(0));
    fs::write(
        h.path("p.json"),
        r#"{"args":["mkdir","/tmp/x"],"cwd":"/","env":["PATH=/bin:/usr/bin"]}"#,
    )
    .unwrap();
    for args in [&["exec", "a", "mkdir", "/tmp/x"][..], &["exec", "-p", "p.json", "a"]] {
        assert!(h.refuses(args, 1).contains("not implemented"));
    }
    h.says(&["delete", "-f", "a"]);
    h.left_nothing();
}

/// Makes this process the heir of what its children leave.
fn become_subreaper() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

fn detached(h: &Host, script: &str) -> i32 {
    let pid_file = h.path("exec.pid");
    let pid_file = pid_file.to_str().unwrap();
    let status = h
        .command(&["exec", "--detach", "--pid-file", pid_file, "a", "sh", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    fs::read_to_string(pid_file).unwrap().parse().unwrap()
}

fn reap(pid: i32) -> std::process::ExitStatus {
    let pid = rustix::process::Pid::from_raw(pid);
    let (_, status) = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
        .unwrap()
        .unwrap();
    std::process::ExitStatus::from_raw(status.as_raw())
}

#[test]
fn the_host_process_of_an_exec() {
    become_subreaper();
    let h = Host::new();
    h.sleeping();
    assert_eq!(reap(detached(&h, "exit 9")).code(), Some(9));
    assert_eq!(reap(detached(&h, "kill -USR1 $$")).signal(), Some(10));
    // In the container's cgroup; signals to it are the guest's.
    let pid = detached(
        &h,
        "trap 'exit 5' TERM; echo >/host/ready; while :; do sleep 0.05; done",
    );
    h.wait_for("the process", || h.path("ready").exists());
    let group = h.cgroup();
    h.wait_for("the cgroup", || {
        fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .unwrap()
            .contains(&group)
    });
    Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert_eq!(reap(pid).code(), Some(5));
    // Its death is the guest's.
    let pid = detached(&h, "exec sleep 4321");
    h.wait_for("the process", || h.says(&["ps", "a"]).contains("sleep 4321"));
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert_eq!(reap(pid).signal(), Some(9));
    h.wait_for("the end of the process", || {
        !h.says(&["ps", "a"]).contains("sleep 4321")
    });
    // It ends with the container, whose own ends as it was killed too.
    let pid = detached(&h, "exec sleep 4321");
    let first = i32::try_from(h.state("a")["pid"].as_i64().unwrap()).unwrap();
    h.says(&["kill", "a", "KILL"]);
    assert_eq!(reap(pid).signal(), Some(9));
    assert_eq!(reap(first).signal(), Some(9));
    h.wait_for("the stop", || h.state("a")["status"] == "stopped");
    assert!(h.refuses(&["exec", "a", "true"], 255).contains("stopped"));
    h.says(&["delete", "a"]);
    h.left_nothing();
}

#[test]
fn preserved_descriptors() {
    let h = Host::new();
    h.sleeping();
    fs::write(h.path("in"), "text").unwrap();
    let runsc = env!("CARGO_BIN_EXE_runsc");
    let script = format!(
        "exec {runsc} --root {} exec --preserve-fds 2 a sh -c 'cat <&4; ls /proc/self/fd' 3</dev/null 4<{}",
        h.path("state").display(),
        h.path("in").display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(code(&output), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "text0\n1\n2\n3\n4\n5\n");
    h.says(&["delete", "-f", "a"]);
    h.left_nothing();
}

/// Takes the terminal that is sent to a console socket.
fn take_terminal(listener: &std::os::unix::net::UnixListener) -> File {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let (connection, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buf = [0; 64];
    let mut slices = [std::io::IoSliceMut::new(&mut buf)];
    rustix::net::recvmsg(&connection, &mut slices, &mut control, RecvFlags::empty()).unwrap();
    let fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|m| match m {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    File::from(fds.into_iter().next().unwrap())
}

fn read_until(terminal: &mut File, word: &str) -> String {
    let mut seen = String::new();
    let mut buf = [0; 4096];
    while !seen.contains(word) {
        let mut polled = [PollFd::new(terminal, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 120,
            tv_nsec: 0,
        };
        let ready = rustix::event::poll(&mut polled, Some(&patience)).unwrap();
        assert!(ready > 0, "waited in vain for {word:?} after {seen:?}");
        match terminal.read(&mut buf) {
            Ok(n) if n > 0 => seen.push_str(&String::from_utf8_lossy(&buf[..n])),
            other => panic!("{other:?} after {seen:?}, waiting for {word:?}"),
        }
    }
    seen
}

#[test]
fn a_terminal_for_exec() {
    become_subreaper();
    let h = Host::new();
    h.sleeping();
    let socket = h.path("console");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let pid_file = h.path("exec.pid");
    let args = [
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        socket.to_str().unwrap(),
        "--pid-file",
        pid_file.to_str().unwrap(),
    ];
    assert_eq!(h.detached_plain(&[&args[..], &["a", "sh"]].concat()), Some(0));
    let mut terminal = take_terminal(&listener);
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    terminal
        .write_all(b"stty -echo; tty; test -t 2 && echo yes-$((40+2))\n")
        .unwrap();
    assert!(read_until(&mut terminal, "yes-42").contains("/dev/pts/"));
    // Changes of size are seen, with their signal.
    terminal
        .write_all(b"trap 'echo changed; stty size' WINCH; echo set-$((1+1))\n")
        .unwrap();
    read_until(&mut terminal, "set-2");
    let size = rustix::termios::Winsize {
        ws_row: 33,
        ws_col: 99,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&terminal, size).unwrap();
    // A shell at its prompt looks at traps when a line comes.
    let mut seen = String::new();
    for _ in 0..1200 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        terminal.write_all(b"echo next\n").unwrap();
        seen += &read_until(&mut terminal, "next");
        if seen.contains("33 99") {
            break;
        }
    }
    assert!(seen.contains("changed") && seen.contains("33 99"), "{seen}");
    // ^C interrupts, the shell goes on; much output at the end is not lost.
    terminal.write_all(b"sleep 1000\n").unwrap();
    h.wait_for("sleep", || h.says(&["ps", "a"]).matches("sleep 1000").count() == 2);
    terminal.write_all(b"\x03").unwrap();
    terminal.write_all(b"echo on-$((2+3))\n").unwrap();
    read_until(&mut terminal, "on-5");
    terminal
        .write_all(b"i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 3\n")
        .unwrap();
    let mut rest = Vec::new();
    // A hung-up terminal gives EIO.
    let _ = terminal.read_to_end(&mut rest);
    assert!(
        String::from_utf8_lossy(&rest).ends_with("line 2999\r\n"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    assert_eq!(reap(pid).code(), Some(3));
    // Whoever closes the terminal hangs up.
    assert_eq!(
        h.detached_plain(&[&args[..], &["a", "sleep", "4321"]].concat()),
        Some(0)
    );
    let pid: i32 = fs::read_to_string(h.path("exec.pid")).unwrap().parse().unwrap();
    drop(take_terminal(&listener));
    assert_eq!(reap(pid).signal(), Some(1));
    h.says(&["delete", "-f", "a"]);
    h.left_nothing();
}

#[test]
fn ps_names_host_processes() {
    let h = Host::new();
    h.sleeping();
    let pids: Vec<i32> = serde_json::from_str(&h.says(&["ps", "--format", "json", "a"])).unwrap();
    assert_eq!(pids.len(), 1);
    let title = fs::read_to_string(format!("/proc/{}/cmdline", pids[0])).unwrap();
    assert_eq!(title.trim_end_matches('\0'), "sleep 1000");
    let table = h.says(&["ps", "a", "-o", "pid,args", "-A"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.lines().nth(1).unwrap().trim().ends_with("sleep 1000"), "{table}");
    assert!(h.refuses(&["ps", "a", "-o", "args"], 1).contains("PID"));
    h.says(&["delete", "-f", "a"]);
    h.left_nothing();
}

#[test]
fn paused_and_resumed() {
    let h = Host::new();
    h.sleeping();
    let script = "while :; do echo x >>/host/log; sleep 0.01; done";
    let mut busy = h.command(&["exec", "a", "sh", "-c", script]).spawn().unwrap();
    let size = || fs::metadata(h.path("log")).map_or(0, |m| m.len());
    h.wait_for("work", || size() > 0);
    h.says(&["pause", "a"]);
    assert_eq!(h.state("a")["status"], "paused");
    let before = size();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(size(), before);
    assert!(h.refuses(&["pause", "a"], 1).contains("paused"));
    assert!(h.refuses(&["exec", "a", "true"], 255).contains("paused"));
    assert!(h.refuses(&["delete", "a"], 1).contains("paused"));
    // A newcomer waits with the others.
    let mut late = h
        .command(&["exec", "--ignore-paused", "a", "touch", "/host/late"])
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!h.path("late").exists());
    h.says(&["resume", "a"]);
    assert_eq!(h.state("a")["status"], "running");
    assert!(late.wait().unwrap().success() && h.path("late").exists());
    h.wait_for("more work", || size() > before);
    assert!(h.refuses(&["resume", "a"], 1).contains("not paused"));
    // Another signal waits for the thaw; KILL does not.
    h.says(&["pause", "a"]);
    h.says(&["kill", "a", "KILL"]);
    h.wait_for("the stop", || h.state("a")["status"] == "stopped");
    assert_eq!(busy.wait().unwrap().code(), Some(137));
    assert!(h.refuses(&["resume", "a"], 1).contains("stopped"));
    h.says(&["delete", "a"]);
    h.left_nothing();
}

#[test]
fn wait_tells_how_it_ended() {
    let h = Host::new();
    h.bundle("read x </host/go; exit 6");
    let fifo = h.path("go");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(h.detached(&["run", "-d", "a"]), Some(0));
    let waiting = h.command(&["wait", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    h.wait_for("the reader", || h.says(&["exec", "a", "true"]).is_empty());
    // The guest's pipes are its kernel's own: it is told from inside.
    // The end of the container may overtake that of the teller.
    h.runsc(&["exec", "a", "sh", "-c", "echo >/host/go"]);
    let output = waiting.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer, json!({ "id": "a", "exitStatus": 6 }));
    // Also afterwards.
    assert_eq!(serde_json::from_str::<Value>(&h.says(&["wait", "a"])).unwrap(), answer);
    h.says(&["delete", "a"]);
    assert!(h.refuses(&["wait", "a"], 1).contains("does not exist"));
    h.left_nothing();
}

fn limit(h: &Host, controller: &str, v1: &str, v2: &str) -> Option<String> {
    let v1 = format!("/sys/fs/cgroup/{controller}{}/{v1}", h.cgroup());
    let v2 = format!("/sys/fs/cgroup{}/{v2}", h.cgroup());
    let text = fs::read_to_string(v1).or_else(|_| fs::read_to_string(v2));
    text.ok().map(|t| t.trim().to_owned())
}

#[test]
fn limits_are_changed() {
    let h = Host::new();
    h.sleeping();
    h.says(&["update", "--memory", "128M", "--pids-limit=4", "a"]);
    // Three at once beside the first process and the shell are too many.
    let script = "exec >/dev/null 2>/host/err; sleep 1 & sleep 1 & sleep 1 & wait";
    h.refuses(&["exec", "a", "sh", "-c", script], 2);
    assert!(fs::read_to_string(h.path("err")).unwrap().contains("fork"));
    if let Some(limit) = limit(&h, "memory", "memory.limit_in_bytes", "memory.max") {
        assert_eq!(limit, (128u64 << 20).to_string());
    }
    let mut child = h
        .command(&["update", "--resources", "-", "a"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let json = json!({ "memory": { "limit": 256 << 20, "swap": null }, "cpu": { "shares": 512, "quota": 20000, "period": 40000 }, "pids": { "limit": -1 } });
    child
        .stdin
        .take()
        .unwrap()
        .write_all(json.to_string().as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    h.says(&["exec", "a", "sh", "-c", "sleep 0 & sleep 0 & sleep 0 & sleep 0 & wait"]);
    if let Some(limit) = limit(&h, "memory", "memory.limit_in_bytes", "memory.max") {
        assert_eq!(limit, (256u64 << 20).to_string());
    }
    if let Some(quota) = limit(&h, "cpu", "cpu.cfs_quota_us", "cpu.max") {
        assert_eq!(quota.split(' ').next(), Some("20000"));
    }
    for (args, word) in [
        (vec!["update", "--memory", "much", "a"], "memory"),
        (vec!["update", "--cpuset-cpus", "9999", "a"], "cpus"),
        (vec!["update", "--resources", "no-such-file", "a"], "no-such-file"),
        (vec!["update", "--memory", "1G", "nobody"], "does not exist"),
    ] {
        let said = h.refuses(&args, 1);
        assert!(said.contains(word) && !said.contains("config.json"), "{said}");
    }
    h.says(&["delete", "-f", "a"]);
    h.left_nothing();
}

#[test]
fn a_group_for_those_without() {
    let h = Host::new();
    h.bundle("exec sleep 1000");
    assert_eq!(h.detached(&["run", "-d", "a"]), Some(0));
    h.says(&["exec", "a", "true"]);
    h.says(&["update", "--memory", "256M", "a"]);
    let stats: Value = serde_json::from_str(&h.says(&["events", "--stats", "a"])).unwrap();
    assert_eq!(
        (stats["type"].as_str(), stats["id"].as_str()),
        (Some("stats"), Some("a"))
    );
    assert!(stats["data"]["pids"]["current"].as_u64().unwrap() > 2, "{stats}");
    let state: Value = serde_json::from_slice(&fs::read(h.path("state/a/state.json")).unwrap()).unwrap();
    let groups = state["cgroup"]["made"].as_array().unwrap().clone();
    assert!(!groups.is_empty());
    h.says(&["delete", "-f", "a"]);
    assert!(!groups.iter().any(|g| fs::exists(g.as_str().unwrap()).unwrap()));
    h.left_nothing();
}

#[test]
fn events_stream_until_the_end() {
    let h = Host::new();
    h.sleeping();
    let mut child = h
        .command(&["events", "--interval", "50ms", "a"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut buf = [0; 1];
    pipe.read_exact(&mut buf).unwrap();
    h.says(&["kill", "a", "KILL"]);
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let text = format!("{{{rest}");
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["data"]["memory"]["usage"]["usage"].as_u64().is_some(), "{event}");
    }
    h.wait_for("the stop", || h.state("a")["status"] == "stopped");
    assert!(h.refuses(&["events", "--stats", "a"], 1).contains("not running"));
    h.says(&["delete", "a"]);
    h.left_nothing();
}

#[test]
fn the_stopped_answer_cleanly() {
    let h = Host::new();
    h.bundle("true");
    assert_eq!(h.detached(&["run", "-d", "a"]), Some(0));
    h.wait_for("the stop", || h.state("a")["status"] == "stopped");
    for args in [&["kill", "a", "9"][..], &["pause", "a"]] {
        assert!(h.refuses(args, 1).contains("container not running"));
    }
    h.says(&["kill", "--all", "a", "9"]);
    assert_eq!(h.says(&["ps", "-f", "json", "a"]), "[]\n");
    assert_eq!(h.state("a")["pid"], 0);
    for args in [&["checkpoint", "--image-path", "x", "a"][..], &["restore", "a"]] {
        assert!(h.refuses(args, 1).contains("not supported"));
    }
    h.says(&["checkpoint", "--help"]);
    h.says(&["delete", "a"]);
    h.says(&["delete", "--force", "a"]);
    assert!(h.refuses(&["delete", "a"], 1).contains("does not exist"));
    h.left_nothing();
}

#[test]
fn what_engines_read() {
    let h = Host::new();
    let version = h.says(&["--version"]);
    assert!(
        version.starts_with("runsc version ") && version.contains("\nspec: 1."),
        "{version}"
    );
    let features: Value = serde_json::from_str(&h.says(&["features"])).unwrap();
    assert!(
        features["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .contains(&json!("network"))
    );
    assert!(features["mountOptions"].as_array().unwrap().contains(&json!("rbind")));
    // Flags of the shim, in its order; a failure is told in the log.
    let log = h.path("log.json");
    let log = log.to_str().unwrap();
    h.refuses(
        &[
            "--log",
            log,
            "--log-format",
            "json",
            "--systemd-cgroup=false",
            "--debug=false",
            "state",
            "nobody",
        ],
        1,
    );
    let text = fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist"));
}

#[test]
fn killed_sandbox() {
    let h = Host::new();
    h.sleeping();
    let mut exec = h.command(&["exec", "a", "sleep", "1000"]).spawn().unwrap();
    h.wait_for("the process", || {
        h.says(&["ps", "a"]).matches("sleep 1000").count() == 2
    });
    let sandbox = record(h.dir.path(), "a", "sandbox");
    Command::new("kill")
        .args(["-KILL", &sandbox.to_string()])
        .status()
        .unwrap();
    h.wait_for("the end", || gone(sandbox));
    assert_eq!(exec.wait().unwrap().code(), Some(137));
    assert_eq!(h.state("a")["status"], "stopped");
    assert!(h.says(&["wait", "a"]).contains("137"));
    h.says(&["delete", "a"]);
    h.left_nothing();
}
