use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use gofer::{Client, MountConfig, ServerConfig};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::dir::DirFile;
use super::file::RegularFile;
use super::inode::GoferInode;
use super::{Sharing, mount};
use crate::fs::file::{DirSink, OpenFlags, WriteAt};
use crate::fs::inode::{Inode, NewNode, OpenHow, SetAttr};
use crate::fs::io::{SliceSource, VecSink};
use crate::fs::stat::FileType;

static COUNTER: AtomicU32 = AtomicU32::new(0);

struct Tree {
    path: PathBuf,
    root: Arc<Inode>,
}

fn serve(path: &PathBuf) -> Arc<Client> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let root: OwnedFd = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mounts = vec![MountConfig {
        root,
        readonly: false,
        devices: false,
    }];
    std::thread::spawn(move || gofer::serve(vec![theirs], mounts, &ServerConfig::default()));
    Arc::new(Client::new(vec![ours]))
}

impl Tree {
    fn new(sharing: Sharing) -> Tree {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sentry-gofer-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let sb = mount(&serve(&path), None, 0, sharing, None).unwrap();
        Tree {
            root: sb.root().unwrap(),
            path,
        }
    }

    fn find(&self, path: &str) -> Result<Arc<Inode>, Errno> {
        path.split('/')
            .try_fold(self.root.clone(), |dir, name| dir.ops.lookup(&dir, name.as_bytes()))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

fn node(mode: u32) -> NewNode {
    NewNode {
        mode,
        uid: 0,
        gid: 0,
        rdev: 0,
    }
}

fn how(flags: OpenFlags) -> OpenHow {
    OpenHow { flags }
}

fn write(file: &RegularFile, data: &[u8], pos: u64, append: bool, limit: u64) -> (Result<usize, Errno>, u64) {
    let mut at = WriteAt {
        pos,
        append,
        end: 0,
        limit,
    };
    let done = file.write_from(&mut SliceSource::new(data), &mut at, OpenFlags::empty());
    (done, at.end)
}

struct Names(Vec<String>);

impl DirSink for Names {
    fn entry(&mut self, name: &[u8], _ino: u64, _kind: FileType, _next: u64) -> bool {
        self.0.push(String::from_utf8_lossy(name).into_owned());
        true
    }
}

fn list(dir: &Arc<Inode>) -> Vec<String> {
    let mut names = Names(Vec::new());
    DirFile::new(dir).list(0, 1, &mut names).unwrap();
    names.0.sort();
    names.0
}

#[test]
fn one_inode_for_all_names_of_a_file() {
    let t = Tree::new(Sharing::Exclusive);
    fs::write(t.path.join("a"), "x").unwrap();
    fs::hard_link(t.path.join("a"), t.path.join("b")).unwrap();
    let (a, b) = (t.find("a").unwrap(), t.find("b").unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(a.stat().unwrap().nlink, 2);
    t.root.ops.unlink(&t.root, b"a", &a).unwrap();
    assert_eq!(b.stat().unwrap().nlink, 1);
    t.root.ops.set_attr_mode(&b, 0o600);
    assert_eq!(fs::metadata(t.path.join("b")).unwrap().mode() & 0o777, 0o600);
}

trait SetMode {
    fn set_attr_mode(&self, inode: &Arc<Inode>, mode: u32);
}

impl SetMode for Box<dyn crate::fs::inode::InodeOps> {
    fn set_attr_mode(&self, inode: &Arc<Inode>, mode: u32) {
        let attr = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        inode.ops.set_attr(inode, &attr).unwrap();
    }
}

#[test]
fn reading_and_writing() {
    let t = Tree::new(Sharing::Exclusive);
    let (inode, _open) = t
        .root
        .ops
        .create_open(&t.root, b"f", &node(0o100_644), &how(OpenFlags::RDWR))
        .unwrap();
    let ops = inode.ops.open(&inode, &how(OpenFlags::RDWR)).unwrap();
    let file = ops.as_any().downcast_ref::<RegularFile>().unwrap();
    let big: Vec<u8> = (0..700_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    assert_eq!(write(file, &big, 3, false, u64::MAX), (Ok(700_000), 700_003));
    let mut sink = VecSink::new(1 << 20);
    assert_eq!(file.read_to(&mut sink, 3).unwrap(), 700_000);
    assert!(sink.data == big);
    assert_eq!(write(file, b"end", 0, true, u64::MAX), (Ok(3), 700_006));
    assert_eq!(inode.stat().unwrap().size, 700_006);
    assert_eq!(write(file, b"12345", 700_006, false, 700_008), (Ok(2), 700_008));
    assert_eq!(write(file, b"12345", 700_008, false, 700_008).0, Err(Errno::EFBIG));
    let ro = inode.ops.open(&inode, &how(OpenFlags::empty())).unwrap();
    let ro = ro.as_any().downcast_ref::<RegularFile>().unwrap();
    assert_eq!(write(ro, b"x", 0, false, u64::MAX).0, Err(Errno::EBADF));
}

#[test]
fn a_removed_file_lives_on_while_in_use() {
    let t = Tree::new(Sharing::Exclusive);
    fs::write(t.path.join("f"), "data").unwrap();
    let f = t.find("f").unwrap();
    t.root.ops.unlink(&t.root, b"f", &f).unwrap();
    assert_eq!(f.stat().unwrap().nlink, 0);
    assert_eq!(t.find("f").err(), Some(Errno::ENOENT));
    let again = t.root.ops.create(&t.root, b"f", &node(0o100_600)).unwrap();
    assert!(!Arc::ptr_eq(&f, &again));
    let ops = f.ops.open(&f, &how(OpenFlags::empty())).unwrap();
    let mut sink = VecSink::new(10);
    ops.as_any()
        .downcast_ref::<RegularFile>()
        .unwrap()
        .read_to(&mut sink, 0)
        .unwrap();
    assert_eq!(sink.data, b"data");
}

#[test]
fn renames_carry_inodes_along() {
    let t = Tree::new(Sharing::Exclusive);
    fs::create_dir_all(t.path.join("d/e")).unwrap();
    fs::write(t.path.join("d/e/f"), "f").unwrap();
    fs::write(t.path.join("v"), "victim").unwrap();
    let (d, e, f, v) = (
        t.find("d").unwrap(),
        t.find("d/e").unwrap(),
        t.find("d/e/f").unwrap(),
        t.find("v").unwrap(),
    );
    e.ops.rename(&e, b"f", &t.root, b"v", 0).unwrap();
    assert_eq!(v.stat().unwrap().nlink, 0);
    assert!(Arc::ptr_eq(&t.find("v").unwrap(), &f));
    t.root.ops.rename(&t.root, b"v", &d, b"e", 2).unwrap();
    assert!(Arc::ptr_eq(&t.find("v").unwrap(), &e));
    assert!(Arc::ptr_eq(&t.find("d/e").unwrap(), &f));
    assert_eq!(t.root.ops.rename(&t.root, b"v", &d, b"e", 1), Err(Errno::EEXIST));
    assert_eq!(list(&d), [".", "..", "e"]);
}

#[test]
fn listings_answer_lookups() {
    let t = Tree::new(Sharing::Exclusive);
    for i in 0..1000 {
        fs::write(t.path.join(format!("{i}")), "").unwrap();
    }
    std::os::unix::fs::symlink("there", t.path.join("link")).unwrap();
    assert_eq!(list(&t.root).len(), 1003);
    let own = GoferInode::of(&t.root).unwrap();
    assert_eq!(own.lock().names.as_ref().unwrap().children.len(), 1001);
    let f = t.find("7").unwrap();
    assert_eq!(GoferInode::of(&f).unwrap().lock().node, 0);
    t.root.ops.set_attr_mode(&f, 0o640);
    assert_eq!(fs::metadata(t.path.join("7")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(t.find("none").err(), Some(Errno::ENOENT));
    let made = t.root.ops.create(&t.root, b"none", &node(0o040_755)).unwrap();
    assert!(Arc::ptr_eq(&t.find("none").unwrap(), &made));
    let lazy = t.find("8").unwrap();
    t.root.ops.rename(&t.root, b"8", &made, b"moved", 0).unwrap();
    t.root.ops.set_attr_mode(&lazy, 0o604);
    assert_eq!(fs::metadata(t.path.join("none/moved")).unwrap().mode() & 0o777, 0o604);
    let lazy = t.find("9").unwrap();
    t.root.ops.unlink(&t.root, b"9", &lazy).unwrap();
    assert_eq!(lazy.stat().unwrap().nlink, 0);
    lazy.ops.open(&lazy, &how(OpenFlags::empty())).unwrap();
    assert_eq!(t.find("9").err(), Some(Errno::ENOENT));
    assert!(own.lock().names.is_some());
}

#[test]
fn what_others_do_is_seen_when_shared() {
    let t = Tree::new(Sharing::Shared);
    assert_eq!(t.find("f").err(), Some(Errno::ENOENT));
    assert!(t.root.ops.revalidate(&t.root, b"f", None));
    fs::write(t.path.join("f"), "1").unwrap();
    assert!(!t.root.ops.revalidate(&t.root, b"f", None));
    let f = t.find("f").unwrap();
    assert!(t.root.ops.revalidate(&t.root, b"f", Some(&f)));
    fs::write(t.path.join("g"), "22").unwrap();
    fs::rename(t.path.join("g"), t.path.join("f")).unwrap();
    assert!(!t.root.ops.revalidate(&t.root, b"f", Some(&f)));
    assert_eq!(t.find("f").unwrap().stat().unwrap().size, 2);
}

#[test]
fn what_an_engine_copies_in_is_seen_soon() {
    let t = Tree::new(Sharing::Exclusive);
    fs::write(t.path.join("old"), "").unwrap();
    assert_eq!(list(&t.root), [".", "..", "old"]);
    assert_eq!(t.find("f").err(), Some(Errno::ENOENT));
    let old = t.find("old").unwrap();
    t.root.ops.create(&t.root, b"own", &node(0o100_644)).unwrap();
    assert!(t.root.ops.revalidate(&t.root, b"f", None));
    std::thread::sleep(std::time::Duration::from_millis(10));
    fs::write(t.path.join("f"), "copied").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(!t.root.ops.revalidate(&t.root, b"f", None));
    assert!(t.root.ops.revalidate(&t.root, b"old", Some(&old)));
    assert_eq!(t.find("f").unwrap().stat().unwrap().size, 6);
    assert_eq!(list(&t.root), [".", "..", "f", "old", "own"]);
}

#[test]
fn nameless_files() {
    let t = Tree::new(Sharing::Exclusive);
    let f = t.root.ops.tmpfile(&t.root, &node(0o100_600)).unwrap();
    assert_eq!(f.stat().unwrap().nlink, 0);
    f.ops.open(&f, &how(OpenFlags::RDWR)).unwrap();
    t.root.ops.link(&t.root, b"named", &f).unwrap();
    assert!(Arc::ptr_eq(&t.find("named").unwrap(), &f));
    assert_eq!(f.stat().unwrap().nlink, 1);
}

#[test]
fn extended_attributes_and_links() {
    let t = Tree::new(Sharing::Exclusive);
    fs::write(t.path.join("f"), "").unwrap();
    let f = t.find("f").unwrap();
    f.ops.setxattr(&f, b"user.a", b"1", 0).unwrap();
    assert_eq!(f.ops.getxattr(&f, b"user.a"), Ok(b"1".to_vec()));
    assert_eq!(f.ops.listxattr(&f).unwrap(), [b"user.a".to_vec()]);
    assert_eq!(f.ops.getxattr(&f, b"security.capability"), Err(Errno::ENODATA));
    f.ops.removexattr(&f, b"user.a").unwrap();
    let l = t.root.ops.symlink(&t.root, b"l", b"f", &node(0o120_777)).unwrap();
    assert_eq!(l.kind, FileType::Symlink);
    assert_eq!(fs::read_link(t.path.join("l")).unwrap(), PathBuf::from("f"));
}

#[test]
fn a_whole_path_at_once() {
    let t = Tree::new(Sharing::Shared);
    fs::create_dir_all(t.path.join("a/b")).unwrap();
    std::os::unix::fs::symlink("x", t.path.join("a/b/l")).unwrap();
    let (found, error) = t.root.ops.lookup_path(&t.root, &[b"a", b"b", b"l", b"more"]);
    assert_eq!((found.len(), error), (3, None));
    assert_eq!(found[2].kind, FileType::Symlink);
    let (found, error) = t.root.ops.lookup_path(&t.root, &[b"a", b"none", b"x"]);
    assert_eq!((found.len(), error), (1, Some(Errno::ENOENT)));
    assert_eq!(t.root.ops.lookup_path(&t.root, &[b"none", b"x"]).1, Some(Errno::ENOENT));
}
