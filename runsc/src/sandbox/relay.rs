//! A terminal for the guest where runsc's own standard streams are not one: what is read here is typed there, and what
//! appears there is written here.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{OptionalActions, OutputModes, Winsize};

use super::terminal::{self, Raw};
use crate::error::{Context, Result};

/// The side of the terminal that runsc keeps.
#[derive(Debug)]
pub struct Relay {
    master: Arc<OwnedFd>,
}

/// Both streams, for as long as this lives.
pub struct Running {
    /// Its end tells the writer that nothing will come any more.
    stop: Option<OwnedFd>,
    output: Option<JoinHandle<()>>,
    _raw: Option<Raw>,
}

impl Relay {
    pub fn new() -> Result<Self> {
        Ok(Self {
            master: Arc::new(terminal::new()?),
        })
    }

    /// The guest's side.
    pub fn slave(&self, size: Option<(u16, u16)>) -> Result<OwnedFd> {
        let slave = terminal::slave(&self.master, size)?;
        // Readers of a pipe want lines as programs write them, and a terminal of the host does the rest by itself.
        let mut attributes = rustix::termios::tcgetattr(&slave).context(|| "new terminal")?;
        attributes.output_modes.remove(OutputModes::ONLCR);
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &attributes).context(|| "new terminal")?;
        if size.is_none() {
            self.resize();
        }
        Ok(slave)
    }

    /// Takes the size of the terminal over that one of the streams may be.
    pub fn resize(&self) {
        if let Some(size) = own_size() {
            let _ = rustix::termios::tcsetwinsize(&*self.master, size);
        }
    }

    /// Begins to carry.
    pub fn run(&self) -> Result<Running> {
        let raw = terminal::have_keyboard().then(|| Raw::with_output(true)).transpose()?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
        let master = self.master.clone();
        // It may wait for input for ever, and ends with the process.
        std::thread::Builder::new()
            .spawn(move || carry_input(&master))
            .context(|| "thread")?;
        let master = self.master.clone();
        let output = std::thread::Builder::new()
            .spawn(move || carry_output(&master, stopped.as_fd()))
            .context(|| "thread")?;
        Ok(Running {
            stop: Some(stop),
            output: Some(output),
            _raw: raw,
        })
    }
}

impl Drop for Running {
    /// What was written until now still goes out.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
    }
}

fn own_size() -> Option<Winsize> {
    let streams = [
        std::io::stderr()
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(std::io::stderr())),
        std::io::stdout()
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(std::io::stdout())),
        std::io::stdin()
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(std::io::stdin())),
    ];
    streams.into_iter().flatten().find_map(|size| size.ok())
}

fn carry_input(master: &OwnedFd) {
    let mut buf = [0u8; 4096];
    loop {
        match rustix::io::read(std::io::stdin(), &mut buf) {
            // A terminal does not end where a file does.
            Ok(0) => return,
            Ok(n) if write_all(master.as_fd(), buf.get(..n).unwrap_or_default()).is_err() => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn carry_output(master: &OwnedFd, stopped: BorrowedFd<'_>) {
    let mut buf = [0u8; 4096];
    let mut last = false;
    loop {
        let mut polled = [
            PollFd::new(master, PollFlags::IN),
            PollFd::from_borrowed_fd(stopped, PollFlags::IN),
        ];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match rustix::event::poll(&mut polled, last.then_some(&none)) {
            Ok(0) => return,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        let [output, stop] = polled.map(|p| p.revents());
        if output.contains(PollFlags::IN) {
            match rustix::io::read(master, &mut buf) {
                // Where nobody reads any more the guest's output has nowhere to go, as on a terminal that was closed.
                Ok(n) if n > 0 && write_all(std::io::stdout().as_fd(), buf.get(..n).unwrap_or_default()).is_ok() => {}
                Err(Errno::INTR) => {}
                _ => return,
            }
        } else if last {
            return;
        } else if stop.is_empty() {
            // A hang-up: the guest's side is closed by everybody, and may have been so for a moment only.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        last |= !stop.is_empty();
    }
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        match rustix::io::write(fd, data) {
            Ok(n) => data = data.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                let _ = rustix::event::poll(&mut polled, None);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
