//! From names to nodes.

use std::os::fd::AsFd;
use std::sync::Arc;

use abi::Errno;

use super::nodes::{Found, Handle, Ident};
use super::{Server, host, lock};
use crate::proto::message::{Attach, Entry, Node, Walk, WalkReply};
use crate::proto::wire::{self, Reader};
use crate::proto::{Attr, MAX_FORGET, MAX_LINK_TARGET, MAX_WALK, attr, name};

pub fn must_be_dir(handle: &Handle) -> Result<(), Errno> {
    if handle.ident.kind == attr::S_IFDIR {
        Ok(())
    } else {
        Err(Errno::ENOTDIR)
    }
}

impl Server {
    /// The root of a mount.
    pub fn attach(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Attach = body.fixed()?;
        body.end()?;
        let mount = self.mounts.get(request.mount as usize).ok_or(Errno::ENODEV)?;
        let attr = host::stat(mount.root.as_fd(), b"")?;
        let mut known = lock(&mount.node);
        let mut table = self.table();
        let node = match *known {
            Some(node) if table.retain(node).is_ok() => node,
            _ => table.enter_nameless(Ident::of(&mount.attr, request.mount), Arc::clone(&mount.root))?,
        };
        *known = Some(node);
        wire::put(reply, &Entry { node, attr });
        Ok(())
    }

    /// Walks down names, as far as there are directories to walk through.
    pub fn walk(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Walk = body.fixed()?;
        let count = request.count as usize;
        if count > MAX_WALK {
            return Err(Errno::E2BIG);
        }
        let head = reply.len();
        let mut result = WalkReply::default();
        wire::put(reply, &result);
        let mut dir = self.handle(request.node)?;
        let mut link = Vec::new();
        for left in (0..count).rev() {
            let name = body.name()?;
            let (node, attr) = match self.child(&dir, name) {
                Ok(found) => found,
                Err(e) => {
                    result.stop = raw(e);
                    break;
                }
            };
            result.count += 1;
            wire::put(reply, &Entry { node, attr });
            if attr.is_symlink() {
                // Saves the caller a second message: it will want to follow.
                link = read_link(&dir, name).unwrap_or_default();
            }
            if !attr.is_dir() || left == 0 {
                break;
            }
            dir = match self.handle(node) {
                Ok(dir) => dir,
                Err(e) => {
                    result.stop = raw(e);
                    break;
                }
            };
        }
        result.link_len = u32::try_from(link.len()).map_err(|_| Errno::ENAMETOOLONG)?;
        if let Some(front) = reply.get_mut(head..head + size_of::<WalkReply>()) {
            front.copy_from_slice(zerocopy::IntoBytes::as_bytes(&result));
        }
        reply.extend_from_slice(&link);
        Ok(())
    }

    /// Gives references back.
    pub fn forget(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let mut table = self.table();
        for _ in 0..MAX_FORGET {
            match body.fixed::<Node>() {
                Ok(request) => table.forget(request.node),
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Finds a node's descriptor, reopening what the budget had closed.
    pub fn handle(&self, id: u64) -> Result<Handle, Errno> {
        let (mut base, steps) = match self.table().find(id)? {
            Found::Here(handle) => return Ok(handle),
            Found::Reopen(base, steps) => (base, steps),
        };
        for step in steps {
            let stale = |e| {
                if e == Errno::ENOENT || e == Errno::ENOTDIR {
                    Errno::ESTALE
                } else {
                    e
                }
            };
            let fd = host::open_path(base.fd.as_fd(), &step.name).map_err(stale)?;
            let attr = host::stat(fd.as_fd(), b"")?;
            if Ident::of(&attr, step.ident.mount) != step.ident {
                return Err(Errno::ESTALE);
            }
            base = self.table().install(step.id, fd)?;
        }
        Ok(base)
    }

    /// Takes a reference to a child by name.
    pub fn child(&self, dir: &Handle, name: &[u8]) -> Result<(u64, Attr), Errno> {
        let name = name::check(name)?;
        must_be_dir(dir)?;
        let attr = host::stat(dir.fd.as_fd(), name)?;
        let node = self.table().enter(dir.id, name, Ident::of(&attr, dir.ident.mount))?;
        Ok((node, attr))
    }
}

/// The target of a symbolic link, by directory and name, or of `dir` itself with an empty name.
pub fn read_link(dir: &Handle, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut buf = [core::mem::MaybeUninit::uninit(); MAX_LINK_TARGET + 1];
    let (target, _) =
        rustix::fs::readlinkat_raw(dir.fd.as_fd(), name, &mut buf[..]).map_err(crate::proto::transport::errno)?;
    Ok(target.to_vec())
}

/// An error number as it travels.
pub fn raw(e: Errno) -> u32 {
    u32::from(e.raw())
}
