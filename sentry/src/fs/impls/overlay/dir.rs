//! Reading merged directories.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::OverlayFs;
use super::inode::OverlayInode;
use super::names;
use crate::fs::file::{DirSink, File, FileOps, OpenFlags, SeekFrom};
use crate::fs::inode::Inode;
use crate::fs::io::Sink;
use crate::fs::stat::FileType;
use crate::sync::Mutex;

/// One entry: name, inode number, type.
type Entry = (Box<[u8]>, u64, FileType);

/// An open directory. Positions: 0 is `.`, 1 is `..`, then the index into what was read from the start.
pub(super) struct DirFile {
    inode: Arc<Inode>,
    entries: Mutex<Option<Vec<Entry>>>,
}

impl DirFile {
    pub fn new(inode: &Arc<Inode>) -> DirFile {
        DirFile {
            inode: inode.clone(),
            entries: Mutex::new(None),
        }
    }

    /// Gives entries from a position on. `parent` is the number of `..`.
    pub fn list(&self, mut pos: u64, parent: u64, out: &mut dyn DirSink) -> Result<u64> {
        let mut entries = self.entries.lock();
        if pos == 0 {
            *entries = None;
            if !out.entry(b".", self.inode.ino, FileType::Directory, 1) {
                return Ok(0);
            }
            pos = 1;
        }
        if pos == 1 {
            if !out.entry(b"..", parent, FileType::Directory, 2) {
                return Ok(1);
            }
            pos = 2;
        }
        if entries.is_none() {
            *entries = Some(merged(&self.inode)?);
        }
        let from = abi::conv::size(pos - 2);
        for (name, ino, kind) in entries.iter().flatten().skip(from) {
            if !out.entry(name, *ino, *kind, pos + 1) {
                break;
            }
            pos += 1;
        }
        Ok(pos)
    }
}

struct Collect(Vec<Entry>);

impl DirSink for Collect {
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, _next: u64) -> bool {
        if name != b"." && name != b".." {
            self.0.push((name.into(), ino, kind));
        }
        true
    }
}

/// All entries of a layer's directory.
fn read_all(fs: &Arc<OverlayFs>, dir: &Arc<Inode>) -> Result<Vec<Entry>> {
    let file = fs.open(dir, OpenFlags::DIRECTORY)?;
    let mut all = Collect(Vec::new());
    let mut pos = 0;
    loop {
        let next = file.ops.readdir(&file, pos, &mut all)?;
        if next == pos {
            return Ok(all.0);
        }
        pos = next;
    }
}

/// Whether an entry of an upper directory is a whiteout.
fn hides(upper: &Arc<Inode>, (name, _, kind): &Entry) -> Result<bool> {
    if *kind != FileType::CharDevice {
        return Ok(false);
    }
    names::find(Some(upper), name)?.map_or(Ok(false), |inode| names::is_whiteout(&inode))
}

/// The entries that a user sees: those above, and those below that nothing above hides.
fn merged(inode: &Arc<Inode>) -> Result<Vec<Entry>> {
    let own = OverlayInode::of(inode)?;
    let _names = own.names.lock();
    let (upper, lower) = own.layers();
    let mut seen: HashSet<Box<[u8]>> = HashSet::new();
    let mut entries = Vec::new();
    if let Some(upper) = &upper {
        for entry in read_all(&own.fs, upper)? {
            if lower.is_some() {
                seen.insert(entry.0.clone());
            }
            if !hides(upper, &entry)? {
                let (name, ino, kind) = entry;
                entries.push((name, own.fs.number_above(ino), kind));
            }
        }
    }
    if let Some(lower) = &lower {
        let below = read_all(&own.fs, lower)?;
        entries.extend(below.into_iter().filter(|(name, _, _)| !seen.contains(name)));
    }
    Ok(entries)
}

/// Whether a user sees nothing in the directory.
pub(super) fn is_empty(inode: &Arc<Inode>) -> Result<bool> {
    Ok(merged(inode)?.is_empty())
}

/// The whiteouts in an upper directory.
pub(super) fn whiteouts(fs: &Arc<OverlayFs>, upper: &Arc<Inode>) -> Result<Vec<Box<[u8]>>> {
    let mut found = Vec::new();
    for entry in read_all(fs, upper)? {
        if hides(upper, &entry)? {
            found.push(entry.0);
        }
    }
    Ok(found)
}

impl FileOps for DirFile {
    fn read(&self, _file: &File, _dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn readdir(&self, file: &File, pos: u64, out: &mut dyn DirSink) -> Result<u64> {
        let parent = file.path.dentry.parent().map_or(self.inode.ino, |p| p.inode().ino);
        self.list(pos, parent, out)
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        to.in_sequence(pos)
    }

    fn fsync(&self, _file: &File, data_only: bool) -> Result<()> {
        let own = OverlayInode::of(&self.inode)?;
        let Some(upper) = own.layers().0 else { return Ok(()) };
        let file = own.fs.open(&upper, OpenFlags::DIRECTORY)?;
        file.ops.fsync(&file, data_only)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
