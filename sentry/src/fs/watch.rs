//! inotify marks on inodes.

/// Marks on one inode.
#[derive(Default)]
pub struct Watches {}
