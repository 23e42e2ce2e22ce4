//! The merged tree over real directories, both served by a Gofer.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use gofer::{Client, MountConfig, ServerConfig};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::dir::DirFile;
use super::file::OverlayFile;
use super::{Upper, new};
use crate::fs::file::{DirSink, File, FileOps, OpenFlags, WriteAt};
use crate::fs::impls::gofer::{Sharing, mount};
use crate::fs::impls::tmpfs;
use crate::fs::inode::{Inode, Link, NewNode, OpenHow, SetAttr};
use crate::fs::io::{SliceSource, VecSink};
use crate::fs::mount::MountTable;
use crate::fs::stat::FileType;

static COUNTER: AtomicU32 = AtomicU32::new(0);

struct Tree {
    base: PathBuf,
    root: Arc<Inode>,
    kind: Upper,
}

/// Runs a test with the upper layer in memory and in a directory.
fn both(test: impl Fn(Upper)) {
    test(Upper::Directory);
    test(Upper::Memory);
}

impl Tree {
    /// `fill` makes the lower tree.
    fn new(kind: Upper, fill: impl FnOnce(&Path)) -> Tree {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("sentry-overlay-{}-{n}", std::process::id()));
        let (upper, lower) = (base.join("upper"), base.join("lower"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&lower).unwrap();
        fill(&lower);
        Tree {
            root: Tree::mount(&base, kind),
            kind,
            base,
        }
    }

    fn mount(base: &Path, kind: Upper) -> Arc<Inode> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let open = |name| -> OwnedFd {
            rustix::fs::openat(CWD, base.join(name), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let mount_of = |name, readonly| MountConfig {
            root: open(name),
            readonly,
            devices: false,
        };
        let mounts = vec![mount_of("upper", false), mount_of("lower", true)];
        std::thread::spawn(move || gofer::serve(vec![theirs], mounts, &ServerConfig::default()));
        let client = Arc::new(Client::new(vec![ours]));
        let upper = match kind {
            Upper::Directory => mount(&client, None, 0, Sharing::Exclusive, None).unwrap(),
            Upper::Memory => tmpfs::new_unlimited("tmpfs").unwrap(),
        };
        let lower = mount(&client, None, 1, Sharing::Exclusive, None).unwrap();
        let sb = new(&MountTable::new(), &upper, &lower, kind).unwrap();
        sb.root().unwrap()
    }

    fn find(&self, path: &str) -> Result<Arc<Inode>, Errno> {
        path.split('/')
            .try_fold(self.root.clone(), |dir, name| dir.ops.lookup(&dir, name.as_bytes()))
    }

    /// The host's path of something above, if the upper layer is there.
    fn upper(&self, path: &str) -> Option<PathBuf> {
        (self.kind == Upper::Directory).then(|| self.base.join("upper").join(path))
    }

    fn read(&self, path: &str) -> Vec<u8> {
        read(&open(&self.find(path).unwrap(), OpenFlags::empty()))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.base).unwrap();
    }
}

fn open(inode: &Arc<Inode>, flags: OpenFlags) -> Arc<dyn FileOps> {
    inode.ops.open(inode, &OpenHow { flags }).unwrap()
}

/// The layer's file behind an open one, which stands in for the VFS's.
fn real(ops: &Arc<dyn FileOps>) -> Arc<File> {
    ops.as_any().downcast_ref::<OverlayFile>().unwrap().real().unwrap()
}

fn read(ops: &Arc<dyn FileOps>) -> Vec<u8> {
    let mut sink = VecSink::new(1 << 22);
    let file = real(ops);
    ops.read(&file, &mut sink, 0).unwrap();
    sink.data
}

fn write(ops: &Arc<dyn FileOps>, data: &[u8], pos: u64) {
    let file = real(ops);
    let mut at = WriteAt {
        pos,
        append: false,
        end: 0,
        limit: u64::MAX,
    };
    assert_eq!(ops.write(&file, &mut SliceSource::new(data), &mut at), Ok(data.len()));
}

struct Names(Vec<(String, u64)>);

impl DirSink for Names {
    fn entry(&mut self, name: &[u8], ino: u64, _kind: FileType, _next: u64) -> bool {
        self.0.push((String::from_utf8_lossy(name).into_owned(), ino));
        true
    }
}

fn list(dir: &Arc<Inode>) -> Vec<String> {
    let mut names = Names(Vec::new());
    DirFile::new(dir).list(0, 1, &mut names).unwrap();
    names.0.sort();
    for (name, ino) in names.0.iter().filter(|(n, _)| n != "." && n != "..") {
        assert_eq!(dir.ops.lookup(dir, name.as_bytes()).unwrap().ino, *ino, "{name}");
    }
    names
        .0
        .into_iter()
        .map(|(n, _)| n)
        .filter(|n| n != "." && n != "..")
        .collect()
}

fn node(mode: u32) -> NewNode {
    NewNode {
        mode,
        uid: 0,
        gid: 0,
        rdev: 0,
    }
}

#[test]
fn writing_copies_up_and_leaves_the_lower_file_alone() {
    both(on_writing_copies_up_and_leaves_the_lower_file_alone);
}

fn on_writing_copies_up_and_leaves_the_lower_file_alone(kind: Upper) {
    let t = Tree::new(kind, |l| {
        fs::create_dir_all(l.join("a/b")).unwrap();
        fs::write(l.join("a/b/f"), "lower").unwrap();
    });
    let f = t.find("a/b/f").unwrap();
    let before = f.stat().unwrap();
    let reader = open(&f, OpenFlags::empty());
    let writer = open(&f, OpenFlags::WRONLY);
    write(&writer, b"U", 0);
    assert_eq!(read(&reader), b"Uower");
    let after = f.stat().unwrap();
    assert_eq!(
        (before.ino, before.dev, before.mode),
        (after.ino, after.dev, after.mode)
    );
    assert_eq!(fs::read(t.base.join("lower/a/b/f")).unwrap(), b"lower");
    if let Some(f) = t.upper("a/b/f") {
        assert_eq!(fs::read(f).unwrap(), b"Uower");
    }
    assert_eq!(list(&t.find("a/b").unwrap()), ["f"]);
    let ino = f.ino;
    drop((f, reader, writer));
    assert_eq!(t.find("a/b/f").unwrap().ino, ino);
}

#[test]
fn attributes_copy_up_with_times_and_holes() {
    both(on_attributes_copy_up_with_times_and_holes);
}

fn on_attributes_copy_up_with_times_and_holes(kind: Upper) {
    let t = Tree::new(kind, |l| {
        let f = fs::File::create(l.join("sparse")).unwrap();
        f.set_len(5 << 20).unwrap();
        std::os::unix::fs::FileExt::write_at(&f, b"mid", 3 << 20).unwrap();
        symlink("where", l.join("link")).unwrap();
        fs::create_dir(l.join("d")).unwrap();
    });
    let chmod = SetAttr {
        mode: Some(0o640),
        ..SetAttr::default()
    };
    let old = t.find("sparse").unwrap().stat().unwrap();
    for name in ["sparse", "d"] {
        let inode = t.find(name).unwrap();
        inode.ops.set_attr(&inode, &chmod).unwrap();
    }
    let new = t.find("sparse").unwrap().stat().unwrap();
    assert_eq!((new.mtime, new.size, new.mode & 0o7777), (old.mtime, 5 << 20, 0o640));
    assert!(new.blocks < 5120);
    assert_eq!(t.read("sparse")[3 << 20..(3 << 20) + 3], *b"mid");
    let chown = SetAttr {
        uid: Some(7),
        ..SetAttr::default()
    };
    let link = t.find("link").unwrap();
    link.ops.set_attr(&link, &chown).unwrap();
    assert!(matches!(link.ops.readlink(&link, None), Ok(Link::Path(text)) if text == b"where"));
    assert_eq!(t.find("link").unwrap().stat().unwrap().uid, 7);
}

#[test]
fn removing_leaves_whiteouts() {
    both(on_removing_leaves_whiteouts);
}

fn on_removing_leaves_whiteouts(kind: Upper) {
    let t = Tree::new(kind, |l| {
        fs::create_dir_all(l.join("d/sub")).unwrap();
        fs::write(l.join("d/f"), "old").unwrap();
        fs::write(l.join("d/g"), "").unwrap();
    });
    let d = t.find("d").unwrap();
    let f = t.find("d/f").unwrap();
    assert_eq!(t.root.ops.rmdir(&t.root, b"d", &d), Err(Errno::ENOTEMPTY));
    d.ops.unlink(&d, b"f", &f).unwrap();
    assert_eq!(t.find("d/f").err(), Some(Errno::ENOENT));
    if let Some(f) = t.upper("d/f") {
        assert!(fs::symlink_metadata(f).unwrap().file_type().is_char_device());
    }
    assert_eq!(list(&d), ["g", "sub"]);
    assert_eq!(f.stat().unwrap().nlink, 0);
    let made = d.ops.create(&d, b"f", &node(0o100_600)).unwrap();
    assert_ne!(made.ino, f.ino);
    assert_eq!(
        (list(&d), t.read("d/f")),
        (vec!["f".into(), "g".into(), "sub".into()], vec![])
    );
    // The removed file is still whole for whoever has it, and can even be written.
    write(&open(&f, OpenFlags::RDWR), b"N", 0);
    assert_eq!(read(&open(&f, OpenFlags::empty())), b"Nld");
    for name in ["f", "g"] {
        let inode = d.ops.lookup(&d, name.as_bytes()).unwrap();
        d.ops.unlink(&d, name.as_bytes(), &inode).unwrap();
    }
    let sub = t.find("d/sub").unwrap();
    d.ops.rmdir(&d, b"sub", &sub).unwrap();
    t.root.ops.rmdir(&t.root, b"d", &d).unwrap();
    assert_eq!(list(&t.root), Vec::<String>::new());
    let d = t.root.ops.create(&t.root, b"d", &node(0o040_755)).unwrap();
    assert_eq!(list(&d), Vec::<String>::new());
    if kind == Upper::Directory {
        // Also for a later sandbox over the same directories.
        let again = Tree::mount(&t.base, kind);
        assert_eq!(list(&again.ops.lookup(&again, b"d").unwrap()), Vec::<String>::new());
    }
    assert_eq!(fs::read_dir(t.base.join("lower/d")).unwrap().count(), 3);
}

#[test]
fn renames() {
    both(on_renames);
}

fn on_renames(kind: Upper) {
    let t = Tree::new(kind, |l| {
        fs::create_dir_all(l.join("d/e")).unwrap();
        fs::create_dir_all(l.join("empty")).unwrap();
        fs::write(l.join("f"), "f").unwrap();
        fs::write(l.join("d/g"), "g").unwrap();
    });
    let (root, d) = (&t.root, t.find("d").unwrap());
    let f = t.find("f").unwrap();
    root.ops.rename(root, b"f", &d, b"g", 0).unwrap();
    assert!(Arc::ptr_eq(&t.find("d/g").unwrap(), &f));
    assert_eq!((t.read("d/g"), t.find("f").err()), (b"f".to_vec(), Some(Errno::ENOENT)));
    assert_eq!(root.ops.rename(root, b"d", root, b"x", 0), Err(Errno::EXDEV));
    let new = root.ops.create(root, b"new", &node(0o040_755)).unwrap();
    new.ops.create(&new, b"in", &node(0o100_644)).unwrap();
    assert_eq!(root.ops.rename(root, b"new", root, b"d", 0), Err(Errno::ENOTEMPTY));
    root.ops.rename(root, b"new", root, b"empty", 0).unwrap();
    assert_eq!(list(&t.find("empty").unwrap()), ["in"]);
    root.ops.rename(root, b"empty", &d, b"f", 1).unwrap();
    assert_eq!(root.ops.rename(&d, b"f", &d, b"g", 1), Err(Errno::EEXIST));
    d.ops.rename(&d, b"f", &d, b"g", 2).unwrap();
    assert_eq!(
        (t.find("d/g").unwrap().kind, t.read("d/f")),
        (FileType::Directory, b"f".to_vec())
    );
    let e = t.find("d/e").unwrap();
    d.ops.rmdir(&d, b"e", &e).unwrap();
    d.ops.rename(&d, b"g", &d, b"e", 0).unwrap();
    assert_eq!(list(&t.find("d/e").unwrap()), ["in"]);
    assert_eq!(list(&d), ["e", "f"]);
    assert_eq!(list(root), ["d"]);
}

#[test]
fn hard_links_stay_together() {
    both(on_hard_links_stay_together);
}

fn on_hard_links_stay_together(kind: Upper) {
    let t = Tree::new(kind, |l| {
        fs::write(l.join("a"), "one").unwrap();
        fs::hard_link(l.join("a"), l.join("b")).unwrap();
        fs::write(l.join("single"), "s").unwrap();
    });
    let (a, b) = (t.find("a").unwrap(), t.find("b").unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    write(&open(&a, OpenFlags::WRONLY), b"ONE", 0);
    drop((a, b));
    assert_eq!(t.read("b"), b"ONE");
    let b = t.find("b").unwrap();
    assert_eq!(b.stat().unwrap().nlink, 2);
    t.root.ops.link(&t.root, b"c", &b).unwrap();
    assert_eq!(b.stat().unwrap().nlink, 3);
    t.root.ops.unlink(&t.root, b"a", &b).unwrap();
    t.root.ops.unlink(&t.root, b"b", &b).unwrap();
    assert_eq!((b.stat().unwrap().nlink, t.read("c")), (1, b"ONE".to_vec()));
    let s = t.find("single").unwrap();
    t.root.ops.link(&t.root, b"other", &s).unwrap();
    assert!(Arc::ptr_eq(&t.find("other").unwrap(), &s));
    assert_eq!(s.stat().unwrap().nlink, 2);
    assert_eq!(list(&t.root), ["c", "other", "single"]);
}

#[test]
fn new_things() {
    both(on_new_things);
}

fn on_new_things(kind: Upper) {
    let t = Tree::new(kind, |l| fs::create_dir_all(l.join("deep/er")).unwrap());
    let dir = t.find("deep/er").unwrap();
    let how = OpenHow { flags: OpenFlags::RDWR };
    let (f, ops) = dir.ops.create_open(&dir, b"f", &node(0o100_644), &how).unwrap();
    write(&ops, b"data", 0);
    assert_eq!(t.read("deep/er/f"), b"data");
    assert!(Arc::ptr_eq(&t.find("deep/er/f").unwrap(), &f));
    dir.ops.symlink(&dir, b"l", b"f", &node(0o120_777)).unwrap();
    let nameless = dir.ops.tmpfile(&dir, &node(0o100_600)).unwrap();
    write(&open(&nameless, OpenFlags::RDWR), b"tmp", 0);
    dir.ops.link(&dir, b"named", &nameless).unwrap();
    assert_eq!(t.read("deep/er/named"), b"tmp");
    assert_eq!(list(&dir), ["f", "l", "named"]);
    f.ops.setxattr(&f, b"user.x", b"1", 0).unwrap();
    assert_eq!(f.ops.setxattr(&f, b"user.overlay.opaque", b"y", 0), Err(Errno::EPERM));
    assert_eq!(f.ops.listxattr(&f).unwrap(), [b"user.x".to_vec()]);
}
