//! `ioctl(2)`: what all files have in common; the rest is the file's own.

use abi::{Errno, SysResult};

use crate::fs::{FileMode, FileType, OpenFlags};
use crate::task::Cx;
use crate::task::seccomp::ListenerFile;
use crate::usermem::UserAddr;

const FIONREAD: u32 = 0x541b;
const FIONBIO: u32 = 0x5421;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIOASYNC: u32 = 0x5452;
const FIOQSIZE: u32 = 0x5460;
const FIGETBSZ: u32 = 2;

/// `ioctl(2)`
pub(in super::super) async fn sys_ioctl(cx: &mut Cx, fd: i32, request: u32, arg: u64) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    let at = UserAddr(arg);
    match request {
        FIOCLEX | FIONCLEX => {
            cx.task.files().set_cloexec(fd, request == FIOCLEX)?;
            Ok(0)
        }
        FIONBIO => {
            let on: i32 = cx.read_obj(at)?;
            let mut flags = file.flags();
            flags.set(OpenFlags::NONBLOCK, on != 0);
            file.ops.set_flags(&file, flags)?;
            file.set_flags(flags);
            Ok(0)
        }
        FIOASYNC => {
            let on: i32 = cx.read_obj(at)?;
            super::fcntl::set_async(&cx.task, &file, on != 0)?;
            Ok(0)
        }
        FIOQSIZE => match file.inode().kind {
            FileType::Regular | FileType::Directory | FileType::Symlink => {
                let size = file.inode().stat()?.size;
                cx.write_obj(at, &size)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY.into()),
        },
        FIGETBSZ if file.inode().kind != FileType::Anonymous => {
            let size = i32::try_from(file.inode().sb.ops.statfs()?.bsize).unwrap_or(4096);
            cx.write_obj(at, &size)?;
            Ok(0)
        }
        FIONREAD if file.inode().kind == FileType::Regular && file.mode.contains(FileMode::SEEK) => {
            let left = file.inode().stat()?.size.saturating_sub(*file.pos.lock());
            cx.write_obj(at, &abi::conv::int(left))?;
            Ok(0)
        }
        _ => {
            if let Some(listener) = file.downcast::<ListenerFile>()
                && let Some(result) = listener.wait_ioctl(cx, request, at).await
            {
                return result;
            }
            let ops = file.ops.clone();
            ops.ioctl(cx, &file, request, arg)
        }
    }
}
