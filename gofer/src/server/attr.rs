//! Attributes: read and change.

use std::os::fd::AsFd;

use abi::Errno;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid};

use super::nodes::Handle;
use super::{Server, host};
use crate::proto::Time;
use crate::proto::attr::{S_IFLNK, S_IFREG};
use crate::proto::message::{Node, Setattr, StatFs, set};
use crate::proto::transport::errno;
use crate::proto::wire::{self, Reader};

impl Server {
    pub fn getattr(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Node = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        wire::put(reply, &host::stat(handle.fd.as_fd(), b"")?);
        Ok(())
    }

    /// Changes what the mask names, in the order size, owner, mode, times: a change of owner clears set-ID bits, and only the
    /// caller knows whether the mode it sends is meant to have them.
    pub fn setattr(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Setattr = body.fixed()?;
        body.end()?;
        if request.mask & !set::ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let times = timestamps(&request)?;
        let handle = self.writable(request.node)?;
        if request.mask & set::SIZE != 0 {
            if handle.ident.kind != S_IFREG {
                return Err(Errno::EINVAL);
            }
            let fd = self.fd_paths.reopen(&handle.fd, OFlags::WRONLY)?;
            rustix::fs::ftruncate(fd, request.size).map_err(errno)?;
        }
        let uid = (request.mask & set::UID != 0).then_some(request.uid);
        let gid = (request.mask & set::GID != 0).then_some(request.gid);
        if uid.is_some() || gid.is_some() {
            chown(&handle, uid, gid)?;
        }
        if request.mask & set::MODE != 0 {
            self.chmod(&handle, request.mode)?;
        }
        if let Some(times) = times {
            rustix::fs::utimensat(&handle.fd, "", &times, AtFlags::EMPTY_PATH).map_err(errno)?;
        }
        wire::put(reply, &host::stat(handle.fd.as_fd(), b"")?);
        Ok(())
    }

    /// Sets the permission bits of any file but a symbolic link.
    pub fn chmod(&self, handle: &Handle, mode: u32) -> Result<(), Errno> {
        if handle.ident.kind == S_IFLNK {
            return Err(Errno::EOPNOTSUPP);
        }
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmodat(CWD, self.fd_paths.of(&handle.fd).bytes(), mode, AtFlags::empty()).map_err(errno)
    }

    pub fn statfs(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Node = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        let st = rustix::fs::fstatfs(&handle.fd).map_err(errno)?;
        let unsigned = |v: i64| v.cast_unsigned();
        wire::put(
            reply,
            &StatFs {
                fs_type: unsigned(st.f_type),
                bsize: unsigned(st.f_bsize),
                blocks: st.f_blocks,
                bfree: st.f_bfree,
                bavail: st.f_bavail,
                files: st.f_files,
                ffree: st.f_ffree,
                namelen: unsigned(st.f_namelen),
                frsize: unsigned(st.f_frsize),
                readonly: u64::from(self.mount(&handle)?.readonly),
            },
        );
        Ok(())
    }
}

/// Changes the owner of the very file that is held.
pub fn chown(handle: &Handle, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    // -1 means "leave" to the host: it must not get there as an id.
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::EINVAL);
    }
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    rustix::fs::chownat(
        &handle.fd,
        "",
        uid,
        gid,
        AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(errno)
}

fn timestamps(request: &Setattr) -> Result<Option<Timestamps>, Errno> {
    let one = |time: Time, wanted: u32, now: u32| {
        let special = |tv_nsec| Ok(Timespec { tv_sec: 0, tv_nsec });
        match (request.mask & wanted != 0, request.mask & now != 0) {
            (false, _) => special(UTIME_OMIT),
            (true, true) => special(UTIME_NOW),
            (true, false) if time.nsec < 1_000_000_000 => Ok(Timespec {
                tv_sec: time.sec,
                tv_nsec: i64::from(time.nsec),
            }),
            (true, false) => Err(Errno::EINVAL),
        }
    };
    if request.mask & (set::ATIME | set::MTIME) == 0 {
        return Ok(None);
    }
    Ok(Some(Timestamps {
        last_access: one(request.atime, set::ATIME, set::ATIME_NOW)?,
        last_modification: one(request.mtime, set::MTIME, set::MTIME_NOW)?,
    }))
}
