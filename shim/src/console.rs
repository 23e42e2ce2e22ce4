//! Terminals: receiving one from `runsc`, and carrying bytes between it and containerd's fifos.

use std::fs::File;
use std::io::{IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use containerd_shim::{Error, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::termios::{SpecialCodeIndex, Winsize};

use crate::children::lock;

fn failed(e: impl std::fmt::Display) -> Error {
    Error::Other(format!("terminal: {e}"))
}

/// Where a new terminal's master end is received.
pub struct Socket {
    listener: UnixListener,
    pub path: PathBuf,
}

impl Socket {
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The shim's own socket is there too. A bundle's path can be too long for one.
        let dir = Path::new("/run/containerd/s");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("pty-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(|e| failed(format_args!("{}: {e}", path.display())))?;
        Ok(Self { listener, path })
    }

    /// Takes the terminal that has been sent.
    pub fn receive(self) -> Result<File> {
        self.listener.set_nonblocking(true).map_err(failed)?;
        let (stream, _) = self.listener.accept().map_err(|_| failed("runsc sent none"))?;
        stream.set_nonblocking(false).map_err(failed)?;
        receive(&stream).map(File::from)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn receive(stream: &UnixStream) -> Result<OwnedFd> {
    let mut name = [0; 256];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut name)], &mut control, flags).map_err(failed)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(failed("runsc sent none"))
}

/// A terminal and its carriers.
pub struct Console {
    master: File,
    input: Mutex<Option<Carrier>>,
    output: Mutex<Option<Carrier>>,
}

/// A thread that copies until the source ends or this is dropped.
struct Carrier {
    thread: JoinHandle<()>,
    _stop: PipeWriter,
}

impl Carrier {
    fn start(copy: impl FnOnce(&PipeReader) + Send + 'static) -> Result<Self> {
        let (stopped, stop) = std::io::pipe().map_err(failed)?;
        let thread = std::thread::spawn(move || copy(&stopped));
        Ok(Self { thread, _stop: stop })
    }
}

impl Console {
    /// Both files are this side's own: they are made non-blocking.
    pub fn new(master: File, input: Option<File>, output: Option<File>) -> Result<Self> {
        rustix::io::ioctl_fionbio(&master, true).map_err(failed)?;
        let carry_in = match input {
            Some(mut from) => {
                let mut to = master.try_clone().map_err(failed)?;
                Some(Carrier::start(move |stopped| {
                    if copy(&mut from, &mut to, stopped) {
                        end_of_file(&mut to, stopped);
                    }
                })?)
            }
            None => None,
        };
        let carry_out = match output {
            Some(mut to) => {
                rustix::io::ioctl_fionbio(&to, true).map_err(failed)?;
                let mut from = master.try_clone().map_err(failed)?;
                Some(Carrier::start(move |stopped| {
                    copy(&mut from, &mut to, stopped);
                })?)
            }
            None => None,
        };
        Ok(Self {
            master,
            input: Mutex::new(carry_in),
            output: Mutex::new(carry_out),
        })
    }

    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        let size = Winsize {
            ws_row: height,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&self.master, size).map_err(failed)
    }

    /// The process has ended: it reads no more. What it wrote is still carried.
    pub fn end_input(&self) {
        *lock(&self.input) = None;
    }

    /// Whether output may still come: from a process, or out of the terminal's buffer.
    pub fn is_carrying(&self) -> bool {
        lock(&self.output)
            .as_ref()
            .is_some_and(|carrier| !carrier.thread.is_finished())
    }

    /// Waits until all has been carried, but not for a process that holds the terminal on, nor for a reader that does not read.
    pub fn drain(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.is_carrying() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Tells the reader at the terminal what a user's ^D would.
fn end_of_file(master: &mut File, stopped: &PipeReader) {
    if let Ok(mode) = rustix::termios::tcgetattr(&*master) {
        let _ = write(master, &[mode.special_codes[SpecialCodeIndex::VEOF]], stopped);
    }
}

/// Until the source ends (true), or it is stopped or fails, as a terminal does whose last holder has gone.
fn copy(from: &mut File, to: &mut File, stopped: &PipeReader) -> bool {
    let mut buf = vec![0; 32 << 10];
    loop {
        if !ready(from, PollFlags::IN, stopped) {
            return false;
        }
        match from.read(&mut buf) {
            Ok(0) => return true,
            Ok(n) => {
                if !write(to, buf.get(..n).unwrap_or_default(), stopped) {
                    return false;
                }
            }
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) => {}
            Err(_) => return false,
        }
    }
}

fn write(to: &mut File, mut data: &[u8], stopped: &PipeReader) -> bool {
    while !data.is_empty() {
        if !ready(to, PollFlags::OUT, stopped) {
            return false;
        }
        match to.write(data) {
            Ok(n) => data = data.get(n..).unwrap_or_default(),
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Waits for the file; false if stopped.
fn ready(file: &File, flags: PollFlags, stopped: &PipeReader) -> bool {
    loop {
        let mut polled = [PollFd::new(stopped, PollFlags::IN), PollFd::new(file, flags)];
        match rustix::event::poll(&mut polled, None) {
            Ok(_) => return polled.first().is_some_and(|p| p.revents().is_empty()),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> (File, File) {
        let (reader, writer) = std::io::pipe().unwrap();
        (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
    }

    #[test]
    fn nothing_is_lost_and_nothing_hangs() {
        let (stopped, stop) = std::io::pipe().unwrap();
        let ((mut from, mut source), (mut sink, mut to)) = (pipe(), pipe());
        rustix::io::ioctl_fionbio(&to, true).unwrap();
        let thread = std::thread::spawn(move || copy(&mut from, &mut to, &stopped));
        let data: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let feed = data.clone();
        let feeder = std::thread::spawn(move || source.write_all(&feed).map(|()| source));
        let mut seen = vec![0; data.len()];
        sink.read_exact(&mut seen).unwrap();
        assert!(seen == data);
        // More than the pipes hold, and nobody reads: it can still be stopped.
        let mut source = feeder.join().unwrap().unwrap();
        let feeder = std::thread::spawn(move || source.write_all(&data));
        std::thread::sleep(Duration::from_millis(50));
        drop(stop);
        assert!(!thread.join().unwrap());
        assert!(feeder.join().unwrap().is_err());
    }
}
