//! The console of a container: a pair whose screen and keyboard are a terminal of the host.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::errno::Result;
use abi::termios::Winsize;
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, OutputModes, Termios};

use super::{Tty, job};
use crate::executor::{FdEvents, FdKey};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{Events, Listener, WaitKey};

/// Bytes moved at once.
const PIECE: usize = 4096;

/// Moves bytes between the host's terminal and the pair.
pub struct Console {
    kernel: Arc<Kernel>,
    fd: OwnedFd,
    tty: Arc<Tty>,
    moving: Mutex<Moving>,
    again: AtomicBool,
    /// The pair was told that the host's terminal is gone, or need not be.
    hung_up: AtomicBool,
    /// As it was found, to be put back.
    before: (OFlags, Option<Termios>),
    /// Registrations, which keep this object alive.
    keys: Mutex<Option<(FdKey, WaitKey)>>,
}

/// What has left one side and not reached the other.
#[derive(Default)]
struct Moving {
    to_guest: Vec<u8>,
    to_host: Vec<u8>,
    host_gone: bool,
}

fn host(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

impl Console {
    /// Begins to move bytes. The host's terminal becomes raw.
    pub fn new(kernel: &Arc<Kernel>, fd: OwnedFd, tty: Arc<Tty>, size: Option<(u16, u16)>) -> Result<Arc<Console>> {
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(host)?;
        let settings = rustix::termios::tcgetattr(&fd).ok();
        if let Some(settings) = &settings {
            // Who reads the other side may want lines as they were written.
            tty.set_onlcr(settings.output_modes.contains(OutputModes::ONLCR));
            let mut raw = settings.clone();
            raw.make_raw();
            let _ = rustix::termios::tcsetattr(&fd, OptionalActions::Now, &raw);
        }
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(host)?;
        let console = Arc::new(Console {
            kernel: kernel.clone(),
            fd,
            tty,
            moving: Mutex::default(),
            again: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            before: (flags, settings),
            keys: Mutex::default(),
        });
        match size {
            Some((row, col)) if row > 0 && col > 0 => console.tty.set_winsize(Winsize {
                row,
                col,
                ..Winsize::default()
            }),
            _ => console.resize(),
        }
        let listener: Arc<dyn Listener> = console.clone();
        let host =
            console
                .kernel
                .executor
                .watch_fd(console.fd.as_fd(), FdEvents::IN | FdEvents::OUT, listener.clone())?;
        let guest = console.tty.master_queue.listen(Events::READ | Events::WRITE, listener);
        *console.keys.lock() = Some((host, guest));
        Ok(console)
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The pair.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// Makes the pair the controlling terminal of a task's session.
    pub fn control(&self, task: &Arc<Task>) {
        job::force(&self.tty, task);
    }

    /// Takes the size of the host's terminal over.
    pub fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.fd) {
            self.tty.set_winsize(Winsize {
                row: size.ws_row,
                col: size.ws_col,
                xpixel: size.ws_xpixel,
                ypixel: size.ws_ypixel,
            });
        }
    }

    /// Everything written has reached the host, or cannot any more.
    pub fn is_drained(&self) -> bool {
        self.pump();
        let moving = self.moving.lock();
        moving.host_gone || (moving.to_host.is_empty() && self.tty.is_drained())
    }

    /// Moves what can be moved. `Tty::input` tells this console of its own echo: whoever pumps already goes round again.
    fn pump(&self) {
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            let Some(mut moving) = self.moving.try_lock() else {
                return;
            };
            while self.again.swap(false, Ordering::SeqCst) && !moving.host_gone {
                while self.from_host(&mut moving) | self.to_host(&mut moving) {}
            }
            let gone = moving.host_gone;
            drop(moving);
            if gone && !self.hung_up.swap(true, Ordering::SeqCst) {
                // Whoever held the other side of the host's terminal has closed it.
                self.tty.close_master();
            }
        }
    }

    fn from_host(&self, moving: &mut Moving) -> bool {
        if moving.to_guest.is_empty() {
            let mut buf = [0u8; PIECE];
            match rustix::io::read(&self.fd, &mut buf) {
                Ok(0) => {
                    moving.host_gone = true;
                    return false;
                }
                Ok(n) => moving.to_guest.extend_from_slice(buf.get(..n).unwrap_or_default()),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return false,
                Err(_) => {
                    moving.host_gone = true;
                    return false;
                }
            }
        }
        let n = self.tty.input(&moving.to_guest);
        moving.to_guest.drain(..n);
        n > 0
    }

    fn to_host(&self, moving: &mut Moving) -> bool {
        if moving.to_host.is_empty() {
            moving.to_host = self.tty.take_output(PIECE);
        }
        if moving.to_host.is_empty() {
            return false;
        }
        match rustix::io::write(&self.fd, &moving.to_host) {
            Ok(n) => {
                moving.to_host.drain(..n);
                n > 0
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            Err(_) => {
                moving.host_gone = true;
                false
            }
        }
    }

    /// Gives the host's terminal back as it was found, and lets go of it: the last one to do so closes it for who reads it.
    pub fn restore(&self) {
        self.hung_up.store(true, Ordering::SeqCst);
        // No more pumping: with the flags as found, a read would block.
        self.moving.lock().host_gone = true;
        if let Some(settings) = &self.before.1 {
            let _ = rustix::termios::tcsetattr(&self.fd, OptionalActions::Drain, settings);
        }
        let _ = rustix::fs::fcntl_setfl(&self.fd, self.before.0);
        if let Some((host, guest)) = self.keys.lock().take() {
            self.kernel.executor.unwatch_fd(self.fd.as_fd(), host);
            self.tty.master_queue.remove(guest);
        }
    }
}

impl Listener for Console {
    fn notify(&self, _events: Events) {
        self.pump();
    }
}
