//! What those who use one file meet in: locks, inotify marks, the pipe of a fifo, a bound socket.
//!
//! For most files it is part of the inode. A directory of the host that several mounts show, as the volumes of a pod, has an inode for
//! each of them: each asks its own Gofer, and all share this.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Weak};

use super::locks::InodeLocks;
use super::stat::FileType;
use super::watch::{MarkCount, Watches};
use crate::ipc::pipe::Pipe;
use crate::net::unix::BoundSocket;
use crate::sync::Mutex;

/// See the module.
#[derive(Default)]
pub struct Meeting {
    /// `flock(2)`, `fcntl(2)` locks and leases.
    pub locks: InodeLocks,
    /// inotify marks.
    pub watches: Watches,
    /// The pipe of an opened fifo.
    pub fifo: Mutex<Option<Weak<Pipe>>>,
    /// The Unix socket bound to this node.
    pub socket: Mutex<Option<BoundSocket>>,
    /// Positive: open for writing so many times; negative: being executed so many times (`ETXTBSY`).
    pub writers: AtomicI32,
}

/// An inode's part in one.
pub(super) enum Place {
    Own(Meeting),
    Shared(Arc<Meeting>),
}

impl Deref for Place {
    type Target = Meeting;

    fn deref(&self) -> &Meeting {
        match self {
            Place::Own(own) => own,
            Place::Shared(shared) => shared,
        }
    }
}

/// Device and inode number on the host, and the type: a number may come back for another file.
type Key = (u64, u64, FileType);

/// The files of the host that several mounts may show.
#[derive(Default)]
pub struct Commons {
    /// A mark set through one mount hears of what is done through another.
    marks: Arc<MarkCount>,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    live: HashMap<Key, Weak<Meeting>>,
    /// Size at which the ended ones are taken out.
    sweep: usize,
}

const FEW: usize = 1024;

impl Commons {
    /// Of all these mounts.
    pub fn marks(&self) -> Arc<MarkCount> {
        self.marks.clone()
    }

    /// Where the users of that file meet.
    pub fn meeting(&self, dev: u64, ino: u64, kind: FileType) -> Arc<Meeting> {
        let mut files = self.files.lock();
        if let Some(have) = files.live.get(&(dev, ino, kind)).and_then(Weak::upgrade) {
            return have;
        }
        if files.live.len() >= files.sweep.max(FEW) {
            files.live.retain(|_, meeting| meeting.strong_count() > 0);
            files.sweep = files.live.len().saturating_mul(2);
        }
        let new = Arc::new(Meeting::default());
        files.live.insert((dev, ino, kind), Arc::downgrade(&new));
        new
    }

    /// The file has no name any more: its number may come back for another.
    pub fn forget(&self, dev: u64, ino: u64) {
        let mut files = self.files.lock();
        for kind in FileType::ALL {
            files.live.remove(&(dev, ino, kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_each_live_file() {
        let commons = Commons::default();
        let one = commons.meeting(1, 2, FileType::Regular);
        assert!(Arc::ptr_eq(&one, &commons.meeting(1, 2, FileType::Regular)));
        for (dev, ino, kind) in [
            (1, 3, FileType::Regular),
            (2, 2, FileType::Regular),
            (1, 2, FileType::Socket),
        ] {
            assert!(!Arc::ptr_eq(&one, &commons.meeting(dev, ino, kind)));
        }
        commons.forget(1, 2);
        assert!(!Arc::ptr_eq(&one, &commons.meeting(1, 2, FileType::Regular)));
    }

    #[test]
    fn the_ended_are_taken_out() {
        let commons = Commons::default();
        let kept: Vec<_> = (0..10).map(|ino| commons.meeting(0, ino, FileType::Regular)).collect();
        for ino in 10..20_000 {
            commons.meeting(0, ino, FileType::Regular);
        }
        assert!(commons.files.lock().live.len() <= FEW);
        for (ino, meeting) in (0..10).zip(&kept) {
            assert!(Arc::ptr_eq(meeting, &commons.meeting(0, ino, FileType::Regular)));
        }
    }
}
