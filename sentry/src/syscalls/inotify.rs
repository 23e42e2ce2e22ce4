//! `inotify(7)`.

use std::sync::Arc;

use abi::{Errno, SysResult};

use crate::fs::inotify::Inotify;
use crate::fs::namei::{AT_FDCWD, Lookup, anon_file, lookup};
use crate::fs::perm::{self, MAY_READ};
use crate::fs::watch::mask;
use crate::fs::{File, FileOps, OpenFlags};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `inotify_init(2)`
pub(super) fn sys_inotify_init(cx: &mut Cx) -> SysResult<u64> {
    sys_inotify_init1(cx, 0)
}

/// `inotify_init1(2)`
pub(super) fn sys_inotify_init1(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    let flags = OpenFlags::from_bits_retain(flags.cast_unsigned());
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let kernel = cx.task.kernel.clone();
    let ops = Inotify::new(&kernel.vfs.inotify, cx.task.cred().uid, &kernel.tunables)?;
    let file = anon_file(&kernel, "inotify", ops, flags & OpenFlags::NONBLOCK);
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let fd = cx.task.files().add(file, cloexec, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}

fn instance(file: &File) -> SysResult<Arc<Inotify>> {
    let ops: Arc<dyn FileOps> = file.ops.clone();
    let any: Arc<dyn std::any::Any + Send + Sync> = ops;
    any.downcast::<Inotify>().map_err(|_| Errno::EINVAL.into())
}

/// `inotify_add_watch(2)`
pub(super) fn sys_inotify_add_watch(cx: &mut Cx, fd: i32, path: UserAddr, wanted: u32) -> SysResult<u64> {
    const KNOWN: u32 = mask::ALL_EVENTS
        | mask::UNMOUNT
        | mask::Q_OVERFLOW
        | mask::IGNORED
        | mask::ONLYDIR
        | mask::DONT_FOLLOW
        | mask::EXCL_UNLINK
        | mask::MASK_ADD
        | mask::MASK_CREATE
        | mask::ISDIR
        | mask::ONESHOT;
    if wanted & KNOWN == 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(fd)?;
    if wanted & (mask::MASK_ADD | mask::MASK_CREATE) == mask::MASK_ADD | mask::MASK_CREATE {
        return Err(Errno::EINVAL.into());
    }
    let group = instance(&file)?;
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, wanted & mask::DONT_FOLLOW == 0);
    how.set(Lookup::DIRECTORY, wanted & mask::ONLYDIR != 0);
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, AT_FDCWD, &path, how)?;
    perm::inode(Some(&cx.task), &cx.task.cred(), place.inode(), MAY_READ)?;
    let wd = group.add(place.inode(), wanted, &cx.task.kernel.tunables)?;
    Ok(u64::from(wd.cast_unsigned()))
}

/// `inotify_rm_watch(2)`
pub(super) fn sys_inotify_rm_watch(cx: &mut Cx, fd: i32, wd: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    instance(&file)?.remove(wd)?;
    Ok(0)
}
