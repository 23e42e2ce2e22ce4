//! Terminals on the host's side: the user's own, made raw and restored, or a new one for an engine.

use std::io::{IoSlice, IsTerminal};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Termios, Winsize};

use crate::error::{Context, Error, Result};

/// The terminal that runsc runs on.
pub fn own() -> Result<OwnedFd> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::new(
            "config.json: process.terminal: standard input is not a terminal",
        ));
    }
    stdin.as_fd().try_clone_to_owned().context(|| "terminal")
}

/// Whether all three standard streams are one terminal that this process may use.
pub fn have_own() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal() && have_keyboard()
}

/// Whether standard input is a terminal that this process may use: in the background it is somebody else's.
pub fn have_keyboard() -> bool {
    std::io::stdin().is_terminal()
        && rustix::termios::tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Raw mode of the own terminal, for as long as this lives.
pub struct Raw {
    before: Termios,
}

impl Raw {
    pub fn new() -> Result<Self> {
        Self::with_output(false)
    }

    /// `processed`: what is written is still the terminal's to lay out.
    pub fn with_output(processed: bool) -> Result<Self> {
        let what = || "terminal";
        let before = rustix::termios::tcgetattr(std::io::stdin()).context(what)?;
        let mut raw = before.clone();
        raw.make_raw();
        if processed {
            raw.output_modes |= before.output_modes & OutputModes::OPOST;
        }
        rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context(what)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Makes a terminal and sends its master end to an engine's socket; gives the other end.
pub fn hand_out(socket: &Path, size: Option<(u16, u16)>) -> Result<OwnedFd> {
    let master = new()?;
    let slave = slave(&master, size)?;
    send(&master, socket)?;
    Ok(slave)
}

/// The master end of a new terminal.
pub fn new() -> Result<OwnedFd> {
    let what = || "new terminal";
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).context(what)?;
    rustix::pty::grantpt(&master).context(what)?;
    rustix::pty::unlockpt(&master).context(what)?;
    Ok(master)
}

/// Its other end, which is raw: the guest's own terminal does the line editing.
pub fn slave(master: &OwnedFd, size: Option<(u16, u16)>) -> Result<OwnedFd> {
    let what = || "new terminal";
    let name = rustix::pty::ptsname(master, Vec::new()).context(what)?;
    let open = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(&name, open, Mode::empty()).context(what)?;
    let mut attributes = rustix::termios::tcgetattr(&slave).context(what)?;
    attributes.make_raw();
    rustix::termios::tcsetattr(&slave, OptionalActions::Now, &attributes).context(what)?;
    if let Some((ws_row, ws_col)) = size {
        let size = Winsize {
            ws_row,
            ws_col,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&slave, size).context(what)?;
    }
    Ok(slave)
}

fn send(master: &OwnedFd, path: &Path) -> Result<()> {
    let what = || format!("console socket {}", path.display());
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
    let address = rustix::net::SocketAddrUnix::new(path).context(what)?;
    rustix::net::connect(&socket, &address).context(what)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [master.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Error::new("console socket: no room for a descriptor"));
    }
    // The name is what runc sends; receivers only look at the descriptor.
    rustix::net::sendmsg(
        &socket,
        &[IoSlice::new(b"/dev/ptmx")],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map(drop)
    .context(what)
}
