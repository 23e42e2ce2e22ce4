//! Namespaces of other containers that config.json names by their paths. A namespace of the guest's can be shared only within one
//! kernel: whoever wants the processes or the IPC objects of a container joins its sandbox (ADR 10).

use std::fs::File;
use std::path::Path;

use nix::sched::CloneFlags;

use super::control::Connection;
use super::making::Making;
use super::{bare, processes};
use crate::commands::Env;
use crate::config::{First, Membership, Network, Plan, Role, Wish, is_own_time};
use crate::error::{Context, Error, Result};
use crate::namespace::{identity, in_namespace};
use crate::state::{Pod, Process, Record};

/// Whose namespaces a container has, by their ids; none: it has its own.
#[derive(Default)]
pub struct Shared {
    pub pids_of: Option<String>,
    pub ipc_of: Option<String>,
    pub time_of: Option<String>,
    pub uts_of: Option<String>,
    pub net_of: Option<String>,
}

/// The sandbox that a container goes to.
pub struct Home {
    pub pod: Pod,
    pub connection: Connection,
    pub shared: Shared,
}

/// Where a container goes that does not get a sandbox of its own.
pub fn find(making: &mut Making<'_>, plan: &Plan) -> Result<Option<Home>> {
    let env = making.env;
    match &plan.role {
        Role::Alone => by_path(env, plan),
        Role::Sandbox => {
            for (kind, wish) in [("pid", &plan.wishes.pid), ("ipc", &plan.wishes.ipc)] {
                nobodys(env, kind, wish)?;
            }
            Ok(None)
        }
        Role::Member(Membership { pod: id, first }) => {
            let (pod, connection) = match first {
                First::Made => bare::enter(making, plan, id)?,
                First::Given => self::pod(env, id)?,
            };
            let of = |wish: &Wish| Some(id.clone()).filter(|_| *wish != Wish::New);
            let shared = Shared {
                pids_of: pids_in(env, &plan.wishes.pid, &pod)?,
                ipc_of: of(&plan.wishes.ipc),
                time_of: time_in(env, &plan.wishes.time, &pod)?,
                uts_of: of(&plan.wishes.uts),
                net_of: Some(id.clone()),
            };
            Ok(Some(Home {
                pod,
                connection,
                shared,
            }))
        }
    }
}

/// The pod of that id, whose sandbox must run.
pub fn pod(env: &Env<'_>, id: &str) -> Result<(Pod, Connection)> {
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

/// The container of a pod whose pid namespace is wanted. A path names a process of it, or is where an engine has pinned the
/// namespace of the process that stands for one, as CRI-O does for a container that is to look at another one.
fn pids_in(env: &Env<'_>, wish: &Wish, pod: &Pod) -> Result<Option<String>> {
    let path = match wish {
        Wish::New => return Ok(None),
        // That of whoever runs it, as runc has it: here the pod.
        Wish::None => return Ok(Some(pod.id.clone())),
        Wish::Join(path) => path,
    };
    in_pod(env, path, "pid", pod).map(Some)
}

/// The same of a time namespace; the one of whoever asks is as good as none.
fn time_in(env: &Env<'_>, wish: &Wish, pod: &Pod) -> Result<Option<String>> {
    match wish {
        Wish::Join(path) => match in_pod(env, path, "time", pod) {
            Err(_) if is_own_time(path) => Ok(None),
            owner => owner.map(Some),
        },
        Wish::None | Wish::New => Ok(None),
    }
}

fn in_pod(env: &Env<'_>, path: &Path, kind: &str, pod: &Pod) -> Result<String> {
    let running = Running::of(env)?;
    let mine = |record: &&Record| record.control_id() == pod.id;
    let owners: Vec<&Record> = match pid_in(path) {
        Some(_) => running.owner(kind, path).filter(mine).into_iter().collect(),
        None => {
            let wanted = identity(path);
            let has = |record: &&Record| wanted.is_some() && on_host(record, kind) == wanted;
            running.records.iter().filter(mine).filter(has).collect()
        }
    };
    match owners.as_slice() {
        [owner] => Ok(owner.id.clone()),
        [] => Err(Error::new(format!(
            "{}: no container of the pod {}",
            field(path),
            pod.id
        ))),
        // On the host the processes that stand for containers are in one namespace.
        _ => Err(Error::new(format!(
            "{}: {} containers of the pod {} have this one on the host: only /proc/PID/ns/{kind} can tell which is meant",
            field(path),
            owners.len(),
            pod.id
        ))),
    }
}

fn by_path(env: &Env<'_>, plan: &Plan) -> Result<Option<Home>> {
    let wishes = &plan.wishes;
    if ![&wishes.pid, &wishes.ipc]
        .into_iter()
        .any(|wish| matches!(wish, Wish::Join(_)))
    {
        return Ok(None);
    }
    let running = Running::of(env)?;
    let of = |kind: &str, wish: &Wish| match wish {
        Wish::Join(path) => running.owner(kind, path),
        Wish::None | Wish::New => None,
    };
    let (pids, ipc) = (of("pid", &wishes.pid), of("ipc", &wishes.ipc));
    for (kind, wish, owner) in [("pid", &wishes.pid, pids), ("ipc", &wishes.ipc, ipc)] {
        if owner.is_none() {
            nobodys(env, kind, wish)?;
        }
    }
    let Some(owner) = pids.or(ipc) else { return Ok(None) };
    let (Some(sandbox), home) = (owner.sentry(), owner.control_id().to_owned()) else {
        return Ok(None);
    };
    if let (Some(one), Some(other)) = (pids, ipc)
        && one.control_id() != other.control_id()
    {
        return Err(Error::new(format!(
            "config.json: linux.namespaces: pid and ipc are those of containers in two sandboxes: {} and {}",
            one.id, other.id
        )));
    }
    // What lies in another sandbox cannot be shared as well: of names there is a copy, the network is another one's.
    let here = |owner: Option<&Record>| owner.filter(|r| r.control_id() == home).map(|r| r.id.clone());
    let shared = Shared {
        pids_of: here(pids),
        ipc_of: here(ipc),
        time_of: None,
        uts_of: here(of("uts", &wishes.uts)),
        net_of: match &plan.network {
            Network::New => None,
            Network::Join(path) => here(running.owner("net", path)),
            Network::Inherit => here(running.owner("net", Path::new("/proc/self/ns/net"))),
        },
    };
    let connection = Connection::new(&env.store.dir(&home))?;
    let pod = Pod { id: home, sandbox };
    Ok(Some(Home {
        pod,
        connection,
        shared,
    }))
}

/// Tells of a namespace that no container has: the guest has its own instead.
fn nobodys(env: &Env<'_>, kind: &str, wish: &Wish) -> Result<()> {
    let Wish::Join(path) = wish else { return Ok(()) };
    let flag = match kind {
        "pid" => CloneFlags::CLONE_NEWPID,
        _ => CloneFlags::CLONE_NEWIPC,
    };
    let namespace = File::open(path).context(|| field(path))?;
    if !env.globals.is_rootless() {
        in_namespace(
            &namespace,
            flag,
            || format!("{}: {kind} namespace", field(path)),
            || Ok(()),
        )?;
    }
    env.log.tell(&format!(
        "{}: no container's: the guest has its own {kind} namespace",
        field(path)
    ));
    Ok(())
}

fn field(path: &Path) -> String {
    format!("config.json: linux.namespaces: {}", path.display())
}

/// Containers whose sandbox runs.
struct Running<'a> {
    env: &'a Env<'a>,
    records: Vec<Record>,
}

impl<'a> Running<'a> {
    fn of(env: &'a Env<'a>) -> Result<Self> {
        let mut records = env.store.list()?;
        let alive = |process: Option<Process>| process.is_some_and(Process::alive);
        records.retain(|record| alive(record.sandbox) && alive(record.sentry()));
        // First those that a sandbox was started with: its namespaces of the host's are theirs.
        records.sort_by_key(|record| record.pod.is_some());
        Ok(Self { env, records })
    }

    /// Whose namespace that is: the path names a process of the container, or a file at which the namespace is mounted.
    fn owner(&self, kind: &str, path: &Path) -> Option<&Record> {
        let pid = pid_in(path);
        let stands = |record: &&Record| record.sandbox.is_some_and(|process| Some(process.pid) == pid);
        if let Some(record) = self.records.iter().find(stands) {
            return Some(record);
        }
        let wanted = identity(path)?;
        let is = |record: &&Record| on_host(record, kind) == Some(wanted);
        // The process that stands for a container which joined is in the host's pid namespace, and an ordinary user's in all of them.
        let apart = !matches!(kind, "pid" | "time") && !self.env.globals.is_rootless();
        let may = |record: &&Record| apart || record.pod.is_none();
        let first = self.records.iter().filter(may).find(is)?;
        // A process of the guest's is in the sandbox's namespaces, whichever container it is of.
        let home = first.control_id();
        let mut all = self.records.iter().filter(|record| record.control_id() == home);
        let has = |record: &Record| {
            pid.is_some_and(|pid| processes::host_pids(self.env, record).is_ok_and(|l| l.contains(&pid)))
        };
        all.find(|record| has(record)).or(Some(first))
    }
}

/// The process that a path in `/proc` is of.
fn pid_in(path: &Path) -> Option<i32> {
    path.strip_prefix("/proc").ok()?.iter().next()?.to_str()?.parse().ok()
}

/// The namespace of the process that stands for a container.
fn on_host(record: &Record, kind: &str) -> Option<(u64, u64)> {
    identity(format!("/proc/{}/ns/{kind}", record.sandbox?.pid))
}
