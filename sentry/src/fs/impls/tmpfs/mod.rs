//! `tmpfs(5)`: files in the Sentry's memory. Also what memfds, shared anonymous memory and the first root stand on.
//!
//! Directories hold their children; contents are heap pages until a file is mapped or grows past [`data::HEAP_MAX`], then a
//! host memfd, so that mappings and reads see one truth. The size limit counts pages of contents, as Linux does.

mod data;
mod dir;
mod file;
mod inode;
mod memfd;
mod options;
mod xattr;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::errno::Result;

use crate::fs::inode::NewNode;
use crate::fs::stat::FileType;
use crate::fs::super_block::{FsType, MountArgs, StatFs, SuperBlock, SuperOps};
use crate::kernel::Kernel;
use crate::sync::Mutex;

pub use inode::TmpInode;
pub use memfd::{MemfdFlags, Seals, add_seals, is_write_sealed, memfd_create, seals, shared_memory};
use options::Options;

/// Bytes of a page: the unit of the size limit.
pub(super) const PAGE: u64 = 4096;

/// Limits and use of one instance; 0 is no limit.
pub struct TmpFs {
    options: Mutex<Options>,
    pages: AtomicU64,
    inodes: AtomicU64,
    next_ino: AtomicU64,
}

impl TmpFs {
    /// Counts `n` more pages; `ENOSPC` beyond the limit.
    fn take_pages(&self, n: u64) -> Result<()> {
        let limit = self.options.lock().max_pages;
        let more = |used: u64| {
            let new = used.checked_add(n)?;
            (limit == 0 || new <= limit).then_some(new)
        };
        self.pages
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map(|_| ())
            .map_err(|_| Errno::ENOSPC)
    }

    /// Counts pages that are there already, whatever the limit.
    fn force_pages(&self, n: u64) {
        self.pages.fetch_add(n, Ordering::AcqRel);
    }

    fn give_pages(&self, n: u64) {
        let _ = self
            .pages
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| Some(used.saturating_sub(n)));
    }

    fn take_inode(&self) -> Result<u64> {
        let limit = self.options.lock().max_inodes;
        let more = |used: u64| {
            let new = used.checked_add(1)?;
            (limit == 0 || new <= limit).then_some(new)
        };
        self.inodes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map_err(|_| Errno::ENOSPC)?;
        Ok(self.next_ino.fetch_add(1, Ordering::Relaxed))
    }

    fn give_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::AcqRel);
    }
}

impl SuperOps for TmpFs {
    fn statfs(&self) -> Result<StatFs> {
        let options = self.options.lock();
        let (pages, inodes) = (self.pages.load(Ordering::Acquire), self.inodes.load(Ordering::Acquire));
        let free = |max: u64, used: u64| if max == 0 { 0 } else { max.saturating_sub(used) };
        Ok(StatFs {
            magic: 0x0102_1994,
            bsize: PAGE,
            blocks: options.max_pages,
            bfree: free(options.max_pages, pages),
            bavail: free(options.max_pages, pages),
            files: options.max_inodes,
            ffree: free(options.max_inodes, inodes),
            namelen: 255,
        })
    }

    fn show_options(&self) -> String {
        self.options.lock().show()
    }

    fn remount(&self, data: &[u8]) -> Result<()> {
        let mut options = self.options.lock();
        let mut new = options.clone();
        new.parse(data)?;
        if (new.max_pages != 0 && new.max_pages < self.pages.load(Ordering::Acquire))
            || (new.max_inodes != 0 && new.max_inodes < self.inodes.load(Ordering::Acquire))
        {
            return Err(Errno::EINVAL);
        }
        *options = new;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The type for `mount(2)`.
pub struct TmpFsType;

impl FsType for TmpFsType {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let cred = args.task.map(|t| t.cred());
        let (uid, gid) = cred.map_or((0, 0), |c| (c.fsuid, c.fsgid));
        new(args.kernel, args.data, uid, gid)
    }
}

/// A new instance with these options (`size=64m,mode=755`).
pub fn new(kernel: &Kernel, data: &[u8], uid: u32, gid: u32) -> Result<Arc<SuperBlock>> {
    let mut options = Options::defaults(kernel.config.total_memory, uid, gid);
    options.parse(data)?;
    make(options, "tmpfs")
}

/// One for the kernel's own use, without limits.
pub(in crate::fs) fn new_unlimited(fstype: &'static str) -> Result<Arc<SuperBlock>> {
    make(Options::unlimited(), fstype)
}

fn make(options: Options, fstype: &'static str) -> Result<Arc<SuperBlock>> {
    let root = NewNode {
        mode: options.mode | FileType::Directory.mode_bits(),
        uid: options.uid,
        gid: options.gid,
        rdev: 0,
    };
    let fs = TmpFs {
        options: Mutex::new(options),
        pages: AtomicU64::new(0),
        inodes: AtomicU64::new(0),
        next_ino: AtomicU64::new(1),
    };
    let sb = SuperBlock::new(Box::new(fs), fstype);
    sb.set_root(TmpInode::create(&sb, &root, None)?);
    Ok(sb)
}
