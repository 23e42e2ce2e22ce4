//! The virtual file system: files, inodes, dentries, mounts, path walk, and the file systems under `impls/`.
//!
//! Like Linux: a *file* is an open file description; an *inode* is an object of one file system; a *dentry* gives it a name
//! in a tree; a *mount* shows a file system's tree at a place. File systems implement [`InodeOps`] and [`FileOps`], whose
//! defaults already give Linux's error numbers. All are synchronous: they try once and give `EAGAIN`; waiting is the
//! caller's (`crate::wait`).

pub mod aio;
pub mod atime;
pub mod attr;
pub mod context;
pub mod create;
pub mod dentry;
pub mod devices;
pub mod dnotify;
pub mod fd_table;
pub mod file;
pub mod impls;
pub mod inode;
pub mod inotify;
pub mod io;
pub mod lease;
pub mod locks;
pub mod meeting;
pub mod mount;
pub mod namei;
pub mod open;
pub mod perm;
pub mod remove;
pub mod rename;
pub mod sigio;
pub mod stat;
pub mod super_block;
pub mod vfs;
pub mod watch;

pub use context::FsContext;
pub use fd_table::FdTable;
pub use file::{Backing, DirSink, File, FileMode, FileOps, FileOwner, OpenFlags, SeekFrom, WriteAt};
pub use inode::{Inode, InodeOps, Link, NewNode, OpenHow, SetAttr};
pub use io::{Sink, Source};
pub use namei::Path;
pub use open::{open_exec, open_exec_at};
pub use stat::{FileType, Stat, Timestamp};
pub use super_block::{FsType, MountArgs, StatFs, SuperBlock, SuperOps};
pub use vfs::Vfs;
