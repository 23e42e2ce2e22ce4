//! Standard streams of a container's process: fifos that containerd made, files, a logger, or a terminal between it and these.

use std::fs::{File, OpenOptions};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use containerd_shim::{Error, Result};

use crate::children::lock;
use crate::console::{self, Console};
use crate::logger::{self, Owner};

/// How long the rest of a terminal's output may take when a process is deleted.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long nothing may move for the reader of a process's output to be taken for one that does not read.
const STANDSTILL: Duration = Duration::from_millis(200);

/// What containerd asked for.
#[derive(Clone, Default)]
pub struct Wanted {
    pub terminal: bool,
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
    pub owner: Owner,
}

/// The shim's side of them, until the process is deleted.
#[derive(Default)]
pub struct Io {
    /// Keeps the input open until containerd closes it.
    stdin: Mutex<Option<File>>,
    /// Both ends of the fifos: whoever reads them may go and come back.
    outputs: Mutex<Vec<File>>,
    console: Mutex<Option<Console>>,
}

/// Where output goes.
struct Output {
    writer: File,
    /// Of a fifo.
    keeper: Option<File>,
}

fn bad(path: &str, e: impl std::fmt::Display) -> Error {
    Error::Other(format!("standard streams: {path}: {e}"))
}

/// A fifo, opened so that neither end is missed, or a file.
fn output(path: &str) -> Result<Option<Output>> {
    let (name, file) = match path.split_once("://") {
        _ if path.is_empty() => return Ok(None),
        Some(("file", name)) => (name, true),
        Some(("fifo", name)) => (name, false),
        Some((other, _)) => return Err(bad(path, format_args!("{other} is not supported"))),
        None => (path, false),
    };
    let open = |options: &mut OpenOptions| options.open(name).map_err(|e| bad(path, e));
    if file {
        let writer = open(OpenOptions::new().append(true).create(true))?;
        return Ok(Some(Output { writer, keeper: None }));
    }
    let keeper = open(OpenOptions::new().read(true).write(true))?;
    let writer = open(OpenOptions::new().append(true))?;
    Ok(Some(Output {
        writer,
        keeper: Some(keeper),
    }))
}

/// Both outputs; a logger takes them together.
fn outputs(wanted: &Wanted) -> Result<[Option<Output>; 2]> {
    let Some(address) = wanted.stdout.strip_prefix("binary://") else {
        let stderr = if wanted.terminal { "" } else { &wanted.stderr };
        return Ok([output(&wanted.stdout)?, output(stderr)?]);
    };
    let logger = logger::start(address, &wanted.owner)?;
    Ok([logger.stdout, logger.stderr].map(|writer| Some(Output { writer, keeper: None })))
}

/// The end to read, and the one that keeps it open.
fn input(path: &str) -> Result<Option<(File, File)>> {
    if path.is_empty() {
        return Ok(None);
    }
    let name = path.strip_prefix("fifo://").unwrap_or(path);
    let open = |options: &mut OpenOptions| options.open(name).map_err(|e| bad(path, e));
    let keeper = open(OpenOptions::new().read(true).write(true))?;
    Ok(Some((open(OpenOptions::new().read(true))?, keeper)))
}

impl Io {
    /// Gives a command its streams; with a terminal, the socket that it was told.
    pub fn prepare(wanted: &Wanted, command: &mut Command) -> Result<(Io, Option<console::Socket>)> {
        let io = Io::default();
        if wanted.terminal {
            let socket = console::Socket::new()?;
            command.arg("--console-socket").arg(&socket.path);
            return Ok((io, Some(socket)));
        }
        if let Some((reader, keeper)) = input(&wanted.stdin)? {
            command.stdin(reader);
            *lock(&io.stdin) = Some(keeper);
        }
        let [stdout, stderr] = outputs(wanted)?;
        if let Some(stdout) = stdout {
            command.stdout(stdout.writer);
            lock(&io.outputs).extend(stdout.keeper);
        }
        if let Some(stderr) = stderr {
            command.stderr(stderr.writer);
            lock(&io.outputs).extend(stderr.keeper);
        }
        Ok((io, None))
    }

    /// Takes the terminal that `runsc` has sent.
    pub fn attach(&self, wanted: &Wanted, socket: console::Socket) -> Result<()> {
        let master = socket.receive()?;
        let reader = match input(&wanted.stdin)? {
            Some((reader, keeper)) => {
                *lock(&self.stdin) = Some(keeper);
                Some(reader)
            }
            None => None,
        };
        let [stdout, _] = outputs(wanted)?;
        let writer = stdout.map(|stdout| {
            lock(&self.outputs).extend(stdout.keeper);
            stdout.writer
        });
        *lock(&self.console) = Some(Console::new(master, reader, writer)?);
        Ok(())
    }

    pub fn close_stdin(&self) {
        *lock(&self.stdin) = None;
    }

    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        match &*lock(&self.console) {
            Some(console) => console.resize(width, height),
            None => Ok(()),
        }
    }

    /// The process has ended: readers see the end of what it wrote when they have read all of it, also one that comes later. One that reads
    /// now is waited for: clients such as ctr close their streams when they hear of the end.
    pub fn finish(self: &Arc<Self>) {
        self.close_stdin();
        if let Some(console) = &*lock(&self.console) {
            console.end_input();
        }
        let (mut unread, mut since) = (self.unread(), Instant::now());
        while !self.release() {
            if since.elapsed() > STANDSTILL {
                self.release_later();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
            let now = self.unread();
            if now != unread {
                (unread, since) = (now, Instant::now());
            }
        }
    }

    fn release_later(self: &Arc<Self>) {
        let io = Arc::downgrade(self);
        std::thread::spawn(move || {
            let mut pause = Duration::from_millis(2);
            while io.upgrade().is_some_and(|io| !io.release()) {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(200));
            }
        });
    }

    /// Bytes in the fifos.
    fn unread(&self) -> u64 {
        lock(&self.outputs)
            .iter()
            .filter_map(|fifo| rustix::io::ioctl_fionread(fifo).ok())
            .sum()
    }

    /// Lets the fifos go that are read out; true if all are.
    fn release(&self) -> bool {
        if lock(&self.console).as_ref().is_some_and(Console::is_carrying) {
            return false;
        }
        let mut outputs = lock(&self.outputs);
        outputs.retain(|fifo| rustix::io::ioctl_fionread(fifo).is_ok_and(|unread| unread > 0));
        outputs.is_empty()
    }

    /// The process is deleted.
    pub fn close(&self) {
        self.close_stdin();
        if let Some(console) = lock(&self.console).take() {
            console.drain(PATIENCE);
        }
        lock(&self.outputs).clear();
    }
}
