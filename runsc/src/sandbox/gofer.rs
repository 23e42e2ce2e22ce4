//! `runsc gofer`: the process that serves the container's files.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gofer::server::FdPaths;
use gofer::{MountConfig, ServerConfig};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, OpenTreeFlags};
use serde::{Deserialize, Serialize};

use super::boot::MESSAGE_FD;
use super::{hook_mounts, jail};
use crate::config::GoferMount;
use crate::error::{Context, Result};

/// What `runsc` tells this process.
#[derive(Serialize, Deserialize)]
pub struct GoferMessage {
    pub mounts: Vec<GoferMount>,
    /// Numbers of their trees, where `runsc` has taken them already.
    pub trees: Vec<i32>,
    /// Directories of the host to hide with an empty one: they are beneath a mount, but not to be served.
    pub hide: Vec<PathBuf>,
    /// Numbers of the connections to the Sentry.
    pub connections: Vec<i32>,
    /// Write end of a pipe, closed when the process is ready; an error comes as a line.
    pub ready: i32,
    /// Write end of a pipe, open as long as this process lives.
    pub alive: i32,
    /// Where `runsc` tells what hooks mounted, with the trees.
    pub later: Option<i32>,
    /// End when the runsc that waits in the foreground ends.
    pub die_with_parent: bool,
}

/// Carves out the jail and serves; gives the process's exit code.
pub fn gofer_main() -> i32 {
    match prepare() {
        Ok((connections, mounts, _alive)) => serve(connections, mounts),
        Err(e) => {
            eprintln!("runsc gofer: {e}");
            128
        }
    }
}

fn prepare() -> Result<(Vec<OwnedFd>, Vec<(OwnedFd, GoferMount)>, OwnedFd)> {
    let fd = platform::host::inherited::take(MESSAGE_FD).context(|| "donated configuration")?;
    let message: GoferMessage =
        serde_json::from_slice(&jail::read_all(fd.as_fd())?).context(|| "donated configuration")?;
    drop(fd);
    let ready = platform::host::inherited::take(message.ready).context(|| "donated pipe")?;
    let take = |number: &i32| platform::host::inherited::take(*number).context(|| "donated connection");
    let connections = message.connections.iter().map(take).collect::<Result<Vec<_>>>()?;
    let alive = take(&message.alive)?;
    match jail(message) {
        Ok(mounts) => Ok((connections, mounts, alive)),
        Err(e) => {
            let _ = rustix::io::write(&ready, e.to_string().as_bytes());
            Err(e)
        }
    }
}

/// DESIGN S5: afterwards the mounts' roots are the only way to any file.
fn jail(message: GoferMessage) -> Result<Vec<(OwnedFd, GoferMount)>> {
    let follow = message.mounts.iter().any(|mount| mount.follow);
    if follow {
        jail::slave_mounts()?;
    } else {
        jail::private_mounts()?;
    }
    let proc = jail::own_proc()?;
    for dir in &message.hide {
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        match rustix::mount::mount("runsc", dir, "tmpfs", flags, Some(c"size=4k,nr_inodes=2,mode=555")) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => other.context(|| format!("hide {}", dir.display()))?,
        }
    }
    let tree = |(i, mount): (usize, &GoferMount)| match message.trees.get(i) {
        Some(number) => platform::host::inherited::take(*number).context(|| "donated tree"),
        None => detached(mount),
    };
    let mut mounts = message
        .mounts
        .iter()
        .enumerate()
        .map(|(i, mount)| Ok((tree((i, mount))?, mount.clone())))
        .collect::<Result<Vec<_>>>()?;
    if let Some(later) = &message.later {
        let later = platform::host::inherited::take(*later).context(|| "donated socket")?;
        mounts.extend(hook_mounts::receive(&later)?);
    }
    jail::empty_root()?;
    for (tree, mount) in mounts.iter().filter(|(_, mount)| mount.follow) {
        // Mounts spread only to a namespace. Here this one has no name, like what hangs nowhere: it lies on the root's root.
        let what = || format!("mount {}", mount.source.display());
        platform::host::mount::make_slave(tree.as_fd()).context(what)?;
        jail::move_mount(tree, "/").context(what)?;
    }
    // The working directory is how the server names its own descriptors; nothing else of that procfs can be reached.
    let fds = rustix::fs::openat(
        &proc,
        "self/fd",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context(|| "open /proc/self/fd")?;
    rustix::process::fchdir(fds).context(|| "change to /proc/self/fd")?;
    jail::raise_fd_limit();
    gofer::harden::harden().context(|| "give up what is not needed")?;
    if !message.die_with_parent {
        // It lives as long as the Sentry, whose end closes its connections.
        rustix::process::set_parent_process_death_signal(None).context(|| "outlive runsc")?;
    }
    Ok(mounts)
}

/// A copy of a mount that hangs nowhere, so that its root has no `..`.
pub fn detached(mount: &GoferMount) -> Result<OwnedFd> {
    let what = || format!("mount {}", mount.source.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = |source: &Path, flags| rustix::mount::open_tree(CWD, source, flags);
    let recursive = flags | OpenTreeFlags::AT_RECURSIVE;
    let tree = match clone(&mount.source, if mount.recursive { recursive } else { flags }) {
        // Mounts beneath that a user namespace may not uncover have to come along.
        Err(Errno::INVAL) if !mount.recursive => clone(&mount.source, recursive),
        other => other,
    }
    .context(what)?;
    if mount.readonly {
        platform::host::mount::set_mount_attributes(tree.as_fd(), MOUNT_ATTR_RDONLY, true).context(what)?;
    }
    if mount.atime != 0 {
        // A user namespace may not be let: then times are kept as the host's own mount says.
        let _ = platform::host::mount::set_mount_attributes(tree.as_fd(), mount.atime, false);
    }
    Ok(tree)
}

const MOUNT_ATTR_RDONLY: u64 = 1;

fn serve(connections: Vec<OwnedFd>, mounts: Vec<(OwnedFd, GoferMount)>) -> i32 {
    let mounts = mounts
        .into_iter()
        .map(|(root, mount)| MountConfig {
            root,
            readonly: mount.readonly,
            devices: mount.devices,
        })
        .collect();
    let config = ServerConfig {
        fd_paths: FdPaths::WorkingDir,
        seccomp: true,
        ..ServerConfig::default()
    };
    match gofer::serve(connections, mounts, &config) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("runsc gofer: {e}");
            128
        }
    }
}
