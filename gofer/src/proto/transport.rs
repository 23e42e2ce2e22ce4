//! One packet, with at most one descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use abi::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The Linux number of a failed host call.
pub fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

/// Sends one packet, with `fd` attached.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    loop {
        let done = match fd {
            None => rustix::net::send(socket, message, SendFlags::NOSIGNAL),
            Some(fd) => {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let fds = [fd];
                if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                    return Err(Errno::EIO);
                }
                rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)
            }
        };
        match done {
            Ok(n) if n == message.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(errno(e)),
        }
    }
}

/// Receives one packet into `buf` and tells its length; 0 when the peer is gone. A packet that does not fit is `EMSGSIZE`.
/// Descriptors that come with it are dropped by the kernel: there is no room for them.
pub fn recv_plain(socket: BorrowedFd<'_>, buf: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(socket, &mut *buf, RecvFlags::TRUNC) {
            Ok((_, len)) if len > buf.len() => return Err(Errno::EMSGSIZE),
            Ok((_, len)) => return Ok(len),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(errno(e)),
        }
    }
}

/// Receives one packet and the descriptor that came with it, if any.
pub fn recv_with_fd(socket: BorrowedFd<'_>, buf: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(buf)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let message = match got {
            Ok(message) => message,
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(errno(e)),
        };
        let fd = control.drain().find_map(|m| match m {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        if message.flags.contains(ReturnFlags::CTRUNC) {
            // The descriptor table of this process is full: the kernel dropped what it could not install.
            return Err(Errno::EMFILE);
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(Errno::EMSGSIZE);
        }
        return Ok((message.bytes, fd));
    }
}
