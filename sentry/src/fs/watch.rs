//! inotify marks on inodes.

use std::sync::Arc;

use super::dentry::Dentry;
use super::inode::Inode;

/// Marks on one inode.
#[derive(Default)]
pub struct Watches {}

/// Events of `inotify(7)`.
#[allow(missing_docs, reason = "inotify(7) documents each name")]
pub mod mask {
    pub const ACCESS: u32 = 1;
    pub const MODIFY: u32 = 2;
    pub const ATTRIB: u32 = 4;
    pub const CLOSE_WRITE: u32 = 8;
    pub const CLOSE_NOWRITE: u32 = 0x10;
    pub const OPEN: u32 = 0x20;
    pub const MOVED_FROM: u32 = 0x40;
    pub const MOVED_TO: u32 = 0x80;
    pub const CREATE: u32 = 0x100;
    pub const DELETE: u32 = 0x200;
    pub const DELETE_SELF: u32 = 0x400;
    pub const MOVE_SELF: u32 = 0x800;
    pub const UNMOUNT: u32 = 0x2000;
    pub const Q_OVERFLOW: u32 = 0x4000;
    pub const IGNORED: u32 = 0x8000;
    pub const ISDIR: u32 = 0x4000_0000;
}

/// Something happened to the object that this name stands for: its own marks and those of its directory hear of it.
pub fn notify(dentry: &Arc<Dentry>, event: u32) {
    let _ = (dentry, event);
}

/// Something happened to a name in a directory: the directory's marks hear of it.
pub fn notify_dir(dir: &Inode, event: u32, name: &[u8], is_dir: bool, cookie: u32) {
    let _ = (dir, event, name, is_dir, cookie);
}

/// Something happened to the object itself, whatever its name.
pub fn notify_inode(inode: &Inode, event: u32) {
    let _ = (inode, event);
}

/// A number that ties the two halves of a rename together.
pub fn cookie(sb: &super::SuperBlock) -> u32 {
    let _ = sb;
    0
}

/// A name of it was removed: if that was the last, its marks end.
pub fn gone(inode: &Arc<Inode>) {
    let _ = inode;
}

/// Something was done through an open file.
pub fn notify_file(file: &super::File, event: u32) {
    if !file.mode.contains(super::FileMode::PATH) {
        notify(&file.path.dentry, event);
    }
}
