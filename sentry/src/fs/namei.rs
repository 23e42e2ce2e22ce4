//! Names to places: the path walk (`path_resolution(7)`).

use std::sync::Arc;

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::Mount;

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
}
