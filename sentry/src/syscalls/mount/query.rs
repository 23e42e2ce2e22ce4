//! What is mounted, without text to parse (`statmount(2)`, `listmount(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::conv::{low32, usize64};
use abi::{Errno, SysResult};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use crate::cred::cap;
use crate::fs::Path;
use crate::fs::mount::{Mount, MountFlags, MountNamespace};
use crate::fs::namei::d_path_or_unreachable;
use crate::fs::stat::{major, minor};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `LSMT_ROOT`: the root of the caller.
const LSMT_ROOT: u64 = u64::MAX;
/// Most numbers asked for at once.
const LIST_MAX: usize = 1_000_000;
/// `MNT_ID_REQ_SIZE_VER0`
const REQ_MIN: usize = 24;

/// `struct mnt_id_req`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct MntIdReq {
    size: u32,
    spare: u32,
    mnt_id: u64,
    param: u64,
    mnt_ns_id: u64,
}

/// `struct statmount` without its strings.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Statmount {
    size: u32,
    mnt_opts: u32,
    mask: u64,
    sb_dev_major: u32,
    sb_dev_minor: u32,
    sb_magic: u64,
    sb_flags: u32,
    fs_type: u32,
    mnt_id: u64,
    mnt_parent_id: u64,
    mnt_id_old: u32,
    mnt_parent_id_old: u32,
    mnt_attr: u64,
    mnt_propagation: u64,
    mnt_peer_group: u64,
    mnt_master: u64,
    propagate_from: u64,
    mnt_root: u32,
    mnt_point: u32,
    mnt_ns_id: u64,
    fs_subtype: u32,
    sb_source: u32,
    opt_num: u32,
    opt_array: u32,
    opt_sec_num: u32,
    opt_sec_array: u32,
    supported_mask: u64,
    mnt_uidmap_num: u32,
    mnt_uidmap: u32,
    mnt_gidmap_num: u32,
    mnt_gidmap: u32,
    spare: [u64; 43],
}

/// `STATMOUNT_*`
mod want {
    pub(super) const SB_BASIC: u64 = 0x1;
    pub(super) const MNT_BASIC: u64 = 0x2;
    pub(super) const PROPAGATE_FROM: u64 = 0x4;
    pub(super) const MNT_ROOT: u64 = 0x8;
    pub(super) const MNT_POINT: u64 = 0x10;
    pub(super) const FS_TYPE: u64 = 0x20;
    pub(super) const MNT_NS_ID: u64 = 0x40;
    pub(super) const MNT_OPTS: u64 = 0x80;
    pub(super) const FS_SUBTYPE: u64 = 0x100;
    pub(super) const SB_SOURCE: u64 = 0x200;
    pub(super) const OPT_ARRAY: u64 = 0x400;
    pub(super) const OPT_SEC_ARRAY: u64 = 0x800;
    pub(super) const SUPPORTED_MASK: u64 = 0x1000;
    pub(super) const MNT_UIDMAP: u64 = 0x2000;
    pub(super) const MNT_GIDMAP: u64 = 0x4000;
    pub(super) const ALL: u64 = 0x7fff;
}

fn request(cx: &Cx, at: UserAddr) -> SysResult<MntIdReq> {
    let size: u32 = cx.read_obj(at)?;
    let req: MntIdReq = cx.read_extensible(at, abi::conv::size(u64::from(size)), REQ_MIN)?;
    // `MNT_UNIQUE_ID_OFFSET`: smaller numbers are of the other kind.
    if req.spare != 0 || req.mnt_id < Mount::UNIQUE_BASE {
        return Err(Errno::EINVAL.into());
    }
    Ok(req)
}

/// The name space asked for: the caller's own, or by number one that it may look into.
fn namespace(cx: &Cx, id: u64) -> SysResult<Arc<MountNamespace>> {
    let own = cx.task.ns().mnt.clone();
    if id == 0 || id == own.id {
        return Ok(own);
    }
    let tasks = cx.task.kernel.tasks.all_tasks();
    let found = tasks.iter().map(|t| t.ns().mnt.clone()).find(|ns| ns.id == id);
    let ns = found.ok_or(Errno::ENOENT)?;
    match cx.task.cred().has_cap_in(&ns.user_ns, cap::SYS_ADMIN) {
        true => Ok(ns),
        false => Err(Errno::ENOENT.into()),
    }
}

/// Where the caller stands: its own root, or that of another name space.
fn root_of(cx: &Cx, ns: &MountNamespace) -> SysResult<Path> {
    match ns.id == cx.task.ns().mnt.id {
        true => Ok(cx.task.fs().root()),
        false => Ok(ns.root_path()?),
    }
}

fn find(ns: &MountNamespace, unique: u64) -> SysResult<Arc<Mount>> {
    let found = ns.list().into_iter().find(|m| m.unique_id() == unique);
    found.ok_or(Errno::ENOENT.into())
}

/// What lies outside of the caller's root only the name space's administrator sees.
fn check_reachable(cx: &Cx, ns: &MountNamespace, place: &Path, root: &Path) -> SysResult<()> {
    let reachable = d_path_or_unreachable(place, root).is_some();
    match reachable || cx.task.cred().has_cap_in(&ns.user_ns, cap::SYS_ADMIN) {
        true => Ok(()),
        false => Err(Errno::EPERM.into()),
    }
}

/// `listmount(2)`: the numbers of the mounts below one.
pub(in super::super) fn sys_listmount(
    cx: &mut Cx,
    req: UserAddr,
    ids: UserAddr,
    nr: usize,
    flags: u32,
) -> SysResult<u64> {
    const LISTMOUNT_REVERSE: u32 = 1;
    if flags & !LISTMOUNT_REVERSE != 0 {
        return Err(Errno::EINVAL.into());
    }
    if nr > LIST_MAX {
        return Err(Errno::EOVERFLOW.into());
    }
    if ids.add(nr.saturating_mul(8))?.0 > cx.task.kernel.platform.guest_end() {
        return Err(Errno::EFAULT.into());
    }
    let req = request(cx, req)?;
    let last = req.param;
    if last != 0 && last < Mount::UNIQUE_BASE {
        return Err(Errno::EINVAL.into());
    }
    let ns = namespace(cx, req.mnt_ns_id)?;
    let root = root_of(cx, &ns)?;
    let top = match req.mnt_id {
        LSMT_ROOT => root.clone(),
        id => find(&ns, id)?.root_path(),
    };
    check_reachable(cx, &ns, &top, &root)?;
    let mounts = ns.list();
    let below = mounts.iter().filter(|m| {
        let itself = m.unique_id() == req.mnt_id;
        !itself && d_path_or_unreachable(&m.root_path(), &top).is_some()
    });
    let mut found: Vec<u64> = below.map(|m| m.unique_id()).collect();
    found.sort_unstable();
    if flags & LISTMOUNT_REVERSE != 0 {
        found.reverse();
        found.retain(|&id| last == 0 || id < last);
    } else {
        found.retain(|&id| id > last);
    }
    found.truncate(nr);
    cx.write_bytes(ids, found.as_bytes())?;
    Ok(usize64(found.len()))
}

/// Strings behind the structure.
#[derive(Default)]
struct Strings(Vec<u8>);

impl Strings {
    /// Adds one with its NUL; gives its offset.
    fn add(&mut self, text: &[u8]) -> u32 {
        let at = low32(usize64(self.0.len()));
        self.0.extend_from_slice(text);
        self.0.push(0);
        at
    }
}

/// `statmount(2)`: one mount.
pub(in super::super) fn sys_statmount(
    cx: &mut Cx,
    req: UserAddr,
    buf: UserAddr,
    bufsize: usize,
    flags: u32,
) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let req = request(cx, req)?;
    let ns = namespace(cx, req.mnt_ns_id)?;
    if buf.add(bufsize)?.0 > cx.task.kernel.platform.guest_end() {
        return Err(Errno::EFAULT.into());
    }
    let mount = find(&ns, req.mnt_id)?;
    let root = root_of(cx, &ns)?;
    check_reachable(cx, &ns, &mount.root_path(), &root)?;
    let mut strings = Strings::default();
    let mut out = fixed(&mount, &ns, req.param)?;
    add_strings(&mut out, &mut strings, &mount, &root, req.param);
    if !strings.0.is_empty() && bufsize < size_of::<Statmount>() + strings.0.len() {
        return Err(Errno::EOVERFLOW.into());
    }
    out.size = low32(usize64(size_of::<Statmount>() + strings.0.len()));
    let fixed = out.as_bytes();
    cx.write_bytes(buf, fixed.get(..fixed.len().min(bufsize)).unwrap_or_default())?;
    if !strings.0.is_empty() {
        cx.write_bytes(buf.add(fixed.len())?, &strings.0)?;
    }
    Ok(0)
}

/// The part of fixed size.
fn fixed(mount: &Arc<Mount>, ns: &MountNamespace, asked: u64) -> SysResult<Statmount> {
    let mut out = Statmount::new_zeroed();
    out.mask =
        asked & (want::SB_BASIC | want::MNT_BASIC | want::PROPAGATE_FROM | want::MNT_NS_ID | want::SUPPORTED_MASK);
    let (group, master, unbindable) = mount.propagation();
    if asked & want::SB_BASIC != 0 {
        out.sb_dev_major = major(mount.sb.dev);
        out.sb_dev_minor = minor(mount.sb.dev);
        out.sb_magic = mount.sb.ops.statfs()?.magic;
        out.sb_flags = u32::from(mount.sb.readonly.load(Ordering::Relaxed));
    }
    if asked & want::MNT_BASIC != 0 {
        let parent = mount.mounted_on().map_or_else(|| mount.clone(), |p| p.mnt);
        out.mnt_id = mount.unique_id();
        out.mnt_parent_id = parent.unique_id();
        out.mnt_id_old = low32(mount.id);
        out.mnt_parent_id_old = low32(parent.id);
        out.mnt_attr = attributes(mount.flags());
        out.mnt_peer_group = group.unwrap_or(0);
        out.mnt_master = master.unwrap_or(0);
        let bits = [
            (group.is_some(), MS_SHARED),
            (master.is_some(), MS_SLAVE),
            (unbindable, MS_UNBINDABLE),
        ];
        let set: u64 = bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum();
        out.mnt_propagation = if set == 0 { MS_PRIVATE } else { set };
    }
    if asked & want::PROPAGATE_FROM != 0 {
        out.propagate_from = master.unwrap_or(0);
    }
    if asked & want::MNT_NS_ID != 0 {
        out.mnt_ns_id = ns.id;
    }
    if asked & want::SUPPORTED_MASK != 0 {
        out.supported_mask = want::ALL;
    }
    Ok(out)
}

fn add_strings(out: &mut Statmount, strings: &mut Strings, mount: &Arc<Mount>, root: &Path, asked: u64) {
    let options = mount.sb.ops.show_options();
    let options = options.trim_start_matches(',');
    if asked & want::FS_TYPE != 0 {
        out.fs_type = strings.add(mount.sb.fstype.as_bytes());
        out.mask |= want::FS_TYPE;
    }
    if asked & want::MNT_ROOT != 0 {
        let whole = Path {
            mnt: mount.clone(),
            dentry: mount.root.topmost(),
        };
        let shown = d_path_or_unreachable(&mount.root_path(), &whole);
        out.mnt_root = strings.add(&mount.sb.path_of_root(shown.unwrap_or_else(|| b"/".to_vec())));
        out.mask |= want::MNT_ROOT;
    }
    if asked & want::MNT_POINT != 0 {
        let shown = d_path_or_unreachable(&mount.root_path(), root);
        out.mnt_point = strings.add(shown.as_deref().unwrap_or_default());
        out.mask |= want::MNT_POINT;
    }
    if asked & want::MNT_OPTS != 0 && !options.is_empty() {
        out.mnt_opts = strings.add(options.as_bytes());
        out.mask |= want::MNT_OPTS;
    }
    if asked & want::OPT_ARRAY != 0 && !options.is_empty() {
        let mut all = options.split(',');
        out.opt_array = all.next().map_or(0, |first| strings.add(first.as_bytes()));
        out.opt_num = 1;
        for option in all {
            strings.add(option.as_bytes());
            out.opt_num += 1;
        }
        out.mask |= want::OPT_ARRAY;
    }
    if asked & want::SB_SOURCE != 0 && !mount.source.is_empty() {
        out.sb_source = strings.add(&mount.source);
        out.mask |= want::SB_SOURCE;
    }
    // No file system has a subtype, no mount security options or id maps of its own: asked for and not there.
    let _ = want::FS_SUBTYPE | want::OPT_SEC_ARRAY | want::MNT_UIDMAP | want::MNT_GIDMAP;
}

/// `MOUNT_ATTR_*`
fn attributes(flags: MountFlags) -> u64 {
    let bits = [
        (MountFlags::RDONLY, 0x1),
        (MountFlags::NOSUID, 0x2),
        (MountFlags::NODEV, 0x4),
        (MountFlags::NOEXEC, 0x8),
        (MountFlags::NOATIME, 0x10),
        (MountFlags::NODIRATIME, 0x80),
        (MountFlags::NOSYMFOLLOW, 0x20_0000),
    ];
    bits.iter()
        .filter(|(f, _)| flags.contains(*f))
        .map(|(_, bit)| bit)
        .sum()
}
