//! `linux.devices`.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use sentry::boot::config::DeviceConfig;

use super::{bad, container_path};
use crate::error::Result;

/// Checks and converts the list.
pub fn devices(list: &[LinuxDevice]) -> Result<Vec<DeviceConfig>> {
    list.iter().enumerate().map(|(i, device)| one(i, device)).collect()
}

fn one(i: usize, device: &LinuxDevice) -> Result<DeviceConfig> {
    let field = |name: &str| format!("linux.devices[{i}].{name}");
    let path = device.path().to_str().ok_or_else(|| bad(field("path"), "not UTF-8"))?;
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => 'c',
        LinuxDeviceType::B => 'b',
        LinuxDeviceType::P => 'p',
        LinuxDeviceType::A => return Err(bad(field("type"), "\"a\" is no device")),
    };
    // The kernel's dev_t holds 12 bits of major and 20 bits of minor number.
    let number = |name: &str, value: i64, max: i64| match u32::try_from(value) {
        Ok(number) if value <= max => Ok(number),
        _ => Err(bad(field(name), format_args!("{value} is not between 0 and {max}"))),
    };
    let mode = device.file_mode().unwrap_or(0o666);
    Ok(DeviceConfig {
        path: container_path(field("path"), path)?,
        kind,
        major: number("major", device.major(), 0xfff)?,
        minor: number("minor", device.minor(), 0xf_ffff)?,
        mode: mode & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}
