//! The table of nodes: what each handle names, and which of them hold a host descriptor at the moment.
//!
//! A node is a name in a directory (like Linux's dentry) with the identity of the file it was found to be. Its descriptor is a
//! cache: the table keeps at most `fd_budget` of them and reopens the others by parent and name, checking the identity. Only
//! roots and files that lost their name keep theirs for good.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;

use crate::proto::Attr;

/// Which file a node was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ident {
    pub dev: u64,
    pub ino: u64,
    /// `S_IFMT` bits.
    pub kind: u32,
    /// Index of the mount it belongs to.
    pub mount: u32,
}

impl Ident {
    pub const fn of(attr: &Attr, mount: u32) -> Self {
        Self {
            dev: attr.dev,
            ino: attr.ino,
            kind: attr.file_type(),
            mount,
        }
    }
}

/// A node whose descriptor is at hand.
#[derive(Clone)]
pub struct Handle {
    pub id: u64,
    pub fd: Arc<OwnedFd>,
    pub ident: Ident,
}

/// One step of reopening a node.
pub struct Step {
    pub id: u64,
    pub name: Box<[u8]>,
    pub ident: Ident,
}

/// The answer of [`Table::find`].
pub enum Found {
    Here(Handle),
    /// The nearest ancestor with a descriptor, and the steps down from it.
    Reopen(Handle, Vec<Step>),
}

struct Node {
    ident: Ident,
    parent: Option<u64>,
    name: Box<[u8]>,
    children: BTreeMap<Box<[u8]>, u64>,
    fd: Option<Arc<OwnedFd>>,
    /// References held by the client.
    refs: u64,
    /// Used since the clock hand last passed.
    recent: bool,
    /// The descriptor is the only way to this file: never evicted.
    pinned: bool,
}

struct Slot {
    generation: u32,
    node: Option<Node>,
}

/// The longest chain of parents that is reopened or searched.
const MAX_CHAIN: usize = 4096;

/// All nodes of one server.
pub struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    max_nodes: usize,
    /// Nodes that may hold a descriptor, in the order of the clock. May hold ids of nodes that are gone.
    clock: VecDeque<u64>,
    open_fds: usize,
    fd_budget: usize,
}

fn id_of(generation: u32, index: u32) -> u64 {
    (u64::from(generation) << 32) | u64::from(index)
}

fn index_of(id: u64) -> usize {
    abi::conv::size(u64::from(abi::conv::low32(id)))
}

impl Table {
    pub fn new(max_nodes: usize, fd_budget: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            max_nodes: max_nodes.min(u32::MAX as usize - 1),
            clock: VecDeque::new(),
            open_fds: 0,
            fd_budget: fd_budget.max(1),
        }
    }

    /// The number of live nodes, and of descriptors they hold.
    #[cfg(test)]
    pub fn usage(&self) -> (usize, usize) {
        (self.slots.len() - self.free.len(), self.open_fds)
    }

    fn node(&self, id: u64) -> Option<&Node> {
        let slot = self.slots.get(index_of(id))?;
        if u64::from(slot.generation) == id >> 32 {
            slot.node.as_ref()
        } else {
            None
        }
    }

    fn node_mut(&mut self, id: u64) -> Option<&mut Node> {
        let slot = self.slots.get_mut(index_of(id))?;
        if u64::from(slot.generation) == id >> 32 {
            slot.node.as_mut()
        } else {
            None
        }
    }

    /// Finds a node: its descriptor, or how to reopen it.
    pub fn find(&mut self, id: u64) -> Result<Found, Errno> {
        let mut steps = Vec::new();
        let mut at = id;
        loop {
            let node = self
                .node_mut(at)
                .ok_or(if at == id { Errno::EBADF } else { Errno::ESTALE })?;
            if let Some(fd) = &node.fd {
                node.recent = true;
                let base = Handle {
                    id: at,
                    fd: Arc::clone(fd),
                    ident: node.ident,
                };
                steps.reverse();
                return Ok(if steps.is_empty() {
                    Found::Here(base)
                } else {
                    Found::Reopen(base, steps)
                });
            }
            let parent = node.parent.ok_or(Errno::ESTALE)?;
            if steps.len() >= MAX_CHAIN {
                return Err(Errno::ELOOP);
            }
            steps.push(Step {
                id: at,
                name: node.name.clone(),
                ident: node.ident,
            });
            at = parent;
        }
    }

    /// The child of that name, if it is known, and what it was found to be.
    pub fn child(&self, parent: u64, name: &[u8]) -> Option<(u64, Ident)> {
        let id = *self.node(parent)?.children.get(name)?;
        Some((id, self.node(id)?.ident))
    }

    /// Gives a node a descriptor. When it has one already, that one stays.
    pub fn install(&mut self, id: u64, fd: OwnedFd) -> Result<Handle, Errno> {
        let node = self.node_mut(id).ok_or(Errno::EBADF)?;
        node.recent = true;
        if let Some(have) = &node.fd {
            return Ok(Handle {
                id,
                fd: Arc::clone(have),
                ident: node.ident,
            });
        }
        let fd = Arc::new(fd);
        node.fd = Some(Arc::clone(&fd));
        let handle = Handle {
            id,
            fd,
            ident: node.ident,
        };
        self.open_fds += 1;
        self.clock.push_back(id);
        self.evict();
        Ok(handle)
    }

    /// Closes descriptors until the budget holds, the least recently used first.
    fn evict(&mut self) {
        // Twice around the clock clears every `recent` mark and meets every candidate.
        let mut tries = self.clock.len().saturating_mul(2);
        while self.open_fds > self.fd_budget && tries > 0 {
            tries -= 1;
            let Some(id) = self.clock.pop_front() else { return };
            let Some(node) = self.node_mut(id) else { continue };
            if node.fd.is_none() || node.pinned {
                continue;
            }
            if node.recent {
                node.recent = false;
                self.clock.push_back(id);
                continue;
            }
            node.fd = None;
            self.open_fds -= 1;
        }
        if self.clock.len() > 2 * self.open_fds + 1024 {
            let clock = core::mem::take(&mut self.clock);
            self.clock = clock
                .into_iter()
                .filter(|&id| self.node(id).is_some_and(|n| n.fd.is_some()))
                .collect();
        }
    }

    fn insert(&mut self, node: Node) -> Result<u64, Errno> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                if self.slots.len() >= self.max_nodes {
                    return Err(Errno::ENFILE);
                }
                self.slots.push(Slot {
                    generation: 0,
                    node: None,
                });
                u32::try_from(self.slots.len() - 1).map_err(|_| Errno::ENFILE)?
            }
        };
        let slot = self.slots.get_mut(index as usize).ok_or(Errno::ENFILE)?;
        // Never 0, so that no id is 0.
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.node = Some(node);
        Ok(id_of(slot.generation, index))
    }

    /// Takes a reference to the child `name` of `parent`, which was just found to be `ident`. A node for another file that
    /// had this name before loses it.
    pub fn enter(&mut self, parent: u64, name: &[u8], ident: Ident) -> Result<u64, Errno> {
        match self.child(parent, name) {
            Some((id, known)) if known == ident => {
                if let Some(node) = self.node_mut(id) {
                    node.refs = node.refs.saturating_add(1);
                }
                return Ok(id);
            }
            Some((id, _)) => self.detach(id),
            None => {}
        }
        if self.node(parent).is_none() {
            return Err(Errno::EBADF);
        }
        let id = self.insert(Node {
            ident,
            parent: Some(parent),
            name: name.into(),
            children: BTreeMap::new(),
            fd: None,
            refs: 1,
            recent: false,
            pinned: false,
        })?;
        if let Some(parent) = self.node_mut(parent) {
            parent.children.insert(name.into(), id);
        }
        Ok(id)
    }

    /// Enters a file without a name: a root, or one made by `O_TMPFILE`.
    pub fn enter_nameless(&mut self, ident: Ident, fd: Arc<OwnedFd>) -> Result<u64, Errno> {
        let id = self.insert(Node {
            ident,
            parent: None,
            name: Box::default(),
            children: BTreeMap::new(),
            fd: Some(fd),
            refs: 1,
            recent: true,
            pinned: true,
        })?;
        self.open_fds += 1;
        Ok(id)
    }

    /// Takes one more reference to a node.
    pub fn retain(&mut self, id: u64) -> Result<(), Errno> {
        let node = self.node_mut(id).ok_or(Errno::EBADF)?;
        node.refs = node.refs.saturating_add(1);
        Ok(())
    }

    /// Gives a reference back.
    pub fn forget(&mut self, id: u64) {
        if let Some(node) = self.node_mut(id) {
            node.refs = node.refs.saturating_sub(1);
            self.reap(id);
        }
    }

    /// Frees a node that nobody needs, and then the parents that were only kept for it.
    fn reap(&mut self, id: u64) {
        let mut at = Some(id);
        while let Some(id) = at {
            match self.node(id) {
                Some(node) if node.refs == 0 && node.children.is_empty() => {}
                _ => return,
            }
            let Some(slot) = self.slots.get_mut(index_of(id)) else {
                return;
            };
            let Some(node) = slot.node.take() else { return };
            if node.fd.is_some() {
                self.open_fds -= 1;
            }
            self.free.push(abi::conv::low32(id));
            if let Some(parent) = node.parent.and_then(|p| self.node_mut(p)) {
                parent.children.remove(&node.name);
            }
            at = node.parent;
        }
    }

    /// Takes the name from a node: its file was removed or replaced. Its descriptor, if any, is the last way to it.
    fn detach(&mut self, id: u64) {
        let Some(node) = self.node_mut(id) else { return };
        let parent = node.parent.take();
        node.pinned = node.fd.is_some();
        let name = core::mem::take(&mut node.name);
        if let Some(parent_id) = parent {
            if let Some(parent) = self.node_mut(parent_id) {
                parent.children.remove(&name);
            }
            self.reap(parent_id);
        }
        self.reap(id);
    }

    /// `name` was removed from `parent`.
    pub fn removed(&mut self, parent: u64, name: &[u8]) {
        if let Some((id, _)) = self.child(parent, name) {
            self.detach(id);
        }
    }

    /// A file moved. What was at the new name lost it.
    pub fn renamed(&mut self, old: (u64, &[u8]), new: (u64, &[u8])) {
        let moved = self.child(old.0, old.1).map(|c| c.0);
        if let Some((victim, _)) = self.child(new.0, new.1)
            && Some(victim) != moved
        {
            self.detach(victim);
        }
        if let Some(id) = moved {
            self.place(id, new);
        }
    }

    /// Two files changed places.
    pub fn exchanged(&mut self, a: (u64, &[u8]), b: (u64, &[u8])) {
        let at_a = self.child(a.0, a.1).map(|c| c.0);
        let at_b = self.child(b.0, b.1).map(|c| c.0);
        if at_a == at_b {
            return;
        }
        // Out of the way first, so that neither placing meets the other.
        for id in [at_a, at_b].into_iter().flatten() {
            self.unlink_from_parent(id);
        }
        for (id, to) in [(at_a, b), (at_b, a)] {
            if let Some(id) = id {
                self.place(id, to);
            }
        }
        self.reap(a.0);
        self.reap(b.0);
    }

    fn unlink_from_parent(&mut self, id: u64) -> Option<u64> {
        let node = self.node_mut(id)?;
        let parent = node.parent.take()?;
        let name = core::mem::take(&mut node.name);
        self.node_mut(parent)?.children.remove(&name);
        Some(parent)
    }

    /// Puts a node at a new place, where no other node is.
    fn place(&mut self, id: u64, to: (u64, &[u8])) {
        // A host process may have moved directories behind our back, so that the table's idea of the tree would become a
        // cycle: such a node loses its place instead.
        if self.is_below(to.0, id) {
            self.detach(id);
            return;
        }
        let old = self.unlink_from_parent(id);
        if let Some(node) = self.node_mut(id) {
            node.parent = Some(to.0);
            node.name = to.1.into();
        }
        if let Some(parent) = self.node_mut(to.0) {
            parent.children.insert(to.1.into(), id);
        }
        if let Some(old) = old {
            self.reap(old);
        }
    }

    /// Whether `id` is `ancestor` or below it, or too deep to tell.
    fn is_below(&self, id: u64, ancestor: u64) -> bool {
        let mut at = Some(id);
        for _ in 0..MAX_CHAIN {
            match at {
                Some(id) if id == ancestor => return true,
                Some(id) => at = self.node(id).and_then(|n| n.parent),
                None => return false,
            }
        }
        true
    }
}
