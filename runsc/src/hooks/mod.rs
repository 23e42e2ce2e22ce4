//! Hooks: programs of the host that run at given moments of a container's life, with its state on standard input.
//!
//! `prestart`, `createRuntime`, `poststart` and `poststop` run where `runsc` runs. `createContainer` runs in the container's
//! network namespace and in the Gofer's mount namespace, which is that of the container's pid too until these hooks are
//! over: what they mount into the root file system, the container sees and the host does not (`sandbox/hook_mounts.rs`).
//! `startContainer` runs in the container itself.

mod inside;
mod run;

use std::path::Path;

use sentry::boot::config::ProcessConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use crate::config::{Hook, Hooks};

use crate::error::{Context, Result};
use crate::state::{Record, write_atomically};
pub use inside::start_container;
pub use run::{Namespaces, run};

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Prestart,
    CreateRuntime,
    CreateContainer,
    Poststart,
    Poststop,
}

impl Stage {
    /// config.json's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Prestart | Self::CreateRuntime | Self::CreateContainer => "creating",
            Self::Poststart => "running",
            Self::Poststop => "stopped",
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        match self {
            Self::Prestart => &hooks.prestart,
            Self::CreateRuntime => &hooks.create_runtime,
            Self::CreateContainer => &hooks.create_container,
            Self::Poststart => &hooks.poststart,
            Self::Poststop => &hooks.poststop,
        }
    }
}

const FILE: &str = "hooks.json";

/// What later commands need of the hooks, in the container's directory.
#[derive(Default, Serialize, Deserialize)]
pub struct Kept {
    pub hooks: Hooks,
    /// As what `startContainer` hooks run.
    process: Option<ProcessConfig>,
}

/// Keeps the hooks.
pub fn save(dir: &Path, hooks: &Hooks, process: &ProcessConfig) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let kept = Kept {
        hooks: hooks.clone(),
        process: (!hooks.start_container.is_empty()).then(|| process.clone()),
    };
    let text = serde_json::to_vec(&kept).context(|| FILE)?;
    write_atomically(&dir.join(FILE), &text)
}

/// The hooks of a container; none where nothing readable is kept.
pub fn load(dir: &Path) -> Kept {
    std::fs::read(dir.join(FILE))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Runs the hooks of one stage in order; the first failure ends it.
pub fn stage(stage: Stage, hooks: &Hooks, record: &Record, pid: i32, within: Option<&Namespaces>) -> Result<()> {
    let state = state(record, stage.status(), pid);
    for (i, hook) in stage.of(hooks).iter().enumerate() {
        run(hook, &state, within)
            .context(|| format!("error running hook {}[{i}] {}", stage.name(), hook.path.display()))?;
    }
    Ok(())
}

/// After the container: every hook runs, failures are only told.
pub fn poststop(hooks: &Hooks, record: &Record) -> Vec<String> {
    let state = state(record, Stage::Poststop.status(), 0);
    let mut failures = Vec::new();
    for (i, hook) in hooks.poststop.iter().enumerate() {
        if let Err(e) = run(hook, &state, None) {
            failures.push(format!("error running hook poststop[{i}] {}: {e}", hook.path.display()));
        }
    }
    failures
}

/// The runtime-spec's state. Of what is being built or is gone, only the hook's caller knows the status.
pub fn state(record: &Record, status: &str, pid: i32) -> Value {
    let mut state = json!({
        "ociVersion": "1.2.0",
        "id": record.id,
        "status": status,
        "bundle": record.bundle,
        "annotations": record.annotations,
    });
    if let (true, Some(object)) = (pid > 0, state.as_object_mut()) {
        object.insert("pid".into(), pid.into());
    }
    state
}
