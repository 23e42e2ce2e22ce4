//! Process file descriptors (`pidfd_open(2)`).

use std::any::Any;
use std::sync::Arc;

use super::ThreadGroup;
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::namei::anon_file;
use crate::kernel::Kernel;
use crate::wait::{Events, WaitQueue};

/// What a pidfd refers to.
pub struct PidFd {
    /// The process, which may have ended.
    pub group: Arc<ThreadGroup>,
}

impl PidFd {
    /// A new open file for the process.
    pub fn open(kernel: &Kernel, group: Arc<ThreadGroup>, nonblock: bool) -> Arc<File> {
        let mut flags = OpenFlags::RDWR;
        if nonblock {
            flags |= OpenFlags::NONBLOCK;
        }
        anon_file(kernel, "[pidfd]", Arc::new(PidFd { group }), flags)
    }
}

impl FileOps for PidFd {
    fn poll(&self, _file: &File) -> Events {
        if self.group.has_ended() {
            Events::READ
        } else {
            Events::empty()
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.group.exit_wait)
    }

    fn fdinfo(&self, _file: &File) -> String {
        format!("Pid:\t{}\nNSpid:\t{}\n", self.group.tgid, self.group.pid.own())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
