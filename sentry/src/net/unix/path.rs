//! Unix sockets as nodes of file systems.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::{BoundSocket, UnixSocket};
use crate::fs::namei::{AT_FDCWD, Last, Lookup, lookup, lookup_parent};
use crate::fs::stat::FileType;
use crate::fs::{NewNode, Path, perm};
use crate::task::Cx;

/// Makes a socket node for `bind(2)` and puts the socket there. `EADDRINUSE` if the name is taken.
pub fn bind(cx: &mut Cx, path: &[u8], socket: &Arc<UnixSocket>) -> Result<Path> {
    let task = &cx.task;
    let parent = lookup_parent(task, AT_FDCWD, path)?;
    let Last::Norm(name) = &parent.last else {
        return Err(Errno::EADDRINUSE);
    };
    let dir = &parent.dir;
    let _names = dir.dentry.lock_dir();
    match dir.inode().ops.lookup(dir.inode(), name) {
        Ok(_) => return Err(Errno::EADDRINUSE),
        Err(Errno::ENOENT) if parent.slash => return Err(Errno::ENOENT),
        Err(Errno::ENOENT) => {}
        Err(e) => return Err(e),
    }
    perm::want_write(&dir.mnt)?;
    let cred = task.cred();
    perm::may_create(Some(task), &cred, dir)?;
    let mode = FileType::Socket.mode_bits() | (0o777 & !task.fs().umask());
    let (uid, gid, mode) = perm::new_owner(&cred, &dir.inode().stat()?, mode);
    let node = NewNode {
        mode,
        uid,
        gid,
        rdev: 0,
    };
    let created = dir.inode().ops.create(dir.inode(), name, &node);
    let inode = created.map_err(|e| if e == Errno::EEXIST { Errno::EADDRINUSE } else { e })?;
    *inode.socket.lock() = Some(BoundSocket(Arc::downgrade(socket)));
    Ok(Path {
        mnt: dir.mnt.clone(),
        dentry: dir.dentry.insert(name, inode),
    })
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
