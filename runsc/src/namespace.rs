//! Namespaces of the host, and work in one of another process.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::CloneFlags;

use crate::error::{Context, Error, Result};

/// The namespace that a process is in; `process` is its pid, or a name that `/proc` has for it.
pub fn open(process: impl std::fmt::Display, kind: &str) -> Result<File> {
    let path = format!("/proc/{process}/ns/{kind}");
    File::open(&path).context(|| path)
}

/// By which two paths are known to name one namespace.
pub fn identity(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Does `work` in that namespace, `what` says which it is. Only a thread of its own goes there, for nothing else afterwards.
pub fn in_namespace<T: Send>(
    namespace: &File,
    kind: CloneFlags,
    what: impl Fn() -> String + Sync,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let enter = || {
        if kind.contains(CloneFlags::CLONE_NEWNS) {
            nix::sched::unshare(CloneFlags::CLONE_FS).context(|| "leave the working directory")?;
        }
        nix::sched::setns(namespace, kind).context(&what)?;
        work()
    };
    std::thread::scope(|scope| {
        let ended = |_| Err(Error::new("the thread ended early").context(what()));
        scope.spawn(enter).join().unwrap_or_else(ended)
    })
}
