//! `linux.resources.devices`: rules for devices.
//!
//! The guest's kernel keeps them for the guest's nodes, which are its own: no device of the host can be reached by any. On cgroup
//! v1 the host's kernel has them too, for what the Gofer may make in directories of the host, and for tools that read them there.
//! Cgroup v2 would need a program in the host's kernel for as much, and would forbid nothing more.

use std::fs;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use sentry::task::DeviceRule;

use super::hierarchy::Hierarchy;
use crate::error::{Error, Result, words};

/// What every container may use, whatever the rules say; runc's list.
fn always() -> Vec<DeviceRule> {
    let rule = |block, major, minor, access| DeviceRule {
        allow: true,
        block: Some(block),
        major,
        minor,
        access,
    };
    let all = DeviceRule::MKNOD | DeviceRule::READ | DeviceRule::WRITE;
    let one = |major, minor| rule(false, Some(major), minor, all);
    let mut list = vec![
        rule(false, None, None, DeviceRule::MKNOD),
        rule(true, None, None, DeviceRule::MKNOD),
    ];
    list.extend([3, 5, 7, 8, 9].map(|minor| one(1, Some(minor))));
    list.extend([0, 1, 2].map(|minor| one(5, Some(minor))));
    list.push(one(136, None));
    list
}

/// The rules that the guest's kernel keeps; where nothing was asked for there are none. An error is about the rule of that index.
pub fn for_guest(resources: &LinuxResources) -> std::result::Result<Vec<DeviceRule>, (usize, String)> {
    let rules = resources.devices().iter().flatten().enumerate();
    let mut list = rules
        .map(|(i, device)| rule(device).map_err(|e| (i, e)))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    if !list.is_empty() {
        list.extend(always());
    }
    Ok(list)
}

/// One rule; an error says what is wrong with it.
pub fn rule(device: &LinuxDeviceCgroup) -> std::result::Result<DeviceRule, String> {
    let block = match device.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(true),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(false),
        Some(LinuxDeviceType::P) => return Err("type \"p\" has no rules".to_owned()),
    };
    let number = |name: &str, value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name} {value} is no device number")),
        },
    };
    let access = device.access().as_deref().unwrap_or("rwm");
    if access.is_empty() || !access.chars().all(|c| "rwma".contains(c)) {
        return Err(format!("access {access:?} is not made of r, w and m"));
    }
    // "a" is no letter of the kernel's, but runc lets it pass.
    let has = |letter: char, bit: u32| if access.contains([letter, 'a']) { bit } else { 0 };
    Ok(DeviceRule {
        allow: device.allow(),
        block,
        major: number("major", device.major())?,
        minor: number("minor", device.minor())?,
        access: has('r', DeviceRule::READ) | has('w', DeviceRule::WRITE) | has('m', DeviceRule::MKNOD),
    })
}

/// A rule in the words of v1's files.
fn words_of(rule: &DeviceRule) -> String {
    let kind = match rule.block {
        None => 'a',
        Some(true) => 'b',
        Some(false) => 'c',
    };
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let letters = [
        ('r', DeviceRule::READ),
        ('w', DeviceRule::WRITE),
        ('m', DeviceRule::MKNOD),
    ];
    let access: String = letters
        .iter()
        .filter(|(_, bit)| rule.access & bit != 0)
        .map(|(l, _)| *l)
        .collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
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
        let rule = rule(device).map_err(|e| Error::new(format!("config.json: linux.resources.devices[{i}]: {e}")))?;
        write(Some(i), rule.allow, &words_of(&rule))?;
    }
    for rule in always() {
        // Where a group above allows less, this one cannot have more.
        let _ = write(None, true, &words_of(&rule));
    }
    Ok(())
}
