//! Directories of groups.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::super::pseudo::{Attr, Dir, DirBuilder, Dynamic, Entry, Text, TextNode, live};
use super::file::{At, Def, has_file};
use crate::cgroup::{Group, Hierarchy};
use crate::fs::{FileType, Inode, NewNode, SetAttr, SuperBlock};
use crate::kernel::Kernel;
use crate::task::{Cgroup, Task, current};

/// A mounted hierarchy.
pub struct View {
    pub kernel: Arc<Kernel>,
    pub container: Arc<Cgroup>,
    pub hierarchy: Arc<Hierarchy>,
    pub files: Arc<Vec<Def>>,
}

/// Inode numbers: those of a group's files follow the group's own.
const PER_GROUP: u64 = 256;

fn number(group: &Group, file: usize) -> u64 {
    let within = abi::conv::usize64(file).min(PER_GROUP - 1);
    group.id.saturating_mul(PER_GROUP).saturating_add(within)
}

/// The directory of a group.
pub fn inode(sb: &Arc<SuperBlock>, view: &Arc<View>, group: Arc<Group>) -> Arc<Inode> {
    let ino = number(&group, 0);
    live(sb, ino, FileType::Directory, || {
        let mut builder = DirBuilder::new(sb);
        builder.dynamic(GroupDir {
            view: view.clone(),
            group,
        });
        builder.into_ops()
    })
}

/// The mounted hierarchy and the group that a directory stands for; none for anything else.
pub fn of(inode: &Inode) -> Option<(&View, &Arc<Group>)> {
    let dir: &GroupDir = inode.downcast::<Dir>()?.dynamic()?;
    Some((&dir.view, &dir.group))
}

struct GroupDir {
    view: Arc<View>,
    group: Arc<Group>,
}

impl GroupDir {
    fn file(&self, dir: &Arc<Inode>, index: usize) -> Arc<Inode> {
        let file = ControlFile {
            view: self.view.clone(),
            group: self.group.clone(),
            index,
        };
        let ino = number(&self.group, index.saturating_add(1));
        live(&dir.sb, ino, FileType::Regular, || TextNode::new(Attr::default(), file))
    }

    fn index(&self, name: &[u8]) -> Option<usize> {
        let files = &self.view.files;
        let index = files.iter().position(|def| def.name.as_bytes() == name)?;
        files.get(index).filter(|def| self.has(def)).map(|_| index)
    }

    fn has(&self, def: &Def) -> bool {
        has_file(&self.view.hierarchy, &self.group, &def.name)
    }
}

impl Dynamic for GroupDir {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        if self.group.is_removed() {
            return Err(Errno::ENOENT);
        }
        if let Some(index) = self.index(name) {
            return Ok(self.file(dir, index));
        }
        let child = self.group.child(name).ok_or(Errno::ENOENT)?;
        Ok(inode(&dir.sb, &self.view, child))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        if self.group.is_removed() {
            return Ok(Vec::new());
        }
        let files = self.view.files.iter().enumerate().filter(|(_, def)| self.has(def));
        let files = files.map(|(index, def)| Entry {
            key: abi::conv::usize64(index),
            name: def.name.as_bytes().to_vec(),
            ino: number(&self.group, index.saturating_add(1)),
            kind: FileType::Regular,
        });
        let mut children = self.group.children();
        children.sort_by_key(|child| child.id);
        let children = children.into_iter().map(|child| Entry {
            key: child.id,
            name: child.name.clone(),
            ino: number(&child, 0),
            kind: FileType::Directory,
        });
        Ok(files.chain(children).filter(|entry| entry.key >= from).collect())
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        let now = match self.index(name) {
            _ if self.group.is_removed() => None,
            Some(index) => Some(number(&self.group, index.saturating_add(1))),
            None => self.group.child(name).map(|child| number(&child, 0)),
        };
        now == Some(child.ino)
    }

    fn attr(&self) -> Option<Attr> {
        let kept = self.group.attrs.lock().get(&None).copied();
        Some(kept.unwrap_or(self.group.maker))
    }

    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        change(&self.group, None, self.attr().unwrap_or_default(), attr);
        Ok(())
    }

    fn directories(&self) -> usize {
        self.group.children().len()
    }

    fn make_dir(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>> {
        if self.group.is_removed() {
            return Err(Errno::ENODEV);
        }
        // It would be no line of `/proc/PID/cgroup`.
        if name.contains(&b'\n') {
            return Err(Errno::EINVAL);
        }
        if self.index(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let view = &self.view;
        if view.hierarchy.is_v2() && !super::v2::has_room(&self.group) {
            return Err(Errno::EAGAIN);
        }
        let maker = Attr {
            mode: node.mode & 0o7777,
            uid: node.uid,
            gid: node.gid,
        };
        let child = view
            .container
            .hierarchies
            .add_group(&view.kernel, &self.group, name, maker)?;
        super::v1::inherit(&self.group, &child);
        Ok(inode(&dir.sb, view, child))
    }

    fn no_files(&self) -> Errno {
        Errno::EACCES
    }

    fn remove_dir(&self, name: &[u8]) -> Result<()> {
        let child = self.group.child(name).ok_or(Errno::ENOENT)?;
        let view = &self.view;
        view.kernel.tasks.remove_group(&view.container, &view.hierarchy, &child)
    }
}

/// An owner or a mode that was changed stays as long as the group.
fn change(group: &Group, file: Option<String>, now: Attr, to: &SetAttr) {
    if to.mode.is_none() && to.uid.is_none() && to.gid.is_none() {
        return;
    }
    let changed = Attr {
        mode: to.mode.map_or(now.mode, |mode| mode & 0o7777),
        uid: to.uid.unwrap_or(now.uid),
        gid: to.gid.unwrap_or(now.gid),
    };
    group.attrs.lock().insert(file, changed);
}

/// Of a file: what it was made with, or changed to.
pub fn attr(group: &Group, def: &Def) -> Attr {
    let kept = group.attrs.lock().get(&Some(def.name.to_string())).copied();
    kept.unwrap_or(Attr {
        mode: def.mode(),
        ..group.maker
    })
}

/// A file of a group.
struct ControlFile {
    view: Arc<View>,
    group: Arc<Group>,
    index: usize,
}

impl ControlFile {
    fn with<T>(&self, what: impl FnOnce(&Def, &At<'_>) -> Result<T>) -> Result<T> {
        let def = self.view.files.get(self.index).ok_or(Errno::ENOENT)?;
        let by: Option<Arc<Task>> = current();
        let at = At {
            kernel: &self.view.kernel,
            container: &self.view.container,
            hierarchy: &self.view.hierarchy,
            group: &self.group,
            name: &def.name,
            by: by.as_ref(),
        };
        if !at.is_there() {
            return Err(Errno::ENODEV);
        }
        what(def, &at)
    }
}

impl Text for ControlFile {
    fn read(&self) -> Result<Vec<u8>> {
        self.with(|def, at| def.read(at).map(String::into_bytes))
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        self.with(|def, at| def.write(at, text.trim()))?;
        Ok(data.len())
    }

    fn attr(&self) -> Option<Attr> {
        let def = self.view.files.get(self.index)?;
        Some(attr(&self.group, def))
    }

    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        let def = self.view.files.get(self.index).ok_or(Errno::ENOENT)?;
        change(
            &self.group,
            Some(def.name.to_string()),
            self.attr().unwrap_or_default(),
            attr,
        );
        Ok(())
    }
}
