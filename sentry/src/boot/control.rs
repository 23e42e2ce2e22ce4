//! Control messages from `runsc` to a running Sentry: one JSON request per SOCK_SEQPACKET message, one JSON reply.
//! Requests may carry fds by `SCM_RIGHTS` (stdio of an exec).

use serde::{Deserialize, Serialize};

use super::config::ProcessConfig;

/// What `runsc` may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// `runsc kill`: a signal to the container's first process, or to all of its processes.
    Signal {
        /// Container.
        container: String,
        /// Signal number.
        signal: i32,
        /// To every process of the container.
        all: bool,
    },
    /// `runsc exec`: a new process; stdio comes with the message (three fds, or one terminal), then the fds of `extra`.
    ///
    /// The connection stands for the process from then on: `Started`, then [`Request::Tell`] and [`Request::Resized`] without
    /// replies, at last `Ended`. Who closes it before kills the process.
    Exec {
        /// Container.
        container: String,
        /// What to run.
        process: Box<ProcessConfig>,
        /// Numbers of further fds in the guest. `--preserve-fds`.
        extra: Vec<i32>,
    },
    /// `runsc create` of a container of a pod. With the message come a file that holds a [`super::config::JoinConfig`], the read
    /// end of a pipe that the container's Gofer holds open, the connections to that Gofer, then stdio and the fds of `extra`.
    ///
    /// The connection stands for the container's first process, as that of an exec does. Before `Started` comes `Nursery`, if the
    /// container has cgroups of its own, and wants `Placed`.
    Join {
        /// How many connections to the Gofer.
        gofer: usize,
        /// Numbers of further fds in the guest.
        extra: Vec<i32>,
    },
    /// Comes before: a container will join on this connection, and a pod that is there for such only does not end meanwhile.
    Expect,
    /// `runsc start` of such a container.
    Start {
        /// Container.
        container: String,
    },
    /// `runsc delete` of such a container: ends what runs of it. Answered when it is gone; one that is gone is no error.
    Leave {
        /// Container.
        container: String,
    },
    /// On the connection of a join: what [`Reply::Nursery`] named is where it shall be.
    Placed,
    /// On the connection of an exec: a signal to its process.
    Tell {
        /// Signal number.
        signal: i32,
    },
    /// On the connection of an exec: its terminal has another size.
    Resized,
    /// Wait for the process to end (pid in the container's pid namespace; 1 is the first).
    Wait {
        /// Container.
        container: String,
        /// Process.
        pid: i32,
    },
    /// The processes of a container.
    Processes {
        /// Container.
        container: String,
    },
    /// The size of the first process's terminal changed: read it again from the terminal fd.
    Resize {
        /// Container.
        container: String,
    },
    /// Stop every task of the container.
    Pause {
        /// Container.
        container: String,
    },
    /// Let them go on.
    Resume {
        /// Container.
        container: String,
    },
    /// `runsc update`: other limits.
    Update {
        /// Container.
        container: String,
        /// Most tasks, if that changes: a negative number for no limit.
        pids_limit: Option<i64>,
        /// What files of the container's groups hold from now on.
        #[serde(default)]
        values: Vec<(String, String)>,
    },
}

/// What the Sentry answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Done.
    Done,
    /// The new process (in the container's pid namespace).
    Started {
        /// Its pid.
        pid: i32,
    },
    /// In the course of a join: the process that all of the container's will come from. They will be in its cgroups.
    Nursery {
        /// Its pid, in the Sentry's pid namespace.
        host_pid: i32,
    },
    /// The process ended, with a status as of `wait(2)`.
    Ended {
        /// Wait status.
        status: i32,
    },
    /// Processes: pid in the container, parent, name, host pid.
    Processes {
        /// One entry each.
        list: Vec<ProcessInfo>,
    },
    /// It failed: errno name or reason in one line, with the exit code that `runsc` should give.
    Failed {
        /// For people.
        message: String,
        /// For the shell.
        exit_code: i32,
    },
}

impl Reply {
    /// A failure for which there is no better exit code.
    pub(super) fn failed(message: impl Into<String>) -> Reply {
        Reply::Failed {
            message: message.into(),
            exit_code: 128,
        }
    }
}

/// One process of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Pid in the container.
    pub pid: i32,
    /// Parent there.
    pub ppid: i32,
    /// Real user id.
    pub uid: u32,
    /// `comm`.
    pub name: String,
    /// Host process that carries it, in the Sentry's pid namespace.
    pub host_pid: Option<i32>,
    /// Processor time used, milliseconds.
    pub cpu_ms: u64,
}
