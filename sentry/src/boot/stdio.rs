//! Standard input, output and error of a container's process: donated host fds, or a terminal of the guest's own.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Failed;
use super::config::ProcessConfig;
use crate::executor::Executor;
use crate::fs::impls::devpts;
use crate::fs::mount::MountNamespace;
use crate::fs::namei::{Lookup, Walker};
use crate::fs::{File, FileMode, FileOps, OpenFlags, Path};
use crate::kernel::Kernel;
use crate::task::Task;
use crate::tty::MasterFile;
use crate::tty::console::Console;

/// How long output of a process that has ended may take to reach a host terminal that nobody reads.
const DRAIN_NS: u64 = 1_000_000_000;

/// Three files, or one terminal that stands for all three.
pub struct Stdio {
    files: Vec<(i32, Arc<File>)>,
    console: Option<(Arc<Console>, Arc<MasterFile>)>,
}

/// A file over a donated host fd.
pub fn host_file(kernel: &Arc<Kernel>, fd: impl Into<Arc<OwnedFd>>) -> Result<Arc<File>, Failed> {
    crate::fs::impls::hostfd::file(kernel, fd)
        .map_err(|e| Failed::new(format!("donated fd: {}", super::launch::text(e))))
}

/// `/dev/pts` of the container, if it has one.
fn pts(kernel: &Arc<Kernel>, mounts: &MountNamespace) -> Option<Path> {
    let root = mounts.root_path().ok()?;
    let cred = Arc::new(super::launch::builder_cred(kernel));
    let walker = Walker::with_root(&root, cred, Lookup::FOLLOW);
    walker.start(-1, b"/dev/pts").ok()?.finish(b"/dev/pts").ok()
}

impl Stdio {
    /// Wraps donated fds: three of them, or a terminal of the host that a pair of the guest's stands on.
    pub fn new(
        kernel: &Arc<Kernel>,
        mounts: &MountNamespace,
        fds: Vec<OwnedFd>,
        process: &ProcessConfig,
    ) -> Result<Stdio, Failed> {
        let mut fds = fds.into_iter();
        if process.terminal {
            let fd = fds
                .next()
                .ok_or_else(|| Failed::new("no terminal was donated".to_owned()))?;
            return Stdio::terminal(kernel, mounts, fd, process);
        }
        let mut files = Vec::new();
        for (number, fd) in (0..).zip(fds) {
            let fd = Arc::new(fd);
            if number == 2 {
                // That of the first process; later calls do not count.
                platform::host::last_words::also(&fd);
            }
            files.push((number, host_file(kernel, fd)?));
        }
        Ok(Stdio { files, console: None })
    }

    fn terminal(
        kernel: &Arc<Kernel>,
        mounts: &MountNamespace,
        fd: OwnedFd,
        process: &ProcessConfig,
    ) -> Result<Stdio, Failed> {
        let failed = |e| Failed::new(format!("terminal: {}", super::launch::text(e)));
        let place = pts(kernel, mounts);
        let (tty, master, path) = devpts::console_pair(kernel, place.as_ref()).map_err(failed)?;
        let chown = crate::fs::SetAttr {
            uid: Some(process.uid),
            ..crate::fs::SetAttr::default()
        };
        path.inode().ops.set_attr(path.inode(), &chown).map_err(failed)?;
        let slave = tty.open_unowned();
        let mode = FileMode::READ | FileMode::WRITE;
        let file = File::new(slave as Arc<dyn FileOps>, path, mode, OpenFlags::RDWR);
        let console = Console::new(kernel, fd, tty, process.console_size).map_err(failed)?;
        Ok(Stdio {
            files: (0..3).map(|number| (number, file.clone())).collect(),
            console: Some((console, master)),
        })
    }

    /// The files with their numbers. They are the process's own from then on: its end, or its `close`, closes them, which is
    /// what readers on the host's side wait for.
    pub fn take_files(&mut self) -> Vec<(i32, Arc<File>)> {
        std::mem::take(&mut self.files)
    }

    /// Where the terminal is in the container, if there is one and it has a place.
    pub fn terminal_path(&self) -> Option<Path> {
        let file = self.console.as_ref().and(self.files.first())?;
        let (_, file) = file;
        (file.path.mnt.sb.fstype == "devpts").then(|| file.path.clone())
    }

    /// Makes the terminal, if there is one, the controlling terminal of the new session.
    pub fn take_terminal(&self, task: &Arc<Task>) {
        if let Some((console, _)) = &self.console {
            console.control(task);
        }
    }

    /// The host terminal's size has changed.
    pub fn resize(&self) {
        if let Some((console, _)) = &self.console {
            console.resize();
        }
    }

    /// Waits until everything written has gone out; the host's terminal is then as it was.
    pub async fn drain(&self) {
        let Some((console, _)) = &self.console else { return };
        let end = Executor::now().saturating_add(DRAIN_NS);
        while !console.is_drained() && Executor::now() < end {
            crate::wait::sleep_until(&console.kernel().executor, Executor::now() + 1_000_000).await;
        }
        console.restore();
    }
}
