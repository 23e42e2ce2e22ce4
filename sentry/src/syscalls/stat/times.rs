//! Setting times.

use abi::time::{Timespec, Timeval};
use abi::{Errno, SysResult};

use crate::fs::Timestamp;
use crate::fs::attr::{self, SetTime};
use crate::fs::namei::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Lookup, lookup};
use crate::task::Cx;
use crate::usermem::UserAddr;

const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;

fn exact(sec: i64, nsec: i64) -> SysResult<SetTime> {
    let nsec = u32::try_from(nsec)
        .ok()
        .filter(|&n| n < 1_000_000_000)
        .ok_or(Errno::EINVAL)?;
    Ok(SetTime::To(Timestamp { sec, nsec }))
}

fn set(cx: &Cx, dirfd: i32, path: &[u8], flags: Lookup, times: [SetTime; 2]) -> SysResult<u64> {
    let place = lookup(&cx.task, dirfd, path, flags)?;
    attr::set_times(&cx.task, &place, times[0], times[1])?;
    Ok(0)
}

/// `utime(2)`
pub(in super::super) fn sys_utime(cx: &mut Cx, path: UserAddr, times: UserAddr) -> SysResult<u64> {
    let mut to = [SetTime::Now; 2];
    if let Some(at) = times.nonnull() {
        let [atime, mtime]: [i64; 2] = cx.read_obj(at)?;
        to = [exact(atime, 0)?, exact(mtime, 0)?];
    }
    let path = cx.read_path(path)?;
    set(cx, AT_FDCWD, &path, Lookup::FOLLOW, to)
}

/// `utimes(2)`
pub(in super::super) fn sys_utimes(cx: &mut Cx, path: UserAddr, times: UserAddr) -> SysResult<u64> {
    sys_futimesat(cx, AT_FDCWD, path, times)
}

/// `futimesat(2)`
pub(in super::super) fn sys_futimesat(cx: &mut Cx, dirfd: i32, path: UserAddr, times: UserAddr) -> SysResult<u64> {
    let mut to = [SetTime::Now; 2];
    if let Some(at) = times.nonnull() {
        let given: [Timeval; 2] = cx.read_obj(at)?;
        for (to, from) in to.iter_mut().zip(given) {
            if !(0..1_000_000).contains(&from.usec) {
                return Err(Errno::EINVAL.into());
            }
            *to = exact(from.sec, from.usec * 1000)?;
        }
    }
    if path.is_null() && dirfd != AT_FDCWD {
        return set_fd(cx, dirfd, to);
    }
    let path = cx.read_path(path)?;
    set(cx, dirfd, &path, Lookup::FOLLOW, to)
}

fn set_fd(cx: &Cx, fd: i32, times: [SetTime; 2]) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    attr::set_times(&cx.task, &file.path, times[0], times[1])?;
    Ok(0)
}

/// `utimensat(2)`
pub(in super::super) fn sys_utimensat(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    times: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    let mut to = [SetTime::Now; 2];
    if let Some(at) = times.nonnull() {
        let given: [Timespec; 2] = cx.read_obj(at)?;
        for (to, from) in to.iter_mut().zip(given) {
            *to = match from.nsec {
                UTIME_NOW => SetTime::Now,
                UTIME_OMIT => SetTime::Omit,
                nsec => exact(from.sec, nsec)?,
            };
        }
        if to == [SetTime::Omit; 2] {
            return Ok(0);
        }
    }
    if path.is_null() && dirfd != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        return set_fd(cx, dirfd, to);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = cx.read_path(path)?;
    set(cx, dirfd, &path, Lookup::from_at(flags), to)
}
