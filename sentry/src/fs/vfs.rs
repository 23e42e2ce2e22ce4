//! What the file systems keep in the kernel.

use std::sync::Arc;

use super::devices::Devices;
use super::mount::MountTable;
use super::namei::AnonMounts;

/// State of the virtual file system.
pub struct Vfs {
    /// All mounts.
    pub mounts: Arc<MountTable>,
    /// Mounts of the kernel's own.
    pub anon: AnonMounts,
    /// Device drivers.
    pub devices: Devices,
}

impl Vfs {
    /// Nothing mounted, no drivers.
    pub fn new() -> Vfs {
        let mounts = MountTable::new();
        Vfs {
            anon: AnonMounts::new(&mounts),
            mounts,
            devices: Devices::default(),
        }
    }
}
