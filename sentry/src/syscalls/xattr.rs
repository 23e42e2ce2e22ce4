//! Extended attributes (`xattr(7)`).

use abi::conv::usize64;
use abi::{Errno, SysResult};

use crate::cred::cap;
use crate::fs::namei::{AT_FDCWD, Lookup, lookup};
use crate::fs::perm::{self, MAY_READ, MAY_WRITE};
use crate::fs::stat::S_ISVTX;
use crate::fs::watch::{self, mask};
use crate::fs::{FileType, Path};
use crate::task::Cx;
use crate::usermem::UserAddr;

const SIZE_MAX: usize = 65536;
const NAME_MAX: usize = 255;

fn place(cx: &Cx, path: UserAddr, how: Lookup) -> SysResult<Path> {
    let path = cx.read_path(path)?;
    Ok(lookup(&cx.task, AT_FDCWD, &path, how)?)
}

fn fd_place(cx: &Cx, fd: i32) -> SysResult<Path> {
    Ok(cx.task.files().get(fd)?.path.clone())
}

fn read_name(cx: &Cx, name: UserAddr) -> SysResult<Vec<u8>> {
    match cx.read_cstr(name, NAME_MAX + 1) {
        Ok(name) if name.is_empty() => Err(Errno::ERANGE.into()),
        Err(Errno::ENAMETOOLONG) => Err(Errno::ERANGE.into()),
        name => Ok(name?),
    }
}

/// `xattr_permission`
fn permit(cx: &Cx, at: &Path, name: &[u8], want: u32) -> SysResult<()> {
    let write = want == MAY_WRITE;
    let inode = at.inode();
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        return Ok(());
    }
    if name.starts_with(b"trusted.") {
        return match (cx.task.capable(cap::SYS_ADMIN), write) {
            (true, _) => Ok(()),
            (false, true) => Err(Errno::EPERM.into()),
            (false, false) => Err(Errno::ENODATA.into()),
        };
    }
    let cred = cx.task.cred();
    if name.starts_with(b"user.") {
        if !matches!(inode.kind, FileType::Regular | FileType::Directory) {
            return Err(if write { Errno::EPERM } else { Errno::ENODATA }.into());
        }
        if inode.is_dir() && write {
            let st = inode.stat()?;
            if st.mode & S_ISVTX != 0 && !perm::owner_or_capable(&cred, &st) {
                return Err(Errno::EPERM.into());
            }
        }
    }
    Ok(perm::inode(Some(&cx.task), &cred, inode, want)?)
}

/// What the capability module asks of `security.*`.
fn permit_security(cx: &Cx, name: &[u8]) -> SysResult<()> {
    if !name.starts_with(b"security.") {
        return Ok(());
    }
    let needed = if name == b"security.capability" {
        cap::SETFCAP
    } else {
        cap::SYS_ADMIN
    };
    match cx.task.capable(needed) {
        true => Ok(()),
        false => Err(Errno::EPERM.into()),
    }
}

fn set(cx: &Cx, at: &Path, name: &[u8], value: &[u8], flags: i32) -> SysResult<u64> {
    perm::want_write(&at.mnt)?;
    permit(cx, at, name, MAY_WRITE)?;
    permit_security(cx, name)?;
    at.inode().ops.setxattr(at.inode(), name, value, flags)?;
    watch::notify(&at.dentry, mask::ATTRIB);
    Ok(0)
}

/// Name, value and flags, in Linux's order of checks.
fn read_args(cx: &Cx, name: UserAddr, value: UserAddr, size: usize, flags: i32) -> SysResult<(Vec<u8>, Vec<u8>)> {
    if flags & !3 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = read_name(cx, name)?;
    if size > SIZE_MAX {
        return Err(Errno::E2BIG.into());
    }
    let mut data = vec![0u8; size];
    cx.read_bytes(value, &mut data)?;
    Ok((name, data))
}

fn get(cx: &mut Cx, at: &Path, name: UserAddr, value: UserAddr, size: usize) -> SysResult<u64> {
    let name = read_name(cx, name)?;
    permit(cx, at, &name, MAY_READ)?;
    let data = at.inode().ops.getxattr(at.inode(), &name)?;
    give(cx, &data, value, size)
}

/// The length only where the caller has no room at all.
fn give(cx: &mut Cx, data: &[u8], to: UserAddr, size: usize) -> SysResult<u64> {
    if size != 0 {
        if data.len() > size {
            return Err(Errno::ERANGE.into());
        }
        cx.write_bytes(to, data)?;
    }
    Ok(usize64(data.len()))
}

fn list(cx: &mut Cx, at: &Path, list: UserAddr, size: usize) -> SysResult<u64> {
    let trusted = cx.task.capable(cap::SYS_ADMIN);
    let mut out = Vec::new();
    for name in at.inode().ops.listxattr(at.inode())? {
        if trusted || !name.starts_with(b"trusted.") {
            out.extend_from_slice(&name);
            out.push(0);
        }
    }
    give(cx, &out, list, size)
}

fn remove(cx: &Cx, at: &Path, name: UserAddr) -> SysResult<u64> {
    let name = read_name(cx, name)?;
    perm::want_write(&at.mnt)?;
    permit(cx, at, &name, MAY_WRITE)?;
    permit_security(cx, &name)?;
    at.inode().ops.removexattr(at.inode(), &name)?;
    watch::notify(&at.dentry, mask::ATTRIB);
    Ok(0)
}

/// `setxattr(2)`
pub(super) fn sys_setxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: i32,
) -> SysResult<u64> {
    let (name, value) = read_args(cx, name, value, size, flags)?;
    let at = place(cx, path, Lookup::FOLLOW)?;
    set(cx, &at, &name, &value, flags)
}

/// `lsetxattr(2)`
pub(super) fn sys_lsetxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: i32,
) -> SysResult<u64> {
    let (name, value) = read_args(cx, name, value, size, flags)?;
    let at = place(cx, path, Lookup::empty())?;
    set(cx, &at, &name, &value, flags)
}

/// `fsetxattr(2)`
pub(super) fn sys_fsetxattr(
    cx: &mut Cx,
    fd: i32,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: i32,
) -> SysResult<u64> {
    let at = fd_place(cx, fd)?;
    let (name, value) = read_args(cx, name, value, size, flags)?;
    set(cx, &at, &name, &value, flags)
}

/// `getxattr(2)`
pub(super) fn sys_getxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> SysResult<u64> {
    let at = place(cx, path, Lookup::FOLLOW)?;
    get(cx, &at, name, value, size)
}

/// `lgetxattr(2)`
pub(super) fn sys_lgetxattr(
    cx: &mut Cx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> SysResult<u64> {
    let at = place(cx, path, Lookup::empty())?;
    get(cx, &at, name, value, size)
}

/// `fgetxattr(2)`
pub(super) fn sys_fgetxattr(cx: &mut Cx, fd: i32, name: UserAddr, value: UserAddr, size: usize) -> SysResult<u64> {
    let at = fd_place(cx, fd)?;
    get(cx, &at, name, value, size)
}

/// `listxattr(2)`
pub(super) fn sys_listxattr(cx: &mut Cx, path: UserAddr, out: UserAddr, size: usize) -> SysResult<u64> {
    let at = place(cx, path, Lookup::FOLLOW)?;
    list(cx, &at, out, size)
}

/// `llistxattr(2)`
pub(super) fn sys_llistxattr(cx: &mut Cx, path: UserAddr, out: UserAddr, size: usize) -> SysResult<u64> {
    let at = place(cx, path, Lookup::empty())?;
    list(cx, &at, out, size)
}

/// `flistxattr(2)`
pub(super) fn sys_flistxattr(cx: &mut Cx, fd: i32, out: UserAddr, size: usize) -> SysResult<u64> {
    let at = fd_place(cx, fd)?;
    list(cx, &at, out, size)
}

/// `removexattr(2)`
pub(super) fn sys_removexattr(cx: &mut Cx, path: UserAddr, name: UserAddr) -> SysResult<u64> {
    let at = place(cx, path, Lookup::FOLLOW)?;
    remove(cx, &at, name)
}

/// `lremovexattr(2)`
pub(super) fn sys_lremovexattr(cx: &mut Cx, path: UserAddr, name: UserAddr) -> SysResult<u64> {
    let at = place(cx, path, Lookup::empty())?;
    remove(cx, &at, name)
}

/// `fremovexattr(2)`
pub(super) fn sys_fremovexattr(cx: &mut Cx, fd: i32, name: UserAddr) -> SysResult<u64> {
    let at = fd_place(cx, fd)?;
    remove(cx, &at, name)
}
