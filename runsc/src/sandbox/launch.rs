//! Starting the two processes of a sandbox with what each is given.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sched::CloneFlags;
use platform::host::spawn::{Spawn, spawn};
use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use sentry::boot::config::{BootConfig, BootFds, BootStatus, NetworkMode, SandboxConfig};

use super::boot::{BootMessage, MESSAGE_FD};
use super::gofer::GoferMessage;
use super::{Start, Terminal, control, gofer, jail, network, places, preserve, program, terminal, userns};
use crate::cli::{FileAccess, Network as NetworkFlag};
use crate::commands::Env;
use crate::config::{IdMap, Plan};
use crate::error::{Context, Error, Result};
use crate::hooks::{self, Hooks, Namespaces, Stage};
use crate::state::{Container, Process, Record};
use crate::{cgroup, log};

/// A sandbox that was started.
pub struct Launched {
    sandbox: Process,
    pub pidfd: OwnedFd,
    /// Where the Sentry and the Gofer report; none in a pod, whose containers are built before this is made.
    reports: Option<(OwnedFd, OwnedFd)>,
    /// Write end of the start pipe, held by a runsc in the foreground.
    start: Option<OwnedFd>,
    _gofer_pidfd: OwnedFd,
}

/// The descriptors of a child, with the numbers that it sees.
struct Donated {
    list: Vec<(OwnedFd, i32)>,
    next: i32,
}

impl Donated {
    /// `stderr`: complaints go where runsc's go. A container that outlives runsc must not hold that open: the engine waits for
    /// its end.
    fn new(stderr: bool) -> Result<Self> {
        let null = || {
            let null = File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .context(|| "/dev/null")?;
            Ok(OwnedFd::from(null))
        };
        let stderr = if stderr { own_stderr()? } else { null()? };
        Ok(Self {
            list: vec![(null()?, 0), (null()?, 1), (stderr, 2)],
            next: MESSAGE_FD + 1,
        })
    }

    fn add(&mut self, fd: OwnedFd) -> i32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.list.push((fd, number));
        number
    }

    fn borrowed(&self) -> Vec<(BorrowedFd<'_>, i32)> {
        self.list.iter().map(|(fd, number)| (fd.as_fd(), *number)).collect()
    }
}

/// Starts Gofer and Sentry. Their pids are on record before either does anything.
pub fn launch(
    env: &Env<'_>,
    container: &Container,
    record: &mut Record,
    start: &Start,
    plan: Plan,
) -> Result<Launched> {
    jail::enough_fds()?;
    let image = program::open()?;
    let mut notes = Vec::new();
    let mut intent = |cgroup: &cgroup::CgroupRecord| {
        record.cgroup = Some(cgroup.clone());
        container.write(record)
    };
    let mut cgroup = cgroup::create(&plan, env.globals, &mut intent, &mut notes)?;
    notes.iter().for_each(|note| env.log.tell(note));
    record.cgroup.clone_from(&cgroup);
    container.write(record)?;

    let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    let (sentry_ends, gofer_ends) = connections(cpus.min(4))?;
    let oom = plan.container.process.oom_score_adj;

    if plan.container.root_readonly && plan.container.root_overlay == sentry::boot::config::Overlay::None {
        places::make(&plan.rootfs, &plan.container.mounts, &plan.container.process.cwd);
    }
    let (alive, alive_write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
    let (gofer_ready, gofer_ready_write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
    let gofer = start_gofer(
        env,
        &image,
        &plan,
        gofer_ends,
        [gofer_ready_write, alive_write],
        [start.foreground, keeps_stderr(env, start)],
    )?;
    record.gofer = Process::of(gofer.pid());
    container.write(record)?;
    begin(env, container, record, &mut cgroup, gofer.pid(), &plan)?;
    settle(&gofer, cgroup.as_ref(), oom)?;

    let (ready, ready_write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
    let (start_read, start_write) = start_pipe(container, start.foreground)?;
    let mut donated = Donated::new(keeps_stderr(env, start))?;
    let mut fds = BootFds {
        ready: Some(donated.add(ready_write)),
        start: Some(donated.add(start_read)),
        gofer_alive: Some(donated.add(alive)),
        control: Some(donated.add(control::listen(container.dir())?)),
        exit: Some(donated.add(exit_file(container)?)),
        log: log_file(env, keeps_stderr(env, start))?.map(|fd| donated.add(fd)),
        ..BootFds::default()
    };
    fds.gofer = sentry_ends.into_iter().map(|fd| donated.add(fd)).collect();
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
    let mode = sandbox.network;
    let outside = network::own();
    let network = network::join(&plan.network, mode)?;
    let sysctl = plan.container.sysctl.clone();
    let message = BootMessage {
        config: BootConfig {
            sandbox,
            container: plan.container,
            fds,
        },
        die_with_parent: start.foreground,
        controlling_terminal: start.terminal.is_new(),
    };
    donated.list.push((message_file(&message)?, MESSAGE_FD));
    let sandbox = spawn_sentry(&image, &donated, network, env.globals.is_rootless())?;
    let process = Process::of(sandbox.pid()).ok_or_else(|| Error::new("the sandbox ended at once"))?;
    record.sandbox = Some(process);
    container.write(record)?;
    settle(&sandbox, cgroup.as_ref(), oom)?;
    if mode == NetworkMode::Host && !env.globals.is_rootless() {
        network::prepare(sandbox.pid(), outside, &sysctl)?;
    }
    // Everything that hooks may look at is there: the pid, in its cgroup and its network namespace. Nothing of it has
    // run yet, and the Gofer has not taken its trees.
    create_hooks(env, record, &plan.hooks, sandbox.pid(), gofer.pid())?;
    let what = || "start the sandbox";
    let gofer_pidfd = gofer.release().context(what)?.1;
    let pidfd = sandbox.release().context(what)?.1;
    Ok(Launched {
        sandbox: process,
        pidfd,
        reports: Some((ready, gofer_ready)),
        start: start_write,
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
            _gofer_pidfd: gofer_pidfd,
        }
    }

    /// Whether the process is one that ends exactly as the guest's did.
    pub fn stands_for_guest(&self) -> bool {
        self.reports.is_none()
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

/// As much as comes until the other side closes; a report is short.
pub fn read_to_end(fd: BorrowedFd<'_>) -> Result<String> {
    let mut text = String::new();
    let file = File::from(fd.try_clone_to_owned().context(|| "report")?);
    file.take(1 << 16)
        .read_to_string(&mut text)
        .context(|| "the sandbox's report")?;
    Ok(text)
}

pub fn connections(count: u32) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let pair = |_| rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let pairs = (0..count)
        .map(pair)
        .collect::<rustix::io::Result<Vec<_>>>()
        .context(|| "socket pair")?;
    Ok(pairs.into_iter().unzip())
}

pub fn message_file<T: serde::Serialize>(message: &T) -> Result<OwnedFd> {
    let what = || "donated configuration";
    let mut file = File::from(rustix::fs::memfd_create("config", MemfdFlags::CLOEXEC).context(what)?);
    file.write_all(&serde_json::to_vec(message).context(what)?)
        .context(what)?;
    file.seek(SeekFrom::Start(0)).context(what)?;
    Ok(file.into())
}

pub fn start_gofer(
    env: &Env<'_>,
    image: &OwnedFd,
    plan: &Plan,
    connections: Vec<OwnedFd>,
    [ready, alive]: [OwnedFd; 2],
    [die_with_parent, stderr]: [bool; 2],
) -> Result<Started> {
    let mut donated = Donated::new(stderr)?;
    // Ids of a user namespace may not even reach the bundle: its trees are taken as root.
    let mut trees = Vec::new();
    if !env.globals.is_rootless() && !plan.gofer_uid_map.is_empty() {
        for mount in &plan.gofer {
            trees.push(donated.add(gofer::detached(mount)?));
        }
    }
    let message = GoferMessage {
        mounts: plan.gofer.clone(),
        trees,
        hide: plan.hide.clone(),
        die_with_parent,
        ready: donated.add(ready),
        alive: donated.add(alive),
        connections: connections.into_iter().map(|fd| donated.add(fd)).collect(),
    };
    donated.list.push((message_file(&message)?, MESSAGE_FD));
    let mut namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWNET;
    let mut maps = None;
    if env.globals.is_rootless() || !plan.gofer_uid_map.is_empty() {
        namespaces |= CloneFlags::CLONE_NEWUSER;
        maps = Some((plan.gofer_uid_map.clone(), plan.gofer_gid_map.clone()));
    }
    // Id 0 of its namespace, if there is one; a Gofer that maps only the user himself keeps his id.
    let become_root = plan.gofer_uid_map.iter().any(|(inside, ..)| *inside == 0);
    start_process(image, "runsc-gofer", "gofer", &donated, namespaces, maps, become_root)
}

/// The Sentry has a user namespace wherever the host lets it: its root is nobody outside.
fn spawn_sentry(image: &OwnedFd, donated: &Donated, network: CloneFlags, rootless: bool) -> Result<Started> {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP
        | network;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let try_with = |uid, gid| {
        let maps = Some((vec![(0, uid, 1)], vec![(0, gid, 1)]));
        let flags = namespaces | CloneFlags::CLONE_NEWUSER;
        start_process(image, "runsc-sandbox", "boot", donated, flags, maps, true)
    };
    if rootless {
        return try_with(uid, gid);
    }
    try_with(userns::NOBODY, userns::NOBODY)
        .or_else(|_| try_with(uid, gid))
        .or_else(|_| start_process(image, "runsc-sandbox", "boot", donated, namespaces, None, false))
}

pub type Started = platform::host::spawn::Held;

fn start_process(
    image: &OwnedFd,
    name: &str,
    verb: &str,
    donated: &Donated,
    namespaces: CloneFlags,
    maps: Option<(IdMap, IdMap)>,
    become_root: bool,
) -> Result<Started> {
    let what = || format!("start {name}");
    let string = |s: &str| CString::new(s).map_err(|_| Error::new("NUL in a program name"));
    let env = match std::env::var("RUST_BACKTRACE") {
        Ok(value) => vec![string(&format!("RUST_BACKTRACE={value}"))?],
        Err(_) => Vec::new(),
    };
    let held = spawn(&Spawn {
        program: image.as_fd(),
        argv: vec![string(name)?, string(verb)?],
        env,
        namespaces: u64::from(namespaces.bits().unsigned_abs()),
        fds: donated.borrowed(),
        become_root,
        new_session: true,
    })
    .context(what)?;
    if let Some((uid_map, gid_map)) = maps {
        userns::write_maps(held.pid(), &uid_map, &gid_map).context(what)?;
    }
    Ok(held)
}

/// The hooks of `create`, in the runtime-spec's order.
pub fn create_hooks(env: &Env<'_>, record: &Record, hooks: &Hooks, sandbox: i32, gofer: i32) -> Result<()> {
    hooks::stage(Stage::Prestart, hooks, record, sandbox, None)?;
    hooks::stage(Stage::CreateRuntime, hooks, record, sandbox, None)?;
    if hooks.create_container.is_empty() {
        return Ok(());
    }
    // An ordinary user's namespaces can be entered only from their user namespace, which a process with threads cannot.
    let within = if env.globals.is_rootless() {
        None
    } else {
        Some(Namespaces::of(sandbox, Some(gofer))?)
    };
    hooks::stage(Stage::CreateContainer, hooks, record, sandbox, within.as_ref())
}

/// Lets systemd make what it has to of the container's group, around its first process.
pub fn begin(
    env: &Env<'_>,
    container: &Container,
    record: &mut Record,
    cgroup: &mut Option<cgroup::CgroupRecord>,
    pid: i32,
    plan: &Plan,
) -> Result<()> {
    let Some(group) = cgroup.as_mut().filter(|group| group.unit.is_some()) else {
        return Ok(());
    };
    let mut notes = Vec::new();
    cgroup::begin(group, pid, plan.resources.as_ref(), &mut notes)?;
    notes.iter().for_each(|note| env.log.tell(note));
    record.cgroup.clone_from(cgroup);
    container.write(record)
}

/// Puts a held process where it belongs.
pub fn settle(held: &Started, cgroup: Option<&cgroup::CgroupRecord>, oom_score_adj: i32) -> Result<()> {
    if let Some(cgroup) = cgroup {
        cgroup::enter(cgroup, held.pid())?;
    }
    if oom_score_adj != 0 {
        let path = format!("/proc/{}/oom_score_adj", held.pid());
        // Less than it has takes CAP_SYS_RESOURCE on the host, and asks for no more than a preference.
        match std::fs::write(&path, oom_score_adj.to_string()) {
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {}
            other => other.context(|| format!("config.json: process.oomScoreAdj: {path}"))?,
        }
    }
    Ok(())
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

/// Where the Sentry leaves its last words.
pub fn exit_file(container: &Container) -> Result<OwnedFd> {
    let path = control::exit_file(container.dir());
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    file.map(OwnedFd::from).context(|| path.display().to_string())
}

fn log_file(env: &Env<'_>, stderr: bool) -> Result<Option<OwnedFd>> {
    match &env.globals.debug_log {
        Some(path) => Ok(Some(log::append(path)?.into())),
        None if stderr && (env.globals.debug || env.globals.strace) => own_stderr().map(Some),
        None => Ok(None),
    }
}

fn own_stderr() -> Result<OwnedFd> {
    let stderr = std::io::stderr();
    stderr.as_fd().try_clone_to_owned().context(|| "standard error")
}

/// Whether both processes may keep this one's standard error: in the foreground, and for those who look for a fault.
pub fn keeps_stderr(env: &Env<'_>, start: &Start) -> bool {
    let debug = env.globals.debug || env.globals.strace;
    start.foreground || debug && matches!(start.terminal, Terminal::None)
}

/// What becomes the standard streams: three descriptors, or a terminal.
pub fn stdio(terminal: &Terminal, size: Option<(u16, u16)>) -> Result<Vec<OwnedFd>> {
    let what = || "standard streams";
    match terminal {
        Terminal::None => Ok(vec![
            std::io::stdin().as_fd().try_clone_to_owned().context(what)?,
            std::io::stdout().as_fd().try_clone_to_owned().context(what)?,
            std::io::stderr().as_fd().try_clone_to_owned().context(what)?,
        ]),
        Terminal::Own => terminal::own().map(|fd| vec![fd]),
        Terminal::Relay(relay) => relay.slave(size).map(|fd| vec![fd]),
        Terminal::Socket(path) => terminal::hand_out(path, size).map(|fd| vec![fd]),
    }
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
