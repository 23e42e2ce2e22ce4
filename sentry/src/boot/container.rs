//! A running container, as control requests see it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::control::{ProcessInfo, Reply, Request};
use super::stdio::Stdio;
use super::{Failed, launch};
use crate::fs::mount::MountNamespace;
use crate::kernel::Kernel;
use crate::signal::{SigInfo, Signal};
use crate::sync::Mutex;
use crate::task::{Cx, Nsproxy, ThreadGroup};

/// A container of the sandbox.
pub struct Container {
    kernel: Arc<Kernel>,
    id: String,
    mounts: Arc<MountNamespace>,
    ns: Nsproxy,
    init: Arc<ThreadGroup>,
    /// The first process, until it is started.
    waiting: Mutex<Option<Cx>>,
    /// Terminals by process, for changes of their size.
    terminals: Mutex<Vec<(i32, Stdio)>>,
}

fn failed(message: impl Into<String>) -> Reply {
    Reply::Failed {
        message: message.into(),
        exit_code: 128,
    }
}

impl Container {
    pub(super) fn new(
        kernel: Arc<Kernel>,
        id: String,
        mounts: Arc<MountNamespace>,
        ns: Nsproxy,
        cx: Cx,
        stdio: Stdio,
    ) -> Arc<Container> {
        let init = cx.task.group.clone();
        let terminals = Mutex::new(vec![(init.pid.own(), stdio)]);
        Arc::new(Container {
            kernel,
            id,
            mounts,
            ns,
            init,
            waiting: Mutex::new(Some(cx)),
            terminals,
        })
    }

    /// Lets the first process run.
    pub fn start(&self) {
        if let Some(cx) = self.waiting.lock().take() {
            self.kernel.start(cx);
        }
    }

    /// Waits for the end of the first process; gives the exit code for the shell, 128 + signal for a signal.
    pub async fn finished(&self) -> i32 {
        let status = ended(&self.init).await;
        let terminals: Vec<(i32, Stdio)> = std::mem::take(&mut *self.terminals.lock());
        for (_, stdio) in terminals {
            stdio.drain().await;
        }
        match status & 0x7f {
            0 => (status >> 8) & 0xff,
            signal => 128 + signal,
        }
    }

    /// Serves a control request.
    pub async fn answer(&self, request: Request, fds: Vec<OwnedFd>) -> Reply {
        let known = match &request {
            Request::Signal { container, .. }
            | Request::Exec { container, .. }
            | Request::Wait { container, .. }
            | Request::Processes { container }
            | Request::Resize { container, .. } => *container == self.id,
            Request::Pause | Request::Resume => true,
        };
        if !known {
            return failed("no such container in this sandbox");
        }
        match request {
            Request::Signal { signal, all, .. } => self.signal(signal, all),
            Request::Exec { process, .. } => match self.exec(&process, fds).await {
                Ok(pid) => Reply::Started { pid },
                Err(f) => Reply::Failed {
                    message: f.message,
                    exit_code: f.exit_code,
                },
            },
            Request::Wait { pid, .. } => match self.kernel.tasks.process(&self.ns.pid_for_children, pid) {
                Some(group) => Reply::Ended {
                    status: ended(&group).await,
                },
                None => failed(format!("no process {pid}")),
            },
            Request::Processes { .. } => Reply::Processes { list: self.processes() },
            Request::Resize { pid, .. } => {
                for (_, stdio) in self.terminals.lock().iter().filter(|(p, _)| *p == pid) {
                    stdio.resize();
                }
                Reply::Done
            }
            Request::Pause => {
                self.kernel.tasks.freeze();
                Reply::Done
            }
            Request::Resume => {
                self.kernel.tasks.thaw();
                Reply::Done
            }
        }
    }

    fn each(&self, mut act: impl FnMut(&Arc<ThreadGroup>)) {
        for (_, group) in self.kernel.tasks.processes(&self.ns.pid_for_children) {
            act(&group);
        }
    }

    fn signal(&self, number: i32, all: bool) -> Reply {
        let Some(signal) = Signal::new(number) else {
            return failed(format!("unknown signal {number}"));
        };
        if self.init.has_ended() {
            return failed("container not running");
        }
        let info = SigInfo::user(signal, 0, 0);
        if all {
            self.each(|group| {
                let _ = group.send_signal_forced(info);
            });
        } else {
            let _ = self.init.send_signal_forced(info);
        }
        Reply::Done
    }

    async fn exec(&self, process: &super::config::ProcessConfig, fds: Vec<OwnedFd>) -> Result<i32, Failed> {
        let stdio = Stdio::new(&self.kernel, &self.mounts, fds, process)?;
        let mut cx = launch::spawn(&self.kernel, &self.mounts, self.ns.clone(), process, &stdio).await?;
        if let Err(f) = launch::load(&mut cx, process).await {
            self.kernel.abandon(cx, f.exit_code << 8);
            return Err(f);
        }
        let pid = cx.task.group.pid.own();
        self.terminals.lock().push((pid, stdio));
        self.kernel.start(cx);
        Ok(pid)
    }

    fn processes(&self) -> Vec<ProcessInfo> {
        let ns = &self.ns.pid_for_children;
        let mut list = Vec::new();
        for (pid, group) in self.kernel.tasks.processes(ns) {
            let Some(task) = group.any_thread() else { continue };
            list.push(ProcessInfo {
                pid,
                ppid: self.kernel.tasks.parent_in(&group, ns),
                uid: task.cred().uid,
                name: String::from_utf8_lossy(&task.comm()).into_owned(),
                host_pid: task.mm().and_then(|mm| mm.aspace().host_pid()),
                cpu_ms: task.cpu_ns() / 1_000_000,
            });
        }
        list
    }
}

/// Waits until the process has ended; gives its wait status.
async fn ended(group: &Arc<ThreadGroup>) -> i32 {
    let wait = crate::wait::InternalWait::new(&group.exit_wait);
    loop {
        if group.has_ended()
            && let Some(status) = group.exit_status()
        {
            return status;
        }
        wait.changed().await;
    }
}
