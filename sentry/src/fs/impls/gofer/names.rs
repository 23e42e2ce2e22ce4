//! Names in host directories: looking up, making, removing, renaming.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use gofer::client::{Entry, Made, open, rename as wire};

use super::dir::{Child, Known};
use super::file::RegularFile;
use super::inode::GoferInode;
use super::state::{Place, State};
use crate::executor::Executor;
use crate::fs::file::{FileMode, FileOps};
use crate::fs::inode::{Inode, NewNode, OpenHow};
use crate::fs::stat::{FileType, S_IFMT};

/// A guest may look at any number of names.
const MAX_RECHECKED: usize = 10_000;

/// The child of that name.
pub(super) fn lookup(own: &GoferInode, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
    if dir.kind != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    if own.fs.exclusive() {
        // Notices, now and then, that somebody else changed the directory.
        own.attr()?;
        if let Some((known, asked)) = from_listing(own, name)? {
            let Known { attr, link } = *known;
            let place = Place {
                dir: dir.clone(),
                name: name.into(),
            };
            let link = Some(link).filter(|l| !l.is_empty());
            return own.fs.adopt(&dir.sb, Entry { node: 0, attr }, link, Some(place), asked);
        }
    }
    let asked = Executor::now();
    let walked = own.fs.client.walk(own.node()?, &[name])?;
    let Some(&entry) = walked.entries.first() else {
        return Err(walked.stop.unwrap_or(Errno::ENOENT));
    };
    own.lock().checked(name);
    let link = Some(walked.link).filter(|l| !l.is_empty());
    own.fs.adopt(&dir.sb, entry, link, None, asked)
}

/// Several names, each in the one before, in one message.
pub(super) fn lookup_path(own: &GoferInode, dir: &Arc<Inode>, names: &[&[u8]]) -> (Vec<Arc<Inode>>, Option<Errno>) {
    let [first, _, ..] = names else {
        return match names.first().map(|name| lookup(own, dir, name)) {
            Some(Ok(inode)) => (vec![inode], None),
            Some(Err(e)) => (Vec::new(), Some(e)),
            None => (Vec::new(), None),
        };
    };
    if own.fs.exclusive() && own.lock().names.is_some() {
        // The listing knows, and a step further there may be another.
        return lookup_path(own, dir, &[first]);
    }
    let mut found: Vec<Arc<Inode>> = Vec::new();
    let asked = Executor::now();
    let walked = match own.node().and_then(|node| own.fs.client.walk(node, names)) {
        Ok(walked) => walked,
        Err(e) => return (found, Some(e)),
    };
    let count = walked.entries.len();
    for (i, (&entry, name)) in walked.entries.iter().zip(names).enumerate() {
        let link = (i + 1 == count && !walked.link.is_empty()).then(|| walked.link.clone());
        let at = found.last().unwrap_or(dir).clone();
        let adopted = own.fs.adopt(&dir.sb, entry, link, None, asked).and_then(|inode| {
            GoferInode::of(&at)?.lock().checked(name);
            GoferInode::of(&inode)?.lock().walked_at = Executor::now();
            Ok(inode)
        });
        match adopted {
            Ok(inode) => found.push(inode),
            Err(e) => {
                let rest = walked.entries.get(i + 1..).unwrap_or_default();
                rest.iter().for_each(|e| own.fs.client.forget(e.node));
                return (found, Some(e));
            }
        }
    }
    (found, walked.stop)
}

/// What a directory listing told of the name, once and while it can be trusted, and when it was asked for; `ENOENT` if the
/// listing is complete and has it not.
fn from_listing(own: &GoferInode, name: &[u8]) -> Result<Option<(Box<Known>, u64)>> {
    let mut st = own.lock();
    let Some(names) = &mut st.names else { return Ok(None) };
    let asked = names.asked;
    let fresh = Executor::now().saturating_sub(asked) < own.fs.sharing.trust_ns();
    match names.children.get_mut(name) {
        None => Err(Errno::ENOENT),
        Some(child) => {
            let known = child.known.take();
            // Attributes of a file with further names may have changed through one of these.
            let known = known.filter(|k| fresh && (k.attr.is_dir() || k.attr.nlink == 1));
            Ok(known.map(|known| (known, asked)))
        }
    }
}

/// Whether a cached name still means what it did.
pub(super) fn still_true(own: &GoferInode, dir: &Arc<Inode>, name: &[u8], child: Option<&Arc<Inode>>) -> bool {
    if own.fs.exclusive() {
        if own.attr().is_err() {
            return false;
        }
        let st = own.lock();
        if st.epoch == 0 || st.rechecked.get(name) == Some(&st.epoch) {
            return true;
        }
    } else if let Some(child) = child.and_then(|c| GoferInode::of(c).ok()) {
        // The walk of a whole path brought it a moment ago.
        if Executor::now().saturating_sub(child.lock().walked_at) < own.fs.sharing.trust_ns() {
            return true;
        }
    }
    let asked = Executor::now();
    let Ok(walked) = own.node().and_then(|node| own.fs.client.walk(node, &[name])) else {
        return false;
    };
    let same = match (walked.entries.first(), child) {
        (Some(entry), Some(child)) => match GoferInode::of(child) {
            Ok(known) if known.key() == (entry.attr.dev, entry.attr.ino) => {
                known.refresh(entry.node, &entry.attr, asked);
                true
            }
            _ => {
                own.fs.client.forget(entry.node);
                false
            }
        },
        (Some(entry), None) => {
            own.fs.client.forget(entry.node);
            false
        }
        (None, None) => walked.stop == Some(Errno::ENOENT),
        (None, Some(_)) => false,
    };
    if same && dir.is_dir() {
        own.lock().checked(name);
    }
    same
}

/// Notes a new name, made by ourselves, and gives its inode.
fn made(own: &GoferInode, dir: &Arc<Inode>, name: &[u8], made: &Made, link: Option<Vec<u8>>) -> Result<Arc<Inode>> {
    {
        let mut st = own.lock();
        st.note_change(&made.dir);
        st.has(name, &made.entry);
    }
    own.fs.adopt(&dir.sb, made.entry, link, None, Executor::now())
}

pub(super) fn create(own: &GoferInode, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
    let (parent, client) = (own.node()?, &own.fs.client);
    let new = match FileType::from_mode(node.mode) {
        Some(FileType::Directory) => client.mkdir(parent, name, node.mode, node.uid, node.gid)?,
        Some(FileType::Symlink) | None => return Err(Errno::EINVAL),
        Some(_) => client.mknod(parent, name, node.mode, node.rdev, node.uid, node.gid)?,
    };
    made(own, dir, name, &new, None)
}

pub(super) fn access(mode: FileMode) -> u32 {
    match (mode.contains(FileMode::READ), mode.contains(FileMode::WRITE)) {
        (true, true) => open::READ | open::WRITE,
        (false, true) => open::WRITE,
        _ => open::READ,
    }
}

pub(super) fn create_open(
    own: &GoferInode,
    dir: &Arc<Inode>,
    name: &[u8],
    node: &NewNode,
    how: &OpenHow,
) -> Result<(Arc<Inode>, Arc<dyn FileOps>)> {
    let mode = how.flags.file_mode();
    let new = own
        .fs
        .client
        .create(own.node()?, name, access(mode), node.mode & !S_IFMT, node.uid, node.gid)?;
    let entry = Entry {
        node: new.node,
        attr: new.attr,
    };
    let inode = made(own, dir, name, &Made { entry, dir: new.dir }, None)?;
    let fd = GoferInode::of(&inode)?.keep_fd(mode, new.fd);
    let file = RegularFile::new(&inode, fd, mode);
    Ok((inode, Arc::new(file)))
}

pub(super) fn tmpfile(own: &GoferInode, dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>> {
    let both = open::READ | open::WRITE;
    let new = own
        .fs
        .client
        .tmpfile(own.node()?, both, node.mode & !S_IFMT, node.uid, node.gid)?;
    let entry = Entry {
        node: new.node,
        attr: new.attr,
    };
    own.fs.adopt(&dir.sb, entry, None, None, Executor::now())
}

pub(super) fn symlink(
    own: &GoferInode,
    dir: &Arc<Inode>,
    name: &[u8],
    target: &[u8],
    node: &NewNode,
) -> Result<Arc<Inode>> {
    let new = own.fs.client.symlink(own.node()?, name, target, node.uid, node.gid)?;
    made(own, dir, name, &new, Some(target.to_vec()))
}

pub(super) fn link(own: &GoferInode, name: &[u8], target: &Arc<Inode>) -> Result<()> {
    let file = GoferInode::of(target)?;
    let new = own.fs.client.link(file.node()?, own.node()?, name)?;
    {
        let mut st = own.lock();
        st.note_change(&new.dir);
        st.has(name, &new.entry);
    }
    file.refresh(new.entry.node, &new.entry.attr, Executor::now());
    // A file of `O_TMPFILE` that has its first name now.
    own.fs.rehash(target, &new.entry.attr);
    Ok(())
}

pub(super) fn remove(own: &GoferInode, name: &[u8], target: &Arc<Inode>, flags: u32) -> Result<()> {
    let gone = own.fs.client.unlink(own.node()?, name, flags)?;
    {
        let mut st = own.lock();
        st.note_change(&gone.dir);
        st.has_not(name);
    }
    match GoferInode::of(target) {
        Ok(file) if file.key() == (gone.kept.attr.dev, gone.kept.attr.ino) => file.lost_name(&gone.kept),
        // Another file had taken the name: that one is gone now.
        _ => own.fs.lost(&gone.kept),
    }
    Ok(())
}

pub(super) fn rename(
    own: &GoferInode,
    dir: &Arc<Inode>,
    name: &[u8],
    to_dir: &Arc<Inode>,
    to_name: &[u8],
    flags: u32,
) -> Result<()> {
    let to = GoferInode::of(to_dir)?;
    let exchange = flags == wire::EXCHANGE;
    if flags & !(wire::NOREPLACE | wire::EXCHANGE) != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = if exchange { flags } else { flags | wire::KEEP };
    let done = own
        .fs
        .client
        .rename((own.node()?, name), (to.node()?, to_name), flags)?;
    {
        let mut st = own.lock();
        st.note_change(&done.old_dir);
        if exchange {
            st.has(name, &done.kept);
        } else {
            st.has_not(name);
        }
    }
    {
        let mut st = to.lock();
        if Arc::ptr_eq(dir, to_dir) {
            st.note_own(&done.new_dir.after);
        } else {
            st.note_change(&done.new_dir);
        }
        st.has(to_name, &done.moved);
    }
    own.fs.moved(&done.moved);
    if exchange {
        own.fs.moved(&done.kept);
    } else if done.kept.node != 0 {
        own.fs.lost(&done.kept);
    }
    Ok(())
}

impl super::Fs {
    /// A file lost a name, whoever holds it.
    fn lost(&self, kept: &Entry) {
        match self.live(&kept.attr) {
            Some(inode) if GoferInode::of(&inode).is_ok() => {
                if let Ok(own) = GoferInode::of(&inode) {
                    own.lost_name(kept);
                }
            }
            _ => self.client.forget(kept.node),
        }
    }

    /// A file has a new place. Takes the reference to its node.
    fn moved(&self, entry: &Entry) {
        let inode = self.live(&entry.attr);
        let Some(own) = inode.as_ref().and_then(|i| GoferInode::of(i).ok()) else {
            self.client.forget(entry.node);
            return;
        };
        {
            // The move changed the times of a directory, not its entries.
            own.lock().note_own(&entry.attr);
        }
        own.refresh(entry.node, &entry.attr, Executor::now());
    }

    /// Makes an inode findable again by its number.
    fn rehash(&self, inode: &Arc<Inode>, attr: &gofer::proto::Attr) {
        self.inodes.lock().insert((attr.dev, attr.ino), Arc::downgrade(inode));
    }
}

impl State {
    /// The name was looked at just now.
    fn checked(&mut self, name: &[u8]) {
        if self.epoch != 0 {
            let epoch = self.epoch;
            if self.rechecked.len() >= MAX_RECHECKED {
                self.rechecked.clear();
            }
            self.rechecked.insert(name.into(), epoch);
        }
    }

    /// The directory has that name now.
    fn has(&mut self, name: &[u8], entry: &Entry) {
        self.changes = self.changes.wrapping_add(1);
        if let (Some(names), Some(kind)) = (&mut self.names, FileType::from_mode(entry.attr.mode)) {
            let ino = entry.attr.ino;
            names.children.insert(name.into(), Child { ino, kind, known: None });
        }
        self.checked(name);
    }

    /// The directory has that name no more.
    fn has_not(&mut self, name: &[u8]) {
        self.changes = self.changes.wrapping_add(1);
        if let Some(names) = &mut self.names {
            names.children.remove(name);
        }
        self.checked(name);
    }
}
