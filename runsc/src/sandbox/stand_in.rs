//! The host process that stands for a container in the sandbox of another, as `runsc` starts it. What runs in it is `stub.rs`.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::CloneFlags;
use platform::host::spawn::{Spawn, spawn};
use sentry::boot::config::NetworkMode;

use super::boot::MESSAGE_FD;
use super::control::Connection;
use super::fds::null;
use super::jail;
use super::network::{self, Place};
use super::shared::Shared;
use super::spawn::Started;
use super::stub::{CONNECTION_FD, EXIT_FD, TERMINAL_FD};
use crate::cli::Network as NetworkFlag;
use crate::commands::Env;
use crate::config::Plan;
use crate::error::{Context, Error, Result};
use crate::namespace::{self, in_namespace};

/// What it is given.
pub struct StandIn<'a> {
    pub connection: &'a Connection,
    pub terminal: Option<&'a OwnedFd>,
    pub exit: OwnedFd,
    pub message: OwnedFd,
}

/// Its namespaces: hooks and engines look at them, and other containers may name them. It shares those of which its container
/// shares the guest's; an ordinary user's is where `runsc` is.
pub struct Places {
    entered: Vec<(File, CloneFlags, &'static str)>,
    new: CloneFlags,
}

impl Places {
    pub fn of(env: &Env<'_>, plan: &Plan, shared: &Shared) -> Result<Self> {
        let mut places = Self {
            entered: Vec::new(),
            new: CloneFlags::empty(),
        };
        if env.globals.is_rootless() {
            return Ok(places);
        }
        places.new = CloneFlags::CLONE_NEWNS;
        for (id, kind, flag) in [
            (&shared.ipc_of, "ipc", CloneFlags::CLONE_NEWIPC),
            (&shared.uts_of, "uts", CloneFlags::CLONE_NEWUTS),
            (&shared.net_of, "net", CloneFlags::CLONE_NEWNET),
        ] {
            if let Some(id) = id {
                let pid = env.store.load(id)?.sandbox.map_or(0, |process| process.pid);
                places.entered.push((namespace::open(pid, kind)?, flag, kind));
            } else if kind != "net" {
                places.new |= flag;
            }
        }
        let mode = match env.globals.network {
            NetworkFlag::None => NetworkMode::None,
            NetworkFlag::Host => NetworkMode::Host,
        };
        if shared.net_of.is_none() {
            match network::place(&plan.network, mode)? {
                Place::New => places.new |= CloneFlags::CLONE_NEWNET,
                Place::Of(file) => places.entered.push((file, CloneFlags::CLONE_NEWNET, "net")),
                Place::Own => {}
            }
        }
        Ok(places)
    }

    /// An engine that enters the mount namespace of the pid it was given must not come upon the host's files.
    pub fn leave_host(&self, pid: i32) -> Result<()> {
        if !self.new.contains(CloneFlags::CLONE_NEWNS) {
            return Ok(());
        }
        let namespace = namespace::open(pid, "mnt")?;
        let what = || "enter the mount namespace of runsc-container".to_owned();
        in_namespace(&namespace, CloneFlags::CLONE_NEWNS, what, || {
            jail::private_mounts()?;
            // The process goes along with the root that it has.
            jail::empty_root()
        })
    }

    pub fn own_names(&self) -> bool {
        self.new.contains(CloneFlags::CLONE_NEWUTS)
    }
}

impl StandIn<'_> {
    /// `hooked`: it has the Gofer's mounts until it is let go, for hooks.
    pub fn spawn(&self, image: &OwnedFd, places: &Places, hooked: bool) -> Result<Started> {
        let mut new = places.new;
        if hooked {
            new.remove(CloneFlags::CLONE_NEWNS);
        }
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
        let program = Spawn {
            program: image.as_fd(),
            argv: vec![string("runsc-container")?, string("exec-stub")?],
            env: Vec::new(),
            namespaces: u64::from(new.bits().unsigned_abs()),
            fds,
            become_root: false,
            new_session: true,
            own_mounts: hooked,
        };
        // It dies with the thread that starts it, so it is this one that goes there, and comes back.
        let mut back = Vec::new();
        for (file, flag, kind) in &places.entered {
            back.push((namespace::open("thread-self", kind)?, *flag));
            nix::sched::setns(file, *flag).context(|| format!("enter the {kind} namespace of the sandbox"))?;
        }
        let started = spawn(&program).context(|| "start runsc-container");
        for (file, flag) in back {
            nix::sched::setns(file, flag).context(|| "come back from the sandbox's namespaces")?;
        }
        started
    }
}
