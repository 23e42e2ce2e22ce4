//! Talking to a running sandbox: its control socket and its start fifo, both in the state directory.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use sentry::boot::control::{Reply, Request};

use crate::error::{Context, Error, Result};

/// Replies are short; a list of processes is the longest.
const MAX_REPLY: usize = 1 << 20;

/// A sandbox that is not stopped answers at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The fifo on which a created container waits.
pub fn start_fifo(dir: &Path) -> PathBuf {
    dir.join("start")
}

/// Lets a created container run.
pub fn start(dir: &Path) -> Result<()> {
    let path = start_fifo(dir);
    let what = || path.display().to_string();
    // Without a reader, the sandbox is gone.
    let fifo = rustix::fs::open(
        &path,
        OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context(what)?;
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

/// Tells the container that its terminal has another size.
pub fn resize(dir: &Path, id: &str) -> Result<()> {
    done(request(
        dir,
        &Request::Resize {
            container: id.to_owned(),
            pid: 1,
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
    let what = || "control socket of the sandbox";
    let socket = new_socket(SocketFlags::empty()).context(what)?;
    let (_dir, address) = address(dir)?;
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(PATIENCE))
        .context(what)?;
    rustix::net::connect(&socket, &address).context(what)?;
    let text = serde_json::to_vec(request).context(what)?;
    rustix::net::send(&socket, &text, SendFlags::NOSIGNAL).context(what)?;
    let mut reply = vec![0; MAX_REPLY];
    let (got, _) = rustix::net::recv(&socket, &mut reply, RecvFlags::empty()).context(what)?;
    if got == 0 {
        return Err(Error::new("the sandbox closed its control socket"));
    }
    serde_json::from_slice(reply.get(..got).unwrap_or_default()).context(what)
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
