//! A container that joins the sandbox of another one: a Gofer of its own, and a process that stands for it on the host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sentry::boot::config::JoinConfig;
use sentry::boot::control::{Reply, Request};

use super::control::closed;
use super::fds::{exit_file, message_file, read_to_end, stdio};
use super::launch::{Launched, create_hooks};
use super::making::Making;
use super::shared::Home;
use super::stand_in::{Places, StandIn};
use super::stub::StubMessage;
use super::{preserve, processes, program};
use crate::cgroup;
use crate::config::Plan;
use crate::error::{Context, Error, Result};
use crate::state::Process;

/// Starts the Gofer and the process that stands for the container, and has the Sentry build it.
pub fn join(making: &mut Making<'_>, mut plan: Plan, home: Home) -> Result<Launched> {
    let Home {
        pod,
        connection,
        shared,
    } = home;
    let (env, start) = (making.env, making.start);
    let image = program::open()?;
    making.record.pod = Some(pod);
    making.create_group(&plan)?;
    let gofer = making.spawn_gofer(&image, &plan, 2)?;
    making.show_groups(&mut plan);

    let mut fds = stdio(&start.terminal, plan.container.process.console_size)?;
    let places = Places::of(env, &plan, &shared)?;
    let stub = StandIn {
        connection: &connection,
        terminal: fds.first().filter(|_| start.terminal.is_new()),
        exit: exit_file(making.container)?,
        message: message_file(&StubMessage {
            // It is there before it runs.
            cgroup: Vec::new(),
            terminal: start.terminal.is_new(),
            exit: true,
            die_with_parent: start.foreground,
            hostname: Some(plan.container.hostname.clone()).filter(|_| places.own_names()),
        })?,
    };
    let stub = match &gofer.hooked {
        Some(place) => place.within(|| stub.spawn(&image, &places, true))?,
        None => stub.spawn(&image, &places, false)?,
    };
    let process = Process::of(stub.pid()).ok_or_else(|| Error::new("the container's process ended at once"))?;
    making.record.sandbox = Some(process);
    making.write()?;
    let oom_score_adj = plan.container.process.oom_score_adj;
    making.settle(&stub, oom_score_adj)?;
    create_hooks(making, &plan.hooks, stub.pid(), gofer.process.pid())?;

    let hooked = gofer.hooked.is_some();
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
        pids_of: shared.pids_of,
        time_of: shared.time_of,
        ipc_of: shared.ipc_of,
        uts_of: shared.uts_of,
        net_of: shared.net_of,
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
        let nursery = processes::host_pid(making.record, *host_pid)?;
        cgroup::enter(cgroup, nursery)?;
        // It has the sandbox's. To have less takes CAP_SYS_RESOURCE, as in `settle`.
        let oom = platform::guest_oom_score_adj(oom_score_adj).to_string();
        let _ = std::fs::write(format!("/proc/{nursery}/oom_score_adj"), oom);
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
    // With hooks it has a copy of the Gofer's mounts, which has left the host's files before.
    if !hooked {
        places.leave_host(process.pid)?;
    }
    Ok(Launched::joined(process, pidfd, gofer_pidfd))
}
