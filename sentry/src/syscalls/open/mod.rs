//! Opening, closing and controlling file descriptors.

mod fcntl;
mod handle;
mod ioctl;

use std::sync::Arc;

use abi::{Errno, SysResult};

pub(super) use fcntl::{sys_fcntl, sys_flock};
pub(super) use handle::{sys_name_to_handle_at, sys_open_by_handle_at};
pub(super) use ioctl::sys_ioctl;

use crate::fs::impls::tmpfs::{self, MemfdFlags};
use crate::fs::lease::wait_broken;
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::fs::open::{OpenArgs, Opened, VALID, open, open_place};
use crate::fs::{File, OpenFlags};
use crate::ipc::pipe::open_fifo;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// Opens, waiting for the other end of a fifo, and gives the new fd.
async fn open_fd(cx: &mut Cx, dirfd: i32, path: UserAddr, args: OpenArgs) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    let files = cx.task.files();
    // The number comes first: a table that is full must not leave a file behind that was just made.
    let reserved = files.reserve(1, cx.task.fd_limit())?;
    let mut opened = open(&cx.task, dirfd, &path, args)?;
    let file = loop {
        opened = match opened {
            Opened::File(file) => break file,
            Opened::Fifo(place, flags) => {
                let ops = open_fifo(&cx.task, place.inode(), flags).await?;
                Opened::File(crate::fs::open::finish(place, ops, flags)?)
            }
            Opened::Leased(place, write) => {
                let nonblock = args.flags.contains(OpenFlags::NONBLOCK);
                wait_broken(&cx.task, place.inode(), write, nonblock).await?;
                open_place(&cx.task, place, args)?
            }
        };
    };
    let fd = reserved.numbers().first().copied().unwrap_or(-1);
    reserved.commit([file], args.flags.contains(OpenFlags::CLOEXEC));
    Ok(u64::from(fd.cast_unsigned()))
}

/// `open(2)`
pub(super) async fn sys_open(cx: &mut Cx, path: UserAddr, flags: i32, mode: u32) -> SysResult<u64> {
    sys_openat(cx, AT_FDCWD, path, flags, mode).await
}

/// `openat(2)`
pub(super) async fn sys_openat(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: i32, mode: u32) -> SysResult<u64> {
    let args = OpenArgs::new(flags.cast_unsigned(), mode)?;
    open_fd(cx, dirfd, path, args).await
}

/// `creat(2)`
pub(super) async fn sys_creat(cx: &mut Cx, path: UserAddr, mode: u32) -> SysResult<u64> {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    sys_openat(cx, AT_FDCWD, path, flags.bits().cast_signed(), mode).await
}

/// `openat2(2)`
pub(super) async fn sys_openat2(cx: &mut Cx, dirfd: i32, path: UserAddr, how: UserAddr, size: usize) -> SysResult<u64> {
    let how: abi::fs::OpenHow = cx.read_extensible(how, size, 24)?;
    let bits = u32::try_from(how.flags).map_err(|_| Errno::EINVAL)?;
    let flags = OpenFlags::from_bits(bits)
        .filter(|f| VALID.contains(*f))
        .ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREAT | OpenFlags::TMPFILE);
    let path_extra = OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::PATH | OpenFlags::CLOEXEC;
    if (creates && how.mode & !0o7777 != 0)
        || (!creates && how.mode != 0)
        || (flags.contains(OpenFlags::PATH) && !path_extra.contains(flags))
    {
        return Err(Errno::EINVAL.into());
    }
    let mut resolve = Lookup::empty();
    let names = [
        (1, Lookup::NO_XDEV),
        (2, Lookup::NO_MAGICLINKS),
        (4, Lookup::NO_SYMLINKS),
        (8, Lookup::BENEATH),
        (0x10, Lookup::IN_ROOT),
        (0x20, Lookup::CACHED),
    ];
    let mut known = 0;
    for (bit, flag) in names {
        known |= bit;
        if how.resolve & bit != 0 {
            resolve |= flag;
        }
    }
    if how.resolve & !known != 0 || resolve.contains(Lookup::BENEATH | Lookup::IN_ROOT) {
        return Err(Errno::EINVAL.into());
    }
    if resolve.contains(Lookup::CACHED) && flags.intersects(OpenFlags::TRUNC | OpenFlags::CREAT | OpenFlags::TMPFILE) {
        return Err(Errno::EAGAIN.into());
    }
    let args = OpenArgs {
        flags: flags
            | if flags.contains(OpenFlags::PATH) {
                OpenFlags::empty()
            } else {
                OpenFlags::LARGEFILE
            },
        mode: u32::try_from(how.mode).map_err(|_| Errno::EINVAL)?,
        resolve,
    }
    .check()?;
    open_fd(cx, dirfd, path, args).await
}

/// What happens to a file at each `close(2)` of an fd for it, the table being done with.
fn close_file(file: &Arc<File>) -> SysResult<()> {
    file.ops.flush(file)?;
    Ok(())
}

/// `close(2)`
pub(super) fn sys_close(cx: &mut Cx, fd: i32) -> SysResult<u64> {
    let file = cx.task.files().remove(fd)?;
    close_file(&file)?;
    Ok(0)
}

/// `close_range(2)`
pub(super) fn sys_close_range(cx: &mut Cx, first: u32, last: u32, flags: u32) -> SysResult<u64> {
    const UNSHARE: u32 = 2;
    const CLOEXEC: u32 = 4;
    if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags & UNSHARE != 0 {
        let own = Arc::new(cx.task.files().fork());
        cx.task.set_files(own);
    }
    let files = cx.task.files();
    if flags & CLOEXEC != 0 {
        files.cloexec_range(first, last);
        return Ok(0);
    }
    for file in files.remove_range(first, last) {
        // Like Linux: the range is closed whatever single files say.
        let _ = close_file(&file);
    }
    Ok(0)
}

fn fd_result(fd: i32) -> SysResult<u64> {
    Ok(u64::from(fd.cast_unsigned()))
}

/// `dup(2)`
pub(super) fn sys_dup(cx: &mut Cx, oldfd: i32) -> SysResult<u64> {
    let files = cx.task.files();
    let file = files.get_any(oldfd)?;
    fd_result(files.add(file, false, cx.task.fd_limit())?)
}

/// `dup2(2)`
pub(super) fn sys_dup2(cx: &mut Cx, oldfd: i32, newfd: i32) -> SysResult<u64> {
    if oldfd == newfd {
        cx.task.files().get_any(oldfd)?;
        return fd_result(newfd);
    }
    dup_to(cx, oldfd, newfd, false)
}

/// `dup3(2)`
pub(super) fn sys_dup3(cx: &mut Cx, oldfd: i32, newfd: i32, flags: i32) -> SysResult<u64> {
    let flags = flags.cast_unsigned();
    if flags & !OpenFlags::CLOEXEC.bits() != 0 || oldfd == newfd {
        return Err(Errno::EINVAL.into());
    }
    dup_to(cx, oldfd, newfd, flags != 0)
}

fn dup_to(cx: &Cx, oldfd: i32, newfd: i32, cloexec: bool) -> SysResult<u64> {
    let files = cx.task.files();
    if u64::try_from(newfd).map_or(true, |n| n >= cx.task.fd_limit()) {
        return Err(Errno::EBADF.into());
    }
    let file = files.get_any(oldfd)?;
    if let Some(old) = files.put(newfd, file, cloexec)? {
        // Linux drops the error of this close, too.
        let _ = close_file(&old);
    }
    fd_result(newfd)
}

/// `memfd_create(2)`
pub(super) fn sys_memfd_create(cx: &mut Cx, name: UserAddr, flags: u32) -> SysResult<u64> {
    let known = MemfdFlags::from_bits(flags);
    let Some(flags) = known.filter(|f| !f.contains(MemfdFlags::EXEC | MemfdFlags::NOEXEC_SEAL)) else {
        let huge = flags & 4 != 0;
        return Err(match huge {
            true => cx
                .task
                .kernel
                .counters
                .missing("memfd_create", u64::from(flags), Errno::ENOSYS),
            false => Errno::EINVAL,
        }
        .into());
    };
    // 249 bytes, so that with its prefix the name is a valid one.
    let name = match cx.read_cstr(name, 250) {
        Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL.into()),
        name => name?,
    };
    let cred = cx.task.cred();
    let file = tmpfs::memfd_create(&cx.task.kernel, &name, flags, (cred.fsuid, cred.fsgid))?;
    let cloexec = flags.contains(MemfdFlags::CLOEXEC);
    fd_result(cx.task.files().add(file, cloexec, cx.task.fd_limit())?)
}
