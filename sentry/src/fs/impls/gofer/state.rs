//! What is known of a file between two questions to the Gofer.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use abi::errno::Result;
use gofer::client::{DirChange, NodeId};
use gofer::proto::Attr;
use rustix::fs::{AtFlags, StatxFlags};

use super::dir::Names;
use super::inode::errno;
use crate::executor::Executor;
use crate::fs::inode::Inode;

/// Where a file is that the Gofer has told of, but that has no node yet.
#[derive(Clone)]
pub(super) struct Place {
    pub dir: Arc<Inode>,
    pub name: Box<[u8]>,
}

pub(super) struct State {
    /// 0 while only the place is known.
    pub node: NodeId,
    pub place: Option<Place>,
    pub attr: Attr,
    /// When `attr` was asked for (`CLOCK_MONOTONIC` ns), or changed by ourselves: older news are no news. 0 to ask again.
    pub attr_at: u64,
    /// When owner and group were asked for. An open descriptor does not tell them: the Sentry's user namespace knows nobody.
    pub owner_at: u64,
    /// Changes of our own to the names of a directory: a listing made meanwhile is not complete.
    pub changes: u64,
    /// Open for reading, writing, both.
    pub fds: [Option<Arc<OwnedFd>>; 3],
    pub link: Option<Vec<u8>>,
    /// When the absence of file capabilities was seen: every `execve` asks.
    pub no_caps_at: u64,
    /// Children, of a directory that was read to its end.
    pub names: Option<Names>,
    /// How often somebody else changed the directory: names must be looked at anew.
    pub epoch: u32,
    /// In which epoch a name was last looked at. Empty in the usual case of epoch 0.
    pub rechecked: std::collections::HashMap<Box<[u8]>, u32>,
    /// When the walk of a longer path last came by.
    pub walked_at: u64,
}

impl State {
    /// Takes attributes from the Gofer, asked for at that time.
    pub fn note(&mut self, attr: &Attr, asked: u64) {
        if asked < self.attr_at {
            return;
        }
        if attr.is_dir() && attr.ctime != self.attr.ctime {
            self.changed_by_others();
        }
        self.attr = *attr;
        self.attr_at = asked;
        self.owner_at = asked;
    }

    /// Takes attributes after a change of our own.
    pub fn note_own(&mut self, attr: &Attr) {
        if attr.is_dir()
            && let Some(names) = &mut self.names
        {
            names.ctime = attr.ctime;
        }
        self.attr = *attr;
        self.attr_at = Executor::now();
        self.owner_at = self.attr_at;
    }

    /// Takes the news of a change of ours to this directory. True if nobody else changed it meanwhile.
    pub fn note_change(&mut self, change: &DirChange) {
        self.changes = self.changes.wrapping_add(1);
        if change.before != self.attr.ctime {
            self.changed_by_others();
        }
        self.note_own(&change.after);
    }

    fn changed_by_others(&mut self) {
        self.names = None;
        self.rechecked.clear();
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// Takes what an open descriptor tells.
    pub fn note_host(&mut self, host: &Attr, now: u64) {
        let (uid, gid, mount_id) = (self.attr.uid, self.attr.gid, self.attr.mount_id);
        self.attr = Attr {
            uid,
            gid,
            mount_id,
            ..*host
        };
        self.attr_at = now;
    }

    /// Takes what a descriptor about to be closed tells.
    pub fn note_last(&mut self, fd: &OwnedFd) {
        if let Ok(attr) = host_attr(fd) {
            self.note_host(&attr, Executor::now());
        }
    }

    pub fn any_fd(&self) -> Option<&Arc<OwnedFd>> {
        self.fds.iter().flatten().next()
    }

    pub fn keep(&mut self, slot: usize, fd: OwnedFd) -> Arc<OwnedFd> {
        match self.fds.get_mut(slot) {
            Some(slot) => slot.get_or_insert_with(|| Arc::new(fd)).clone(),
            None => Arc::new(fd),
        }
    }

    /// Takes out a descriptor that nobody else holds.
    pub fn take_unused(&mut self, slot: usize) -> Option<Arc<OwnedFd>> {
        self.fds.get_mut(slot)?.take_if(|fd| Arc::strong_count(fd) == 1)
    }
}

/// Attributes by an open descriptor.
pub(super) fn host_attr(fd: &OwnedFd) -> Result<Attr> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let st = rustix::fs::statx(fd.as_fd(), "", AtFlags::EMPTY_PATH, mask).map_err(errno)?;
    Ok(Attr::from(st))
}
