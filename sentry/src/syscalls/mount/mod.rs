//! Mounts.

mod config;
mod detached;
mod machine;
mod query;

use std::sync::Arc;

use abi::{Errno, SysResult};

pub(super) use config::{sys_fsconfig, sys_fsmount, sys_fsopen, sys_fspick};
pub(super) use detached::{sys_mount_setattr, sys_move_mount, sys_open_tree};
pub(super) use machine::{sys_quotactl, sys_swapoff, sys_swapon, sys_sysfs};
pub(super) use query::{sys_listmount, sys_statmount};

use crate::cred::cap;
use crate::fs::mount::{Mount, MountFlags, MountNamespace, attach, too_revealing, tree, umount};
use crate::fs::namei::{AT_FDCWD, Lookup, lookup};
use crate::fs::{FsType, MountArgs, Path, SuperBlock, impls};
use crate::task::Cx;
use crate::usermem::UserAddr;

const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
const MS_REC: u64 = 16384;
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;
const MS_STRICTATIME: u64 = 1 << 24;
const MS_NOUSER: u64 = 1 << 31;
const MS_MGC_MSK: u64 = 0xffff_0000;
const MS_MGC_VAL: u64 = 0xc0ed_0000;
const PROPAGATION: u64 = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

/// The caller may change its mounts (`may_mount`).
fn may_mount(cx: &Cx) -> SysResult<Arc<MountNamespace>> {
    let ns = cx.task.ns().mnt.clone();
    if cx.task.cred().has_cap_in(&ns.user_ns, cap::SYS_ADMIN) {
        Ok(ns)
    } else {
        Err(Errno::EPERM.into())
    }
}

/// `check_mnt`
fn is_ours(ns: &Arc<MountNamespace>, mnt: &Arc<Mount>) -> bool {
    mnt.namespace().is_some_and(|n| Arc::ptr_eq(&n, ns))
}

/// A string argument of at most a page; none for `NULL`.
fn read_option(cx: &Cx, at: UserAddr) -> SysResult<Option<Vec<u8>>> {
    match at.nonnull() {
        None => Ok(None),
        Some(at) => match cx.read_cstr(at, 4096) {
            Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL.into()),
            text => Ok(Some(text?)),
        },
    }
}

/// The type of that name, if the caller may mount it.
fn find_type(cx: &Cx, name: &[u8]) -> SysResult<&'static dyn FsType> {
    let found = impls::registry().iter().find(|t| t.name().as_bytes() == name);
    let fstype = *found.ok_or_else(|| {
        crate::log::debug(format_args!(
            "mount: no file system {:?}",
            String::from_utf8_lossy(name)
        ));
        Errno::ENODEV
    })?;
    if cx.task.cred().user_ns.parent.is_some() && !fstype.userns_mount() {
        return Err(Errno::EPERM.into());
    }
    Ok(fstype)
}

fn make_super(cx: &Cx, fstype: &dyn FsType, source: &[u8], data: &[u8], flags: u64) -> SysResult<Arc<SuperBlock>> {
    let sb = fstype.mount(&MountArgs {
        kernel: &cx.task.kernel,
        task: Some(&cx.task),
        pid_ns: cx.task.pid_ns(),
        ipc: &cx.task.ipc(),
        source,
        data,
        flags,
    })?;
    sb.set_owner(&cx.task.cred().user_ns);
    Ok(sb)
}

/// The caller may change the file system itself, and not just one mount of it.
fn may_administer(cx: &Cx, sb: &SuperBlock) -> SysResult<()> {
    let owner = sb.owner().unwrap_or(&cx.task.kernel.root_user_ns);
    match cx.task.cred().has_cap_in(owner, cap::SYS_ADMIN) {
        true => Ok(()),
        false => Err(Errno::EPERM.into()),
    }
}

/// `mount(2)` (`path_mount`)
pub(super) fn sys_mount(
    cx: &mut Cx,
    source: UserAddr,
    target: UserAddr,
    fstype: UserAddr,
    flags: u64,
    data: UserAddr,
) -> SysResult<u64> {
    let fstype = read_option(cx, fstype)?;
    let source = read_option(cx, source)?;
    let data = read_data(cx, data)?;
    let target = cx.read_path(target)?;
    let at = lookup(&cx.task, AT_FDCWD, &target, Lookup::FOLLOW)?;
    let flags = if flags & MS_MGC_MSK == MS_MGC_VAL {
        flags & !MS_MGC_MSK
    } else {
        flags
    };
    if flags & MS_NOUSER != 0 {
        return Err(Errno::EINVAL.into());
    }
    let ns = may_mount(cx)?;
    if flags & (MS_REMOUNT | MS_BIND) == MS_REMOUNT | MS_BIND {
        remount(cx, &ns, &at, flags, None)?;
    } else if flags & MS_REMOUNT != 0 {
        remount(cx, &ns, &at, flags, Some(&data))?;
    } else if flags & MS_BIND != 0 {
        bind(cx, &ns, source.as_deref(), &at, flags & MS_REC != 0)?;
    } else if flags & PROPAGATION != 0 {
        let kind = flags & PROPAGATION;
        let extra = flags & !(PROPAGATION | MS_REC | (1 << 15));
        if kind.count_ones() != 1 || extra != 0 || !at.is_mount_root() || !is_ours(&ns, &at.mnt) {
            return Err(Errno::EINVAL.into());
        }
        tree::set_propagation(&at.mnt, kind, flags & MS_REC != 0)?;
    } else if flags & MS_MOVE != 0 {
        let source = source.filter(|s| !s.is_empty()).ok_or(Errno::EINVAL)?;
        let from = lookup(&cx.task, AT_FDCWD, &source, Lookup::FOLLOW)?;
        if !is_ours(&ns, &from.mnt) || !is_ours(&ns, &at.mnt) {
            return Err(Errno::EINVAL.into());
        }
        tree::move_mount(&from, &at)?;
    } else {
        let name = fstype.ok_or(Errno::EINVAL)?;
        let fstype = find_type(cx, &name)?;
        if !is_ours(&ns, &at.mnt) {
            return Err(Errno::EINVAL.into());
        }
        let source = source.unwrap_or_else(|| b"none".to_vec());
        let sb = make_super(cx, fstype, &source, &data, flags)?;
        let mount = Mount::new(
            &cx.task.kernel.vfs.mounts,
            sb.clone(),
            sb.root_dentry()?,
            MountFlags::from_mount(flags),
            &source,
        );
        if too_revealing(&ns, &mount) {
            return Err(Errno::EPERM.into());
        }
        attach(&mount, &at)?;
    }
    Ok(0)
}

/// A page of options, up to its NUL; file systems of ours take text only.
fn read_data(cx: &Cx, at: UserAddr) -> SysResult<Vec<u8>> {
    let Some(at) = at.nonnull() else { return Ok(Vec::new()) };
    let mut page = vec![0u8; 4096];
    let n = cx.read_some(at, &mut page);
    if n == 0 {
        return Err(Errno::EFAULT.into());
    }
    let end = page
        .iter()
        .take(n.min(4095))
        .position(|&b| b == 0)
        .unwrap_or(n.min(4095));
    page.truncate(end);
    Ok(page)
}

/// `MS_REMOUNT`: of the mount, and with `data` of the file system.
fn remount(cx: &Cx, ns: &Arc<MountNamespace>, at: &Path, flags: u64, data: Option<&[u8]>) -> SysResult<()> {
    if !is_ours(ns, &at.mnt) || !at.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    let mut new = MountFlags::from_mount(flags);
    let times = MountFlags::NOATIME | MountFlags::NODIRATIME | MountFlags::RELATIME;
    // Without a word about access times they stay as they were (`path_mount`).
    if flags & (times.bits() | MS_STRICTATIME) == 0 {
        new = (new - times) | (at.mnt.flags() & times);
    }
    at.mnt.check_flags(new)?;
    if let Some(data) = data {
        may_administer(cx, &at.mnt.sb)?;
        let readonly = flags & MountFlags::RDONLY.bits() != 0;
        if readonly && at.mnt.sb.writers.load(std::sync::atomic::Ordering::Acquire) > 0 {
            return Err(Errno::EBUSY.into());
        }
        at.mnt.sb.ops.remount(data)?;
        at.mnt.sb.readonly.store(readonly, std::sync::atomic::Ordering::Relaxed);
    }
    at.mnt.change_flags(new)?;
    Ok(())
}

fn bind(cx: &Cx, ns: &Arc<MountNamespace>, source: Option<&[u8]>, at: &Path, recursive: bool) -> SysResult<()> {
    let source = source.filter(|s| !s.is_empty()).ok_or(Errno::EINVAL)?;
    let from = lookup(&cx.task, AT_FDCWD, source, Lookup::FOLLOW)?;
    if !is_ours(ns, &at.mnt) || (!is_ours(ns, &from.mnt) && !from.mnt.is_internal()) {
        return Err(Errno::EINVAL.into());
    }
    let mount = tree::bind_copy(&from, recursive)?;
    attach(&mount, at)?;
    Ok(())
}

/// `umount2(2)`
pub(super) fn sys_umount2(cx: &mut Cx, target: UserAddr, flags: i32) -> SysResult<u64> {
    const FORCE: i32 = 1;
    const DETACH: i32 = 2;
    const EXPIRE: i32 = 4;
    const NOFOLLOW: i32 = 8;
    if flags & !(FORCE | DETACH | EXPIRE | NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = cx.read_path(target)?;
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, flags & NOFOLLOW == 0);
    let at = lookup(&cx.task, AT_FDCWD, &target, how)?;
    let ns = may_mount(cx)?;
    if !at.is_mount_root() || !is_ours(&ns, &at.mnt) {
        return Err(Errno::EINVAL.into());
    }
    if flags & EXPIRE != 0 {
        let is_root = Arc::ptr_eq(&cx.task.fs().root().mnt, &at.mnt);
        if flags & (FORCE | DETACH) != 0 || is_root {
            return Err(Errno::EINVAL.into());
        }
    }
    drop(ns);
    umount(at, flags & DETACH != 0, flags & EXPIRE != 0)?;
    Ok(0)
}

/// `pivot_root(2)`
pub(super) fn sys_pivot_root(cx: &mut Cx, new_root: UserAddr, put_old: UserAddr) -> SysResult<u64> {
    may_mount(cx)?;
    let new = cx.read_path(new_root)?;
    let new = lookup(&cx.task, AT_FDCWD, &new, Lookup::FOLLOW | Lookup::DIRECTORY)?;
    let old = cx.read_path(put_old)?;
    let old = lookup(&cx.task, AT_FDCWD, &old, Lookup::FOLLOW | Lookup::DIRECTORY)?;
    let root = cx.task.fs().root();
    tree::pivot_root(&root, &new, &old)?;
    // Whoever had the old root as root or working directory now has the new one (`chroot_fs_refs`).
    for task in cx.task.kernel.tasks.all_tasks() {
        let fs = task.fs();
        if fs.root().is_same(&root) {
            fs.set_root(new.clone());
        }
        if fs.cwd().is_same(&root) {
            fs.set_cwd(new.clone());
        }
    }
    Ok(0)
}
