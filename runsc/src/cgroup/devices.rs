//! `linux.resources.devices`: rules for cgroup v1.
//!
//! The guest never reaches a device of the host: its device nodes are the sandbox's own. What the rules still govern is which
//! nodes may be made in directories of the host, and what tools of the host read there. Cgroup v2 would need a program in the
//! host's kernel for as much; there the rules are only checked.

use std::fs;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::hierarchy::Hierarchy;
use crate::error::{Error, Result, words};

/// What every container may use, whatever the rules say; runc's list.
const ALWAYS: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// One rule in the words of the file; an error says what is wrong with it.
pub fn rule(device: &LinuxDeviceCgroup) -> std::result::Result<String, String> {
    let typ = match device.typ() {
        None | Some(LinuxDeviceType::A) => 'a',
        Some(LinuxDeviceType::B) => 'b',
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => 'c',
        Some(LinuxDeviceType::P) => return Err("type \"p\" has no rules".to_owned()),
    };
    let number = |name: &str, value: Option<i64>| match value {
        None | Some(-1) => Ok("*".to_owned()),
        Some(value) if (0..=i64::from(u32::MAX)).contains(&value) => Ok(value.to_string()),
        Some(value) => Err(format!("{name} {value} is no device number")),
    };
    let access = device.access().as_deref().unwrap_or("rwm");
    if access.is_empty() || !access.chars().all(|c| "rwma".contains(c)) {
        return Err(format!("access {access:?} is not made of r, w and m"));
    }
    // "a" is no letter of the kernel's, but runc lets it pass.
    let access = if access.contains('a') { "rwm" } else { access };
    let (major, minor) = (number("major", device.major())?, number("minor", device.minor())?);
    Ok(format!("{typ} {major}:{minor} {access}"))
}

/// Writes the rules in order.
pub fn apply(resources: &LinuxResources, hierarchies: &[Hierarchy], dirs: &[PathBuf]) -> Result<()> {
    let rules = resources.devices().as_deref().unwrap_or_default();
    let place = hierarchies.iter().zip(dirs).find(|(h, _)| !h.v2 && h.has("devices"));
    let (Some((_, dir)), false) = (place, rules.is_empty()) else {
        return Ok(());
    };
    let write = |i: Option<usize>, allow: bool, text: &str| {
        let path = dir.join(if allow { "devices.allow" } else { "devices.deny" });
        fs::write(&path, text).map_err(|e| {
            let field = i.map_or("devices".to_owned(), |i| format!("devices[{i}]"));
            Error::new(format!(
                "config.json: linux.resources.{field}: {text} to {}: {}",
                path.display(),
                words(&e)
            ))
        })
    };
    for (i, device) in rules.iter().enumerate() {
        let text = rule(device).map_err(|e| Error::new(format!("config.json: linux.resources.devices[{i}]: {e}")))?;
        write(Some(i), device.allow(), &text)?;
    }
    for text in ALWAYS {
        // Where a group above allows less, this one cannot have more.
        let _ = write(None, true, text);
    }
    Ok(())
}
