//! The control socket: one JSON request per packet, one JSON reply; fds of an exec come with the packet.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno as HostErrno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, accept_with,
    recv, recvmsg, sendmsg,
};

use super::control::{Reply, Request};
use super::pod::Pod;
use super::{exec, join};
use crate::executor::{Executor, FdEvents, HostFd};

/// Largest request; an exec's arguments and environment fit.
const MAX_REQUEST: usize = 4 << 20;

/// Answers on the listening socket until the sandbox ends.
pub async fn serve(executor: Arc<Executor>, listener: Arc<OwnedFd>, pod: Arc<Pod>) {
    let listener = HostFd::new(&executor, listener, FdEvents::IN);
    loop {
        match accept_with(listener.fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(connection) => {
                let (executor2, pod) = (executor.clone(), pod.clone());
                executor.spawn(async move { talk(executor2, connection, pod).await });
            }
            Err(HostErrno::AGAIN) => listener.changed().await,
            Err(HostErrno::INTR | HostErrno::CONNABORTED) => {}
            Err(e) => {
                crate::log::warn(format_args!("control socket: {e}"));
                return;
            }
        }
    }
}

async fn talk(executor: Arc<Executor>, connection: OwnedFd, pod: Arc<Pod>) {
    let connection = HostFd::new(&executor, Arc::new(connection), FdEvents::IN | FdEvents::RDHUP);
    let mut guest = None;
    loop {
        let (text, fds) = match receive(&connection) {
            Ok(packet) => packet,
            Err(HostErrno::AGAIN) => {
                connection.changed().await;
                continue;
            }
            Err(HostErrno::INTR) => continue,
            Err(_) => return,
        };
        if text.is_empty() {
            return;
        }
        let request = serde_json::from_slice::<Request>(&text);
        drop(text);
        let reply = match request {
            Ok(Request::Exec {
                container,
                process,
                extra,
            }) => {
                let Some(container) = pod.find(&container) else {
                    send(&connection, &Reply::failed("container not running"));
                    return;
                };
                // Boxed, since all of loading a program is in it.
                let serve: platform::BoxFuture<'_, ()> =
                    Box::pin(exec::serve(&connection, &container, &process, fds, &extra));
                return serve.await;
            }
            Ok(Request::Expect) => {
                guest = pod.expect();
                match &guest {
                    Some(_) => Reply::Done,
                    None => Reply::failed("container not running: the pod is ending"),
                }
            }
            Ok(Request::Join { gofer, extra }) => {
                if guest.is_none() {
                    guest = pod.expect();
                }
                if guest.is_none() {
                    send(&connection, &Reply::failed("container not running: the pod is ending"));
                    return;
                }
                let serve: platform::BoxFuture<'_, ()> = Box::pin(join::serve(&connection, &pod, fds, gofer, &extra));
                return serve.await;
            }
            Ok(request) => {
                pod.first().answering.fetch_add(1, Ordering::SeqCst);
                let reply = pod.answer(request).await;
                let sent = send(&connection, &reply);
                pod.first().answering.fetch_sub(1, Ordering::SeqCst);
                if !sent {
                    return;
                }
                continue;
            }
            Err(e) => Reply::Failed {
                message: format!("control request: {e}"),
                exit_code: 128,
            },
        };
        if !send(&connection, &reply) {
            return;
        }
    }
}

/// Sends a reply; false if nobody is there to take it.
pub(super) fn send(connection: &HostFd, reply: &Reply) -> bool {
    let Ok(text) = serde_json::to_vec(reply) else {
        return false;
    };
    let mut none = SendAncillaryBuffer::default();
    sendmsg(connection.fd(), &[IoSlice::new(&text)], &mut none, SendFlags::NOSIGNAL).is_ok()
}

/// Takes a packet, with the fds in it; an empty one at the connection's end. Room is made for its size only: what is written
/// once stays with the sandbox.
pub(super) fn receive(connection: &HostFd) -> Result<(Vec<u8>, Vec<OwnedFd>), HostErrno> {
    let look = RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::TRUNC;
    let (_, size) = recv(connection.fd(), &mut [0u8; 0], look)?;
    let mut buf = vec![0u8; size.min(MAX_REQUEST)];
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(
        connection.fd(),
        &mut [std::io::IoSliceMut::new(&mut buf)],
        &mut ancillary,
        flags,
    )?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    buf.truncate(got.bytes);
    Ok((buf, fds))
}
