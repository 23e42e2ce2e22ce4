//! Opening: the one way in which a file's bytes leave this process is a descriptor with exactly the access asked for.

use std::os::fd::{AsFd, OwnedFd};

use abi::Errno;
use rustix::fs::OFlags;

use super::nodes::{Handle, Ident};
use super::{Server, host};
use crate::proto::message::{Entry, Fsync, Node, Open, open};
use crate::proto::transport::errno;
use crate::proto::wire::{self, Reader};
use crate::proto::{Attr, attr, name};

/// The host's flags for the access asked for.
pub fn access(flags: u32) -> Result<OFlags, Errno> {
    if flags & !open::ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let mut out = match (flags & open::READ != 0, flags & open::WRITE != 0) {
        (true, true) => OFlags::RDWR,
        (true, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (false, false) => return Err(Errno::EINVAL),
    };
    if flags & open::TRUNC != 0 {
        out |= OFlags::TRUNC;
    }
    if flags & open::NOATIME != 0 {
        out |= OFlags::NOATIME;
    }
    Ok(out)
}

impl Server {
    /// Opens a node, or a child of it by name.
    pub fn open(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<OwnedFd, Errno> {
        let request: Open = body.fixed()?;
        let child = body.rest();
        let flags = access(request.flags)?;
        let handle = self.handle(request.node)?;
        if flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) && self.mount(&handle)?.readonly {
            return Err(Errno::EROFS);
        }
        if child.is_empty() {
            let fd = self.open_handle(&handle, flags)?;
            let attr = host::stat(fd.as_fd(), b"")?;
            wire::put(reply, &Entry { node: 0, attr });
            return Ok(fd);
        }
        let (handle, attr) = self.child_handle(&handle, child)?;
        let opened = self.open_handle(&handle, flags).and_then(|fd| {
            let attr = if flags.contains(OFlags::TRUNC) {
                host::stat(fd.as_fd(), b"")?
            } else {
                attr
            };
            Ok((fd, attr))
        });
        match opened {
            Ok((fd, attr)) => {
                wire::put(reply, &Entry { node: handle.id, attr });
                Ok(fd)
            }
            Err(e) => {
                self.table().forget(handle.id);
                Err(e)
            }
        }
    }

    /// Takes a reference to a child and its descriptor.
    pub fn child_handle(&self, dir: &Handle, child: &[u8]) -> Result<(Handle, Attr), Errno> {
        super::lookup::must_be_dir(dir)?;
        let fd = host::open_path(dir.fd.as_fd(), name::check(child)?)?;
        let attr = host::stat(fd.as_fd(), b"")?;
        let mut table = self.table();
        let node = table.enter(dir.id, child, Ident::of(&attr, dir.ident.mount))?;
        Ok((table.install(node, fd)?, attr))
    }

    /// Opens a regular file. A directory's descriptor would be a way to others, and anything else lives in the Sentry: neither
    /// is ever donated.
    fn open_handle(&self, handle: &Handle, flags: OFlags) -> Result<OwnedFd, Errno> {
        match handle.ident.kind {
            attr::S_IFREG => match self.fd_paths.reopen(&handle.fd, flags) {
                // Not the owner, and no capability to act as one: the time is a lesser matter than the file.
                Err(Errno::EPERM) if flags.contains(OFlags::NOATIME) => {
                    self.fd_paths.reopen(&handle.fd, flags.difference(OFlags::NOATIME))
                }
                opened => opened,
            },
            attr::S_IFDIR => Err(Errno::EISDIR),
            attr::S_IFLNK => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    /// Opens a regular file or a directory for this process itself.
    fn open_own(&self, handle: &Handle) -> Result<OwnedFd, Errno> {
        match handle.ident.kind {
            attr::S_IFDIR => self.fd_paths.reopen(&handle.fd, OFlags::RDONLY | OFlags::DIRECTORY),
            _ => self.open_handle(handle, OFlags::RDONLY),
        }
    }

    /// `fsync(2)` of a file or directory that the caller has not opened itself.
    pub fn fsync(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let request: Fsync = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        let fd = self.open_own(&handle)?;
        if request.data != 0 {
            rustix::fs::fdatasync(fd)
        } else {
            rustix::fs::fsync(fd)
        }
        .map_err(errno)
    }

    /// `syncfs(2)` of the host file system that a node is on.
    pub fn syncfs(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let request: Node = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        let fd = self.open_own(&handle)?;
        rustix::fs::syncfs(fd).map_err(errno)
    }
}
