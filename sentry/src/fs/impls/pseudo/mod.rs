//! What file systems without storage share (`proc`, `sysfs`, `cgroup`): fixed directories, directories whose names come and
//! go, files whose text is made when read, links.

mod dir;
mod node;
mod text;

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::errno::Result;

use crate::fs::{FileType, Inode, InodeOps, StatFs, SuperBlock, SuperOps};
use crate::sync::Mutex;

pub use dir::{Dir, DirBuilder, Dynamic, Entry};
pub use node::{Attr, LinkNode};
pub use text::{Text, TextFile, TextNode, is_shared_text, parse_number, trim, write_text};

/// The super block of such a file system.
pub struct PseudoFs {
    magic: u64,
    options: String,
    next_ino: AtomicU64,
    /// Inodes of things that come and go: one object has one inode as long as somebody uses it.
    live: Mutex<HashMap<u64, Weak<Inode>>>,
}

impl PseudoFs {
    /// No root yet; numbers of fixed inodes start at 1.
    pub fn new(magic: u64, options: String) -> PseudoFs {
        PseudoFs {
            magic,
            options,
            next_ino: AtomicU64::new(1),
            live: Mutex::default(),
        }
    }

    /// Of an inode's file system.
    pub fn of(sb: &SuperBlock) -> Option<&PseudoFs> {
        sb.downcast::<PseudoFs>()
    }

    fn fixed_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }
}

/// A new inode that lives as long as its directory.
pub fn fixed(sb: &Arc<SuperBlock>, kind: FileType, ops: Box<dyn InodeOps>) -> Arc<Inode> {
    let ino = PseudoFs::of(sb).map_or(1, PseudoFs::fixed_ino);
    Inode::new(ops, sb.clone(), ino, kind)
}

/// The inode with that number, made if nobody uses it. Number 0xffff_ffff and below are for fixed ones.
pub fn live(sb: &Arc<SuperBlock>, ino: u64, kind: FileType, make: impl FnOnce() -> Box<dyn InodeOps>) -> Arc<Inode> {
    let Some(fs) = PseudoFs::of(sb) else {
        return Inode::new(make(), sb.clone(), ino, kind);
    };
    let mut live = fs.live.lock();
    if let Some(inode) = live.get(&ino).and_then(Weak::upgrade)
        && inode.kind == kind
    {
        return inode;
    }
    if live.len().is_power_of_two() && live.len() >= 1024 {
        live.retain(|_, i| i.strong_count() > 0);
    }
    let inode = Inode::new(make(), sb.clone(), ino, kind);
    live.insert(ino, Arc::downgrade(&inode));
    inode
}

impl SuperOps for PseudoFs {
    /// Names are cheap to find again, and those of ended tasks keep the tasks in memory.
    fn cached_names(&self) -> usize {
        512
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            magic: self.magic,
            bsize: 4096,
            namelen: 255,
            ..StatFs::default()
        })
    }

    fn show_options(&self) -> String {
        self.options.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
