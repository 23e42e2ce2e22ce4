//! Reading host directories.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use gofer::client::{Entry, Page};
use gofer::proto::{Attr, Time};

use super::inode::GoferInode;
use crate::executor::Executor;
use crate::fs::file::{DirSink, File, FileOps, SeekFrom};
use crate::fs::inode::Inode;
use crate::fs::io::Sink;
use crate::fs::stat::FileType;
use crate::sync::Mutex;

/// A directory's children, all of them, as last listed or changed by ourselves.
pub(super) struct Names {
    pub children: HashMap<Box<[u8]>, Child>,
    /// The directory's change time for which this is true.
    pub ctime: Time,
    /// When it was asked for.
    pub asked: u64,
}

/// One of them.
pub(super) struct Child {
    pub ino: u64,
    pub kind: FileType,
    /// What the listing told, until the name is looked up: later it may be out of date.
    pub known: Option<Box<Known>>,
}

pub(super) struct Known {
    pub attr: Attr,
    pub link: Vec<u8>,
}

/// Larger directories are not remembered as a whole.
const MAX_NAMES: usize = 20_000;

/// An open directory. Positions: 0 is `.`, 1 is `..`, then the index into what was read so far.
pub(super) struct DirFile {
    inode: Arc<Inode>,
    listing: Mutex<Listing>,
}

#[derive(Default)]
struct Listing {
    entries: Vec<(Box<[u8]>, u64, FileType)>,
    cookie: u64,
    eof: bool,
    /// The directory when reading began (change time, changes of our own, time), and all that was read, for [`Names`].
    began: Option<(Time, u64, u64)>,
    names: HashMap<Box<[u8]>, Child>,
}

impl DirFile {
    pub fn new(inode: &Arc<Inode>) -> DirFile {
        DirFile {
            inode: inode.clone(),
            listing: Mutex::new(Listing::default()),
        }
    }

    fn own(&self) -> Result<&GoferInode> {
        GoferInode::of(&self.inode)
    }

    /// Gives entries from a position on. `parent` is the number of `..`.
    pub fn list(&self, mut pos: u64, parent: u64, out: &mut dyn DirSink) -> Result<u64> {
        let mut listing = self.listing.lock();
        if pos == 0 {
            // From the start: as the directory is now.
            *listing = Listing::default();
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
        loop {
            let index = abi::conv::size(pos - 2);
            if let Some((name, ino, kind)) = listing.entries.get(index) {
                if !out.entry(name, *ino, *kind, pos + 1) {
                    return Ok(pos);
                }
                pos += 1;
            } else if listing.eof {
                return Ok(pos);
            } else {
                self.fetch(&mut listing)?;
            }
        }
    }

    /// Reads on: from memory, or a page from the Gofer.
    fn fetch(&self, listing: &mut Listing) -> Result<()> {
        let own = self.own()?;
        if listing.entries.is_empty() && listing.cookie == 0 && self.remembered(own, listing)? {
            return Ok(());
        }
        let (asked, changes) = (Executor::now(), own.lock().changes);
        let page = read_page(own, listing.cookie, asked)?;
        let began = *listing.began.get_or_insert((page.attr.ctime, changes, asked));
        let keep = own.fs.exclusive() && listing.names.len() + page.entries.len() <= MAX_NAMES;
        listing.eof = page.eof;
        if let Some(last) = page.entries.last() {
            listing.cookie = last.cookie;
        } else {
            listing.eof = true;
        }
        let (ctime, entry) = (page.attr.ctime, page.attr);
        for e in page.entries {
            let kind = FileType::from_mode(e.attr.mode).unwrap_or(FileType::Regular);
            let (name, ino): (Box<[u8]>, u64) = (e.name.into(), e.attr.ino);
            if keep {
                let known = (e.attr.mask != 0).then(|| {
                    Box::new(Known {
                        attr: e.attr,
                        link: e.link,
                    })
                });
                listing.names.insert(name.clone(), Child { ino, kind, known });
            }
            listing.entries.push((name, ino, kind));
        }
        if listing.eof {
            let names = std::mem::take(&mut listing.names);
            let mut st = own.lock();
            st.note(&entry, asked);
            let unchanged = (ctime, st.changes) == (began.0, began.1);
            if keep && names.len() == listing.entries.len() && unchanged && st.names.is_none() {
                st.names = Some(Names {
                    children: names,
                    ctime,
                    asked: began.2,
                });
            }
        }
        Ok(())
    }

    /// Fills the listing from what is remembered of the directory.
    fn remembered(&self, own: &GoferInode, listing: &mut Listing) -> Result<bool> {
        if !own.fs.exclusive() || own.lock().names.is_none() {
            return Ok(false);
        }
        own.attr()?;
        let st = own.lock();
        let Some(names) = &st.names else { return Ok(false) };
        listing.entries = names
            .children
            .iter()
            .map(|(name, c)| (name.clone(), c.ino, c.kind))
            .collect();
        listing.eof = true;
        Ok(true)
    }
}

/// A page of a directory, which may still be known by its place only.
fn read_page(own: &GoferInode, cookie: u64, asked: u64) -> Result<Page> {
    let place = {
        let st = own.lock();
        if st.node == 0 { st.place.clone() } else { None }
    };
    let Some(place) = place else {
        return own.fs.client.readdir(own.node()?, cookie);
    };
    let page = own
        .fs
        .client
        .readdir_child(GoferInode::of(&place.dir)?.node()?, &place.name, cookie)?;
    if (page.attr.dev, page.attr.ino) != own.key() {
        own.fs.client.forget(page.node);
        return Err(Errno::ESTALE);
    }
    let entry = Entry {
        node: page.node,
        attr: page.attr,
    };
    own.refresh(entry.node, &entry.attr, asked);
    Ok(page)
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
        let own = self.own()?;
        let node = own.node()?;
        own.fs.blocking(|| own.fs.client.fsync(node, data_only))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
