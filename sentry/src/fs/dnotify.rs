//! `F_NOTIFY` of `fcntl(2)`: a signal when something happens in a directory. Older and poorer than inotify.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::file::File;
use super::inode::Inode;
use super::sigio;
use super::watch::mask;
use crate::kernel::Kernel;
use crate::task::Task;

const DN_MULTISHOT: u32 = 0x8000_0000;
/// `DN_ACCESS` and so on, each with the events that it stands for.
const EVENTS: [(u32, u32); 6] = [
    (0x1, mask::ACCESS),
    (0x2, mask::MODIFY),
    (0x4, mask::CREATE | mask::MOVED_TO),
    (0x8, mask::DELETE | mask::MOVED_FROM),
    (0x10, mask::DN_RENAME),
    (0x20, mask::ATTRIB),
];

/// One wish: of one fd table for one open directory.
pub struct DirNotify {
    file: Weak<File>,
    table: u64,
    fd: i32,
    /// `DN_*`
    wanted: AtomicU32,
    kernel: Weak<Kernel>,
}

/// `F_NOTIFY`: adds to what was asked for, or ends it.
pub fn set(task: &Arc<Task>, file: &Arc<File>, fd: i32, arg: u32) -> Result<()> {
    let known = EVENTS.iter().fold(DN_MULTISHOT, |all, (bit, _)| all | bit);
    let table = task.files().id;
    let inode = file.inode();
    if arg & !DN_MULTISHOT == 0 {
        inode.watches.drop_dnotify(inode, |n| n.is(file, table));
        return Ok(());
    }
    if !inode.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    if arg & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let mut owner = file.owner.lock();
    if owner.id == 0 {
        (owner.kind, owner.id) = (1, task.group.tgid);
    }
    drop(owner);
    let found = inode.watches.dnotifies().into_iter().find(|n| n.is(file, table));
    match found {
        Some(old) => {
            old.wanted.fetch_or(arg, Ordering::AcqRel);
        }
        None => inode.watches.add_dnotify(
            inode,
            Arc::new(DirNotify {
                file: Arc::downgrade(file),
                table,
                fd,
                wanted: AtomicU32::new(arg),
                kernel: Arc::downgrade(&task.kernel),
            }),
        ),
    }
    Ok(())
}

/// An fd of that table was closed: its wish ends.
pub(super) fn fd_closed(table: u64, file: &File) {
    let inode = file.inode();
    if inode.is_dir() {
        inode.watches.drop_dnotify(inode, |n| {
            n.table == table && n.file.as_ptr() == std::ptr::from_ref(file)
        });
    }
}

/// Something happened in the directory.
pub(super) fn fire(dir: &Inode, event: u32) {
    for notify in dir.watches.dnotifies() {
        let wanted = notify.wanted.load(Ordering::Acquire);
        if !EVENTS
            .iter()
            .any(|(bit, events)| wanted & bit != 0 && event & events != 0)
        {
            continue;
        }
        let (Some(file), Some(kernel)) = (notify.file.upgrade(), notify.kernel.upgrade()) else {
            dir.watches.drop_dnotify(dir, |n| Arc::ptr_eq(n, &notify));
            continue;
        };
        if wanted & DN_MULTISHOT == 0 {
            dir.watches.drop_dnotify(dir, |n| Arc::ptr_eq(n, &notify));
        }
        sigio::tell_of_message(&kernel, &file, notify.fd);
    }
}

impl DirNotify {
    fn is(&self, file: &Arc<File>, table: u64) -> bool {
        self.table == table && self.file.as_ptr() == Arc::as_ptr(file)
    }
}
