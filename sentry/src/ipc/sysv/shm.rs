//! Shared memory segments (`shmget(2)`).

use std::sync::Arc;

use abi::ipc::ShmidDs;

use super::{Object, Perm, Table};
use crate::cred::Cred;
use crate::mm::SharedObject;

/// Largest segment.
pub const SHMMAX: u64 = u64::MAX - (1 << 24);
/// Pages of all segments, at most.
pub const SHMALL: u64 = u64::MAX - (1 << 24);

/// To be removed with the last detach.
pub const SHM_DEST: u32 = 0o1000;
/// `SHM_LOCK` was called.
pub const SHM_LOCKED: u32 = 0o2000;

/// A segment. Each area that maps it holds the object: that is how often it is attached.
pub struct Segment {
    /// Owner and permissions.
    pub perm: Perm,
    /// The memory.
    pub object: Arc<SharedObject>,
    /// Bytes asked for.
    pub size: u64,
    /// Last attach.
    pub atime: i64,
    /// Last detach.
    pub dtime: i64,
    /// Last change.
    pub ctime: i64,
    /// Who made it, and who used it last.
    pub cpid: i32,
    /// See `cpid`.
    pub lpid: i32,
}

impl Object for Segment {
    fn perm(&self) -> Perm {
        self.perm.clone()
    }

    fn weight(&self) -> u64 {
        self.size.div_ceil(4096)
    }
}

impl Segment {
    /// How often it is attached.
    pub fn attached(&self) -> u64 {
        abi::conv::usize64(Arc::strong_count(&self.object).saturating_sub(1))
    }

    /// For `IPC_STAT`.
    pub fn show(&self, id: i32, cred: &Cred) -> ShmidDs {
        ShmidDs {
            perm: self.perm.show(id, cred),
            segsz: self.size,
            atime: self.atime,
            dtime: self.dtime,
            ctime: self.ctime,
            cpid: self.cpid,
            lpid: self.lpid,
            nattch: self.attached(),
            ..ShmidDs::default()
        }
    }
}

impl Table<Segment> {
    /// Lets go of segments that were removed and have lost their last user.
    pub fn purge(&mut self) {
        let gone: Vec<i32> = self
            .iter()
            .filter(|(_, s)| s.perm.mode & SHM_DEST != 0 && s.attached() == 0)
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            let _ = self.remove(id);
        }
    }
}
