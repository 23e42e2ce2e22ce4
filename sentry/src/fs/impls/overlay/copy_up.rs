//! Copying an object, and the directories that lead to it, to the upper layer.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::OverlayFs;
use super::inode::OverlayInode;
use crate::fs::file::{OpenFlags, WriteAt};
use crate::fs::inode::{Inode, Link, NewNode, SetAttr};
use crate::fs::io::{SliceSource, VecSink};
use crate::fs::stat::{FileType, S_IFMT, Stat};

/// What of a file's contents to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Copy,
    /// Nothing: it is about to be cut to nothing.
    Leave,
}

const CHUNK: usize = 1 << 20;

/// Makes sure that the object is above, and gives it there.
pub(super) fn copy_up(inode: &Arc<Inode>, data: Data) -> Result<Arc<Inode>> {
    // From the object up to the first directory that is above already, and down again.
    let mut chain: Vec<Arc<Inode>> = Vec::new();
    let mut at = inode.clone();
    loop {
        let next = {
            let st = OverlayInode::of(&at)?.lock();
            match (&st.upper, &st.place) {
                (Some(upper), _) if chain.is_empty() => return Ok(upper.clone()),
                (Some(_), _) => break,
                (None, _) if st.unlinked && !at.is_dir() => None,
                (None, Some(place)) => Some(place.dir.clone()),
                (None, None) => return Err(Errno::EIO),
            }
        };
        chain.push(at);
        match next {
            Some(dir) => at = dir,
            None => break,
        }
    }
    for inode in chain.iter().rev() {
        copy_one(inode, data)?;
    }
    OverlayInode::of(inode)?.lock().upper.clone().ok_or(Errno::EIO)
}

/// Copies one object whose directory is above.
fn copy_one(inode: &Arc<Inode>, data: Data) -> Result<()> {
    let own = OverlayInode::of(inode)?;
    let _copying = own.copying.lock();
    let (lower, place, unlinked) = {
        let st = own.lock();
        if st.upper.is_some() {
            return Ok(());
        }
        (st.lower.clone().ok_or(Errno::EIO)?, st.place.clone(), st.unlinked)
    };
    let fs = &own.fs;
    let stat = lower.stat()?;
    let linked = own.linked.then_some(lower.ino);
    if unlinked {
        // It has no name, above or below: nor will its copy.
        let root = fs.upper.sb.root()?;
        let upper = copied_file(fs, &lower, &root, &stat, data)?;
        fs.copied(inode, &upper, linked);
        own.lock().upper = Some(upper);
        return Ok(());
    }
    let place = place.ok_or(Errno::EIO)?;
    let parent = OverlayInode::of(&place.dir)?;
    let up = parent.lock().upper.clone().ok_or(Errno::EIO)?;
    let file = match inode.kind {
        // A long copy: done before the directory is locked, and invisible until it is complete.
        FileType::Regular => Some(copied_file(fs, &lower, &up, &stat, data)?),
        _ => None,
    };
    let _names = parent.names.lock();
    let times = up.stat()?;
    let upper = match file {
        Some(file) => {
            // Findable as this object before anybody can see its name.
            fs.copied(inode, &file, linked);
            up.ops.link(&up, &place.name, &file)?;
            file
        }
        None => {
            let node = new_node(&stat);
            let upper = match inode.kind {
                FileType::Symlink => up.ops.symlink(&up, &place.name, &link_text(&lower)?, &node)?,
                _ => up.ops.create(&up, &place.name, &node)?,
            };
            copy_attributes(&lower, &upper, &stat)?;
            fs.copied(inode, &upper, linked);
            upper
        }
    };
    // The directory's contents are as they were: so are its times. They matter less than the copy.
    let restore = SetAttr {
        atime: Some(times.atime),
        mtime: Some(times.mtime),
        ..SetAttr::default()
    };
    let _best_effort = up.ops.set_attr(&up, &restore);
    own.lock().upper = Some(upper);
    Ok(())
}

fn new_node(stat: &Stat) -> NewNode {
    NewNode {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
    }
}

fn link_text(lower: &Arc<Inode>) -> Result<Vec<u8>> {
    match lower.ops.readlink(lower, None)? {
        Link::Path(text) => Ok(text),
        Link::Jump(_) => Err(Errno::EINVAL),
    }
}

/// A copy of a regular file, in the file system of `dir`, without a name.
fn copied_file(
    fs: &Arc<OverlayFs>,
    lower: &Arc<Inode>,
    dir: &Arc<Inode>,
    stat: &Stat,
    data: Data,
) -> Result<Arc<Inode>> {
    let upper = dir.ops.tmpfile(dir, &new_node(stat))?;
    if data == Data::Copy && stat.size > 0 {
        copy_data(fs, lower, &upper, stat.size)?;
    }
    copy_attributes(lower, &upper, stat)?;
    Ok(upper)
}

/// Copies contents, and leaves out what is all zero.
fn copy_data(fs: &Arc<OverlayFs>, lower: &Arc<Inode>, upper: &Arc<Inode>, size: u64) -> Result<()> {
    let from = fs.open(lower, OpenFlags::empty())?;
    let to = fs.open(upper, OpenFlags::WRONLY)?;
    let mut pos = 0;
    let mut end = 0;
    loop {
        let mut chunk = VecSink::new(CHUNK);
        let got = from.ops.read(&from, &mut chunk, pos)?;
        if got == 0 {
            break;
        }
        if chunk.data.iter().any(|&b| b != 0) {
            let mut source = SliceSource::new(&chunk.data);
            let mut at = WriteAt {
                pos,
                append: false,
                end: pos,
                limit: u64::MAX,
            };
            let mut done = 0;
            while done < got {
                let n = to.ops.write(&to, &mut source, &mut at)?;
                if n == 0 {
                    return Err(Errno::ENOSPC);
                }
                done += n;
                at.pos = at.end;
            }
            end = at.end;
        }
        pos += abi::conv::usize64(got);
    }
    let size = size.max(pos);
    if end < size {
        let attr = SetAttr {
            size: Some(size),
            ..SetAttr::default()
        };
        upper.ops.set_attr(upper, &attr)?;
    }
    Ok(())
}

/// Copies extended attributes, mode and times.
fn copy_attributes(lower: &Arc<Inode>, upper: &Arc<Inode>, stat: &Stat) -> Result<()> {
    for name in lower.ops.listxattr(lower).unwrap_or_default() {
        let Ok(value) = lower.ops.getxattr(lower, &name) else {
            continue;
        };
        match upper.ops.setxattr(upper, &name, &value, 0) {
            // A file system above that has none: the copy is as good as can be.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::EPERM) => {}
            Err(e) => return Err(e),
        }
    }
    let mut attr = SetAttr {
        atime: Some(stat.atime),
        mtime: Some(stat.mtime),
        ..SetAttr::default()
    };
    if upper.kind == FileType::Regular {
        // Writing may have cleared set-ID bits.
        attr.mode = Some(stat.mode & !S_IFMT);
    }
    upper.ops.set_attr(upper, &attr)
}
