//! Names in trees.

use std::sync::Arc;

use super::inode::Inode;

/// A name in a file system's tree.
pub struct Dentry {
    inode: Arc<Inode>,
}

impl Dentry {
    /// What the name stands for.
    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }
}
