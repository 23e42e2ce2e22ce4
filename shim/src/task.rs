//! containerd's task service: one function per call.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim::api;
use containerd_shim::protos::api::{ProcessInfo, Status};
use containerd_shim::protos::events::task as event;
use containerd_shim::protos::protobuf::MessageField;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::ttrpc::Code;
use containerd_shim::util::convert_to_any;
use containerd_shim::{Error, ExitSignal, Task, TtrpcContext, TtrpcResult};

use crate::children::{self, lock};
use crate::container::{Container, Process, time};
use crate::events::Events;
use crate::io::Wanted;
use crate::logger::Owner;
use crate::runsc::Runsc;
use crate::{options, rootfs, service, stats};

/// Where a container's pid stands in its bundle, as with runc's shim.
pub const PID_FILE: &str = "init.pid";

/// The service.
pub struct Tasks {
    namespace: String,
    events: Events,
    exit: Arc<ExitSignal>,
    containers: Mutex<HashMap<String, Arc<Container>>>,
}

fn fault(code: Code, message: impl Into<String>) -> containerd_shim::protos::ttrpc::Error {
    containerd_shim::protos::ttrpc::Error::RpcStatus(containerd_shim::protos::ttrpc::get_status(code, message.into()))
}

fn other(e: Error) -> containerd_shim::protos::ttrpc::Error {
    match e {
        Error::InvalidArgument(message) => fault(Code::INVALID_ARGUMENT, message),
        Error::Other(message) => fault(Code::UNKNOWN, message),
        e => fault(Code::UNKNOWN, e.to_string()),
    }
}

impl Tasks {
    pub fn new(namespace: String, events: Events, exit: Arc<ExitSignal>) -> Self {
        Self {
            namespace,
            events,
            exit,
            containers: Mutex::default(),
        }
    }

    fn owner(&self, id: &str) -> Owner {
        Owner {
            id: id.to_owned(),
            namespace: self.namespace.clone(),
        }
    }

    fn container(&self, id: &str) -> TtrpcResult<Arc<Container>> {
        let found = lock(&self.containers).get(id).cloned();
        found.ok_or_else(|| fault(Code::NOT_FOUND, format!("container {id} not found")))
    }

    fn process(&self, id: &str, exec_id: &str) -> TtrpcResult<(Arc<Container>, Arc<Process>)> {
        let container = self.container(id)?;
        if exec_id.is_empty() {
            let init = container.init.clone();
            return Ok((container, init));
        }
        let found = container.exec(exec_id);
        let process = found.ok_or_else(|| fault(Code::NOT_FOUND, format!("process {exec_id} not found")))?;
        Ok((container, process))
    }
}

impl Task for Tasks {
    fn create(&self, _ctx: &TtrpcContext, req: api::CreateTaskRequest) -> TtrpcResult<api::CreateTaskResponse> {
        if !req.checkpoint.is_empty() {
            return Err(fault(Code::UNIMPLEMENTED, "restore is not supported"));
        }
        if lock(&self.containers).contains_key(&req.id) {
            return Err(fault(Code::ALREADY_EXISTS, format!("container {} exists", req.id)));
        }
        let bundle = PathBuf::from(&req.bundle);
        let sent = req.options.as_ref();
        let options = options::read(sent).map_err(other)?;
        service::keep_options(&bundle, sent).map_err(other)?;
        let rootfs = bundle.join("rootfs");
        rootfs::set_up(&req.rootfs, &rootfs).map_err(other)?;
        let wanted = Wanted {
            terminal: req.terminal,
            stdin: req.stdin.clone(),
            stdout: req.stdout.clone(),
            stderr: req.stderr.clone(),
            owner: self.owner(&req.id),
        };
        let runsc = Runsc::new(options, &self.namespace, &bundle);
        let init = Process::new("", wanted, Vec::new());
        let args = ["--bundle", &req.bundle, &req.id];
        let launched = init.launch(&runsc, &bundle.join(PID_FILE), "create", &args);
        let pid = launched.map_err(|e| {
            // There may be a container without its terminal.
            let _ = runsc.run(&["delete", "--force", &req.id]);
            rootfs::take_down(&rootfs);
            other(e)
        })?;
        let container = Arc::new(Container {
            id: req.id.clone(),
            bundle,
            runsc,
            init,
            execs: Mutex::default(),
            paused: Mutex::default(),
            memory: Mutex::default(),
        });
        lock(&self.containers).insert(req.id.clone(), container.clone());
        self.events.send(event::TaskCreate {
            container_id: req.id,
            bundle: req.bundle,
            rootfs: req.rootfs,
            io: MessageField::some(event::TaskIO {
                stdin: req.stdin,
                stdout: req.stdout,
                stderr: req.stderr,
                terminal: req.terminal,
                ..event::TaskIO::default()
            }),
            checkpoint: req.checkpoint,
            pid,
            ..event::TaskCreate::default()
        });
        container.watch(&container.init, &self.events);
        Ok(api::CreateTaskResponse {
            pid,
            ..api::CreateTaskResponse::default()
        })
    }

    fn start(&self, _ctx: &TtrpcContext, req: api::StartRequest) -> TtrpcResult<api::StartResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let _order = lock(&process.order);
        if process.is_started() {
            return Err(fault(Code::FAILED_PRECONDITION, "process is started already"));
        }
        let pid = if req.exec_id.is_empty() {
            container.runsc.run(&["start", &req.id]).map_err(other)?;
            process.set_started();
            self.events.send(event::TaskStart {
                container_id: req.id,
                pid: process.pid(),
                ..event::TaskStart::default()
            });
            container.watch_memory(&self.events);
            process.pid()
        } else {
            let spec = container.bundle.join(format!("{}.process.json", req.exec_id));
            std::fs::write(&spec, &process.spec)
                .map_err(|e| fault(Code::UNKNOWN, format!("{}: {e}", spec.display())))?;
            let file = spec.display().to_string();
            let args = ["--detach", "--process", &file, &req.id];
            let pid_file = container.bundle.join(format!("{}.pid", req.exec_id));
            let launched = process.launch(&container.runsc, &pid_file, "exec", &args);
            let _ = (std::fs::remove_file(&spec), std::fs::remove_file(&pid_file));
            let pid = launched.map_err(|e| {
                process.close();
                other(e)
            })?;
            process.set_started();
            self.events.send(event::TaskExecStarted {
                container_id: req.id,
                exec_id: req.exec_id,
                pid,
                ..event::TaskExecStarted::default()
            });
            container.watch(&process, &self.events);
            pid
        };
        Ok(api::StartResponse {
            pid,
            ..api::StartResponse::default()
        })
    }

    fn exec(&self, _ctx: &TtrpcContext, req: api::ExecProcessRequest) -> TtrpcResult<api::Empty> {
        let container = self.container(&req.id)?;
        if req.exec_id.is_empty() || req.exec_id.contains('/') {
            return Err(fault(Code::INVALID_ARGUMENT, format!("exec id {:?}", req.exec_id)));
        }
        let mut execs = lock(&container.execs);
        if execs.contains_key(&req.exec_id) {
            return Err(fault(Code::ALREADY_EXISTS, format!("process {} exists", req.exec_id)));
        }
        let wanted = Wanted {
            terminal: req.terminal,
            stdin: req.stdin,
            stdout: req.stdout,
            stderr: req.stderr,
            owner: self.owner(&req.id),
        };
        let process = Process::new(&req.exec_id, wanted, req.spec.value.clone());
        execs.insert(req.exec_id.clone(), process);
        self.events.send(event::TaskExecAdded {
            container_id: req.id,
            exec_id: req.exec_id,
            ..event::TaskExecAdded::default()
        });
        Ok(api::Empty::new())
    }

    fn state(&self, _ctx: &TtrpcContext, req: api::StateRequest) -> TtrpcResult<api::StateResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let status = match process.status() {
            Status::RUNNING if *lock(&container.paused) => Status::PAUSED,
            status => status,
        };
        let mut response = api::StateResponse {
            id: req.id,
            bundle: container.bundle.display().to_string(),
            pid: process.pid(),
            status: status.into(),
            stdin: process.wanted.stdin.clone(),
            stdout: process.wanted.stdout.clone(),
            stderr: process.wanted.stderr.clone(),
            terminal: process.wanted.terminal,
            exec_id: req.exec_id,
            ..api::StateResponse::default()
        };
        if let Some(exit) = process.ending.get() {
            response.exit_status = exit.code;
            response.exited_at = time(exit);
        }
        Ok(response)
    }

    fn wait(&self, _ctx: &TtrpcContext, req: api::WaitRequest) -> TtrpcResult<api::WaitResponse> {
        let (_, process) = self.process(&req.id, &req.exec_id)?;
        let exit = process.ending.wait();
        Ok(api::WaitResponse {
            exit_status: exit.code,
            exited_at: time(exit),
            ..api::WaitResponse::default()
        })
    }

    fn kill(&self, _ctx: &TtrpcContext, req: api::KillRequest) -> TtrpcResult<api::Empty> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let gone = || fault(Code::NOT_FOUND, "process already finished");
        if process.ending.get().is_some() {
            return Err(gone());
        }
        if !req.exec_id.is_empty() {
            if !process.is_started() {
                return Err(fault(Code::FAILED_PRECONDITION, "process is not started"));
            }
            let pid = nix::unistd::Pid::from_raw(process.pid().cast_signed());
            let signal = nix::sys::signal::Signal::try_from(req.signal.cast_signed());
            let signal = signal.map_err(|_| fault(Code::INVALID_ARGUMENT, format!("signal {}", req.signal)))?;
            nix::sys::signal::kill(pid, signal).map_err(|_| gone())?;
            return Ok(api::Empty::new());
        }
        let signal = req.signal.to_string();
        let mut args = vec!["kill"];
        args.extend(req.all.then_some("--all"));
        args.extend([req.id.as_str(), &signal]);
        match container.runsc.run(&args) {
            Err(e)
                if ["not running", "does not exist"]
                    .iter()
                    .any(|words| e.to_string().contains(words)) =>
            {
                Err(gone())
            }
            other_result => other_result.map(|()| api::Empty::new()).map_err(other),
        }
    }

    fn delete(&self, _ctx: &TtrpcContext, req: api::DeleteRequest) -> TtrpcResult<api::DeleteResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let exit = process.ending.get();
        if req.exec_id.is_empty() {
            if exit.is_none() {
                return Err(fault(
                    Code::FAILED_PRECONDITION,
                    format!("container {} is not stopped", req.id),
                ));
            }
            container.runsc.run(&["delete", "--force", &req.id]).map_err(other)?;
            container.stop_watching_memory();
            rootfs::take_down(&container.bundle.join("rootfs"));
            lock(&self.containers).remove(&req.id);
        } else {
            if exit.is_none() && process.is_started() {
                return Err(fault(
                    Code::FAILED_PRECONDITION,
                    format!("process {} runs", req.exec_id),
                ));
            }
            lock(&container.execs).remove(&req.exec_id);
            if exit.is_none() {
                // It was never started: whoever waits for it would wait for ever.
                process.ending.set(0);
            }
        }
        process.close();
        children::reap_orphans();
        let mut response = api::DeleteResponse {
            pid: process.pid(),
            ..api::DeleteResponse::default()
        };
        if let Some(exit) = exit {
            response.exit_status = exit.code;
            response.exited_at = time(exit);
        }
        if req.exec_id.is_empty() {
            self.events.send(event::TaskDelete {
                container_id: req.id,
                pid: response.pid,
                exit_status: response.exit_status,
                exited_at: response.exited_at.clone(),
                ..event::TaskDelete::default()
            });
        }
        Ok(response)
    }

    fn pids(&self, _ctx: &TtrpcContext, req: api::PidsRequest) -> TtrpcResult<api::PidsResponse> {
        let container = self.container(&req.id)?;
        let mut pids = vec![container.init.pid()];
        // With no process at all, a containerd that was restarted would take the shim for one without a container, and remove it together
        // with the exit code that nobody has fetched.
        if container.init.ending.get().is_none() {
            let text = container
                .runsc
                .output(&["ps", "--format", "json", &req.id])
                .map_err(other)?;
            pids = serde_json::from_slice(&text).map_err(|e| other(e.into()))?;
        }
        let processes = pids.into_iter().map(|pid| ProcessInfo {
            pid,
            ..ProcessInfo::default()
        });
        Ok(api::PidsResponse {
            processes: processes.collect(),
            ..api::PidsResponse::default()
        })
    }

    fn pause(&self, _ctx: &TtrpcContext, req: api::PauseRequest) -> TtrpcResult<api::Empty> {
        let container = self.container(&req.id)?;
        container.runsc.run(&["pause", &req.id]).map_err(other)?;
        *lock(&container.paused) = true;
        self.events.send(event::TaskPaused {
            container_id: req.id,
            ..event::TaskPaused::default()
        });
        Ok(api::Empty::new())
    }

    fn resume(&self, _ctx: &TtrpcContext, req: api::ResumeRequest) -> TtrpcResult<api::Empty> {
        let container = self.container(&req.id)?;
        container.runsc.run(&["resume", &req.id]).map_err(other)?;
        *lock(&container.paused) = false;
        self.events.send(event::TaskResumed {
            container_id: req.id,
            ..event::TaskResumed::default()
        });
        Ok(api::Empty::new())
    }

    fn checkpoint(&self, _ctx: &TtrpcContext, _req: api::CheckpointTaskRequest) -> TtrpcResult<api::Empty> {
        Err(fault(Code::UNIMPLEMENTED, "checkpoint is not supported by runsc"))
    }

    fn resize_pty(&self, _ctx: &TtrpcContext, req: api::ResizePtyRequest) -> TtrpcResult<api::Empty> {
        let (_, process) = self.process(&req.id, &req.exec_id)?;
        let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        if let Some(io) = process.io() {
            io.resize(side(req.width), side(req.height)).map_err(other)?;
        }
        Ok(api::Empty::new())
    }

    fn close_io(&self, _ctx: &TtrpcContext, req: api::CloseIORequest) -> TtrpcResult<api::Empty> {
        let (_, process) = self.process(&req.id, &req.exec_id)?;
        if let (true, Some(io)) = (req.stdin, process.io()) {
            io.close_stdin();
        }
        Ok(api::Empty::new())
    }

    fn update(&self, _ctx: &TtrpcContext, req: api::UpdateTaskRequest) -> TtrpcResult<api::Empty> {
        let container = self.container(&req.id)?;
        let result = container
            .runsc
            .feed(&["update", "--resources", "-", &req.id], &req.resources.value);
        result.map(|_| api::Empty::new()).map_err(other)
    }

    fn stats(&self, _ctx: &TtrpcContext, req: api::StatsRequest) -> TtrpcResult<api::StatsResponse> {
        let container = self.container(&req.id)?;
        let text = container.runsc.output(&["events", "--stats", &req.id]).map_err(other)?;
        let line = serde_json::from_slice(&text).map_err(|e| other(e.into()))?;
        let metrics = stats::metrics(&line);
        let stats: Any = convert_to_any(Box::new(metrics)).map_err(other)?;
        Ok(api::StatsResponse {
            stats: MessageField::some(stats),
            ..api::StatsResponse::default()
        })
    }

    fn connect(&self, _ctx: &TtrpcContext, req: api::ConnectRequest) -> TtrpcResult<api::ConnectResponse> {
        let container = self.container(&req.id)?;
        Ok(api::ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: container.init.pid(),
            ..api::ConnectResponse::default()
        })
    }

    fn shutdown(&self, _ctx: &TtrpcContext, _req: api::ShutdownRequest) -> TtrpcResult<api::Empty> {
        if lock(&self.containers).is_empty() {
            self.events.flush(Duration::from_secs(2));
            self.exit.signal();
        }
        Ok(api::Empty::new())
    }
}
