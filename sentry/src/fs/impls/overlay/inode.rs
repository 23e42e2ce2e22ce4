//! One object of the merged tree.

use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};

use abi::Errno;
use abi::errno::Result;

use super::copy_up::{self, Data};
use super::dir::DirFile;
use super::file::OverlayFile;
use super::{OverlayFs, names};
use crate::fs::file::{FileMode, FileOps};
use crate::fs::inode::{Inode, InodeOps, Link, NewNode, OpenHow, SetAttr};
use crate::fs::stat::{FileType, Stat};
use crate::sync::{Mutex, MutexGuard};
use crate::task::Task;

/// What the overlay knows of an inode.
pub struct OverlayInode {
    pub(super) fs: Arc<OverlayFs>,
    me: OnceLock<Weak<Inode>>,
    /// A file below with several names.
    pub(super) linked: bool,
    /// Held while the object is copied up.
    pub(super) copying: Mutex<()>,
    /// Held, of a directory, while names in it are looked up or change, copying up included.
    pub(super) names: Mutex<()>,
    state: Mutex<State>,
}

/// Where an object that is not above yet is found.
#[derive(Clone)]
pub(super) struct Place {
    pub dir: Arc<Inode>,
    pub name: Box<[u8]>,
}

pub(super) struct State {
    pub upper: Option<Arc<Inode>>,
    pub lower: Option<Arc<Inode>>,
    pub place: Option<Place>,
    /// Its (last) name is gone.
    pub unlinked: bool,
}

/// Extended attributes of the overlay's own book-keeping.
fn is_private(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

impl OverlayInode {
    pub(super) fn new(
        fs: &Arc<OverlayFs>,
        upper: Option<Arc<Inode>>,
        lower: Option<Arc<Inode>>,
        place: Option<Place>,
        linked: bool,
    ) -> OverlayInode {
        OverlayInode {
            fs: fs.clone(),
            me: OnceLock::new(),
            linked,
            copying: Mutex::new(()),
            names: Mutex::new(()),
            state: Mutex::new(State {
                upper,
                lower,
                place,
                unlinked: false,
            }),
        }
    }

    pub(super) fn of(inode: &Inode) -> Result<&OverlayInode> {
        inode.downcast::<OverlayInode>().ok_or(Errno::EXDEV)
    }

    pub(super) fn set_self(&self, inode: &Arc<Inode>) {
        let _ = self.me.set(Arc::downgrade(inode));
    }

    fn me(&self) -> Result<Arc<Inode>> {
        self.me.get().and_then(Weak::upgrade).ok_or(Errno::EIO)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Both layers' inodes.
    pub(super) fn layers(&self) -> (Option<Arc<Inode>>, Option<Arc<Inode>>) {
        let st = self.state.lock();
        (st.upper.clone(), st.lower.clone())
    }

    /// The layer's inode that holds contents and attributes.
    pub(super) fn real(&self) -> Result<Arc<Inode>> {
        let st = self.state.lock();
        st.upper.as_ref().or(st.lower.as_ref()).cloned().ok_or(Errno::EIO)
    }
}

impl InodeOps for OverlayInode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let (upper, lower) = self.layers();
        let real = upper.as_ref().or(lower.as_ref()).ok_or(Errno::EIO)?;
        let mut st = real.stat()?;
        st.dev = inode.sb.dev;
        st.ino = inode.ino;
        if inode.is_dir() {
            if upper.is_some() && lower.is_some() {
                // As on Linux: the number of subdirectories is not known without reading both.
                st.nlink = 1;
            }
        } else if let (true, Some(lower)) = (self.linked, &lower) {
            let links = i64::from(lower.stat()?.nlink) + self.fs.names_delta(lower.ino);
            st.nlink = u32::try_from(links).unwrap_or(0);
        } else if upper.is_none() && self.lock().unlinked {
            st.nlink = 0;
        }
        Ok(st)
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        let data = if attr.size == Some(0) { Data::Leave } else { Data::Copy };
        let upper = copy_up::copy_up(&self.me()?, data)?;
        upper.ops.set_attr(&upper, attr)
    }

    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let _names = self.names.lock();
        names::lookup(self, dir, name)
    }

    fn lookup_path(&self, dir: &Arc<Inode>, names: &[&[u8]]) -> (Vec<Arc<Inode>>, Option<Errno>) {
        let _names = self.names.lock();
        names::lookup_path(self, dir, names)
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        names::make(self, dir, name, |up| {
            up.ops.create(up, name, node).map(|inode| (inode, ()))
        })
        .map(|(inode, ())| inode)
    }

    fn create_open(
        &self,
        dir: &Arc<Inode>,
        name: &[u8],
        node: &NewNode,
        how: &OpenHow,
    ) -> Result<(Arc<Inode>, Arc<dyn FileOps>)> {
        let (inode, ops) = names::make(self, dir, name, |up| up.ops.create_open(up, name, node, how))?;
        let real = OverlayInode::of(&inode)?.real()?;
        let file = self.fs.file(&self.fs.upper, &real, ops, how.flags);
        Ok((inode.clone(), Arc::new(OverlayFile::new(inode, file))))
    }

    fn tmpfile(&self, dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>> {
        let up = copy_up::copy_up(dir, Data::Copy)?;
        let upper = up.ops.tmpfile(&up, node)?;
        self.fs.inode(&dir.sb, Some(upper), None, None)
    }

    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        names::make(self, dir, name, |up| {
            up.ops.symlink(up, name, target, node).map(|inode| (inode, ()))
        })
        .map(|(inode, ())| inode)
    }

    fn link(&self, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        names::link(self, dir, name, target)
    }

    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        names::remove(self, dir, name, target)
    }

    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        names::remove(self, dir, name, target)
    }

    fn rename(&self, dir: &Arc<Inode>, name: &[u8], to_dir: &Arc<Inode>, to_name: &[u8], flags: u32) -> Result<()> {
        names::rename((dir, name), (to_dir, to_name), flags)
    }

    fn readlink(&self, _inode: &Inode, task: Option<&Arc<Task>>) -> Result<Link> {
        let real = self.real()?;
        real.ops.readlink(&real, task)
    }

    fn open(&self, inode: &Arc<Inode>, how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        match inode.kind {
            FileType::Directory => Ok(Arc::new(DirFile::new(inode))),
            FileType::Regular => {
                let real = if how.flags.file_mode().contains(FileMode::WRITE) {
                    copy_up::copy_up(inode, Data::Copy)?
                } else {
                    self.real()?
                };
                let file = self.fs.open(&real, how.flags)?;
                Ok(Arc::new(OverlayFile::new(inode.clone(), file)))
            }
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        if is_private(name) {
            return Err(Errno::ENODATA);
        }
        let real = self.real()?;
        real.ops.getxattr(&real, name)
    }

    fn setxattr(&self, _inode: &Inode, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        if is_private(name) {
            return Err(Errno::EPERM);
        }
        let upper = copy_up::copy_up(&self.me()?, Data::Copy)?;
        upper.ops.setxattr(&upper, name, value, flags)
    }

    fn listxattr(&self, _inode: &Inode) -> Result<Vec<Vec<u8>>> {
        let real = self.real()?;
        let mut list = real.ops.listxattr(&real)?;
        list.retain(|name| !is_private(name));
        Ok(list)
    }

    fn removexattr(&self, inode: &Inode, name: &[u8]) -> Result<()> {
        if is_private(name) {
            return Err(Errno::EPERM);
        }
        // No copy for an attribute that is not there.
        self.getxattr(inode, name)?;
        let upper = copy_up::copy_up(&self.me()?, Data::Copy)?;
        upper.ops.removexattr(&upper, name)
    }

    fn revalidate(&self, _dir: &Arc<Inode>, name: &[u8], child: Option<&Arc<Inode>>) -> bool {
        let (upper, lower) = self.layers();
        let (above, below) = match child.map(|c| OverlayInode::of(c)) {
            Some(Ok(child)) => child.layers(),
            Some(Err(_)) => return false,
            None => (None, None),
        };
        match (above, below, upper, lower) {
            // What is above is in our hands alone.
            (Some(_), _, _, _) => true,
            (None, below, _, Some(lower)) => lower.ops.revalidate(&lower, name, below.as_ref()),
            (None, _, _, None) => true,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for OverlayInode {
    fn drop(&mut self) {
        let st = self.state.get_mut();
        self.fs.ended([st.upper.as_ref(), st.lower.as_ref()]);
    }
}
