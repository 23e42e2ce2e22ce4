//! The two processes of a sandbox, in their namespaces, held until they are let go.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::CloneFlags;
use platform::host::spawn::{Spawn, spawn};

use super::boot::MESSAGE_FD;
use super::fds::{Donated, message_file};
use super::gofer::{self, GoferMessage};
use super::hook_mounts::HookPlace;
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
    later: Option<OwnedFd>,
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
        later: later.map(|fd| donated.add(fd)),
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
    let gofer = Kind {
        name: "runsc-gofer",
        verb: "gofer",
        become_root,
        own_mounts: false,
    };
    start_process(image, &gofer, &donated, namespaces, maps)
}

/// The Sentry has a user namespace wherever the host lets it: its root is nobody outside. `hooked`: it begins in the Gofer's
/// mount namespace, where hooks look for its pid, and has its own when it is let go.
pub fn spawn_sentry(
    image: &OwnedFd,
    donated: &Donated,
    network: CloneFlags,
    rootless: bool,
    hooked: Option<&HookPlace>,
) -> Result<Started> {
    match hooked {
        None => sentry(image, donated, network | CloneFlags::CLONE_NEWNS, rootless),
        Some(place) => place.within(|| sentry(image, donated, network, rootless)),
    }
}

fn sentry(image: &OwnedFd, donated: &Donated, more: CloneFlags, rootless: bool) -> Result<Started> {
    let namespaces = more
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let kind = |become_root| Kind {
        name: "runsc-sandbox",
        verb: "boot",
        become_root,
        own_mounts: !more.contains(CloneFlags::CLONE_NEWNS),
    };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let try_with = |uid, gid| {
        let maps = Some((vec![(0, uid, 1)], vec![(0, gid, 1)]));
        let flags = namespaces | CloneFlags::CLONE_NEWUSER;
        start_process(image, &kind(true), donated, flags, maps)
    };
    if rootless {
        return try_with(uid, gid);
    }
    try_with(userns::NOBODY, userns::NOBODY)
        .or_else(|_| try_with(uid, gid))
        .or_else(|_| start_process(image, &kind(false), donated, namespaces, None))
}

/// What `Spawn` says of it.
struct Kind {
    name: &'static str,
    verb: &'static str,
    become_root: bool,
    own_mounts: bool,
}

fn start_process(
    image: &OwnedFd,
    kind: &Kind,
    donated: &Donated,
    namespaces: CloneFlags,
    maps: Option<(IdMap, IdMap)>,
) -> Result<Started> {
    let what = || format!("start {}", kind.name);
    let string = |s: &str| CString::new(s).map_err(|_| Error::new("NUL in a program name"));
    let env = match std::env::var("RUST_BACKTRACE") {
        Ok(value) => vec![string(&format!("RUST_BACKTRACE={value}"))?],
        Err(_) => Vec::new(),
    };
    let held = spawn(&Spawn {
        program: image.as_fd(),
        argv: vec![string(kind.name)?, string(kind.verb)?],
        env,
        namespaces: u64::from(namespaces.bits().unsigned_abs()),
        fds: donated.borrowed(),
        become_root: kind.become_root,
        new_session: true,
        own_mounts: kind.own_mounts,
    })
    .context(what)?;
    if let Some((uid_map, gid_map)) = maps {
        userns::write_maps(held.pid(), &uid_map, &gid_map).context(what)?;
    }
    Ok(held)
}
