//! `/proc/PID/fd` and `fdinfo`.

use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::list::number;
use super::{Proc, check_access, owner};
use crate::fs::impls::pseudo::{Attr, DirBuilder, Dynamic, Entry, LinkNode, TextNode};
use crate::fs::perm::{self, MAY_READ};
use crate::fs::{File, FileMode, FileType, Inode, InodeOps, Link, OpenFlags, SuperBlock};
use crate::task::{Task, may_inspect};

/// The open fds of a task.
struct Fds {
    task: Weak<Task>,
    /// Number of the first fd's inode.
    base: u64,
    /// `fdinfo`
    info: bool,
}

fn build(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, ino: u64, info: bool) -> Box<dyn InodeOps> {
    let _ = proc;
    let mut dir = DirBuilder::new(sb);
    dir.dynamic(Fds {
        task: Arc::downgrade(task),
        base: ((ino >> 31) << 31) + if info { 1 << 29 } else { 1 << 28 },
        info,
    });
    dir.into_ops()
}

pub(super) fn dir(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, ino: u64) -> Box<dyn InodeOps> {
    build(proc, sb, task, ino, false)
}

pub(super) fn info_dir(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, ino: u64) -> Box<dyn InodeOps> {
    build(proc, sb, task, ino, true)
}

/// A link's operations with the file that it was made for.
struct FdLink {
    inner: Box<LinkNode>,
    file: Weak<File>,
}

impl InodeOps for FdLink {
    fn stat(&self, inode: &Inode) -> Result<crate::fs::Stat> {
        let mut stat = self.inner.stat(inode)?;
        stat.size = 64;
        Ok(stat)
    }

    fn readlink(&self, inode: &Inode, task: Option<&Arc<Task>>) -> Result<Link> {
        self.inner.readlink(inode, task)
    }

    fn open(&self, inode: &Arc<Inode>, how: &crate::fs::OpenHow) -> Result<Arc<dyn crate::fs::FileOps>> {
        self.inner.open(inode, how)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Fds {
    fn task(&self) -> Result<Arc<Task>> {
        self.task.upgrade().ok_or(Errno::ENOENT)
    }

    fn ino(&self, fd: i32) -> u64 {
        self.base + u64::from(fd.unsigned_abs())
    }

    fn link(&self, task: &Arc<Task>, fd: i32, file: &Arc<File>) -> FdLink {
        let mut mode = 0;
        if file.mode.contains(FileMode::READ) {
            mode |= 0o500;
        }
        if file.mode.contains(FileMode::WRITE) {
            mode |= 0o300;
        }
        let of = self.task.clone();
        let leads = move |me: &Arc<Task>| {
            let task = of.upgrade().ok_or(Errno::ENOENT)?;
            if !may_inspect(me, &task) {
                return Err(Errno::EACCES);
            }
            let file = task.files().get_any(fd).map_err(|_| Errno::ENOENT)?;
            Ok(Link::Jump(file.path.clone()))
        };
        FdLink {
            inner: LinkNode::new(
                Attr {
                    mode,
                    ..owner(task, mode)
                },
                leads,
            ),
            file: Arc::downgrade(file),
        }
    }
}

impl Dynamic for Fds {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let task = self.task()?;
        let fd = number(name)?;
        let file = task.files().get_any(fd).map_err(|_| Errno::ENOENT)?;
        let (ino, sb) = (self.ino(fd), dir.sb.clone());
        if !self.info {
            let link = Box::new(self.link(&task, fd, &file));
            return Ok(Inode::new(link, sb, ino, FileType::Symlink));
        }
        let of = self.task.clone();
        let text = move || show(&of.upgrade().ok_or(Errno::ESRCH)?, fd);
        let node = TextNode::new(owner(&task, 0o400), text);
        Ok(Inode::new(node, sb, ino, FileType::Regular))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let task = self.task()?;
        check_access(&task)?;
        let fds = task.files().list().into_iter();
        let entries = fds.map(|(fd, _)| Entry {
            key: u64::from(fd.unsigned_abs()),
            name: fd.to_string().into_bytes(),
            ino: self.ino(fd),
            kind: if self.info {
                FileType::Regular
            } else {
                FileType::Symlink
            },
        });
        Ok(entries.filter(|e| e.key >= from).collect())
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        let (Ok(task), Ok(fd)) = (self.task(), number(name)) else {
            return false;
        };
        let Ok(file) = task.files().get_any(fd) else {
            return false;
        };
        match child.downcast::<FdLink>() {
            Some(link) => std::ptr::eq(link.file.as_ptr(), Arc::as_ptr(&file)),
            None => self.info,
        }
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, if self.info { 0o555 } else { 0o500 }))
    }

    fn permission(&self, task: &Arc<Task>, want: u32) -> Option<Result<()>> {
        let of = self.task.upgrade()?;
        // A process may always look at its own, whatever its ids have become.
        let own = of.group.tgid == task.group.tgid;
        (own && want & !(MAY_READ | perm::MAY_EXEC) == 0).then_some(Ok(()))
    }
}

fn show(task: &Arc<Task>, fd: i32) -> Result<Vec<u8>> {
    check_access(task)?;
    let files = task.files();
    let file = files.get_any(fd).map_err(|_| Errno::ENOENT)?;
    let mut flags = file.flags();
    if files.cloexec(fd).unwrap_or(false) {
        flags |= OpenFlags::CLOEXEC;
    }
    let pos = *file.pos.lock();
    let mut out = format!(
        "pos:\t{pos}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n",
        flags.bits(),
        file.path.mnt.id,
        file.inode().ino
    );
    out.push_str(&file.ops.fdinfo(&file));
    Ok(out.into_bytes())
}
