//! Directories whose names are processes and threads.

use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::names::In;
use super::{owner, task_dir};
use crate::fs::impls::proc::Proc;
use crate::fs::impls::pseudo::{Attr, DirBuilder, Dynamic, Entry};
use crate::fs::{FileType, Inode, InodeOps, SuperBlock};
use crate::task::{Task, current};

/// A number as it must be written: no sign, no leading zero.
pub(super) fn number(name: &[u8]) -> Result<i32> {
    if name.first().is_none_or(|&b| b == b'0' && name.len() > 1) || !name.iter().all(u8::is_ascii_digit) {
        return Err(Errno::ENOENT);
    }
    let text = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    text.parse().map_err(|_| Errno::ENOENT)
}

/// The processes in the root of an instance.
pub(in crate::fs::impls::proc) struct Processes(pub(in crate::fs::impls::proc) Arc<Proc>);

impl Dynamic for Processes {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let proc = &self.0;
        // Threads are found by their number too, though not listed.
        let task = proc.kernel.tasks.task(&proc.ns, number(name)?).ok_or(Errno::ENOENT)?;
        if !proc.options.shows(current().as_ref(), &task) {
            return Err(Errno::ENOENT);
        }
        Ok(task_dir(proc, &dir.sb, &task, In::Process))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let proc = &self.0;
        let all = proc.kernel.tasks.processes(&proc.ns);
        let entries = all.iter().filter_map(|(pid, _)| {
            let task = proc.kernel.tasks.task(&proc.ns, *pid)?;
            if !proc.options.shows(current().as_ref(), &task) {
                return None;
            }
            Some(Entry {
                key: u64::try_from(*pid).ok()?,
                name: pid.to_string().into_bytes(),
                ino: proc.ino_base(&task),
                kind: FileType::Directory,
            })
        });
        Ok(entries.filter(|e| e.key >= from).collect())
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        let proc = &self.0;
        let task = number(name).ok().and_then(|n| proc.kernel.tasks.task(&proc.ns, n));
        task.is_some_and(|t| proc.ino_base(&t) == child.ino && proc.options.shows(current().as_ref(), &t))
    }
}

/// `/proc/PID/task`
struct Threads {
    proc: Arc<Proc>,
    task: Weak<Task>,
}

pub(super) fn threads(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, _ino: u64) -> Box<dyn InodeOps> {
    let mut dir = DirBuilder::new(sb);
    dir.dynamic(Threads {
        proc: proc.clone(),
        task: Arc::downgrade(task),
    });
    dir.into_ops()
}

impl Threads {
    fn find(&self, name: &[u8]) -> Result<Arc<Task>> {
        let group = self.task.upgrade().ok_or(Errno::ENOENT)?.group.tgid;
        let task = self.proc.kernel.tasks.task(&self.proc.ns, number(name)?);
        task.filter(|t| t.group.tgid == group).ok_or(Errno::ENOENT)
    }
}

impl Dynamic for Threads {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        Ok(task_dir(&self.proc, &dir.sb, &self.find(name)?, In::Thread))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let leader = self.task.upgrade().ok_or(Errno::ENOENT)?;
        let mut tasks = leader.group.threads();
        if tasks.is_empty() {
            tasks.push(leader);
        }
        let mut entries: Vec<Entry> = tasks
            .iter()
            .filter_map(|task| {
                let tid = task.pid.in_ns(&self.proc.ns);
                Some(Entry {
                    key: u64::try_from(tid).ok()?,
                    name: tid.to_string().into_bytes(),
                    ino: self.proc.ino_base(task) + (1 << 31),
                    kind: FileType::Directory,
                })
            })
            .collect();
        entries.retain(|e| e.key >= from);
        entries.sort_by_key(|e| e.key);
        Ok(entries)
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        self.find(name)
            .is_ok_and(|t| self.proc.ino_base(&t) + (1 << 31) == child.ino)
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, 0o555))
    }
}
