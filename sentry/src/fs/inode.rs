//! Inodes, and what a file system implements for them.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::errno::Result;

use super::file::{FileOps, OpenFlags};
use super::meeting::{Meeting, Place};
use super::namei::Path;
use super::stat::{FileType, Stat, Timestamp};
use super::super_block::SuperBlock;
use crate::task::Task;

/// What a new node shall be. Owner, group and mode are final: umask and set-group-id inheritance have been applied.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device of a device node.
    pub rdev: u64,
}

/// Attributes to change; permissions have been checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// Permission bits (no type bits).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Truncate or extend.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<Timestamp>,
    /// Last change of contents.
    pub mtime: Option<Timestamp>,
}

/// How to open an inode.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    /// Flags of `open(2)`. `O_CREAT`, `O_EXCL` and `O_TRUNC` have been dealt with.
    pub flags: OpenFlags,
}

/// Where a symbolic link leads.
pub enum Link {
    /// Text to walk on with.
    Path(Vec<u8>),
    /// A magic link (`proc(5)`, `/proc/PID/fd/N`): straight there.
    Jump(Path),
}

/// What a file system does for its inodes. `dir` or `inode` is the VFS object of `self`.
///
/// Permission, name length, mount and read-only checks are done before by the VFS; existence is the file system's to know.
pub trait InodeOps: Any + Send + Sync {
    /// Attributes now.
    fn stat(&self, inode: &Inode) -> Result<Stat>;

    /// Changes attributes and the change time.
    fn set_attr(&self, inode: &Inode, attr: &SetAttr) -> Result<()> {
        let _ = (inode, attr);
        Err(Errno::EPERM)
    }

    /// The child of that name. `ENOENT` if there is none; `ENOTDIR` on a non-directory.
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let _ = (dir, name);
        Err(Errno::ENOTDIR)
    }

    /// Looks several names up, each in the one before, and gives those found. A file system far away (gofer) answers them
    /// in one message. It stops before the end at what is no directory, or with the error that ended it.
    fn lookup_path(&self, dir: &Arc<Inode>, names: &[&[u8]]) -> (Vec<Arc<Inode>>, Option<Errno>) {
        match names.first().map(|name| self.lookup(dir, name)) {
            Some(Ok(inode)) => (vec![inode], None),
            Some(Err(e)) => (Vec::new(), Some(e)),
            None => (Vec::new(), None),
        }
    }

    /// Makes a file, directory, device, fifo or socket, by the type bits of `node.mode`. `EEXIST` if the name is taken.
    fn create(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        let _ = (dir, name, node);
        Err(Errno::EPERM)
    }

    /// Makes a regular file and opens it in one step; file systems for which that is cheaper override it.
    fn create_open(
        &self,
        dir: &Arc<Inode>,
        name: &[u8],
        node: &NewNode,
        how: &OpenHow,
    ) -> Result<(Arc<Inode>, Arc<dyn FileOps>)> {
        let inode = self.create(dir, name, node)?;
        let ops = inode.ops.open(&inode, how)?;
        Ok((inode, ops))
    }

    /// A regular file without a name in the file system of this directory (`O_TMPFILE`).
    fn tmpfile(&self, dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>> {
        let _ = (dir, node);
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes a symbolic link.
    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        let _ = (dir, name, target, node);
        Err(Errno::EPERM)
    }

    /// Gives `target` a further name here.
    fn link(&self, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        let _ = (dir, name, target);
        Err(Errno::EPERM)
    }

    /// Removes a name that is not a directory's.
    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        let _ = (dir, name, target);
        Err(Errno::EPERM)
    }

    /// Removes an empty directory. `ENOTEMPTY` if it is not.
    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
        let _ = (dir, name, target);
        Err(Errno::EPERM)
    }

    /// Moves a name, in this file system. `flags` are `RENAME_*` of `rename(2)`.
    fn rename(&self, dir: &Arc<Inode>, name: &[u8], to_dir: &Arc<Inode>, to_name: &[u8], flags: u32) -> Result<()> {
        let _ = (dir, name, to_dir, to_name, flags);
        Err(Errno::EPERM)
    }

    /// Where the link leads, for this task (none while a container is built). `EINVAL` if it is none.
    fn readlink(&self, inode: &Inode, task: Option<&Arc<Task>>) -> Result<Link> {
        let _ = (inode, task);
        Err(Errno::EINVAL)
    }

    /// Opens a regular file, directory or what else the file system serves itself. Fifos, sockets and device nodes are
    /// opened by the VFS.
    fn open(&self, inode: &Arc<Inode>, how: &OpenHow) -> Result<Arc<dyn FileOps>>;

    /// An extended attribute (`xattr(7)`), name with its prefix. `ENODATA` if there is none.
    fn getxattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        let _ = (inode, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets one; `flags` are `XATTR_CREATE` and `XATTR_REPLACE`.
    fn setxattr(&self, inode: &Inode, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        let _ = (inode, name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }

    /// All names.
    fn listxattr(&self, inode: &Inode) -> Result<Vec<Vec<u8>>> {
        let _ = inode;
        Ok(Vec::new())
    }

    /// Removes one.
    fn removexattr(&self, inode: &Inode, name: &[u8]) -> Result<()> {
        let _ = (inode, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// Checks access beyond the mode bits (`/proc/PID/...`). None: mode bits and capabilities decide.
    fn permission(&self, inode: &Inode, task: &Arc<Task>, want: u32) -> Option<Result<()>> {
        let _ = (inode, task, want);
        None
    }

    /// The children may have changed behind the VFS: a cached dentry must be looked up again (proc, shared mounts).
    fn revalidate(&self, dir: &Arc<Inode>, name: &[u8], child: Option<&Arc<Inode>>) -> bool {
        let _ = (dir, name, child);
        true
    }

    /// For `downcast_ref` within the file system.
    fn as_any(&self) -> &dyn Any;
}

/// An object of a file system. A file system gives the same `Arc<Inode>` for the same object as long as it lives.
pub struct Inode {
    /// What the file system does for it.
    pub ops: Box<dyn InodeOps>,
    /// Its file system.
    pub sb: Arc<SuperBlock>,
    /// Inode number.
    pub ino: u64,
    /// Type; never changes.
    pub kind: FileType,
    meeting: Place,
    /// A file without a name may get one (`O_TMPFILE` without `O_EXCL`).
    pub linkable: AtomicBool,
}

impl Deref for Inode {
    type Target = Meeting;

    fn deref(&self) -> &Meeting {
        &self.meeting
    }
}

impl Inode {
    /// A new VFS object.
    pub fn new(ops: Box<dyn InodeOps>, sb: Arc<SuperBlock>, ino: u64, kind: FileType) -> Arc<Inode> {
        Inode::at(ops, sb, ino, kind, Place::Own(Meeting::default()))
    }

    /// One of several for one file.
    pub fn shared(
        ops: Box<dyn InodeOps>,
        sb: Arc<SuperBlock>,
        ino: u64,
        kind: FileType,
        meeting: Arc<Meeting>,
    ) -> Arc<Inode> {
        Inode::at(ops, sb, ino, kind, Place::Shared(meeting))
    }

    fn at(ops: Box<dyn InodeOps>, sb: Arc<SuperBlock>, ino: u64, kind: FileType, meeting: Place) -> Arc<Inode> {
        Arc::new(Inode {
            ops,
            sb,
            ino,
            kind,
            meeting,
            linkable: AtomicBool::new(false),
        })
    }

    /// A number of the file, the same through all mounts that show it, for as long as it is in use.
    pub fn identity(&self) -> u64 {
        abi::conv::usize64(std::ptr::from_ref::<Meeting>(self).addr())
    }

    /// Attributes now.
    pub fn stat(&self) -> Result<Stat> {
        self.ops.stat(self)
    }

    /// The file system's own type for it.
    pub fn downcast<T: InodeOps>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref::<T>()
    }

    /// True for a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
}

impl Inode {
    /// One more opens it for writing; `ETXTBSY` while it is executed.
    pub(super) fn begin_write(&self) -> Result<()> {
        let more = |n: i32| if n < 0 { None } else { n.checked_add(1) };
        self.writers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map_err(|_| Errno::ETXTBSY)?;
        self.sb.writers.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn end_write(&self) {
        self.writers.fetch_sub(1, Ordering::AcqRel);
        self.sb.writers.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts as a writer while what it gives lives; `ETXTBSY` while it is executed.
    pub fn hold_write(self: &Arc<Self>) -> Result<WriteHold> {
        self.begin_write()?;
        Ok(WriteHold { inode: self.clone() })
    }

    /// One more executes it, so that nobody may write; `ETXTBSY` while it is open for writing.
    pub fn deny_write(&self) -> Result<()> {
        let more = |n: i32| if n > 0 { None } else { n.checked_sub(1) };
        self.writers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map(|_| ())
            .map_err(|_| Errno::ETXTBSY)
    }

    /// Ends what [`Inode::deny_write`] began.
    pub fn allow_write(&self) {
        self.writers.fetch_add(1, Ordering::AcqRel);
    }
}

/// See [`Inode::hold_write`].
pub struct WriteHold {
    inode: Arc<Inode>,
}

impl Drop for WriteHold {
    fn drop(&mut self) {
        self.inode.end_write();
    }
}
