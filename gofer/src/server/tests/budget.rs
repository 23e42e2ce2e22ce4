use std::fs;
use std::io::Read;
use std::os::fd::AsFd;

use abi::Errno;

use super::{Fixture, path_fd};
use crate::client::{open, unlink};
use crate::proto::message::{Node, Walk};
use crate::proto::wire::{self, Reader};
use crate::server::{MountConfig, Server, ServerConfig};

#[test]
fn nodes_outlive_their_descriptors() {
    let f = Fixture::with(|_| {}, |c| c.fd_budget = 8, 2);
    let mut nodes = Vec::new();
    for d in 0..10 {
        fs::create_dir_all(f.root.join(format!("d{d}/e"))).unwrap();
        for i in 0..10 {
            fs::write(f.root.join(format!("d{d}/e/{i}")), format!("{d} {i}")).unwrap();
            nodes.push((d, i, f.node(&format!("d{d}/e/{i}"))));
        }
    }
    for d in 0..10 {
        let name = format!("d{d}");
        f.client
            .rename((f.top, name.as_bytes()), (f.top, format!("moved{d}").as_bytes()), 0)
            .unwrap();
    }
    for (d, i, node) in &nodes {
        let mut s = String::new();
        fs::File::from(f.client.open(*node, open::READ).unwrap().fd)
            .read_to_string(&mut s)
            .unwrap();
        assert_eq!(s, format!("{d} {i}"));
    }
    let (_, _, first) = nodes[0];
    f.client.unlink(f.node("moved0/e"), b"0", unlink::KEEP).unwrap();
    for (_, _, node) in &nodes[1..] {
        f.client.getattr(*node).unwrap();
    }
    assert_eq!(f.client.getattr(first).unwrap().nlink, 0);
}

#[test]
fn a_file_swapped_behind_an_evicted_node_is_not_served() {
    let f = Fixture::with(|_| {}, |c| c.fd_budget = 1, 1);
    fs::write(f.root.join("x"), "mine").unwrap();
    let x = f.node("x");
    fs::write(f.root.join("y"), "other").unwrap();
    fs::rename(f.root.join("y"), f.root.join("x")).unwrap();
    assert_eq!(f.client.getattr(x).unwrap_err(), Errno::ESTALE);
    fs::remove_file(f.root.join("x")).unwrap();
    assert_eq!(f.client.getattr(x).unwrap_err(), Errno::ESTALE);
    assert_eq!(f.client.getattr(x + 1).unwrap_err(), Errno::EBADF);
}

#[test]
fn forgotten_nodes_are_freed() {
    let base = std::env::temp_dir().join(format!("gofer-forget-{}", std::process::id()));
    fs::create_dir_all(base.join("a/b/c")).unwrap();
    let config = ServerConfig {
        max_nodes: 5,
        ..ServerConfig::default()
    };
    let mounts = vec![MountConfig {
        root: path_fd(&base),
        readonly: false,
        devices: false,
    }];
    let server = Server::new(mounts, &config).unwrap();
    let mut reply = Vec::new();
    server.attach(Reader::new(&[0; 4]), &mut reply).unwrap();
    let top: u64 = Reader::new(&reply).fixed().unwrap();
    for _ in 0..3 {
        let mut message = Vec::new();
        wire::put(
            &mut message,
            &Walk {
                node: top,
                count: 3,
                pad: 0,
            },
        );
        [b"a", b"b", b"c"].iter().for_each(|n| wire::put_name(&mut message, *n));
        reply.clear();
        server.walk(Reader::new(&message), &mut reply).unwrap();
        assert_eq!(server.table().usage().0, 4);
        let mut body = Reader::new(&reply);
        body.bytes(16).unwrap();
        let mut message = Vec::new();
        for _ in 0..3 {
            let entry: crate::proto::message::Entry = body.fixed().unwrap();
            wire::put(&mut message, &Node { node: entry.node });
        }
        server.forget(Reader::new(&message)).unwrap();
        assert_eq!(server.table().usage().0, 1);
    }
    for i in 0..10 {
        fs::create_dir(base.join(format!("{i}"))).unwrap();
    }
    let handle = server.handle(top).unwrap();
    let made = (0..10)
        .filter(|i| server.child(&handle, format!("{i}").as_bytes()).is_ok())
        .count();
    assert_eq!(made, 4);
    let _keep = handle.fd.as_fd();
    fs::remove_dir_all(&base).unwrap();
}
