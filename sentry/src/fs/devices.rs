//! Character devices: who serves which numbers.

use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::file::FileOps;
use super::inode::OpenHow;
use super::namei::Path;
use super::stat::{major, minor};
use crate::sync::RwLock;
use crate::task::Task;

/// Opens a device for a task.
pub type OpenDevice = Arc<dyn Fn(&Arc<Task>, &Path, &OpenHow) -> Result<Arc<dyn FileOps>> + Send + Sync>;

/// Drivers of character devices by number.
#[derive(Default)]
pub struct Devices {
    /// A minor of none stands for all of the major.
    chars: RwLock<HashMap<(u32, Option<u32>), OpenDevice>>,
}

impl Devices {
    /// Adds a driver; without a minor for all of the major that have none of their own.
    pub fn register(&self, major: u32, minor: Option<u32>, open: OpenDevice) {
        self.chars.write().insert((major, minor), open);
    }

    /// Opens the device of that number; `ENXIO` if nobody serves it.
    pub fn open(&self, task: &Arc<Task>, rdev: u64, path: &Path, how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        let open = {
            let chars = self.chars.read();
            let (major, minor) = (major(rdev), minor(rdev));
            chars
                .get(&(major, Some(minor)))
                .or_else(|| chars.get(&(major, None)))
                .cloned()
        };
        open.ok_or(Errno::ENXIO)?(task, path, how)
    }
}
