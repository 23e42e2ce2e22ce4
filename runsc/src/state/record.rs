//! The content of `state.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Process;
use crate::cgroup::CgroupRecord;

/// How far runsc got with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Creating,
    Created,
    Started,
    /// Started; written before the sandbox is told to stop and after it is told to go on, so that a `resume` always helps.
    Paused,
}

/// The runtime-spec's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Where a container of a pod runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The container that the sandbox was started with.
    pub id: String,
    /// The sandbox.
    pub sandbox: Process,
}

/// One container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub bundle: PathBuf,
    /// Name of the configuration, relative to the bundle, where it is not `config.json`.
    #[serde(default)]
    pub config: Option<PathBuf>,
    pub rootfs: PathBuf,
    /// RFC 3339.
    pub created: String,
    pub owner: String,
    pub annotations: BTreeMap<String, String>,
    pub phase: Phase,
    /// The runsc that creates it.
    pub creator: Option<Process>,
    /// That runsc waits for it and would remove it; if it cannot, the next command does.
    pub foreground: bool,
    /// The sandbox, or the process that stands for a container of a pod: what engines know as the container's pid.
    pub sandbox: Option<Process>,
    pub gofer: Option<Process>,
    /// It joined the sandbox of another container.
    #[serde(default)]
    pub pod: Option<Pod>,
    /// It is no engine's container: runsc made it for those of a pod that has none to begin with.
    #[serde(default)]
    pub bare: bool,
    pub cgroup: Option<CgroupRecord>,
    /// Directories to remove with the container.
    pub scratch: Vec<PathBuf>,
}

impl Record {
    /// What the runtime-spec calls its status, from what is really there.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Creating if self.creator.is_some_and(Process::alive) => Status::Creating,
            Phase::Creating => Status::Stopped,
            _ if !self.sandbox.is_some_and(Process::alive) => Status::Stopped,
            Phase::Created => Status::Created,
            Phase::Started => Status::Running,
            Phase::Paused => Status::Paused,
        }
    }

    /// The process of the Sentry.
    pub fn sentry(&self) -> Option<Process> {
        match &self.pod {
            Some(pod) => Some(pod.sandbox),
            None => self.sandbox,
        }
    }

    /// The container whose directory has the sandbox's control socket.
    pub fn control_id(&self) -> &str {
        self.pod.as_ref().map_or(&self.id, |pod| &pod.id)
    }

    /// Whether the runsc that should have finished or removed it was killed.
    pub fn abandoned(&self) -> bool {
        let alone = !self.creator.is_some_and(Process::alive);
        alone && (self.phase == Phase::Creating || self.foreground && self.status() == Status::Stopped)
    }

    /// The pid that is shown: 0 once stopped, as runc does.
    pub fn shown_pid(&self) -> i32 {
        match (self.status(), self.sandbox) {
            (Status::Created | Status::Running | Status::Paused, Some(p)) => p.pid,
            _ => 0,
        }
    }

    /// The runtime-spec's state JSON, with runc's additions.
    pub fn to_state_json(&self) -> serde_json::Value {
        serde_json::json!({
            "ociVersion": "1.2.0",
            "id": self.id,
            "pid": self.shown_pid(),
            "status": self.status(),
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "owner": self.owner,
            "annotations": self.annotations,
        })
    }
}
