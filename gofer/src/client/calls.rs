//! One method per operation.

use std::os::fd::OwnedFd;

use abi::Errno;

use super::{Client, NodeId};
use crate::proto::message::{
    Attach, Create, DirChange, DirEntryHead, Entry, Fsync, Link, Made, Node, Open, Readdir, ReaddirReply, Removed,
    Rename, Renamed, Setattr, StatFs, Unlink, Walk, WalkReply, Xattr, XattrReply, set,
};
use crate::proto::wire::{put, put_name};
use crate::proto::{Attr, MAX_WALK, MAX_XATTR, Op, Time};

/// How far a walk came.
#[derive(Debug, Default)]
pub struct Walked {
    /// One for each name walked.
    pub entries: Vec<Entry>,
    /// Why the next name could not be, if there was an error. A walk also ends, without one, at what is not a directory.
    pub stop: Option<Errno>,
    /// The target, when the last entry is a symbolic link.
    pub link: Vec<u8>,
}

/// An opened file. `node` is 0 unless it was opened by a child's name.
#[derive(Debug)]
pub struct Opened {
    pub node: NodeId,
    pub attr: Attr,
    pub fd: OwnedFd,
}

/// A file just made and opened.
#[derive(Debug)]
pub struct Created {
    pub node: NodeId,
    pub attr: Attr,
    pub dir: DirChange,
    pub fd: OwnedFd,
}

/// An entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    pub name: Vec<u8>,
    /// With a zero `mask`, only type and inode number are known.
    pub attr: Attr,
    /// Where to go on after this entry.
    pub cookie: u64,
    /// The target of a symbolic link.
    pub link: Vec<u8>,
}

/// Some entries of a directory.
#[derive(Debug)]
pub struct Page {
    /// The directory, when it was named by a child's name; else 0.
    pub node: NodeId,
    pub attr: Attr,
    pub entries: Vec<DirEntry>,
    pub eof: bool,
}

/// A new time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSet {
    Now,
    To(Time),
}

/// What to change of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<TimeSet>,
    pub mtime: Option<TimeSet>,
}

impl SetAttr {
    fn message(&self, node: NodeId) -> Setattr {
        let mut m = Setattr {
            node,
            ..Setattr::default()
        };
        let mut take = |bit: u32, on: bool| m.mask |= if on { bit } else { 0 };
        take(set::MODE, self.mode.is_some());
        take(set::UID, self.uid.is_some());
        take(set::GID, self.gid.is_some());
        take(set::SIZE, self.size.is_some());
        take(set::ATIME, self.atime.is_some());
        take(set::MTIME, self.mtime.is_some());
        take(set::ATIME_NOW, self.atime == Some(TimeSet::Now));
        take(set::MTIME_NOW, self.mtime == Some(TimeSet::Now));
        let time = |t| {
            if let Some(TimeSet::To(time)) = t {
                time
            } else {
                Time::default()
            }
        };
        Setattr {
            mode: self.mode.unwrap_or(0),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
            size: self.size.unwrap_or(0),
            atime: time(self.atime),
            mtime: time(self.mtime),
            ..m
        }
    }
}

impl Client {
    /// The root of a mount, by its place in the list that the Gofer was started with.
    pub fn attach(&self, mount: u32) -> Result<Entry, Errno> {
        self.call(Op::Attach, |out| put(out, &Attach { mount }), |mut r, _| r.fixed())
    }

    /// Walks down `names`. A longer list than one message holds is walked in part: the caller goes on from the last entry.
    pub fn walk(&self, node: NodeId, names: &[&[u8]]) -> Result<Walked, Errno> {
        let names = names.get(..MAX_WALK).unwrap_or(names);
        let count = u32::try_from(names.len()).map_err(|_| Errno::E2BIG)?;
        let build = |out: &mut Vec<u8>| {
            put(out, &Walk { node, count, pad: 0 });
            names.iter().for_each(|name| put_name(out, name));
        };
        self.call(Op::Walk, build, |mut r, _| {
            let head: WalkReply = r.fixed()?;
            let entries = (0..head.count).map(|_| r.fixed()).collect::<Result<_, Errno>>()?;
            let stop = (head.stop != 0).then(|| Errno::from_raw(i32::try_from(head.stop).unwrap_or(-1)));
            Ok(Walked {
                entries,
                stop,
                link: r.bytes(head.link_len as usize)?.to_vec(),
            })
        })
    }

    pub fn getattr(&self, node: NodeId) -> Result<Attr, Errno> {
        self.call(Op::Getattr, |out| put(out, &Node { node }), |mut r, _| r.fixed())
    }

    /// Changes attributes, and tells what they are then.
    pub fn setattr(&self, node: NodeId, change: &SetAttr) -> Result<Attr, Errno> {
        self.call(Op::Setattr, |out| put(out, &change.message(node)), |mut r, _| r.fixed())
    }

    /// Opens a node. `flags` are those of [`super::open`].
    pub fn open(&self, node: NodeId, flags: u32) -> Result<Opened, Errno> {
        self.open_child(node, b"", flags)
    }

    /// Opens a child, and takes a reference to it.
    pub fn open_child(&self, node: NodeId, name: &[u8], flags: u32) -> Result<Opened, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(out, &Open { node, flags, pad: 0 });
            out.extend_from_slice(name);
        };
        self.call(Op::Open, build, opened)
    }

    /// Makes and opens a regular file that must not exist.
    pub fn create(
        &self,
        parent: NodeId,
        name: &[u8],
        flags: u32,
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> Result<Created, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(
                out,
                &Create {
                    parent,
                    flags,
                    mode,
                    uid,
                    gid,
                    rdev: 0,
                },
            );
            out.extend_from_slice(name);
        };
        self.call(Op::Create, build, |mut r, fd| {
            let Made {
                entry: Entry { node, attr },
                dir,
            } = r.fixed()?;
            Ok(Created {
                node,
                attr,
                dir,
                fd: fd.ok_or(Errno::EPROTO)?,
            })
        })
    }

    /// Makes and opens a regular file without a name.
    pub fn tmpfile(&self, dir: NodeId, flags: u32, mode: u32, uid: u32, gid: u32) -> Result<Opened, Errno> {
        self.call(
            Op::Tmpfile,
            |out| {
                put(
                    out,
                    &Create {
                        parent: dir,
                        flags,
                        mode,
                        uid,
                        gid,
                        rdev: 0,
                    },
                )
            },
            opened,
        )
    }

    pub fn mkdir(&self, parent: NodeId, name: &[u8], mode: u32, uid: u32, gid: u32) -> Result<Made, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(
                out,
                &Create {
                    parent,
                    flags: 0,
                    mode,
                    uid,
                    gid,
                    rdev: 0,
                },
            );
            out.extend_from_slice(name);
        };
        self.call(Op::Mkdir, build, |mut r, _| r.fixed())
    }

    /// Makes a file of the type that `mode` names.
    pub fn mknod(&self, parent: NodeId, name: &[u8], mode: u32, rdev: u64, uid: u32, gid: u32) -> Result<Made, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(
                out,
                &Create {
                    parent,
                    flags: 0,
                    mode,
                    uid,
                    gid,
                    rdev,
                },
            );
            out.extend_from_slice(name);
        };
        self.call(Op::Mknod, build, |mut r, _| r.fixed())
    }

    pub fn symlink(&self, parent: NodeId, name: &[u8], target: &[u8], uid: u32, gid: u32) -> Result<Made, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(
                out,
                &Create {
                    parent,
                    flags: 0,
                    mode: 0,
                    uid,
                    gid,
                    rdev: 0,
                },
            );
            put_name(out, name);
            out.extend_from_slice(target);
        };
        self.call(Op::Symlink, build, |mut r, _| r.fixed())
    }

    /// Gives a file one more name; the entry returned is that name's.
    pub fn link(&self, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Made, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(out, &Link { node, parent });
            out.extend_from_slice(name);
        };
        self.call(Op::Link, build, |mut r, _| r.fixed())
    }

    /// Removes a name. `flags` are those of [`super::unlink`].
    pub fn unlink(&self, parent: NodeId, name: &[u8], flags: u32) -> Result<Removed, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(out, &Unlink { parent, flags, pad: 0 });
            out.extend_from_slice(name);
        };
        self.call(Op::Unlink, build, |mut r, _| r.fixed())
    }

    /// Renames. `flags` are those of [`super::rename`].
    pub fn rename(&self, old: (NodeId, &[u8]), new: (NodeId, &[u8]), flags: u32) -> Result<Renamed, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(
                out,
                &Rename {
                    old_parent: old.0,
                    new_parent: new.0,
                    flags,
                    pad: 0,
                },
            );
            put_name(out, old.1);
            put_name(out, new.1);
        };
        self.call(Op::Rename, build, |mut r, _| r.fixed())
    }

    pub fn readlink(&self, node: NodeId) -> Result<Vec<u8>, Errno> {
        self.call(
            Op::Readlink,
            |out| put(out, &Node { node }),
            |mut r, _| Ok(r.rest().to_vec()),
        )
    }

    /// Reads a page of a directory, from its start with cookie 0.
    pub fn readdir(&self, node: NodeId, cookie: u64) -> Result<Page, Errno> {
        self.readdir_child(node, b"", cookie)
    }

    /// Reads a page of a child directory, and takes a reference to it.
    pub fn readdir_child(&self, node: NodeId, name: &[u8], cookie: u64) -> Result<Page, Errno> {
        let build = |out: &mut Vec<u8>| {
            put(out, &Readdir { node, cookie });
            out.extend_from_slice(name);
        };
        self.call(Op::Readdir, build, |mut r, _| {
            let head: ReaddirReply = r.fixed()?;
            let entry = |_| {
                let e: DirEntryHead = r.fixed()?;
                let name = r.bytes(e.name_len as usize)?.to_vec();
                let link = r.bytes(e.link_len as usize)?.to_vec();
                Ok(DirEntry {
                    name,
                    attr: e.attr,
                    cookie: e.cookie,
                    link,
                })
            };
            let entries = (0..head.count).map(entry).collect::<Result<_, Errno>>()?;
            Ok(Page {
                node: head.node,
                attr: head.attr,
                entries,
                eof: head.eof != 0,
            })
        })
    }

    /// The value of an attribute of at most `max` bytes (`ERANGE` if it is longer).
    pub fn getxattr(&self, node: NodeId, name: &[u8], max: usize) -> Result<Vec<u8>, Errno> {
        let arg = u32::try_from(max.clamp(1, MAX_XATTR)).map_err(|_| Errno::E2BIG)?;
        self.call(Op::Getxattr, xattr(node, arg, name, b""), |mut r, _| {
            let head: XattrReply = r.fixed()?;
            Ok(r.bytes(head.len as usize)?.to_vec())
        })
    }

    /// The length of an attribute's value.
    pub fn getxattr_len(&self, node: NodeId, name: &[u8]) -> Result<usize, Errno> {
        self.call(Op::Getxattr, xattr(node, 0, name, b""), |mut r, _| {
            Ok(r.fixed::<XattrReply>()?.len as usize)
        })
    }

    /// Sets an attribute. `flags` are `XATTR_CREATE` and `XATTR_REPLACE`.
    pub fn setxattr(&self, node: NodeId, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        self.call(Op::Setxattr, xattr(node, flags, name, value), |_, _| Ok(()))
    }

    /// The names of all attributes, each ended by NUL.
    pub fn listxattr(&self, node: NodeId) -> Result<Vec<u8>, Errno> {
        self.call(
            Op::Listxattr,
            |out| put(out, &Node { node }),
            |mut r, _| Ok(r.rest().to_vec()),
        )
    }

    pub fn removexattr(&self, node: NodeId, name: &[u8]) -> Result<(), Errno> {
        self.call(Op::Removexattr, xattr(node, 0, name, b""), |_, _| Ok(()))
    }

    pub fn statfs(&self, node: NodeId) -> Result<StatFs, Errno> {
        self.call(Op::Statfs, |out| put(out, &Node { node }), |mut r, _| r.fixed())
    }

    pub fn fsync(&self, node: NodeId, data_only: bool) -> Result<(), Errno> {
        self.call(
            Op::Fsync,
            |out| {
                put(
                    out,
                    &Fsync {
                        node,
                        data: data_only.into(),
                        pad: 0,
                    },
                )
            },
            |_, _| Ok(()),
        )
    }

    pub fn syncfs(&self, node: NodeId) -> Result<(), Errno> {
        self.call(Op::Syncfs, |out| put(out, &Node { node }), |_, _| Ok(()))
    }
}

fn opened(mut r: crate::proto::wire::Reader<'_>, fd: Option<OwnedFd>) -> Result<Opened, Errno> {
    let Entry { node, attr } = r.fixed()?;
    Ok(Opened {
        node,
        attr,
        fd: fd.ok_or(Errno::EPROTO)?,
    })
}

fn xattr<'a>(node: NodeId, arg: u32, name: &'a [u8], value: &'a [u8]) -> impl FnOnce(&mut Vec<u8>) + 'a {
    move |out| {
        put(out, &Xattr { node, arg, pad: 0 });
        put_name(out, name);
        out.extend_from_slice(value);
    }
}
