//! A writable layer above a tree that stays as it is, like Linux's overlayfs: one upper and one lower directory, merged.
//!
//! A name is looked for above, then below. What is changed is first copied up. A name removed above what is below leaves a
//! *whiteout* (a character device 0/0); a directory made in the place of a removed one is *opaque*: nothing below it shows.
//! Unlike Linux's default, hard links of the lower tree stay together when one is copied up (Linux's `index=on`), and all
//! inode numbers stay as they were.
//!
//! Locks: `OverlayInode::copying` (one copy-up of an object), then `OverlayInode::names` of directories (two only in rename,
//! by address), then the maps and states, which are leaves. The layers' own locks come below all of these.

mod copy_up;
mod dir;
mod file;
mod inode;
mod names;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use self::inode::{OverlayInode, Place};
use crate::fs::dentry::Dentry;
use crate::fs::file::{File, FileMode, OpenFlags};
use crate::fs::inode::{Inode, OpenHow, SetAttr};
use crate::fs::mount::{Mount, MountFlags, MountTable};
use crate::fs::namei::Path;
use crate::fs::stat::S_IFMT;
use crate::fs::super_block::{StatFs, SuperBlock, SuperOps};
use crate::sync::Mutex;

/// Where the upper layer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// In memory: gone with the sandbox.
    Memory,
    /// In a directory: opaque directories are marked there.
    Directory,
}

/// Marks inode numbers of files that were made above, so that none is that of a file below.
const MADE_ABOVE: u64 = 1 << 56;

const OPAQUE: &[u8] = b"user.overlay.opaque";

/// One overlay.
pub struct OverlayFs {
    upper: Arc<Mount>,
    lower: Arc<Mount>,
    kind: Upper,
    state: Mutex<Maps>,
}

#[derive(Default)]
struct Maps {
    /// Live inodes by the address of a layer's inode, which they keep alive.
    live: HashMap<usize, Weak<Inode>>,
    /// Inode numbers of what was copied up, by the number above.
    origins: HashMap<u64, u64>,
    /// Files below with several names, by their number.
    linked: HashMap<u64, Linked>,
    /// Opaque directories, by the number above.
    opaque: HashSet<u64>,
}

/// A file below that has several names.
#[derive(Default)]
struct Linked {
    /// Its copy above: all names lead there.
    upper: Option<Arc<Inode>>,
    /// Names gained and lost.
    delta: i64,
}

/// The super block's part.
pub struct OverlaySuper {
    fs: Arc<OverlayFs>,
}

/// Puts `upper` above `lower`.
pub fn new(
    table: &Arc<MountTable>,
    upper: &Arc<SuperBlock>,
    lower: &Arc<SuperBlock>,
    kind: Upper,
) -> Result<Arc<SuperBlock>> {
    let layer = |sb: &Arc<SuperBlock>, flags| {
        let root = Dentry::new_root(sb.root()?);
        Ok(Mount::new(table, sb.clone(), root, flags, b"overlay"))
    };
    let fs = Arc::new(OverlayFs {
        upper: layer(upper, MountFlags::empty())?,
        lower: layer(lower, MountFlags::RDONLY)?,
        kind,
        state: Mutex::new(Maps::default()),
    });
    if kind == Upper::Memory {
        // A directory above is what it is, as on Linux; one in memory was made for this and looks like what it covers.
        let (above, below) = (upper.root()?, lower.root()?.stat()?);
        let attr = SetAttr {
            mode: Some(below.mode & !S_IFMT),
            uid: Some(below.uid),
            gid: Some(below.gid),
            atime: Some(below.atime),
            mtime: Some(below.mtime),
            ..SetAttr::default()
        };
        above.ops.set_attr(&above, &attr)?;
    }
    let sb = SuperBlock::new(Box::new(OverlaySuper { fs: fs.clone() }), "overlay");
    sb.set_root(fs.inode(&sb, Some(upper.root()?), Some(lower.root()?), None)?);
    Ok(sb)
}

fn address(inode: &Arc<Inode>) -> usize {
    Arc::as_ptr(inode).addr()
}

impl OverlayFs {
    /// The inode of a merged object: the live one, or a new one.
    fn inode(
        self: &Arc<Self>,
        sb: &Arc<SuperBlock>,
        upper: Option<Arc<Inode>>,
        lower: Option<Arc<Inode>>,
        place: Option<Place>,
    ) -> Result<Arc<Inode>> {
        let key = upper.as_ref().or(lower.as_ref()).ok_or(Errno::ENOENT)?;
        let key = address(key);
        let linked = match &lower {
            Some(lower) if !lower.is_dir() => lower.stat()?.nlink > 1,
            _ => false,
        };
        let mut maps = self.state.lock();
        if let Some(inode) = maps.live.get(&key).and_then(Weak::upgrade) {
            return Ok(inode);
        }
        let copied = match &lower {
            Some(lower) if linked => maps.linked.get(&lower.ino).and_then(|l| l.upper.clone()),
            _ => None,
        };
        let upper = upper.or(copied);
        if let Some(upper) = &upper
            && let Some(inode) = maps.live.get(&address(upper)).and_then(Weak::upgrade)
        {
            return Ok(inode);
        }
        let real = upper.as_ref().or(lower.as_ref()).ok_or(Errno::ENOENT)?.clone();
        let ino = match (&upper, &lower) {
            (_, Some(lower)) => lower.ino,
            (Some(upper), None) => maps.origins.get(&upper.ino).copied().unwrap_or(upper.ino | MADE_ABOVE),
            (None, None) => return Err(Errno::ENOENT),
        };
        let keys: Vec<usize> = [&upper, &lower].into_iter().flatten().map(address).collect();
        let ops = OverlayInode::new(self, upper, lower, place, linked);
        let inode = Inode::new(Box::new(ops), sb.clone(), ino, real.kind);
        OverlayInode::of(&inode)?.set_self(&inode);
        for key in keys {
            maps.live.insert(key, Arc::downgrade(&inode));
        }
        Ok(inode)
    }

    /// A copy came to be above: it stands for the same object.
    fn copied(&self, inode: &Arc<Inode>, upper: &Arc<Inode>, linked_lower: Option<u64>) {
        let mut maps = self.state.lock();
        maps.live.insert(address(upper), Arc::downgrade(inode));
        maps.origins.insert(upper.ino, inode.ino);
        if let Some(lower) = linked_lower {
            maps.linked.entry(lower).or_default().upper = Some(upper.clone());
        }
    }

    /// An inode ends: forgets it under its addresses.
    fn ended(&self, layers: [Option<&Arc<Inode>>; 2]) {
        let mut maps = self.state.lock();
        for key in layers.into_iter().flatten().map(address) {
            if maps.live.get(&key).is_some_and(|w| w.strong_count() == 0) {
                maps.live.remove(&key);
            }
        }
    }

    /// Opens a file of a layer, for this file system itself.
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<Arc<File>> {
        let mnt = if Arc::ptr_eq(&inode.sb, &self.upper.sb) {
            &self.upper
        } else {
            &self.lower
        };
        let ops = inode.ops.open(inode, &OpenHow { flags })?;
        Ok(self.file(mnt, inode, ops, flags))
    }

    fn file(
        &self,
        mnt: &Arc<Mount>,
        inode: &Arc<Inode>,
        ops: Arc<dyn crate::fs::file::FileOps>,
        flags: OpenFlags,
    ) -> Arc<File> {
        let path = Path {
            mnt: mnt.clone(),
            dentry: Dentry::new_root(inode.clone()),
        };
        let mode = flags.file_mode() | FileMode::SEEK;
        File::new(ops, path, mode, flags)
    }

    /// The number that users see for a file above.
    fn number_above(&self, upper_ino: u64) -> u64 {
        self.state
            .lock()
            .origins
            .get(&upper_ino)
            .copied()
            .unwrap_or(upper_ino | MADE_ABOVE)
    }

    fn is_opaque(&self, upper: &Arc<Inode>) -> bool {
        if self.state.lock().opaque.contains(&upper.ino) {
            return true;
        }
        let marked = self.kind == Upper::Directory && upper.ops.getxattr(upper, OPAQUE).is_ok_and(|v| v == b"y");
        if marked {
            self.state.lock().opaque.insert(upper.ino);
        }
        marked
    }

    fn set_opaque(&self, upper: &Arc<Inode>) -> Result<()> {
        self.state.lock().opaque.insert(upper.ino);
        match self.kind {
            Upper::Memory => Ok(()),
            Upper::Directory => upper.ops.setxattr(upper, OPAQUE, b"y", 0),
        }
    }

    /// A file above is gone for good: its number may come back.
    fn forget_number(&self, upper_ino: u64) {
        let mut maps = self.state.lock();
        maps.origins.remove(&upper_ino);
        maps.opaque.remove(&upper_ino);
    }

    /// A file below with several names gained or lost one.
    fn count_names(&self, lower_ino: u64, by: i64) {
        let mut maps = self.state.lock();
        let linked = maps.linked.entry(lower_ino).or_default();
        linked.delta = linked.delta.saturating_add(by);
    }

    /// No name leads to the copy any more; whoever has it open holds it.
    fn forget_copy(&self, own: &OverlayInode) {
        let lower = own.layers().1.map(|l| l.ino);
        let copy = lower.and_then(|ino| self.state.lock().linked.get_mut(&ino)?.upper.take());
        drop(copy);
    }

    fn names_delta(&self, lower_ino: u64) -> i64 {
        self.state.lock().linked.get(&lower_ino).map_or(0, |l| l.delta)
    }
}

impl SuperOps for OverlaySuper {
    fn statfs(&self) -> Result<StatFs> {
        let upper = self.fs.upper.sb.ops.statfs()?;
        Ok(StatFs {
            magic: OVERLAYFS_SUPER_MAGIC,
            ..upper
        })
    }

    fn sync(&self) -> Result<()> {
        self.fs.upper.sb.ops.sync()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
