//! Files in flight (`SCM_RIGHTS`): how many a user may have there, and what happens to those that nobody can receive any more.
//!
//! A socket that is only referred to by messages waiting in sockets of the same kind can never be received from: such
//! cycles are found by counting, as Linux does. Files freed by a socket's end are dropped from a list, not by recursion: a
//! guest may nest them as deep as it likes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::UnixSocket;
use crate::cred::cap;
use crate::fs::File;
use crate::net::SocketFile;
use crate::sync::Mutex;
use crate::task::Task;

/// Above so many sockets in flight every send looks for garbage first.
const GC_TRIGGER: usize = 1000;

/// The files of one message.
pub struct Rights {
    files: Vec<Arc<File>>,
    inflight: Arc<Inflight>,
    uid: u32,
}

impl Rights {
    /// Puts files in flight. `ETOOMANYREFS` beyond `RLIMIT_NOFILE` of a user without privilege.
    pub fn new(task: &Task, inflight: &Arc<Inflight>, files: Vec<Arc<File>>) -> Result<Rights> {
        let cred = task.cred();
        let limit = usize::try_from(task.fd_limit()).unwrap_or(usize::MAX);
        let mut users = inflight.users.lock();
        let count = users.entry(cred.uid).or_insert(0);
        if *count > limit && !cred.has_cap(cap::SYS_RESOURCE) && !cred.has_cap(cap::SYS_ADMIN) {
            return Err(Errno::ETOOMANYREFS);
        }
        *count += files.len();
        drop(users);
        for file in &files {
            inflight.add(file);
        }
        Ok(Rights {
            files,
            inflight: inflight.clone(),
            uid: cred.uid,
        })
    }

    /// The files, still in flight: for `MSG_PEEK`.
    pub fn peek(&self) -> Vec<Arc<File>> {
        self.files.clone()
    }

    /// The files themselves.
    pub fn take(mut self) -> Vec<Arc<File>> {
        self.land()
    }

    fn land(&mut self) -> Vec<Arc<File>> {
        let files = std::mem::take(&mut self.files);
        if files.is_empty() {
            return files;
        }
        let mut users = self.inflight.users.lock();
        if let Some(count) = users.get_mut(&self.uid) {
            *count = count.saturating_sub(files.len());
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
        drop(users);
        for file in &files {
            self.inflight.remove(file);
        }
        files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let files = self.land();
        self.inflight.bury(files);
    }
}

/// All files in flight of a kernel.
#[derive(Default)]
pub struct Inflight {
    /// Files in flight by sending user.
    users: Mutex<HashMap<u32, usize>>,
    /// Unix sockets in flight, by the id of their file, with how often.
    sockets: Mutex<HashMap<u64, (Weak<File>, usize)>>,
    count: AtomicUsize,
    collector: Mutex<()>,
    graves: Mutex<VecDeque<Arc<File>>>,
    digging: AtomicBool,
}

fn unix_of(file: &File) -> Option<&UnixSocket> {
    let socket = &file.downcast::<SocketFile>()?.socket;
    socket.as_any().downcast_ref::<UnixSocket>()
}

impl Inflight {
    fn add(&self, file: &Arc<File>) {
        if unix_of(file).is_none() {
            return;
        }
        let mut sockets = self.sockets.lock();
        let entry = sockets.entry(file.id).or_insert_with(|| (Arc::downgrade(file), 0));
        entry.1 += 1;
        self.count.store(sockets.len(), Ordering::Relaxed);
    }

    fn remove(&self, file: &File) {
        if unix_of(file).is_none() {
            return;
        }
        let mut sockets = self.sockets.lock();
        if let Some(entry) = sockets.get_mut(&file.id) {
            entry.1 -= 1;
            if entry.1 == 0 {
                sockets.remove(&file.id);
            }
        }
        self.count.store(sockets.len(), Ordering::Relaxed);
    }

    /// Drops files one after the other, however deep they refer to each other.
    pub fn bury(&self, files: Vec<Arc<File>>) {
        if files.is_empty() {
            return;
        }
        self.graves.lock().extend(files);
        while !self.digging.swap(true, Ordering::AcqRel) {
            loop {
                let next = self.graves.lock().pop_front();
                match next {
                    Some(file) => drop(file),
                    None => break,
                }
            }
            self.digging.store(false, Ordering::Release);
            if self.graves.lock().is_empty() {
                return;
            }
        }
    }

    /// Looks for garbage if there is much in flight.
    pub fn maybe_collect(&self) {
        if self.count.load(Ordering::Relaxed) > GC_TRIGGER {
            self.collect();
        }
    }

    /// Frees sockets that only garbage refers to.
    pub fn collect(&self) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(guard) = self.collector.try_lock() else { return };
        let mut doomed = Vec::new();
        for file in self.garbage() {
            if let Some(socket) = unix_of(&file) {
                doomed.extend(socket.take_rights());
            }
        }
        drop(guard);
        drop(doomed);
    }

    /// The sockets that nobody outside can reach.
    fn garbage(&self) -> Vec<Arc<File>> {
        let sockets = self.sockets.lock();
        let known = sockets
            .iter()
            .filter_map(|(&id, (weak, n))| Some((id, weak.upgrade()?, *n)));
        let known: Vec<(u64, Arc<File>, usize)> = known.collect();
        drop(sockets);
        // All references are from messages, but for the one that `known` holds.
        let candidates: HashMap<u64, (Arc<File>, usize)> = known
            .into_iter()
            .filter(|(_, file, n)| Arc::strong_count(file) == n + 1)
            .map(|(id, file, n)| (id, (file, n)))
            .collect();
        let mut edges: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut inside: HashMap<u64, usize> = HashMap::new();
        for (&id, (file, _)) in &candidates {
            let targets = unix_of(file).map(UnixSocket::rights_ids).unwrap_or_default();
            for &target in &targets {
                *inside.entry(target).or_insert(0) += 1;
            }
            edges.insert(id, targets);
        }
        let outside = |id: &u64, n: usize| n > inside.get(id).copied().unwrap_or(0);
        let mut alive: HashSet<u64> = HashSet::new();
        let mut todo: Vec<u64> = candidates
            .iter()
            .filter(|(id, (_, n))| outside(id, *n))
            .map(|(&id, _)| id)
            .collect();
        while let Some(id) = todo.pop() {
            if alive.insert(id) {
                todo.extend(edges.get(&id).into_iter().flatten());
            }
        }
        candidates
            .into_iter()
            .filter(|(id, _)| !alive.contains(id))
            .map(|(_, (file, _))| file)
            .collect()
    }
}
