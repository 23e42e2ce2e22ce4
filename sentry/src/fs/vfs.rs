//! What the file systems keep in the kernel.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use abi::errno::Result;

use super::devices::Devices;
use super::impls::tmpfs;
use super::mount::{Mount, MountTable};
use super::namei::AnonMounts;

/// State of the virtual file system.
pub struct Vfs {
    /// All mounts.
    pub mounts: Arc<MountTable>,
    /// Mounts of the kernel's own.
    pub anon: AnonMounts,
    /// Device drivers.
    pub devices: Devices,
    /// What users have of inotify.
    pub inotify: Arc<super::inotify::InotifyUsers>,
    /// Files of the host that more than one mount may show.
    pub commons: Arc<super::meeting::Commons>,
    /// Who waits for whose locks.
    pub lock_graph: super::locks::LockGraph,
    /// Files with `O_ASYNC`.
    pub async_files: super::sigio::AsyncFiles,
    /// Requests that fit into all contexts of AIO together (`/proc/sys/fs/aio-nr`).
    pub aio_nr: Arc<AtomicU64>,
    /// Where memfds and shared anonymous memory are; made when first used.
    memfd: OnceLock<Arc<Mount>>,
}

impl Vfs {
    /// Nothing mounted, no drivers.
    pub fn new() -> Vfs {
        let mounts = MountTable::new();
        Vfs {
            anon: AnonMounts::new(&mounts),
            commons: Arc::default(),
            mounts,
            devices: Devices::default(),
            inotify: Arc::default(),
            lock_graph: super::locks::LockGraph::default(),
            async_files: super::sigio::AsyncFiles::default(),
            aio_nr: Arc::default(),
            memfd: OnceLock::new(),
        }
    }

    /// The mount of memfds and shared anonymous memory (`shm_mnt`).
    pub fn memfd_mount(&self) -> Result<Arc<Mount>> {
        if let Some(mnt) = self.memfd.get() {
            return Ok(mnt.clone());
        }
        let sb = tmpfs::new_unlimited("tmpfs")?;
        let root = sb.root_dentry()?;
        let mnt = Mount::new_internal(&self.mounts, sb, root);
        Ok(self.memfd.get_or_init(|| mnt).clone())
    }
}
