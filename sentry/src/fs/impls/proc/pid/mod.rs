//! `/proc/PID` and `/proc/PID/task/TID`.

pub(in crate::fs::impls::proc) mod cgroup;
mod fd;
mod idmap;
mod limits;
mod list;
mod maps;
mod mem;
pub(super) mod mounts;
mod names;
pub(crate) mod ns;
mod settings;
mod stat;
mod status;
mod timens;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

pub(super) use self::list::Processes;
use self::names::{In, Kind, NAMES, Name};
use super::Proc;
use crate::fs::impls::pseudo::{Attr, Dir, DirBuilder, Dynamic, Entry, LinkNode, Text, TextNode, live};
use crate::fs::{FileType, Inode, InodeOps, Link, SuperBlock};
use crate::task::{Task, current, may_inspect};

/// The caller may look into the process.
fn check_access(task: &Arc<Task>) -> Result<()> {
    match current() {
        Some(me) if !may_inspect(&me, task) => Err(Errno::EACCES),
        _ => Ok(()),
    }
}

/// Owner of a process's files: its effective ids, or root if it is not dumpable.
fn owner(task: &Task, mode: u32) -> Attr {
    let cred = task.cred();
    if mode == 0o555 || task.group.dumpable.load(Ordering::Relaxed) == 1 {
        Attr {
            mode,
            uid: cred.euid,
            gid: cred.egid,
        }
    } else {
        Attr::root(mode)
    }
}

/// Names of one process or thread.
struct TaskDir {
    proc: Arc<Proc>,
    task: Weak<Task>,
    place: In,
}

impl TaskDir {
    fn task(&self) -> Result<Arc<Task>> {
        self.task.upgrade().ok_or(Errno::ENOENT)
    }

    fn is_here(&self, name: &Name) -> bool {
        name.place == In::Both || name.place == self.place
    }

    /// Numbers of threads' directories lie apart from those of processes'.
    fn ino(&self, task: &Arc<Task>, index: usize) -> u64 {
        let thread = if self.place == In::Thread { 1 << 31 } else { 0 };
        self.proc.ino_base(task) + thread + 1 + abi::conv::usize64(index)
    }
}

impl Dynamic for TaskDir {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let task = self.task()?;
        let found = NAMES
            .iter()
            .enumerate()
            .find(|(_, n)| n.name.as_bytes() == name && self.is_here(n));
        let (index, name) = found.ok_or(Errno::ENOENT)?;
        let ino = self.ino(&task, index);
        let kind = match &name.kind {
            Kind::Plain(..) | Kind::Private(..) => FileType::Regular,
            Kind::Magic(_) => FileType::Symlink,
            Kind::Other(kind, _) => *kind,
        };
        Ok(live(&dir.sb, ino, kind, || make(&self.proc, &dir.sb, &task, name, ino)))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let task = self.task()?;
        let names = NAMES.iter().enumerate().filter(|(_, n)| self.is_here(n));
        let entries = names.map(|(i, n)| Entry {
            key: abi::conv::usize64(i),
            name: n.name.as_bytes().to_vec(),
            ino: self.ino(&task, i),
            kind: match &n.kind {
                Kind::Plain(..) | Kind::Private(..) => FileType::Regular,
                Kind::Magic(_) => FileType::Symlink,
                Kind::Other(kind, _) => *kind,
            },
        });
        Ok(entries.filter(|e| e.key >= from).collect())
    }

    fn is_valid(&self, _name: &[u8], _child: &Inode) -> bool {
        self.task.strong_count() > 0
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, 0o555))
    }

    fn permission(&self, reader: &Arc<Task>, _want: u32) -> Option<Result<()>> {
        let task = self.task.upgrade()?;
        let denied = !self.proc.options.opens(reader, &task);
        denied.then_some(Err(Errno::EPERM))
    }
}

fn make(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, name: &'static Name, ino: u64) -> Box<dyn InodeOps> {
    match &name.kind {
        Kind::Plain(..) | Kind::Private(..) => TextNode::new(
            Attr::root(name.mode),
            TaskText {
                proc: proc.clone(),
                task: Arc::downgrade(task),
                name,
            },
        ),
        Kind::Magic(follow) => {
            let task = Arc::downgrade(task);
            let leads = move |me: &Arc<Task>| {
                let task = task.upgrade().ok_or(Errno::ENOENT)?;
                if !may_inspect(me, &task) {
                    return Err(Errno::EACCES);
                }
                Ok(Link::Jump(follow(&task)?))
            };
            LinkNode::new(Attr::root(name.mode), leads)
        }
        Kind::Other(_, make) => make(proc, sb, task, ino),
    }
}

/// A file of a process.
struct TaskText {
    proc: Arc<Proc>,
    task: Weak<Task>,
    name: &'static Name,
}

impl Text for TaskText {
    fn read(&self) -> Result<Vec<u8>> {
        let task = self.task.upgrade().ok_or(Errno::ESRCH)?;
        match &self.name.kind {
            Kind::Plain(read, _) | Kind::Private(read, _) => read(&self.proc, &task),
            Kind::Magic(_) | Kind::Other(..) => Err(Errno::EINVAL),
        }
    }

    fn write(&self, data: &[u8], pos: u64) -> Result<usize> {
        let task = self.task.upgrade().ok_or(Errno::ESRCH)?;
        match &self.name.kind {
            Kind::Plain(_, Some(write)) | Kind::Private(_, Some(write)) => write(&self.proc, &task, data, pos),
            _ => Err(Errno::EINVAL),
        }
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, self.name.mode))
    }

    fn open(&self) -> Result<()> {
        match self.name.kind {
            Kind::Private(..) => check_access(&self.task.upgrade().ok_or(Errno::ESRCH)?),
            _ => Ok(()),
        }
    }
}

fn task_dir(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, place: In) -> Arc<Inode> {
    let thread = if place == In::Thread { 1 << 31 } else { 0 };
    let ino = proc.ino_base(task) + thread;
    live(sb, ino, FileType::Directory, || {
        let mut dir = DirBuilder::new(sb);
        dir.dynamic(TaskDir {
            proc: proc.clone(),
            task: Arc::downgrade(task),
            place,
        });
        dir.into_ops() as Box<Dir>
    })
}

/// The process whose directory this is, for `pidfd_send_signal(2)`.
pub(crate) fn process_of(inode: &Inode) -> Option<Arc<crate::task::ThreadGroup>> {
    let dir = inode.ops.as_any().downcast_ref::<Dir>()?;
    let task = dir.dynamic::<TaskDir>().filter(|d| d.place == In::Process)?;
    task.task.upgrade().map(|t| t.group.clone())
}
