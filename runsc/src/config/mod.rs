//! `config.json`: read, judged, and turned into what the sandbox is told.
//!
//! Everything here is foreign input. A refusal is one line with the field's path and the value.

mod capabilities;
mod default_spec;
mod devices;
mod hooks;
mod mempolicy;
mod mounts;
mod namespaces;
#[cfg(test)]
mod nonsense;
mod notes;
mod plan;
mod pod;
mod process;
mod read;
mod scheduling;
mod seccomp;
mod submounts;
mod timens;
mod uts;

pub use capabilities::all_capabilities;
pub use default_spec::default_spec;
pub use hooks::{Hook, Hooks};
pub use mounts::GoferMount;
pub use namespaces::{IdMap, Network, Wish, Wishes};
pub use notes::Notes;
pub use plan::{Plan, plan};
pub use pod::{First, Membership, Role};
pub use process::process_config;
pub use read::{Bundle, parse, read_bundle, read_file};
pub use scheduling::cpus;
pub use submounts::Table as HostMounts;
pub use timens::is_own as is_own_time;

use crate::error::Error;

/// A refusal of one field.
fn bad(field: impl std::fmt::Display, what: impl std::fmt::Display) -> Error {
    Error::new(format!("config.json: {field}: {what}"))
}

/// Refuses what no path or string of Linux can hold.
fn check_string(field: impl std::fmt::Display, value: &str) -> crate::error::Result<()> {
    if value.contains('\0') {
        Err(bad(field, format_args!("{value:?} contains NUL")))
    } else {
        Ok(())
    }
}

/// Checks a path in the container: absolute, no `..`, no NUL, not too long. Gives it without empty and `.` parts.
fn container_path(field: impl std::fmt::Display, value: &str) -> crate::error::Result<String> {
    check_string(&field, value)?;
    if !value.starts_with('/') {
        return Err(bad(field, format_args!("{value:?} is not an absolute path")));
    }
    if value.len() >= 4096 {
        return Err(bad(field, "path is longer than 4095 bytes"));
    }
    let mut clean = String::new();
    for part in value.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(bad(field, format_args!("{value:?} contains '..'"))),
            part if part.len() > 255 => return Err(bad(field, "a name is longer than 255 bytes")),
            part => {
                clean.push('/');
                clean.push_str(part);
            }
        }
    }
    if clean.is_empty() {
        clean.push('/');
    }
    Ok(clean)
}
