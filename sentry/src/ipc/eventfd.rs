//! `eventfd(2)`.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::fs::io::{Sink, Source};
use crate::fs::{File, FileOps, WriteAt};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

/// A counter that can be waited for.
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    queue: Arc<WaitQueue>,
    id: u64,
}

const MAX: u64 = u64::MAX - 1;

impl EventFd {
    /// With `semaphore` each read takes one.
    pub fn new(count: u64, semaphore: bool, id: u64) -> Arc<EventFd> {
        Arc::new(EventFd {
            count: Mutex::new(count),
            semaphore,
            queue: Arc::new(WaitQueue::new()),
            id,
        })
    }

    /// Adds without waiting, as the kernel itself does (`IOCB_FLAG_RESFD`); the counter stops at its largest value.
    pub fn signal(&self, n: u64) {
        let mut count = self.count.lock();
        *count = count.saturating_add(n);
        drop(count);
        self.queue.wake(Events::READ);
    }
}

impl FileOps for EventFd {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        let n = match *count {
            0 => return Err(Errno::EAGAIN),
            _ if self.semaphore => 1,
            n => n,
        };
        *count -= n;
        drop(count);
        self.queue.wake(Events::WRITE);
        dst.put(&n.to_ne_bytes())
    }

    fn write(&self, _file: &File, src: &mut dyn Source, _at: &mut WriteAt) -> Result<usize> {
        if src.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0u8; 8];
        if src.take(&mut bytes)? < 8 {
            return Err(Errno::EFAULT);
        }
        let n = u64::from_ne_bytes(bytes);
        if n == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        match count.checked_add(n).filter(|&sum| sum <= MAX) {
            Some(sum) => *count = sum,
            None => {
                drop(count);
                src.put_back(8);
                return Err(Errno::EAGAIN);
            }
        }
        drop(count);
        self.queue.wake(Events::READ);
        Ok(8)
    }

    fn poll(&self, _file: &File) -> Events {
        let count = *self.count.lock();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::READ;
        }
        if count < MAX {
            events |= Events::WRITE;
        }
        if count == u64::MAX {
            events |= Events::ERR;
        }
        events
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.queue)
    }

    fn fdinfo(&self, _file: &File) -> String {
        format!(
            "eventfd-count: {:16x}\neventfd-id: {}\neventfd-semaphore: {}\n",
            *self.count.lock(),
            self.id,
            u8::from(self.semaphore)
        )
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
