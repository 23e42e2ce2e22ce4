//! inotify marks on inodes, and the events that operations on names and files make.
//!
//! A mark keeps its inode, as in Linux: a watched object is never forgotten. What the marks of one file system cost when
//! there are none is one load.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::dentry::Dentry;
use super::dnotify::{self, DirNotify};
use super::file::{File, FileMode};
use super::inode::Inode;
use super::inotify::Inotify;
use super::super_block::SuperBlock;
use crate::sync::Mutex;

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
    pub const ALL_EVENTS: u32 = 0xfff;
    /// A rename within one directory, beside `MOVED_FROM`: for `F_NOTIFY` only.
    pub const DN_RENAME: u32 = 0x1000;
    pub const UNMOUNT: u32 = 0x2000;
    pub const Q_OVERFLOW: u32 = 0x4000;
    pub const IGNORED: u32 = 0x8000;
    pub const ONLYDIR: u32 = 0x0100_0000;
    pub const DONT_FOLLOW: u32 = 0x0200_0000;
    pub const EXCL_UNLINK: u32 = 0x0400_0000;
    pub const MASK_CREATE: u32 = 0x1000_0000;
    pub const MASK_ADD: u32 = 0x2000_0000;
    pub const ISDIR: u32 = 0x4000_0000;
    pub const ONESHOT: u32 = 0x8000_0000;
}

/// One watch: of one inotify instance on one inode.
pub struct Mark {
    /// Watch descriptor.
    pub wd: i32,
    /// Events asked for, with `ONESHOT` and `EXCL_UNLINK`.
    pub mask: AtomicU32,
    /// What is watched.
    pub inode: Arc<Inode>,
    pub(super) group: Weak<Inotify>,
}

/// Marks on one inode.
#[derive(Default)]
pub struct Watches {
    marks: Mutex<Vec<Arc<Mark>>>,
    dnotify: Mutex<Vec<Arc<DirNotify>>>,
    /// Open files of the inode: its end waits for them.
    pub(super) opens: AtomicUsize,
}

/// Marks in one file system, or in all that show the same files.
#[derive(Default)]
pub struct MarkCount {
    count: AtomicUsize,
    all: Mutex<Vec<Weak<Mark>>>,
    cookie: AtomicU32,
}

impl Watches {
    fn list(&self) -> Vec<Arc<Mark>> {
        self.marks.lock().clone()
    }

    /// How many open files there are.
    pub(super) fn open_count(&self) -> usize {
        self.opens.load(Ordering::Acquire)
    }

    pub(super) fn dnotifies(&self) -> Vec<Arc<DirNotify>> {
        self.dnotify.lock().clone()
    }

    pub(super) fn add_dnotify(&self, inode: &Inode, new: Arc<DirNotify>) {
        inode.sb.marks.count.fetch_add(1, Ordering::AcqRel);
        self.dnotify.lock().push(new);
    }

    pub(super) fn drop_dnotify(&self, inode: &Inode, which: impl Fn(&Arc<DirNotify>) -> bool) {
        let mut list = self.dnotify.lock();
        let before = list.len();
        list.retain(|n| !which(n));
        inode.sb.marks.count.fetch_sub(before - list.len(), Ordering::AcqRel);
    }
}

impl Mark {
    pub(super) fn attach(self: &Arc<Self>) {
        let marks = &self.inode.sb.marks;
        marks.count.fetch_add(1, Ordering::AcqRel);
        let mut all = marks.all.lock();
        all.retain(|m| m.strong_count() > 0);
        all.push(Arc::downgrade(self));
        drop(all);
        self.inode.watches.marks.lock().push(self.clone());
    }

    pub(super) fn detach(self: &Arc<Self>) {
        let mut marks = self.inode.watches.marks.lock();
        let before = marks.len();
        marks.retain(|m| !Arc::ptr_eq(m, self));
        if marks.len() < before {
            self.inode.sb.marks.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The watch ends by itself: tells so.
    fn end(self: &Arc<Self>) {
        self.detach();
        if let Some(group) = self.group.upgrade() {
            group.ended(self.wd);
        }
    }

    fn deliver(self: &Arc<Self>, event: u32, name: &[u8], cookie: u32) {
        let wanted = self.mask.load(Ordering::Acquire);
        if wanted & event & (mask::ALL_EVENTS | mask::UNMOUNT) == 0 {
            return;
        }
        let Some(group) = self.group.upgrade() else { return };
        // As Linux: a directory's own end and move carry no IN_ISDIR.
        let event = event & !mask::DN_RENAME;
        let shown = if event & (mask::DELETE_SELF | mask::MOVE_SELF) != 0 {
            event & !mask::ISDIR
        } else {
            event
        };
        group.queue_event(self.wd, shown, cookie, name);
        if wanted & mask::ONESHOT != 0 {
            self.end();
        }
    }
}

fn watched(inode: &Inode) -> bool {
    inode.sb.marks.count.load(Ordering::Acquire) > 0
}

fn dir_bit(inode: &Inode) -> u32 {
    if inode.is_dir() { mask::ISDIR } else { 0 }
}

/// Something happened to the object that this name stands for: its directory's marks and its own hear of it.
pub fn notify(dentry: &Arc<Dentry>, event: u32) {
    let inode = dentry.inode();
    if !watched(inode) {
        return;
    }
    let event = event | dir_bit(inode);
    if let Some(parent) = dentry.parent() {
        dnotify::fire(parent.inode(), event);
        let marks = parent.inode().watches.list();
        if !marks.is_empty() {
            let name = dentry.name();
            for mark in marks {
                let excluded = mark.mask.load(Ordering::Acquire) & mask::EXCL_UNLINK != 0 && dentry.is_unlinked();
                if !excluded {
                    mark.deliver(event, &name, 0);
                }
            }
        }
    }
    dnotify::fire(inode, event);
    for mark in inode.watches.list() {
        mark.deliver(event, b"", 0);
    }
}

/// Something was done through an open file.
pub fn notify_file(file: &File, event: u32) {
    if !file.mode.contains(FileMode::PATH) {
        notify(&file.path.dentry, event);
    }
}

/// Something happened to a name in a directory: the directory's marks hear of it.
pub fn notify_dir(dir: &Inode, event: u32, name: &[u8], is_dir: bool, cookie: u32) {
    if !watched(dir) {
        return;
    }
    let event = event | if is_dir { mask::ISDIR } else { 0 };
    dnotify::fire(dir, event);
    for mark in dir.watches.list() {
        mark.deliver(event, name, cookie);
    }
}

/// Something happened to the object itself, whatever its name.
pub fn notify_inode(inode: &Inode, event: u32) {
    if watched(inode) {
        for mark in inode.watches.list() {
            mark.deliver(event | dir_bit(inode), b"", 0);
        }
    }
}

/// A number that ties the two halves of a rename together.
pub fn cookie(sb: &SuperBlock) -> u32 {
    sb.marks.cookie.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// A name of it was removed, or its last open file closed: if nothing is left of it, its marks end.
pub fn gone(inode: &Arc<Inode>) {
    if !watched(inode) || inode.watches.opens.load(Ordering::Acquire) > 0 {
        return;
    }
    let marks = inode.watches.list();
    if marks.is_empty() || inode.stat().is_ok_and(|st| st.nlink > 0) {
        return;
    }
    for mark in marks {
        mark.deliver(mask::DELETE_SELF | dir_bit(inode), b"", 0);
        mark.end();
    }
}

/// The file system was unmounted.
pub(super) fn unmounted(sb: &SuperBlock) {
    let mut marks = Vec::new();
    sb.marks.all.lock().retain(|mark| {
        let mark = mark.upgrade();
        // Other mounts may show the same files.
        let own = mark.filter(|mark| std::ptr::eq(Arc::as_ptr(&mark.inode.sb), sb));
        match own {
            Some(own) => {
                marks.push(own);
                false
            }
            None => true,
        }
    });
    for mark in marks {
        if let Some(group) = mark.group.upgrade() {
            group.queue_event(mark.wd, mask::UNMOUNT, 0, b"");
        }
        mark.end();
    }
}
