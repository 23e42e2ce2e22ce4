//! Instances of `inotify(7)`.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::conv::usize64;
use abi::errno::Result;
use abi::{Errno, SysResult};

use super::file::{File, FileOps};
use super::inode::Inode;
use super::io::Sink;
use super::watch::{Mark, mask};
use crate::sync::Mutex;
use crate::sysctl::Sysctl;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Events, WaitQueue};

/// Bytes of `struct inotify_event` without the name.
const HEADER: usize = 16;

/// What each user has of them.
#[derive(Default)]
pub struct InotifyUsers {
    users: Mutex<HashMap<u32, (u32, u32)>>,
}

#[derive(PartialEq, Eq)]
struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    fn name_len(&self) -> usize {
        match self.name.len() {
            0 => 0,
            n => (n + 1).next_multiple_of(HEADER),
        }
    }

    fn len(&self) -> usize {
        HEADER + self.name_len()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        let len = u32::try_from(self.name_len()).unwrap_or(0);
        out.extend_from_slice(&self.wd.to_le_bytes());
        out.extend_from_slice(&self.mask.to_le_bytes());
        out.extend_from_slice(&self.cookie.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.name);
        out.resize(self.len(), 0);
        out
    }
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    marks: HashMap<i32, Arc<Mark>>,
    next_wd: i32,
}

/// An instance.
pub struct Inotify {
    state: Mutex<State>,
    queue: Arc<WaitQueue>,
    users: Arc<InotifyUsers>,
    uid: u32,
    /// Events that wait, at most: the limit when it was made.
    max_queued: usize,
}

impl Inotify {
    /// A new one for that user; `EMFILE` if it has too many.
    pub fn new(users: &Arc<InotifyUsers>, uid: u32, limits: &Sysctl) -> Result<Arc<Inotify>> {
        let mut all = users.users.lock();
        let mine = all.entry(uid).or_default();
        if u64::from(mine.0) >= limits.inotify_instances.count() {
            return Err(Errno::EMFILE);
        }
        mine.0 += 1;
        drop(all);
        Ok(Arc::new(Inotify {
            state: Mutex::new(State {
                next_wd: 1,
                ..State::default()
            }),
            queue: Arc::default(),
            users: users.clone(),
            uid,
            max_queued: abi::conv::size(limits.inotify_queued.count()),
        }))
    }

    /// `inotify_add_watch(2)`; the mask was checked.
    pub fn add(self: &Arc<Self>, inode: &Arc<Inode>, wanted: u32, limits: &Sysctl) -> Result<i32> {
        let kept = wanted & (mask::ALL_EVENTS | mask::ONESHOT | mask::EXCL_UNLINK) | mask::UNMOUNT;
        let mut state = self.state.lock();
        if let Some(mark) = state.marks.values().find(|m| Arc::ptr_eq(&m.inode, inode)) {
            if wanted & mask::MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            if wanted & mask::MASK_ADD != 0 {
                mark.mask.fetch_or(kept, Ordering::AcqRel);
            } else {
                mark.mask.store(kept, Ordering::Release);
            }
            return Ok(mark.wd);
        }
        {
            let mut all = self.users.users.lock();
            let mine = all.entry(self.uid).or_default();
            if u64::from(mine.1) >= limits.inotify_watches.count() {
                return Err(Errno::ENOSPC);
            }
            mine.1 += 1;
        }
        let wd = state.next_wd;
        state.next_wd = wd.checked_add(1).unwrap_or(1);
        let mark = Arc::new(Mark {
            wd,
            mask: kept.into(),
            inode: inode.clone(),
            group: Arc::downgrade(self),
        });
        state.marks.insert(wd, mark.clone());
        drop(state);
        mark.attach();
        Ok(wd)
    }

    /// `inotify_rm_watch(2)`
    pub fn remove(&self, wd: i32) -> Result<()> {
        let mark = self.state.lock().marks.get(&wd).cloned().ok_or(Errno::EINVAL)?;
        mark.detach();
        self.ended(wd);
        Ok(())
    }

    /// A watch is over.
    pub(super) fn ended(&self, wd: i32) {
        let mark = self.state.lock().marks.remove(&wd);
        if mark.is_some() {
            self.forget_watches(1);
            self.queue_event(wd, mask::IGNORED, 0, b"");
        }
    }

    fn forget_watches(&self, n: u32) {
        if let Some(mine) = self.users.users.lock().get_mut(&self.uid) {
            mine.1 = mine.1.saturating_sub(n);
        }
    }

    pub(super) fn queue_event(&self, wd: i32, mask: u32, cookie: u32, name: &[u8]) {
        let event = Event {
            wd,
            mask,
            cookie,
            name: name.to_vec(),
        };
        let mut state = self.state.lock();
        // What repeats the last event says nothing new.
        if state.events.back() == Some(&event) {
            return;
        }
        match state.events.len() {
            n if n < self.max_queued => state.events.push_back(event),
            n if n == self.max_queued => state.events.push_back(Event {
                wd: -1,
                mask: mask::Q_OVERFLOW,
                cookie: 0,
                name: Vec::new(),
            }),
            _ => return,
        }
        drop(state);
        self.queue.wake(Events::READ);
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let marks = std::mem::take(&mut self.state.get_mut().marks);
        for mark in marks.values() {
            mark.detach();
        }
        self.forget_watches(u32::try_from(marks.len()).unwrap_or(0));
        if let Some(mine) = self.users.users.lock().get_mut(&self.uid) {
            mine.0 = mine.0.saturating_sub(1);
        }
    }
}

impl FileOps for Inotify {
    fn read(&self, _: &File, dst: &mut dyn Sink, _: u64) -> Result<usize> {
        let mut out = Vec::new();
        {
            let mut state = self.state.lock();
            if state.events.is_empty() {
                return Err(Errno::EAGAIN);
            }
            while let Some(event) = state.events.front() {
                if out.len() + event.len() > dst.remaining() {
                    break;
                }
                out.extend(event.to_bytes());
                state.events.pop_front();
            }
        }
        if out.is_empty() {
            return Err(Errno::EINVAL);
        }
        dst.put(&out)
    }

    fn poll(&self, _: &File) -> Events {
        match self.state.lock().events.is_empty() {
            true => Events::empty(),
            false => Events::READ,
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.queue)
    }

    fn ioctl(&self, cx: &mut Cx, _: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        const FIONREAD: u32 = 0x541b;
        if cmd != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        let n: usize = self.state.lock().events.iter().map(Event::len).sum();
        cx.write_obj(UserAddr(arg), &abi::conv::int(usize64(n)))?;
        Ok(0)
    }

    fn fdinfo(&self, _: &File) -> String {
        let state = self.state.lock();
        let mut marks: Vec<_> = state.marks.values().collect();
        marks.sort_by_key(|m| std::cmp::Reverse(m.wd));
        let mut out = String::new();
        for mark in marks {
            let shown = mark.mask.load(Ordering::Relaxed) & (mask::ALL_EVENTS | mask::ONESHOT | mask::EXCL_UNLINK);
            let _ = writeln!(
                out,
                "inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 ",
                mark.wd, mark.inode.ino, mark.inode.sb.dev, shown
            );
        }
        out
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
