//! File systems: types by their Linux name, and mounted instances.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use abi::Errno;
use abi::errno::Result;

use super::dentry::{Dentry, DentryCache};
use super::inode::Inode;
use super::stat::makedev;
use crate::cred::UserNamespace;
use crate::ipc::IpcNamespace;
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::{PidNamespace, Task};

/// Numbers of `statfs(2)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatFs {
    /// Magic number (`statfs(2)` lists them).
    pub magic: u64,
    /// Block size in bytes.
    pub bsize: u64,
    /// Blocks in all, free, and free to ordinary users.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for ordinary users.
    pub bavail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Longest name.
    pub namelen: u64,
}

/// What a mounted file system does as a whole.
pub trait SuperOps: Any + Send + Sync {
    /// Size and magic number.
    fn statfs(&self) -> Result<StatFs>;

    /// `syncfs(2)`
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Options beyond the mount flags, as `/proc/mounts` shows them (`,size=1024k`), with the leading comma.
    fn show_options(&self) -> String {
        String::new()
    }

    /// `mount(2)` with `MS_REMOUNT` and new data.
    fn remount(&self, data: &[u8]) -> Result<()> {
        let _ = data;
        Ok(())
    }

    /// Most names that the dentry cache holds before it drops those not used lately.
    fn cached_names(&self) -> usize {
        32768
    }

    /// For `downcast_ref` within the file system.
    fn as_any(&self) -> &dyn Any;
}

/// A mounted file system, like `struct super_block`.
pub struct SuperBlock {
    /// What it does.
    pub ops: Box<dyn SuperOps>,
    /// Linux name of its type.
    pub fstype: &'static str,
    /// Device number (`makedev(3)`), from the anonymous range.
    pub dev: u64,
    /// Mounted read-only as a whole (`mount -o ro`), beyond what single mounts say.
    pub readonly: AtomicBool,
    /// Files open for writing.
    pub writers: AtomicUsize,
    /// Cached names.
    pub dentries: DentryCache,
    /// inotify marks.
    pub marks: Arc<super::watch::MarkCount>,
    /// Held by a rename between two directories (`s_vfs_rename_mutex`).
    pub rename_lock: Mutex<()>,
    /// Path of its root, where that is a part of a larger tree.
    origin: OnceLock<Vec<u8>>,
    root: Mutex<Option<Arc<Inode>>>,
    root_dentry: Mutex<Option<Arc<Dentry>>>,
    /// Mounts that show it.
    mounts: AtomicUsize,
    /// Who mounted it, if that was not the container's own set-up (`s_user_ns`).
    owner: OnceLock<Arc<UserNamespace>>,
}

static NEXT_MINOR: AtomicU32 = AtomicU32::new(20);

impl SuperBlock {
    /// Says of what larger tree its root is a part; once.
    pub fn set_origin(&self, path: &[u8]) {
        let _ = self.origin.set(path.to_vec());
    }

    /// The path that `/proc/PID/mountinfo` gives for the root of a mount, from the path within.
    pub fn path_of_root(&self, within: Vec<u8>) -> Vec<u8> {
        let mut path = self.origin.get().cloned().unwrap_or_default();
        while path.last() == Some(&b'/') {
            path.pop();
        }
        if path.is_empty() || within != b"/" {
            path.extend(within);
        }
        path
    }

    /// A new instance with a device number of its own and no root yet.
    pub fn new(ops: Box<dyn SuperOps>, fstype: &'static str) -> Arc<SuperBlock> {
        SuperBlock::with_marks(ops, fstype, Arc::default())
    }

    /// One whose marks are counted with those of others.
    pub fn with_marks(
        ops: Box<dyn SuperOps>,
        fstype: &'static str,
        marks: Arc<super::watch::MarkCount>,
    ) -> Arc<SuperBlock> {
        let dev = makedev(0, NEXT_MINOR.fetch_add(1, Ordering::Relaxed));
        let dentries = DentryCache::new(ops.cached_names());
        Arc::new(SuperBlock {
            ops,
            fstype,
            dev,
            readonly: AtomicBool::new(false),
            writers: AtomicUsize::new(0),
            dentries,
            marks,
            rename_lock: Mutex::new(()),
            origin: OnceLock::new(),
            root: Mutex::new(None),
            root_dentry: Mutex::new(None),
            mounts: AtomicUsize::new(0),
            owner: OnceLock::new(),
        })
    }

    /// It belongs to that user namespace from now on, unless it has an owner.
    pub fn set_owner(&self, owner: &Arc<UserNamespace>) {
        let _ = self.owner.set(owner.clone());
    }

    /// The user namespace whose administrators may change it; none: the first one.
    pub fn owner(&self) -> Option<&Arc<UserNamespace>> {
        self.owner.get()
    }

    /// Sets the root, once.
    pub fn set_root(&self, root: Arc<Inode>) {
        self.root.lock().get_or_insert(root);
    }

    /// The root.
    pub fn root(&self) -> Result<Arc<Inode>> {
        self.root.lock().clone().ok_or(Errno::EIO)
    }

    /// The root of its tree of names, the same for all mounts.
    pub fn root_dentry(&self) -> Result<Arc<Dentry>> {
        let root = self.root()?;
        Ok(self
            .root_dentry
            .lock()
            .get_or_insert_with(|| Dentry::new_root(root))
            .clone())
    }

    pub(super) fn mounted(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// With the last mount the tree goes: names and the root refer to each other and to this, and would stay for ever.
    pub(super) fn unmounted(&self) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        super::watch::unmounted(self);
        let root = self.root.lock().take();
        let dentry = self.root_dentry.lock().take();
        if let Some(dentry) = dentry {
            dentry.forget_tree();
        }
        drop(root);
    }

    /// The file system's own type for it.
    pub fn downcast<T: SuperOps>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref::<T>()
    }
}

/// What `mount(2)` hands to a file system type.
pub struct MountArgs<'a> {
    /// The kernel.
    pub kernel: &'a Arc<Kernel>,
    /// Who mounts; none while the container is built.
    pub task: Option<&'a Arc<Task>>,
    /// The pid namespace that a procfs shows.
    pub pid_ns: &'a Arc<PidNamespace>,
    /// The IPC namespace whose queues an mqueue shows.
    pub ipc: &'a Arc<IpcNamespace>,
    /// `source`
    pub source: &'a [u8],
    /// `data`: comma separated options.
    pub data: &'a [u8],
    /// `MS_*` flags.
    pub flags: u64,
}

/// A file system type: a folder under `impls/` and a line in the registry.
pub trait FsType: Send + Sync {
    /// Name for `mount(2)` and `/proc/filesystems`.
    fn name(&self) -> &'static str;

    /// An ordinary user's namespace may mount it (`FS_USERNS_MOUNT`).
    fn userns_mount(&self) -> bool {
        false
    }

    /// Needs no device (`nodev` in `/proc/filesystems`); all of ours do not.
    fn nodev(&self) -> bool {
        true
    }

    /// Makes an instance with its root set. `EINVAL` for an unknown option.
    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>>;
}
