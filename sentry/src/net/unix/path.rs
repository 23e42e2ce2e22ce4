//! Unix sockets as nodes of file systems.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::{BoundSocket, UnixSocket};
use crate::fs::create::{self, Who};
use crate::fs::namei::{AT_FDCWD, Lookup, lookup, lookup_parent};
use crate::fs::stat::FileType;
use crate::fs::{Path, perm};
use crate::task::Cx;

/// Makes a socket node for `bind(2)` and puts the socket there. `EADDRINUSE` if the name is taken.
pub fn bind(cx: &mut Cx, path: &[u8], socket: &Arc<UnixSocket>) -> Result<Path> {
    let task = &cx.task;
    let parent = lookup_parent(task, AT_FDCWD, path)?;
    let cred = task.cred();
    let who = Who {
        task: Some(task),
        cred: &cred,
        umask: task.fs().umask(),
    };
    let mode = FileType::Socket.mode_bits() | 0o777;
    let taken = |e| if e == Errno::EEXIST { Errno::EADDRINUSE } else { e };
    let place = create::mknod(who, &parent, mode, 0).map_err(taken)?;
    *place.inode().socket.lock() = Some(BoundSocket(Arc::downgrade(socket)));
    Ok(place)
}

/// The socket of a node, for one who may write to it.
pub fn find(cx: &mut Cx, path: &[u8]) -> Result<Arc<UnixSocket>> {
    let place = lookup(&cx.task, AT_FDCWD, path, Lookup::FOLLOW)?;
    let inode = place.inode();
    perm::inode(Some(&cx.task), &cx.task.cred(), inode, perm::MAY_WRITE)?;
    if inode.kind != FileType::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    let bound = inode.socket.lock();
    bound.as_ref().and_then(BoundSocket::get).ok_or(Errno::ECONNREFUSED)
}
