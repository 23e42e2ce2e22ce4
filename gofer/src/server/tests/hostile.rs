use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use zerocopy::IntoBytes;

use super::{Fixture, pair, path_fd};
use crate::client::open;
use crate::proto::message::Op;
use crate::proto::wire::{self, Reader};
use crate::proto::{MAX_MESSAGE, ReplyHeader, RequestHeader};
use crate::server::{MountConfig, Server, ServerConfig, connection};

/// xorshift64*: the same run every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn serve_one(root: &std::path::Path) -> (Server, std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    let mounts = vec![MountConfig {
        root: path_fd(root),
        readonly: false,
        devices: false,
    }];
    let server = Server::new(
        mounts,
        &ServerConfig {
            max_nodes: 500,
            fd_budget: 20,
            ..ServerConfig::default()
        },
    )
    .unwrap();
    let (ours, theirs) = pair();
    (server, ours, theirs)
}

#[test]
fn broken_framing_ends_the_connection() {
    let f = Fixture::new();
    let framing: [&[u8]; 4] = [
        b"x",
        &[0; 16],
        RequestHeader {
            size: 15,
            op: 3,
            pad: 0,
            id: 1,
        }
        .as_bytes(),
        &vec![0xff; MAX_MESSAGE + 1],
    ];
    for bytes in framing {
        let (server, ours, theirs) = serve_one(&f.root);
        std::thread::scope(|scope| {
            scope.spawn(move || connection::run(&server, theirs.as_fd()));
            send(&ours, bytes, SendFlags::NOSIGNAL).unwrap();
            let mut buf = [0_u8; 64];
            assert_eq!(recv(&ours, &mut buf[..], RecvFlags::empty()).unwrap().1, 0);
        });
    }
}

#[test]
fn unknown_and_refused_operations_are_answered() {
    let f = Fixture::new();
    let (server, ours, theirs) = serve_one(&f.root);
    std::thread::scope(|scope| {
        let (server, theirs) = (&server, &theirs);
        scope.spawn(move || connection::run(server, theirs.as_fd()));
        for (op, errno) in [
            (999, abi::Errno::ENOSYS),
            (Op::Connect.raw(), abi::Errno::ECONNREFUSED),
            (3, abi::Errno::EPROTO),
        ] {
            let header = RequestHeader {
                size: 16,
                op,
                pad: 0,
                id: 77,
            };
            send(&ours, header.as_bytes(), SendFlags::NOSIGNAL).unwrap();
            let mut buf = [0_u8; 64];
            let (_, len) = recv(&ours, &mut buf[..], RecvFlags::empty()).unwrap();
            let reply: ReplyHeader = Reader::new(&buf[..len]).fixed().unwrap();
            assert_eq!((reply.size, reply.errno, reply.id), (16, u32::from(errno.raw()), 77));
        }
        drop(ours);
    });
}

/// Random requests: half of them well-formed but for their values, half damaged. The server must answer each with a reply
/// that fits, and change nothing outside its root.
#[test]
fn random_messages_do_no_harm() {
    let f = Fixture::new();
    fs::create_dir_all(f.root.join("a/b")).unwrap();
    fs::write(f.root.join("a/x"), "x").unwrap();
    symlink(&f.base, f.root.join("s")).unwrap();
    let (server, _ours, _theirs) = serve_one(&f.root);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut reply = Vec::new();
    server.attach(Reader::new(&[0; 4]), &mut reply).unwrap();
    let mut nodes: Vec<u64> = vec![Reader::new(&reply).fixed().unwrap()];
    let names: [&[u8]; 12] = [
        b"a",
        b"b",
        b"x",
        b"s",
        b"..",
        b".",
        b"",
        b"n1",
        b"n2",
        b"a/b",
        b"../secret",
        &[b'l'; 300],
    ];
    for _ in 0..60_000 {
        let op = u16::try_from(1 + random.below(24)).unwrap();
        let mut body = Vec::new();
        let node = nodes[usize::try_from(random.below(u64::try_from(nodes.len()).unwrap())).unwrap()];
        let node = if random.below(10) == 0 { random.next() } else { node };
        wire::put(&mut body, &node);
        for _ in 0..random.below(8) {
            // Small numbers are flags and counts that mean something; large ones are nonsense.
            let word = match random.below(4) {
                0 => random.next(),
                1 => node,
                _ => random.below(16),
            };
            wire::put(&mut body, &word);
        }
        for _ in 0..random.below(3) {
            let name = names[usize::try_from(random.below(12)).unwrap()];
            if random.below(2) == 0 {
                wire::put_name(&mut body, name);
            } else {
                body.extend_from_slice(name);
            }
        }
        if random.below(2) == 0 {
            body.truncate(usize::try_from(random.below(u64::try_from(body.len()).unwrap() + 1)).unwrap());
        }
        reply.clear();
        let Some(op) = Op::from_raw(op) else { continue };
        // Sync is the host's work, and slow.
        if matches!(op, Op::Fsync | Op::Syncfs) {
            continue;
        }
        let done = server.handle_request(op, Reader::new(&body), &mut reply);
        assert!(reply.len() <= MAX_MESSAGE);
        if done.is_ok()
            && matches!(
                op,
                Op::Walk | Op::Mkdir | Op::Create | Op::Open | Op::Link | Op::Tmpfile | Op::Mknod | Op::Symlink
            )
        {
            let mut r = Reader::new(&reply);
            if op == Op::Walk {
                r.bytes(16).unwrap();
            }
            if let Ok(id) = r.fixed::<u64>()
                && nodes.len() < 200
            {
                nodes.push(id);
            }
        }
    }
    let mut outside: Vec<_> = fs::read_dir(&f.base).unwrap().map(|e| e.unwrap().file_name()).collect();
    outside.sort();
    assert_eq!(outside, ["root", "secret"]);
    assert_eq!(fs::read(f.base.join("secret")).unwrap(), b"secret");
}

#[test]
fn threads_share_the_pool() {
    let f = Fixture::new();
    std::thread::scope(|scope| {
        for t in 0..6 {
            let f = &f;
            scope.spawn(move || {
                for i in 0..200 {
                    let name = format!("{t}-{i}");
                    let made = f
                        .client
                        .create(f.top, name.as_bytes(), open::WRITE, 0o644, 0, 0)
                        .unwrap();
                    f.client.forget(made.node);
                    f.client
                        .rename((f.top, name.as_bytes()), (f.top, format!("r{name}").as_bytes()), 0)
                        .unwrap();
                    f.client.unlink(f.top, format!("r{name}").as_bytes(), 0).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_dir(&f.root).unwrap().count(), 0);
}
