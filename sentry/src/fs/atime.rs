//! Access times: when a read counts (`relatime` and friends of `mount(8)`).

use std::sync::Arc;

use abi::errno::Result;

use super::file::{File, OpenFlags};
use super::inode::Link;
use super::mount::{Mount, MountFlags};
use super::namei::Path;
use super::stat::{Stat, Timestamp};
use crate::task::Task;

/// True if a read now changes the access time, like `atime_needs_update`.
fn needs_update(mnt: &Mount, st: &Stat, is_dir: bool, now: Timestamp) -> bool {
    let flags = mnt.flags();
    if mnt.is_readonly()
        || flags.contains(MountFlags::NOATIME)
        || (is_dir && flags.contains(MountFlags::NODIRATIME))
        || st.atime == now
    {
        return false;
    }
    if flags.contains(MountFlags::RELATIME) {
        let day = 24 * 60 * 60;
        return st.atime <= st.mtime || st.atime <= st.ctime || now.sec - st.atime.sec >= day;
    }
    true
}

/// The access time that reading through this file sets, if any; for file systems that keep times themselves.
pub fn after_read(file: &File, st: &Stat) -> Option<Timestamp> {
    if file.flags().contains(OpenFlags::NOATIME) {
        return None;
    }
    let now = Timestamp::now();
    needs_update(&file.path.mnt, st, file.inode().is_dir(), now).then_some(now)
}

/// Reads a symbolic link.
pub fn readlink(path: &Path, task: Option<&Arc<Task>>) -> Result<Link> {
    path.inode().ops.readlink(path.inode(), task)
}
