//! `runsc exec-stub`: the host process that stands for a process of `exec`, or for the first one of a container
//! of a pod. It lives as long as the guest's, passes signals
//! on to it, and ends as it did: engines wait for this one, signal it, and look at its cgroup. Its death is the guest's.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;
use sentry::boot::control::{Reply, Request};
use serde::{Deserialize, Serialize};

use super::boot::MESSAGE_FD;
use super::control::Connection;
use super::{Relay, jail};
use crate::error::{Context, Error, Result};

/// Descriptor of the connection to the Sentry.
pub const CONNECTION_FD: i32 = 4;

/// Descriptor of the terminal, if there is one.
pub const TERMINAL_FD: i32 = 5;

/// Descriptor of the file for the wait status, if there is one.
pub const EXIT_FD: i32 = 6;

/// Wait status of a process whose sandbox has gone.
const KILLED: i32 = 9;

/// What `runsc exec` tells this process.
#[derive(Serialize, Deserialize)]
pub struct StubMessage {
    /// Directories of the container's cgroup.
    pub cgroup: Vec<PathBuf>,
    /// The terminal is this process's: it hears of changes of its size.
    pub terminal: bool,
    /// The process is a container's first: its wait status is written down.
    pub exit: bool,
    /// The name of a UTS namespace of its own.
    pub hostname: Option<String>,
    /// End when the runsc that waits in the foreground ends.
    pub die_with_parent: bool,
}

/// Stands for the guest's process; gives the exit code, unless that process was killed by a signal, as this one is then.
pub fn stub_main() -> i32 {
    match stand() {
        Ok(status) => end(status),
        Err(e) => {
            eprintln!("runsc exec-stub: {e}");
            128
        }
    }
}

fn stand() -> Result<i32> {
    let fd = platform::host::inherited::take(MESSAGE_FD).context(|| "donated configuration")?;
    let message: StubMessage =
        serde_json::from_slice(&jail::read_all(fd.as_fd())?).context(|| "donated configuration")?;
    drop(fd);
    let set = SigSet::all();
    set.thread_block().context(|| "block signals")?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&set, flags).context(|| "signalfd")?;
    let socket = platform::host::inherited::take(CONNECTION_FD).context(|| "donated connection")?;
    let connection = Connection { socket };
    let terminal = match message.terminal {
        true => {
            let fd = platform::host::inherited::take(TERMINAL_FD).context(|| "donated terminal")?;
            // Its other end may be closed already; the guest's terminal hears of that by itself.
            let _ = rustix::process::ioctl_tiocsctty(&fd);
            // Nobody was told of a change before this.
            let _ = connection.send(&Request::Resized, &[]);
            Some(fd)
        }
        false => None,
    };
    let exit = match message.exit {
        true => Some(platform::host::inherited::take(EXIT_FD).context(|| "donated exit file")?),
        false => None,
    };
    enter(&message.cgroup);
    // A core would be one of this process.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::chdir("/");
    if let Some(name) = &message.hostname {
        rustix::system::sethostname(name.as_bytes()).context(|| "set the host name")?;
    }
    jail::drop_capabilities(CapabilitySet::empty())?;
    if message.die_with_parent {
        // After the capabilities, as in `boot.rs`.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .context(|| "die with runsc")?;
    }
    let stand = Stand {
        connection: &connection,
        signals: &signals,
        terminal: terminal.is_some(),
        relay: None,
    };
    if terminal.is_some() {
        // The process runs already: another size may have come before there was anybody to hear of it.
        let _ = connection.send(&Request::Resized, &[]);
    }
    let status = stand.until_end()?;
    if let Some(exit) = exit {
        let _ = rustix::io::write(&exit, status.to_string().as_bytes());
    }
    Ok(status)
}

/// Moves this process into the container's cgroup. Where it cannot be, the process runs all the same: the guest's own work
/// is done by the sandbox, which is in it.
pub fn enter(cgroup: &[PathBuf]) {
    for dir in cgroup {
        let _ = std::fs::write(dir.join("cgroup.procs"), "0");
    }
}

/// Ends as the guest's process did.
fn end(status: i32) -> i32 {
    let number = status & 0x7f;
    if number == 0 {
        return (status >> 8) & 0xff;
    }
    if let Ok(signal) = Signal::try_from(number) {
        let _ = nix::sys::signal::raise(signal);
        let mut set = SigSet::empty();
        set.add(signal);
        let _ = set.thread_unblock();
    }
    128 + number
}

/// Standing for a process.
pub struct Stand<'a> {
    pub connection: &'a Connection,
    pub signals: &'a SignalFd,
    pub terminal: bool,
    /// The terminal is a new one before which this process stands.
    pub relay: Option<&'a Relay>,
}

impl Stand<'_> {
    /// Passes signals on until the process has ended; gives its wait status.
    pub fn until_end(&self) -> Result<i32> {
        loop {
            let (ended, signalled) = poll(self.connection.socket.as_fd(), self.signals.as_fd())?;
            if signalled {
                while let Ok(Some(info)) = self.signals.read_signal() {
                    self.pass_on(info.ssi_signo);
                }
            }
            if ended {
                return match self.connection.receive()? {
                    Some(Reply::Ended { status }) => Ok(status),
                    // The sandbox has gone, and the process with it.
                    None => Ok(KILLED),
                    Some(other) => Err(Error::new(format!("the sandbox gave a strange answer: {other:?}"))),
                };
            }
        }
    }

    fn pass_on(&self, number: u32) {
        let Ok(signal) = i32::try_from(number) else { return };
        let request = match Signal::try_from(signal) {
            Ok(Signal::SIGWINCH) if self.terminal => {
                self.relay.inspect(|relay| relay.resize());
                Request::Resized
            }
            // About this process, not to it.
            Ok(Signal::SIGCHLD | Signal::SIGTTOU | Signal::SIGTTIN) => return,
            _ => Request::Tell { signal },
        };
        // A process that has ended need not be told.
        let _ = self.connection.send(&request, &[]);
    }
}

/// Which of the two is readable.
fn poll(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<(bool, bool)> {
    let mut polled = [
        PollFd::from_borrowed_fd(one, PollFlags::IN),
        PollFd::from_borrowed_fd(other, PollFlags::IN),
    ];
    match rustix::event::poll(&mut polled, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(e) => return Err(e).context(|| "wait for the process"),
    }
    let [one, other] = polled.map(|p| !p.revents().is_empty());
    Ok((one, other))
}
