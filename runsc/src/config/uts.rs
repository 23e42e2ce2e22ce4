//! Names of a UTS namespace of the host that a container joins: the guest's own begins with them.

use std::fs::File;
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::system::Uname;

use crate::error::{Context, Error, Result};

/// What `uname(2)` says there.
pub fn names(path: &Path) -> Result<Uname> {
    let what = || format!("config.json: linux.namespaces: {}", path.display());
    let namespace = File::open(path).context(what)?;
    // Only this one thread goes there.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::setns(&namespace, CloneFlags::CLONE_NEWUTS).context(what)?;
            Ok(rustix::system::uname())
        });
        let ended = || Err(Error::new("the thread ended early"));
        thread.join().unwrap_or_else(|_| ended())
    })
}
