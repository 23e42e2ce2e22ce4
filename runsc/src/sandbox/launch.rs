//! Starting the two processes of a sandbox with what each is given.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use sentry::boot::config::{BootConfig, BootFds, BootStatus, MountConfig, NetworkMode, SandboxConfig};

use super::boot::{BootMessage, MESSAGE_FD};
use super::fds::{Donated, empty_message, exit_file, keeps_stderr, log_file, null, read_to_end, stdio, write_message};
use super::making::Making;
use super::spawn::spawn_sentry;
use super::{control, jail, network, preserve, program};
use crate::cli::{FileAccess, Network as NetworkFlag};
use crate::config::Plan;
use crate::error::{Context, Error, Result};
use crate::hooks::{self, Hooks, Namespaces, Stage};
use crate::state::{Container, Process};

/// A sandbox that was started.
pub struct Launched {
    sandbox: Process,
    pub pidfd: OwnedFd,
    /// Where the Sentry and the Gofer report; none in a pod, whose containers are built before this is made.
    reports: Option<(OwnedFd, OwnedFd)>,
    /// Write end of the start pipe, held by a runsc in the foreground.
    start: Option<OwnedFd>,
    hook_mounts: Vec<(MountConfig, OwnedFd)>,
    _gofer_pidfd: OwnedFd,
}

/// Starts Gofer and Sentry. Their pids are on record before either does anything.
pub fn launch(making: &mut Making<'_>, mut plan: Plan) -> Result<Launched> {
    jail::enough_fds()?;
    let image = program::open()?;
    making.create_group(&plan)?;
    let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    let gofer = making.spawn_gofer(&image, &plan, cpus.min(4))?;
    making.show_groups(&mut plan);

    let (env, container, start) = (making.env, making.container, making.start);
    let (ready, ready_write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
    let (start_read, start_write) = start_pipe(container, start.foreground)?;
    let mut donated = Donated::new(keeps_stderr(env, start), null()?)?;
    let mut fds = BootFds {
        ready: Some(donated.add(ready_write)),
        start: Some(donated.add(start_read)),
        gofer_alive: Some(donated.add(gofer.alive)),
        control: Some(donated.add(control::listen(container.dir())?)),
        exit: Some(donated.add(exit_file(container)?)),
        log: log_file(env, keeps_stderr(env, start))?.map(|fd| donated.add(fd)),
        ..BootFds::default()
    };
    fds.gofer = gofer.connections.into_iter().map(|fd| donated.add(fd)).collect();
    fds.stdio = stdio(&start.terminal, plan.container.process.console_size)?
        .into_iter()
        .map(|fd| donated.add(fd))
        .collect();
    for (number, fd) in preserve::take(start.preserve_fds)? {
        fds.extra.push((number, donated.add(fd)));
    }
    let sandbox = SandboxConfig {
        platform: env.globals.platform.clone(),
        strace: env.globals.strace,
        debug: env.globals.debug,
        network: match env.globals.network {
            NetworkFlag::None => NetworkMode::None,
            NetworkFlag::Host => NetworkMode::Host,
        },
        exclusive_rootfs: env.globals.file_access == FileAccess::Exclusive,
        cpus,
        total_memory: total_memory(&plan),
        pids_limit: plan.pids_limit(),
    };
    let own = empty_message()?;
    donated
        .list
        .push((own.try_clone().context(|| "donated configuration")?.into(), MESSAGE_FD));
    let mode = sandbox.network;
    let oom = plan.container.process.oom_score_adj;
    let outside = network::own();
    let network = network::join(&plan.network, mode)?;
    let sysctl = plan.container.sysctl.clone();
    let hooked = gofer.hooked.as_ref();
    let held = spawn_sentry(&image, &donated, network, env.globals.is_rootless(), hooked)?;
    let process = Process::of(held.pid()).ok_or_else(|| Error::new("the sandbox ended at once"))?;
    making.record.sandbox = Some(process);
    making.write()?;
    making.settle(&held, oom)?;
    if mode == NetworkMode::Host && !env.globals.is_rootless() {
        network::prepare(held.pid(), outside, &sysctl)?;
    }
    // Everything that hooks may look at is there: the pid, in its cgroup and its network namespace. Nothing of it has
    // run yet, and the Gofer has not taken its trees.
    create_hooks(making, &plan.hooks, held.pid(), gofer.process.pid())?;
    let hook_mounts = match gofer.hooked {
        Some(place) => place.hand_over(&mut plan)?,
        None => Vec::new(),
    };
    let message = BootMessage {
        config: BootConfig {
            sandbox,
            container: plan.container,
            fds,
        },
        die_with_parent: start.foreground,
        controlling_terminal: start.terminal.is_new(),
    };
    write_message(&own, &message)?;
    let what = || "start the sandbox";
    // The Gofer last: it leaves the mounts of a namespace that the Sentry may still have in common with it.
    let pidfd = held.release().context(what)?.1;
    let gofer_pidfd = gofer.process.release().context(what)?.1;
    Ok(Launched {
        sandbox: process,
        pidfd,
        reports: Some((ready, gofer.ready)),
        start: start_write,
        hook_mounts,
        _gofer_pidfd: gofer_pidfd,
    })
}

impl Launched {
    /// A container of a pod, by the process that stands for it.
    pub fn joined(sandbox: Process, pidfd: OwnedFd, gofer_pidfd: OwnedFd) -> Self {
        Self {
            sandbox,
            pidfd,
            reports: None,
            start: None,
            hook_mounts: Vec::new(),
            _gofer_pidfd: gofer_pidfd,
        }
    }

    /// Whether the process is one that ends exactly as the guest's did.
    pub fn stands_for_guest(&self) -> bool {
        self.reports.is_none()
    }

    /// What hooks mounted into the container.
    pub fn take_hook_mounts(&mut self) -> Vec<(MountConfig, OwnedFd)> {
        std::mem::take(&mut self.hook_mounts)
    }

    pub fn pid(&self) -> i32 {
        self.sandbox.pid
    }

    /// Waits until the container is built.
    pub fn wait_ready(&self) -> Result<()> {
        let Some((ready, gofer_ready)) = &self.reports else {
            return Ok(());
        };
        let trouble = read_to_end(gofer_ready.as_fd())?;
        if !trouble.is_empty() {
            return Err(Error::new(trouble));
        }
        let text = read_to_end(ready.as_fd())?;
        let Some(line) = text.lines().next() else {
            return Err(Error::new("the sandbox ended while it was started"));
        };
        let status: BootStatus = serde_json::from_str(line).context(|| "the sandbox's report")?;
        match status.error {
            None => Ok(()),
            // What shells and engines know of a program that cannot be run; else the verb says how it failed.
            Some(e) if matches!(e.exit_code, 126 | 127) => Err(Error::with_code(e.message, e.exit_code)),
            Some(e) => Err(Error::new(e.message)),
        }
    }

    /// Lets the first process run.
    pub fn go(&self) -> Result<()> {
        let Some(start) = &self.start else {
            return Err(Error::new("not in the foreground"));
        };
        rustix::io::write(start, &[1])
            .map(drop)
            .context(|| "start the container")
    }
}

/// The hooks of `create`, in the runtime-spec's order.
pub fn create_hooks(making: &Making<'_>, hooks: &Hooks, sandbox: i32, gofer: i32) -> Result<()> {
    let record = &*making.record;
    hooks::stage(Stage::Prestart, hooks, record, sandbox, None)?;
    hooks::stage(Stage::CreateRuntime, hooks, record, sandbox, None)?;
    if hooks.create_container.is_empty() {
        return Ok(());
    }
    // An ordinary user's namespaces can be entered only from their user namespace, which a process with threads cannot.
    let within = if making.env.globals.is_rootless() {
        None
    } else {
        Some(Namespaces::of(sandbox, Some((gofer, &record.rootfs)))?)
    };
    hooks::stage(Stage::CreateContainer, hooks, record, sandbox, within.as_ref())
}

/// Where the Sentry waits for `start`. In the foreground a pipe whose end is held here, so that the Sentry ends if this
/// runsc dies; else a fifo in the state directory, which the Sentry keeps open on both ends.
fn start_pipe(container: &Container, foreground: bool) -> Result<(OwnedFd, Option<OwnedFd>)> {
    if foreground {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
        return Ok((read, Some(write)));
    }
    let path = control::start_fifo(container.dir());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .context(|| path.display().to_string())?;
    let fifo = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .context(|| path.display().to_string())?;
    Ok((fifo.into(), None))
}

fn total_memory(plan: &Plan) -> u64 {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit).max(1);
    let host = info.totalram.saturating_mul(unit);
    let limit = plan
        .resources
        .as_ref()
        .and_then(|r| r.memory().as_ref())
        .and_then(|m| m.limit());
    match limit.map(u64::try_from) {
        Some(Ok(limit)) if limit > 0 => host.min(limit),
        _ => host,
    }
}
