//! Inodes of tmpfs.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::conv::usize64;
use abi::errno::Result;

use super::data::{Data, SIZE_MAX};
use super::dir::Dir;
use super::file::{TmpDirFile, TmpFile};
use super::memfd::Seals;
use super::xattr::Xattrs;
use super::{PAGE, TmpFs};
use crate::fs::file::FileOps;
use crate::fs::inode::{Inode, InodeOps, Link, NewNode, OpenHow, SetAttr};
use crate::fs::rename::{RENAME_EXCHANGE, RENAME_WHITEOUT};
use crate::fs::stat::{FileType, Stat, Timestamp};
use crate::fs::super_block::SuperBlock;
use crate::sync::Mutex;
use crate::task::Task;

/// What Linux counts for each entry of a directory (`BOGO_DIRENT_SIZE`).
const DIRENT_SIZE: u64 = 20;

/// What an inode holds.
pub(super) enum Body {
    File(Data),
    Dir(Dir),
    Symlink(Vec<u8>),
    Other,
}

/// Everything that changes.
pub(super) struct State {
    pub(super) mode: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    pub(super) nlink: u32,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    btime: Timestamp,
    xattrs: Xattrs,
    pub(super) seals: Seals,
    pub(super) body: Body,
}

/// An inode of tmpfs.
pub struct TmpInode {
    pub(super) state: Mutex<State>,
    sb: Weak<SuperBlock>,
}

impl State {
    pub(super) fn dir(&self) -> Result<&Dir> {
        match &self.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn dir_mut(&mut self) -> Result<&mut Dir> {
        match &mut self.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn data(&mut self) -> Result<&mut Data> {
        match &mut self.body {
            Body::File(data) => Ok(data),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Contents changed now.
    pub(super) fn touch(&mut self) {
        self.mtime = Timestamp::now();
        self.ctime = self.mtime;
    }

    pub(super) fn stat(&self, sb: &SuperBlock, ino: u64) -> Stat {
        Stat {
            dev: sb.dev,
            ino,
            mode: self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            size: match &self.body {
                Body::File(data) => data.size,
                Body::Dir(dir) => (usize64(dir.len()) + 2) * DIRENT_SIZE,
                Body::Symlink(text) => usize64(text.len()),
                Body::Other => 0,
            },
            blksize: 4096,
            blocks: 0,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
        }
    }
}

pub(super) fn ops(inode: &Inode) -> Result<&TmpInode> {
    inode.downcast::<TmpInode>().ok_or(Errno::EIO)
}

pub(super) fn fs(inode: &Inode) -> Result<&TmpFs> {
    inode.sb.downcast::<TmpFs>().ok_or(Errno::EIO)
}

impl TmpInode {
    /// A new inode; for a directory, `parent` is the one above (itself if none).
    pub(super) fn create(sb: &Arc<SuperBlock>, node: &NewNode, parent: Option<u64>) -> Result<Arc<Inode>> {
        let kind = FileType::from_mode(node.mode).ok_or(Errno::EINVAL)?;
        let body = |ino| match kind {
            FileType::Regular => Body::File(Data::new()),
            FileType::Directory => Body::Dir(Dir::new(parent.unwrap_or(ino))),
            _ => Body::Other,
        };
        TmpInode::make(sb, node, kind, body)
    }

    fn make(
        sb: &Arc<SuperBlock>,
        node: &NewNode,
        kind: FileType,
        body: impl FnOnce(u64) -> Body,
    ) -> Result<Arc<Inode>> {
        let fs = sb.downcast::<TmpFs>().ok_or(Errno::EIO)?;
        let ino = fs.take_inode()?;
        let now = Timestamp::now();
        let state = State {
            mode: (node.mode & 0o7777) | kind.mode_bits(),
            uid: node.uid,
            gid: node.gid,
            rdev: node.rdev,
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            xattrs: Xattrs::default(),
            seals: Seals::SEAL,
            body: body(ino),
        };
        let inode = TmpInode {
            state: Mutex::new(state),
            sb: Arc::downgrade(sb),
        };
        Ok(Inode::new(Box::new(inode), sb.clone(), ino, kind))
    }

    fn add(&self, name: &[u8], inode: Arc<Inode>) -> Result<()> {
        let mut state = self.state.lock();
        let is_dir = inode.is_dir();
        state.dir_mut()?.add(name, inode)?;
        state.nlink += u32::from(is_dir);
        state.touch();
        Ok(())
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let gone = state.dir_mut()?.remove(name)?;
        state.nlink -= u32::from(gone.is_dir());
        state.touch();
        drop(state);
        // Its pages may end here, not under the directory's lock.
        drop(gone);
        Ok(())
    }

    /// One name less (two for a directory, with its own `.`).
    fn unlinked(&self, is_dir: bool) {
        let mut state = self.state.lock();
        state.nlink = if is_dir { 0 } else { state.nlink.saturating_sub(1) };
        state.ctime = Timestamp::now();
    }
}

impl Drop for TmpInode {
    fn drop(&mut self) {
        let Some(sb) = self.sb.upgrade() else { return };
        let Some(fs) = sb.downcast::<TmpFs>() else { return };
        fs.give_inode();
        if let Body::File(data) = &mut self.state.get_mut().body {
            data.release(fs);
        }
    }
}

impl InodeOps for TmpInode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let mut state = self.state.lock();
        let mut st = state.stat(&inode.sb, inode.ino);
        if let Body::File(data) = &mut state.body {
            st.blocks = data.pages(fs(inode)?) * (PAGE / 512);
        }
        Ok(st)
    }

    fn set_attr(&self, inode: &Inode, attr: &SetAttr) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(size) = attr.size {
            if size > SIZE_MAX {
                return Err(Errno::EFBIG);
            }
            let old = state.data()?.size;
            if (size < old && state.seals.contains(Seals::SHRINK)) || (size > old && state.seals.contains(Seals::GROW))
            {
                return Err(Errno::EPERM);
            }
            state.data()?.set_size(fs(inode)?, size)?;
            state.touch();
        }
        if let Some(mode) = attr.mode {
            state.mode = (state.mode & !0o7777) | (mode & 0o7777);
        }
        state.uid = attr.uid.unwrap_or(state.uid);
        state.gid = attr.gid.unwrap_or(state.gid);
        state.atime = attr.atime.unwrap_or(state.atime);
        state.mtime = attr.mtime.unwrap_or(state.mtime);
        state.ctime = Timestamp::now();
        Ok(())
    }

    fn lookup(&self, _: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        self.state.lock().dir()?.get(name).cloned().ok_or(Errno::ENOENT)
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        let inode = TmpInode::create(&dir.sb, node, Some(dir.ino))?;
        self.add(name, inode.clone())?;
        Ok(inode)
    }

    fn tmpfile(&self, dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>> {
        let inode = TmpInode::create(&dir.sb, node, None)?;
        ops(&inode)?.state.lock().nlink = 0;
        Ok(inode)
    }

    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        let text = target.to_vec();
        let inode = TmpInode::make(&dir.sb, node, FileType::Symlink, |_| Body::Symlink(text))?;
        self.add(name, inode.clone())?;
        Ok(inode)
    }

    fn link(&self, _: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        self.add(name, target.clone())?;
        let mut state = ops(target)?.state.lock();
        state.nlink += 1;
        state.ctime = Timestamp::now();
        Ok(())
    }

    fn unlink(&self, _: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        self.remove(name)?;
        ops(target)?.unlinked(false);
        Ok(())
    }

    fn rmdir(&self, _: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        if ops(target)?.state.lock().dir()?.len() > 0 {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove(name)?;
        ops(target)?.unlinked(true);
        Ok(())
    }

    fn rename(&self, _: &Arc<Inode>, name: &[u8], to_dir: &Arc<Inode>, to_name: &[u8], flags: u32) -> Result<()> {
        if flags & RENAME_WHITEOUT != 0 {
            return Err(Errno::EINVAL);
        }
        let to = ops(to_dir)?;
        let moved = self.state.lock().dir()?.get(name).cloned().ok_or(Errno::ENOENT)?;
        let target = to.state.lock().dir()?.get(to_name).cloned();
        if flags & RENAME_EXCHANGE != 0 {
            let target = target.ok_or(Errno::ENOENT)?;
            self.put(name, &target)?;
            to.put(to_name, &moved)?;
        } else {
            match target {
                Some(target) => {
                    let is_dir = target.is_dir();
                    if is_dir && ops(&target)?.state.lock().dir()?.len() > 0 {
                        return Err(Errno::ENOTEMPTY);
                    }
                    to.put(to_name, &moved)?;
                    ops(&target)?.unlinked(is_dir);
                }
                None => to.add(to_name, moved.clone())?,
            }
            self.remove(name)?;
        }
        let mut state = ops(&moved)?.state.lock();
        if let Body::Dir(body) = &mut state.body {
            body.parent = to_dir.ino;
        }
        state.ctime = Timestamp::now();
        drop(state);
        Ok(())
    }

    fn readlink(&self, _: &Inode, _: Option<&Arc<Task>>) -> Result<Link> {
        match &self.state.lock().body {
            Body::Symlink(text) => Ok(Link::Path(text.clone())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, inode: &Arc<Inode>, _: &OpenHow) -> Result<Arc<dyn FileOps>> {
        match inode.kind {
            FileType::Regular => Ok(Arc::new(TmpFile)),
            FileType::Directory => Ok(Arc::new(TmpDirFile)),
            _ => Err(Errno::ENXIO),
        }
    }

    fn getxattr(&self, _: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        self.state.lock().xattrs.get(name)
    }

    fn setxattr(&self, _: &Inode, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        let mut state = self.state.lock();
        state.xattrs.set(name, value, flags)?;
        state.ctime = Timestamp::now();
        Ok(())
    }

    fn listxattr(&self, _: &Inode) -> Result<Vec<Vec<u8>>> {
        Ok(self.state.lock().xattrs.list())
    }

    fn removexattr(&self, _: &Inode, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        state.xattrs.remove(name)?;
        state.ctime = Timestamp::now();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl TmpInode {
    /// Puts another inode under a name that is there.
    fn put(&self, name: &[u8], inode: &Arc<Inode>) -> Result<()> {
        let mut state = self.state.lock();
        let old = state.dir_mut()?.replace(name, inode.clone())?;
        state.nlink = (state.nlink + u32::from(inode.is_dir())).saturating_sub(u32::from(old.is_dir()));
        state.touch();
        drop(state);
        drop(old);
        Ok(())
    }
}
