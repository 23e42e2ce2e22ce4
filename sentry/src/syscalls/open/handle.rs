//! File handles.

use abi::{Errno, SysResult};

use crate::task::Cx;
use crate::usermem::UserAddr;

/// `name_to_handle_at(2)`: our file systems cannot be exported, as Linux says of many of its own.
pub(in super::super) fn sys_name_to_handle_at(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    handle: UserAddr,
    mount_id: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    use crate::fs::namei::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, Lookup, lookup};
    let _ = mount_id;
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | 0x200) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    how.set(Lookup::EMPTY, flags & AT_EMPTY_PATH != 0);
    let path = cx.read_path(path)?;
    lookup(&cx.task, dirfd, &path, how)?;
    let _: [u32; 2] = cx.read_obj(handle)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// `open_by_handle_at(2)`: no handle was ever given.
pub(in super::super) fn sys_open_by_handle_at(
    cx: &mut Cx,
    mount_fd: i32,
    handle: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    let _ = (handle, flags);
    if !cx.task.capable(crate::cred::cap::DAC_READ_SEARCH) {
        return Err(Errno::EPERM.into());
    }
    cx.task.files().get_any(mount_fd)?;
    Err(Errno::ESTALE.into())
}
