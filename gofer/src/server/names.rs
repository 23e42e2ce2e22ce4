//! Removing, renaming, and reading links.

use std::os::fd::AsFd;

use abi::Errno;
use rustix::fs::{AtFlags, RenameFlags};

use super::nodes::Handle;
use super::{Server, host, lock, lookup};
use crate::proto::message::{DirChange, Entry, Node, Removed, Rename, Renamed, Unlink, rename, unlink};
use crate::proto::transport::errno;
use crate::proto::wire::{self, Reader};
use crate::proto::{Time, name};

impl Server {
    pub fn unlink(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Unlink = body.fixed()?;
        let name = name::check(body.rest())?;
        if request.flags & !unlink::ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let dir = self.writable_dir(request.parent)?;
        let before = change_time(&dir)?;
        let kept = if request.flags & unlink::KEEP != 0 {
            self.keep(&dir, name)?
        } else {
            None
        };
        let flags = if request.flags & unlink::DIR != 0 {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        if let Err(e) = rustix::fs::unlinkat(&dir.fd, name, flags) {
            self.release(kept);
            return Err(errno(e));
        }
        self.table().removed(dir.id, name);
        wire::put(
            reply,
            &Removed {
                kept: entry(kept),
                dir: changed(&dir, before)?,
            },
        );
        Ok(())
    }

    pub fn rename(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
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
        let old = self.writable_dir(request.old_parent)?;
        let new = self.writable_dir(request.new_parent)?;
        if old.ident.mount != new.ident.mount {
            return Err(Errno::EXDEV);
        }
        let before = (change_time(&old)?, change_time(&new)?);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let kept = match request.flags & rename::KEEP {
            0 => None,
            _ if exchange => None,
            _ => match self.keep(&new, new_name) {
                Err(Errno::ENOENT) => None,
                kept => kept?,
            },
        };
        let _order = lock(&self.renames);
        let done = if flags.is_empty() {
            rustix::fs::renameat(&old.fd, old_name, &new.fd, new_name)
        } else {
            rustix::fs::renameat_with(&old.fd, old_name, &new.fd, new_name, flags)
        };
        if let Err(e) = done {
            self.release(kept);
            return Err(errno(e));
        }
        let (from, to) = ((old.id, old_name), (new.id, new_name));
        if exchange {
            self.table().exchanged(from, to);
        } else if !same_file(&old, old_name, &new, new_name) {
            self.table().renamed(from, to);
        }
        let (old_dir, new_dir) = (changed(&old, before.0)?, changed(&new, before.1)?);
        let entry_now = |dir: &Handle, name| self.child(dir, name).map(|(node, attr)| Entry { node, attr });
        let moved = entry_now(&new, new_name)?;
        let kept = if exchange {
            entry_now(&old, old_name)?
        } else {
            entry(kept)
        };
        wire::put(
            reply,
            &Renamed {
                moved,
                kept,
                old_dir,
                new_dir,
            },
        );
        Ok(())
    }

    pub fn readlink(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Node = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        reply.extend_from_slice(&lookup::read_link(&handle, b"")?);
        Ok(())
    }

    /// Takes hold of a file that is about to lose its name, so that it can still be reached through its node.
    fn keep(&self, dir: &Handle, name: &[u8]) -> Result<Option<Handle>, Errno> {
        self.child_handle(dir, name).map(|(handle, _)| Some(handle))
    }

    fn release(&self, kept: Option<Handle>) {
        if let Some(handle) = kept {
            self.table().forget(handle.id);
        }
    }
}

/// The entry of a kept file, as it is now.
fn entry(kept: Option<Handle>) -> Entry {
    let entry = |handle: Handle| {
        Some(Entry {
            node: handle.id,
            attr: host::stat(handle.fd.as_fd(), b"").ok()?,
        })
    };
    kept.and_then(entry).unwrap_or_default()
}

/// When a directory last changed.
pub fn change_time(dir: &Handle) -> Result<Time, Errno> {
    Ok(host::stat(dir.fd.as_fd(), b"")?.ctime)
}

/// What a directory is after a change.
pub fn changed(dir: &Handle, before: Time) -> Result<DirChange, Errno> {
    Ok(DirChange {
        before,
        after: host::stat(dir.fd.as_fd(), b"")?,
    })
}

/// Renaming a name of a file to another name of the same file does nothing on Linux: both names stay.
fn same_file(old_dir: &Handle, old: &[u8], new_dir: &Handle, new: &[u8]) -> bool {
    match (host::stat(old_dir.fd.as_fd(), old), host::stat(new_dir.fd.as_fd(), new)) {
        (Ok(a), Ok(b)) => (a.dev, a.ino) == (b.dev, b.ino),
        _ => false,
    }
}
