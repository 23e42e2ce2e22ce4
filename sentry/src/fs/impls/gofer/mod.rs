//! Files of the host, through the Gofer: the rootfs and bind mounts of a container.
//!
//! Names, attributes and opening go through [`gofer::Client`]; an open file is a donated host descriptor that reads, writes
//! and mappings use directly. With exclusive access names and attributes are trusted for a moment ([`Sharing`]), and a change
//! from outside (`docker cp`) is noticed by the directory's change time.
//!
//! Locks: `Fs::inodes` (and in it those of `Commons`), `Fs::idle` and an inode's state are leaves; none is held while another is taken or while the Gofer
//! is asked.

mod dir;
mod file;
mod inode;
mod names;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;
use gofer::Client;
use gofer::client::{Entry, NodeId};
use gofer::proto::Attr;

use self::inode::GoferInode;
use self::state::Place;
use crate::executor::Executor;
use crate::fs::inode::{Inode, InodeOps};
use crate::fs::meeting::Commons;
use crate::fs::stat::FileType;
use crate::fs::super_block::{StatFs, SuperBlock, SuperOps};
use crate::sync::Mutex;

/// Who else may change the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody, but for the engine now and then: what is known is trusted for a second.
    Exclusive,
    /// Anybody at any time: every path walk asks again.
    Shared,
}

impl Sharing {
    /// How long attributes are trusted, in nanoseconds. The short time for shared files lets the walk's answer serve the
    /// `stat` that it was made for.
    const fn trust_ns(self) -> u64 {
        match self {
            Sharing::Exclusive => 1_000_000_000,
            Sharing::Shared => 200_000,
        }
    }
}

/// Files without open descriptions whose read-only descriptor is kept for the next `open`.
const MAX_IDLE: usize = 512;

/// One mounted tree.
pub struct Fs {
    client: Arc<Client>,
    /// None in tests.
    executor: Option<Arc<Executor>>,
    sharing: Sharing,
    /// Where the users of its files meet those of other mounts.
    commons: Option<Arc<Commons>>,
    /// Live inodes by host device and inode number: hard links share one.
    inodes: Mutex<HashMap<(u64, u64), Weak<Inode>>>,
    /// Inodes that keep a descriptor for later, oldest first.
    idle: Mutex<VecDeque<Weak<Inode>>>,
}

/// The super block's part.
pub struct GoferSuper {
    fs: Arc<Fs>,
    root: NodeId,
}

/// Mounts the Gofer's mount of that index.
pub fn mount(
    client: &Arc<Client>,
    executor: Option<&Arc<Executor>>,
    index: u32,
    sharing: Sharing,
    commons: Option<&Arc<Commons>>,
) -> Result<Arc<SuperBlock>> {
    if let Some(executor) = executor.cloned() {
        // A reply that waits for a disk must not hold up other tasks.
        client.on_slow(Box::new(move |work| executor.blocking(work)));
    }
    let root = client.attach(index)?;
    let fs = Arc::new(Fs {
        client: client.clone(),
        executor: executor.cloned(),
        sharing,
        commons: commons.cloned(),
        inodes: Mutex::new(HashMap::new()),
        idle: Mutex::new(VecDeque::new()),
    });
    let ops = GoferSuper {
        fs: fs.clone(),
        root: root.node,
    };
    let sb = match commons {
        Some(commons) => SuperBlock::with_marks(Box::new(ops), "gofer", commons.marks()),
        None => SuperBlock::new(Box::new(ops), "gofer"),
    };
    sb.set_root(fs.adopt(&sb, root, None, None, Executor::now())?);
    Ok(sb)
}

impl Fs {
    /// The inode for what the Gofer told of, asked at that time: the live one, or a new one. Takes over the entry's reference to its node;
    /// without a node, `place` says where the file is.
    fn adopt(
        self: &Arc<Self>,
        sb: &Arc<SuperBlock>,
        entry: Entry,
        link: Option<Vec<u8>>,
        place: Option<Place>,
        asked: u64,
    ) -> Result<Arc<Inode>> {
        let kind = FileType::from_mode(entry.attr.mode).ok_or(Errno::EIO)?;
        let key = (entry.attr.dev, entry.attr.ino);
        let mut inodes = self.inodes.lock();
        let have = inodes.get(&key).and_then(Weak::upgrade);
        if let Some(inode) = have.as_ref().filter(|i| i.kind == kind) {
            drop(inodes);
            GoferInode::of(inode)?.refresh(entry.node, &entry.attr, asked);
            return Ok(inode.clone());
        }
        let new = GoferInode::new(self, entry, link, place, asked);
        let ops: Box<dyn InodeOps> = Box::new(new);
        let inode = match &self.commons {
            Some(commons) => Inode::shared(
                ops,
                sb.clone(),
                entry.attr.ino,
                kind,
                commons.meeting(key.0, key.1, kind),
            ),
            None => Inode::new(ops, sb.clone(), entry.attr.ino, kind),
        };
        inodes.insert(key, Arc::downgrade(&inode));
        // `have` may be the last reference to the old holder of the number, whose end takes the lock.
        drop(inodes);
        Ok(inode)
    }

    /// Runs work that waits for a disk, the worker's place left to another.
    fn blocking<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.executor {
            Some(executor) => executor.blocking(work),
            None => work(),
        }
    }

    /// The inode of a host file, if it is in use.
    fn live(&self, attr: &Attr) -> Option<Arc<Inode>> {
        self.inodes.lock().get(&(attr.dev, attr.ino)).and_then(Weak::upgrade)
    }

    /// The file has no name any more: its inode number may come back for another.
    fn unhash(&self, attr: &Attr) {
        self.inodes.lock().remove(&(attr.dev, attr.ino));
        if let Some(commons) = &self.commons {
            commons.forget(attr.dev, attr.ino);
        }
    }

    /// An inode ends.
    fn ended(&self, key: (u64, u64)) {
        let mut inodes = self.inodes.lock();
        if inodes.get(&key).is_some_and(|w| w.strong_count() == 0) {
            inodes.remove(&key);
        }
    }

    /// Keeps the inode's descriptor for the next `open`, and lets the longest unused one go.
    fn keep_idle(&self, inode: &Arc<Inode>) {
        let victim = {
            let mut idle = self.idle.lock();
            idle.push_back(Arc::downgrade(inode));
            if idle.len() > MAX_IDLE { idle.pop_front() } else { None }
        };
        if let Some(victim) = victim.and_then(|v| v.upgrade())
            && let Some(own) = victim.downcast::<GoferInode>()
        {
            own.close_idle();
        }
    }
}

impl SuperOps for GoferSuper {
    fn statfs(&self) -> Result<StatFs> {
        let st = self.fs.client.statfs(self.root)?;
        Ok(StatFs {
            magic: st.fs_type,
            bsize: st.bsize,
            blocks: st.blocks,
            bfree: st.bfree,
            bavail: st.bavail,
            files: st.files,
            ffree: st.ffree,
            namelen: st.namelen,
        })
    }

    fn sync(&self) -> Result<()> {
        self.fs.blocking(|| self.fs.client.syncfs(self.root))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
