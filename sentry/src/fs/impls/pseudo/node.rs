//! Attributes, and links.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::fs::{FileOps, FileType, Inode, InodeOps, Link, OpenHow, SetAttr, Stat, Timestamp};
use crate::task::Task;

/// Mode and owner.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attr {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attr {
    /// Of root.
    pub const fn root(mode: u32) -> Attr {
        Attr { mode, uid: 0, gid: 0 }
    }

    /// All that `stat(2)` tells of such an inode.
    pub fn stat(&self, inode: &Inode, nlink: u32, size: u64) -> Stat {
        let now = Timestamp::now();
        Stat {
            dev: inode.sb.dev,
            ino: inode.ino,
            mode: inode.kind.mode_bits() | self.mode,
            nlink,
            uid: self.uid,
            gid: self.gid,
            size,
            blksize: if inode.kind == FileType::Symlink { 1024 } else { 4096 },
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            ..Stat::default()
        }
    }
}

/// Truncation means nothing here, other changes are refused.
pub(super) fn set_attr(attr: &SetAttr) -> Result<()> {
    if attr.mode.is_some() || attr.uid.is_some() || attr.gid.is_some() {
        Err(Errno::EPERM)
    } else {
        Ok(())
    }
}

/// Tells where a link leads, for a task.
enum Leads {
    /// The same for everybody.
    Fixed(&'static str),
    /// Depends on the task.
    For(Box<dyn Fn(&Arc<Task>) -> Result<Link> + Send + Sync>),
}

/// A symbolic link.
pub struct LinkNode {
    attr: Attr,
    leads: Leads,
}

impl LinkNode {
    /// A link that leads where the closure says.
    pub fn new(attr: Attr, leads: impl Fn(&Arc<Task>) -> Result<Link> + Send + Sync + 'static) -> Box<LinkNode> {
        let leads = Leads::For(Box::new(leads));
        Box::new(LinkNode { attr, leads })
    }

    /// A link to a fixed place.
    pub fn text(target: &'static str) -> Box<LinkNode> {
        Box::new(LinkNode {
            attr: Attr::root(0o777),
            leads: Leads::Fixed(target),
        })
    }
}

impl InodeOps for LinkNode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        Ok(self.attr.stat(inode, 1, 0))
    }

    fn readlink(&self, _inode: &Inode, task: Option<&Arc<Task>>) -> Result<Link> {
        match (&self.leads, task) {
            (Leads::Fixed(target), _) => Ok(Link::Path(target.as_bytes().to_vec())),
            (Leads::For(leads), Some(task)) => leads(task),
            // Nobody asks on whose behalf: the container is being built.
            (Leads::For(_), None) => Err(Errno::ENOENT),
        }
    }

    fn open(&self, _inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ELOOP)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
