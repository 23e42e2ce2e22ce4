//! The control group of a container: Sentry, Gofer and guest processes are in it together.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cli::Globals;
use crate::config::Plan;
use crate::error::Result;

/// What to remove with the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    /// One directory for v2, one per controller for v1.
    pub dirs: Vec<PathBuf>,
}

pub fn create(_plan: &Plan, _globals: &Globals) -> Result<Option<CgroupRecord>> {
    Ok(None)
}

pub fn enter(_cgroup: &CgroupRecord, _pid: i32) -> Result<()> {
    Ok(())
}

pub fn remove(_cgroup: &CgroupRecord) {}
