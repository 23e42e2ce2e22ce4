//! Names of a UTS namespace of the host that a container joins: the guest's own begins with them.

use std::fs::File;
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::system::Uname;

use crate::error::{Context, Result};
use crate::namespace::in_namespace;

/// What `uname(2)` says there.
pub fn names(path: &Path) -> Result<Uname> {
    let what = || format!("config.json: linux.namespaces: {}", path.display());
    let namespace = File::open(path).context(what)?;
    in_namespace(&namespace, CloneFlags::CLONE_NEWUTS, what, || {
        Ok(rustix::system::uname())
    })
}
