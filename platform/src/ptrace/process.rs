//! A guest process.

use std::sync::Arc;

use super::hub::Hub;
use crate::guest::inflight::Inflight;
use crate::guest::process::HostProcess;

/// A host process that is a guest address space.
pub(super) struct Process {
    pub(super) host: Arc<HostProcess>,
    pub(super) inflight: Inflight,
}

impl Process {
    pub(super) fn new(hub: &Hub, pid: i32) -> Arc<Process> {
        Arc::new(Process {
            host: HostProcess::new(pid, hub.proc_fd.clone()),
            inflight: Inflight::default(),
        })
    }
}
