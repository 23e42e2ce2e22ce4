//! Directories and names.

use std::sync::Arc;

use abi::{Errno, SysResult};

use crate::cred::{Cred, cap};
use crate::fs::create::{self, Who};
use crate::fs::namei::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, Lookup, d_path_or_unreachable, lookup, lookup_parent,
};
use crate::fs::perm::{self, MAY_EXEC};
use crate::fs::rename::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT};
use crate::fs::watch::{self, mask};
use crate::fs::{DirSink, FileType, Link, Path, remove, rename};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// The caller as the one who makes or removes names.
fn who<'a>(cx: &'a Cx, cred: &'a Cred) -> Who<'a> {
    Who {
        task: Some(&cx.task),
        cred,
        umask: cx.task.fs().umask(),
    }
}

/// Entries in the form of `getdents(2)` or `getdents64(2)`.
struct Dirents {
    out: Vec<u8>,
    room: usize,
    old: bool,
}

impl DirSink for Dirents {
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, next: u64) -> bool {
        // d_ino, d_off, d_reclen, then type and name, or name and type.
        let len = (8 + 8 + 2 + 1 + name.len() + 1).next_multiple_of(8);
        let Ok(reclen) = u16::try_from(len) else { return true };
        if self.out.len() + len > self.room {
            return false;
        }
        let end = self.out.len() + len;
        self.out.extend_from_slice(&ino.to_le_bytes());
        self.out.extend_from_slice(&next.to_le_bytes());
        self.out.extend_from_slice(&reclen.to_le_bytes());
        if !self.old {
            self.out.push(kind.dirent_type());
        }
        self.out.extend_from_slice(name);
        self.out.resize(end, 0);
        if self.old
            && let Some(last) = self.out.last_mut()
        {
            *last = kind.dirent_type();
        }
        true
    }
}

fn getdents(cx: &mut Cx, fd: i32, dirp: UserAddr, count: u32, old: bool) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    if file.inode().kind != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    if file.path.dentry.is_unlinked() {
        return Err(Errno::ENOENT.into());
    }
    let mut sink = Dirents {
        out: Vec::new(),
        // Enough for any caller; a larger buffer is filled by the calls that follow.
        room: usize::try_from(count).unwrap_or(0).min(256 << 10),
        old,
    };
    let mut pos = file.pos.lock();
    let next = file.ops.readdir(&file, *pos, &mut sink)?;
    if sink.out.is_empty() && next == *pos {
        // Nothing fitted, or nothing is left.
        let mut probe = Dirents {
            out: Vec::new(),
            room: usize::MAX,
            old,
        };
        file.ops.readdir(&file, *pos, &mut probe)?;
        if !probe.out.is_empty() {
            return Err(Errno::EINVAL.into());
        }
    }
    cx.write_bytes(dirp, &sink.out)?;
    *pos = next;
    drop(pos);
    watch::notify_file(&file, mask::ACCESS);
    Ok(abi::conv::usize64(sink.out.len()))
}

/// `getdents(2)`
pub(super) fn sys_getdents(cx: &mut Cx, fd: i32, dirp: UserAddr, count: u32) -> SysResult<u64> {
    getdents(cx, fd, dirp, count, true)
}

/// `getdents64(2)`
pub(super) fn sys_getdents64(cx: &mut Cx, fd: i32, dirp: UserAddr, count: u32) -> SysResult<u64> {
    getdents(cx, fd, dirp, count, false)
}

/// `getcwd(2)`
pub(super) fn sys_getcwd(cx: &mut Cx, buf: UserAddr, size: usize) -> SysResult<u64> {
    let fs = cx.task.fs();
    let cwd = fs.cwd();
    if cwd.dentry.is_unlinked() {
        return Err(Errno::ENOENT.into());
    }
    let mut text = match d_path_or_unreachable(&cwd, &fs.root()) {
        Some(text) => text,
        None => {
            let mut text = b"(unreachable)".to_vec();
            text.extend(crate::fs::namei::d_path(&cwd, &fs.root()));
            text
        }
    };
    text.push(0);
    if text.len() > 4096 {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if text.len() > size {
        return Err(Errno::ERANGE.into());
    }
    cx.write_bytes(buf, &text)?;
    Ok(abi::conv::usize64(text.len()))
}

fn enter(cx: &Cx, place: Path) -> SysResult<u64> {
    perm::inode(Some(&cx.task), &cx.task.cred(), place.inode(), MAY_EXEC)?;
    cx.task.fs().set_cwd(place);
    Ok(0)
}

/// `chdir(2)`
pub(super) fn sys_chdir(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, AT_FDCWD, &path, Lookup::FOLLOW | Lookup::DIRECTORY)?;
    enter(cx, place)
}

/// `fchdir(2)`
pub(super) fn sys_fchdir(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let file = cx.task.files().get_any(fd)?;
    if !file.inode().is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    enter(cx, file.path.clone())
}

/// `chroot(2)`
pub(super) fn sys_chroot(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, AT_FDCWD, &path, Lookup::FOLLOW | Lookup::DIRECTORY)?;
    perm::inode(Some(&cx.task), &cx.task.cred(), place.inode(), MAY_EXEC)?;
    if !cx.task.capable(cap::SYS_CHROOT) {
        return Err(Errno::EPERM.into());
    }
    cx.task.fs().set_root(place);
    Ok(0)
}

/// `mkdir(2)`
pub(super) fn sys_mkdir(cx: &mut Cx, path: UserAddr, mode: u32) -> SysResult<u64> {
    sys_mkdirat(cx, AT_FDCWD, path, mode)
}

/// `mkdirat(2)`
pub(super) fn sys_mkdirat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    let at = lookup_parent(&cx.task, dirfd, &path)?;
    let cred = cx.task.cred();
    create::mkdir(who(cx, &cred), &at, mode)?;
    Ok(0)
}

/// `rmdir(2)`
pub(super) fn sys_rmdir(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    sys_unlinkat(cx, AT_FDCWD, path, AT_REMOVEDIR)
}

/// `mknod(2)`
pub(super) fn sys_mknod(cx: &mut Cx, path: UserAddr, mode: u32, dev: u64) -> SysResult<u64> {
    sys_mknodat(cx, AT_FDCWD, path, mode, dev)
}

/// `mknodat(2)`
pub(super) fn sys_mknodat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: u32, dev: u64) -> SysResult<u64> {
    let kind = FileType::from_mode(mode).ok_or(Errno::EINVAL)?;
    match kind {
        FileType::Directory => return Err(Errno::EPERM.into()),
        FileType::Symlink => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    let path = cx.read_path(path)?;
    let at = lookup_parent(&cx.task, dirfd, &path)?;
    let cred = cx.task.cred();
    create::mknod(who(cx, &cred), &at, mode, u64::from(abi::conv::low32(dev)))?;
    Ok(0)
}

/// `unlink(2)`
pub(super) fn sys_unlink(cx: &mut Cx, path: UserAddr) -> SysResult<u64> {
    sys_unlinkat(cx, AT_FDCWD, path, 0)
}

/// `unlinkat(2)`
pub(super) fn sys_unlinkat(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: i32) -> SysResult<u64> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = cx.read_path(path)?;
    let at = lookup_parent(&cx.task, dirfd, &path)?;
    let cred = cx.task.cred();
    if flags & AT_REMOVEDIR != 0 {
        remove::rmdir(who(cx, &cred), &at)?;
    } else {
        remove::unlink(who(cx, &cred), &at)?;
    }
    Ok(0)
}

/// `rename(2)`
pub(super) fn sys_rename(cx: &mut Cx, oldpath: UserAddr, newpath: UserAddr) -> SysResult<u64> {
    sys_renameat2(cx, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)
}

/// `renameat(2)`
pub(super) fn sys_renameat(
    cx: &mut Cx,
    olddirfd: i32,
    oldpath: UserAddr,
    newdirfd: i32,
    newpath: UserAddr,
) -> SysResult<u64> {
    sys_renameat2(cx, olddirfd, oldpath, newdirfd, newpath, 0)
}

/// `renameat2(2)`
pub(super) fn sys_renameat2(
    cx: &mut Cx,
    olddirfd: i32,
    oldpath: UserAddr,
    newdirfd: i32,
    newpath: UserAddr,
    flags: u32,
) -> SysResult<u64> {
    let known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
    if flags & !known != 0 || (flags & RENAME_EXCHANGE != 0 && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0) {
        return Err(Errno::EINVAL.into());
    }
    let (old, new) = (cx.read_path(oldpath)?, cx.read_path(newpath)?);
    if flags & RENAME_WHITEOUT != 0 && !cx.task.capable(cap::MKNOD) {
        return Err(Errno::EPERM.into());
    }
    let from = lookup_parent(&cx.task, olddirfd, &old)?;
    let to = lookup_parent(&cx.task, newdirfd, &new)?;
    let cred = cx.task.cred();
    rename::rename(who(cx, &cred), &from, &to, flags)?;
    Ok(0)
}

/// `link(2)`
pub(super) fn sys_link(cx: &mut Cx, oldpath: UserAddr, newpath: UserAddr) -> SysResult<u64> {
    sys_linkat(cx, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)
}

/// `linkat(2)`
pub(super) fn sys_linkat(
    cx: &mut Cx,
    olddirfd: i32,
    oldpath: UserAddr,
    newdirfd: i32,
    newpath: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let old = cx.read_path(oldpath)?;
    if flags & AT_EMPTY_PATH != 0 && old.is_empty() && !cx.task.capable(cap::DAC_READ_SEARCH) {
        return Err(Errno::ENOENT.into());
    }
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    how.set(Lookup::EMPTY, flags & AT_EMPTY_PATH != 0);
    let old = lookup(&cx.task, olddirfd, &old, how)?;
    let new = cx.read_path(newpath)?;
    let at = lookup_parent(&cx.task, newdirfd, &new)?;
    let cred = cx.task.cred();
    create::link(who(cx, &cred), &old, &at)?;
    Ok(0)
}

/// `symlink(2)`
pub(super) fn sys_symlink(cx: &mut Cx, target: UserAddr, linkpath: UserAddr) -> SysResult<u64> {
    sys_symlinkat(cx, target, AT_FDCWD, linkpath)
}

/// `symlinkat(2)`
pub(super) fn sys_symlinkat(cx: &mut Cx, target: UserAddr, newdirfd: i32, linkpath: UserAddr) -> SysResult<u64> {
    let target = cx.read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let path = cx.read_path(linkpath)?;
    let at = lookup_parent(&cx.task, newdirfd, &path)?;
    let cred = cx.task.cred();
    create::symlink(who(cx, &cred), &at, &target)?;
    Ok(0)
}

/// `readlink(2)`
pub(super) fn sys_readlink(cx: &mut Cx, path: UserAddr, buf: UserAddr, bufsiz: i32) -> SysResult<u64> {
    sys_readlinkat(cx, AT_FDCWD, path, buf, bufsiz)
}

/// `readlinkat(2)`
pub(super) fn sys_readlinkat(cx: &mut Cx, dirfd: i32, path: UserAddr, buf: UserAddr, bufsiz: i32) -> SysResult<u64> {
    let size = usize::try_from(bufsiz).ok().filter(|&n| n > 0).ok_or(Errno::EINVAL)?;
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, dirfd, &path, Lookup::EMPTY)?;
    if place.inode().kind != FileType::Symlink {
        // An empty path on what is no link is "no such file" (`do_readlinkat`).
        let empty = path.is_empty();
        return Err(if empty { Errno::ENOENT } else { Errno::EINVAL }.into());
    }
    let text = match crate::fs::atime::readlink(&place, Some(&cx.task))? {
        Link::Path(text) => text,
        Link::Jump(target) => link_text(cx, &target),
    };
    let n = text.len().min(size);
    cx.write_bytes(buf, text.get(..n).unwrap_or_default())?;
    Ok(abi::conv::usize64(n))
}

/// A magic link as text.
fn link_text(cx: &Cx, target: &Path) -> Vec<u8> {
    let root = Arc::clone(&cx.task.fs()).root();
    crate::fs::namei::d_path(target, &root)
}

/// `umask(2)`
pub(super) fn sys_umask(cx: &mut Cx, mask: u32) -> SysResult<u64> {
    Ok(u64::from(cx.task.fs().set_umask(mask)))
}
