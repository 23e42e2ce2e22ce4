//! Files that no directory holds: pipes, sockets, memfds and the like, on mounts of the kernel's own.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::Path;
use crate::cred::Cred;
use crate::fs::dentry::Dentry;
use crate::fs::file::{File, FileMode, FileOps, OpenFlags};
use crate::fs::inode::{Inode, InodeOps, OpenHow, SetAttr};
use crate::fs::mount::{Mount, MountTable};
use crate::fs::stat::{FileType, Stat, Timestamp};
use crate::fs::super_block::{StatFs, SuperBlock, SuperOps};
use crate::kernel::Kernel;
use crate::sync::Mutex;

/// Which of the kernel's own file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anon {
    /// `pipefs`
    Pipe,
    /// `sockfs`
    Socket,
    /// `anon_inodefs`: one inode for all of epoll, eventfd, timerfd ...
    Inode,
}

/// The mounts of these file systems.
pub struct AnonMounts {
    pub pipe: Arc<Mount>,
    pub socket: Arc<Mount>,
    pub inode: Arc<Mount>,
}

/// Such a file system as a whole.
pub struct AnonFs {
    magic: u64,
}

impl SuperOps for AnonFs {
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            magic: self.magic,
            bsize: 4096,
            namelen: 255,
            ..StatFs::default()
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An inode of such a file system: attributes only.
pub struct AnonInode {
    stat: Mutex<Stat>,
}

impl AnonInode {
    /// A new one in that super block.
    pub fn new(sb: &Arc<SuperBlock>, ino: u64, kind: FileType, mode: u32, uid: u32, gid: u32) -> Arc<Inode> {
        let now = Timestamp::now();
        let stat = Stat {
            dev: sb.dev,
            ino,
            mode: mode | kind.mode_bits(),
            nlink: 1,
            uid,
            gid,
            blksize: 4096,
            atime: now,
            mtime: now,
            ctime: now,
            ..Stat::default()
        };
        let ops = Box::new(AnonInode { stat: Mutex::new(stat) });
        Inode::new(ops, sb.clone(), ino, kind)
    }
}

impl InodeOps for AnonInode {
    fn stat(&self, _: &Inode) -> Result<Stat> {
        Ok(*self.stat.lock())
    }

    fn set_attr(&self, inode: &Inode, attr: &SetAttr) -> Result<()> {
        if inode.kind == FileType::Anonymous {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut st = self.stat.lock();
        if let Some(mode) = attr.mode {
            st.mode = (st.mode & !0o7777) | (mode & 0o7777);
        }
        st.uid = attr.uid.unwrap_or(st.uid);
        st.gid = attr.gid.unwrap_or(st.gid);
        st.atime = attr.atime.unwrap_or(st.atime);
        st.mtime = attr.mtime.unwrap_or(st.mtime);
        st.ctime = Timestamp::now();
        Ok(())
    }

    fn open(&self, _: &Arc<Inode>, _: &OpenHow) -> Result<Arc<dyn FileOps>> {
        // Opening by `/proc/PID/fd`: sockets and anonymous inodes refuse (`no_open`).
        Err(Errno::ENXIO)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn mount(table: &Arc<MountTable>, magic: u64, name: &'static str, kind: FileType) -> Arc<Mount> {
    let sb = SuperBlock::new(Box::new(AnonFs { magic }), name);
    let root = AnonInode::new(&sb, 1, kind, 0o600, 0, 0);
    sb.set_root(root.clone());
    Mount::new_internal(table, sb, Dentry::new_root(root))
}

impl AnonMounts {
    /// Mounts them.
    pub fn new(table: &Arc<MountTable>) -> AnonMounts {
        AnonMounts {
            pipe: mount(table, 0x5049_5045, "pipefs", FileType::Directory),
            socket: mount(table, 0x534f_434b, "sockfs", FileType::Directory),
            inode: mount(table, 0x0904_1934, "anon_inodefs", FileType::Anonymous),
        }
    }
}

impl Path {
    /// A place of its own: `pipe:[N]` or `socket:[N]` with a new inode, owned by `cred`.
    pub fn new_anon(kernel: &Kernel, which: Anon, cred: &Cred) -> Path {
        let (mnt, kind, mode, word) = match which {
            Anon::Pipe => (&kernel.vfs.anon.pipe, FileType::Fifo, 0o600, "pipe"),
            Anon::Socket => (&kernel.vfs.anon.socket, FileType::Socket, 0o777, "socket"),
            Anon::Inode => return Path::new_anon_inode(kernel, "[unknown]"),
        };
        Path::numbered(mnt, kernel.unique_id(), kind, mode, word, cred)
    }

    /// A place `socket:[N]` for a socket that has its number already.
    pub fn new_socket(kernel: &Kernel, ino: u64, cred: &Cred) -> Path {
        let mnt = &kernel.vfs.anon.socket;
        Path::numbered(mnt, ino, FileType::Socket, 0o777, "socket", cred)
    }

    fn numbered(mnt: &Arc<Mount>, ino: u64, kind: FileType, mode: u32, word: &str, cred: &Cred) -> Path {
        let inode = AnonInode::new(&mnt.sb, ino, kind, mode, cred.fsuid, cred.fsgid);
        Path {
            mnt: mnt.clone(),
            dentry: Dentry::new_anonymous(inode, format!("{word}:[{ino}]").as_bytes()),
        }
    }

    /// A place `anon_inode:NAME` on the one anonymous inode; `name` is as Linux has it, `[eventfd]` or `inotify`.
    pub fn new_anon_inode(kernel: &Kernel, name: &str) -> Path {
        let mnt = &kernel.vfs.anon.inode;
        let text = format!("anon_inode:{name}");
        Path {
            mnt: mnt.clone(),
            dentry: Dentry::new_anonymous(mnt.root.inode().clone(), text.as_bytes()),
        }
    }

    /// A place for an inode that has no name but this text.
    pub fn new_unnamed(mnt: &Arc<Mount>, inode: Arc<Inode>, text: &[u8]) -> Path {
        Path {
            mnt: mnt.clone(),
            dentry: Dentry::new_anonymous(inode, text),
        }
    }
}

/// An open file on the anonymous inode (`anon_inode_getfile`): readable and writable by `flags`.
pub fn anon_file(kernel: &Kernel, name: &str, ops: Arc<dyn FileOps>, flags: OpenFlags) -> Arc<File> {
    let mode = flags.file_mode() & (FileMode::READ | FileMode::WRITE);
    File::new(ops, Path::new_anon_inode(kernel, name), mode, flags)
}
