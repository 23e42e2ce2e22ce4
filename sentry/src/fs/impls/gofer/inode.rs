//! One file of the host: attributes, descriptors, extended attributes.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use gofer::client::{Entry, NodeId, SetAttr as WireSetAttr, TimeSet, open};
use gofer::proto::{Attr, Time};

use super::dir::DirFile;
use super::file::RegularFile;
use super::state::{Place, State, host_attr};
use super::{Fs, Sharing};
use crate::executor::Executor;
use crate::fs::file::{FileMode, FileOps, OpenFlags};
use crate::fs::inode::{Inode, InodeOps, Link, NewNode, OpenHow, SetAttr};
use crate::fs::stat::{FileType, Stat, Timestamp};
use crate::sync::{Mutex, MutexGuard};
use crate::task::Task;

/// What the file system knows of an inode.
pub struct GoferInode {
    pub(super) fs: Arc<Fs>,
    key: (u64, u64),
    state: Mutex<State>,
}

/// How long owner and group of an open file are trusted.
const OWNER_TRUST_NS: u64 = 1_000_000_000;

const READ: usize = 0;
const WRITE: usize = 1;
const BOTH: usize = 2;

impl GoferInode {
    pub(super) fn new(
        fs: &Arc<Fs>,
        entry: Entry,
        link: Option<Vec<u8>>,
        place: Option<Place>,
        asked: u64,
    ) -> GoferInode {
        GoferInode {
            fs: fs.clone(),
            key: (entry.attr.dev, entry.attr.ino),
            state: Mutex::new(State {
                node: entry.node,
                place,
                attr: entry.attr,
                attr_at: asked,
                owner_at: asked,
                changes: 0,
                fds: [const { None }; 3],
                link,
                no_caps_at: 0,
                names: None,
                epoch: 0,
                rechecked: std::collections::HashMap::new(),
                walked_at: 0,
            }),
        }
    }

    /// The file system's part of an inode of ours.
    pub(super) fn of(inode: &Inode) -> Result<&GoferInode> {
        inode.downcast::<GoferInode>().ok_or(Errno::EXDEV)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The host's device and inode number.
    pub(super) fn key(&self) -> (u64, u64) {
        self.key
    }

    /// Takes news of the file, asked for at that time, and a reference to its node (0: none).
    pub(super) fn refresh(&self, node: NodeId, attr: &Attr, asked: u64) {
        let surplus = {
            let mut st = self.state.lock();
            st.note(attr, asked);
            if st.node == 0 && node != 0 {
                st.node = node;
                st.place = None;
                0
            } else {
                node
            }
        };
        self.fs.client.forget(surplus);
    }

    /// The node, found by its place if need be.
    pub(super) fn node(&self) -> Result<NodeId> {
        let place = {
            let st = self.state.lock();
            if st.node != 0 {
                return Ok(st.node);
            }
            st.place.clone().ok_or(Errno::ESTALE)?
        };
        let dir = GoferInode::of(&place.dir)?.node()?;
        let asked = Executor::now();
        let walked = self.fs.client.walk(dir, &[&place.name])?;
        let entry = walked.entries.first().ok_or(Errno::ESTALE)?;
        if (entry.attr.dev, entry.attr.ino) != self.key {
            self.fs.client.forget(entry.node);
            return Err(Errno::ESTALE);
        }
        self.refresh(entry.node, &entry.attr, asked);
        Ok(self.state.lock().node)
    }

    /// Attributes: from an open descriptor, from memory while they can be trusted, or from the Gofer.
    pub(super) fn attr(&self) -> Result<Attr> {
        let now = Executor::now();
        let mut st = self.state.lock();
        match st.any_fd().cloned() {
            Some(fd) if now.saturating_sub(st.owner_at) < OWNER_TRUST_NS => {
                st.note_host(&host_attr(&fd)?, now);
                Ok(st.attr)
            }
            None if now.saturating_sub(st.attr_at) < self.fs.sharing.trust_ns() => Ok(st.attr),
            _ => {
                drop(st);
                self.ask_attr()
            }
        }
    }

    fn ask_attr(&self) -> Result<Attr> {
        let lazy = self.state.lock().node == 0;
        let node = self.node()?;
        if lazy {
            // Finding the node brought the attributes.
            return Ok(self.state.lock().attr);
        }
        let asked = Executor::now();
        let attr = self.fs.client.getattr(node)?;
        let mut st = self.state.lock();
        st.note(&attr, asked);
        Ok(st.attr)
    }

    /// A descriptor with that access; kept, so that others can share it.
    fn fd(&self, mode: FileMode) -> Result<Arc<OwnedFd>> {
        let slots: &[usize] = match (mode.contains(FileMode::READ), mode.contains(FileMode::WRITE)) {
            (true, true) => &[BOTH],
            (false, true) => &[WRITE, BOTH],
            _ => &[READ],
        };
        let place = {
            let st = self.state.lock();
            if let Some(fd) = slots.iter().find_map(|&slot| st.fds.get(slot)?.clone()) {
                return Ok(fd);
            }
            if st.node == 0 { st.place.clone() } else { None }
        };
        let slot = slots.first().copied().unwrap_or(READ);
        let flags = [open::READ, open::WRITE, open::READ | open::WRITE]
            .get(slot)
            .copied()
            .unwrap_or(open::READ);
        let asked = Executor::now();
        let opened = match place {
            Some(place) => self
                .fs
                .client
                .open_child(GoferInode::of(&place.dir)?.node()?, &place.name, flags)?,
            None => self.fs.client.open(self.node()?, flags)?,
        };
        if (opened.attr.dev, opened.attr.ino) != self.key {
            self.fs.client.forget(opened.node);
            return Err(Errno::ESTALE);
        }
        self.refresh(opened.node, &opened.attr, asked);
        Ok(self.state.lock().keep(slot, opened.fd))
    }

    /// A descriptor of its own for a description that leaves the access time alone.
    fn noatime_fd(&self, mode: FileMode) -> Result<Arc<OwnedFd>> {
        let flags = super::names::access(mode) | open::NOATIME;
        let opened = self.fs.client.open(self.node()?, flags)?;
        Ok(Arc::new(opened.fd))
    }

    /// Takes a descriptor that came with the creation of the file.
    pub(super) fn keep_fd(&self, mode: FileMode, fd: OwnedFd) -> Arc<OwnedFd> {
        let slot = match (mode.contains(FileMode::READ), mode.contains(FileMode::WRITE)) {
            (true, true) => BOTH,
            (false, true) => WRITE,
            _ => READ,
        };
        self.state.lock().keep(slot, fd)
    }

    /// The descriptor for private mappings of a file that is open for writing: one that cannot write (S2).
    pub(super) fn read_fd(&self) -> Result<Arc<OwnedFd>> {
        self.fd(FileMode::READ)
    }

    /// An open description ended. Descriptors that can write go with the last; one for reading stays for the next `open`.
    pub(super) fn closed(&self, inode: &Arc<Inode>) {
        let (dropped, idle) = {
            let mut st = self.state.lock();
            let writers = [WRITE, BOTH].map(|slot| st.take_unused(slot));
            if let Some(fd) = writers.iter().flatten().next() {
                st.note_last(fd);
            }
            let gone = st.attr.nlink == 0;
            let idle = st
                .fds
                .first()
                .and_then(Option::as_ref)
                .is_some_and(|fd| Arc::strong_count(fd) == 1);
            let reader = if gone && idle { st.take_unused(READ) } else { None };
            ((writers, reader), idle && !gone)
        };
        drop(dropped);
        if idle {
            self.fs.keep_idle(inode);
        }
    }

    /// Closes the descriptor kept for the next `open`.
    pub(super) fn close_idle(&self) {
        let fd = {
            let mut st = self.state.lock();
            let fd = st.take_unused(READ);
            if let Some(fd) = &fd {
                st.note_last(fd);
            }
            fd
        };
        drop(fd);
    }

    /// A name of the file is gone; `kept` is what the Gofer then told.
    pub(super) fn lost_name(&self, kept: &Entry) {
        self.refresh(kept.node, &kept.attr, Executor::now());
        if kept.attr.nlink == 0 {
            self.fs.unhash(&kept.attr);
            self.close_idle();
        }
    }
}

/// The number of a failed host call, which is a Linux one too.
pub(super) fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

fn stamp(t: Time) -> Timestamp {
    Timestamp {
        sec: t.sec,
        nsec: t.nsec,
    }
}

fn wire_time(t: Timestamp) -> TimeSet {
    TimeSet::To(Time {
        sec: t.sec,
        nsec: t.nsec,
        pad: 0,
    })
}

const SECURITY_CAPABILITY: &[u8] = b"security.capability";

impl InodeOps for GoferInode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let a = self.attr()?;
        Ok(Stat {
            dev: inode.sb.dev,
            ino: a.ino,
            mode: a.mode,
            nlink: a.nlink,
            uid: a.uid,
            gid: a.gid,
            rdev: a.rdev,
            size: a.size,
            blksize: a.blksize,
            blocks: a.blocks,
            atime: stamp(a.atime),
            mtime: stamp(a.mtime),
            ctime: stamp(a.ctime),
            btime: stamp(a.btime),
        })
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        let only_size = attr.mode.or(attr.uid).or(attr.gid).is_none() && attr.atime.or(attr.mtime).is_none();
        let writer = {
            let st = self.state.lock();
            [WRITE, BOTH].iter().find_map(|&slot| st.fds.get(slot)?.clone())
        };
        if let (true, Some(size), Some(fd)) = (only_size, attr.size, writer) {
            return rustix::fs::ftruncate(&*fd, size).map_err(errno);
        }
        let change = WireSetAttr {
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            size: attr.size,
            atime: attr.atime.map(wire_time),
            mtime: attr.mtime.map(wire_time),
        };
        let now = self.fs.client.setattr(self.node()?, &change)?;
        self.state.lock().note_own(&now);
        Ok(())
    }

    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        super::names::lookup(self, dir, name)
    }

    fn lookup_path(&self, dir: &Arc<Inode>, names: &[&[u8]]) -> (Vec<Arc<Inode>>, Option<Errno>) {
        super::names::lookup_path(self, dir, names)
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        super::names::create(self, dir, name, node)
    }

    fn create_open(
        &self,
        dir: &Arc<Inode>,
        name: &[u8],
        node: &NewNode,
        how: &OpenHow,
    ) -> Result<(Arc<Inode>, Arc<dyn FileOps>)> {
        super::names::create_open(self, dir, name, node, how)
    }

    fn tmpfile(&self, dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>> {
        super::names::tmpfile(self, dir, node)
    }

    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        super::names::symlink(self, dir, name, target, node)
    }

    fn link(&self, _dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        super::names::link(self, name, target)
    }

    fn unlink(&self, _dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        super::names::remove(self, name, target, gofer::client::unlink::KEEP)
    }

    fn rmdir(&self, _dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        super::names::remove(
            self,
            name,
            target,
            gofer::client::unlink::KEEP | gofer::client::unlink::DIR,
        )
    }

    fn rename(&self, dir: &Arc<Inode>, name: &[u8], to_dir: &Arc<Inode>, to_name: &[u8], flags: u32) -> Result<()> {
        super::names::rename(self, dir, name, to_dir, to_name, flags)
    }

    fn readlink(&self, inode: &Inode, _task: Option<&Arc<Task>>) -> Result<Link> {
        if inode.kind != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Some(link) = &self.state.lock().link {
            return Ok(Link::Path(link.clone()));
        }
        let link = self.fs.client.readlink(self.node()?)?;
        self.state.lock().link = Some(link.clone());
        Ok(Link::Path(link))
    }

    fn open(&self, inode: &Arc<Inode>, how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        match inode.kind {
            FileType::Directory => Ok(Arc::new(DirFile::new(inode))),
            FileType::Regular => {
                let mode = how.flags.file_mode();
                let fd = match how.flags.contains(OpenFlags::NOATIME) {
                    true => self.noatime_fd(mode)?,
                    false => self.fd(mode)?,
                };
                Ok(Arc::new(RegularFile::new(inode, fd, mode)))
            }
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        let caps = name == SECURITY_CAPABILITY;
        if caps && Executor::now().saturating_sub(self.state.lock().no_caps_at) < self.fs.sharing.trust_ns() {
            return Err(Errno::ENODATA);
        }
        let value = self.fs.client.getxattr(self.node()?, name, gofer::proto::MAX_XATTR);
        if caps && value == Err(Errno::ENODATA) {
            self.state.lock().no_caps_at = Executor::now();
        }
        value
    }

    fn setxattr(&self, _inode: &Inode, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        self.fs
            .client
            .setxattr(self.node()?, name, value, flags.cast_unsigned())?;
        let mut st = self.state.lock();
        st.no_caps_at = 0;
        st.attr_at = 0;
        Ok(())
    }

    fn listxattr(&self, _inode: &Inode) -> Result<Vec<Vec<u8>>> {
        let list = self.fs.client.listxattr(self.node()?)?;
        Ok(list
            .split(|&b| b == 0)
            .filter(|n| !n.is_empty())
            .map(<[u8]>::to_vec)
            .collect())
    }

    fn removexattr(&self, _inode: &Inode, name: &[u8]) -> Result<()> {
        self.fs.client.removexattr(self.node()?, name)?;
        self.state.lock().attr_at = 0;
        Ok(())
    }

    fn revalidate(&self, dir: &Arc<Inode>, name: &[u8], child: Option<&Arc<Inode>>) -> bool {
        super::names::still_true(self, dir, name, child)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for GoferInode {
    fn drop(&mut self) {
        self.fs.client.forget(self.state.get_mut().node);
        self.fs.ended(self.key);
    }
}

impl Fs {
    /// True when names and attributes may be trusted for a while.
    pub(super) fn exclusive(&self) -> bool {
        self.sharing == Sharing::Exclusive
    }
}
