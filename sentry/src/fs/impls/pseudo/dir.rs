//! Directories: fixed names, and names that come and go.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::fixed;
use super::node::{Attr, LinkNode, set_attr};
use super::text::{Text, TextNode};
use crate::fs::{
    DirSink, File, FileOps, FileType, Inode, InodeOps, Link, NewNode, OpenHow, SeekFrom, SetAttr, Stat, SuperBlock,
};
use crate::task::Task;

/// A name that comes and goes.
pub struct Entry {
    /// Orders the names and stays the same as long as the name exists: the position in the directory.
    pub key: u64,
    /// The name.
    pub name: Vec<u8>,
    /// Its inode number.
    pub ino: u64,
    /// Its type.
    pub kind: FileType,
}

/// The part of a directory that comes and goes.
pub trait Dynamic: Any + Send + Sync + 'static {
    /// The child of that name: `ENOENT` if there is none.
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>>;

    /// All names with a key from `from` on, by key.
    fn list(&self, dir: &Inode, from: u64) -> Result<Vec<Entry>>;

    /// A cached name still means that.
    fn is_valid(&self, name: &[u8], child: &Inode) -> bool;

    /// Attributes, where they change.
    fn attr(&self) -> Option<Attr> {
        None
    }

    /// Access beyond the mode bits.
    fn permission(&self, task: &Arc<Task>, want: u32) -> Option<Result<()>> {
        let _ = (task, want);
        None
    }

    /// How many of the names are directories, where that matters.
    fn directories(&self) -> usize {
        0
    }

    /// Other attributes. The default refuses.
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        set_attr(attr)
    }

    /// `mkdir(2)`. On Linux the look-up of a missing name in proc fails already, before anything is asked to be made.
    fn make_dir(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        let _ = (dir, name, node);
        Err(Errno::ENOENT)
    }

    /// Why no other file can be made.
    fn no_files(&self) -> Errno {
        Errno::ENOENT
    }

    /// `rmdir(2)`
    fn remove_dir(&self, name: &[u8]) -> Result<()> {
        let _ = name;
        Err(Errno::EPERM)
    }
}

/// Positions of names that come and go start here.
const DYNAMIC: u64 = 1 << 20;

/// A directory.
pub struct Dir {
    attr: Attr,
    names: Vec<(Vec<u8>, Arc<Inode>)>,
    index: HashMap<Vec<u8>, usize>,
    dynamic: Option<Box<dyn Dynamic>>,
}

/// Gathers the fixed names of a directory.
pub struct DirBuilder<'a> {
    sb: &'a Arc<SuperBlock>,
    attr: Attr,
    names: Vec<(Vec<u8>, Arc<Inode>)>,
    dynamic: Option<Box<dyn Dynamic>>,
}

impl<'a> DirBuilder<'a> {
    /// An empty directory with mode 0555.
    pub fn new(sb: &'a Arc<SuperBlock>) -> DirBuilder<'a> {
        DirBuilder {
            sb,
            attr: Attr::root(0o555),
            names: Vec::new(),
            dynamic: None,
        }
    }

    /// Sets mode and owner.
    pub fn attr(&mut self, attr: Attr) -> &mut Self {
        self.attr = attr;
        self
    }

    /// Adds an inode.
    pub fn add(&mut self, name: impl Into<Vec<u8>>, inode: Arc<Inode>) -> &mut Self {
        self.names.push((name.into(), inode));
        self
    }

    /// Adds a file.
    pub fn file(&mut self, name: impl Into<Vec<u8>>, mode: u32, text: impl Text) -> &mut Self {
        let node = TextNode::new(Attr::root(mode), text);
        let inode = fixed(self.sb, FileType::Regular, node);
        self.add(name, inode)
    }

    /// Adds a readable file made by a closure.
    pub fn text(&mut self, name: &str, make: impl Fn() -> Result<String> + Send + Sync + 'static) -> &mut Self {
        self.file(name, 0o444, move || make().map(String::into_bytes))
    }

    /// Adds a link to a fixed place.
    pub fn link(&mut self, name: &str, target: &'static str) -> &mut Self {
        let inode = fixed(self.sb, FileType::Symlink, LinkNode::text(target));
        self.add(name, inode)
    }

    /// Adds a link whose target depends on the task.
    pub fn link_for(
        &mut self,
        name: &str,
        leads: impl Fn(&Arc<Task>) -> Result<Link> + Send + Sync + 'static,
    ) -> &mut Self {
        let inode = fixed(self.sb, FileType::Symlink, LinkNode::new(Attr::root(0o777), leads));
        self.add(name, inode)
    }

    /// Adds a directory.
    pub fn dir(&mut self, name: impl Into<Vec<u8>>, fill: impl FnOnce(&mut DirBuilder<'a>)) -> &mut Self {
        let mut inner = DirBuilder::new(self.sb);
        fill(&mut inner);
        let inode = inner.build();
        self.add(name, inode)
    }

    /// Adds names that come and go.
    pub fn dynamic(&mut self, dynamic: impl Dynamic) -> &mut Self {
        self.dynamic = Some(Box::new(dynamic));
        self
    }

    /// The contents as an inode's operations.
    pub fn into_ops(self) -> Box<Dir> {
        let index = self
            .names
            .iter()
            .enumerate()
            .map(|(i, (n, _))| (n.clone(), i))
            .collect();
        Box::new(Dir {
            attr: self.attr,
            names: self.names,
            index,
            dynamic: self.dynamic,
        })
    }

    /// The directory.
    pub fn build(self) -> Arc<Inode> {
        let sb = self.sb;
        fixed(sb, FileType::Directory, self.into_ops())
    }
}

impl Dir {
    /// What lists its names, if that is of this kind.
    pub fn dynamic<T: Dynamic>(&self) -> Option<&T> {
        let dynamic: &dyn Any = self.dynamic.as_deref()?;
        dynamic.downcast_ref()
    }

    fn attr(&self) -> Attr {
        self.dynamic.as_ref().and_then(|d| d.attr()).unwrap_or(self.attr)
    }
}

impl InodeOps for Dir {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let further = self.dynamic.as_ref().map_or(0, |d| d.directories());
        let dirs = self
            .names
            .iter()
            .filter(|(_, i)| i.is_dir())
            .count()
            .saturating_add(further);
        let nlink = u32::try_from(dirs).unwrap_or(0).saturating_add(2);
        Ok(self.attr().stat(inode, nlink, 0))
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        match &self.dynamic {
            Some(dynamic) => dynamic.set_attr(attr),
            None => set_attr(attr),
        }
    }

    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        if let Some((_, inode)) = self.index.get(name).and_then(|&i| self.names.get(i)) {
            return Ok(inode.clone());
        }
        match &self.dynamic {
            Some(dynamic) => dynamic.lookup(dir, name),
            None => Err(Errno::ENOENT),
        }
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        match &self.dynamic {
            Some(dynamic) if FileType::from_mode(node.mode) == Some(FileType::Directory) => {
                dynamic.make_dir(dir, name, node)
            }
            Some(dynamic) => Err(dynamic.no_files()),
            None => Err(Errno::ENOENT),
        }
    }

    fn rmdir(&self, _dir: &Arc<Inode>, name: &[u8], _target: &Arc<Inode>) -> Result<()> {
        match &self.dynamic {
            Some(dynamic) => dynamic.remove_dir(name),
            None => Err(Errno::EPERM),
        }
    }

    fn permission(&self, _inode: &Inode, task: &Arc<Task>, want: u32) -> Option<Result<()>> {
        self.dynamic.as_ref().and_then(|d| d.permission(task, want))
    }

    fn revalidate(&self, _dir: &Arc<Inode>, name: &[u8], child: Option<&Arc<Inode>>) -> bool {
        if self.index.contains_key(name) {
            return true;
        }
        match (&self.dynamic, child) {
            (None, _) => true,
            (Some(dynamic), Some(child)) => dynamic.is_valid(name, child),
            (Some(_), None) => false,
        }
    }

    fn open(&self, _inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirFile))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
struct DirFile;

impl FileOps for DirFile {
    fn read(&self, _file: &File, _dst: &mut dyn crate::fs::Sink, _pos: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn readdir(&self, file: &File, pos: u64, out: &mut dyn DirSink) -> Result<u64> {
        let inode = file.inode();
        let dir = inode.downcast::<Dir>().ok_or(Errno::ENOTDIR)?;
        let mut at = pos;
        if at == 0 {
            if !out.entry(b".", inode.ino, FileType::Directory, 1) {
                return Ok(at);
            }
            at = 1;
        }
        if at == 1 {
            let up = file.path.dentry.parent().map_or(inode.ino, |p| p.inode().ino);
            if !out.entry(b"..", up, FileType::Directory, 2) {
                return Ok(at);
            }
            at = 2;
        }
        while at < DYNAMIC {
            let i = usize::try_from(at - 2).unwrap_or(usize::MAX);
            let Some((name, child)) = dir.names.get(i) else { break };
            if !out.entry(name, child.ino, child.kind, at + 1) {
                return Ok(at);
            }
            at += 1;
        }
        let Some(dynamic) = &dir.dynamic else { return Ok(at) };
        for entry in dynamic.list(inode, at.saturating_sub(DYNAMIC))? {
            let next = entry.key.saturating_add(DYNAMIC + 1);
            if !out.entry(&entry.name, entry.ino, entry.kind, next) {
                return Ok(at);
            }
            at = next;
        }
        Ok(at)
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        to.in_sequence(pos)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
