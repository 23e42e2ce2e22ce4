//! Standard streams of a container's process: fifos that containerd made, files, or a terminal.

use std::fs::{File, OpenOptions};
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use containerd_shim::{Error, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::termios::Winsize;

use crate::tasks::lock;

/// What containerd asked for.
#[derive(Clone, Default)]
pub struct Wanted {
    pub terminal: bool,
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
}

/// The shim's side of them, for as long as the process lives.
#[derive(Default)]
pub struct Io {
    /// Keeps the input open until containerd closes it.
    stdin: Mutex<Option<File>>,
    /// Both ends of the outputs: whoever reads them may go and come back.
    outputs: Mutex<Vec<File>>,
    console: Mutex<Option<File>>,
    copier: Mutex<Option<JoinHandle<()>>>,
}

fn bad(path: &str, e: impl std::fmt::Display) -> Error {
    Error::Other(format!("standard streams: {path}: {e}"))
}

/// A fifo opened so that neither end is missed, or a file.
fn output(path: &str) -> Result<Option<(File, File)>> {
    if path.is_empty() {
        return Ok(None);
    }
    let (name, file) = match path.split_once("://") {
        Some(("file", name)) => (name, true),
        Some(("fifo", name)) => (name, false),
        Some((other, _)) => return Err(bad(path, format_args!("{other} is not supported"))),
        None => (path, false),
    };
    let open = |options: &mut OpenOptions| options.open(name).map_err(|e| bad(path, e));
    let keeper = match file {
        true => open(OpenOptions::new().append(true).create(true))?,
        false => open(OpenOptions::new().read(true).write(true))?,
    };
    let writer = open(OpenOptions::new().append(true))?;
    Ok(Some((keeper, writer)))
}

fn input(path: &str) -> Result<Option<(File, File)>> {
    if path.is_empty() {
        return Ok(None);
    }
    let name = path.strip_prefix("fifo://").unwrap_or(path);
    let open = |options: &mut OpenOptions| options.open(name).map_err(|e| bad(path, e));
    let keeper = open(OpenOptions::new().read(true).write(true))?;
    Ok(Some((keeper, open(OpenOptions::new().read(true))?)))
}

/// Where a new terminal's master end is received.
pub struct ConsoleSocket {
    listener: UnixListener,
    pub path: PathBuf,
}

impl Io {
    /// Gives a command its streams; with a terminal, the socket to name to it.
    pub fn prepare(
        wanted: &Wanted,
        dir: &Path,
        name: &str,
        command: &mut Command,
    ) -> Result<(Io, Option<ConsoleSocket>)> {
        let io = Io::default();
        if wanted.terminal {
            let path = dir.join(format!("{name}.pty"));
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).map_err(|e| bad(&path.display().to_string(), e))?;
            command.arg("--console-socket").arg(&path);
            return Ok((io, Some(ConsoleSocket { listener, path })));
        }
        if let Some((keeper, reader)) = input(&wanted.stdin)? {
            command.stdin(Stdio::from(reader));
            *lock(&io.stdin) = Some(keeper);
        }
        for (path, error) in [(&wanted.stdout, false), (&wanted.stderr, true)] {
            let Some((keeper, writer)) = output(path)? else {
                continue;
            };
            lock(&io.outputs).push(keeper);
            match error {
                false => command.stdout(writer),
                true => command.stderr(writer),
            };
        }
        Ok((io, None))
    }

    /// Takes the terminal that `runsc` has sent, and copies between it and the fifos.
    pub fn attach(&self, wanted: &Wanted, socket: &ConsoleSocket) -> Result<()> {
        let failed = |e: std::io::Error| bad("console socket", e);
        let (stream, _) = socket.listener.accept().map_err(failed)?;
        let master = File::from(receive(&stream)?);
        if let Some((keeper, mut from)) = input(&wanted.stdin)? {
            let mut to = master.try_clone().map_err(failed)?;
            *lock(&self.stdin) = Some(keeper);
            std::thread::spawn(move || drop(copy(&mut from, &mut to)));
        }
        if let Some((keeper, mut to)) = output(&wanted.stdout)? {
            let mut from = master.try_clone().map_err(failed)?;
            lock(&self.outputs).push(keeper);
            *lock(&self.copier) = Some(std::thread::spawn(move || drop(copy(&mut from, &mut to))));
        }
        *lock(&self.console) = Some(master);
        Ok(())
    }

    pub fn close_stdin(&self) {
        *lock(&self.stdin) = None;
    }

    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        let size = Winsize {
            ws_row: height,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        match &*lock(&self.console) {
            Some(console) => rustix::termios::tcsetwinsize(console, size).map_err(|e| bad("terminal", e)),
            None => Ok(()),
        }
    }

    /// The process has ended: what it wrote goes out, and readers see the end.
    pub fn finish(&self) {
        if let Some(copier) = lock(&self.copier).take() {
            // A reader that does not read must not keep the process's end from being told.
            for _ in 0..500 {
                if copier.is_finished() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        *lock(&self.stdin) = None;
        *lock(&self.console) = None;
        lock(&self.outputs).clear();
    }
}

/// Until the source ends; a terminal's end is an error.
fn copy(from: &mut File, to: &mut File) -> std::io::Result<()> {
    let mut buf = vec![0; 32 << 10];
    loop {
        match from.read(&mut buf)? {
            0 => return Ok(()),
            n => to.write_all(buf.get(..n).unwrap_or_default())?,
        }
    }
}

fn receive(stream: &UnixStream) -> Result<OwnedFd> {
    let mut name = [0; 256];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut name)], &mut control, flags)
        .map_err(|e| bad("console socket", e))?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(bad("console socket", "no terminal came"))
}
