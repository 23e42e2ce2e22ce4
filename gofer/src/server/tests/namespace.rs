use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use abi::Errno;

use super::Fixture;
use crate::client::{open, rename, unlink};

#[test]
fn a_walk_answers_for_each_name() {
    let f = Fixture::new();
    fs::create_dir_all(f.root.join("a/b")).unwrap();
    fs::write(f.root.join("a/b/c"), "hello").unwrap();
    let w = f.client.walk(f.top, &[b"a", b"b", b"c"]).unwrap();
    assert_eq!(w.entries.len(), 3);
    assert!(w.entries[0].attr.is_dir() && w.entries[1].attr.is_dir() && w.entries[2].attr.is_regular());
    assert_eq!(w.entries[2].attr.size, 5);
    assert_eq!(w.entries[2].attr.ino, fs::metadata(f.root.join("a/b/c")).unwrap().ino());
    assert_eq!(w.stop, None);
}

#[test]
fn a_walk_stops_where_it_must() {
    let f = Fixture::new();
    fs::create_dir(f.root.join("d")).unwrap();
    fs::write(f.root.join("d/file"), "").unwrap();
    std::os::unix::fs::symlink("over/there", f.root.join("d/link")).unwrap();
    let w = f.client.walk(f.top, &[b"d", b"none", b"x"]).unwrap();
    assert_eq!((w.entries.len(), w.stop), (1, Some(Errno::ENOENT)));
    let w = f.client.walk(f.top, &[b"d", b"link", b"x"]).unwrap();
    assert_eq!((w.entries.len(), w.stop), (2, None));
    assert_eq!(w.link, b"over/there");
    let w = f.client.walk(f.top, &[b"d", b"file", b"x"]).unwrap();
    assert_eq!((w.entries.len(), w.stop), (2, None));
}

#[test]
fn the_same_name_is_the_same_node() {
    let f = Fixture::new();
    fs::write(f.root.join("x"), "").unwrap();
    let a = f.node("x");
    assert_eq!(a, f.node("x"));
    fs::rename(f.root.join("x"), f.root.join("y")).unwrap();
    fs::write(f.root.join("x"), "").unwrap();
    assert_ne!(a, f.node("x"));
}

#[test]
fn opening_gives_just_the_access_asked_for() {
    let f = Fixture::new();
    fs::write(f.root.join("x"), "abc").unwrap();
    let o = f.client.open_child(f.top, b"x", open::READ).unwrap();
    let mut file = fs::File::from(o.fd);
    let mut s = String::new();
    file.read_to_string(&mut s).unwrap();
    assert_eq!(s, "abc");
    file.write_all(b"no").unwrap_err();
    let o = f.client.open(o.node, open::WRITE | open::TRUNC).unwrap();
    assert_eq!((o.node, o.attr.size), (0, 0));
    let mut file = fs::File::from(o.fd);
    file.write_all(b"new").unwrap();
    file.read(&mut [0; 1]).unwrap_err();
    assert_eq!(fs::read(f.root.join("x")).unwrap(), b"new");
    assert_eq!(f.client.open_child(f.top, b"x", 0).unwrap_err(), Errno::EINVAL);
    assert_eq!(f.client.open(f.top, open::WRITE).unwrap_err(), Errno::EISDIR);
    assert_eq!(f.client.open(f.top, open::READ).unwrap_err(), Errno::EISDIR);
}

#[test]
fn creation_gives_mode_owner_and_descriptor() {
    let f = Fixture::new();
    let made = f
        .client
        .create(f.top, b"x", open::READ | open::WRITE, 0o4711, 12, 34)
        .unwrap();
    assert_eq!(
        (made.attr.mode & 0o7777, made.attr.uid, made.attr.gid),
        (0o4711, 12, 34)
    );
    fs::File::from(made.fd).write_all(b"data").unwrap();
    assert_eq!(f.client.getattr(made.node).unwrap().size, 4);
    assert_eq!(
        f.client.create(f.top, b"x", open::READ, 0o600, 0, 0).unwrap_err(),
        Errno::EEXIST
    );
    let unreadable = f.client.create(f.top, b"y", open::WRITE, 0, 0, 0).unwrap();
    fs::File::from(unreadable.fd).write_all(b"data").unwrap();
    assert_eq!(fs::metadata(f.root.join("y")).unwrap().mode() & 0o7777, 0);
}

#[test]
fn a_set_group_id_directory_does_not_interfere() {
    let f = Fixture::new();
    let dir = f.client.mkdir(f.top, b"d", 0o2777, 1, 77).unwrap().entry;
    assert_eq!((dir.attr.mode & 0o7777, dir.attr.uid, dir.attr.gid), (0o2777, 1, 77));
    let sub = f.client.mkdir(dir.node, b"s", 0o750, 5, 6).unwrap().entry;
    assert_eq!((sub.attr.mode & 0o7777, sub.attr.uid, sub.attr.gid), (0o750, 5, 6));
    let file = f.client.create(dir.node, b"f", open::WRITE, 0o640, 5, 6).unwrap();
    assert_eq!((file.attr.mode & 0o7777, file.attr.uid, file.attr.gid), (0o640, 5, 6));
}

#[test]
fn every_type_but_devices_can_be_made() {
    let f = Fixture::new();
    f.client.mknod(f.top, b"fifo", 0o010_644, 0, 1, 2).unwrap();
    f.client.mknod(f.top, b"sock", 0o140_755, 0, 0, 0).unwrap();
    f.client.mknod(f.top, b"gone", 0o020_000, 0, 0, 0).unwrap();
    f.client.mknod(f.top, b"reg", 0o100_600, 0, 0, 0).unwrap();
    assert_eq!(
        f.client.mknod(f.top, b"null", 0o020_666, 0x103, 0, 0).unwrap_err(),
        Errno::EPERM
    );
    assert_eq!(
        f.client.mknod(f.top, b"disk", 0o060_666, 0x800, 0, 0).unwrap_err(),
        Errno::EPERM
    );
    let meta = |n: &str| fs::symlink_metadata(f.root.join(n)).unwrap();
    assert!(meta("fifo").file_type().is_fifo() && meta("sock").file_type().is_socket());
    assert!(meta("gone").file_type().is_char_device() && meta("reg").is_file());
    assert_eq!(
        (meta("fifo").uid(), meta("fifo").gid(), meta("fifo").mode() & 0o7777),
        (1, 2, 0o644)
    );
    for special in ["fifo", "sock", "gone"] {
        assert_eq!(f.client.open(f.node(special), open::READ).unwrap_err(), Errno::ENXIO);
    }
}

#[test]
fn links_of_both_kinds() {
    let f = Fixture::new();
    let s = f.client.symlink(f.top, b"s", b"/etc/passwd", 3, 4).unwrap().entry;
    assert_eq!((s.attr.is_symlink(), s.attr.uid, s.attr.gid), (true, 3, 4));
    assert_eq!(f.client.readlink(s.node).unwrap(), b"/etc/passwd");
    assert_eq!(f.client.open(s.node, open::READ).unwrap_err(), Errno::ELOOP);
    assert_eq!(f.client.symlink(f.top, b"e", b"", 0, 0).unwrap_err(), Errno::ENOENT);
    assert_eq!(
        f.client.symlink(f.top, b"e", &[b'x'; 4096], 0, 0).unwrap_err(),
        Errno::ENAMETOOLONG
    );
    fs::write(f.root.join("x"), "").unwrap();
    let x = f.node("x");
    let y = f.client.link(x, f.top, b"y").unwrap().entry;
    assert_eq!(y.attr.nlink, 2);
    assert_ne!(x, y.node);
    let t = f.client.link(s.node, f.top, b"t").unwrap().entry;
    assert!(t.attr.is_symlink());
    assert_eq!(t.attr.ino, s.attr.ino);
}

#[test]
fn a_nameless_file_can_get_a_name() {
    let f = Fixture::new();
    let t = f.client.tmpfile(f.top, open::READ | open::WRITE, 0o600, 9, 9).unwrap();
    assert_eq!((t.attr.nlink, t.attr.uid), (0, 9));
    fs::File::from(t.fd).write_all(b"late").unwrap();
    let named = f.client.link(t.node, f.top, b"named").unwrap().entry;
    assert_eq!(named.attr.nlink, 1);
    assert_eq!(fs::read(f.root.join("named")).unwrap(), b"late");
}

#[test]
fn removal() {
    let f = Fixture::new();
    fs::create_dir_all(f.root.join("d/e")).unwrap();
    fs::write(f.root.join("x"), "kept").unwrap();
    let x = f.node("x");
    assert_eq!(f.client.unlink(f.top, b"d", unlink::DIR).unwrap_err(), Errno::ENOTEMPTY);
    assert_eq!(f.client.unlink(f.top, b"d", 0).unwrap_err(), Errno::EISDIR);
    assert_eq!(f.client.unlink(f.top, b"x", unlink::DIR).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(f.client.unlink(f.top, b"none", 0).unwrap_err(), Errno::ENOENT);
    f.client.unlink(f.top, b"x", unlink::KEEP).unwrap();
    assert_eq!(f.client.getattr(x).unwrap().nlink, 0);
    let mut s = String::new();
    fs::File::from(f.client.open(x, open::READ).unwrap().fd)
        .read_to_string(&mut s)
        .unwrap();
    assert_eq!(s, "kept");
    let d = f.node("d");
    f.client.unlink(d, b"e", unlink::DIR).unwrap();
    f.client.unlink(f.top, b"d", unlink::DIR).unwrap();
    assert_eq!(f.client.mkdir(d, b"z", 0o755, 0, 0).unwrap_err(), Errno::ENOENT);
    assert_eq!(fs::read_dir(&f.root).unwrap().count(), 0);
}

#[test]
fn a_node_follows_its_file_through_renames() {
    let f = Fixture::new();
    fs::create_dir_all(f.root.join("a/b")).unwrap();
    fs::create_dir_all(f.root.join("t")).unwrap();
    fs::write(f.root.join("a/b/x"), "x").unwrap();
    fs::write(f.root.join("t/x"), "victim").unwrap();
    let (a, b, x, t, victim) = (f.node("a"), f.node("a/b"), f.node("a/b/x"), f.node("t"), f.node("t/x"));
    let ino = f.client.getattr(x).unwrap().ino;
    f.client.rename((a, b"b"), (t, b"c"), 0).unwrap();
    assert_eq!(f.client.getattr(x).unwrap().ino, ino);
    assert_eq!(f.node("t/c"), b);
    f.client.rename((b, b"x"), (t, b"x"), rename::NOREPLACE).unwrap_err();
    f.client.rename((b, b"x"), (t, b"x"), rename::KEEP).unwrap();
    assert_eq!((f.node("t/x"), f.client.getattr(x).unwrap().ino), (x, ino));
    assert_eq!(f.client.getattr(victim).unwrap().nlink, 0);
    fs::write(f.root.join("y"), "y").unwrap();
    let y = f.node("y");
    f.client.rename((f.top, b"y"), (t, b"x"), rename::EXCHANGE).unwrap();
    assert_eq!((f.node("y"), f.node("t/x")), (x, y));
    assert_eq!(f.client.rename((f.top, b"t"), (b, b"t"), 0).unwrap_err(), Errno::EINVAL);
    assert_eq!(
        f.client.rename((f.top, b"t"), (b, b"t"), 99).unwrap_err(),
        Errno::EINVAL
    );
    f.client.link(x, f.top, b"z").unwrap();
    f.client.rename((f.top, b"y"), (f.top, b"z"), 0).unwrap();
    assert_eq!((f.node("y"), fs::metadata(f.root.join("z")).unwrap().nlink()), (x, 2));
}

#[test]
fn a_large_directory_is_read_in_pages() {
    let f = Fixture::new();
    for i in 0..10_000 {
        fs::write(f.root.join(format!("file-{i:05}")), "").unwrap();
    }
    std::os::unix::fs::symlink("target", f.root.join("link")).unwrap();
    fs::create_dir(f.root.join("sub")).unwrap();
    let (mut names, mut cookie, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = f.client.readdir(f.top, cookie).unwrap();
        pages += 1;
        assert!(page.attr.is_dir());
        for e in page.entries {
            assert_eq!(
                (e.attr.mask == 0, e.attr.is_symlink(), e.attr.is_dir()),
                (false, e.name == b"link", e.name == b"sub")
            );
            assert_eq!(e.link, if e.name == b"link" { &b"target"[..] } else { b"" });
            cookie = e.cookie;
            names.push(e.name);
        }
        if page.eof {
            break;
        }
    }
    assert!(pages > 10);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10_002);
    let sub = f.client.readdir_child(f.top, b"sub", 0).unwrap();
    assert!(sub.eof && sub.entries.is_empty() && sub.node != 0);
    assert_eq!(f.client.readdir_child(f.top, b"link", 0).unwrap_err(), Errno::ENOTDIR);
}

#[test]
fn a_page_can_be_read_again_from_its_cookie() {
    let f = Fixture::new();
    for i in 0..2_000 {
        fs::write(f.root.join(format!("{i}")), "").unwrap();
    }
    let first = f.client.readdir(f.top, 0).unwrap();
    let middle = first.entries[first.entries.len() / 2].cookie;
    let after: Vec<_> = f
        .client
        .readdir(f.top, middle)
        .unwrap()
        .entries
        .into_iter()
        .map(|e| e.name)
        .collect();
    let expected: Vec<_> = first.entries[first.entries.len() / 2 + 1..]
        .iter()
        .map(|e| e.name.clone())
        .collect();
    assert_eq!(after[..expected.len()], expected);
    assert_eq!(f.client.readdir(f.top, u64::MAX).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_single_file_can_be_the_root() {
    let file = std::env::temp_dir().join(format!("gofer-file-{}", std::process::id()));
    fs::write(&file, "one").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let f = Fixture::with(|m| m.root = super::path_fd(&file), |_| {}, 1);
    let mut s = String::new();
    fs::File::from(f.client.open(f.top, open::READ).unwrap().fd)
        .read_to_string(&mut s)
        .unwrap();
    assert_eq!(s, "one");
    assert_eq!(f.client.walk(f.top, &[b"x"]).unwrap().stop, Some(Errno::ENOTDIR));
    assert_eq!(f.client.mkdir(f.top, b"x", 0o755, 0, 0).unwrap_err(), Errno::ENOTDIR);
    fs::remove_file(&file).unwrap();
}
