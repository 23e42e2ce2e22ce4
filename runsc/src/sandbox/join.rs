//! A container that joins the sandbox of another one: a Gofer of its own, and a process that stands for it on the host.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::CloneFlags;
use platform::host::spawn::{Spawn, spawn};
use sentry::boot::config::JoinConfig;
use sentry::boot::control::{Reply, Request};

use super::boot::MESSAGE_FD;
use super::control::{Connection, closed};
use super::fds::{exit_file, message_file, null, read_to_end, stdio};
use super::launch::{Launched, create_hooks};
use super::making::Making;
use super::spawn::Started;
use super::stub::{CONNECTION_FD, EXIT_FD, StubMessage, TERMINAL_FD};
use super::{preserve, processes, program};
use crate::cgroup;
use crate::commands::Env;
use crate::config::{Plan, Wish, is_own_time};
use crate::error::{Context, Error, Result};
use crate::state::{Pod, Process};

/// The pod of that id, whose sandbox must run.
pub fn find(env: &Env<'_>, id: &str) -> Result<(Pod, Connection)> {
    let first = env
        .store
        .load(id)
        .map_err(|e| Error::new(format!("sandbox of the pod: {e}")))?;
    match first.sandbox {
        Some(sandbox) if first.pod.is_none() && sandbox.alive() => {
            let id = id.to_owned();
            let connection = Connection::new(&env.store.dir(&id))?;
            Ok((Pod { id, sandbox }, connection))
        }
        _ => Err(Error::new(format!("sandbox of the pod: container not running: {id}"))),
    }
}

/// Starts the Gofer and the process that stands for the container, and has the Sentry build it.
pub fn join(making: &mut Making<'_>, mut plan: Plan, (pod, connection): (&Pod, Connection)) -> Result<Launched> {
    let (env, start) = (making.env, making.start);
    let pids_of = pids_of(env, &plan.wishes.pid, pod)?;
    let time_of = match &plan.wishes.time {
        Wish::Join(path) => match owner_of(env, path, "time", pod) {
            Err(_) if is_own_time(path) => None,
            owner => Some(owner?),
        },
        Wish::None | Wish::New => None,
    };
    let image = program::open()?;
    making.record.pod = Some(pod.clone());
    making.create_group(&plan)?;
    let gofer = making.spawn_gofer(&image, &plan, 2)?;
    making.show_groups(&mut plan);

    let mut fds = stdio(&start.terminal, plan.container.process.console_size)?;
    join_network(env, pod)?;
    let stub = Stub {
        connection: &connection,
        terminal: fds.first().filter(|_| start.terminal.is_new()),
        exit: exit_file(making.container)?,
        message: message_file(&StubMessage {
            cgroup: making.record.cgroup.as_ref().map_or_else(Vec::new, |c| c.dirs.clone()),
            terminal: start.terminal.is_new(),
            exit: true,
            die_with_parent: start.foreground,
        })?,
    };
    let stub = match &gofer.hooked {
        Some(place) => place.within(|| stub.spawn(&image, true))?,
        None => stub.spawn(&image, false)?,
    };
    let process = Process::of(stub.pid()).ok_or_else(|| Error::new("the container's process ended at once"))?;
    making.record.sandbox = Some(process);
    making.write()?;
    making.settle(&stub, plan.container.process.oom_score_adj)?;
    create_hooks(making, &plan.hooks, stub.pid(), gofer.process.pid())?;

    if let Some(place) = gofer.hooked {
        place.hand_over(&mut plan)?;
    }
    let gofer_pidfd = gofer.process.release().context(|| "start the gofer")?.1;
    let trouble = read_to_end(gofer.ready.as_fd())?;
    if !trouble.is_empty() {
        return Err(Error::new(trouble));
    }
    let (extra, preserved): (Vec<i32>, Vec<OwnedFd>) = preserve::take(start.preserve_fds)?.into_iter().unzip();
    let config = message_file(&JoinConfig {
        pids_limit: plan.pids_limit(),
        container: plan.container,
        pids_of,
        time_of,
        own_ipc: plan.wishes.ipc == Wish::New,
        own_uts: plan.wishes.uts == Wish::New,
        own_cgroup: making.record.cgroup.is_some(),
    })?;
    let request = Request::Join {
        gofer: gofer.connections.len(),
        extra,
    };
    let mut donated = vec![config, gofer.alive];
    donated.extend(gofer.connections);
    donated.append(&mut fds);
    donated.extend(preserved);
    let borrowed: Vec<BorrowedFd<'_>> = donated.iter().map(AsFd::as_fd).collect();
    connection.send(&request, &borrowed)?;
    let mut reply = connection.receive()?.ok_or_else(closed)?;
    if let (Reply::Nursery { host_pid }, Some(cgroup)) = (&reply, &making.record.cgroup) {
        cgroup::enter(cgroup, processes::host_pid(making.record, *host_pid)?)?;
        connection.send(&Request::Placed, &[])?;
        reply = connection.receive()?.ok_or_else(closed)?;
    }
    match reply {
        Reply::Started { .. } => {}
        Reply::Failed { message, exit_code } if matches!(exit_code, 126 | 127) => {
            return Err(Error::with_code(message, exit_code));
        }
        Reply::Failed { message, .. } => return Err(Error::new(message)),
        other => return Err(Error::new(format!("the sandbox gave a strange answer: {other:?}"))),
    }
    connection.be_patient()?;
    let pidfd = stub.release().context(|| "start runsc-container")?.1;
    Ok(Launched::joined(process, pidfd, gofer_pidfd))
}

/// What the process that stands for the container is given.
struct Stub<'a> {
    connection: &'a Connection,
    terminal: Option<&'a OwnedFd>,
    exit: OwnedFd,
    message: OwnedFd,
}

impl Stub<'_> {
    /// `own_mounts`: it has the Gofer's until then, for hooks.
    fn spawn(&self, image: &OwnedFd, own_mounts: bool) -> Result<Started> {
        let null = null()?;
        let mut fds = vec![
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (null.as_fd(), 2),
            (self.message.as_fd(), MESSAGE_FD),
            (self.connection.socket.as_fd(), CONNECTION_FD),
            (self.exit.as_fd(), EXIT_FD),
        ];
        fds.extend(self.terminal.map(|fd| (fd.as_fd(), TERMINAL_FD)));
        let string = |s: &str| CString::new(s).map_err(|_| Error::new("NUL in a program name"));
        spawn(&Spawn {
            program: image.as_fd(),
            argv: vec![string("runsc-container")?, string("exec-stub")?],
            env: Vec::new(),
            namespaces: 0,
            fds,
            become_root: false,
            new_session: true,
            own_mounts,
        })
        .context(|| "start runsc-container")
    }
}

/// The container whose pid namespace is wanted. A path names the process that stands for one, as engines know it, or is where an
/// engine has pinned that process's own namespace, as CRI-O does for a container that is to look at another one.
fn pids_of(env: &Env<'_>, wish: &Wish, pod: &Pod) -> Result<Option<String>> {
    let path = match wish {
        Wish::New => return Ok(None),
        // That of whoever runs it, as runc has it: here the pod.
        Wish::None => return Ok(Some(pod.id.clone())),
        Wish::Join(path) => path,
    };
    owner_of(env, path, "pid", pod).map(Some)
}

/// The container of the pod that a path of one of its process's namespaces names.
fn owner_of(env: &Env<'_>, path: &Path, kind: &str, pod: &Pod) -> Result<String> {
    let field = || format!("config.json: linux.namespaces: {}", path.display());
    let named = path
        .strip_prefix("/proc")
        .ok()
        .and_then(|rest| rest.iter().next()?.to_str()?.parse::<i32>().ok());
    let pinned = match named {
        Some(_) => None,
        None => Some(std::fs::metadata(path).context(field)?),
    };
    let mut owners = env.store.list()?;
    owners.retain(|r| {
        let Some(process) = r.sandbox.filter(|p| r.control_id() == pod.id && p.alive()) else {
            return false;
        };
        match (&pinned, named) {
            (Some(pinned), _) => std::fs::metadata(format!("/proc/{}/ns/{kind}", process.pid))
                .is_ok_and(|own| (own.dev(), own.ino()) == (pinned.dev(), pinned.ino())),
            (None, named) => named == Some(process.pid),
        }
    });
    match owners.as_slice() {
        [owner] => Ok(owner.id.clone()),
        [] => Err(Error::new(format!("{}: no container of the pod {}", field(), pod.id))),
        // On the host the processes that stand for containers are in one namespace.
        _ => Err(Error::new(format!(
            "{}: {} containers of the pod {} have this one on the host: only /proc/PID/ns/{kind} can tell which is meant",
            field(),
            owners.len(),
            pod.id
        ))),
    }
}

/// Hooks and engines look at the network namespace of the container's process: it is the pod's.
fn join_network(env: &Env<'_>, pod: &Pod) -> Result<()> {
    if env.globals.is_rootless() {
        return Ok(());
    }
    let path = format!("/proc/{}/ns/net", pod.sandbox.pid);
    let file = File::open(&path).context(|| &path)?;
    nix::sched::setns(file, CloneFlags::CLONE_NEWNET).context(|| path)
}
