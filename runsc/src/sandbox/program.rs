//! The program that a sandbox runs: a sealed copy of this one in memory, so that nothing inside can ever change the
//! host's file through `/proc/self/exe`.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::error::{Context, Error, Result};

/// Makes the copy; it serves both processes of the sandbox, which share its pages.
pub fn sealed_copy() -> Result<OwnedFd> {
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
