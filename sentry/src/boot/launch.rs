//! The first process of the container, and those that `runsc exec` adds.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use gofer::client::Client;

use super::config::{BootConfig, CgroupConfig, ContainerConfig, ProcessConfig};
use super::container::{Container, Parts};
use super::stdio::Stdio;
use super::{Failed, donated, tree};
use crate::cgroup::CgroupNamespace;
use crate::cred::Cred;
use crate::fs::{FdTable, FsContext, impls};
use crate::kernel::Kernel;
use crate::loader;
use crate::mm::Mm;
use crate::mm::policy::{self, Policy};
use crate::task::seccomp::{Insn, Program};
use crate::task::{Cgroup, ContainerProcess, Cx, Nsproxy, PidNamespace, Resource, Rlimit, Rlimits, TaskAttr};
use crate::time::Shifted;

/// All that the first process needs.
pub struct Seed {
    pub kernel: Arc<Kernel>,
    pub start: Option<Arc<OwnedFd>>,
    pub control: Option<OwnedFdHandle>,
    config: ContainerConfig,
    parts: Parts,
    stdio: Vec<OwnedFd>,
    extra: Vec<(i32, OwnedFd)>,
}

/// The listening control socket.
pub type OwnedFdHandle = Arc<OwnedFd>;

/// Takes the donated fds and builds the container's tree.
pub fn prepare(kernel: &Arc<Kernel>, config: &BootConfig) -> Result<Seed, Failed> {
    let fds = &config.fds;
    let take = |numbers: &[i32], what: &str| -> Result<Vec<OwnedFd>, Failed> {
        numbers.iter().map(|&n| donated(n, what)).collect()
    };
    let gofer = take(&fds.gofer, "gofer")?;
    let stdio = take(&fds.stdio, "stdio")?;
    let start = fds.start.map(|n| donated(n, "start")).transpose()?.map(Arc::new);
    let control = fds.control.map(|n| donated(n, "control")).transpose()?.map(Arc::new);
    let extra: Result<Vec<(i32, OwnedFd)>, Failed> = fds
        .extra
        .iter()
        .map(|&(guest, n)| Ok((guest, donated(n, "preserved")?)))
        .collect();
    let extra = extra?;
    let client = Arc::new(Client::new(gofer));
    let container = &config.container;
    let cred = Arc::new(builder_cred(kernel));
    // Others may come later: it does not see their processes.
    let pid_ns = PidNamespace::child(&kernel.tasks.root_ns, kernel.unique_id(), kernel.root_user_ns.clone());
    let (rules, cgroups) = (container.device_rules.clone(), &container.cgroups);
    let cgroup = impls::cgroup::container(kernel, config.sandbox.pids_limit, rules, cgroups);
    let cgroup_ns = cgroup_namespace(kernel, &cgroup, cgroups);
    let shown = tree::Shown {
        pid_ns: &pid_ns,
        ipc: &kernel.ipc.root_ns,
        cgroup: &cgroup,
        cgroup_ns: &cgroup_ns,
    };
    let mounts = tree::build(kernel, &client, container, &cred, &shown)
        .map_err(|f| Failed::new(format!("{}: {}", f.what, text(f.errno))))?;
    // The Gofer lives in that user namespace and speaks of files with its ids: here they are themselves, and ids that are
    // not mapped do not exist.
    let root = &kernel.root_user_ns;
    for (map, own) in [(&container.uid_map, &root.uid_map), (&container.gid_map, &root.gid_map)] {
        if !map.is_empty() {
            *own.lock() = map.iter().map(|&(inside, _, size)| (inside, inside, size)).collect();
        }
    }
    *kernel.outer_ids.lock() = [container.uid_map.clone(), container.gid_map.clone()];
    let mut ns = Nsproxy::new(
        kernel,
        mounts.clone(),
        container.hostname.as_bytes(),
        container.domainname.as_bytes(),
    );
    ns.pid_for_children = pid_ns;
    ns.cgroup = cgroup_ns;
    new_time(kernel, &mut ns, container)?;
    Ok(Seed {
        kernel: kernel.clone(),
        start,
        control,
        config: container.clone(),
        parts: Parts {
            kernel: kernel.clone(),
            id: container.id.clone(),
            mounts,
            ns,
            seccomp: container.process.seccomp.clone(),
            personality: container.process.personality,
            memory_policy: container.process.memory_policy.clone(),
            cgroup,
            nursery: None,
        },
        stdio,
        extra,
    })
}

/// The container's own cgroup namespace, or the first one, which shows the host's paths.
pub(super) fn cgroup_namespace(kernel: &Kernel, cgroup: &Arc<Cgroup>, config: &CgroupConfig) -> Arc<CgroupNamespace> {
    let owner = kernel.root_user_ns.clone();
    match config.own_namespace {
        true => CgroupNamespace::new(kernel.unique_id(), owner, cgroup, None),
        false => CgroupNamespace::first(0xefff_fffb, owner),
    }
}

/// The time namespace that config.json asks for.
pub(super) fn new_time(kernel: &Kernel, ns: &mut Nsproxy, container: &ContainerConfig) -> Result<(), Failed> {
    let Some(wanted) = &container.time else { return Ok(()) };
    let time = kernel
        .root_time_ns
        .child(kernel.unique_id(), kernel.root_user_ns.clone());
    let offsets = [
        (Shifted::Monotonic, wanted.monotonic),
        (Shifted::Boottime, wanted.boottime),
    ];
    time.set(&offsets)
        .map_err(|e| Failed::new(format!("config.json: linux.timeOffsets: {}", text(e))))?;
    ns.time_for_children = time;
    ns.change_time();
    Ok(())
}

/// Credentials that the container is built with: everything.
pub(super) fn builder_cred(kernel: &Kernel) -> Cred {
    let all = crate::cred::cap::FULL;
    cred(
        kernel,
        &ProcessConfig {
            args: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            terminal: false,
            console_size: None,
            uid: 0,
            gid: 0,
            additional_gids: Vec::new(),
            umask: 0,
            capabilities: super::config::Capabilities {
                bounding: all,
                effective: all,
                inheritable: 0,
                permitted: all,
                ambient: 0,
            },
            rlimits: Vec::new(),
            no_new_privileges: false,
            oom_score_adj: 0,
            scheduler: None,
            io_priority: 0,
            cpus: Vec::new(),
            cgroups: Vec::new(),
            personality: 0,
            memory_policy: None,
            seccomp: None,
            program: None,
        },
    )
}

fn cred(kernel: &Kernel, process: &ProcessConfig) -> Cred {
    let mut groups = process.additional_gids.clone();
    // Sorted and no more, as `setgroups(2)` leaves them.
    groups.sort_unstable();
    let (uid, gid, caps) = (process.uid, process.gid, process.capabilities);
    Cred {
        uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        gid,
        egid: gid,
        sgid: gid,
        fsgid: gid,
        groups: Arc::new(groups),
        permitted: caps.permitted,
        effective: caps.effective,
        inheritable: caps.inheritable,
        bounding: caps.bounding,
        ambient: caps.ambient,
        securebits: 0,
        no_new_privs: process.no_new_privileges,
        user_ns: kernel.root_user_ns.clone(),
    }
}

fn rlimits(process: &ProcessConfig) -> Rlimits {
    let mut limits = Rlimits::default();
    for &(number, soft, hard) in &process.rlimits {
        if let Some(resource) = Resource::new(number) {
            limits.set(resource, Rlimit { soft, hard });
        }
    }
    limits
}

/// Like `strerror(3)`, in the words that engines look for.
pub fn text(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(i32::from(errno.raw()))
        .to_string()
        .split(" (os error")
        .next()
        .unwrap_or("")
        .to_lowercase()
}

impl Seed {
    /// Whether the container is there for those that join only.
    pub fn bare(&self) -> bool {
        self.config.bare
    }

    /// Makes the first process, with its program loaded and not yet running.
    pub async fn launch(self) -> Result<Arc<Container>, Failed> {
        first_process(self.parts, &self.config, self.stdio, self.extra).await
    }
}

/// A container whose first process has its program loaded and does not run yet.
pub(super) async fn first_process(
    parts: Parts,
    config: &ContainerConfig,
    stdio: Vec<OwnedFd>,
    extra: Vec<(i32, OwnedFd)>,
) -> Result<Arc<Container>, Failed> {
    let process = &config.process;
    let mut stdio = Stdio::new(&parts.kernel, &parts.mounts, stdio, process)?;
    if let Some(terminal) = stdio.terminal_path() {
        let made = tree::console(&parts.mounts, &terminal, &Arc::new(builder_cred(&parts.kernel)));
        if let Err(e) = made {
            crate::log::warn(format_args!("no /dev/console: {}", text(e)));
        }
    }
    let mut cx = spawn(&parts, process, &mut stdio, true).await?;
    cx.task.group.mortal.store(config.mortal_init, Ordering::Relaxed);
    let loaded = async {
        for (number, fd) in extra {
            let file = super::stdio::host_file(&parts.kernel, fd)?;
            let _ = cx.task.files().put(number, file, false);
        }
        load(&mut cx, process).await
    };
    match loaded.await {
        Ok(()) => Ok(Container::new(parts, cx, stdio)),
        Err(f) => {
            parts.kernel.abandon(cx, f.exit_code << 8);
            Err(f)
        }
    }
}

/// A process with everything but a program; the `first` one's working directory is made if it is missing.
pub(super) async fn spawn(
    parts: &Parts,
    process: &ProcessConfig,
    stdio: &mut Stdio,
    first: bool,
) -> Result<Cx, Failed> {
    let (kernel, mounts) = (&parts.kernel, &parts.mounts);
    let failed = |what: &str, e: Errno| Failed::new(format!("{what}: {}", text(e)));
    let root = mounts.root_path().map_err(|e| failed("root", e))?;
    let cred = cred(kernel, process);
    let cwd = tree::directory(&root, &process.cwd, &Arc::new(cred.clone()), first)
        .map_err(|e| failed(&format!("chdir to cwd ({:?})", process.cwd), e))?;
    let files = FdTable::new();
    for (number, file) in stdio.take_files() {
        files.put(number, file, false).map_err(|e| failed("stdio", e))?;
    }
    let made = match &parts.nursery {
        Some(nursery) => nursery.new_process().await,
        None => kernel.platform.new_process().await,
    };
    let (aspace, ctx) = made.map_err(|e| failed("guest process", e))?;
    let mm = Mm::new(aspace, kernel.platform.guest_end());
    let with = ContainerProcess {
        cred,
        fs: Arc::new(FsContext::new(root, cwd, process.umask)),
        files: Arc::new(files),
        rlimits: rlimits(process),
        ns: parts.ns.clone(),
        cgroup: parts.cgroup.clone(),
        groups: crate::fs::impls::cgroup::for_process(kernel, &parts.cgroup, &process.cgroups).map_err(Failed::new)?,
        oom_score_adj: process.oom_score_adj,
    };
    let cx = kernel
        .create_init(with, mm, ctx)
        .map_err(|e| failed("first process", e))?;
    match equip(&cx, process) {
        Ok(()) => {
            stdio.take_terminal(&cx.task);
            Ok(cx)
        }
        Err(f) => {
            kernel.abandon(cx, f.exit_code << 8);
            Err(f)
        }
    }
}

/// What calls of the process could have set; nobody is asked whether it may.
fn equip(cx: &Cx, process: &ProcessConfig) -> Result<(), Failed> {
    let failed = |what: &str, e: Errno| Failed::new(format!("{what}: {}", text(e)));
    settings(&mut cx.task.attr.lock(), process).map_err(|e| failed("process.execCPUAffinity.final", e))?;
    if let Some((mode, nodes)) = &process.memory_policy {
        let policy = policy::split(*mode)
            .and_then(|(mode, flags)| Policy::new(mode, flags, nodes.iter().copied().collect()))
            .map_err(|e| failed("config.json: linux.memoryPolicy", e))?;
        cx.task.attr.lock().mempolicy = policy;
    }
    let Some(insns) = &process.seccomp else { return Ok(()) };
    let insns = insns
        .iter()
        .map(|&(code, jt, jf, k)| Insn { code, jt, jf, k })
        .collect();
    Program::new(insns)
        .and_then(|program| cx.task.seccomp_filter(program, false))
        .map(drop)
        .map_err(|e| failed("seccomp", e))
}

fn settings(attr: &mut TaskAttr, process: &ProcessConfig) -> abi::errno::Result<()> {
    attr.personality = process.personality;
    attr.sched.ioprio = process.io_priority;
    if let Some(wanted) = &process.scheduler {
        attr.sched.policy = wanted.policy;
        attr.sched.priority = wanted.priority;
        attr.sched.nice = wanted.nice;
        attr.sched.reset_on_fork = wanted.reset_on_fork;
        attr.sched.deadline = wanted.deadline;
    }
    if process.cpus.is_empty() {
        return Ok(());
    }
    for (word, i) in attr.sched.affinity.iter_mut().zip(0u32..) {
        let wanted = process.cpus.iter().filter(|&&cpu| cpu / 64 == i);
        *word &= wanted.fold(0, |mask, cpu| mask | 1u64 << (cpu % 64));
    }
    match attr.sched.affinity.iter().any(|&word| word != 0) {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// Finds and loads the program of `args[0]`, as a shell would look for it.
pub async fn load(cx: &mut Cx, process: &ProcessConfig) -> Result<(), Failed> {
    let first = process.args.first();
    let name = process
        .program
        .as_ref()
        .or(first)
        .map(String::as_str)
        .unwrap_or_default();
    let (path, file) = find(cx, process, name)?;
    let bytes = |list: &[String]| list.iter().map(|s| s.clone().into_bytes()).collect::<Vec<_>>();
    let fail = |e: Errno| Failed {
        message: format!("exec: {name:?}: {}", text(e)),
        exit_code: code(e),
    };
    let mut env = bytes(&process.env);
    if !process.env.iter().any(|var| var.starts_with("HOME=")) {
        let home = super::home::of(&cx.task.fs().root(), &cx.task.cred(), process.uid);
        env.push(format!("HOME={home}").into_bytes());
    }
    let program = loader::prepare(&cx.task, file, path.as_bytes(), bytes(&process.args), env).map_err(fail)?;
    // config.json says what the process has before its program is executed, which for root is not what it has after.
    let cred = crate::cred::exec::transition(&cx.task.cred(), &program.file, &program.stat, false);
    cx.task.set_cred(Arc::new(cred));
    cx.task.set_comm(&program.comm);
    loader::commit(cx, &program).await.map_err(fail)
}

/// Exit code for a program that cannot be run, as shells and engines have it.
fn code(e: Errno) -> i32 {
    if matches!(e, Errno::ENOENT | Errno::ENOTDIR) {
        127
    } else {
        126
    }
}

fn find(cx: &Cx, process: &ProcessConfig, name: &str) -> Result<(String, Arc<crate::fs::File>), Failed> {
    let open = |path: &str| crate::fs::open_exec(&cx.task, path.as_bytes());
    if name.contains('/') {
        return match open(name) {
            Ok(file) => Ok((name.to_owned(), file)),
            Err(e @ (Errno::ENOENT | Errno::ENOTDIR)) => Err(Failed {
                message: format!("exec: {name:?}: stat {name}: {}", text(e)),
                exit_code: 127,
            }),
            Err(e) => Err(Failed {
                message: format!("exec: {name:?}: {}", text(e)),
                exit_code: code(e),
            }),
        };
    }
    let path = process
        .env
        .iter()
        .find_map(|e| e.strip_prefix("PATH="))
        .unwrap_or_default();
    let mut denied = None;
    for dir in path.split(':') {
        let dir = if dir.is_empty() { "." } else { dir };
        let candidate = format!("{}/{name}", dir.trim_end_matches('/'));
        match open(&candidate) {
            Ok(file) if !name.is_empty() => return Ok((candidate, file)),
            Err(e @ Errno::EACCES) => denied = Some(e),
            _ => {}
        }
    }
    match denied {
        Some(e) => Err(Failed {
            message: format!("exec: {name:?}: {}", text(e)),
            exit_code: 126,
        }),
        None => {
            let message = format!("exec: {name:?}: executable file not found in $PATH");
            Err(Failed {
                message,
                exit_code: 127,
            })
        }
    }
}
