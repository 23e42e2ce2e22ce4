//! The Sentry's side: typed calls over a small pool of connections.
//!
//! A call takes a free connection, or waits for one, and blocks its thread until the reply is there.

mod calls;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use abi::Errno;
pub use calls::{Created, DirEntry, Opened, Page, SetAttr, TimeSet, Walked};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zerocopy::IntoBytes;

pub use crate::proto::message::{DirChange, Entry, Made, Removed, Renamed, StatFs, open, rename, unlink};
use crate::proto::wire::{self, Reader};
use crate::proto::{MAX_FORGET, MAX_MESSAGE, Op, ReplyHeader, RequestHeader, transport};

/// The server's handle of a file. Each that a call returns must be given back with [`Client::forget`].
pub type NodeId = u64;

/// Forgotten nodes are reported in batches of this size.
const FORGET_BATCH: usize = 64;

/// A pool of connections to one Gofer.
pub struct Client {
    free: Mutex<Pool>,
    returned: Condvar,
    forgotten: Mutex<Vec<NodeId>>,
    slow: OnceLock<SlowHook>,
}

/// Runs what it is given, which waits for the Gofer: see [`Client::on_slow`].
pub type SlowHook = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// A reply that has not come after this time waits for a disk.
const QUICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000,
};

struct Pool {
    free: Vec<Conn>,
    /// Connections that work, free or in use.
    alive: usize,
}

struct Conn {
    socket: OwnedFd,
    out: Vec<u8>,
    into: Vec<u8>,
    last_id: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub fn new(sockets: Vec<OwnedFd>) -> Self {
        let conn = |socket| Conn {
            socket,
            out: Vec::new(),
            into: Vec::new(),
            last_id: 0,
        };
        let free: Vec<_> = sockets.into_iter().map(conn).collect();
        Self {
            free: Mutex::new(Pool {
                alive: free.len(),
                free,
            }),
            returned: Condvar::new(),
            forgotten: Mutex::new(Vec::new()),
            slow: OnceLock::new(),
        }
    }

    /// Sets what carries the wait for a reply that does not come at once, so that the caller's thread can be replaced
    /// meanwhile. Only the first one counts.
    pub fn on_slow(&self, hook: SlowHook) {
        let _first_one_stays = self.slow.set(hook);
    }

    /// Whether the Gofer is gone: every call then fails with `EIO`.
    pub fn is_dead(&self) -> bool {
        lock(&self.free).alive == 0
    }

    /// Gives a node back. The message is sent with others, before some later call.
    pub fn forget(&self, node: NodeId) {
        if node != 0 {
            lock(&self.forgotten).push(node);
        }
    }

    /// Sends what was forgotten now.
    pub fn flush_forgotten(&self) -> Result<(), Errno> {
        let mut conn = self.take()?;
        let done = self.send_forgotten(&mut conn, 1);
        self.give(conn, done.is_ok());
        done
    }

    fn take(&self) -> Result<Conn, Errno> {
        let mut pool = lock(&self.free);
        loop {
            if let Some(conn) = pool.free.pop() {
                return Ok(conn);
            }
            if pool.alive == 0 {
                return Err(Errno::EIO);
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give(&self, conn: Conn, works: bool) {
        let mut pool = lock(&self.free);
        if works {
            pool.free.push(conn);
            self.returned.notify_one();
        } else {
            pool.alive -= 1;
            self.returned.notify_all();
        }
    }

    fn send_forgotten(&self, conn: &mut Conn, at_least: usize) -> Result<(), Errno> {
        let batch = {
            let mut all = lock(&self.forgotten);
            if all.len() < at_least {
                return Ok(());
            }
            core::mem::take(&mut *all)
        };
        for nodes in batch.chunks(MAX_FORGET) {
            conn.start(Op::Forget);
            for node in nodes {
                wire::put(&mut conn.out, node);
            }
            conn.send()?;
        }
        Ok(())
    }

    /// One request and its reply: `build` appends the body, `parse` reads the reply's.
    fn call<T>(
        &self,
        op: Op,
        build: impl FnOnce(&mut Vec<u8>),
        parse: impl FnOnce(Reader<'_>, Option<OwnedFd>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut conn = self.take()?;
        let exchanged = self.send_forgotten(&mut conn, FORGET_BATCH).and_then(|()| {
            conn.start(op);
            build(&mut conn.out);
            conn.exchange(self.slow.get())
        });
        let (len, fd) = match exchanged {
            Ok(done) => done,
            // Too long to send: nothing happened, and the connection is as it was.
            Err(Errno::EMSGSIZE) => {
                self.give(conn, true);
                return Err(Errno::E2BIG);
            }
            // A descriptor that found no room here: the reply was taken off the socket all the same.
            Err(Errno::EMFILE) => {
                self.give(conn, true);
                return Err(Errno::EMFILE);
            }
            Err(_) => {
                self.give(conn, false);
                return Err(Errno::EIO);
            }
        };
        let mut body = Reader::new(conn.into.get(..len).unwrap_or_default());
        let result = match body.fixed::<ReplyHeader>() {
            Ok(ReplyHeader { errno: 0, .. }) => parse(body, fd).map_err(|_| Errno::EIO),
            Ok(header) => Err(Errno::from_raw(i32::try_from(header.errno).unwrap_or(-1))),
            Err(_) => Err(Errno::EIO),
        };
        self.give(conn, true);
        result
    }
}

impl Conn {
    fn start(&mut self, op: Op) {
        self.last_id = self.last_id.wrapping_add(1);
        self.out.clear();
        wire::put(
            &mut self.out,
            &RequestHeader {
                size: 0,
                op: op.raw(),
                pad: 0,
                id: self.last_id,
            },
        );
    }

    fn send(&mut self) -> Result<(), Errno> {
        if self.out.len() > MAX_MESSAGE {
            return Err(Errno::EMSGSIZE);
        }
        let size = u32::try_from(self.out.len()).map_err(|_| Errno::EMSGSIZE)?;
        if let Some(field) = self.out.get_mut(..size_of::<u32>()) {
            field.copy_from_slice(size.as_bytes());
        }
        transport::send(self.socket.as_fd(), &self.out, None)
    }

    /// Sends what was built and receives its reply; tells the reply's length.
    fn exchange(&mut self, slow: Option<&SlowHook>) -> Result<(usize, Option<OwnedFd>), Errno> {
        self.send()?;
        self.into.resize(MAX_MESSAGE, 0);
        let socket = self.socket.as_fd();
        let (len, fd) = match slow {
            Some(slow) if !comes_soon(socket) => {
                let mut got = Err(Errno::EIO);
                slow(&mut || got = transport::recv_with_fd(socket, &mut self.into));
                got?
            }
            _ => transport::recv_with_fd(socket, &mut self.into)?,
        };
        let header: ReplyHeader = Reader::new(self.into.get(..len).unwrap_or_default()).fixed()?;
        if header.size as usize != len || header.id != self.last_id {
            return Err(Errno::EPROTO);
        }
        Ok((len, fd))
    }
}

/// Waits for a reply for a short time.
fn comes_soon(socket: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    // An error of the wait itself will show when the reply is received.
    !matches!(poll(&mut fds, Some(&QUICK)), Ok(0))
}
