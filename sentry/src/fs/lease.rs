//! File leases (`fcntl(2)`, `F_SETLEASE`): who has one hears of an open that goes against it, and the open waits for him.

use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;
use abi::{SysError, SysResult};

use super::file::{File, FileMode};
use super::inode::Inode;
use super::sigio;
use super::stat::FileType;
use crate::cred::cap;
use crate::executor::Executor;
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{Blocked, Blocker, Events, WaitQueue};

/// `F_RDLCK`: nobody has the file open for writing.
pub const READ: i32 = 0;
/// `F_WRLCK`: nobody else has the file open at all.
pub const WRITE: i32 = 1;
/// `F_UNLCK`
pub const NONE: i32 = 2;

struct Lease {
    file: Weak<File>,
    /// Number of the description, for when it ends.
    id: u64,
    fd: i32,
    kind: i32,
    /// What it shall become, and when it does by itself (`CLOCK_MONOTONIC`).
    breaking: Option<(i32, u64)>,
}

/// Leases on one inode. Only inodes that ever had one have it.
#[derive(Default)]
pub struct Leases {
    list: Mutex<Vec<Lease>>,
    queue: Arc<WaitQueue>,
}

impl Lease {
    fn conflicts(&self, write: bool) -> bool {
        write || self.kind == WRITE
    }
}

/// `F_SETLEASE`
pub fn set(task: &Arc<Task>, file: &Arc<File>, fd: i32, kind: i32) -> Result<()> {
    let inode = file.inode();
    let st = inode.stat()?;
    if task.cred().fsuid != st.uid && !task.capable(cap::LEASE) {
        return Err(Errno::EACCES);
    }
    if inode.kind != FileType::Regular {
        return Err(Errno::EINVAL);
    }
    if kind == NONE {
        return release(inode, file.id).then_some(()).ok_or(Errno::EAGAIN);
    }
    if (kind != READ && kind != WRITE) || task.kernel.tunables.leases_enable.get() == 0 {
        return Err(Errno::EINVAL);
    }
    check_opens(file, kind)?;
    let leases = inode.locks.leases();
    let mut list = leases.list.lock();
    list.retain(|l| l.file.strong_count() > 0);
    for lease in list.iter() {
        let own = lease.id == file.id;
        // A lease that is being taken away is not given anew, and one for writing stands alone.
        let taken_away = lease.breaking.is_some_and(|(to, _)| to == NONE || kind == WRITE);
        if (own && taken_away) || (!own && (kind == WRITE || lease.kind == WRITE || lease.breaking.is_some())) {
            return Err(Errno::EAGAIN);
        }
    }
    match list.iter_mut().find(|l| l.id == file.id) {
        Some(lease) => {
            lease.kind = kind;
            lease.breaking = None;
        }
        None => list.push(Lease {
            file: Arc::downgrade(file),
            id: file.id,
            fd,
            kind,
            breaking: None,
        }),
    }
    drop(list);
    let mut owner = file.owner.lock();
    if owner.id == 0 {
        (owner.kind, owner.id) = (1, task.group.tgid);
    }
    drop(owner);
    leases.queue.wake(Events::IN);
    Ok(())
}

/// `check_conflicting_open`
fn check_opens(file: &File, kind: i32) -> Result<()> {
    let inode = file.inode();
    let writers = inode.writers.load(std::sync::atomic::Ordering::Acquire);
    let conflict = match kind {
        READ => file.mode.contains(FileMode::WRITE) || writers > 0,
        _ => inode.watches.open_count() > 1,
    };
    if conflict { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// `F_GETLEASE`: of a lease that is being broken what it becomes.
pub fn get(file: &File) -> i32 {
    let Some(leases) = file.inode().locks.known_leases() else {
        return NONE;
    };
    let list = leases.list.lock();
    let lease = list.iter().find(|l| l.id == file.id);
    lease.map_or(NONE, |l| l.breaking.map_or(l.kind, |(to, _)| to))
}

/// The description is done with its lease; true if it had one.
pub(super) fn release(inode: &Inode, id: u64) -> bool {
    let Some(leases) = inode.locks.known_leases() else {
        return false;
    };
    let mut list = leases.list.lock();
    let before = list.len();
    list.retain(|l| l.id != id);
    let had = list.len() < before;
    drop(list);
    if had {
        leases.queue.wake(Events::IN);
    }
    had
}

/// An open, or a truncation, goes against a lease.
pub fn in_the_way(inode: &Inode, write: bool) -> bool {
    let Some(leases) = inode.locks.known_leases() else {
        return false;
    };
    let now = Executor::now();
    let mut list = leases.list.lock();
    // Time is up: what was asked for happens.
    for lease in list.iter_mut() {
        if let Some((to, at)) = lease.breaking
            && now >= at
        {
            lease.kind = to;
            lease.breaking = None;
        }
    }
    list.retain(|l| l.kind != NONE && l.file.strong_count() > 0);
    list.iter().any(|l| l.conflicts(write))
}

/// Tells who has a lease that stands against it; gives when it ends at the latest.
fn begin_break(kernel: &Arc<Kernel>, leases: &Leases, write: bool) -> Option<u64> {
    let seconds = kernel.tunables.lease_break_time.count();
    let at = match seconds {
        0 => u64::MAX,
        s => Executor::now().saturating_add(s.saturating_mul(1_000_000_000)),
    };
    let to = if write { NONE } else { READ };
    let mut tell = Vec::new();
    let mut latest = None;
    let mut list = leases.list.lock();
    for lease in list.iter_mut().filter(|l| l.conflicts(write)) {
        let news = match lease.breaking {
            None => true,
            Some((before, _)) => before == READ && to == NONE,
        };
        if news {
            lease.breaking = Some((to, at));
            tell.extend(lease.file.upgrade().map(|f| (f, lease.fd)));
        }
        latest = latest.max(lease.breaking.map(|(_, at)| at));
    }
    drop(list);
    for (file, fd) in tell {
        sigio::tell_of_message_now(kernel, &file, fd);
    }
    latest
}

/// `break_lease`: waits until nothing stands against it. `EWOULDBLOCK` for who may not wait.
pub async fn wait_broken(task: &Arc<Task>, inode: &Arc<Inode>, write: bool, nonblock: bool) -> SysResult<()> {
    let Some(leases) = inode.locks.known_leases() else {
        return Ok(());
    };
    let deadline = begin_break(&task.kernel, leases, write);
    if nonblock {
        return Err(Errno::EAGAIN.into());
    }
    let mut blocker = Blocker::new(task, deadline);
    while in_the_way(inode, write) {
        match blocker.wait_on(&leases.queue, Events::IN).await {
            Ok(()) | Err(Blocked::TimedOut) => {}
            Err(Blocked::Interrupted) => return Err(SysError::Restart(abi::Restart::Sys)),
        }
    }
    Ok(())
}
