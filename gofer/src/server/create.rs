//! Making files. The owner, group and mode asked for are what the file gets: the host's own rules (the process's ids, a
//! set-group-ID or ACL-bearing parent) are corrected afterwards, and only where they differ.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use abi::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::attr::chown;
use super::names::{change_time, changed};
use super::nodes::{Handle, Ident};
use super::{Server, host, open};
use crate::proto::attr::{S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK};
use crate::proto::message::{Create, Entry, Link, Made};
use crate::proto::transport::errno;
use crate::proto::wire::{self, Reader};
use crate::proto::{Attr, MAX_LINK_TARGET, Time, name};

const PERMISSIONS: u32 = 0o7777;

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & PERMISSIONS)
}

impl Server {
    /// Makes and opens a regular file.
    pub fn create(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<OwnedFd, Errno> {
        let request: Create = body.fixed()?;
        let name = name::check(body.rest())?;
        let flags = open::access(request.flags)?;
        let dir = self.writable_dir(request.parent)?;
        let before = change_time(&dir)?;
        let how = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&dir.fd, name, how, mode(request.mode)).map_err(errno)?;
        let undo = |e| {
            // The caller was told of a failure: nothing may be left of the attempt.
            let _gone = rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty());
            e
        };
        let attr = own_open_file(&fd, &request).map_err(undo)?;
        let node = self
            .table()
            .enter(dir.id, name, Ident::of(&attr, dir.ident.mount))
            .map_err(undo)?;
        wire::put(
            reply,
            &Made {
                entry: Entry { node, attr },
                dir: changed(&dir, before)?,
            },
        );
        Ok(fd)
    }

    /// Makes and opens a regular file without a name. `Link` may give it one.
    pub fn tmpfile(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<OwnedFd, Errno> {
        let request: Create = body.fixed()?;
        body.end()?;
        let flags = open::access(request.flags)?;
        let dir = self.writable_dir(request.parent)?;
        let how = flags | OFlags::TMPFILE | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&dir.fd, ".", how, mode(request.mode)).map_err(errno)?;
        let attr = own_open_file(&fd, &request)?;
        let keep = rustix::io::fcntl_dupfd_cloexec(&fd, 0).map_err(errno)?;
        let node = self
            .table()
            .enter_nameless(Ident::of(&attr, dir.ident.mount), Arc::new(keep))?;
        wire::put(reply, &Entry { node, attr });
        Ok(fd)
    }

    pub fn mkdir(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Create = body.fixed()?;
        let name = name::check(body.rest())?;
        let dir = self.writable_dir(request.parent)?;
        let before = change_time(&dir)?;
        rustix::fs::mkdirat(&dir.fd, name, mode(request.mode)).map_err(errno)?;
        self.enter_new(&dir, name, &request, AtFlags::REMOVEDIR, before, reply)
    }

    pub fn mknod(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Create = body.fixed()?;
        let name = name::check(body.rest())?;
        let dir = self.writable_dir(request.parent)?;
        let (kind, device) = match request.mode & S_IFMT {
            0 | S_IFREG => (FileType::RegularFile, false),
            S_IFIFO => (FileType::Fifo, false),
            S_IFSOCK => (FileType::Socket, false),
            // A whiteout is not a device: Linux too lets anybody make one.
            S_IFCHR => (FileType::CharacterDevice, request.rdev != 0),
            S_IFBLK => (FileType::BlockDevice, true),
            _ => return Err(Errno::EINVAL),
        };
        if device && !self.mount(&dir)?.devices {
            return Err(Errno::EPERM);
        }
        let before = change_time(&dir)?;
        rustix::fs::mknodat(&dir.fd, name, kind, mode(request.mode), request.rdev).map_err(errno)?;
        self.enter_new(&dir, name, &request, AtFlags::empty(), before, reply)
    }

    pub fn symlink(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let mut request: Create = body.fixed()?;
        let name = name::check(body.name()?)?;
        let target = body.rest();
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() > MAX_LINK_TARGET {
            return Err(Errno::ENAMETOOLONG);
        }
        if target.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let dir = self.writable_dir(request.parent)?;
        let before = change_time(&dir)?;
        rustix::fs::symlinkat(target, &dir.fd, name).map_err(errno)?;
        // Linux gives every link this mode, and none can be changed.
        request.mode = 0o777;
        self.enter_new(&dir, name, &request, AtFlags::empty(), before, reply)
    }

    /// Gives a file one more name.
    pub fn link(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Link = body.fixed()?;
        let name = name::check(body.rest())?;
        let dir = self.writable_dir(request.parent)?;
        let file = self.handle(request.node)?;
        if file.ident.mount != dir.ident.mount {
            return Err(Errno::EXDEV);
        }
        let before = change_time(&dir)?;
        let path = self.fd_paths.of(&file.fd);
        rustix::fs::linkat(CWD, path.bytes(), &dir.fd, name, AtFlags::SYMLINK_FOLLOW).map_err(errno)?;
        let (node, attr) = self.child(&dir, name)?;
        wire::put(
            reply,
            &Made {
                entry: Entry { node, attr },
                dir: changed(&dir, before)?,
            },
        );
        Ok(())
    }

    /// Gives a new file its owner and mode, and a node.
    fn enter_new(
        &self,
        dir: &Handle,
        name: &[u8],
        request: &Create,
        undo: AtFlags,
        before: Time,
        reply: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let entered = self
            .child(dir, name)
            .and_then(|(node, attr)| match self.own(node, attr, request) {
                Ok(attr) => Ok(Entry { node, attr }),
                Err(e) => {
                    self.table().forget(node);
                    Err(e)
                }
            });
        match entered {
            Ok(entry) => {
                wire::put(
                    reply,
                    &Made {
                        entry,
                        dir: changed(dir, before)?,
                    },
                );
                Ok(())
            }
            Err(e) => {
                let _gone = rustix::fs::unlinkat(&dir.fd, name, undo);
                Err(e)
            }
        }
    }

    fn own(&self, node: u64, attr: Attr, request: &Create) -> Result<Attr, Errno> {
        let (uid, gid) = owner_change(&attr, request);
        let mode_differs = !attr.is_symlink() && attr.mode & PERMISSIONS != request.mode & PERMISSIONS;
        if uid.is_none() && gid.is_none() && !mode_differs {
            return Ok(attr);
        }
        let handle = self.handle(node)?;
        if uid.is_some() || gid.is_some() {
            chown(&handle, uid, gid)?;
        }
        let now = host::stat(handle.fd.as_fd(), b"")?;
        if attr.is_symlink() || now.mode & PERMISSIONS == request.mode & PERMISSIONS {
            return Ok(now);
        }
        self.chmod(&handle, request.mode)?;
        host::stat(handle.fd.as_fd(), b"")
    }
}

fn owner_change(attr: &Attr, request: &Create) -> (Option<u32>, Option<u32>) {
    (
        (attr.uid != request.uid).then_some(request.uid),
        (attr.gid != request.gid).then_some(request.gid),
    )
}

fn own_open_file(fd: &OwnedFd, request: &Create) -> Result<Attr, Errno> {
    let attr = host::stat(fd.as_fd(), b"")?;
    let (uid, gid) = owner_change(&attr, request);
    let mode_differs = attr.mode & PERMISSIONS != request.mode & PERMISSIONS;
    if uid.is_none() && gid.is_none() && !mode_differs {
        return Ok(attr);
    }
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::EINVAL);
    }
    if uid.is_some() || gid.is_some() {
        let (uid, gid) = (uid.map(rustix::fs::Uid::from_raw), gid.map(rustix::fs::Gid::from_raw));
        rustix::fs::fchown(fd, uid, gid).map_err(errno)?;
    }
    // A change of owner may have cleared set-ID bits: always after it.
    rustix::fs::fchmod(fd, mode(request.mode)).map_err(errno)?;
    host::stat(fd.as_fd(), b"")
}
