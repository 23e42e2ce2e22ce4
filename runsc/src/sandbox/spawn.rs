//! The two processes of a sandbox, in their namespaces, held until they are let go.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::CloneFlags;
use platform::host::spawn::{Spawn, spawn};

use super::boot::MESSAGE_FD;
use super::fds::{Donated, message_file};
use super::gofer::{self, GoferMessage};
use super::userns;
use crate::commands::Env;
use crate::config::{IdMap, Plan};
use crate::error::{Context, Error, Result};

pub type Started = platform::host::spawn::Held;

pub fn start_gofer(
    env: &Env<'_>,
    image: &OwnedFd,
    plan: &Plan,
    connections: Vec<OwnedFd>,
    [ready, alive]: [OwnedFd; 2],
    [die_with_parent, stderr]: [bool; 2],
) -> Result<Started> {
    // The Sentry reads at its end what it complains of.
    let mut donated = Donated::new(stderr, alive.try_clone().context(|| "pipe")?)?;
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
pub fn spawn_sentry(image: &OwnedFd, donated: &Donated, network: CloneFlags, rootless: bool) -> Result<Started> {
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
