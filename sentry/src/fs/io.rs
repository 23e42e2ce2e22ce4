//! Where bytes of a read go and where those of a write come from: guest memory or the Sentry's own.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use smallvec::SmallVec;

use crate::task::{Cx, Task};
use crate::usermem::UserAddr;

/// Largest transfer of one call, like the kernel's `MAX_RW_COUNT`.
pub const MAX_RW_COUNT: u64 = 0x7fff_f000;

/// Checked guest ranges; together at most [`MAX_RW_COUNT`].
pub type IoVecs = SmallVec<[(UserAddr, usize); 4]>;

/// Takes the bytes of a read, like a destination `iov_iter`.
pub trait Sink {
    /// Bytes that still fit.
    fn remaining(&self) -> usize;

    /// Takes bytes; gives how many were stored. Fewer than given (but not none) if guest memory ended; `EFAULT` if none could
    /// be stored at all.
    fn put(&mut self, data: &[u8]) -> Result<usize>;
}

/// Gives the bytes of a write, like a source `iov_iter`.
pub trait Source {
    /// Bytes still to come.
    fn remaining(&self) -> usize;

    /// Fills the start of `buf`; gives how many bytes. Fewer than fit only at the end or where guest memory ended; `EFAULT`
    /// if none could be fetched though some remain.
    fn take(&mut self, buf: &mut [u8]) -> Result<usize>;

    /// Goes back by `n` bytes that were taken but not used.
    fn put_back(&mut self, n: usize);

    /// Whose bytes they are, where a task gave them.
    fn task(&self) -> Option<&Arc<Task>> {
        None
    }
}

/// Guest ranges as a sink and a source.
pub struct UserBuf<'a> {
    cx: &'a mut Cx,
    iov: &'a [(UserAddr, usize)],
    /// Index into `iov` and offset within that entry.
    at: (usize, usize),
}

impl<'a> UserBuf<'a> {
    /// Starts at the first byte.
    pub fn new(cx: &'a mut Cx, iov: &'a [(UserAddr, usize)]) -> UserBuf<'a> {
        UserBuf { cx, iov, at: (0, 0) }
    }

    fn current(&mut self) -> Option<(UserAddr, usize)> {
        loop {
            let &(base, len) = self.iov.get(self.at.0)?;
            if self.at.1 < len {
                return Some((base.add(self.at.1).ok()?, len - self.at.1));
            }
            self.at = (self.at.0 + 1, 0);
        }
    }

    fn left(&self) -> usize {
        let all: usize = self.iov.iter().skip(self.at.0).map(|v| v.1).sum();
        all - self.at.1.min(all)
    }
}

impl Sink for UserBuf<'_> {
    fn remaining(&self) -> usize {
        self.left()
    }

    fn put(&mut self, data: &[u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|r| !r.is_empty()) {
            let Some((addr, len)) = self.current() else { break };
            let part = rest.get(..len.min(rest.len())).unwrap_or(rest);
            let n = self.cx.write_some(addr, part);
            self.at.1 += n;
            done += n;
            if n < part.len() {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

impl Source for UserBuf<'_> {
    fn task(&self) -> Option<&Arc<Task>> {
        Some(&self.cx.task)
    }

    fn remaining(&self) -> usize {
        self.left()
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let Some((addr, len)) = self.current() else { break };
            let want = len.min(buf.len() - done);
            let Some(part) = buf.get_mut(done..done + want) else {
                break;
            };
            let n = match self.cx.read_bytes(addr, part) {
                Ok(()) => want,
                Err(_) => self.cx.read_some(addr, part),
            };
            self.at.1 += n;
            done += n;
            if n < want {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    fn put_back(&mut self, mut n: usize) {
        while n > 0 {
            let back = n.min(self.at.1);
            self.at.1 -= back;
            n -= back;
            if n > 0 {
                let Some(i) = self.at.0.checked_sub(1) else { return };
                self.at = (i, self.iov.get(i).map_or(0, |v| v.1));
            }
        }
    }
}

/// A growing buffer of the Sentry as a sink, with a limit.
pub struct VecSink {
    /// What came so far.
    pub data: Vec<u8>,
    /// Most that it takes.
    pub limit: usize,
}

impl VecSink {
    /// An empty one that takes up to `limit` bytes.
    pub fn new(limit: usize) -> VecSink {
        VecSink {
            data: Vec::new(),
            limit,
        }
    }
}

impl Sink for VecSink {
    fn remaining(&self) -> usize {
        self.limit - self.data.len()
    }

    fn put(&mut self, data: &[u8]) -> Result<usize> {
        let n = data.len().min(self.remaining());
        self.data.extend_from_slice(data.get(..n).unwrap_or_default());
        Ok(n)
    }
}

/// Bytes of the Sentry as a source.
pub struct SliceSource<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> SliceSource<'a> {
    /// Starts at the first byte.
    pub fn new(data: &'a [u8]) -> SliceSource<'a> {
        SliceSource { data, at: 0 }
    }
}

impl Source for SliceSource<'_> {
    fn remaining(&self) -> usize {
        self.data.len() - self.at
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize> {
        let n = buf.len().min(self.remaining());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), self.data.get(self.at..self.at + n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }

    fn put_back(&mut self, n: usize) {
        self.at -= n.min(self.at);
    }
}
