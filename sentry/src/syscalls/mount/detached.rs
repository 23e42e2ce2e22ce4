//! Mounts held by fds: `open_tree(2)`, `move_mount(2)`, `mount_setattr(2)`.

use std::sync::Arc;

use abi::fs::MountAttr;
use abi::{Errno, SysResult};

use super::{is_ours, may_mount};
use crate::fs::mount::{Mount, MountFlags, tree};
use crate::fs::namei::{AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, Lookup, lookup};
use crate::fs::{File, FileMode, FileOps, OpenFlags, Path};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// A file that names a place and nothing else.
struct PlaceOnly;

impl FileOps for PlaceOnly {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// An `O_PATH` fd for a place.
pub(super) fn place_fd(cx: &Cx, place: Path, cloexec: bool) -> SysResult<u64> {
    let file = File::new(Arc::new(PlaceOnly), place, FileMode::PATH, OpenFlags::PATH);
    let fd = cx.task.files().add(file, cloexec, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// `open_tree(2)`
pub(in super::super) fn sys_open_tree(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: u32) -> SysResult<u64> {
    const CLONE: u32 = 1;
    let cloexec = OpenFlags::CLOEXEC.bits();
    let at_flags = (AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW).cast_unsigned();
    let recursive = flags & AT_RECURSIVE.cast_unsigned() != 0;
    if flags & !(CLONE | cloexec | at_flags) != 0 || (recursive && flags & CLONE == 0) {
        return Err(Errno::EINVAL.into());
    }
    let how = Lookup::from_at((flags & at_flags).cast_signed());
    if flags & CLONE == 0 {
        let path = cx.read_path(path)?;
        let place = lookup(&cx.task, dirfd, &path, how)?;
        return place_fd(cx, place, flags & cloexec != 0);
    }
    let ns = may_mount(cx)?;
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, dirfd, &path, how)?;
    if !is_ours(&ns, &place.mnt) && place.mnt.namespace().is_some() {
        return Err(Errno::EINVAL.into());
    }
    let mount = tree::detached_copy(&place, recursive)?;
    place_fd(cx, mount.root_path(), flags & cloexec != 0)
}

/// `move_mount(2)`
pub(in super::super) fn sys_move_mount(
    cx: &mut Cx,
    from_dirfd: i32,
    from_path: UserAddr,
    to_dirfd: i32,
    to_path: UserAddr,
    flags: u32,
) -> SysResult<u64> {
    const KNOWN: u32 = 0x377;
    const SET_GROUP: u32 = 0x100;
    const BENEATH: u32 = 0x200;
    let ns = may_mount(cx)?;
    if flags & !KNOWN != 0 || flags & (SET_GROUP | BENEATH) == SET_GROUP | BENEATH {
        return Err(Errno::EINVAL.into());
    }
    if flags & (SET_GROUP | BENEATH) != 0 {
        let counters = &cx.task.kernel.counters;
        return Err(counters.missing("move_mount", u64::from(flags), Errno::EINVAL).into());
    }
    let how = |follow: u32, empty: u32| {
        let mut how = Lookup::empty();
        how.set(Lookup::FOLLOW, flags & follow != 0);
        how.set(Lookup::EMPTY, flags & empty != 0);
        how
    };
    let from = cx.read_path(from_path)?;
    let from = lookup(&cx.task, from_dirfd, &from, how(1, 4))?;
    let to = cx.read_path(to_path)?;
    let to = lookup(&cx.task, to_dirfd, &to, how(0x10, 0x40))?;
    let foreign = from.mnt.namespace().is_some_and(|n| !Arc::ptr_eq(&n, &ns));
    if !is_ours(&ns, &to.mnt) || foreign || from.mnt.is_internal() || !from.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    tree::move_mount(&from, &to)?;
    Ok(0)
}

const ATTR_RDONLY: u64 = 1;
const ATTR_NOSUID: u64 = 2;
const ATTR_NODEV: u64 = 4;
const ATTR_NOEXEC: u64 = 8;
const ATTR_ATIME: u64 = 0x70;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;
const ATTR_NODIRATIME: u64 = 0x80;
const ATTR_IDMAP: u64 = 0x10_0000;
const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;
const ATTR_KNOWN: u64 = 0xff | ATTR_NOSYMFOLLOW;

/// `MOUNT_ATTR_*` as flags of a mount, without those of access times.
fn plain(attr: u64) -> MountFlags {
    let names = [
        (ATTR_RDONLY, MountFlags::RDONLY),
        (ATTR_NOSUID, MountFlags::NOSUID),
        (ATTR_NODEV, MountFlags::NODEV),
        (ATTR_NOEXEC, MountFlags::NOEXEC),
        (ATTR_NODIRATIME, MountFlags::NODIRATIME),
        (ATTR_NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
    ];
    names
        .iter()
        .filter(|(bit, _)| attr & bit != 0)
        .fold(MountFlags::empty(), |all, (_, flag)| all | *flag)
}

fn access_times(attr: u64) -> SysResult<MountFlags> {
    match attr & ATTR_ATIME {
        0 => Ok(MountFlags::RELATIME),
        ATTR_NOATIME => Ok(MountFlags::NOATIME),
        ATTR_STRICTATIME => Ok(MountFlags::empty()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Flags of a new mount, from those of `fsmount(2)`.
pub(super) fn flags_of(attr: u64) -> SysResult<MountFlags> {
    if attr & !ATTR_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(plain(attr) | access_times(attr)?)
}

/// `mount_setattr(2)`
pub(in super::super) fn sys_mount_setattr(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    flags: u32,
    attr: UserAddr,
    size: usize,
) -> SysResult<u64> {
    let at_flags = (AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT).cast_unsigned();
    if flags & !at_flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let attr: MountAttr = cx.read_extensible(attr, size, 32)?;
    let ns = may_mount(cx)?;
    if (attr.attr_set | attr.attr_clr) & ATTR_IDMAP != 0 {
        return Err(cx
            .task
            .kernel
            .counters
            .missing("mount_setattr idmap", attr.attr_set, Errno::EINVAL)
            .into());
    }
    let kind = attr.propagation;
    if (attr.attr_set | attr.attr_clr) & !ATTR_KNOWN != 0 || ![0, 1 << 17, 1 << 18, 1 << 19, 1 << 20].contains(&kind) {
        return Err(Errno::EINVAL.into());
    }
    // Access times change as a whole, so all of them must be cleared.
    let clears_atime = attr.attr_clr & ATTR_ATIME;
    if (clears_atime != 0 && clears_atime != ATTR_ATIME) || (clears_atime == 0 && attr.attr_set & ATTR_ATIME != 0) {
        return Err(Errno::EINVAL.into());
    }
    let how = Lookup::from_at(flags.cast_signed());
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, dirfd, &path, how)?;
    let foreign = place.mnt.namespace().is_some_and(|n| !Arc::ptr_eq(&n, &ns));
    if !place.is_mount_root() || foreign || place.mnt.is_internal() {
        return Err(Errno::EINVAL.into());
    }
    let recursive = flags & AT_RECURSIVE.cast_unsigned() != 0;
    let mounts: Vec<Arc<Mount>> = if recursive {
        place.mnt.subtree()
    } else {
        vec![place.mnt.clone()]
    };
    let times = MountFlags::NOATIME | MountFlags::RELATIME;
    let set_times = access_times(attr.attr_set & if clears_atime != 0 { ATTR_ATIME } else { 0 })?;
    let changed = |mount: &Mount| {
        let new = (mount.flags() - plain(attr.attr_clr)) | plain(attr.attr_set);
        if clears_atime != 0 {
            (new - times) | set_times
        } else {
            new
        }
    };
    // All or none.
    mounts.iter().try_for_each(|mount| mount.check_flags(changed(mount)))?;
    mounts.iter().for_each(|mount| mount.set_flags(changed(mount)));
    if kind != 0 {
        tree::set_propagation(&place.mnt, kind, recursive)?;
    }
    Ok(0)
}
