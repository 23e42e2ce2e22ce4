//! POSIX message queues (`mq_overview(7)`).

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use crate::fs::{File, FileOps, Sink, Timestamp};
use crate::signal::info::{Detail, code};
use crate::signal::{SigInfo, Signal};
use crate::sync::Mutex;
use crate::task::ThreadGroup;
use crate::wait::{Events, WaitQueue};

/// Largest priority, plus one.
pub const PRIO_MAX: u32 = 32768;
/// Bytes of all queues of the sandbox, at most.
pub const BYTES_MAX: u64 = 64 << 20;

/// All queues, by name without the slash.
#[derive(Default)]
pub struct Queues {
    /// The names.
    pub names: Mutex<BTreeMap<Vec<u8>, Arc<MessageQueue>>>,
}

/// Who is told of a message that comes while nobody waits for it (`mq_notify(3)`).
pub struct Notification {
    /// Process that asked.
    pub group: Weak<ThreadGroup>,
    /// `SIGEV_SIGNAL`; none for `SIGEV_NONE`.
    pub signal: Option<Signal>,
    /// `si_value`
    pub value: u64,
}

/// What changes of a queue.
pub struct State {
    /// By priority, oldest first.
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: usize,
    bytes: usize,
    notify: Option<Notification>,
    /// Who waits for a message: they come before a notification.
    pub receivers: usize,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Last send or receive.
    pub mtime: Timestamp,
}

/// A queue.
pub struct MessageQueue {
    /// Messages that fit.
    pub maxmsg: usize,
    /// Longest message.
    pub msgsize: usize,
    /// Inode number.
    pub ino: u64,
    /// Its state.
    pub state: Mutex<State>,
    /// `READ` when there is a message, `WRITE` when there is room.
    pub queue: Arc<WaitQueue>,
}

impl MessageQueue {
    /// An empty one.
    pub fn new(maxmsg: usize, msgsize: usize, ino: u64, (uid, gid, mode): (u32, u32, u32)) -> Arc<MessageQueue> {
        Arc::new(MessageQueue {
            maxmsg,
            msgsize,
            ino,
            state: Mutex::new(State {
                messages: BTreeMap::new(),
                count: 0,
                bytes: 0,
                notify: None,
                receivers: 0,
                uid,
                gid,
                mode,
                mtime: Timestamp::now(),
            }),
            queue: Arc::default(),
        })
    }

    /// Messages in it.
    pub fn len(&self) -> usize {
        self.state.lock().count
    }

    /// Adds a message; `EAGAIN` while full, and then it comes back.
    pub fn send(&self, prio: u32, data: Vec<u8>, sender: (i32, u32)) -> std::result::Result<(), Vec<u8>> {
        let mut state = self.state.lock();
        if state.count >= self.maxmsg {
            return Err(data);
        }
        let first = state.count == 0;
        state.count += 1;
        state.bytes += data.len();
        state.messages.entry(prio).or_default().push_back(data);
        state.mtime = Timestamp::now();
        let told = if first && state.receivers == 0 {
            state.notify.take()
        } else {
            None
        };
        drop(state);
        if let Some(Notification {
            group,
            signal: Some(signal),
            value,
        }) = told
            && let Some(group) = group.upgrade()
        {
            let _ = group.send_signal(SigInfo {
                signal,
                errno: 0,
                code: code::SI_MESGQ,
                detail: Detail::User {
                    pid: sender.0,
                    uid: sender.1,
                    value,
                },
            });
        }
        self.queue.wake(Events::READ);
        Ok(())
    }

    /// Takes the oldest message of the highest priority.
    pub fn receive(&self) -> Option<(u32, Vec<u8>)> {
        let mut state = self.state.lock();
        let mut entry = state.messages.last_entry()?;
        let prio = *entry.key();
        let data = entry.get_mut().pop_front()?;
        if entry.get().is_empty() {
            entry.remove();
        }
        state.count -= 1;
        state.bytes -= data.len();
        state.mtime = Timestamp::now();
        drop(state);
        self.queue.wake(Events::WRITE);
        Some((prio, data))
    }

    /// `mq_notify(2)`: one process may ask. `EBUSY` if another has.
    pub fn set_notify(&self, who: Notification) -> Result<()> {
        let mut state = self.state.lock();
        let taken = state.notify.as_ref().is_some_and(|n| n.group.strong_count() > 0);
        if taken {
            return Err(Errno::EBUSY);
        }
        state.notify = Some(who);
        Ok(())
    }

    /// Takes back what that process asked for.
    pub fn clear_notify(&self, group: &ThreadGroup) {
        let mut state = self.state.lock();
        if state
            .notify
            .as_ref()
            .is_some_and(|n| std::ptr::eq(n.group.as_ptr(), group))
        {
            state.notify = None;
        }
    }

    fn status(&self) -> String {
        let state = self.state.lock();
        let (signo, pid) = match &state.notify {
            Some(n) => (
                n.signal.map_or(0, Signal::number),
                n.group.upgrade().map_or(0, |g| g.tgid),
            ),
            None => (0, 0),
        };
        format!(
            "QSIZE:{:<10} NOTIFY:{:<5} SIGNO:{:<5} NOTIFY_PID:{:<6}\n",
            state.bytes, 0, signo, pid
        )
    }
}

/// An open queue.
pub struct QueueFile {
    /// The queue.
    pub queue: Arc<MessageQueue>,
}

impl FileOps for QueueFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let text = self.queue.status();
        let from = usize::try_from(pos).unwrap_or(usize::MAX).min(text.len());
        let rest = text.as_bytes().get(from..).unwrap_or_default();
        dst.put(rest.get(..rest.len().min(dst.remaining())).unwrap_or_default())
    }

    fn poll(&self, _file: &File) -> Events {
        let count = self.queue.len();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::READ;
        }
        if count < self.queue.maxmsg {
            events |= Events::WRITE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.queue.queue)
    }

    fn flush(&self, _file: &File) -> Result<()> {
        // Closing takes a process's wish to be notified back.
        if let Some(task) = crate::task::current() {
            self.queue.clear_notify(&task.group);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
