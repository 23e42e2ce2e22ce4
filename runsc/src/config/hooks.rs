//! `hooks`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{bad, check_string};
use crate::error::Result;

/// One program that the configuration wants run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub path: PathBuf,
    /// With the program's own name in front.
    pub args: Vec<String>,
    /// None: that of the process that starts it.
    pub env: Option<Vec<String>>,
    pub timeout_s: Option<u64>,
}

/// All of them, by the moment at which they run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub create_container: Vec<Hook>,
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

impl Hooks {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any of them could mount something into the container's root.
    pub fn may_mount(&self) -> bool {
        [&self.prestart, &self.create_runtime, &self.create_container]
            .iter()
            .any(|list| !list.is_empty())
    }
}

/// Checks and converts.
pub fn hooks(hooks: Option<&oci_spec::runtime::Hooks>) -> Result<Hooks> {
    let Some(hooks) = hooks else {
        return Ok(Hooks::default());
    };
    Ok(Hooks {
        prestart: list("prestart", hooks.prestart())?,
        create_runtime: list("createRuntime", hooks.create_runtime())?,
        create_container: list("createContainer", hooks.create_container())?,
        start_container: list("startContainer", hooks.start_container())?,
        poststart: list("poststart", hooks.poststart())?,
        poststop: list("poststop", hooks.poststop())?,
    })
}

fn list(stage: &str, list: &Option<Vec<oci_spec::runtime::Hook>>) -> Result<Vec<Hook>> {
    list.iter()
        .flatten()
        .enumerate()
        .map(|(i, hook)| one(&format!("hooks.{stage}[{i}]"), hook))
        .collect()
}

fn one(field: &str, hook: &oci_spec::runtime::Hook) -> Result<Hook> {
    let path = hook.path();
    let text = path.to_str().ok_or_else(|| bad(format!("{field}.path"), "not UTF-8"))?;
    check_string(format!("{field}.path"), text)?;
    if !path.is_absolute() {
        return Err(bad(
            format!("{field}.path"),
            format_args!("{text:?} is not an absolute path"),
        ));
    }
    let args = hook.args().clone().unwrap_or_default();
    let env = hook.env().clone();
    for (name, list) in [("args", args.as_slice()), ("env", env.as_deref().unwrap_or_default())] {
        for (i, text) in list.iter().enumerate() {
            check_string(format!("{field}.{name}[{i}]"), text)?;
        }
    }
    let timeout_s = match hook.timeout() {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Some(seconds),
            _ => {
                return Err(bad(
                    format!("{field}.timeout"),
                    format_args!("{seconds} is not above 0"),
                ));
            }
        },
    };
    Ok(Hook {
        path: path.clone(),
        args,
        env,
        timeout_s,
    })
}
