//! One container's sandbox: the Sentry and the Gofer, from start to the last trace.

mod bare;
mod boot;
pub mod control;
pub mod ending;
pub mod exec;
mod fds;
mod foreground;
mod gofer;
mod hook_mounts;
mod jail;
mod join;
mod kernel;
mod launch;
mod making;
mod network;
mod places;
mod preserve;
pub mod processes;
mod program;
mod relay;
mod shared;
mod spawn;
mod stand_in;
mod stub;
mod terminal;
mod userns;
mod view;

use std::path::PathBuf;
use std::time::Duration;

pub use boot::boot_main;
pub use gofer::gofer_main;
pub use preserve::note as note_inherited;
pub use relay::Relay;
pub use stub::stub_main;
pub use terminal::have_own as have_own_terminal;

use crate::cgroup;
use crate::commands::Env;
use crate::config::Plan;
use crate::error::{Error, Result};
use crate::hooks::{self, Stage};
use crate::log;
use crate::state::{Container, Phase, Process, Record, Status};
use launch::Launched;
use making::Making;
use view::View;

/// How to start.
pub struct Start {
    pub bundle: PathBuf,
    /// Name of the configuration where it is not `config.json`.
    pub config: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub preserve_fds: u32,
    pub terminal: Terminal,
    /// The sandbox ends with this runsc.
    pub foreground: bool,
    /// The container stays when its process has ended.
    pub keep: bool,
}

/// The guest's terminal.
#[derive(Debug)]
pub enum Terminal {
    None,
    /// Not even the standard streams of runsc.
    Null,
    /// The terminal that runsc itself runs on.
    Own,
    /// A new one, which runsc stands before with its standard streams.
    Relay(Relay),
    /// A new one, whose master end goes to this socket.
    Socket(PathBuf),
}

impl Terminal {
    /// Whether the sandbox has it to itself and hears of its changes.
    fn is_new(&self) -> bool {
        matches!(self, Self::Relay(_) | Self::Socket(_))
    }
}

/// How long a killed process may take to go: its memory is given back before.
const GRACE: Duration = Duration::from_secs(60);

/// Makes a container up to the state `created`.
pub fn create(env: &Env<'_>, container: Container, start: &Start, plan: Plan) -> Result<()> {
    build(env, container, start, plan).map(drop)
}

/// `create` and `start`, without waiting for the end.
pub fn run_detached(env: &Env<'_>, container: Container, start: &Start, plan: Plan) -> Result<i32> {
    let (container, mut record, _launched) = build(env, container, start, plan)?;
    match self::start(env, &container, &mut record) {
        Ok(()) => Ok(0),
        Err(e) => {
            let _ = destroy(env, container, &record);
            Err(e)
        }
    }
}

/// Lets the process of a created container run. If a hook fails, the container is stopped.
pub fn start(env: &Env<'_>, container: &Container, record: &mut Record) -> Result<()> {
    let (dir, id) = (env.store.sandbox_dir(record), record.id.clone());
    let joined = record.pod.is_some();
    begin(env, container, record, || match joined {
        true => control::start_joined(&dir, &id),
        false => control::start(container.dir()),
    })
}

/// `go` is what lets the process run.
fn begin(env: &Env<'_>, container: &Container, record: &mut Record, go: impl FnOnce() -> Result<()>) -> Result<()> {
    let kept = hooks::load(container.dir());
    hooks::start_container(&env.store.sandbox_dir(record), &kept, record).inspect_err(|_| stop(record))?;
    go()?;
    record.phase = Phase::Started;
    container.write(record)?;
    let pid = record.sandbox.map_or(0, |p| p.pid);
    hooks::stage(Stage::Poststart, &kept.hooks, record, pid, None).inspect_err(|_| stop(record))
}

/// Ends the processes and leaves the rest to `delete`.
fn stop(record: &Record) {
    for process in [record.sandbox, record.gofer].into_iter().flatten() {
        process.kill_and_wait(GRACE);
    }
}

/// Runs a container to its end and removes it; gives its exit code.
pub fn run(env: &Env<'_>, container: Container, start: &Start, plan: Plan) -> Result<i32> {
    // From here on signals are not lost: they wait until the container can have them.
    let signals = match foreground::Signals::catch() {
        Ok(signals) => signals,
        Err(e) => {
            let _ = container.remove();
            return Err(e);
        }
    };
    let id = record_id(&plan);
    let (container, mut record, launched) = build(env, container, start, plan)?;
    let dir = env.store.sandbox_dir(&record);
    let joined = record.pod.is_some();
    let begun = begin(env, &container, &mut record, || match joined {
        true => control::start_joined(&dir, &id),
        false => launched.go(),
    });
    let outcome = begun.and_then(|()| {
        // Other commands may now have the container.
        drop(container);
        foreground::wait(&dir, &id, &launched, &signals, &start.terminal)
    });
    if start.keep && outcome.is_ok() {
        return outcome;
    }
    // It may have been deleted by another command meanwhile, which is as good.
    if let Ok(container) = env.store.open(&id) {
        destroy(env, container, &record)?;
    }
    outcome
}

fn record_id(plan: &Plan) -> String {
    plan.container.id.clone()
}

/// Starts both processes and waits until the Sentry has built the container. Leaves nothing behind when it fails.
fn build(env: &Env<'_>, container: Container, start: &Start, plan: Plan) -> Result<(Container, Record, Launched)> {
    sweep(env);
    let uid = rustix::process::getuid();
    let mut record = Record {
        id: plan.container.id.clone(),
        bundle: start.bundle.clone(),
        config: start.config.clone(),
        rootfs: plan.rootfs.clone(),
        created: log::rfc3339_now(),
        owner: if uid.is_root() {
            "root".to_owned()
        } else {
            uid.as_raw().to_string()
        },
        annotations: plan.annotations.clone(),
        phase: Phase::Creating,
        creator: i32::try_from(std::process::id()).ok().and_then(Process::of),
        foreground: start.foreground && !start.keep,
        sandbox: None,
        gofer: None,
        pod: None,
        bare: plan.container.bare,
        cgroup: None,
        scratch: plan.scratch.clone(),
    };
    match try_build(env, &container, &mut record, start, plan) {
        Ok(launched) => Ok((container, record, launched)),
        Err(e) => {
            if let Err(left) = destroy(env, container, &record) {
                env.log.warn(&left.to_string());
            }
            Err(kernel::explain(e))
        }
    }
}

fn try_build(env: &Env<'_>, container: &Container, record: &mut Record, start: &Start, plan: Plan) -> Result<Launched> {
    container.write(record)?;
    hooks::save(container.dir(), &plan.hooks, &plan.container.process)?;
    for dir in &plan.scratch {
        use crate::error::Context;
        std::fs::create_dir_all(dir).context(|| dir.display().to_string())?;
    }
    // It takes a tenth of a start, and nobody is given the pid of what runs in the foreground.
    let told = !start.foreground || start.pid_file.is_some();
    let view = if told && !env.globals.is_rootless() {
        View::of(&plan)
    } else {
        None
    };
    let mut making = Making {
        env,
        container,
        record,
        start,
    };
    let mut launched = match shared::find(&mut making, &plan)? {
        Some(home) => join::join(&mut making, plan, home)?,
        None => launch::launch(&mut making, plan)?,
    };
    launched.wait_ready().map_err(|e| match &record.cgroup {
        Some(cgroup) if cgroup::killed(cgroup) => e.context("out of memory: linux.resources.memory is too little"),
        _ => e,
    })?;
    if let Some(view) = view
        && let Err(e) = show(env, record, view.with(launched.take_hook_mounts()))
    {
        env.log.warn(&format!(
            "the container's files are not shown in its mount namespace: {e}"
        ));
    }
    record.phase = Phase::Created;
    container.write(record)?;
    if let Some(path) = &start.pid_file {
        crate::state::write_atomically(path, launched.pid().to_string().as_bytes())?;
    }
    Ok(launched)
}

/// Lets those who enter the mount namespace of the container's process see its files.
fn show(env: &Env<'_>, record: &Record, view: View) -> Result<()> {
    let Some(process) = record.sandbox else { return Ok(()) };
    let list = control::processes(&env.store.sandbox_dir(record), &record.id)?;
    let guests: Vec<i32> = list.iter().filter_map(|process| process.host_pid).collect();
    match &record.pod {
        Some(pod) => view.build_apart(process.pid, pod.sandbox.pid, &guests),
        None => view.build(process.pid, &guests),
    }
}

/// Removes what a killed `create`, `run` or `do` left.
pub fn sweep(env: &Env<'_>) {
    env.store.sweep();
    for record in env.store.list().unwrap_or_default() {
        let left = |record: &Record| record.abandoned() || bare::is_left(env, record);
        if !left(&record) {
            continue;
        }
        if let Ok(container) = env.store.open(&record.id)
            && container.read().ok().flatten().is_some_and(|now| left(&now))
        {
            let _ = destroy(env, container, &record);
        }
    }
}

/// Ends what runs of a container and removes every trace of it.
pub fn destroy(env: &Env<'_>, container: Container, record: &Record) -> Result<()> {
    let hooks = hooks::load(container.dir()).hooks;
    if record.status() == Status::Stopped
        && let Some(why) = ending::why(container.dir(), record)
    {
        env.log
            .warn(&format!("container {}: the sandbox had ended: {why}", record.id));
    }
    if let Some(pod) = &record.pod
        && pod.sandbox.alive()
    {
        // What does not answer is ended by the end of its process.
        let _ = control::leave(&env.store.dir(&pod.id), &record.id);
    }
    if let Some(cgroup) = &record.cgroup {
        cgroup::thaw(cgroup);
    }
    for process in [record.sandbox, record.gofer].into_iter().flatten() {
        if !process.kill_and_wait(GRACE) {
            return Err(Error::new(format!(
                "process {} of container {} does not end",
                process.pid, record.id
            )));
        }
    }
    if let Some(cgroup) = &record.cgroup {
        cgroup::remove(cgroup);
    }
    for dir in &record.scratch {
        let _ = std::fs::remove_dir_all(dir);
    }
    container.remove()?;
    if let Some(pod) = &record.pod {
        bare::left(env, &pod.id);
    }
    for failure in hooks::poststop(&hooks, record) {
        env.log.warn(&failure);
    }
    Ok(())
}
