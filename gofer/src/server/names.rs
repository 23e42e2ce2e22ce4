//! Removing, renaming, and reading links.

use std::os::fd::AsFd;

use abi::Errno;
use rustix::fs::{AtFlags, RenameFlags};

use super::nodes::Handle;
use super::{Server, host, lock, lookup};
use crate::proto::message::{Node, Rename, Unlink, rename, unlink};
use crate::proto::name;
use crate::proto::transport::errno;
use crate::proto::wire::Reader;

impl Server {
    pub fn unlink(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let request: Unlink = body.fixed()?;
        let name = name::check(body.rest())?;
        if request.flags & !unlink::ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let dir = self.writable_dir(request.parent)?;
        if request.flags & unlink::KEEP != 0 {
            self.keep(&dir, name);
        }
        let flags = if request.flags & unlink::DIR != 0 {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        rustix::fs::unlinkat(&dir.fd, name, flags).map_err(errno)?;
        self.table().removed(dir.id, name);
        Ok(())
    }

    pub fn rename(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let request: Rename = body.fixed()?;
        let old_name = name::check(body.name()?)?;
        let new_name = name::check(body.name()?)?;
        body.end()?;
        let flags = match request.flags & !rename::KEEP {
            0 => RenameFlags::empty(),
            rename::NOREPLACE => RenameFlags::NOREPLACE,
            rename::EXCHANGE => RenameFlags::EXCHANGE,
            _ => return Err(Errno::EINVAL),
        };
        let old_dir = self.writable_dir(request.old_parent)?;
        let new_dir = self.writable_dir(request.new_parent)?;
        if old_dir.ident.mount != new_dir.ident.mount {
            return Err(Errno::EXDEV);
        }
        if request.flags & rename::KEEP != 0 {
            self.keep(&new_dir, new_name);
        }
        let _order = lock(&self.renames);
        if flags.is_empty() {
            rustix::fs::renameat(&old_dir.fd, old_name, &new_dir.fd, new_name).map_err(errno)?;
        } else {
            rustix::fs::renameat_with(&old_dir.fd, old_name, &new_dir.fd, new_name, flags).map_err(errno)?;
        }
        let (old, new) = ((old_dir.id, old_name), (new_dir.id, new_name));
        if flags.contains(RenameFlags::EXCHANGE) {
            self.table().exchanged(old, new);
        } else if !same_file(&old_dir, old_name, &new_dir, new_name) {
            self.table().renamed(old, new);
        }
        Ok(())
    }

    pub fn readlink(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Node = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        reply.extend_from_slice(&lookup::read_link(&handle, b"")?);
        Ok(())
    }

    /// Makes sure that a known file about to lose its name can still be reached through its node. When that fails the file
    /// is removed all the same: the node is then stale.
    fn keep(&self, dir: &Handle, name: &[u8]) {
        let known = self.table().child(dir.id, name);
        if let Some((id, _)) = known {
            let _held = self.handle(id);
        }
    }
}

/// Renaming a name of a file to another name of the same file does nothing on Linux: both names stay.
fn same_file(old_dir: &Handle, old: &[u8], new_dir: &Handle, new: &[u8]) -> bool {
    match (host::stat(old_dir.fd.as_fd(), old), host::stat(new_dir.fd.as_fd(), new)) {
        (Ok(a), Ok(b)) => (a.dev, a.ino) == (b.dev, b.ino),
        _ => false,
    }
}
