//! The network namespace that the Sentry is in.

use std::fs::File;

use nix::sched::CloneFlags;
use sentry::boot::config::NetworkMode;

use crate::config::Network;
use crate::error::{Context, Result};
use crate::namespace::{self, in_namespace};

/// Which namespace a process goes to.
pub enum Place {
    New,
    Of(File),
    /// That of `runsc`.
    Own,
}

pub fn place(wanted: &Network, mode: NetworkMode) -> Result<Place> {
    match wanted {
        Network::Join(path) => {
            let what = || format!("config.json: linux.namespaces: {}", path.display());
            File::open(path).map(Place::Of).context(what)
        }
        Network::Inherit if mode == NetworkMode::Host => Ok(Place::Own),
        Network::New | Network::Inherit => Ok(Place::New),
    }
}

/// Joins the namespace that is wanted, for the processes started from now on; or gives the flag that makes a new one.
pub fn join(wanted: &Network, mode: NetworkMode) -> Result<CloneFlags> {
    match place(wanted, mode)? {
        Place::New => Ok(CloneFlags::CLONE_NEWNET),
        Place::Own => Ok(CloneFlags::empty()),
        Place::Of(file) => {
            let what = || match wanted {
                Network::Join(path) => format!("config.json: linux.namespaces: {}", path.display()),
                Network::New | Network::Inherit => "network namespace".to_owned(),
            };
            nix::sched::setns(file, CloneFlags::CLONE_NEWNET).context(what)?;
            Ok(CloneFlags::empty())
        }
    }
}

/// The namespace of this process, to tell the host's from a container's.
pub fn own() -> Option<(u64, u64)> {
    namespace::identity("/proc/self/ns/net")
}

/// For `--network=host`: what the guest's kernel decides about ports and echo requests, the host's must not refuse, since the
/// Sentry has no capability there. Sysctls of the network are the namespace's. Not done to the host's own namespace.
pub fn prepare(sandbox: i32, before: Option<(u64, u64)>, sysctl: &[(String, String)]) -> Result<()> {
    if before.is_none() || namespace::identity(format!("/proc/{sandbox}/ns/net")) == before {
        return Ok(());
    }
    let namespace = namespace::open(sandbox, "net")?;
    let what = || "enter the container's network namespace".to_owned();
    in_namespace(&namespace, CloneFlags::CLONE_NEWNET, what, || {
        for (key, value) in sysctl {
            let separator = if key.contains('/') { '/' } else { '.' };
            let name = key.split(separator).collect::<Vec<_>>().join("/");
            let here = name.starts_with("net/") && name != "net/ipv4/ip_unprivileged_port_start";
            if here {
                std::fs::write(format!("/proc/sys/{name}"), value)
                    .context(|| format!("config.json: linux.sysctl: {key} = {value:?}"))?;
            }
        }
        // A kernel without IPv4 has neither, and needs neither.
        let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
        let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
        Ok(())
    })
}
