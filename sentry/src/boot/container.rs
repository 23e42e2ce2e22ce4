//! A running container, as control requests see it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use platform::Nursery;

use super::control::{ProcessInfo, Reply, Request};
use super::stdio::Stdio;
use super::{Failed, launch};
use crate::executor::Executor;
use crate::fs::mount::MountNamespace;
use crate::kernel::Kernel;
use crate::signal::{SigInfo, Signal};
use crate::sync::Mutex;
use crate::task::{Cgroup, Cx, Nsproxy, ThreadGroup};

/// How long the sandbox's end waits for those that want to hear of it.
const LAST_WORDS_NS: u64 = 1_000_000_000;

/// What a container is made of, but for its processes.
pub struct Parts {
    pub kernel: Arc<Kernel>,
    pub id: String,
    pub mounts: Arc<MountNamespace>,
    pub ns: Nsproxy,
    /// The profile of config.json, which binds every process of the container.
    pub seccomp: Option<Vec<(u16, u8, u8, u32)>>,
    /// `linux.personality`
    pub personality: u32,
    /// `linux.memoryPolicy`
    pub memory_policy: Option<(u32, Vec<u32>)>,
    pub cgroup: Arc<Cgroup>,
    /// Where its processes come from, if not from where all do: a cgroup of the host is its own.
    pub nursery: Option<Arc<dyn Nursery>>,
}

/// A container of the sandbox.
pub struct Container {
    parts: Parts,
    init: Arc<ThreadGroup>,
    /// The first process, until it is started.
    waiting: Mutex<Option<Cx>>,
    /// Of the first process.
    terminal: Stdio,
    /// Processes of `runsc exec` whose end has not been told yet.
    pub(super) execs: AtomicUsize,
    /// Requests whose reply is not sent yet: a signal may end the container before.
    pub(super) answering: AtomicUsize,
    /// `runsc kill` has sent SIGKILL, and will end the host process by that signal too.
    condemned: AtomicBool,
}

impl Container {
    pub(super) fn new(parts: Parts, cx: Cx, terminal: Stdio) -> Arc<Container> {
        Arc::new(Container {
            parts,
            init: cx.task.group.clone(),
            waiting: Mutex::new(Some(cx)),
            terminal,
            execs: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            condemned: AtomicBool::new(false),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.parts.id
    }

    /// Whether it has that id.
    pub(super) fn is(&self, id: &str) -> bool {
        self.parts.id == id
    }

    pub(super) fn kernel(&self) -> &Arc<Kernel> {
        &self.parts.kernel
    }

    pub(super) fn namespaces(&self) -> &Nsproxy {
        &self.parts.ns
    }

    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.parts.cgroup
    }

    pub(super) fn init(&self) -> &Arc<ThreadGroup> {
        &self.init
    }

    pub(super) fn stdio(&self) -> &Stdio {
        &self.terminal
    }

    /// The host's terminal has another size.
    pub(super) fn resize(&self) {
        self.terminal.resize();
    }

    /// Lets the first process run.
    pub fn start(&self) {
        if let Some(cx) = self.waiting.lock().take() {
            self.kernel().start(cx);
        }
    }

    /// SIGKILL for all of it, whether it was started or not.
    pub(super) fn kill(&self) {
        let waiting = self.waiting.lock().take();
        if let Some(cx) = waiting {
            self.kernel().abandon(cx, Signal::SIGKILL.number());
        }
        self.kernel().tasks.thaw(self.cgroup());
        for process in self.kernel().tasks.processes_in(self.cgroup()) {
            let _ = process.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
        }
    }

    /// Waits for the end of the first process; gives its wait status.
    pub async fn finished(&self) -> i32 {
        let status = ended(&self.init).await;
        self.terminal.drain().await;
        // Those that `runsc exec` started are being killed: whoever waits for them hears of it.
        let end = Executor::now().saturating_add(LAST_WORDS_NS);
        let told = || self.execs.load(Ordering::SeqCst) == 0 && self.answering.load(Ordering::SeqCst) == 0;
        while !told() && Executor::now() < end {
            crate::wait::sleep_until(&self.kernel().executor, Executor::now() + 500_000).await;
        }
        status
    }

    /// After the last words: leaves the end of the host process to whoever killed the first process, for a little while. It is
    /// the first of its pid namespace, and cannot end by a signal of its own.
    pub(super) async fn executed(&self, status: i32) {
        let condemned = self.condemned.load(Ordering::SeqCst);
        if condemned && status & 0x7f == Signal::SIGKILL.number() {
            let end = Executor::now().saturating_add(LAST_WORDS_NS);
            crate::wait::sleep_until(&self.kernel().executor, end).await;
        }
    }

    /// Serves a control request.
    pub async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Signal { signal, all, .. } => self.signal(signal, all),
            Request::Start { .. } if self.waiting.lock().is_none() => Reply::failed("already started"),
            Request::Start { .. } => {
                self.start();
                Reply::Done
            }
            Request::Exec { .. }
            | Request::Join { .. }
            | Request::Leave { .. }
            | Request::Expect
            | Request::Placed
            | Request::Tell { .. }
            | Request::Resized => Reply::failed("not on this connection"),
            Request::Wait { pid, .. } => match self.kernel().tasks.process(&self.namespaces().pid_for_children, pid) {
                Some(group) => Reply::Ended {
                    status: ended(&group).await,
                },
                None => Reply::failed(format!("no process {pid}")),
            },
            Request::Processes { .. } => Reply::Processes { list: self.processes() },
            Request::Resize { .. } => {
                self.resize();
                Reply::Done
            }
            Request::Pause { .. } => {
                self.kernel().tasks.freeze(self.cgroup());
                self.all_stopped().await;
                Reply::Done
            }
            Request::Update { pids_limit, values, .. } => {
                if let Some(limit) = pids_limit {
                    self.cgroup().set_limit(u64::try_from(limit).ok());
                }
                crate::fs::impls::cgroup::configure(self.kernel(), &self.parts.cgroup, &values);
                Reply::Done
            }
            Request::Resume { .. } => {
                self.kernel().tasks.thaw(self.cgroup());
                Reply::Done
            }
        }
    }

    fn signal(&self, number: i32, all: bool) -> Reply {
        let Some(signal) = Signal::new(number) else {
            return Reply::failed(format!("unknown signal {number}"));
        };
        if self.init.has_ended() {
            return Reply::failed("container not running");
        }
        let info = SigInfo::user(signal, 0, 0);
        if signal == Signal::SIGKILL {
            self.condemned.store(true, Ordering::SeqCst);
        }
        if all {
            for process in self.kernel().tasks.processes_in(self.cgroup()) {
                let _ = process.send_signal_forced(info);
            }
        } else {
            let _ = self.init.send_signal_forced(info);
        }
        Reply::Done
    }

    /// Makes and starts a further process; fds beyond its standard streams get the numbers of `extra`.
    pub(super) async fn exec(
        &self,
        process: &super::config::ProcessConfig,
        mut fds: Vec<OwnedFd>,
        extra: &[i32],
    ) -> Result<(Arc<ThreadGroup>, Stdio), Failed> {
        if self.init.has_ended() {
            return Err(Failed::new("container not running"));
        }
        let streams = if process.terminal { 1 } else { 3 };
        if fds.len() != extra.len().saturating_add(streams) {
            return Err(Failed::new(format!("{} descriptors came with the request", fds.len())));
        }
        let process = &super::config::ProcessConfig {
            seccomp: self.parts.seccomp.clone(),
            personality: self.parts.personality,
            memory_policy: self.parts.memory_policy.clone(),
            ..process.clone()
        };
        let further = fds.split_off(streams);
        let mut stdio = Stdio::new(self.kernel(), &self.parts.mounts, fds, process)?;
        let mut cx = launch::spawn(&self.parts, process, &mut stdio, false).await?;
        for (number, fd) in extra.iter().zip(further) {
            let file = super::stdio::host_file(self.kernel(), fd)?;
            let _ = cx.task.files().put(*number, file, false);
        }
        if let Err(f) = launch::load(&mut cx, process).await {
            self.kernel().abandon(cx, f.exit_code << 8);
            return Err(f);
        }
        let group = cx.task.group.clone();
        self.kernel().start(cx);
        Ok((group, stdio))
    }

    /// Waits until no guest code runs any more.
    async fn all_stopped(&self) {
        let end = Executor::now().saturating_add(LAST_WORDS_NS);
        while self.kernel().tasks.runs_guest(self.cgroup()) && Executor::now() < end {
            crate::wait::sleep_until(&self.kernel().executor, Executor::now() + 200_000).await;
        }
    }

    fn processes(&self) -> Vec<ProcessInfo> {
        let ns = &self.namespaces().pid_for_children;
        let mut list = Vec::new();
        for group in self.kernel().tasks.processes_in(self.cgroup()) {
            let Some(task) = group.any_thread() else { continue };
            list.push(ProcessInfo {
                pid: group.pid.in_ns(ns),
                ppid: self.kernel().tasks.parent_in(&group, ns),
                uid: task.cred().uid,
                name: String::from_utf8_lossy(&task.comm()).into_owned(),
                host_pid: task.mm().and_then(|mm| mm.aspace().host_pid()),
                cpu_ms: task.cpu_ns() / 1_000_000,
            });
        }
        list.sort_by_key(|process| process.pid);
        list
    }
}

/// Waits until the process has ended; gives its wait status.
pub(super) async fn ended(group: &Arc<ThreadGroup>) -> i32 {
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
