//! Whole-protocol tests: a client, a server on a socket pair, a real directory.

mod attributes;
mod budget;
mod escapes;
mod hostile;
mod namespace;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{MountConfig, ServerConfig, serve};
use crate::Client;
use crate::client::NodeId;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A served directory: `root` is what the client attaches to, `base` holds it and things that must stay out of reach.
pub struct Fixture {
    pub base: PathBuf,
    pub root: PathBuf,
    pub client: Client,
    pub top: NodeId,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

pub fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

pub fn path_fd(path: &Path) -> OwnedFd {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(|_| {}, |_| {}, 2)
    }

    pub fn with(mount: impl FnOnce(&mut MountConfig), config: impl FnOnce(&mut ServerConfig), conns: usize) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("gofer-test-{}-{number}", std::process::id()));
        let root = base.join("root");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(base.join("secret"), "secret").unwrap();
        let mut mount_config = MountConfig {
            root: path_fd(&root),
            readonly: false,
            devices: false,
        };
        mount(&mut mount_config);
        let mut server_config = ServerConfig::default();
        config(&mut server_config);
        let (ours, theirs): (Vec<_>, Vec<_>) = (0..conns).map(|_| pair()).unzip();
        let server = std::thread::spawn(move || serve(theirs, vec![mount_config], &server_config));
        let client = Client::new(ours);
        let top = client.attach(0).unwrap().node;
        Self {
            base,
            root,
            client,
            top,
            server: Some(server),
        }
    }

    /// The node of a path below the root.
    pub fn node(&self, path: &str) -> NodeId {
        let names: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        let walked = self.client.walk(self.top, &names).unwrap();
        assert_eq!(walked.entries.len(), names.len(), "{path}: {:?}", walked.stop);
        walked.entries.last().unwrap().node
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.client = Client::new(Vec::new());
        self.server.take().unwrap().join().unwrap().unwrap();
        std::fs::remove_dir_all(&self.base).unwrap();
    }
}
