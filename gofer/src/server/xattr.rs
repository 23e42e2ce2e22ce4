//! Extended attributes. They are reached through the descriptor's path, which works for path handles and symbolic links alike
//! and follows neither.

use abi::Errno;
use rustix::fs::XattrFlags;

use super::Server;
use crate::proto::message::{Node, Xattr, XattrReply};
use crate::proto::transport::errno;
use crate::proto::wire::{self, Reader};
use crate::proto::{MAX_XATTR, name::NAME_MAX};

/// Name spaces that a container may see.
fn check_name(name: &[u8]) -> Result<&[u8], Errno> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Errno::ERANGE);
    }
    if name.contains(&0) {
        return Err(Errno::EINVAL);
    }
    // `system.` holds the host's ACLs, whose rules the Sentry would not apply.
    let known: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    if known.iter().any(|prefix| name.starts_with(prefix)) {
        Ok(name)
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// Attributes that a container may change: of `security.`, only what `setcap` writes.
fn check_writable(name: &[u8]) -> Result<&[u8], Errno> {
    let name = check_name(name)?;
    if name.starts_with(b"security.") && name != b"security.capability" {
        Err(Errno::EPERM)
    } else {
        Ok(name)
    }
}

impl Server {
    pub fn getxattr(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Xattr = body.fixed()?;
        let name = check_name(body.name()?)?;
        body.end()?;
        let handle = self.handle(request.node)?;
        let path = self.fd_paths.of(&handle.fd);
        let wanted = usize::try_from(request.arg).unwrap_or(MAX_XATTR).min(MAX_XATTR);
        if wanted == 0 {
            let len = rustix::fs::getxattr_query(path.bytes(), name).map_err(errno)?;
            wire::put(
                reply,
                &XattrReply {
                    len: u32::try_from(len).map_err(|_| Errno::ERANGE)?,
                },
            );
            return Ok(());
        }
        let mut value = vec![0_u8; wanted];
        let len = rustix::fs::getxattr(path.bytes(), name, &mut value[..]).map_err(errno)?;
        wire::put(
            reply,
            &XattrReply {
                len: u32::try_from(len).map_err(|_| Errno::ERANGE)?,
            },
        );
        reply.extend_from_slice(value.get(..len).unwrap_or_default());
        Ok(())
    }

    pub fn setxattr(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let request: Xattr = body.fixed()?;
        let name = check_writable(body.name()?)?;
        let value = body.rest();
        if value.len() > MAX_XATTR {
            return Err(Errno::E2BIG);
        }
        let flags = XattrFlags::from_bits(request.arg).ok_or(Errno::EINVAL)?;
        let handle = self.writable(request.node)?;
        rustix::fs::setxattr(self.fd_paths.of(&handle.fd).bytes(), name, value, flags).map_err(errno)
    }

    pub fn listxattr(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Node = body.fixed()?;
        body.end()?;
        let handle = self.handle(request.node)?;
        let mut list = vec![0_u8; MAX_XATTR];
        let len = rustix::fs::listxattr(self.fd_paths.of(&handle.fd).bytes(), &mut list[..]).map_err(errno)?;
        for name in list.get(..len).unwrap_or_default().split_inclusive(|&b| b == 0) {
            if check_name(name.strip_suffix(&[0]).unwrap_or(name)).is_ok() {
                reply.extend_from_slice(name);
            }
        }
        Ok(())
    }

    pub fn removexattr(&self, mut body: Reader<'_>) -> Result<(), Errno> {
        let request: Xattr = body.fixed()?;
        let name = check_writable(body.name()?)?;
        body.end()?;
        let handle = self.writable(request.node)?;
        rustix::fs::removexattr(self.fd_paths.of(&handle.fd).bytes(), name).map_err(errno)
    }
}
