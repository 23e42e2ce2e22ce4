//! Work in a namespace of another process.

use std::fs::File;

use nix::sched::CloneFlags;

use crate::error::{Context, Error, Result};

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
