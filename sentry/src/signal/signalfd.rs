//! Signals as file contents (`signalfd(2)`).

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::info::Detail;
use super::{SigInfo, SigSet};
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::io::Sink;
use crate::fs::namei::anon_file;
use crate::sync::Mutex;
use crate::task::{Task, ThreadGroup};
use crate::wait::{Events, WaitQueue};

/// What such a file reads: signals in the mask that are pending for the process that made it, or for the thread.
pub struct SignalFd {
    group: Weak<ThreadGroup>,
    task: Weak<Task>,
    queue: Arc<WaitQueue>,
    mask: Mutex<SigSet>,
}

const INFO_SIZE: usize = 128;

impl SignalFd {
    /// A new open file.
    pub fn open(task: &Arc<Task>, mask: SigSet, flags: OpenFlags) -> Arc<File> {
        let ops = SignalFd {
            group: Arc::downgrade(&task.group),
            task: Arc::downgrade(task),
            queue: task.group.signal_wait.clone(),
            mask: Mutex::new(mask),
        };
        let flags = OpenFlags::RDWR | (flags & OpenFlags::NONBLOCK);
        anon_file(&task.kernel, "[signalfd]", Arc::new(ops), flags)
    }

    /// Other signals from now on.
    pub fn set_mask(&self, mask: SigSet) {
        *self.mask.lock() = mask;
        self.queue.wake(Events::READ);
    }

    fn take(&self, mask: SigSet) -> Option<SigInfo> {
        let own = self.task.upgrade().and_then(|t| t.signals.lock().pending.take(mask));
        let group = self.group.upgrade()?;
        let mut info = own.or_else(|| group.pending.lock().take(mask))?;
        crate::time::posix::signal_taken(&group, &mut info);
        Some(info)
    }
}

impl FileOps for SignalFd {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if dst.remaining() < INFO_SIZE {
            return Err(Errno::EINVAL);
        }
        let mask = *self.mask.lock();
        let mut done = 0;
        while dst.remaining() >= INFO_SIZE {
            let Some(info) = self.take(mask) else { break };
            done += dst.put(&record(&info))?;
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn poll(&self, _file: &File) -> Events {
        let mask = *self.mask.lock();
        let shared = self.group.upgrade().map_or(SigSet::EMPTY, |g| g.pending.lock().set());
        let own = self
            .task
            .upgrade()
            .map_or(SigSet::EMPTY, |t| t.signals.lock().pending.set());
        if shared.union(own).0 & mask.0 == 0 {
            Events::empty()
        } else {
            Events::READ
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.queue)
    }

    fn fdinfo(&self, _file: &File) -> String {
        format!("sigmask:\t{:016x}\n", self.mask.lock().0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `struct signalfd_siginfo`
fn record(info: &SigInfo) -> [u8; INFO_SIZE] {
    let mut out = [0u8; INFO_SIZE];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(to) = out.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    put(0, &info.signal.number().to_le_bytes());
    put(4, &info.errno.to_le_bytes());
    put(8, &info.code.to_le_bytes());
    let word = |bytes: &[u8], at: usize| {
        let mut w = [0u8; 4];
        w.copy_from_slice(bytes.get(at..at + 4).unwrap_or(&[0; 4]));
        w
    };
    match info.detail {
        Detail::None => {}
        Detail::User { pid, uid, value } => {
            put(12, &pid.to_le_bytes());
            put(16, &uid.to_le_bytes());
            put(44, &abi::conv::low32(value).to_le_bytes());
            put(48, &value.to_le_bytes());
        }
        Detail::Raw(raw) => {
            put(12, &word(&raw, 0));
            put(16, &word(&raw, 4));
            put(44, &word(&raw, 8));
            put(48, raw.get(8..16).unwrap_or_default());
        }
        Detail::Child {
            pid,
            uid,
            status,
            utime,
            stime,
        } => {
            put(12, &pid.to_le_bytes());
            put(16, &uid.to_le_bytes());
            put(40, &status.to_le_bytes());
            put(56, &utime.to_le_bytes());
            put(64, &stime.to_le_bytes());
        }
        Detail::Fault { addr, .. } => put(72, &addr.to_le_bytes()),
        Detail::Timer { id, overrun, value } => {
            put(24, &id.to_le_bytes());
            put(32, &overrun.to_le_bytes());
            put(44, &abi::conv::low32(value).to_le_bytes());
            put(48, &value.to_le_bytes());
        }
        Detail::Poll { band, fd } => {
            put(28, &abi::conv::low32(band.cast_unsigned()).to_le_bytes());
            put(20, &fd.to_le_bytes());
        }
        Detail::Sys { addr, nr, arch } => {
            put(84, &nr.to_le_bytes());
            put(88, &addr.to_le_bytes());
            put(96, &arch.to_le_bytes());
        }
    }
    out
}
