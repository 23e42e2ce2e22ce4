//! `/proc/PID/ns`

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::{Proc, check_access, owner};
use crate::fs::impls::pseudo::{Attr, DirBuilder, Dynamic, Entry, LinkNode, live};
use crate::fs::{File, FileMode, FileOps, FileType, Inode, InodeOps, Link, OpenFlags, OpenHow, Path, Stat, SuperBlock};
use crate::kernel::Kernel;
use crate::task::{Namespace, NsFile, Task, may_inspect};

/// Names, and kinds of namespaces.
const NAMES: [(&str, &str); 10] = [
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mnt", "mnt"),
    ("net", "net"),
    ("pid", "pid"),
    ("pid_for_children", "pid"),
    ("time", "time"),
    ("time_for_children", "time"),
    ("user", "user"),
    ("uts", "uts"),
];

struct Links {
    task: Weak<Task>,
    base: u64,
    proc: Arc<Proc>,
}

pub(super) fn dir(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, ino: u64) -> Box<dyn InodeOps> {
    let mut dir = DirBuilder::new(sb);
    dir.dynamic(Links {
        task: Arc::downgrade(task),
        base: ((ino >> 31) << 31) + (1 << 27),
        proc: proc.clone(),
    });
    dir.into_ops()
}

/// A namespace as a file: its number is the inode's.
struct NsNode {
    ns: Namespace,
    id: u64,
}

impl InodeOps for NsNode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let mut stat = Attr::root(0o444).stat(inode, 1, 0);
        stat.ino = self.id;
        Ok(stat)
    }

    fn open(&self, _inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(NsFile { ns: self.ns.clone() }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file of a namespace, as opening its link gives.
pub(crate) fn ns_file(kernel: &Kernel, ns: Namespace) -> Arc<File> {
    let (id, kind) = (ns.id(), ns.name());
    let node = NsNode { ns: ns.clone(), id };
    let mnt = &kernel.vfs.anon.inode;
    let inode = Inode::new(Box::new(node), mnt.sb.clone(), id, FileType::Regular);
    let path = Path::new_unnamed(mnt, inode, format!("{kind}:[{id}]").as_bytes());
    File::new(Arc::new(NsFile { ns }), path, FileMode::READ, OpenFlags::LARGEFILE)
}

fn find(task: &Task, file: &str, kind: &str) -> Result<Namespace> {
    match file {
        "pid_for_children" => Ok(Namespace::Pid(task.ns().pid_for_children.clone())),
        "time_for_children" => Ok(Namespace::Time(task.ns().time_for_children.clone())),
        _ => {
            let mut all = Namespace::of(task).into_iter();
            all.find(|n| n.name() == kind).ok_or(Errno::ENOENT)
        }
    }
}

impl Dynamic for Links {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let found = NAMES.iter().enumerate().find(|(_, n)| n.0.as_bytes() == name);
        let (index, &(file, kind)) = found.ok_or(Errno::ENOENT)?;
        let task = self.task.clone();
        let kernel = self.proc.kernel.clone();
        let leads = move |me: &Arc<Task>| {
            let task = task.upgrade().ok_or(Errno::ENOENT)?;
            if !may_inspect(me, &task) {
                return Err(Errno::EACCES);
            }
            let ns = find(&task, file, kind)?;
            let id = ns.id();
            let mnt = &kernel.vfs.anon.inode;
            let inode = Inode::new(Box::new(NsNode { ns, id }), mnt.sb.clone(), id, FileType::Regular);
            Ok(Link::Jump(Path::new_unnamed(
                mnt,
                inode,
                format!("{kind}:[{id}]").as_bytes(),
            )))
        };
        let ino = self.base + abi::conv::usize64(index);
        Ok(live(&dir.sb, ino, FileType::Symlink, || {
            LinkNode::new(Attr::root(0o777), leads)
        }))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        check_access(&self.task.upgrade().ok_or(Errno::ENOENT)?)?;
        let entries = NAMES.iter().enumerate().map(|(i, n)| Entry {
            key: abi::conv::usize64(i),
            name: n.0.as_bytes().to_vec(),
            ino: self.base + abi::conv::usize64(i),
            kind: FileType::Symlink,
        });
        Ok(entries.filter(|e| e.key >= from).collect())
    }

    fn is_valid(&self, _name: &[u8], _child: &Inode) -> bool {
        self.task.strong_count() > 0
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, 0o511))
    }
}
