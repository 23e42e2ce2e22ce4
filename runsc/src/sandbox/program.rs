//! The program that a sandbox runs: this one, so that nothing inside can ever change the host's file through
//! `/proc/self/exe`.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use platform::host::mount::set_mount_attributes;
use rustix::fs::{CWD, MemfdFlags, SealFlags};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::{Context, Error, Result};

/// `MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV` of `mount_setattr(2)`.
const READ_ONLY: u64 = 1 | 2 | 4;
/// Readable and executable by others: the sandbox's processes are nobody.
const FOR_OTHERS: u32 = 0o005;

/// The program for both processes of a sandbox: a read-only mount of its own if that can be made, whose pages all sandboxes
/// share, else a copy.
pub fn open() -> Result<OwnedFd> {
    match read_only_mount() {
        Some(mount) => Ok(mount),
        None => sealed_copy(),
    }
}

/// The file through a mount in no namespace, read-only for good: whoever opens it by way of `/proc/PID/exe`, now or after the
/// process has ended, gets `EROFS`, and only the host's own root could change the mount.
fn read_only_mount() -> Option<OwnedFd> {
    let mode = std::fs::metadata("/proc/self/exe").ok()?.permissions().mode();
    if mode & FOR_OTHERS != FOR_OTHERS {
        return None;
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, "/proc/self/exe", flags).ok()?;
    set_mount_attributes(mount.as_fd(), READ_ONLY, false).ok()?;
    Some(mount)
}

/// Makes the copy; it serves both processes of the sandbox, which share its pages.
fn sealed_copy() -> Result<OwnedFd> {
    let what = || "copy of /proc/self/exe";
    let source = File::open("/proc/self/exe").context(what)?;
    let size = source.metadata().context(what)?.len();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC is unknown before Linux 6.3, where such a file can always be executed.
    let copy = match rustix::fs::memfd_create("runsc", flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("runsc", flags),
        other => other,
    }
    .context(what)?;
    let mut left = size;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        let done = rustix::fs::sendfile(&copy, &source, None, want).context(what)?;
        if done == 0 {
            return Err(Error::new("/proc/self/exe changed while it was copied"));
        }
        left = left.saturating_sub(u64::try_from(done).unwrap_or(left));
    }
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )
    .context(what)?;
    Ok(copy)
}
