//! File locks: `flock(2)`, POSIX and open-file-description locks of `fcntl(2)`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::{File, FileMode};
use super::lease::{self, Leases};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

/// Whom a lock of `fcntl(2)` belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process, by its table of fds, as Linux has it.
    Files(u64),
    /// An open file description.
    File(u64),
}

/// A lock of `fcntl(2)` on the bytes `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PosixLock {
    /// First byte.
    pub first: u64,
    /// Last byte; `i64::MAX` for "to the end".
    pub last: u64,
    /// A write lock.
    pub exclusive: bool,
    /// Whose.
    pub owner: LockOwner,
    /// Process that set it, for `F_GETLK`.
    pub pid: i32,
}

/// What `flock(2)` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlockKind {
    /// `LOCK_SH`
    Shared,
    /// `LOCK_EX`
    Exclusive,
    /// `LOCK_UN`
    Unlocked,
}

#[derive(Default)]
struct State {
    /// Sorted by first byte; those of one owner do not overlap.
    posix: Vec<PosixLock>,
    /// (file description, exclusive)
    flocks: Vec<(u64, bool)>,
}

/// Locks on one inode.
#[derive(Default)]
pub struct InodeLocks {
    state: std::sync::OnceLock<Box<LockState>>,
    leases: std::sync::OnceLock<Box<Leases>>,
    hint: AtomicU64,
}

/// Only inodes that were ever locked have it.
#[derive(Default)]
struct LockState {
    state: Mutex<State>,
    queue: Arc<WaitQueue>,
}

impl InodeLocks {
    fn get(&self) -> &LockState {
        self.state.get_or_init(Box::default)
    }

    /// Leases; made now if there were none.
    pub(super) fn leases(&self) -> &Leases {
        self.leases.get_or_init(Box::default)
    }

    /// Leases, if there ever was one.
    pub(super) fn known_leases(&self) -> Option<&Leases> {
        self.leases.get().map(|leases| &**leases)
    }

    /// Woken whenever a lock goes or shrinks.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.get().queue
    }

    /// `F_GET_RW_HINT`
    pub fn write_hint(&self) -> u64 {
        self.hint.load(Ordering::Relaxed)
    }

    /// `F_SET_RW_HINT`
    pub fn set_write_hint(&self, hint: u64) {
        self.hint.store(hint, Ordering::Relaxed);
    }

    /// The first lock that stands against this one.
    pub fn conflict(&self, wanted: &PosixLock) -> Option<PosixLock> {
        conflict(&self.get().state.lock().posix, wanted)
    }

    /// Sets a lock, replacing what its owner had on these bytes; else gives the owner that stands against it.
    pub fn try_lock(&self, wanted: &PosixLock) -> Result<(), LockOwner> {
        let locks = self.get();
        let mut state = locks.state.lock();
        if let Some(other) = conflict(&state.posix, wanted) {
            return Err(other.owner);
        }
        let shrunk = carve(&mut state.posix, wanted.owner, wanted.first, wanted.last);
        insert(&mut state.posix, *wanted);
        drop(state);
        if shrunk {
            locks.queue.wake(Events::IN);
        }
        Ok(())
    }

    /// Ends the owner's locks on these bytes.
    pub fn unlock(&self, owner: LockOwner, first: u64, last: u64) {
        let Some(locks) = self.state.get() else { return };
        if carve(&mut locks.state.lock().posix, owner, first, last) {
            locks.queue.wake(Events::IN);
        }
    }

    /// `flock(2)` on a file description; false if others stand against it, then it holds none, as in Linux.
    pub fn flock(&self, file: u64, kind: FlockKind) -> bool {
        let locks = self.get();
        let mut state = locks.state.lock();
        let exclusive = kind == FlockKind::Exclusive;
        if state.flocks.contains(&(file, exclusive)) && kind != FlockKind::Unlocked {
            return true;
        }
        let had = state.flocks.len();
        state.flocks.retain(|&(f, _)| f != file);
        let freed = state.flocks.len() < had;
        let granted = match kind {
            FlockKind::Unlocked => true,
            FlockKind::Shared => state.flocks.iter().all(|&(_, x)| !x),
            FlockKind::Exclusive => state.flocks.is_empty(),
        };
        if granted && kind != FlockKind::Unlocked {
            state.flocks.push((file, exclusive));
        }
        drop(state);
        if freed {
            locks.queue.wake(Events::IN);
        }
        granted
    }

    /// All locks, for `/proc/locks`: POSIX and OFD ones, then (file description, exclusive) of `flock(2)`.
    pub fn list(&self) -> (Vec<PosixLock>, Vec<(u64, bool)>) {
        match self.state.get() {
            Some(locks) => {
                let state = locks.state.lock();
                (state.posix.clone(), state.flocks.clone())
            }
            None => (Vec::new(), Vec::new()),
        }
    }
}

fn conflict(locks: &[PosixLock], wanted: &PosixLock) -> Option<PosixLock> {
    let against = |l: &&PosixLock| {
        l.owner != wanted.owner && l.first <= wanted.last && wanted.first <= l.last && (l.exclusive || wanted.exclusive)
    };
    locks.iter().find(against).copied()
}

/// Takes the owner's locks off these bytes; true if there were any.
fn carve(locks: &mut Vec<PosixLock>, owner: LockOwner, first: u64, last: u64) -> bool {
    let mut out = Vec::with_capacity(locks.len() + 1);
    let mut any = false;
    for lock in locks.drain(..) {
        if lock.owner != owner || lock.last < first || last < lock.first {
            out.push(lock);
            continue;
        }
        any = true;
        if lock.first < first {
            out.push(PosixLock {
                last: first - 1,
                ..lock
            });
        }
        if lock.last > last {
            out.push(PosixLock {
                first: last + 1,
                ..lock
            });
        }
    }
    *locks = out;
    any
}

/// Adds a lock, joined with those of the same kind that touch it.
fn insert(locks: &mut Vec<PosixLock>, mut new: PosixLock) {
    locks.retain(|l| {
        let joins = l.owner == new.owner
            && l.exclusive == new.exclusive
            && l.first <= new.last.saturating_add(1)
            && new.first <= l.last.saturating_add(1);
        if joins {
            new.first = new.first.min(l.first);
            new.last = new.last.max(l.last);
        }
        !joins
    });
    let at = locks.partition_point(|l| l.first < new.first);
    locks.insert(at, new);
}

/// Who waits for whom, to find circles (`posix_locks_deadlock`).
#[derive(Default)]
pub struct LockGraph {
    waits: Mutex<HashMap<LockOwner, Vec<LockOwner>>>,
}

/// A wait in the graph; dropping it ends it.
pub struct Waiting<'a> {
    graph: &'a LockGraph,
    waiter: LockOwner,
    holder: LockOwner,
}

impl LockGraph {
    /// Notes a wait; none if it would close a circle. Only locks of processes can: a file description may be shared.
    pub fn wait(&self, waiter: LockOwner, holder: LockOwner) -> Option<Waiting<'_>> {
        let mut waits = self.waits.lock();
        let mut todo = vec![holder];
        let mut seen = Vec::new();
        while let Some(owner) = todo.pop() {
            if owner == waiter && matches!(waiter, LockOwner::Files(_)) {
                return None;
            }
            if matches!(owner, LockOwner::Files(_)) && !seen.contains(&owner) {
                seen.push(owner);
                todo.extend(waits.get(&owner).into_iter().flatten().copied());
            }
        }
        waits.entry(waiter).or_default().push(holder);
        Some(Waiting {
            graph: self,
            waiter,
            holder,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waits = self.graph.waits.lock();
        if let Some(list) = waits.get_mut(&self.waiter) {
            if let Some(i) = list.iter().position(|&h| h == self.holder) {
                list.swap_remove(i);
            }
            if list.is_empty() {
                waits.remove(&self.waiter);
            }
        }
    }
}

/// An fd of a process was closed: its POSIX locks on that inode end, whatever fd they were set by (`fcntl(2)`).
pub fn fd_closed(table: u64, file: &File) {
    if !file.mode.contains(FileMode::PATH) {
        file.inode().locks.unlock(LockOwner::Files(table), 0, u64::MAX);
        super::dnotify::fd_closed(table, file);
    }
}

/// The last reference to an open file description is gone.
pub(super) fn file_released(file: &File) {
    use super::watch::{self, mask};
    let inode = file.inode();
    if !file.mode.contains(FileMode::PATH) && inode.locks.state.get().is_some() {
        inode.locks.flock(file.id, FlockKind::Unlocked);
        inode.locks.unlock(LockOwner::File(file.id), 0, u64::MAX);
    }
    lease::release(inode, file.id);
    if file.mode.contains(FileMode::WRITER) {
        inode.end_write();
    }
    if file.mode.contains(FileMode::EXEC) {
        inode.allow_write();
    }
    if file.mode.contains(FileMode::PATH) {
        return;
    }
    let wrote = file.mode.contains(FileMode::WRITE);
    watch::notify(
        &file.path.dentry,
        if wrote { mask::CLOSE_WRITE } else { mask::CLOSE_NOWRITE },
    );
    if inode.watches.opens.fetch_sub(1, Ordering::AcqRel) == 1 {
        watch::gone(inode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: u64, first: u64, last: u64, exclusive: bool) -> PosixLock {
        PosixLock {
            first,
            last,
            exclusive,
            owner: LockOwner::Files(owner),
            pid: 0,
        }
    }

    #[test]
    fn ranges_split_and_join() {
        let locks = InodeLocks::default();
        locks.try_lock(&lock(1, 0, 99, true)).unwrap();
        locks.unlock(LockOwner::Files(1), 40, 59);
        assert_eq!(locks.list().0, [lock(1, 0, 39, true), lock(1, 60, 99, true)]);
        locks.try_lock(&lock(1, 40, 59, true)).unwrap();
        assert_eq!(locks.list().0, [lock(1, 0, 99, true)]);
        locks.try_lock(&lock(1, 10, 19, false)).unwrap();
        assert_eq!(locks.conflict(&lock(2, 10, 19, false)), None);
        assert_eq!(locks.conflict(&lock(2, 0, 19, false)), Some(lock(1, 0, 9, true)));
    }

    #[test]
    fn circles_are_found() {
        let graph = LockGraph::default();
        let (a, b, c) = (LockOwner::Files(1), LockOwner::Files(2), LockOwner::Files(3));
        let _ab = graph.wait(a, b).unwrap();
        let _bc = graph.wait(b, c).unwrap();
        assert!(graph.wait(c, a).is_none());
        drop(_bc);
        assert!(graph.wait(c, a).is_some());
    }

    #[test]
    fn flock_upgrade_frees_first() {
        let locks = InodeLocks::default();
        assert!(locks.flock(1, FlockKind::Shared));
        assert!(locks.flock(2, FlockKind::Shared));
        assert!(!locks.flock(1, FlockKind::Exclusive));
        assert!(locks.flock(2, FlockKind::Exclusive));
    }
}
