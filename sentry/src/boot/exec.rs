//! A process of `runsc exec` and the connection that stands for it: whoever holds the other end is, for the host, the process.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use rustix::io::Errno as HostErrno;

use super::config::ProcessConfig;
use super::container::{Container, ended};
use super::control::{Reply, Request};
use super::server::{receive, send};
use super::stdio::Stdio;
use crate::executor::HostFd;
use crate::signal::{SigInfo, Signal};
use crate::task::ThreadGroup;

/// Starts the process and lives as long as it.
pub async fn serve(
    connection: &HostFd,
    container: &Arc<Container>,
    process: &ProcessConfig,
    fds: Vec<OwnedFd>,
    extra: &[i32],
) {
    let (group, stdio) = match container.exec(process, fds, extra).await {
        Ok(started) => started,
        Err(f) => {
            let (message, exit_code) = (f.message, f.exit_code);
            send(connection, &Reply::Failed { message, exit_code });
            return;
        }
    };
    container.execs.fetch_add(1, Ordering::SeqCst);
    if !send(connection, &Reply::Started { pid: group.pid.own() }) {
        kill(&group);
    }
    let held = Held {
        connection,
        group: &group,
        stdio: &stdio,
    };
    let status = held.until_end(|| kill(&group)).await;
    stdio.drain().await;
    drop(stdio);
    send(connection, &Reply::Ended { status });
    container.execs.fetch_sub(1, Ordering::SeqCst);
}

/// A connection that stands for a process.
pub(super) struct Held<'a> {
    pub connection: &'a HostFd,
    pub group: &'a Arc<ThreadGroup>,
    pub stdio: &'a Stdio,
}

impl Held<'_> {
    /// Passes on what comes over the connection until the process has ended; gives its wait status. `kill` is for when nobody
    /// holds the other end any more.
    pub(super) async fn until_end(&self, kill: impl Fn()) -> i32 {
        let mut end = pin!(ended(self.group));
        let mut held = true;
        loop {
            let mut changed = pin!(self.connection.changed());
            let status = std::future::poll_fn(|cx| {
                if let Poll::Ready(status) = end.as_mut().poll(cx) {
                    return Poll::Ready(Some(status));
                }
                if held {
                    changed.as_mut().poll(cx).map(|()| None)
                } else {
                    Poll::Pending
                }
            })
            .await;
            if let Some(status) = status {
                return status;
            }
            if !self.tell() {
                // The host's process was killed, and this one with it.
                held = false;
                kill();
            }
        }
    }

    /// Serves what has come; false at the connection's end.
    fn tell(&self) -> bool {
        loop {
            match receive(self.connection) {
                Ok((text, _)) if text.is_empty() => return false,
                Ok((text, _)) => match serde_json::from_slice(&text) {
                    Ok(Request::Tell { signal }) => {
                        if let Some(signal) = Signal::new(signal) {
                            let _ = self.group.send_signal_forced(SigInfo::user(signal, 0, 0));
                        }
                    }
                    Ok(Request::Resized) => self.stdio.resize(),
                    _ => return false,
                },
                Err(HostErrno::AGAIN) => return true,
                Err(HostErrno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

fn kill(group: &Arc<ThreadGroup>) {
    let _ = group.send_signal_forced(SigInfo::user(Signal::SIGKILL, 0, 0));
}
