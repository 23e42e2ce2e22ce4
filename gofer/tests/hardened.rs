//! A Gofer as it runs in a sandbox: a process of its own, hardened, its seccomp list in force, serving every operation.

#![expect(
    clippy::unwrap_used,
    reason = "a test: the helper functions are outside of test functions"
)]

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use gofer::client::{SetAttr, TimeSet, open, rename, unlink};
use gofer::{Client, MountConfig, ServerConfig};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

const ROLE: &str = "GOFER_TEST_ROOT";

/// The other process: this test binary again. Its standard input is the connection.
#[test]
fn child_process() {
    let Ok(root) = std::env::var(ROLE) else { return };
    let conn = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    // The only copy: closing it must be seen by the other side.
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null").unwrap()).unwrap();
    let path = |p: &str| rustix::fs::openat(CWD, p, OFlags::PATH, Mode::empty()).unwrap();
    let mounts = vec![MountConfig {
        root: path(&root),
        readonly: false,
        devices: false,
    }];
    if std::env::var("GOFER_TEST_BREAK").is_ok() {
        gofer::harden::harden().unwrap();
        gofer::harden::install_filter().unwrap();
        let _killed = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None);
        std::process::exit(0);
    }
    gofer::harden::harden().unwrap();
    gofer::serve(
        vec![conn],
        mounts,
        &ServerConfig {
            seccomp: true,
            fd_budget: 16,
            ..ServerConfig::default()
        },
    )
    .unwrap();
    std::process::exit(42);
}

fn start(root: &std::path::Path, broken: bool) -> (Child, OwnedFd) {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_process", "--nocapture"])
        .env(ROLE, root)
        .stdin(theirs);
    if broken {
        command.env("GOFER_TEST_BREAK", "1");
    }
    (command.spawn().unwrap(), ours)
}

#[test]
fn every_operation_passes_the_list() {
    let root = std::env::temp_dir().join(format!("gofer-hardened-{}", std::process::id()));
    fs::create_dir_all(&root).unwrap();
    let (mut child, conn) = start(&root, false);
    let c = Client::new(vec![conn]);
    let top = c.attach(0).unwrap().node;
    let made = c.create(top, b"x", open::READ | open::WRITE, 0o640, 3, 4).unwrap();
    let mut file = fs::File::from(made.fd);
    file.write_all(b"data").unwrap();
    let t = c.tmpfile(top, open::READ | open::WRITE, 0o600, 0, 0).unwrap();
    c.link(t.node, top, b"t").unwrap();
    let d = c.mkdir(top, b"d", 0o2755, 5, 6).unwrap().entry.node;
    c.mknod(top, b"p", 0o010_600, 0, 7, 8).unwrap();
    let s = c.symlink(top, b"s", b"x", 9, 9).unwrap().entry.node;
    c.link(made.node, d, b"y").unwrap();
    assert_eq!(c.readlink(s).unwrap(), b"x");
    let all = SetAttr {
        mode: Some(0o644),
        uid: Some(1),
        gid: Some(2),
        size: Some(2),
        atime: Some(TimeSet::Now),
        mtime: Some(TimeSet::Now),
    };
    assert_eq!(c.setattr(made.node, &all).unwrap().size, 2);
    c.rename((top, b"x"), (d, b"x"), 0).unwrap();
    c.rename((d, b"x"), (d, b"y"), rename::EXCHANGE).unwrap();
    // What a file system refuses is no failure here: that the process lives on is the point.
    let _ = c.setxattr(made.node, b"user.a", b"v", 0);
    let _ = c.getxattr(made.node, b"user.a", 10);
    let _ = c.getxattr_len(made.node, b"user.a");
    let _ = c.listxattr(made.node);
    let _ = c.removexattr(made.node, b"user.a");
    c.statfs(top).unwrap();
    c.fsync(made.node, false).unwrap();
    c.fsync(made.node, true).unwrap();
    c.syncfs(top).unwrap();
    for i in 0..1000 {
        c.forget(
            c.create(d, format!("many{i}").as_bytes(), open::WRITE, 0o600, 0, 0)
                .unwrap()
                .node,
        );
    }
    let mut seen = 0;
    let mut cookie = 0;
    loop {
        let page = c.readdir(d, cookie).unwrap();
        seen += page.entries.len();
        match page.entries.last() {
            Some(last) if !page.eof => cookie = last.cookie,
            _ => break,
        }
    }
    assert_eq!(seen, 1002);
    let mut text = String::new();
    let opened = c.open_child(d, b"x", open::READ).unwrap();
    fs::File::from(opened.fd).read_to_string(&mut text).unwrap();
    assert_eq!(text, "da");
    c.unlink(top, b"t", unlink::KEEP).unwrap();
    assert_eq!(c.getattr(t.node).unwrap().nlink, 0);
    c.flush_forgotten().unwrap();
    drop(c);
    assert_eq!(child.wait().unwrap().code(), Some(42));
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn anything_else_kills() {
    let (mut child, _conn) = start(&std::env::temp_dir(), true);
    assert_eq!(child.wait().unwrap().signal(), Some(31));
}
