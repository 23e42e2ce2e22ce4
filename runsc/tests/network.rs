//! `--network=host`: sockets of the network namespace that the configuration names. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{Bundle, code, wait_for};
use serde_json::json;

/// A namespace with loopback, for as long as this lives.
struct NetNs(String);

impl NetNs {
    fn new(name: &str) -> Self {
        let name = format!("runsc-{name}-{}", std::process::id());
        let ns = Self(name);
        ns.ip(&["netns", "add", &ns.0]);
        ns.ip(&["-n", &ns.0, "link", "set", "lo", "up"]);
        ns
    }

    fn ip(&self, args: &[&str]) {
        assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.0)
    }

    /// Runs a program of the host in it.
    fn python(&self, script: &str) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.0, "python3", "-c", script])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn python(b: &mut Bundle, script: &str) {
    b.spec["process"]["args"] = json!(["python3", "-c", script]);
}

/// Servers on TCP and UDP, IPv4 and IPv6, also below port 1024, are reached from outside the sandbox.
#[test]
fn servers() {
    let ns = NetNs::new("servers");
    let mut b = Bundle::new("");
    b.spec["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "network", "path": ns.path() }]);
    let all = json!(["CAP_NET_BIND_SERVICE"]);
    b.spec["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
    b.spec["linux"]["sysctl"] = json!({ "net.core.somaxconn": "77" });
    python(
        &mut b,
        "
import socket, select
t4 = socket.create_server(('127.0.0.1', 80))
t6 = socket.create_server(('::1', 81), family=socket.AF_INET6)
u4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u4.bind(('127.0.0.1', 53))
u6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u6.bind(('::1', 54))
open('/host/ready', 'w').close()
poll = select.epoll()
socks = {s.fileno(): s for s in (t4, t6, u4, u6)}
for fd in socks: poll.register(fd, select.EPOLLIN)
done = 0
while done < 4:
    for fd, _ in poll.poll():
        s = socks[fd]
        if s in (t4, t6):
            c, _ = s.accept()
            while data := c.recv(65536): c.sendall(data.upper())
            c.close()
        else:
            data, peer = s.recvfrom(2048)
            s.sendto(data.upper(), peer)
        done += 1
",
    );
    let mut command = b.command(&["--network=host", "run", "c"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the servers", || b.path("ready").exists());
    let got = ns.python(
        "
import socket
for family, host, port in ((socket.AF_INET, '127.0.0.1', 80), (socket.AF_INET6, '::1', 81)):
    c = socket.create_connection((host, port), 10)
    c.sendall(b'x' * 300000); c.shutdown(socket.SHUT_WR)
    data = b''
    while piece := c.recv(65536): data += piece
    print(data == b'X' * 300000)
for family, host, port in ((socket.AF_INET, '127.0.0.1', 53), (socket.AF_INET6, '::1', 54)):
    c = socket.socket(family, socket.SOCK_DGRAM); c.settimeout(10)
    c.sendto(b'query', (host, port)); print(c.recv(100))
print(open('/proc/sys/net/core/somaxconn').read().strip())
",
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0));
    assert_eq!(got, "True\nTrue\nb'QUERY'\nb'QUERY'\n77\n");
}

/// The guest's own rules still hold, and clients get out.
#[test]
fn clients() {
    let ns = NetNs::new("clients");
    let mut b = Bundle::new("");
    b.spec["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "network", "path": ns.path() }]);
    fs::write(
        b.path("server.py"),
        format!(
            "
import socket
s = socket.create_server(('127.0.0.1', 7000)); open('{}', 'w').close()
c, _ = s.accept(); print(c.recv(100).decode()); c.sendall(b'answer')
",
            b.path("ready").display()
        ),
    )
    .unwrap();
    let mut server = Command::new("ip")
        .args(["netns", "exec", &ns.0, "python3"])
        .arg(b.path("server.py"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the server", || b.path("ready").exists());
    python(
        &mut b,
        "
import socket, os
c = socket.create_connection(('127.0.0.1', 7000)); c.sendall(b'question'); print(c.recv(100).decode())
try: socket.create_connection(('127.0.0.1', 7001), 5)
except ConnectionRefusedError: print('refused')
try: socket.socket().bind(('127.0.0.1', 79))
except PermissionError: print('denied')
p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); p.settimeout(5)
p.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]) + b'hi', ('127.0.0.1', 0)); print(p.recv(100)[-2:])
try: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
except PermissionError: print('no raw')
try: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
except OSError: print('no sctp')
",
    );
    let output = b.runsc(&["--network=host", "run", "c"]);
    assert_eq!(code(&output), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "answer\nrefused\ndenied\nb'hi'\nno raw\nno sctp\n"
    );
    let _ = server.kill();
    let output = server.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "question\n");
}

/// Without the flag nothing gets out, whatever namespace is joined.
#[test]
fn none() {
    let ns = NetNs::new("none");
    let mut b = Bundle::new("");
    b.spec["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "network", "path": ns.path() }]);
    python(
        &mut b,
        "
import socket
s = socket.create_server(('127.0.0.1', 8000)); c = socket.create_connection(('127.0.0.1', 8000)); print('own loopback')
open('/host/ready', 'w').close()
import os, time
while not os.path.exists('/host/go'): time.sleep(0.05)
",
    );
    let mut command = b.command(&["run", "c"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the server", || b.path("ready").exists());
    let got = ns.python(
        "
import socket
try: socket.create_connection(('127.0.0.1', 8000), 5); print('reached')
except ConnectionRefusedError: print('refused')
",
    );
    fs::write(b.path("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "own loopback\n");
    assert_eq!(got, "refused\n");
}
