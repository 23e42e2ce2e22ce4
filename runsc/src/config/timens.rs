//! `linux.timeOffsets`, and time namespaces by path.

use std::fs::metadata;
use std::path::Path;

use oci_spec::runtime::Linux;
use sentry::boot::config::TimeOffsets;

use super::bad;
use super::namespaces::Wish;
use super::pod::Role;
use crate::error::Result;
use crate::namespace::identity;

/// That which runsc is in itself, whose clocks are the sandbox's.
pub fn is_own(path: &Path) -> bool {
    let theirs = identity(path);
    theirs.is_some() && theirs == identity("/proc/self/ns/time")
}

/// What a `time` entry comes to. In a pod a path may name the process of a container, which has runsc's own on the host.
pub fn wish(path: Option<&Path>, role: &Role) -> Wish {
    match path {
        None => Wish::New,
        Some(path) if is_own(path) && !matches!(role, Role::Member(_)) => Wish::None,
        Some(path) => Wish::Join(path.to_owned()),
    }
}

/// A path to join must be one of the pod's, or of no other clocks; gives what is wrong.
pub fn check(path: &Path, role: &Role) -> std::result::Result<(), String> {
    match metadata(path) {
        _ if matches!(role, Role::Member(_)) || is_own(path) => Ok(()),
        Err(e) => Err(e.to_string()),
        Ok(_) => Err("another time namespace of the host cannot be joined".to_owned()),
    }
}

/// Offsets of a new time namespace; none without one.
pub fn offsets(linux: &Linux, wish: &Wish) -> Result<Option<TimeOffsets>> {
    let mut out = TimeOffsets::default();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let field = format!("linux.timeOffsets.{clock}");
        let slot = match clock.as_str() {
            "monotonic" => &mut out.monotonic,
            "boottime" => &mut out.boottime,
            _ => return Err(bad(field, "neither monotonic nor boottime")),
        };
        *slot = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if slot.1 >= 1_000_000_000 {
            return Err(bad(
                format_args!("{field}.nanosecs"),
                format_args!("{} is a second or more", slot.1),
            ));
        }
    }
    let given = linux.time_offsets().as_ref().is_some_and(|list| !list.is_empty());
    match wish {
        Wish::New => Ok(Some(out)),
        Wish::None if given => Err(bad(
            "linux.timeOffsets",
            "given without a time namespace in linux.namespaces",
        )),
        Wish::Join(path) if given => Err(bad(
            "linux.timeOffsets",
            format_args!("given for a namespace that is joined ({})", path.display()),
        )),
        Wish::None | Wish::Join(_) => Ok(None),
    }
}
