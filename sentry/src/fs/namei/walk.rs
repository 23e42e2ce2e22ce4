//! The walk itself.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use smallvec::SmallVec;

use super::{AT_FDCWD, Lookup, Path};
use crate::cred::Cred;
use crate::fs::atime;
use crate::fs::dentry::{Child, Dentry};
use crate::fs::inode::Link;
use crate::fs::mount::MountFlags;
use crate::fs::perm::{self, MAY_EXEC};
use crate::fs::stat::FileType;
use crate::task::Task;

/// Most symbolic links on one walk.
const MAX_LINKS: u32 = 40;
/// Most names that a file system is asked for at once.
const MAX_AHEAD: usize = 16;
/// Longest name.
const NAME_MAX: usize = 255;
/// Longest path, with its NUL.
const PATH_MAX: usize = 4096;

/// What the last component of a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name.
    Norm(Vec<u8>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: the path is `/` or only slashes.
    Root,
}

/// A directory and a name in it that may or may not exist.
#[derive(Clone)]
pub struct Parent {
    /// The directory.
    pub dir: Path,
    /// The name.
    pub last: Last,
    /// Slashes follow: it must be a directory.
    pub slash: bool,
}

/// State of one walk.
pub struct Walker<'a> {
    task: Option<&'a Arc<Task>>,
    cred: Arc<Cred>,
    root: Path,
    at: Path,
    /// Where `RESOLVE_BENEATH` and `RESOLVE_IN_ROOT` end.
    scope: Option<Path>,
    flags: Lookup,
    links: u32,
    /// Came here by a magic link as the last step: the place counts as it is.
    jumped: bool,
}

impl<'a> Walker<'a> {
    /// As this task sees names; call [`Walker::start`] next.
    pub fn new(task: &'a Arc<Task>, flags: Lookup) -> Walker<'a> {
        let root = task.fs().root();
        Walker {
            task: Some(task),
            cred: task.cred(),
            at: root.clone(),
            root,
            scope: None,
            flags,
            links: 0,
            jumped: false,
        }
    }

    /// Without a task, from a given root: while a container is built.
    pub fn with_root(root: &Path, cred: Arc<Cred>, flags: Lookup) -> Walker<'static> {
        Walker {
            task: None,
            cred,
            root: root.clone(),
            at: root.clone(),
            scope: None,
            flags,
            links: 0,
            jumped: false,
        }
    }

    /// Goes to where the path starts.
    pub fn start(mut self, dirfd: i32, path: &[u8]) -> Result<Walker<'a>> {
        if path.is_empty() && !self.flags.contains(Lookup::EMPTY) {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let scoped = self.flags.intersects(Lookup::BENEATH | Lookup::IN_ROOT);
        if path.first() == Some(&b'/') && !self.flags.contains(Lookup::IN_ROOT) {
            if self.flags.contains(Lookup::BENEATH) {
                return Err(Errno::EXDEV);
            }
            return Ok(self);
        }
        if let Some(task) = self.task {
            if dirfd == AT_FDCWD {
                self.at = task.fs().cwd();
            } else {
                let file = task.files().get_any(dirfd)?;
                if !path.is_empty() && !file.inode().is_dir() {
                    return Err(Errno::ENOTDIR);
                }
                self.at = file.path.clone();
            }
        }
        if scoped {
            self.scope = Some(self.at.clone());
        }
        Ok(self)
    }

    /// With other credentials than the task's (`access(2)`).
    pub fn with_cred(mut self, cred: Arc<Cred>) -> Walker<'a> {
        self.cred = cred;
        self
    }

    /// The credentials that the walk is made with.
    pub fn cred(&self) -> &Arc<Cred> {
        &self.cred
    }

    /// Walks to the end.
    pub fn finish(mut self, path: &[u8]) -> Result<Path> {
        let mut rest = path.to_vec();
        loop {
            let (last, slash) = self.walk_parent(&mut rest)?;
            if slash {
                self.flags |= Lookup::FOLLOW | Lookup::DIRECTORY;
            }
            if let Some(text) = self.step(&last, self.flags.contains(Lookup::FOLLOW), slash)? {
                rest = text;
                continue;
            }
            if self.flags.contains(Lookup::DIRECTORY) && !self.at.inode().is_dir() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(self.at);
        }
    }

    /// Walks to the directory of the last component.
    pub fn parent(mut self, path: &[u8]) -> Result<Parent> {
        let mut rest = path.to_vec();
        let (last, slash) = self.walk_parent(&mut rest)?;
        Ok(Parent {
            dir: self.at,
            last,
            slash,
        })
    }

    /// Walks to the directory of the last component and stays usable: [`Walker::step`] takes the last step.
    pub fn to_parent(&mut self, path: &[u8]) -> Result<(Last, bool)> {
        let mut rest = path.to_vec();
        self.walk_parent(&mut rest)
    }

    /// Where the walk is.
    pub fn place(&self) -> &Path {
        &self.at
    }

    /// Requires that the end is a directory.
    pub fn require_dir(&mut self) {
        self.flags |= Lookup::DIRECTORY | Lookup::FOLLOW;
    }

    /// What was required so far.
    pub fn flags(&self) -> Lookup {
        self.flags
    }

    /// Walks all but the last component of `rest`; gives that.
    fn walk_parent(&mut self, rest: &mut Vec<u8>) -> Result<(Last, bool)> {
        let mut pos = 0;
        if rest.first() == Some(&b'/') {
            self.to_root()?;
        }
        loop {
            pos += rest.iter().skip(pos).take_while(|&&b| b == b'/').count();
            let tail = rest.get(pos..).unwrap_or_default();
            if tail.is_empty() {
                return Ok((Last::Root, false));
            }
            let len = tail.iter().position(|&b| b == b'/').unwrap_or(tail.len());
            let (name, after) = tail.split_at(len);
            let end = after.iter().all(|&b| b == b'/');
            let last = classify(name);
            if end {
                self.may_search()?;
                return Ok((last, !after.is_empty()));
            }
            self.may_search()?;
            let text = match &last {
                Last::Norm(_) => self.advance(&last, true, &upcoming(tail))?,
                _ => self.advance(&last, true, &[])?,
            };
            match text {
                Some(mut text) => {
                    text.extend_from_slice(after);
                    *rest = text;
                    pos = 0;
                    if rest.first() == Some(&b'/') {
                        self.to_root()?;
                    }
                }
                None => pos += len,
            }
        }
    }

    fn may_search(&self) -> Result<()> {
        let inode = self.at.inode();
        if !inode.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        perm::inode(self.task, &self.cred, inode, MAY_EXEC)
    }

    /// To the root that an absolute path or link starts from.
    fn to_root(&mut self) -> Result<()> {
        if self.flags.contains(Lookup::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let root = match &self.scope {
            Some(scope) if self.flags.contains(Lookup::IN_ROOT) => scope.clone(),
            _ => self.root.clone(),
        };
        if self.flags.contains(Lookup::NO_XDEV) && !Arc::ptr_eq(&root.mnt, &self.at.mnt) {
            return Err(Errno::EXDEV);
        }
        self.at = root;
        Ok(())
    }

    /// Takes one step. A symbolic link that is followed gives its text, to be walked from where we are.
    pub fn step(&mut self, last: &Last, follow: bool, slash: bool) -> Result<Option<Vec<u8>>> {
        let mut text = self.advance(last, follow, &[])?;
        if slash && let Some(text) = &mut text {
            text.push(b'/');
        }
        Ok(text)
    }

    fn advance(&mut self, last: &Last, follow: bool, ahead: &[&[u8]]) -> Result<Option<Vec<u8>>> {
        self.jumped = false;
        match last {
            Last::Dot | Last::Root => Ok(None),
            Last::DotDot => self.dot_dot().map(|()| None),
            Last::Norm(name) => {
                let child = self.child(name, ahead)?;
                self.enter(child, follow)
            }
        }
    }

    /// The dentry of a name in the directory where we are; `ENOENT` if it does not exist.
    pub fn child(&self, name: &[u8], ahead: &[&[u8]]) -> Result<Arc<Dentry>> {
        match child(&self.at.dentry, name, ahead, self.flags.contains(Lookup::CACHED))? {
            Child::Positive(dentry) => Ok(dentry),
            Child::Negative => Err(Errno::ENOENT),
        }
    }

    /// Goes on to a child of where we are: into what is mounted there, or along a link.
    pub fn enter(&mut self, dentry: Arc<Dentry>, follow: bool) -> Result<Option<Vec<u8>>> {
        let mut next = Path {
            mnt: self.at.mnt.clone(),
            dentry,
        };
        self.cross(&mut next)?;
        if follow && next.inode().kind == FileType::Symlink {
            return self.follow(&next);
        }
        self.at = next;
        Ok(None)
    }

    /// Into what is mounted at `path`.
    fn cross(&self, path: &mut Path) -> Result<()> {
        while path.dentry.is_mountpoint() {
            let Some(over) = path.mnt.child_at(&path.dentry) else {
                break;
            };
            if self.flags.contains(Lookup::NO_XDEV) {
                return Err(Errno::EXDEV);
            }
            *path = over.root_path();
        }
        Ok(())
    }

    fn follow(&mut self, link: &Path) -> Result<Option<Vec<u8>>> {
        self.links += 1;
        if self.links > MAX_LINKS
            || self.flags.contains(Lookup::NO_SYMLINKS)
            || link.mnt.flags().contains(MountFlags::NOSYMFOLLOW)
        {
            return Err(Errno::ELOOP);
        }
        match atime::readlink(link, self.task)? {
            Link::Path(text) if text.is_empty() => Err(Errno::ENOENT),
            Link::Path(text) if text.len() >= PATH_MAX => Err(Errno::ENAMETOOLONG),
            Link::Path(text) => Ok(Some(text)),
            Link::Jump(path) => {
                if self.flags.contains(Lookup::NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                if self.flags.intersects(Lookup::BENEATH | Lookup::IN_ROOT)
                    || (self.flags.contains(Lookup::NO_XDEV) && !Arc::ptr_eq(&path.mnt, &self.at.mnt))
                {
                    return Err(Errno::EXDEV);
                }
                self.at = path;
                self.jumped = true;
                Ok(None)
            }
        }
    }

    fn dot_dot(&mut self) -> Result<()> {
        loop {
            if self.at.is_same(&self.root) {
                break;
            }
            if let Some(scope) = &self.scope
                && self.at.is_same(scope)
            {
                if self.flags.contains(Lookup::BENEATH) {
                    return Err(Errno::EXDEV);
                }
                break;
            }
            if self.at.is_mount_root() {
                let Some(place) = self.at.mnt.mounted_on() else { break };
                if self.flags.contains(Lookup::NO_XDEV) {
                    return Err(Errno::EXDEV);
                }
                self.at = place;
                continue;
            }
            if let Some(dentry) = self.at.dentry.parent() {
                self.at.dentry = dentry;
            }
            break;
        }
        let mut at = self.at.clone();
        self.cross(&mut at)?;
        self.at = at;
        Ok(())
    }
}

fn classify(name: &[u8]) -> Last {
    match name {
        b"." => Last::Dot,
        b".." => Last::DotDot,
        _ => Last::Norm(name.to_vec()),
    }
}

/// The plain names at the start of a path.
fn upcoming(path: &[u8]) -> SmallVec<[&[u8]; MAX_AHEAD]> {
    path.split(|&b| b == b'/')
        .filter(|n| !n.is_empty() && *n != b".")
        .take_while(|n| *n != b".." && n.len() <= NAME_MAX)
        .take(MAX_AHEAD)
        .collect()
}

/// What a name in a directory stands for, from the cache or from the file system. `ahead` are the names to come, this one
/// first.
pub(in crate::fs) fn child(dir: &Arc<Dentry>, name: &[u8], ahead: &[&[u8]], cached_only: bool) -> Result<Child> {
    if let Some(known) = valid(dir, name) {
        return Ok(known);
    }
    if cached_only {
        return Err(Errno::EAGAIN);
    }
    let _lock = dir.lock_dir();
    ask(dir, name, ahead)
}

/// Likewise for one name, with the directory locked by the caller.
pub(in crate::fs) fn child_locked(dir: &Arc<Dentry>, name: &[u8]) -> Result<Child> {
    ask(dir, name, &[])
}

fn ask(dir: &Arc<Dentry>, name: &[u8], ahead: &[&[u8]]) -> Result<Child> {
    if let Some(known) = valid(dir, name) {
        return Ok(known);
    }
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if dir.is_unlinked() {
        return Ok(Child::Negative);
    }
    let one = [name];
    let names = if ahead.len() > 1 { ahead } else { &one };
    let (found, error) = dir.inode().ops.lookup_path(dir.inode(), names);
    if found.is_empty() && error.is_none() {
        return Err(Errno::EIO);
    }
    let count = found.len();
    let mut at = dir.clone();
    let mut first = None;
    for (inode, name) in found.into_iter().zip(names) {
        at = at.insert(name, inode);
        first.get_or_insert_with(|| at.clone());
    }
    match (error, names.get(count)) {
        (Some(Errno::ENOENT), Some(missing)) => at.insert_negative(missing),
        (Some(e), _) if count == 0 => return Err(e),
        _ => {}
    }
    Ok(first.map_or(Child::Negative, Child::Positive))
}

/// What the cache knows, if the file system stands by it.
fn valid(dir: &Arc<Dentry>, name: &[u8]) -> Option<Child> {
    let known = dir.cached(name)?;
    let inode = match &known {
        Child::Positive(dentry) => Some(dentry.inode()),
        Child::Negative => None,
    };
    if dir.inode().ops.revalidate(dir.inode(), name, inode) {
        return Some(known);
    }
    dir.forget_child(name);
    None
}
