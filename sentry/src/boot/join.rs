//! A container that joins the pod of a running sandbox, and the connection that stands for its first process.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use gofer::client::Client;
use platform::Nursery;
use rustix::io::Errno as HostErrno;

use super::config::{JoinConfig, NetworkMode};
use super::container::{Container, Parts};
use super::control::{Reply, Request};
use super::exec::Held;
use super::pod::Pod;
use super::server::{receive, send};
use super::{Failed, launch, ready_to_read, tree};
use crate::executor::{Executor, FdEvents, HostFd};
use crate::fs::impls;
use crate::ipc::IpcNamespace;
use crate::kernel::Kernel;
use crate::task::{Nsproxy, PidNamespace};

/// Largest description of a container.
const MAX_CONFIG: usize = 16 << 20;

/// Builds the container, tells its first process's number, and lives as long as it.
pub async fn serve(connection: &HostFd, pod: &Arc<Pod>, fds: Vec<OwnedFd>, gofer: usize, extra: &[i32]) {
    let kernel = pod.first().kernel().clone();
    let (container, alive) = match join(connection, pod, fds, gofer, extra).await {
        Ok(joined) => joined,
        Err(f) => {
            let (message, exit_code) = (f.message, f.exit_code);
            send(connection, &Reply::Failed { message, exit_code });
            return;
        }
    };
    // Without its Gofer a container has no files any more.
    let watched = Arc::downgrade(&container);
    let executor = kernel.executor.clone();
    kernel.executor.spawn(async move {
        let alive = HostFd::new(&executor, Arc::new(alive), FdEvents::IN | FdEvents::HUP);
        while !ready_to_read(std::os::fd::AsFd::as_fd(alive.fd())) {
            alive.changed().await;
        }
        if let Some(container) = watched.upgrade() {
            container.kill();
        }
    });
    let pid = container.init().pid.own();
    if !send(connection, &Reply::Started { pid }) {
        container.kill();
    }
    let held = Held {
        connection,
        group: container.init(),
        stdio: container.stdio(),
    };
    held.until_end(|| container.kill()).await;
    // In a pid namespace that it shares, the others would live on.
    container.kill();
    container.gone().await;
    let status = container.finished().await;
    pod.remove(&container);
    send(connection, &Reply::Ended { status });
}

/// Makes everything up to the loaded program.
async fn join(
    connection: &HostFd,
    pod: &Arc<Pod>,
    fds: Vec<OwnedFd>,
    gofer: usize,
    extra: &[i32],
) -> Result<(Arc<Container>, OwnedFd), Failed> {
    let missing = || Failed::new("descriptors are missing in the request");
    let mut fds = fds.into_iter();
    let config = read(&fds.next().ok_or_else(missing)?)?;
    let alive = fds.next().ok_or_else(missing)?;
    let connections: Vec<OwnedFd> = fds.by_ref().take(gofer).collect();
    let container = config.container;
    let streams = if container.process.terminal { 1 } else { 3 };
    let stdio: Vec<OwnedFd> = fds.by_ref().take(streams).collect();
    let further: Vec<OwnedFd> = fds.collect();
    if connections.len() != gofer || connections.is_empty() || stdio.len() != streams || further.len() != extra.len() {
        return Err(missing());
    }
    let first = pod.first();
    let kernel = first.kernel();
    if pod.find(&container.id).is_some() {
        return Err(Failed::new(format!("container {} is in the pod already", container.id)));
    }
    let maps = [container.uid_map.clone(), container.gid_map.clone()];
    if maps.iter().any(|map| !map.is_empty()) && *kernel.outer_ids.lock() != maps {
        return Err(Failed::new("config.json: linux.uidMappings: not those of the pod"));
    }
    let of = |id: &Option<String>, kind: &str| {
        let found = id.as_ref().map(|id| {
            let missing = || Failed::new(format!("{kind} namespace: container {id} is not in the sandbox"));
            pod.find(id).ok_or_else(missing)
        });
        found.transpose()
    };
    let (id, owner) = (|| kernel.unique_id(), || kernel.root_user_ns.clone());
    let pid_ns = match of(&config.pids_of, "pid")? {
        Some(other) => other.namespaces().pid_for_children.clone(),
        None => PidNamespace::child(&kernel.tasks.root_ns, id(), owner()),
    };
    let ipc = match of(&config.ipc_of, "ipc")? {
        Some(other) => other.namespaces().ipc.clone(),
        None => IpcNamespace::new(id(), owner()),
    };
    let client = Arc::new(Client::new(connections));
    let cred = Arc::new(launch::builder_cred(kernel));
    let (rules, cgroups) = (container.device_rules.clone(), &container.cgroups);
    let cgroup = impls::cgroup::container(kernel, config.pids_limit, rules, cgroups);
    let cgroup_ns = launch::cgroup_namespace(kernel, &cgroup, cgroups);
    let shown = tree::Shown {
        pid_ns: &pid_ns,
        ipc: &ipc,
        cgroup: &cgroup,
        cgroup_ns: &cgroup_ns,
    };
    let mounts = tree::build(kernel, &client, &container, &cred, &shown)
        .map_err(|f| Failed::new(format!("{}: {}", f.what, launch::text(f.errno))))?;
    let (host, domain) = (container.hostname.as_bytes(), container.domainname.as_bytes());
    let mut ns = Nsproxy::new(kernel, mounts.clone(), host, domain);
    if let Some(other) = of(&config.uts_of, "uts")? {
        ns.uts = other.namespaces().uts.clone();
    }
    ns.net = match of(&config.net_of, "network")? {
        Some(other) => other.namespaces().net.clone(),
        // The sandbox is in one network namespace of the host's, and stays there.
        None if kernel.config.network == NetworkMode::Host => {
            let what = "config.json: linux.namespaces: network: not that of the container whose sandbox is joined";
            return Err(Failed::new(format!("{what} ({})", first.id())));
        }
        None => {
            let net = kernel.net.unshare(id(), owner());
            net.set_lo_up(true);
            net
        }
    };
    ns.pid_for_children = pid_ns;
    ns.ipc = ipc;
    ns.cgroup = cgroup_ns;
    launch::new_time(kernel, &mut ns, &container)?;
    if let Some(id) = &config.time_of {
        let other = pod.find(id);
        let other = other.ok_or_else(|| Failed::new(format!("time namespace: container {id} is not in the pod")))?;
        ns.time_for_children = other.namespaces().time.clone();
        ns.change_time();
    }
    let nursery = match config.own_cgroup {
        true => Some(nursery(connection, kernel).await?),
        false => None,
    };
    let parts = Parts {
        kernel: kernel.clone(),
        id: container.id.clone(),
        mounts,
        ns,
        seccomp: container.process.seccomp.clone(),
        personality: container.process.personality,
        memory_policy: container.process.memory_policy.clone(),
        cgroup,
        nursery,
    };
    let extra = extra.iter().copied().zip(further).collect();
    let made = launch::first_process(parts, &container, stdio, extra).await?;
    if !pod.add(&made) {
        made.kill();
        return Err(Failed::new(format!("container {} is in the pod already", container.id)));
    }
    Ok((made, alive))
}

/// Makes the process that the container's will come from, and waits until `runsc` has moved it into the container's cgroups.
async fn nursery(connection: &HostFd, kernel: &Kernel) -> Result<Arc<dyn Nursery>, Failed> {
    let failed = |e| Failed::new(format!("guest process: {}", launch::text(e)));
    let nursery = kernel.platform.nursery().await.map_err(failed)?;
    let Some(host_pid) = nursery.host_pid() else {
        return Ok(nursery);
    };
    let gone = || Failed::new("runsc has gone");
    if !send(connection, &Reply::Nursery { host_pid }) {
        return Err(gone());
    }
    loop {
        match receive(connection) {
            Ok((text, _)) => match serde_json::from_slice(&text) {
                Ok(Request::Placed) => return Ok(nursery),
                _ => return Err(gone()),
            },
            Err(HostErrno::AGAIN) => connection.changed().await,
            Err(HostErrno::INTR) => {}
            Err(_) => return Err(gone()),
        }
    }
}

/// Reads the description; `runsc` has written it whole.
fn read(file: &OwnedFd) -> Result<JoinConfig, Failed> {
    let failed = |e: &dyn std::fmt::Display| Failed::new(format!("donated configuration: {e}"));
    let mut text = Vec::new();
    let mut part = vec![0u8; 1 << 16];
    loop {
        let at = abi::conv::usize64(text.len());
        let got = rustix::io::pread(file, &mut part[..], at).map_err(|e| failed(&e))?;
        if got == 0 {
            break;
        }
        text.extend_from_slice(part.get(..got).unwrap_or_default());
        if text.len() > MAX_CONFIG {
            return Err(failed(&"too long"));
        }
    }
    serde_json::from_slice(&text).map_err(|e| failed(&e))
}

/// How long the killed may take.
const PATIENCE_NS: u64 = 5_000_000_000;

impl Container {
    /// Waits until nothing of it runs.
    pub(super) async fn gone(&self) {
        let kernel = self.kernel();
        let end = Executor::now().saturating_add(PATIENCE_NS);
        let live = || {
            let all = kernel.tasks.processes_in(self.cgroup());
            all.iter().any(|process| !process.has_ended())
        };
        while live() && Executor::now() < end {
            crate::wait::sleep_until(&kernel.executor, Executor::now() + 500_000).await;
        }
    }
}
