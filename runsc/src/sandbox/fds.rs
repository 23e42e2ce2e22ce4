//! Descriptors that the processes of a sandbox are given.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::boot::MESSAGE_FD;
use super::{Start, Terminal, control, terminal};
use crate::commands::Env;
use crate::error::{Context, Result};
use crate::log;
use crate::state::Container;

/// The descriptors of a child, with the numbers that it sees.
pub struct Donated {
    pub list: Vec<(OwnedFd, i32)>,
    next: i32,
}

impl Donated {
    /// `stderr`: complaints go where runsc's go. A container that outlives runsc must not hold that open: the engine waits for
    /// its end. They go to `otherwise` then.
    pub fn new(stderr: bool, otherwise: OwnedFd) -> Result<Self> {
        let stderr = if stderr { own_stderr()? } else { otherwise };
        Ok(Self {
            list: vec![(null()?, 0), (null()?, 1), (stderr, 2)],
            next: MESSAGE_FD + 1,
        })
    }

    pub fn add(&mut self, fd: OwnedFd) -> i32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.list.push((fd, number));
        number
    }

    pub fn borrowed(&self) -> Vec<(BorrowedFd<'_>, i32)> {
        self.list.iter().map(|(fd, number)| (fd.as_fd(), *number)).collect()
    }
}

/// Nothing to read, and what is written is gone.
pub fn null() -> Result<OwnedFd> {
    let null = File::options().read(true).write(true).open("/dev/null");
    null.map(OwnedFd::from).context(|| "/dev/null")
}

pub fn message_file<T: serde::Serialize>(message: &T) -> Result<OwnedFd> {
    let file = empty_message()?;
    write_message(&file, message)?;
    Ok(file.into())
}

/// For what is written after the process was made, and before it is let go.
pub fn empty_message() -> Result<File> {
    let file = rustix::fs::memfd_create("config", MemfdFlags::CLOEXEC);
    file.map(File::from).context(|| "donated configuration")
}

/// Leaves the place for reading at the beginning, which both ends share.
pub fn write_message<T: serde::Serialize>(file: &File, message: &T) -> Result<()> {
    let what = || "donated configuration";
    let text = serde_json::to_vec(message).context(what)?;
    file.write_all_at(&text, 0).context(what)
}

pub fn connections(count: u32) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let pair = |_| rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let pairs = (0..count)
        .map(pair)
        .collect::<rustix::io::Result<Vec<_>>>()
        .context(|| "socket pair")?;
    Ok(pairs.into_iter().unzip())
}

/// As much as comes until the other side closes; a report is short.
pub fn read_to_end(fd: BorrowedFd<'_>) -> Result<String> {
    let mut text = String::new();
    let file = File::from(fd.try_clone_to_owned().context(|| "report")?);
    file.take(1 << 16)
        .read_to_string(&mut text)
        .context(|| "the sandbox's report")?;
    Ok(text)
}

/// Where the Sentry leaves its last words.
pub fn exit_file(container: &Container) -> Result<OwnedFd> {
    let path = control::exit_file(container.dir());
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    file.map(OwnedFd::from).context(|| path.display().to_string())
}

/// What becomes the standard streams: three descriptors, or a terminal.
pub fn stdio(terminal: &Terminal, size: Option<(u16, u16)>) -> Result<Vec<OwnedFd>> {
    let what = || "standard streams";
    match terminal {
        Terminal::None => Ok(vec![
            std::io::stdin().as_fd().try_clone_to_owned().context(what)?,
            std::io::stdout().as_fd().try_clone_to_owned().context(what)?,
            std::io::stderr().as_fd().try_clone_to_owned().context(what)?,
        ]),
        Terminal::Null => Ok(vec![null()?, null()?, null()?]),
        Terminal::Own => terminal::own().map(|fd| vec![fd]),
        Terminal::Relay(relay) => relay.slave(size).map(|fd| vec![fd]),
        Terminal::Socket(path) => terminal::hand_out(path, size).map(|fd| vec![fd]),
    }
}

/// Whether both processes may keep this one's standard error: in the foreground, and for those who look for a fault.
pub fn keeps_stderr(env: &Env<'_>, start: &Start) -> bool {
    let debug = env.globals.debug || env.globals.strace;
    start.foreground || debug && matches!(start.terminal, Terminal::None)
}

/// Where the Sentry's log goes, if anywhere.
pub fn log_file(env: &Env<'_>, stderr: bool) -> Result<Option<OwnedFd>> {
    match &env.globals.debug_log {
        Some(path) => Ok(Some(log::append(path)?.into())),
        None if stderr && (env.globals.debug || env.globals.strace) => own_stderr().map(Some),
        None => Ok(None),
    }
}

fn own_stderr() -> Result<OwnedFd> {
    let stderr = std::io::stderr();
    stderr.as_fd().try_clone_to_owned().context(|| "standard error")
}
