//! A further process in a running sandbox, and the host process that stands for it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use platform::host::spawn::{Spawn, spawn};
use sentry::boot::config::ProcessConfig;
use sentry::boot::control::{Reply, Request};

use super::control::{Connection, closed};
use super::fds::{message_file, null, stdio};
use super::stub::{self, CONNECTION_FD, Stand, StubMessage, TERMINAL_FD};
use super::{Terminal, boot::MESSAGE_FD, foreground, preserve, program};
use crate::commands::Env;
use crate::error::{Context, Error, Result};
use crate::state::{Record, write_atomically};

/// What to run.
pub struct Exec {
    pub process: ProcessConfig,
    pub terminal: Terminal,
    pub detach: bool,
    pub pid_file: Option<PathBuf>,
    pub preserve_fds: u32,
}

/// Starts it; waits for it unless it is detached, and gives its exit code.
pub fn run(env: &Env<'_>, record: &Record, exec: &Exec) -> Result<i32> {
    // From here on signals are for the process.
    let signals = if exec.detach {
        None
    } else {
        Some(foreground::Signals::catch()?)
    };
    let connection = Connection::new(&env.store.sandbox_dir(record))?;
    let terminal = start(&connection, record, exec)?;
    let dirs = record.cgroup.as_ref().map_or_else(Vec::new, |c| c.dirs.clone());
    let Some(signals) = signals else {
        let pid = detach(connection, terminal, dirs)?;
        return write_pid(exec, pid).map(|()| 0);
    };
    stub::enter(&dirs);
    write_pid(exec, i32::try_from(std::process::id()).unwrap_or(0))?;
    let _screen = foreground::Screen::new(&exec.terminal)?;
    let stand = Stand {
        connection: &connection,
        signals: signals.fd(),
        terminal: matches!(exec.terminal, Terminal::Own | Terminal::Relay(_)),
        relay: match &exec.terminal {
            Terminal::Relay(relay) => Some(relay),
            _ => None,
        },
    };
    Ok(match stand.until_end()? {
        status if status & 0x7f == 0 => (status >> 8) & 0xff,
        status => 128 + (status & 0x7f),
    })
}

/// Asks the sandbox; gives the host's end of the terminal that was made.
fn start(connection: &Connection, record: &Record, exec: &Exec) -> Result<Option<OwnedFd>> {
    let mut fds = stdio(&exec.terminal, exec.process.console_size)?;
    let (extra, preserved): (Vec<i32>, Vec<OwnedFd>) = preserve::take(exec.preserve_fds)?.into_iter().unzip();
    fds.extend(preserved);
    let request = Request::Exec {
        container: record.id.clone(),
        process: Box::new(exec.process.clone()),
        extra,
    };
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    connection.send(&request, &borrowed)?;
    match connection.receive()?.ok_or_else(closed)? {
        Reply::Started { .. } => {}
        Reply::Failed { message, .. } => {
            return Err(Error::new(format!("unable to start container process: {message}")));
        }
        other => return Err(Error::new(format!("the sandbox gave a strange answer: {other:?}"))),
    }
    connection.be_patient()?;
    let has_terminal = matches!(exec.terminal, Terminal::Socket(_));
    Ok(fds.into_iter().next().filter(|_| has_terminal))
}

fn write_pid(exec: &Exec, pid: i32) -> Result<()> {
    match &exec.pid_file {
        Some(path) => write_atomically(path, pid.to_string().as_bytes()),
        None => Ok(()),
    }
}

/// Hands the connection to a process of its own, which stands for the guest's from then on; gives its pid.
fn detach(connection: Connection, terminal: Option<OwnedFd>, cgroup: Vec<PathBuf>) -> Result<i32> {
    let what = || "start runsc-exec";
    let message = message_file(&StubMessage {
        cgroup,
        terminal: terminal.is_some(),
        exit: false,
        hostname: None,
        die_with_parent: false,
    })?;
    let null = null()?;
    let program = program::open()?;
    let mut fds = vec![
        (null.as_fd(), 0),
        (null.as_fd(), 1),
        (null.as_fd(), 2),
        (message.as_fd(), MESSAGE_FD),
        (connection.socket.as_fd(), CONNECTION_FD),
    ];
    fds.extend(terminal.as_ref().map(|fd| (fd.as_fd(), TERMINAL_FD)));
    let string = |s: &str| CString::new(s).map_err(|_| Error::new("NUL in a program name"));
    let held = spawn(&Spawn {
        program: program.as_fd(),
        argv: vec![string("runsc-exec")?, string("exec-stub")?],
        env: Vec::new(),
        namespaces: 0,
        fds,
        become_root: false,
        new_session: true,
        own_mounts: false,
    })
    .context(what)?;
    held.release().map(|(pid, _)| pid).context(what)
}
