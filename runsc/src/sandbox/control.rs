//! Talking to a running sandbox: its control socket and its start fifo, both in the state directory.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use sentry::boot::control::{ProcessInfo, Reply, Request};

use crate::error::{Context, Error, Result};

/// Replies are short; a list of processes is the longest.
const MAX_REPLY: usize = 1 << 20;

/// A sandbox that is not stopped answers at once, on a busy host after a while.
const PATIENCE: Duration = Duration::from_secs(30);

/// The fifo on which a created container waits.
pub fn start_fifo(dir: &Path) -> PathBuf {
    dir.join("start")
}

/// Where the sandbox writes the wait status of the first process at its end.
pub fn exit_file(dir: &Path) -> PathBuf {
    dir.join("exit")
}

/// Whether the sandbox has told how the first process ended.
pub fn has_last_words(dir: &Path) -> bool {
    exit_file(dir).metadata().is_ok_and(|file| file.len() > 0)
}

/// Lets a created container run.
pub fn start(dir: &Path) -> Result<()> {
    let path = start_fifo(dir);
    let what = || path.display().to_string();
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = match rustix::fs::open(&path, flags, Mode::empty()) {
        // A runsc that was killed has told it already, and could not write that down.
        Err(Errno::NOENT) => return Ok(()),
        // Likewise: the sandbox has read it, and closed its end.
        Err(Errno::NXIO) => return std::fs::remove_file(&path).context(what),
        other => other.context(what)?,
    };
    rustix::io::write(&fifo, &[1]).context(what)?;
    drop(fifo);
    std::fs::remove_file(&path).context(what)
}

/// Makes the control socket.
pub fn listen(dir: &Path) -> Result<OwnedFd> {
    let what = || "control socket";
    // The Sentry polls it: its workers may never block in the host.
    let socket = new_socket(SocketFlags::NONBLOCK).context(what)?;
    let (_dir, address) = address(dir)?;
    rustix::net::bind(&socket, &address).context(what)?;
    rustix::net::listen(&socket, 16).context(what)?;
    Ok(socket)
}

/// Sends a signal to a container.
pub fn signal(dir: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    done(request(
        dir,
        &Request::Signal {
            container: id.to_owned(),
            signal,
            all,
        },
    )?)
}

/// Stops every task of a container.
pub fn pause(dir: &Path, id: &str) -> Result<()> {
    let container = id.to_owned();
    done(request(dir, &Request::Pause { container })?)
}

/// Lets them go on.
pub fn resume(dir: &Path, id: &str) -> Result<()> {
    let container = id.to_owned();
    done(request(dir, &Request::Resume { container })?)
}

/// Announces a container that joins; it shall do so on the connection.
pub fn expect(dir: &Path) -> Result<Connection> {
    let connection = Connection::new(dir)?;
    connection.send(&Request::Expect, &[])?;
    done(connection.receive()?.ok_or_else(closed)?)?;
    Ok(connection)
}

/// Lets a container of a pod run.
pub fn start_joined(dir: &Path, id: &str) -> Result<()> {
    let container = id.to_owned();
    done(request(dir, &Request::Start { container })?)
}

/// Ends what runs of a container of a pod.
pub fn leave(dir: &Path, id: &str) -> Result<()> {
    let container = id.to_owned();
    done(request(dir, &Request::Leave { container })?)
}

/// Changes the limits that the guest's kernel keeps.
pub fn update(dir: &Path, id: &str, pids_limit: Option<i64>, values: Vec<(String, String)>) -> Result<()> {
    let container = id.to_owned();
    done(request(
        dir,
        &Request::Update {
            container,
            pids_limit,
            values,
        },
    )?)
}

/// The processes of a container.
pub fn processes(dir: &Path, id: &str) -> Result<Vec<ProcessInfo>> {
    let container = id.to_owned();
    match request(dir, &Request::Processes { container })? {
        Reply::Processes { list } => Ok(list),
        other => done(other).map(|()| Vec::new()),
    }
}

/// Waits for a process of the container; gives its wait status.
pub fn wait(dir: &Path, id: &str, pid: i32) -> Result<i32> {
    let connection = Connection::new(dir)?;
    let container = id.to_owned();
    connection.be_patient()?;
    connection.send(&Request::Wait { container, pid }, &[])?;
    match connection.receive()? {
        Some(Reply::Ended { status }) => Ok(status),
        // The sandbox has ended, and killed it.
        None => Ok(nix::libc::SIGKILL),
        Some(other) => done(other).map(|()| 0),
    }
}

/// Tells the container that its terminal has another size.
pub fn resize(dir: &Path, id: &str) -> Result<()> {
    done(request(
        dir,
        &Request::Resize {
            container: id.to_owned(),
        },
    )?)
}

fn done(reply: Reply) -> Result<()> {
    match reply {
        Reply::Done => Ok(()),
        Reply::Failed { message, exit_code } => Err(Error::with_code(message, exit_code)),
        other => Err(Error::new(format!("the sandbox gave a strange answer: {other:?}"))),
    }
}

/// Asks and waits for the answer.
fn request(dir: &Path, request: &Request) -> Result<Reply> {
    let connection = Connection::new(dir)?;
    connection.send(request, &[])?;
    connection.receive()?.ok_or_else(closed)
}

/// What the end of a connection means before an answer has come.
pub fn closed() -> Error {
    Error::new("container not running: the sandbox closed its control socket")
}

/// A connection to the sandbox.
pub struct Connection {
    pub socket: OwnedFd,
}

impl Connection {
    pub fn new(dir: &Path) -> Result<Self> {
        let socket = new_socket(SocketFlags::empty()).context(|| SOCKET)?;
        let (_dir, address) = address(dir)?;
        set_patience(&socket, Some(PATIENCE))?;
        match rustix::net::connect(&socket, &address) {
            // What listened there has ended, or was never there.
            Err(Errno::CONNREFUSED | Errno::NOENT) => Err(Error::new("container not running")),
            other => other.context(|| SOCKET).map(|()| Self { socket }),
        }
    }

    /// Sends a request, with descriptors.
    pub fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let text = serde_json::to_vec(request).context(|| SOCKET)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::new(format!("{} descriptors are too many", fds.len())));
        }
        rustix::net::sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
            .map(drop)
            .context(|| SOCKET)
    }

    /// The next answer; none at the connection's end.
    pub fn receive(&self) -> Result<Option<Reply>> {
        let Some(size) = self.take(&mut [], RecvFlags::PEEK | RecvFlags::TRUNC)? else {
            return Ok(None);
        };
        let mut reply = vec![0; size.min(MAX_REPLY)];
        let Some(got) = self.take(&mut reply, RecvFlags::empty())? else {
            return Ok(None);
        };
        let reply = serde_json::from_slice(reply.get(..got).unwrap_or_default());
        reply.map(Some).context(|| SOCKET)
    }

    /// Bytes of the next packet; none at the connection's end.
    fn take(&self, buf: &mut [u8], flags: RecvFlags) -> Result<Option<usize>> {
        let mut reset = false;
        loop {
            match rustix::net::recv(&self.socket, &mut *buf, flags) {
                Err(Errno::INTR) => {}
                // The other end was closed before it had read all that was sent to it. What it sent itself still comes.
                Err(Errno::CONNRESET) if !reset => reset = true,
                Err(Errno::CONNRESET) => return Ok(None),
                other => return other.context(|| SOCKET).map(|(_, size)| Some(size).filter(|s| *s > 0)),
            }
        }
    }

    /// Answers may take this long from now on.
    pub fn wait_at_most(&self, limit: Duration) -> Result<()> {
        set_patience(&self.socket, Some(limit))
    }

    /// Answers may take any time from now on.
    pub fn be_patient(&self) -> Result<()> {
        set_patience(&self.socket, None)
    }
}

const SOCKET: &str = "control socket of the sandbox";

fn set_patience(socket: &OwnedFd, patience: Option<Duration>) -> Result<()> {
    let timeout = rustix::net::sockopt::Timeout::Recv;
    rustix::net::sockopt::set_socket_timeout(socket, timeout, patience).context(|| SOCKET)
}

fn new_socket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | flags,
        None,
    )
}

/// The socket's address by way of an open directory: the path may be longer than a socket address.
fn address(dir: &Path) -> Result<(File, SocketAddrUnix)> {
    let what = || dir.display().to_string();
    let open = rustix::fs::openat(
        CWD,
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context(what)?;
    let path = format!("/proc/self/fd/{}/control.sock", open.as_raw_fd());
    Ok((File::from(open), SocketAddrUnix::new(path).context(what)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reply_survives_requests_that_nobody_reads() {
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (socket, sandbox) = rustix::net::socketpair(kind.0, kind.1, kind.2, None).unwrap();
        let connection = Connection { socket };
        connection.send(&Request::Tell { signal: 1 }, &[]).unwrap();
        rustix::net::send(&sandbox, br#"{"ended":{"status":256}}"#, SendFlags::NOSIGNAL).unwrap();
        drop(sandbox);
        assert!(matches!(connection.receive(), Ok(Some(Reply::Ended { status: 256 }))));
        assert!(matches!(connection.receive(), Ok(None)));
    }
}
