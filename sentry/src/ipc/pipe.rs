//! Pipes and fifos (`pipe(7)`, `fifo(7)`).
//!
//! One wait queue serves both ends: readers wait for `IN`, writers for `OUT`. Lock: `Pipe::state`, held while bytes are
//! copied from or to guest memory, so that writes up to `PIPE_BUF` stay whole.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use abi::errno::Result;
use abi::{Errno, Restart, SysError, SysResult};

use super::ring::Ring;
use crate::cred::cap;
use crate::fs::io::{Sink, Source};
use crate::fs::{File, FileMode, FileOps, Inode, OpenFlags, WriteAt};
use crate::sync::Mutex;
use crate::task::{Cx, Task};
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events, WaitQueue};

/// Writes up to this many bytes are never torn.
pub const PIPE_BUF: usize = 4096;
/// A new pipe's capacity.
pub const DEFAULT_CAPACITY: usize = 65536;
/// What it allows at all.
const LIMIT_CAPACITY: u64 = 1 << 31;

/// The buffer between writers and readers, like `struct pipe_inode_info`.
pub struct Pipe {
    state: Mutex<State>,
    queue: Arc<WaitQueue>,
    /// Made by `pipe(2)`: opening it again, through /proc, waits for nobody.
    nameless: bool,
}

struct State {
    ring: Ring,
    /// Lengths of the packets at the end of the ring (`O_DIRECT`); bytes before them belong to no packet.
    packets: VecDeque<usize>,
    capacity: usize,
    readers: u32,
    writers: u32,
    /// How many readers and writers there ever were: `fifo(7)` opens wait for a change.
    reader_opens: u64,
    writer_opens: u64,
}

impl State {
    /// Bytes before the first packet.
    fn loose(&self) -> usize {
        self.ring.len() - self.packets.iter().sum::<usize>()
    }

    /// Bytes that may be added. A packet uses up whole pages.
    fn room(&self) -> usize {
        let packets: usize = self.packets.iter().map(|p| p.next_multiple_of(PIPE_BUF)).sum();
        self.capacity.saturating_sub(self.loose() + packets)
    }
}

impl Pipe {
    /// An empty one that nobody has open.
    pub fn new(nameless: bool) -> Arc<Pipe> {
        Arc::new(Pipe {
            state: Mutex::new(State {
                ring: Ring::default(),
                packets: VecDeque::new(),
                capacity: DEFAULT_CAPACITY,
                readers: 0,
                writers: 0,
                reader_opens: 0,
                writer_opens: 0,
            }),
            queue: Arc::new(WaitQueue::new()),
            nameless,
        })
    }

    /// Woken with `READ` when bytes come or the last writer goes, with `WRITE` when room comes or the last reader goes.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Moves bytes out: 0 at the end (no writer), `EAGAIN` while empty.
    pub fn read(&self, dst: &mut dyn Sink) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.state.lock();
        let state_ref = &mut *state;
        if state_ref.ring.len() == 0 {
            return if state_ref.writers == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let loose = if state_ref.packets.is_empty() {
            state_ref.ring.len()
        } else {
            state_ref.loose()
        };
        let n = if loose > 0 {
            state_ref.ring.drain(dst, loose)?
        } else {
            // One packet, and what does not fit is lost.
            let packet = state_ref.packets.front().copied().unwrap_or(0);
            let n = state_ref.ring.drain(dst, packet)?;
            state_ref.ring.consume(packet - n);
            state_ref.packets.pop_front();
            n
        };
        drop(state);
        self.queue.wake(Events::WRITE);
        Ok(n)
    }

    /// Moves bytes in: `EPIPE` without a reader, `EAGAIN` while full; up to [`PIPE_BUF`] bytes go whole or not at all, more
    /// may go in part. With `packets` each piece of up to a page is read by itself.
    pub fn write(&self, src: &mut dyn Source, packets: bool) -> Result<usize> {
        let mut state = self.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let want = src.remaining();
        if want == 0 {
            return Ok(0);
        }
        let room = state.room();
        if room < want.min(PIPE_BUF) {
            return Err(Errno::EAGAIN);
        }
        let n = if packets {
            let mut done = 0;
            while src.remaining() > 0 && state.room() >= PIPE_BUF.min(src.remaining()) {
                match state.ring.fill(src, PIPE_BUF) {
                    Ok(0) => break,
                    Ok(n) => {
                        state.packets.push_back(n);
                        done += n;
                    }
                    Err(e) if done == 0 => return Err(e),
                    Err(_) => break,
                }
            }
            done
        } else if state.packets.is_empty() {
            // Beyond PIPE_BUF Linux fills page by page: whole pages keep the writer from crumbling its data.
            state.ring.fill(src, room)?
        } else {
            // Plain bytes after packets: keep them apart by making them a packet as well.
            let n = state.ring.fill(src, room.min(PIPE_BUF))?;
            state.packets.push_back(n);
            n
        };
        drop(state);
        self.queue.wake(Events::READ);
        Ok(n)
    }

    /// Copies up to `n` bytes without taking them (`tee(2)`): `EAGAIN` while empty, nothing at the end.
    pub fn peek(&self, n: usize) -> Result<Vec<u8>> {
        let state = self.state.lock();
        if state.ring.len() == 0 && state.writers > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(state.ring.peek(0, n))
    }

    /// Takes up to `n` bytes that [`Pipe::peek`] has shown (`splice(2)` into a file).
    pub fn consume(&self, n: usize) {
        let mut state = self.state.lock();
        state.ring.consume(n);
        let mut over = state.packets.iter().sum::<usize>().saturating_sub(state.ring.len());
        while over > 0 {
            let Some(first) = state.packets.front_mut() else { break };
            let cut = over.min(*first);
            *first -= cut;
            over -= cut;
            if *first == 0 {
                state.packets.pop_front();
            }
        }
        drop(state);
        self.queue.wake(Events::WRITE);
    }

    /// Bytes in it (`FIONREAD`).
    pub fn len(&self) -> usize {
        self.state.lock().ring.len()
    }

    /// Bytes that can be written now; `EPIPE` without a reader.
    pub fn room(&self) -> Result<usize> {
        let state = self.state.lock();
        if state.readers == 0 {
            Err(Errno::EPIPE)
        } else {
            Ok(state.room())
        }
    }

    /// `F_GETPIPE_SZ`
    pub fn capacity(&self) -> usize {
        self.state.lock().capacity
    }

    /// `F_SETPIPE_SZ`: gives the new capacity, rounded up to a power of two of pages. `EPERM` to grow beyond `most`.
    pub fn set_capacity(&self, size: u64, most: u64) -> Result<usize> {
        if size > LIMIT_CAPACITY {
            return Err(Errno::EINVAL);
        }
        let size = abi::conv::size(size).next_power_of_two().max(PIPE_BUF);
        if size == 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        if size > state.capacity && abi::conv::usize64(size) > most {
            return Err(Errno::EPERM);
        }
        if state.capacity - state.room().min(state.capacity) > size {
            return Err(Errno::EBUSY);
        }
        state.capacity = size;
        drop(state);
        self.queue.wake(Events::WRITE);
        Ok(size)
    }
}

/// One open end, or both (a fifo opened `O_RDWR`).
pub struct PipeFile {
    pipe: Arc<Pipe>,
    mode: FileMode,
    /// A reader that came before any writer sees no hang-up until one has come and gone.
    hup_after: Mutex<Option<u64>>,
}

impl PipeFile {
    /// Opens an end; others see it at once.
    fn open(pipe: &Arc<Pipe>, mode: FileMode) -> Arc<PipeFile> {
        let mut state = pipe.state.lock();
        if mode.contains(FileMode::READ) {
            state.readers += 1;
            state.reader_opens += 1;
        }
        if mode.contains(FileMode::WRITE) {
            state.writers += 1;
            state.writer_opens += 1;
        }
        drop(state);
        pipe.queue.wake(Events::READ | Events::WRITE);
        Arc::new(PipeFile {
            pipe: pipe.clone(),
            mode,
            hup_after: Mutex::new(None),
        })
    }

    /// The buffer.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// `F_SETPIPE_SZ` by a task.
    pub fn set_capacity(&self, cx: &Cx, size: u64) -> Result<usize> {
        let most = match cx.task.cred().has_cap(cap::SYS_RESOURCE) {
            true => u64::MAX,
            false => cx.task.kernel.tunables.pipe_max_size.count(),
        };
        self.pipe.set_capacity(size, most)
    }
}

impl Drop for PipeFile {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.mode.contains(FileMode::READ) {
            state.readers = state.readers.saturating_sub(1);
            if state.readers == 0 {
                events |= Events::WRITE | Events::ERR | Events::HUP;
            }
        }
        if self.mode.contains(FileMode::WRITE) {
            state.writers = state.writers.saturating_sub(1);
            if state.writers == 0 {
                events |= Events::READ | Events::HUP;
            }
        }
        drop(state);
        if !events.is_empty() {
            self.pipe.queue.wake(events);
        }
    }
}

const FIONREAD: u32 = 0x541b;

impl FileOps for PipeFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        self.pipe.read(dst)
    }

    fn write(&self, file: &File, src: &mut dyn Source, _at: &mut WriteAt) -> Result<usize> {
        self.pipe.write(src, file.flags().contains(OpenFlags::DIRECT))
    }

    fn poll(&self, _file: &File) -> Events {
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.mode.contains(FileMode::READ) {
            if state.ring.len() > 0 {
                events |= Events::READ;
            }
            if state.writers == 0 && *self.hup_after.lock() != Some(state.writer_opens) {
                events |= Events::HUP;
            }
        }
        if self.mode.contains(FileMode::WRITE) {
            if state.room() >= PIPE_BUF {
                events |= Events::WRITE;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.pipe.queue)
    }

    fn ioctl(&self, cx: &mut Cx, _file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        if cmd != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        let n = i32::try_from(self.pipe.len()).unwrap_or(i32::MAX);
        cx.write_obj(UserAddr(arg), &n)?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Both ends of a new pipe, the reading one first.
pub fn pair() -> (Arc<PipeFile>, Arc<PipeFile>) {
    let pipe = Pipe::new(true);
    (
        PipeFile::open(&pipe, FileMode::READ),
        PipeFile::open(&pipe, FileMode::WRITE),
    )
}

/// Opens a fifo (`fifo(7)`): blocks until the other side is there, too.
pub async fn open_fifo(task: &Arc<Task>, inode: &Inode, flags: OpenFlags) -> SysResult<Arc<PipeFile>> {
    let pipe = {
        let mut slot = inode.fifo.lock();
        match slot.as_ref().and_then(std::sync::Weak::upgrade) {
            Some(pipe) => pipe,
            None => {
                let pipe = Pipe::new(false);
                *slot = Some(Arc::downgrade(&pipe));
                pipe
            }
        }
    };
    let mode = flags.file_mode();
    let nonblock = flags.contains(OpenFlags::NONBLOCK);
    let reads = mode.contains(FileMode::READ);
    let writes = mode.contains(FileMode::WRITE);
    if !reads && !writes {
        return Err(Errno::EINVAL.into());
    }
    // Linux: fs/pipe.c:fifo_open, `is_pipe`.
    if pipe.nameless {
        return Ok(PipeFile::open(&pipe, mode));
    }
    if writes && !reads && nonblock && pipe.state.lock().readers == 0 {
        return Err(Errno::ENXIO.into());
    }
    let file = PipeFile::open(&pipe, mode);
    if reads && writes {
        return Ok(file);
    }
    if nonblock {
        let state = pipe.state.lock();
        if reads && state.writers == 0 {
            *file.hup_after.lock() = Some(state.writer_opens);
        }
        drop(state);
        return Ok(file);
    }
    let opens = |state: &State| if reads { state.writer_opens } else { state.reader_opens };
    let before = {
        let state = pipe.state.lock();
        let peers = if reads { state.writers } else { state.readers };
        if peers > 0 {
            drop(state);
            return Ok(file);
        }
        opens(&state)
    };
    let mut blocker = Blocker::new(task, None);
    while opens(&pipe.state.lock()) == before {
        let events = Events::READ | Events::WRITE;
        if blocker.wait_on(&pipe.queue, events).await.is_err() {
            return Err(SysError::Restart(Restart::Sys));
        }
    }
    Ok(file)
}
