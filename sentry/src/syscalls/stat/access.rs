//! `access(2)`.

use std::sync::Arc;

use abi::{Errno, SysResult};

use crate::cred::Cred;
use crate::fs::FileType;
use crate::fs::mount::MountFlags;
use crate::fs::namei::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Lookup, Walker};
use crate::fs::perm::{self, MAY_EXEC, MAY_WRITE};
use crate::task::Cx;
use crate::usermem::UserAddr;

const AT_EACCESS: i32 = 0x200;
/// `SECBIT_NO_SETUID_FIXUP`
const NO_SETUID_FIXUP: u32 = 4;

/// The credentials that the question is about: the real ids, and capabilities as those would have them.
fn real(cred: &Arc<Cred>) -> Arc<Cred> {
    let mut real = Cred::clone(cred);
    real.fsuid = real.uid;
    real.fsgid = real.gid;
    if real.securebits & NO_SETUID_FIXUP == 0 {
        let root = real.user_ns.uid_in(0).ok();
        real.effective = if root == Some(real.uid) { real.permitted } else { 0 };
    }
    Arc::new(real)
}

/// `access(2)`
pub(in super::super) fn sys_access(cx: &mut Cx, path: UserAddr, mode: i32) -> SysResult<u64> {
    sys_faccessat2(cx, AT_FDCWD, path, mode, 0)
}

/// `faccessat(2)`
pub(in super::super) fn sys_faccessat(cx: &mut Cx, dirfd: i32, path: UserAddr, mode: i32) -> SysResult<u64> {
    sys_faccessat2(cx, dirfd, path, mode, 0)
}

/// `faccessat2(2)`
pub(in super::super) fn sys_faccessat2(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    mode: i32,
    flags: i32,
) -> SysResult<u64> {
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let cred = cx.task.cred();
    let cred = if flags & AT_EACCESS != 0 { cred } else { real(&cred) };
    let path = cx.read_path(path)?;
    let walker = Walker::new(&cx.task, Lookup::from_at(flags)).with_cred(cred.clone());
    let place = walker.start(dirfd, &path)?.finish(&path)?;
    let want = mode.cast_unsigned();
    let inode = place.inode();
    if want & MAY_EXEC != 0 && inode.kind == FileType::Regular && place.mnt.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES.into());
    }
    perm::inode(Some(&cx.task), &cred, inode, want)?;
    let special = matches!(
        inode.kind,
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket
    );
    if want & MAY_WRITE != 0 && !special && place.mnt.is_readonly() {
        return Err(Errno::EROFS.into());
    }
    Ok(0)
}
