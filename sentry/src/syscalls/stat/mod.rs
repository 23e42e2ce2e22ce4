//! Attributes of files.

mod access;
mod change;
mod times;

use abi::fs::{Statfs, Statx, StatxTimestamp};
use abi::time::Timespec;
use abi::{Errno, SysResult};

pub(super) use access::{sys_access, sys_faccessat, sys_faccessat2};
pub(super) use change::{
    sys_chmod, sys_chown, sys_fchmod, sys_fchmodat, sys_fchmodat2, sys_fchown, sys_fchownat, sys_lchown, sys_truncate,
};
pub(super) use times::{sys_futimesat, sys_utime, sys_utimensat, sys_utimes};

use crate::fs::mount::{Mount, MountFlags};
use crate::fs::namei::{AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, Lookup, lookup};
use crate::fs::stat::{major, minor};
use crate::fs::{Path, Stat, Timestamp};
use crate::task::Cx;
use crate::usermem::UserAddr;

fn timespec(t: Timestamp) -> Timespec {
    Timespec {
        sec: t.sec,
        nsec: i64::from(t.nsec),
    }
}

fn put_stat(cx: &mut Cx, at: UserAddr, st: &Stat) -> SysResult<u64> {
    let ns = cx.task.cred().user_ns.clone();
    let out = abi::fs::Stat {
        dev: st.dev,
        ino: st.ino,
        nlink: u64::from(st.nlink),
        mode: st.mode,
        uid: ns.uid_out(st.uid),
        gid: ns.gid_out(st.gid),
        rdev: st.rdev,
        size: st.size,
        blksize: u64::from(st.blksize),
        blocks: st.blocks,
        atime: timespec(st.atime),
        mtime: timespec(st.mtime),
        ctime: timespec(st.ctime),
        ..abi::fs::Stat::default()
    };
    cx.write_obj(at, &out)?;
    Ok(0)
}

/// `stat(2)`
pub(super) fn sys_stat(cx: &mut Cx, path: UserAddr, statbuf: UserAddr) -> SysResult<u64> {
    sys_newfstatat(cx, AT_FDCWD, path, statbuf, 0)
}

/// `fstat(2)`
pub(super) fn sys_fstat(cx: &mut Cx, fd: i32, statbuf: UserAddr) -> SysResult<u64> {
    let file = cx.task.files().get_any(fd)?;
    let st = file.inode().stat()?;
    put_stat(cx, statbuf, &st)
}

/// `lstat(2)`
pub(super) fn sys_lstat(cx: &mut Cx, path: UserAddr, statbuf: UserAddr) -> SysResult<u64> {
    sys_newfstatat(cx, AT_FDCWD, path, statbuf, AT_SYMLINK_NOFOLLOW)
}

/// `newfstatat(2)`
pub(super) fn sys_newfstatat(cx: &mut Cx, dirfd: i32, path: UserAddr, statbuf: UserAddr, flags: i32) -> SysResult<u64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = read_path_or_empty(cx, path, flags)?;
    let st = lookup(&cx.task, dirfd, &path, Lookup::from_at(flags))?.inode().stat()?;
    put_stat(cx, statbuf, &st)
}

/// With `AT_EMPTY_PATH` newer kernels take a null pointer for an empty path.
fn read_path_or_empty(cx: &Cx, path: UserAddr, flags: i32) -> SysResult<Vec<u8>> {
    if flags & AT_EMPTY_PATH != 0 && path.is_null() {
        return Ok(Vec::new());
    }
    Ok(cx.read_path(path)?)
}

const STATX_BASIC: u32 = 0x7ff;
const STATX_BTIME: u32 = 0x800;
const STATX_MNT_ID: u32 = 0x1000;
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// `statx(2)`
pub(super) fn sys_statx(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    flags: i32,
    mask: u32,
    statxbuf: UserAddr,
) -> SysResult<u64> {
    const SYNC_TYPE: i32 = 0x6000;
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | SYNC_TYPE;
    if mask & 0x8000_0000 != 0 || flags & SYNC_TYPE == SYNC_TYPE || flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = read_path_or_empty(cx, path, flags)?;
    let place = lookup(&cx.task, dirfd, &path, Lookup::from_at(flags))?;
    let out = statx_of(cx, &place, mask)?;
    cx.write_obj(statxbuf, &out)?;
    Ok(0)
}

fn statx_of(cx: &Cx, place: &Path, asked: u32) -> SysResult<Statx> {
    let st = place.inode().stat()?;
    let ns = cx.task.cred().user_ns.clone();
    let time = |t: Timestamp| StatxTimestamp {
        sec: t.sec,
        nsec: t.nsec,
        pad: 0,
    };
    let (mnt_bit, mnt_id) = match asked & STATX_MNT_ID_UNIQUE {
        0 => (STATX_MNT_ID, place.mnt.id),
        bit => (bit, place.mnt.unique_id()),
    };
    let has_btime = st.btime != Timestamp::default();
    Ok(Statx {
        mask: STATX_BASIC | mnt_bit | if has_btime { STATX_BTIME } else { 0 },
        blksize: st.blksize,
        attributes: if place.is_mount_root() {
            STATX_ATTR_MOUNT_ROOT
        } else {
            0
        },
        attributes_mask: STATX_ATTR_MOUNT_ROOT,
        nlink: st.nlink,
        uid: ns.uid_out(st.uid),
        gid: ns.gid_out(st.gid),
        mode: abi::conv::low16(u64::from(st.mode)),
        ino: st.ino,
        size: st.size,
        blocks: st.blocks,
        atime: time(st.atime),
        btime: time(st.btime),
        ctime: time(st.ctime),
        mtime: time(st.mtime),
        rdev_major: major(st.rdev),
        rdev_minor: minor(st.rdev),
        dev_major: major(st.dev),
        dev_minor: minor(st.dev),
        mnt_id,
        ..Statx::default()
    })
}

fn put_statfs(cx: &mut Cx, mnt: &Mount, at: UserAddr) -> SysResult<u64> {
    const ST_VALID: u64 = 0x20;
    let fs = mnt.sb.ops.statfs()?;
    let shown = [
        (MountFlags::NOSUID, 2),
        (MountFlags::NODEV, 4),
        (MountFlags::NOEXEC, 8),
        (MountFlags::NOATIME, 0x400),
        (MountFlags::NODIRATIME, 0x800),
        (MountFlags::RELATIME, 0x1000),
        (MountFlags::NOSYMFOLLOW, 0x2000),
    ];
    let flags = mnt.flags();
    let bits = shown
        .iter()
        .filter(|(f, _)| flags.contains(*f))
        .fold(ST_VALID, |a, (_, b)| a | b);
    let out = Statfs {
        kind: fs.magic,
        bsize: fs.bsize,
        blocks: fs.blocks,
        bfree: fs.bfree,
        bavail: fs.bavail,
        files: fs.files,
        ffree: fs.ffree,
        fsid: [abi::conv::int(mnt.sb.dev), 0],
        namelen: fs.namelen,
        frsize: fs.bsize,
        flags: bits | u64::from(mnt.is_readonly()),
        spare: [0; 4],
    };
    cx.write_obj(at, &out)?;
    Ok(0)
}

/// `statfs(2)`
pub(super) fn sys_statfs(cx: &mut Cx, path: UserAddr, buf: UserAddr) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, AT_FDCWD, &path, Lookup::FOLLOW)?;
    put_statfs(cx, &place.mnt, buf)
}

/// `fstatfs(2)`
pub(super) fn sys_fstatfs(cx: &mut Cx, fd: i32, buf: UserAddr) -> SysResult<u64> {
    let file = cx.task.files().get_any(fd)?;
    put_statfs(cx, &file.path.mnt, buf)
}

/// `ustat(2)`: numbers of the mounted file system with that device.
pub(super) fn sys_ustat(cx: &mut Cx, dev: u64, ubuf: UserAddr) -> SysResult<u64> {
    let mounts = cx
        .task
        .fs()
        .root()
        .mnt
        .namespace()
        .map(|ns| ns.list())
        .unwrap_or_default();
    let dev = u64::from(abi::conv::low32(dev));
    let mount = mounts.iter().find(|m| m.sb.dev == dev).ok_or(Errno::EINVAL)?;
    let fs = mount.sb.ops.statfs()?;
    // f_tfree and f_tinode, then two names of six bytes that Linux leaves empty.
    let out = [fs.bfree, fs.ffree & 0xffff_ffff, 0, 0];
    cx.write_obj(ubuf, &out)?;
    Ok(0)
}
