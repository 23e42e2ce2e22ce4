//! File locks: `flock(2)`, POSIX and open-file-description locks of `fcntl(2)`.

use super::file::File;

/// Locks on one inode.
#[derive(Default)]
pub struct InodeLocks {}

/// The last reference to an open file description is gone.
pub(super) fn file_released(file: &File) {
    if file.mode.contains(super::file::FileMode::WRITER) {
        file.inode().end_write();
    }
    if file.mode.contains(super::file::FileMode::EXEC) {
        file.inode().allow_write();
    }
}
