//! The Gofer process: one thread per connection, one table of nodes for all.
//!
//! Locks, in order: `renames`, then `streams` or `table` (never both). None is held across a host call that can block, but
//! `renames`, which keeps the table's picture of the tree in the order of the host's.

mod attr;
mod connection;
mod create;
mod dir;
mod host;
mod lookup;
mod names;
mod nodes;
mod open;
#[cfg(test)]
mod tests;
mod xattr;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use abi::Errno;
pub use host::FdPaths;
use nodes::{Handle, Table};

use crate::harden;
use crate::proto::Attr;

/// One tree, or one file, of the container.
pub struct MountConfig {
    /// An `O_PATH` descriptor of the root.
    pub root: OwnedFd,
    /// Nothing beneath may change.
    pub readonly: bool,
    /// Device nodes may be made. (They are never opened.) Whiteouts, character device 0/0, need no permission.
    pub devices: bool,
}

/// What a server is allowed.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub fd_paths: FdPaths,
    /// The most nodes at one time.
    pub max_nodes: usize,
    /// The most descriptors that nodes hold; the process needs a few dozen more.
    pub fd_budget: usize,
    /// Install the seccomp list when all threads exist.
    pub seccomp: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .unwrap_or(1 << 16);
        let fd_budget = usize::try_from(limit / 2).unwrap_or(512).clamp(16, 1 << 16);
        Self {
            fd_paths: FdPaths::Proc,
            max_nodes: 1 << 20,
            fd_budget,
            seccomp: false,
        }
    }
}

/// The state behind all connections.
pub struct Server {
    mounts: Vec<Mount>,
    table: Mutex<Table>,
    streams: Mutex<Vec<dir::Stream>>,
    renames: Mutex<()>,
    fd_paths: FdPaths,
}

struct Mount {
    root: Arc<OwnedFd>,
    attr: Attr,
    readonly: bool,
    devices: bool,
    /// The root's node, once somebody attached.
    node: Mutex<Option<u64>>,
}

/// Serves until every connection is closed. Modes of new files are taken as asked, so the process's umask becomes 0.
pub fn serve(conns: Vec<OwnedFd>, mounts: Vec<MountConfig>, config: &ServerConfig) -> io::Result<()> {
    rustix::process::umask(rustix::fs::Mode::empty());
    let server = Server::new(mounts, config).map_err(|e| io::Error::from_raw_os_error(i32::from(e.raw())))?;
    // Held until all threads have started and the seccomp list, which allows no more of that, is in force for each.
    let may_run = Mutex::new(false);
    let mut gate = lock(&may_run);
    let threads = conns.len();
    let (started, arrivals) = mpsc::channel();
    std::thread::scope(|scope| {
        for conn in conns {
            let (server, may_run, started) = (&server, &may_run, started.clone());
            let run = move || {
                let _main_is_waiting = started.send(());
                let go = *lock(may_run);
                if go {
                    connection::run(server, conn.as_fd());
                }
            };
            std::thread::Builder::new()
                .name("gofer".into())
                .stack_size(256 * 1024)
                .spawn_scoped(scope, run)?;
        }
        if config.seccomp {
            arrivals.iter().take(threads).for_each(drop);
            harden::install_filter()?;
        }
        *gate = true;
        drop(gate);
        Ok(())
    })
}

impl Server {
    fn new(mounts: Vec<MountConfig>, config: &ServerConfig) -> Result<Self, Errno> {
        let mounts = mounts
            .into_iter()
            .map(|m| {
                let attr = host::stat(m.root.as_fd(), b"")?;
                Ok(Mount {
                    root: Arc::new(m.root),
                    attr,
                    readonly: m.readonly,
                    devices: m.devices,
                    node: Mutex::new(None),
                })
            })
            .collect::<Result<_, Errno>>()?;
        Ok(Self {
            mounts,
            table: Mutex::new(Table::new(config.max_nodes, config.fd_budget)),
            streams: Mutex::new(Vec::new()),
            renames: Mutex::new(()),
            fd_paths: config.fd_paths,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    fn mount(&self, handle: &Handle) -> Result<&Mount, Errno> {
        self.mounts.get(handle.ident.mount as usize).ok_or(Errno::EBADF)
    }

    /// Finds a node that is about to be changed.
    fn writable(&self, id: u64) -> Result<Handle, Errno> {
        let handle = self.handle(id)?;
        if self.mount(&handle)?.readonly {
            Err(Errno::EROFS)
        } else {
            Ok(handle)
        }
    }

    /// Finds a directory that is about to be changed.
    fn writable_dir(&self, id: u64) -> Result<Handle, Errno> {
        let handle = self.writable(id)?;
        lookup::must_be_dir(&handle)?;
        Ok(handle)
    }
}

/// Locks; a thread that panicked ends the process, so there is no poison to mind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
