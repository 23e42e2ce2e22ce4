//! containerd's task service: one function per call.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use containerd_shim::api;
use containerd_shim::protos::api::{ProcessInfo, Status};
use containerd_shim::protos::events::task as event;
use containerd_shim::protos::protobuf::MessageField;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::protos::ttrpc::Code;
use containerd_shim::util::{convert_to_any, convert_to_timestamp};
use containerd_shim::{Error, ExitSignal, Task, TtrpcContext, TtrpcResult, warn};

use crate::events::Events;
use crate::io::{Io, Wanted};
use crate::runsc::Runsc;
use crate::tasks::{self, Ending, Exit, lock};
use crate::{options, service};

/// The service.
pub struct Tasks {
    namespace: String,
    events: Events,
    exit: Arc<ExitSignal>,
    containers: Mutex<HashMap<String, Arc<Container>>>,
}

/// A container.
struct Container {
    id: String,
    bundle: PathBuf,
    runsc: Runsc,
    init: Arc<Process>,
    execs: Mutex<HashMap<String, Arc<Process>>>,
    paused: Mutex<bool>,
}

/// A process of a container: its first, or one of `exec`.
struct Process {
    /// Empty for the first.
    exec_id: String,
    wanted: Wanted,
    /// `process` of a config.json, for one of `exec`.
    spec: Vec<u8>,
    running: Mutex<Running>,
    ending: Ending,
}

#[derive(Default)]
struct Running {
    pid: u32,
    started: bool,
    io: Option<Arc<Io>>,
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

fn time(exit: Exit) -> MessageField<Timestamp> {
    MessageField::some(convert_to_timestamp(Some(exit.at.into())))
}

impl Process {
    fn new(exec_id: &str, wanted: Wanted, spec: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            exec_id: exec_id.to_owned(),
            wanted,
            spec,
            running: Mutex::default(),
            ending: Ending::default(),
        })
    }

    fn pid(&self) -> u32 {
        lock(&self.running).pid
    }

    fn status(&self) -> Status {
        let running = lock(&self.running);
        match (self.ending.get(), running.started) {
            (Some(_), _) => Status::STOPPED,
            (None, true) => Status::RUNNING,
            (None, false) => Status::CREATED,
        }
    }

    /// Runs a `create` or `exec` with the streams that containerd wants; gives the pid that it wrote down.
    fn launch(&self, container: &Runsc, dir: &Path, name: &str, args: &[&str]) -> Result<u32, Error> {
        let pid_file = dir.join(format!("{name}.pid"));
        let mut command = container.command(args.get(..1).unwrap_or_default());
        command.arg("--pid-file").arg(&pid_file).current_dir(dir);
        let (io, socket) = Io::prepare(&self.wanted, dir, name, &mut command)?;
        command.args(args.get(1..).unwrap_or_default());
        let result = container.finish(&mut command, &[]);
        // What the command still has of the streams, such as the fifos' ends, must not outlive it here.
        drop(command);
        if let Some(socket) = &socket {
            let _ = std::fs::remove_file(&socket.path);
        }
        result?;
        if let Some(socket) = socket {
            io.attach(&self.wanted, &socket)?;
        }
        let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
        let pid: u32 = text.trim().parse()?;
        // From here on it is this shim's child, and waited for.
        tasks::track(pid.cast_signed());
        let mut running = lock(&self.running);
        running.pid = pid;
        running.io = Some(Arc::new(io));
        Ok(pid)
    }

    fn io(&self) -> Option<Arc<Io>> {
        lock(&self.running).io.clone()
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
        let found = lock(&container.execs).get(exec_id).cloned();
        let process = found.ok_or_else(|| fault(Code::NOT_FOUND, format!("process {exec_id} not found")))?;
        Ok((container, process))
    }

    /// Waits for a process in a thread, and tells its end.
    fn watch(&self, container: &Arc<Container>, process: &Arc<Process>) {
        let (events, container, process) = (self.events.clone(), container.clone(), process.clone());
        std::thread::spawn(move || {
            let pid = process.pid();
            let code = tasks::wait(pid.cast_signed());
            if let Some(io) = process.io() {
                io.finish();
            }
            let exit = process.ending.set(code);
            let id = match process.exec_id.as_str() {
                "" => container.id.clone(),
                exec => exec.to_owned(),
            };
            events.send(event::TaskExit {
                container_id: container.id.clone(),
                id,
                pid,
                exit_status: exit.code,
                exited_at: time(exit),
                ..event::TaskExit::default()
            });
        });
    }

    /// Tells when memory runs out in a container that has a limit.
    fn watch_memory(&self, container: &Arc<Container>) {
        let text = std::fs::read(container.bundle.join("config.json")).unwrap_or_default();
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let limit = config["linux"]["resources"]["memory"]["limit"].as_i64();
        if limit.is_none_or(|limit| limit <= 0) {
            return;
        }
        let child = container.runsc.stream(&["events", "--interval", "24h", &container.id]);
        let Ok(mut child) = child else { return };
        let (events, id) = (self.events.clone(), container.id.clone());
        std::thread::spawn(move || {
            use std::io::BufRead;
            let pid = child.id().cast_signed();
            for line in child
                .stdout
                .take()
                .into_iter()
                .flat_map(|out| std::io::BufReader::new(out).lines())
            {
                let Ok(line) = line else { break };
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["type"] == "oom" {
                    events.send(event::TaskOOM {
                        container_id: id.clone(),
                        ..event::TaskOOM::default()
                    });
                }
            }
            let _ = tasks::wait(pid);
        });
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
        service::keep_options(&bundle, sent);
        let rootfs = bundle.join("rootfs");
        if !req.rootfs.is_empty() {
            std::fs::create_dir_all(&rootfs).map_err(|e| fault(Code::UNKNOWN, format!("{}: {e}", rootfs.display())))?;
        }
        let unmount = || {
            let _ = containerd_shim::mount::umount_recursive(rootfs.to_str(), 2);
        };
        for mount in &req.rootfs {
            let kind = Some(mount.type_.as_str()).filter(|t| !t.is_empty());
            let source = Some(mount.source.as_str()).filter(|s| !s.is_empty());
            let mounted = containerd_shim::mount::mount_rootfs(kind, source, &mount.options, &rootfs);
            mounted.inspect_err(|_| unmount()).map_err(other)?;
        }
        let wanted = Wanted {
            terminal: req.terminal,
            stdin: req.stdin.clone(),
            stdout: req.stdout.clone(),
            stderr: req.stderr.clone(),
        };
        let runsc = Runsc::new(options, &self.namespace, &bundle);
        let init = Process::new("", wanted, Vec::new());
        let launched = init.launch(&runsc, &bundle, "init", &["create", "--bundle", &req.bundle, &req.id]);
        let pid = launched.inspect_err(|_| unmount()).map_err(other)?;
        let container = Arc::new(Container {
            id: req.id.clone(),
            bundle,
            runsc,
            init,
            execs: Mutex::default(),
            paused: Mutex::default(),
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
        self.watch(&container, &container.init);
        Ok(api::CreateTaskResponse {
            pid,
            ..api::CreateTaskResponse::default()
        })
    }

    fn start(&self, _ctx: &TtrpcContext, req: api::StartRequest) -> TtrpcResult<api::StartResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let pid = if req.exec_id.is_empty() {
            container.runsc.run(&["start", &req.id]).map_err(other)?;
            lock(&process.running).started = true;
            self.events.send(event::TaskStart {
                container_id: req.id,
                pid: process.pid(),
                ..event::TaskStart::default()
            });
            self.watch_memory(&container);
            process.pid()
        } else {
            let spec = container.bundle.join(format!("{}.process.json", req.exec_id));
            std::fs::write(&spec, &process.spec)
                .map_err(|e| fault(Code::UNKNOWN, format!("{}: {e}", spec.display())))?;
            let file = spec.display().to_string();
            let args = ["exec", "--detach", "--process", &file, &req.id];
            let launched = process.launch(&container.runsc, &container.bundle, &req.exec_id, &args);
            let _ = std::fs::remove_file(&spec);
            let pid = launched.map_err(other)?;
            lock(&process.running).started = true;
            self.events.send(event::TaskExecStarted {
                container_id: req.id,
                exec_id: req.exec_id,
                pid,
                ..event::TaskExecStarted::default()
            });
            self.watch(&container, &process);
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
            if !lock(&process.running).started {
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
            Err(e) if e.to_string().contains("not running") => Err(gone()),
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
            let rootfs = container.bundle.join("rootfs");
            if let Err(e) = containerd_shim::mount::umount_recursive(rootfs.to_str(), 2) {
                warn!("unmount {}: {e}", rootfs.display());
            }
            lock(&self.containers).remove(&req.id);
            tasks::reap_orphans();
        } else {
            if exit.is_none() && lock(&process.running).started {
                return Err(fault(
                    Code::FAILED_PRECONDITION,
                    format!("process {} runs", req.exec_id),
                ));
            }
            lock(&container.execs).remove(&req.exec_id);
        }
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
        let text = container
            .runsc
            .output(&["ps", "--format", "json", &req.id])
            .map_err(other)?;
        let pids: Vec<u32> = serde_json::from_slice(&text).map_err(|e| other(e.into()))?;
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
        let mut command = container.runsc.command(&["update", "--resources", "-", &req.id]);
        command.stdin(Stdio::piped());
        let result = container.runsc.finish(&mut command, &req.resources.value);
        result.map(|_| api::Empty::new()).map_err(other)
    }

    fn stats(&self, _ctx: &TtrpcContext, req: api::StatsRequest) -> TtrpcResult<api::StatsResponse> {
        let container = self.container(&req.id)?;
        let group = containerd_shim::cgroup::get_cgroup(container.init.pid()).map_err(other)?;
        let metrics = containerd_shim::cgroup::collect_metrics(&group).map_err(other)?;
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
            self.exit.signal();
        }
        Ok(api::Empty::new())
    }
}
