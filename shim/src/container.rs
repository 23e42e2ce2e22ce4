//! A container and its processes.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim::protos::api::Status;
use containerd_shim::protos::events::task as event;
use containerd_shim::protos::protobuf::MessageField;
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::util::convert_to_timestamp;
use containerd_shim::{Error, Result, warn};

use crate::children::{self, lock};
use crate::ending::{Ending, Exit};
use crate::events::Events;
use crate::io::{Io, Wanted};
use crate::runsc::Runsc;

/// How long the end of a container may wait to be told for the ends of its other processes, which come first.
const LAST: Duration = Duration::from_secs(2);

/// The exit code of what has not run.
const UNKNOWN: u32 = 255;

pub struct Container {
    pub id: String,
    pub bundle: PathBuf,
    pub runsc: Runsc,
    pub init: Arc<Process>,
    pub execs: Mutex<HashMap<String, Arc<Process>>>,
    pub paused: Mutex<bool>,
    /// `runsc events`, for a container whose memory is limited.
    pub memory: Mutex<Option<Arc<Mutex<Child>>>>,
}

/// The first process of a container, or one of `exec`.
pub struct Process {
    /// Empty for the first.
    pub exec_id: String,
    pub wanted: Wanted,
    /// `process` of a config.json, for one of `exec`.
    pub spec: Vec<u8>,
    running: Mutex<Running>,
    pub ending: Ending,
    /// Held while it is started: its end is told after its start.
    pub order: Mutex<()>,
}

#[derive(Default)]
struct Running {
    pid: u32,
    started: bool,
    io: Option<Arc<Io>>,
}

pub fn time(exit: Exit) -> MessageField<Timestamp> {
    MessageField::some(convert_to_timestamp(Some(exit.at.into())))
}

impl Process {
    pub fn new(exec_id: &str, wanted: Wanted, spec: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            exec_id: exec_id.to_owned(),
            wanted,
            spec,
            running: Mutex::default(),
            ending: Ending::default(),
            order: Mutex::default(),
        })
    }

    pub fn pid(&self) -> u32 {
        lock(&self.running).pid
    }

    pub fn io(&self) -> Option<Arc<Io>> {
        lock(&self.running).io.clone()
    }

    pub fn is_started(&self) -> bool {
        lock(&self.running).started
    }

    pub fn set_started(&self) {
        lock(&self.running).started = true;
    }

    pub fn status(&self) -> Status {
        match (self.ending.get(), self.is_started()) {
            (Some(_), _) => Status::STOPPED,
            (None, true) => Status::RUNNING,
            (None, false) => Status::CREATED,
        }
    }

    /// Runs a `create` or `exec` with the streams that containerd wants; gives the pid that it wrote down.
    pub fn launch(&self, runsc: &Runsc, pid_file: &std::path::Path, verb: &str, args: &[&str]) -> Result<u32> {
        let mut call = runsc.call(&[verb]);
        call.command.arg("--pid-file").arg(pid_file);
        let (io, socket) = Io::prepare(&self.wanted, &mut call.command)?;
        call.command.args(args);
        // Until the child is known as one that is waited for.
        let guard = children::starting();
        call.finish(&[], &guard)?;
        let bad = |e: &dyn std::fmt::Display| Error::Other(format!("{}: {e}", pid_file.display()));
        let text = std::fs::read_to_string(pid_file).map_err(|e| bad(&e))?;
        let pid: u32 = text.trim().parse().map_err(|e| bad(&e))?;
        children::track(pid.cast_signed());
        drop(guard);
        if let Some(socket) = socket
            && let Err(e) = io.attach(&self.wanted, socket)
        {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            children::wait(pid.cast_signed());
            return Err(e);
        }
        let mut running = lock(&self.running);
        running.pid = pid;
        running.io = Some(Arc::new(io));
        Ok(pid)
    }

    /// It is deleted, or could not be started: whoever waits for it waits no longer, and its streams go.
    pub fn close(&self) {
        self.ending.set(UNKNOWN);
        let io = lock(&self.running).io.take();
        if let Some(io) = io {
            io.close();
        }
    }
}

impl Container {
    pub fn exec(&self, exec_id: &str) -> Option<Arc<Process>> {
        lock(&self.execs).get(exec_id).cloned()
    }

    /// Waits for a process in a thread, and tells its end.
    pub fn watch(self: &Arc<Self>, process: &Arc<Process>, events: &Events) {
        let (container, process, events) = (self.clone(), process.clone(), events.clone());
        std::thread::spawn(move || {
            let pid = process.pid();
            let code = children::wait(pid.cast_signed());
            if let Some(io) = process.io() {
                io.finish();
            }
            if process.exec_id.is_empty() {
                container.wait_for_execs();
            }
            let exit = process.ending.set(code);
            let id = match process.exec_id.as_str() {
                "" => &container.id,
                exec => exec,
            };
            let _started = lock(&process.order);
            events.send(event::TaskExit {
                container_id: container.id.clone(),
                id: id.to_owned(),
                pid,
                exit_status: exit.code,
                exited_at: time(exit),
                ..event::TaskExit::default()
            });
        });
    }

    /// They end with the first process.
    fn wait_for_execs(&self) {
        let execs: Vec<_> = lock(&self.execs).values().cloned().collect();
        let end = std::time::Instant::now() + LAST;
        for exec in execs.iter().filter(|exec| exec.is_started()) {
            exec.ending
                .wait_for(end.saturating_duration_since(std::time::Instant::now()));
        }
    }

    /// Tells when memory runs out, if it is limited.
    pub fn watch_memory(&self, events: &Events) {
        let text = std::fs::read(self.bundle.join("config.json")).unwrap_or_default();
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let limit = config["linux"]["resources"]["memory"]["limit"].as_i64();
        if limit.is_none_or(|limit| limit <= 0) {
            return;
        }
        let mut child = match self.runsc.stream(&["events", "--interval", "24h", &self.id]) {
            Ok(child) => child,
            Err(e) => return warn!("memory of {} is not watched: {e}", self.id),
        };
        let (pid, stdout) = (child.id().cast_signed(), child.stdout.take());
        let child = Arc::new(Mutex::new(child));
        *lock(&self.memory) = Some(child.clone());
        let (events, id) = (events.clone(), self.id.clone());
        std::thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|out| std::io::BufReader::new(out).lines());
            for line in lines.map_while(std::io::Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["type"] == "oom" {
                    events.send(event::TaskOOM {
                        container_id: id.clone(),
                        ..event::TaskOOM::default()
                    });
                }
            }
            let _ = lock(&child).wait();
            children::untrack(pid);
        });
    }

    pub fn stop_watching_memory(&self) {
        if let Some(child) = lock(&self.memory).take() {
            let _ = lock(&child).kill();
        }
    }
}
