use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use abi::Errno;

use super::Fixture;
use crate::client::open;

#[test]
fn names_cannot_leave_the_root() {
    let f = Fixture::new();
    fs::create_dir(f.root.join("d")).unwrap();
    let d = f.node("d");
    for name in [&b".."[..], b".", b"", b"../secret", b"/etc", b"d/../..", b"a\0b"] {
        assert_eq!(f.client.walk(d, &[name]).unwrap().stop, Some(Errno::EINVAL));
        assert_eq!(f.client.mkdir(d, name, 0o755, 0, 0).unwrap_err(), Errno::EINVAL);
        assert_eq!(
            f.client.create(d, name, open::READ, 0o644, 0, 0).unwrap_err(),
            Errno::EINVAL
        );
        assert_eq!(f.client.unlink(d, name, 0).unwrap_err(), Errno::EINVAL);
        assert_eq!(f.client.rename((d, name), (d, b"x"), 0).unwrap_err(), Errno::EINVAL);
        assert_eq!(f.client.rename((f.top, b"d"), (d, name), 0).unwrap_err(), Errno::EINVAL);
        assert_eq!(f.client.symlink(d, name, b"t", 0, 0).unwrap_err(), Errno::EINVAL);
        assert_eq!(f.client.link(d, d, name).unwrap_err(), Errno::EINVAL);
    }
    assert_eq!(
        f.client.walk(d, &[&[b'x'; 256]]).unwrap().stop,
        Some(Errno::ENAMETOOLONG)
    );
}

#[test]
fn symbolic_links_are_never_followed() {
    let f = Fixture::new();
    symlink(&f.base, f.root.join("up")).unwrap();
    symlink("..", f.root.join("rel")).unwrap();
    symlink("/proc/self/root", f.root.join("magic")).unwrap();
    symlink(f.base.join("secret"), f.root.join("file")).unwrap();
    for link in ["up", "rel", "magic"] {
        let w = f.client.walk(f.top, &[link.as_bytes(), b"secret"]).unwrap();
        assert!(w.entries.len() == 1 && w.entries[0].attr.is_symlink());
        let node = w.entries[0].node;
        assert_eq!(f.client.walk(node, &[b"secret"]).unwrap().stop, Some(Errno::ENOTDIR));
        assert_eq!(f.client.mkdir(node, b"x", 0o755, 0, 0).unwrap_err(), Errno::ENOTDIR);
        assert_eq!(f.client.readdir(node, 0).unwrap_err(), Errno::ENOTDIR);
    }
    assert_eq!(
        f.client.open_child(f.top, b"file", open::READ).unwrap_err(),
        Errno::ELOOP
    );
    assert_eq!(
        f.client.create(f.top, b"file", open::WRITE, 0o644, 0, 0).unwrap_err(),
        Errno::EEXIST
    );
}

/// A host process keeps replacing a directory by a link to the world outside, and a file by a fifo and by a link, while the
/// container walks and opens. Whatever is opened must be a regular file of the container.
#[test]
fn racing_replacements_gain_nothing() {
    let f = Fixture::new();
    fs::create_dir(f.root.join("dir")).unwrap();
    fs::write(f.root.join("dir/secret"), "inside").unwrap();
    symlink(&f.base, f.root.join("evil")).unwrap();
    let device = fs::metadata(&f.root).unwrap().dev();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = |a: &str, b: &str| {
                let (a, b) = (f.root.join(a), f.root.join(b));
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, &a, cwd, &b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            };
            while !stop.load(Ordering::Relaxed) {
                exchange("dir", "evil");
                std::thread::yield_now();
            }
        });
        let until = Instant::now() + Duration::from_millis(700);
        let (mut inside, mut rounds) = (0, 0);
        while Instant::now() < until {
            rounds += 1;
            let w = f.client.walk(f.top, &[b"dir", b"secret"]).unwrap();
            let opened = match w.entries.last() {
                Some(e) => f.client.open(e.node, open::READ),
                None => continue,
            };
            if let Ok(opened) = opened {
                let mut s = String::new();
                fs::File::from(opened.fd).read_to_string(&mut s).unwrap_or_default();
                assert_ne!(s, "secret");
                inside += usize::from(s == "inside");
                assert_eq!(opened.attr.dev, device);
            }
            // Fails with EEXIST or ENOTDIR, or succeeds inside: never lands in `base`.
            if let Some(e) = w.entries.first()
                && let Ok(made) = f.client.create(e.node, b"made", open::WRITE, 0o644, 0, 0)
            {
                f.client.unlink(e.node, b"made", 0).unwrap();
                f.client.forget(made.node);
            }
            w.entries.iter().for_each(|e| f.client.forget(e.node));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(inside > 0 && rounds > inside, "{inside} of {rounds}");
    });
    assert_eq!(fs::read(f.base.join("secret")).unwrap(), b"secret");
    assert!(!f.base.join("made").exists());
}

#[test]
fn an_open_directory_moved_out_takes_nothing_with_it() {
    let f = Fixture::new();
    fs::create_dir_all(f.root.join("a/b")).unwrap();
    let b = f.node("a/b");
    fs::rename(f.root.join("a"), f.base.join("outside")).unwrap();
    // The node still names that directory; from there, no name leads up.
    assert_eq!(f.client.walk(b, &[b".."]).unwrap().stop, Some(Errno::EINVAL));
    assert_eq!(f.client.walk(f.top, &[b"a"]).unwrap().stop, Some(Errno::ENOENT));
}
