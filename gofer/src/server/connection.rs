//! The loop of one connection: one packet in, the host calls, one packet out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use abi::Errno;
use zerocopy::IntoBytes;

use super::Server;
use crate::proto::wire::Reader;
use crate::proto::{MAX_MESSAGE, Op, ReplyHeader, RequestHeader, transport, wire};

/// Serves one connection until the peer closes it or breaks the framing.
pub fn run(server: &Server, socket: BorrowedFd<'_>) {
    let mut request = vec![0; MAX_MESSAGE];
    let mut reply = Vec::with_capacity(MAX_MESSAGE);
    loop {
        let Ok(len) = transport::recv_plain(socket, &mut request) else {
            return;
        };
        let Some(packet) = request.get(..len) else { return };
        let Some((op, id, body)) = parse(packet) else { return };
        reply.clear();
        wire::put(&mut reply, &ReplyHeader { size: 0, errno: 0, id });
        let done = match op {
            Some(op) => server.handle_request(op, body, &mut reply),
            None => Err(Errno::ENOSYS),
        };
        if op == Some(Op::Forget) {
            continue;
        }
        let (fd, errno) = match done {
            Ok(fd) => (fd, 0),
            Err(e) => {
                reply.truncate(size_of::<ReplyHeader>());
                (None, u32::from(e.raw()))
            }
        };
        let Ok(size) = u32::try_from(reply.len()) else { return };
        let header = ReplyHeader { size, errno, id };
        if let Some(front) = reply.get_mut(..size_of::<ReplyHeader>()) {
            front.copy_from_slice(header.as_bytes());
        }
        if transport::send(socket, &reply, fd.as_ref().map(AsFd::as_fd)).is_err() {
            return;
        }
    }
}

/// Splits a packet. `None` is a framing error, which ends the connection; an unknown operation is answered.
fn parse(packet: &[u8]) -> Option<(Option<Op>, u64, Reader<'_>)> {
    let mut body = Reader::new(packet);
    let header: RequestHeader = body.fixed().ok()?;
    if header.size as usize != packet.len() {
        return None;
    }
    Some((Op::from_raw(header.op), header.id, body))
}

impl Server {
    /// Carries out one request. What it appends to `reply` counts only when it succeeds.
    pub fn handle_request(&self, op: Op, body: Reader<'_>, reply: &mut Vec<u8>) -> Result<Option<OwnedFd>, Errno> {
        match op {
            Op::Attach => self.attach(body, reply),
            Op::Walk => self.walk(body, reply),
            Op::Getattr => self.getattr(body, reply),
            Op::Setattr => self.setattr(body, reply),
            Op::Open => return self.open(body, reply).map(Some),
            Op::Create => return self.create(body, reply).map(Some),
            Op::Tmpfile => return self.tmpfile(body, reply).map(Some),
            Op::Mkdir => self.mkdir(body, reply),
            Op::Mknod => self.mknod(body, reply),
            Op::Symlink => self.symlink(body, reply),
            Op::Link => self.link(body, reply),
            Op::Unlink => self.unlink(body, reply),
            Op::Rename => self.rename(body, reply),
            Op::Readlink => self.readlink(body, reply),
            Op::Readdir => self.readdir(body, reply),
            Op::Getxattr => self.getxattr(body, reply),
            Op::Setxattr => self.setxattr(body),
            Op::Listxattr => self.listxattr(body, reply),
            Op::Removexattr => self.removexattr(body),
            Op::Statfs => self.statfs(body, reply),
            Op::Fsync => self.fsync(body),
            Op::Syncfs => self.syncfs(body),
            Op::Forget => self.forget(body),
            Op::Connect => Err(Errno::ECONNREFUSED),
        }
        .map(|()| None)
    }
}
