//! Names to places: the path walk (`path_resolution(7)`).

mod anon;
mod d_path;
mod walk;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use bitflags::bitflags;

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::Mount;
use crate::task::Task;

pub use anon::{Anon, AnonFs, AnonInode, AnonMounts, anon_file};
pub use d_path::{d_path, d_path_or_unreachable};
pub(in crate::fs) use walk::child_locked;
pub use walk::{Last, Parent, Walker};

/// `AT_FDCWD`
pub const AT_FDCWD: i32 = -100;
/// `AT_SYMLINK_NOFOLLOW`
pub const AT_SYMLINK_NOFOLLOW: i32 = 0x100;
/// `AT_REMOVEDIR`, and `AT_EACCESS`
pub const AT_REMOVEDIR: i32 = 0x200;
/// `AT_SYMLINK_FOLLOW`
pub const AT_SYMLINK_FOLLOW: i32 = 0x400;
/// `AT_NO_AUTOMOUNT`
pub const AT_NO_AUTOMOUNT: i32 = 0x800;
/// `AT_EMPTY_PATH`
pub const AT_EMPTY_PATH: i32 = 0x1000;
/// `AT_RECURSIVE`
pub const AT_RECURSIVE: i32 = 0x8000;

bitflags! {
    /// How to walk.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Lookup: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// The last component must be a directory.
        const DIRECTORY = 2;
        /// An empty path stands for the starting point (`AT_EMPTY_PATH`).
        const EMPTY = 4;
        /// `RESOLVE_NO_XDEV`
        const NO_XDEV = 0x100;
        /// `RESOLVE_NO_MAGICLINKS`
        const NO_MAGICLINKS = 0x200;
        /// `RESOLVE_NO_SYMLINKS`
        const NO_SYMLINKS = 0x400;
        /// `RESOLVE_BENEATH`
        const BENEATH = 0x800;
        /// `RESOLVE_IN_ROOT`
        const IN_ROOT = 0x1000;
        /// `RESOLVE_CACHED`
        const CACHED = 0x2000;
    }
}

impl Lookup {
    /// From `AT_*` flags of a call that follows links unless told not to.
    pub fn from_at(flags: i32) -> Lookup {
        let mut lookup = Lookup::FOLLOW;
        if flags & AT_SYMLINK_NOFOLLOW != 0 {
            lookup.remove(Lookup::FOLLOW);
        }
        if flags & AT_EMPTY_PATH != 0 {
            lookup |= Lookup::EMPTY;
        }
        lookup
    }
}

/// A place: a dentry as seen through a mount, like `struct path`.
#[derive(Clone)]
pub struct Path {
    /// Through which mount.
    pub mnt: Arc<Mount>,
    /// Which name there. Never negative in a `Path`.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The inode there.
    pub fn inode(&self) -> &Arc<Inode> {
        self.dentry.inode()
    }

    /// The same place.
    pub fn is_same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mnt, &other.mnt) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// The root of its mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.mnt.root, &self.dentry)
    }
}

/// Finds what a path names, as this task sees it. `dirfd` is where a relative path starts.
pub fn lookup(task: &Arc<Task>, dirfd: i32, path: &[u8], flags: Lookup) -> Result<Path> {
    Walker::new(task, flags).start(dirfd, path)?.finish(path)
}

/// Finds the directory in which a path's last component is or would be.
pub fn lookup_parent(task: &Arc<Task>, dirfd: i32, path: &[u8]) -> Result<Parent> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    Walker::new(task, Lookup::empty()).start(dirfd, path)?.parent(path)
}
