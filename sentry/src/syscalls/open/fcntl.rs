//! `fcntl(2)` and `flock(2)`.

use std::sync::Arc;

use abi::fs::{FOwnerEx, Flock};
use abi::{Errno, SysResult};

use crate::fs::impls::tmpfs;
use crate::fs::locks::{FlockKind, LockOwner, PosixLock};
use crate::fs::{File, FileMode, FileOwner, OpenFlags, dnotify, lease, perm};
use crate::ipc::pipe::PipeFile;
use crate::signal::Signal;
use crate::task::{Cx, Task};
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events};

const F_DUPFD: i32 = 0;
const F_GETFD: i32 = 1;
const F_SETFD: i32 = 2;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;
const F_GETLK: i32 = 5;
const F_SETLK: i32 = 6;
const F_SETLKW: i32 = 7;
const F_SETOWN: i32 = 8;
const F_GETOWN: i32 = 9;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLK: i32 = 37;
const F_OFD_SETLKW: i32 = 38;
const F_SETLEASE: i32 = 1024;
const F_GETLEASE: i32 = 1025;
const F_NOTIFY: i32 = 1026;
const F_DUPFD_QUERY: i32 = 1027;
const F_CREATED_QUERY: i32 = 1028;
const F_DUPFD_CLOEXEC: i32 = 1030;
const F_SETPIPE_SZ: i32 = 1031;
const F_GETPIPE_SZ: i32 = 1032;
const F_ADD_SEALS: i32 = 1033;
const F_GET_SEALS: i32 = 1034;
const F_GET_RW_HINT: i32 = 1035;
const F_SET_RW_HINT: i32 = 1036;
const F_GET_FILE_RW_HINT: i32 = 1037;
const F_SET_FILE_RW_HINT: i32 = 1038;

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

/// `fcntl(2)`
pub(in super::super) async fn sys_fcntl(cx: &mut Cx, fd: i32, cmd: i32, arg: u64) -> SysResult<u64> {
    let files = cx.task.files();
    let file = files.get_any(fd)?;
    if file.mode.contains(FileMode::PATH)
        && !matches!(
            cmd,
            F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL | F_DUPFD_QUERY
        )
    {
        return Err(Errno::EBADF.into());
    }
    let int = abi::conv::int(arg);
    match cmd {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let limit = cx.task.fd_limit();
            if u64::try_from(int).map_or(true, |n| n >= limit) {
                return Err(Errno::EINVAL.into());
            }
            let new = files.add_from(int, file, cmd == F_DUPFD_CLOEXEC, limit)?;
            Ok(u64::from(new.cast_unsigned()))
        }
        F_DUPFD_QUERY => Ok(u64::from(files.get_any(int).is_ok_and(|f| Arc::ptr_eq(&f, &file)))),
        F_GETFD => Ok(u64::from(files.cloexec(fd)?)),
        F_SETFD => {
            files.set_cloexec(fd, arg & 1 != 0)?;
            Ok(0)
        }
        F_GETFL => Ok(u64::from(file.flags().bits())),
        F_SETFL => set_flags(&cx.task, &file, abi::conv::low32(arg)),
        F_GETLK | F_OFD_GETLK => get_lock(cx, &file, cmd == F_OFD_GETLK, UserAddr(arg)),
        F_SETLK | F_SETLKW => set_lock(cx, fd, &file, false, cmd == F_SETLKW, UserAddr(arg)).await,
        F_OFD_SETLK | F_OFD_SETLKW => set_lock(cx, fd, &file, true, cmd == F_OFD_SETLKW, UserAddr(arg)).await,
        F_SETOWN => {
            let (kind, id) = if int < 0 {
                (2, int.checked_neg().ok_or(Errno::EINVAL)?)
            } else {
                (1, int)
            };
            set_owner(&cx.task, &file, kind, id)
        }
        F_GETOWN => {
            let owner = *file.owner.lock();
            let id = if owner.kind == 2 { -owner.id } else { owner.id };
            Ok(i64::from(id).cast_unsigned())
        }
        F_SETOWN_EX => {
            let new: FOwnerEx = cx.read_obj(UserAddr(arg))?;
            if !(0..=2).contains(&new.kind) {
                return Err(Errno::EINVAL.into());
            }
            set_owner(&cx.task, &file, new.kind, new.pid)
        }
        F_GETOWN_EX => {
            let owner = *file.owner.lock();
            let out = FOwnerEx {
                kind: owner.kind,
                pid: owner.id,
            };
            cx.write_obj(UserAddr(arg), &out)?;
            Ok(0)
        }
        F_SETSIG => {
            if int != 0 && Signal::new(int).is_none() {
                return Err(Errno::EINVAL.into());
            }
            file.owner.lock().signal = int;
            Ok(0)
        }
        F_GETSIG => Ok(u64::from(file.owner.lock().signal.cast_unsigned())),
        F_SETLEASE => {
            lease::set(&cx.task, &file, fd, int)?;
            Ok(0)
        }
        F_GETLEASE => Ok(u64::from(lease::get(&file).cast_unsigned())),
        F_SETPIPE_SZ => {
            let pipe = file.downcast::<PipeFile>().ok_or(Errno::EBADF)?;
            Ok(abi::conv::usize64(
                pipe.set_capacity(cx, u64::from(abi::conv::low32(arg)))?,
            ))
        }
        F_GETPIPE_SZ => {
            let pipe = file.downcast::<PipeFile>().ok_or(Errno::EBADF)?;
            Ok(abi::conv::usize64(pipe.pipe().capacity()))
        }
        F_ADD_SEALS => {
            tmpfs::add_seals(&file, abi::conv::low32(arg), || is_mapped_writable(&cx.task, &file))?;
            Ok(0)
        }
        F_GET_SEALS => Ok(u64::from(tmpfs::seals(&file)?.bits())),
        F_GET_RW_HINT | F_GET_FILE_RW_HINT => {
            cx.write_obj(UserAddr(arg), &file.inode().locks.write_hint())?;
            Ok(0)
        }
        F_SET_RW_HINT | F_SET_FILE_RW_HINT => {
            let hint: u64 = cx.read_obj(UserAddr(arg))?;
            if hint > 5 {
                return Err(Errno::EINVAL.into());
            }
            file.inode().locks.set_write_hint(hint);
            Ok(0)
        }
        F_NOTIFY => {
            dnotify::set(&cx.task, &file, fd, abi::conv::low32(arg))?;
            Ok(0)
        }
        F_CREATED_QUERY => Ok(u64::from(file.mode.contains(FileMode::CREATED))),
        _ => Err(cx
            .task
            .kernel
            .counters
            .missing("fcntl", u64::from(cmd.cast_unsigned()), Errno::EINVAL)
            .into()),
    }
}

/// Some process has the file mapped so that it can write to it. Seals are rare enough for a look at everybody.
fn is_mapped_writable(task: &Arc<Task>, file: &File) -> bool {
    use crate::mm::VmaFlags;
    let tasks = task.kernel.tasks.all_tasks();
    let mut areas = tasks.iter().filter_map(|t| t.mm()).flat_map(|mm| mm.maps());
    areas.any(|area| {
        area.flags.contains(VmaFlags::SHARED | VmaFlags::MAYWRITE)
            && area.file.is_some_and(|f| Arc::ptr_eq(f.inode(), file.inode()))
    })
}

/// `F_SETFL` (`setfl`)
fn set_flags(task: &Arc<Task>, file: &Arc<File>, bits: u32) -> SysResult<u64> {
    let asked = OpenFlags::from_bits_truncate(bits) & OpenFlags::SETFL;
    let old = file.flags();
    if asked.contains(OpenFlags::NOATIME)
        && !old.contains(OpenFlags::NOATIME)
        && !perm::owner_or_capable(&task.cred(), &file.inode().stat()?)
    {
        return Err(Errno::EPERM.into());
    }
    let new = old.difference(OpenFlags::SETFL) | asked;
    file.ops.set_flags(file, new)?;
    if old.contains(OpenFlags::ASYNC) != new.contains(OpenFlags::ASYNC) {
        set_async(task, file, new.contains(OpenFlags::ASYNC))?;
    }
    file.set_flags(new);
    Ok(0)
}

/// Turns `O_ASYNC` on or off.
pub(super) fn set_async(task: &Arc<Task>, file: &Arc<File>, on: bool) -> SysResult<()> {
    let mut flags = file.flags();
    flags.set(OpenFlags::ASYNC, on);
    crate::fs::sigio::set_async(task, file, on)?;
    file.set_flags(flags);
    Ok(())
}

fn set_owner(task: &Arc<Task>, file: &Arc<File>, kind: i32, id: i32) -> SysResult<u64> {
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let id = match id {
        0 => 0,
        id => crate::fs::sigio::owner_number(task, kind, id)?,
    };
    let mut owner = file.owner.lock();
    *owner = FileOwner {
        kind,
        id,
        signal: owner.signal,
    };
    Ok(0)
}

/// `struct flock` as a range, from where the file stands.
fn range(file: &File, lock: &Flock) -> SysResult<(u64, u64)> {
    let base = match lock.whence {
        0 => 0,
        1 => i64::try_from(*file.pos.lock()).unwrap_or(i64::MAX),
        2 => i64::try_from(file.inode().stat()?.size).unwrap_or(i64::MAX),
        _ => return Err(Errno::EINVAL.into()),
    };
    let start = base.checked_add(lock.start).ok_or(Errno::EOVERFLOW)?;
    let (first, last) = match lock.len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        len => (
            start.checked_add(len).ok_or(Errno::EINVAL)?,
            start.checked_sub(1).ok_or(Errno::EINVAL)?,
        ),
    };
    let first = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
    let last = u64::try_from(last).map_err(|_| Errno::EINVAL)?;
    Ok((first, last))
}

fn owner_of(cx: &Cx, file: &File, ofd: bool) -> LockOwner {
    if ofd {
        LockOwner::File(file.id)
    } else {
        LockOwner::Files(cx.task.files().id)
    }
}

fn get_lock(cx: &mut Cx, file: &Arc<File>, ofd: bool, at: UserAddr) -> SysResult<u64> {
    let mut lock: Flock = cx.read_obj(at)?;
    if ofd && lock.pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let exclusive = match lock.kind {
        F_RDLCK => false,
        F_WRLCK => true,
        // A query with `F_UNLCK` is of use for OFD locks only.
        F_UNLCK if ofd => true,
        _ => return Err(Errno::EINVAL.into()),
    };
    let (first, last) = range(file, &lock)?;
    let wanted = PosixLock {
        first,
        last,
        exclusive,
        owner: owner_of(cx, file, ofd),
        pid: 0,
    };
    match file.inode().locks.conflict(&wanted) {
        None => lock.kind = F_UNLCK,
        Some(other) => {
            lock = Flock {
                kind: if other.exclusive { F_WRLCK } else { F_RDLCK },
                start: other.first.cast_signed(),
                len: match other.last {
                    last if last == i64::MAX.cast_unsigned() => 0,
                    last => (last - other.first + 1).cast_signed(),
                },
                pid: match other.owner {
                    LockOwner::File(_) => -1,
                    LockOwner::Files(_) => other.pid,
                },
                ..Flock::default()
            };
        }
    }
    cx.write_obj(at, &lock)?;
    Ok(0)
}

async fn set_lock(cx: &mut Cx, fd: i32, file: &Arc<File>, ofd: bool, wait: bool, at: UserAddr) -> SysResult<u64> {
    let lock: Flock = cx.read_obj(at)?;
    if ofd && lock.pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (first, last) = range(file, &lock)?;
    let exclusive = match lock.kind {
        F_RDLCK if !file.mode.contains(FileMode::READ) => return Err(Errno::EBADF.into()),
        F_WRLCK if !file.mode.contains(FileMode::WRITE) => return Err(Errno::EBADF.into()),
        F_RDLCK => false,
        F_WRLCK => true,
        F_UNLCK => {
            let owner = owner_of(cx, file, ofd);
            file.inode().locks.unlock(owner, first, last);
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let wanted = PosixLock {
        first,
        last,
        exclusive,
        owner: owner_of(cx, file, ofd),
        pid: cx.task.group.tgid,
    };
    let inode = file.inode().clone();
    let mut blocker = Blocker::new(&cx.task, None);
    loop {
        match inode.locks.try_lock(&wanted) {
            Ok(()) => break,
            Err(_) if !wait => return Err(Errno::EAGAIN.into()),
            Err(holder) => {
                let graph = &cx.task.kernel.vfs.lock_graph;
                let _waiting = graph.wait(wanted.owner, holder).ok_or(Errno::EDEADLK)?;
                blocker
                    .wait_on(inode.locks.queue(), Events::IN)
                    .await
                    .map_err(|b| b.or_restart(Errno::EAGAIN))?;
            }
        }
    }
    // Another thread may have closed the fd meanwhile: then the lock would stay for ever.
    let still = cx.task.files().get(fd).is_ok_and(|f| Arc::ptr_eq(&f, file));
    if !ofd && !still {
        inode.locks.unlock(wanted.owner, first, last);
        return Err(Errno::EBADF.into());
    }
    Ok(0)
}

/// `flock(2)`
pub(in super::super) async fn sys_flock(cx: &mut Cx, fd: i32, operation: i32) -> SysResult<u64> {
    const LOCK_NB: i32 = 4;
    let file = cx.task.files().get(fd)?;
    let kind = match operation & !LOCK_NB {
        1 => FlockKind::Shared,
        2 => FlockKind::Exclusive,
        8 => FlockKind::Unlocked,
        _ => return Err(Errno::EINVAL.into()),
    };
    let inode = file.inode().clone();
    let mut blocker = Blocker::new(&cx.task, None);
    while !inode.locks.flock(file.id, kind) {
        if operation & LOCK_NB != 0 {
            return Err(Errno::EAGAIN.into());
        }
        blocker
            .wait_on(inode.locks.queue(), Events::IN)
            .await
            .map_err(|b| b.or_restart(Errno::EAGAIN))?;
    }
    Ok(0)
}
