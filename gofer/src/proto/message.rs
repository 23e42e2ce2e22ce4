//! The operations and the fixed part of each message.
//!
//! A *node* is the server's handle of a file: a number chosen by the server, valid on every connection of the sandbox. Each
//! [`Entry`] that the server returns holds one reference to its node; `Forget` gives references back.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::attr::{Attr, Time};

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Op { $($(#[$doc])* $name = $value,)* }

        impl Op {
            pub const fn from_raw(raw: u16) -> Option<Self> {
                match raw { $($value => Some(Self::$name),)* _ => None }
            }

            pub const fn raw(self) -> u16 {
                match self { $(Self::$name => $value,)* }
            }
        }
    };
}

ops! {
    /// [`Attach`] -> [`Entry`].
    Attach = 1,
    /// [`Walk`] and `count` names -> [`WalkReply`], `count` entries, the target if the last is a symbolic link.
    Walk = 2,
    /// [`Node`] -> [`Attr`].
    Getattr = 3,
    /// [`Setattr`] -> [`Attr`].
    Setattr = 4,
    /// [`Open`] and perhaps the name of a child -> [`Entry`] and the file's descriptor.
    Open = 5,
    /// [`Create`] and a name -> [`Made`] and the new file's descriptor. Always exclusive.
    Create = 6,
    /// [`Create`] -> [`Entry`] and the descriptor of a file without a name (`O_TMPFILE`).
    Tmpfile = 7,
    /// [`Create`] and a name -> [`Made`].
    Mkdir = 8,
    /// [`Create`] and a name -> [`Made`]. The type is in the mode.
    Mknod = 9,
    /// [`Create`], a name, the target -> [`Made`].
    Symlink = 10,
    /// [`Link`] and a name -> [`Made`], of the new name.
    Link = 11,
    /// [`Unlink`] and a name -> [`Removed`].
    Unlink = 12,
    /// [`Rename`] and two names -> [`Renamed`].
    Rename = 13,
    /// [`Node`] -> the target.
    Readlink = 14,
    /// [`Readdir`] and perhaps the name of a child -> [`ReaddirReply`] and entries, each [`DirEntryHead`] and a name.
    Readdir = 15,
    /// [`Xattr`] and a name -> the value.
    Getxattr = 16,
    /// [`Xattr`], a name, the value -> nothing.
    Setxattr = 17,
    /// [`Node`] -> names, each ended by NUL.
    Listxattr = 18,
    /// [`Xattr`] and a name -> nothing.
    Removexattr = 19,
    /// [`Node`] -> [`StatFs`].
    Statfs = 20,
    /// [`Fsync`] -> nothing.
    Fsync = 21,
    /// [`Node`] -> nothing.
    Syncfs = 22,
    /// Node numbers. No reply.
    Forget = 23,
    /// [`Node`] of a socket -> nothing. Refused, unless a later configuration says otherwise.
    Connect = 24,
}

macro_rules! wire {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $ty:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* })*
    };
}

wire! {
    /// The start of every request.
    pub struct RequestHeader {
        /// The length of the whole message: must be that of the packet.
        pub size: u32,
        pub op: u16,
        pub pad: u16,
        /// Chosen by the client, repeated in the reply.
        pub id: u64,
    }
    /// The start of every reply.
    pub struct ReplyHeader {
        pub size: u32,
        /// 0, or why it failed; then nothing follows.
        pub errno: u32,
        pub id: u64,
    }
    /// Names the root of a mount by its place in the server's list.
    pub struct Attach {
        pub mount: u32,
    }
    /// A request about one node.
    pub struct Node {
        pub node: u64,
    }
    /// A node and its attributes.
    pub struct Entry {
        /// 0 when the request named the node itself, so that no new reference came to be.
        pub node: u64,
        pub attr: Attr,
    }
    /// A directory before and after a change: whether somebody else changed it too can be told from the first time.
    pub struct DirChange {
        /// `ctime` before.
        pub before: Time,
        pub after: Attr,
    }
    /// A new file, and its directory.
    pub struct Made {
        pub entry: Entry,
        pub dir: DirChange,
    }
    /// What is left of a removed file (node 0 without `KEEP`), and its directory.
    pub struct Removed {
        pub kept: Entry,
        pub dir: DirChange,
    }
    /// The file at its new name; what is left of the file that was replaced (node 0 without `KEEP`, or if there was none) or,
    /// after an exchange, the file that is now at the old name; and both directories.
    pub struct Renamed {
        pub moved: Entry,
        pub kept: Entry,
        pub old_dir: DirChange,
        pub new_dir: DirChange,
    }
    pub struct Walk {
        pub node: u64,
        pub count: u32,
        pub pad: u32,
    }
    pub struct WalkReply {
        pub count: u32,
        /// Why the name after the last entry could not be walked to, or 0.
        pub stop: u32,
        pub link_len: u32,
        pub pad: u32,
    }
    pub struct Setattr {
        pub node: u64,
        /// Bits of [`super::message::set`].
        pub mask: u32,
        pub mode: u32,
        pub uid: u32,
        pub gid: u32,
        pub size: u64,
        pub atime: Time,
        pub mtime: Time,
    }
    pub struct Open {
        pub node: u64,
        /// Bits of [`super::message::open`].
        pub flags: u32,
        pub pad: u32,
    }
    /// Everything that makes a new file.
    pub struct Create {
        pub parent: u64,
        /// Bits of [`super::message::open`], for the descriptor returned.
        pub flags: u32,
        /// Type and permissions, after umask and set-group-ID rules: the server applies no rule of its own.
        pub mode: u32,
        pub uid: u32,
        pub gid: u32,
        pub rdev: u64,
    }
    pub struct Link {
        pub node: u64,
        pub parent: u64,
    }
    pub struct Unlink {
        pub parent: u64,
        /// Bits of [`super::message::unlink`].
        pub flags: u32,
        pub pad: u32,
    }
    pub struct Rename {
        pub old_parent: u64,
        pub new_parent: u64,
        /// Bits of [`super::message::rename`].
        pub flags: u32,
        pub pad: u32,
    }
    pub struct Readdir {
        pub node: u64,
        /// 0 to start, else the cookie of the last entry seen.
        pub cookie: u64,
    }
    pub struct ReaddirReply {
        /// The directory, when it was named by a child name: one new reference; else 0.
        pub node: u64,
        pub attr: Attr,
        pub count: u32,
        /// 1 when nothing follows the last entry.
        pub eof: u32,
    }
    /// One directory entry, its name follows. `.` and `..` are left out.
    pub struct DirEntryHead {
        pub attr: Attr,
        pub cookie: u64,
        pub name_len: u32,
        /// Symbolic links carry their target after the name.
        pub link_len: u32,
    }
    pub struct Xattr {
        pub node: u64,
        /// Get: the largest value the caller takes, 0 to ask for the length only. Set: `XATTR_CREATE`, `XATTR_REPLACE`.
        pub arg: u32,
        pub pad: u32,
    }
    pub struct XattrReply {
        /// The length of the value, also when it is not sent.
        pub len: u32,
    }
    pub struct Fsync {
        pub node: u64,
        /// 1 for `fdatasync(2)`.
        pub data: u32,
        pub pad: u32,
    }
    /// Like Linux's `struct statfs`.
    pub struct StatFs {
        pub fs_type: u64,
        pub bsize: u64,
        pub blocks: u64,
        pub bfree: u64,
        pub bavail: u64,
        pub files: u64,
        pub ffree: u64,
        pub namelen: u64,
        pub frsize: u64,
        /// 1 when the mount is read-only here.
        pub readonly: u64,
    }
}

/// What `Setattr` changes.
pub mod set {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 2;
    pub const GID: u32 = 4;
    pub const SIZE: u32 = 8;
    pub const ATIME: u32 = 16;
    pub const MTIME: u32 = 32;
    /// With `ATIME`: the host's present time.
    pub const ATIME_NOW: u32 = 64;
    /// With `MTIME`: the host's present time.
    pub const MTIME_NOW: u32 = 128;
    pub const ALL: u32 = 255;
}

/// How `Open` and `Create` open. The server gives exactly this access, never more.
pub mod open {
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const TRUNC: u32 = 4;
    /// Reading leaves the access time alone, where the host allows it.
    pub const NOATIME: u32 = 8;
    pub const ALL: u32 = 15;
}

/// How `Unlink` removes.
pub mod unlink {
    /// A directory.
    pub const DIR: u32 = 1;
    /// The file stays in use: the reply has a new reference to its node, which outlives its name.
    pub const KEEP: u32 = 2;
    pub const ALL: u32 = 3;
}

/// How `Rename` renames.
pub mod rename {
    pub const NOREPLACE: u32 = 1;
    pub const EXCHANGE: u32 = 2;
    /// What is replaced stays in use: the reply has a new reference to its node, which outlives its name.
    pub const KEEP: u32 = 4;
}
