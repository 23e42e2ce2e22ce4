//! `tmpcopyup`: a new tmpfs begins with what the directory beneath it holds.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::fs::dentry::Dentry;
use crate::fs::io::{SliceSource, VecSink};
use crate::fs::stat::S_IFMT;
use crate::fs::{DirSink, File, FileMode, FileType, Inode, Link, NewNode, OpenFlags, OpenHow, Path, SetAttr, WriteAt};

const CHUNK: usize = 1 << 20;
/// No tree that a path can name is deeper.
const MAX_DEPTH: usize = 2048;

/// Copies all that is in one directory into another, an empty one; its owner and mode too.
pub(super) fn tree(from: &Path, to: &Arc<Inode>) -> Result<()> {
    let stat = from.inode().stat()?;
    let attr = SetAttr {
        mode: Some(stat.mode & !S_IFMT),
        uid: Some(stat.uid),
        gid: Some(stat.gid),
        ..SetAttr::default()
    };
    to.ops.set_attr(to, &attr)?;
    // A list instead of recursion: the depth is the image's.
    let mut left = vec![(from.inode().clone(), to.clone(), 0usize)];
    while let Some((from_dir, to_dir, depth)) = left.pop() {
        if depth > MAX_DEPTH {
            return Err(Errno::ELOOP);
        }
        for name in names(from, &from_dir)? {
            let inode = from_dir.ops.lookup(&from_dir, &name)?;
            let made = one(from, &inode, &to_dir, &name)?;
            if inode.is_dir() {
                left.push((inode, made, depth + 1));
            }
        }
    }
    Ok(())
}

fn one(at: &Path, inode: &Arc<Inode>, to: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
    let stat = inode.stat()?;
    let node = NewNode {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
    };
    let made = match inode.kind {
        FileType::Symlink => match inode.ops.readlink(inode, None)? {
            Link::Path(text) => to.ops.symlink(to, name, &text, &node)?,
            Link::Jump(_) => return Err(Errno::EINVAL),
        },
        _ => to.ops.create(to, name, &node)?,
    };
    if inode.kind == FileType::Regular {
        contents(at, inode, &made)?;
    }
    let attr = SetAttr {
        atime: Some(stat.atime),
        mtime: Some(stat.mtime),
        ..SetAttr::default()
    };
    made.ops.set_attr(&made, &attr)?;
    Ok(made)
}

pub(super) fn open(at: &Path, inode: &Arc<Inode>, flags: OpenFlags) -> Result<Arc<File>> {
    let ops = inode.ops.open(inode, &OpenHow { flags })?;
    let path = Path {
        mnt: at.mnt.clone(),
        dentry: Dentry::new_root(inode.clone()),
    };
    Ok(File::new(ops, path, flags.file_mode() | FileMode::SEEK, flags))
}

fn contents(at: &Path, from: &Arc<Inode>, to: &Arc<Inode>) -> Result<()> {
    let from = open(at, from, OpenFlags::empty())?;
    let to = open(at, to, OpenFlags::WRONLY)?;
    let mut pos = 0;
    loop {
        let mut chunk = VecSink::new(CHUNK);
        let got = from.ops.read(&from, &mut chunk, pos)?;
        if got == 0 {
            return Ok(());
        }
        let mut source = SliceSource::new(&chunk.data);
        let mut write = WriteAt {
            pos,
            append: false,
            end: pos,
            limit: u64::MAX,
        };
        let mut done = 0;
        while done < got {
            match to.ops.write(&to, &mut source, &mut write)? {
                0 => return Err(Errno::ENOSPC),
                n => done += n,
            }
            write.pos = write.end;
        }
        pos += abi::conv::usize64(got);
    }
}

struct Names(Vec<Vec<u8>>);

impl DirSink for Names {
    fn entry(&mut self, name: &[u8], _ino: u64, _kind: FileType, _next: u64) -> bool {
        if name != b"." && name != b".." {
            self.0.push(name.to_vec());
        }
        true
    }
}

fn names(at: &Path, dir: &Arc<Inode>) -> Result<Vec<Vec<u8>>> {
    let file = open(at, dir, OpenFlags::DIRECTORY)?;
    let mut names = Names(Vec::new());
    let mut pos = 0;
    loop {
        let before = names.0.len();
        let next = file.ops.readdir(&file, pos, &mut names)?;
        if next == pos || (names.0.len() == before && pos > 2) {
            return Ok(names.0);
        }
        pos = next;
    }
}
