//! Host files that were donated as open fds: standard input and output, preserved fds.
//!
//! The open file description is shared with whoever gave it, so its flags are never changed: before an operation that could
//! block, the host is asked whether it would.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use abi::errno::Result;
use abi::{Errno, SysResult};
use rustix::event::{PollFd, PollFlags};
use rustix::fs as host_fs;

use crate::executor::{Executor, FdEvents, FdKey};
use crate::fs::{
    File, FileMode, FileOps, FileType, Inode, InodeOps, OpenFlags, OpenHow, Path, SeekFrom, Sink, Source, Stat,
    Timestamp, WriteAt,
};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Events, Listener, WaitQueue};

/// Most bytes that a pipe takes without blocking once it is ready (`PIPE_BUF`).
const PIPE_BUF: usize = 4096;
const CHUNK: usize = 1 << 16;

fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

/// The donated description, shared by all guest files that stand on it.
struct Host {
    fd: Arc<OwnedFd>,
    kind: FileType,
    executor: Arc<Executor>,
    queue: Arc<WaitQueue>,
    watch: OnceLock<Option<FdKey>>,
    /// Where the host's own position is, as far as known: sequential use goes through it, for others share it.
    position: Mutex<u64>,
}

struct WakeQueue(Arc<WaitQueue>);

impl Listener for WakeQueue {
    fn notify(&self, events: Events) {
        self.0.wake(events | Events::READ | Events::WRITE);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(Some(key)) = self.watch.take() {
            self.executor.unwatch_fd(self.fd.as_fd(), key);
        }
    }
}

/// A guest's open file over it.
struct HostFile(Arc<Host>);

/// What `stat` and `/proc/PID/fd/N` show of it.
struct HostInode(Arc<Host>);

/// Makes an open file of a donated fd, with the access mode that the host gave it.
pub fn file(kernel: &Kernel, fd: impl Into<Arc<OwnedFd>>) -> Result<Arc<File>> {
    let fd = fd.into();
    let stat = host_fs::fstat(&fd).map_err(errno)?;
    let flags = host_fs::fcntl_getfl(&fd).map_err(errno)?;
    let kind = FileType::from_mode(stat.st_mode).unwrap_or(FileType::CharDevice);
    let position = host_fs::tell(&fd).unwrap_or(0);
    let host = Arc::new(Host {
        fd,
        kind,
        executor: kernel.executor.clone(),
        queue: Arc::default(),
        watch: OnceLock::new(),
        position: Mutex::new(position),
    });
    let text = match kind {
        FileType::Fifo => format!("pipe:[{}]", stat.st_ino),
        FileType::Socket => format!("socket:[{}]", stat.st_ino),
        _ => format!("host:[{}]", stat.st_ino),
    };
    let mnt = &kernel.vfs.anon.inode;
    let inode = Inode::new(Box::new(HostInode(host.clone())), mnt.sb.clone(), stat.st_ino, kind);
    let path = Path::new_unnamed(mnt, inode, text.as_bytes());
    let keep = host_fs::OFlags::RDWR | host_fs::OFlags::WRONLY | host_fs::OFlags::APPEND;
    let flags = OpenFlags::from_bits_truncate((flags & keep).bits());
    let mut mode = flags.file_mode();
    if kind == FileType::Regular {
        mode |= FileMode::SEEK;
    }
    let file = File::new(Arc::new(HostFile(host)), path, mode, flags);
    *file.pos.lock() = position;
    Ok(file)
}

impl Host {
    fn ready(&self) -> Events {
        let mut fds = [PollFd::from_borrowed_fd(
            self.fd.as_fd(),
            PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP,
        )];
        let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        match rustix::event::poll(&mut fds, Some(&zero)) {
            Ok(n) if n > 0 => {
                let got = fds.first().map_or(PollFlags::empty(), PollFd::revents);
                let mut events = Events::from_bits_truncate(u32::from(got.bits()));
                if events.contains(Events::IN) {
                    events |= Events::RDNORM;
                }
                if events.contains(Events::OUT) {
                    events |= Events::WRNORM;
                }
                events
            }
            _ => Events::empty(),
        }
    }

    fn regular(&self) -> bool {
        self.kind == FileType::Regular
    }

    fn read_once(&self, buf: &mut [u8], pos: u64) -> Result<usize> {
        if !self.regular() {
            if !self
                .ready()
                .intersects(Events::READ | Events::HUP | Events::ERR | Events::RDHUP)
            {
                return Err(Errno::EAGAIN);
            }
            return rustix::io::read(&self.fd, buf).map_err(errno);
        }
        let mut position = self.position.lock();
        if *position == pos {
            let n = rustix::io::read(&self.fd, buf).map_err(errno)?;
            *position += abi::conv::usize64(n);
            return Ok(n);
        }
        rustix::io::pread(&self.fd, buf, pos).map_err(errno)
    }

    fn write_once(&self, buf: &[u8], at: &mut WriteAt) -> Result<usize> {
        if !self.regular() {
            let ready = self.ready();
            if !ready.intersects(Events::WRITE | Events::HUP | Events::ERR) {
                return Err(Errno::EAGAIN);
            }
            return rustix::io::write(&self.fd, buf).map_err(errno);
        }
        let mut position = self.position.lock();
        let n = if *position == at.pos || at.append {
            let n = rustix::io::write(&self.fd, buf).map_err(errno)?;
            *position = host_fs::tell(&self.fd).unwrap_or(*position + abi::conv::usize64(n));
            at.end = *position;
            n
        } else {
            let n = rustix::io::pwrite(&self.fd, buf, at.pos).map_err(errno)?;
            at.end = at.pos + abi::conv::usize64(n);
            n
        };
        Ok(n)
    }
}

impl FileOps for HostFile {
    fn read(&self, _: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let want = dst.remaining();
        if want == 0 {
            return Ok(0);
        }
        let mut buf = vec![0u8; want.min(CHUNK)];
        let n = self.0.read_once(&mut buf, pos)?;
        dst.put(buf.get(..n).unwrap_or_default())
    }

    fn write(&self, _: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        let chunk = if self.0.regular() { CHUNK } else { PIPE_BUF };
        let mut buf = vec![0u8; src.remaining().min(chunk)];
        let mut done = 0;
        while src.remaining() > 0 {
            let n = match src.take(&mut buf) {
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            match self.0.write_once(buf.get(..n).unwrap_or_default(), at) {
                Ok(written) => {
                    done += written;
                    at.pos = at.end;
                    if written < n {
                        src.put_back(n - written);
                        break;
                    }
                }
                Err(e) => {
                    src.put_back(n);
                    return if done == 0 { Err(e) } else { Ok(done) };
                }
            }
        }
        Ok(done)
    }

    fn seek(&self, _: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        if !self.0.regular() {
            return Err(Errno::ESPIPE);
        }
        let size = || host_fs::fstat(&self.0.fd).map(|s| s.st_size).map_err(errno);
        let (base, offset) = match to {
            SeekFrom::Start(offset) => (0, offset),
            SeekFrom::Current(offset) => (i64::try_from(pos).map_err(|_| Errno::EOVERFLOW)?, offset),
            SeekFrom::End(offset) => (size()?, offset),
            SeekFrom::Data(offset) | SeekFrom::Hole(offset) => {
                let size = size()?;
                if offset < 0 || offset >= size {
                    return Err(Errno::ENXIO);
                }
                return u64::try_from(if matches!(to, SeekFrom::Data(_)) { offset } else { size })
                    .map_err(|_| Errno::EINVAL);
            }
        };
        let new = base
            .checked_add(offset)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or(Errno::EINVAL)?;
        // Others who share the description see the position move.
        if host_fs::seek(&self.0.fd, host_fs::SeekFrom::Start(new)).is_ok() {
            *self.0.position.lock() = new;
        }
        Ok(new)
    }

    fn poll(&self, _: &File) -> Events {
        if self.0.regular() {
            Events::READ | Events::WRITE
        } else {
            self.0.ready()
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        if self.0.regular() {
            return None;
        }
        // Only from the first wait on: a pipe that never fills costs no events.
        self.0.watch.get_or_init(|| {
            let events = FdEvents::IN | FdEvents::OUT | FdEvents::RDHUP;
            let listener = Arc::new(WakeQueue(self.0.queue.clone()));
            self.0.executor.watch_fd(self.0.fd.as_fd(), events, listener).ok()
        });
        Some(&self.0.queue)
    }

    fn ioctl(&self, cx: &mut Cx, _: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        const TIOCGWINSZ: u32 = 0x5413;
        const TCGETS: u32 = 0x5401;
        const FIONREAD: u32 = 0x541b;
        let arg = UserAddr(arg);
        match cmd {
            TIOCGWINSZ if self.0.kind == FileType::CharDevice => {
                let size = rustix::termios::tcgetwinsize(&self.0.fd).map_err(errno)?;
                cx.write_obj(arg, &[size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])?;
                Ok(0)
            }
            TCGETS if self.0.kind == FileType::CharDevice => {
                let t = rustix::termios::tcgetattr(&self.0.fd).map_err(errno)?;
                let mut out = [0u8; 36];
                let words = [
                    t.input_modes.bits(),
                    t.output_modes.bits(),
                    t.control_modes.bits(),
                    t.local_modes.bits(),
                ];
                for (to, word) in out.chunks_exact_mut(4).zip(words) {
                    to.copy_from_slice(&word.to_le_bytes());
                }
                cx.write_bytes(arg, &out)?;
                Ok(0)
            }
            FIONREAD if matches!(self.0.kind, FileType::Fifo | FileType::Socket | FileType::CharDevice) => {
                let n = rustix::io::ioctl_fionread(&self.0.fd).map_err(errno)?;
                cx.write_obj(arg, &i32::try_from(n).unwrap_or(i32::MAX))?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY.into()),
        }
    }

    fn fsync(&self, _: &File, data_only: bool) -> Result<()> {
        if !self.0.regular() {
            return Err(Errno::EINVAL);
        }
        let fd = &self.0.fd;
        if data_only {
            host_fs::fdatasync(fd)
        } else {
            host_fs::fsync(fd)
        }
        .map_err(errno)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn time(sec: i64, nsec: impl TryInto<u32>) -> Timestamp {
    Timestamp {
        sec,
        nsec: nsec.try_into().unwrap_or(0),
    }
}

impl InodeOps for HostInode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let st = host_fs::fstat(&self.0.fd).map_err(errno)?;
        Ok(Stat {
            dev: inode.sb.dev,
            ino: st.st_ino,
            mode: st.st_mode,
            nlink: u32::try_from(st.st_nlink).unwrap_or(1),
            uid: st.st_uid,
            gid: st.st_gid,
            rdev: st.st_rdev,
            size: u64::try_from(st.st_size).unwrap_or(0),
            blksize: 4096,
            blocks: u64::try_from(st.st_blocks).unwrap_or(0),
            atime: time(st.st_atime, st.st_atime_nsec),
            mtime: time(st.st_mtime, st.st_mtime_nsec),
            ctime: time(st.st_ctime, st.st_ctime_nsec),
            btime: Timestamp::default(),
        })
    }

    /// Through `/proc/PID/fd/N`: the same description again (`/dev/stdout`).
    fn open(&self, _: &Arc<Inode>, _: &OpenHow) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(HostFile(self.0.clone())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
