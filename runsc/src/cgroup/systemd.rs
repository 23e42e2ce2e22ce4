//! The groups of a host where systemd manages them (`--systemd-cgroup`): a transient scope for each container, or a slice where
//! `cgroupsPath` names one (org.freedesktop.systemd1(5)).
//!
//! systemd makes the group and is told what it is limited to, so that it does not write its own defaults over that when it
//! next looks at the unit. The files are written by us all the same: not every limit is a property of a unit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zbus::zvariant::Value;

use super::bus::{self, Bus, Jobs};
use super::limits::Limit;
use crate::error::{Error, Result};

/// The first systemd that knows of `cpu.idle`, as a weight of 0.
const KNOWS_IDLE: u32 = 252;

/// A unit that stands for a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    pub name: String,
    pub slice: String,
    /// Of its group, from the top of a hierarchy.
    #[serde(default)]
    pub path: PathBuf,
    /// The state of an ordinary user's own systemd.
    pub user: bool,
}

/// Whether systemd manages this host (sd_booted(3)).
pub fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The group of an ordinary user's own systemd, in which it makes all others; None where the machine's is asked.
pub fn group_of_user() -> Result<Option<PathBuf>> {
    if bus::user().is_none() {
        return Ok(None);
    }
    let ask = || {
        Bus::new(true)?
            .property("ControlGroup")?
            .try_into()
            .map_err(zbus::Error::from)
    };
    let group: String = ask().map_err(|e| Error::new(format!("systemd of the user: {e}")))?;
    Ok(Some(group.into()))
}

impl Unit {
    /// Starts it around a process, with limits.
    pub(super) fn start(&self, pid: i32, limits: &[Limit]) -> Result<()> {
        let pid = u32::try_from(pid).map_err(|_| self.failed("no such process"))?;
        let is_slice = self.name.ends_with(".slice");
        let mut properties: HashMap<&str, Value<'_>> = self.properties(limits)?;
        properties.insert("Description", Value::from(format!("runsc container {}", self.name)));
        if is_slice {
            // It lies where its name says.
            properties.insert("Wants", Value::from(vec![self.slice.as_str()]));
        } else {
            properties.insert("Slice", Value::from(self.slice.as_str()));
            properties.insert("PIDs", Value::from(vec![pid]));
            properties.insert("Delegate", Value::from(true));
        }
        properties.insert("DefaultDependencies", Value::from(false));
        for accounting in ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"] {
            properties.insert(accounting, Value::from(true));
        }
        let properties: Vec<(&str, Value<'_>)> = properties.into_iter().collect();
        let nothing: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
        let body = (self.name.as_str(), "replace", properties, nothing);
        let start = || {
            let jobs = Jobs::new(self.user)?;
            match jobs.run("StartTransientUnit", &body) {
                // What failed under that name is kept until somebody has taken note of it.
                Err(e) if exists(&e) => {
                    let _ = self.forget_failure(&jobs.bus);
                    jobs.run("StartTransientUnit", &body)
                }
                other => other,
            }
        };
        start().map_err(|e| self.failed(e))
    }

    /// Tells it changed limits, until it is stopped.
    pub(super) fn update(&self, limits: &[Limit]) -> Result<()> {
        let properties: Vec<(&str, Value<'_>)> = self.properties(limits)?.into_iter().collect();
        if properties.is_empty() {
            return Ok(());
        }
        let arguments = (self.name.as_str(), true, properties);
        let update = || Bus::new(self.user)?.call("SetUnitProperties", &arguments).map(drop);
        update().map_err(|e| self.failed(e))
    }

    fn properties(&self, limits: &[Limit]) -> Result<HashMap<&'static str, Value<'static>>> {
        let mut list = properties(limits);
        let idle = limits.iter().rfind(|limit| limit.file == "cpu.idle");
        if idle.is_some_and(|limit| limit.value == "1") {
            let knows = || Ok(Bus::new(self.user)?.version()? >= KNOWS_IDLE);
            if knows().map_err(|e: zbus::Error| self.failed(e))? {
                list.insert("CPUWeight", Value::from(0u64));
            }
        }
        Ok(list)
    }

    /// Ends it. One that systemd has let go already is as good.
    pub fn stop(&self) {
        let Ok(jobs) = Jobs::new(self.user) else { return };
        let _ = jobs.run("StopUnit", &(self.name.as_str(), "replace"));
        // Its processes were killed, which is a failure.
        let _ = self.forget_failure(&jobs.bus);
    }

    fn forget_failure(&self, bus: &Bus) -> zbus::Result<()> {
        bus.call("ResetFailedUnit", &self.name.as_str()).map(drop)
    }

    fn failed(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("systemd: unit {}: {what}", self.name))
    }
}

/// Whether there is a unit of that name already.
fn exists(e: &zbus::Error) -> bool {
    matches!(e, zbus::Error::MethodError(name, ..) if name.as_str() == "org.freedesktop.systemd1.UnitExists")
}

/// What systemd calls the limits that it knows.
fn properties<'a>(limits: &[Limit]) -> HashMap<&'static str, Value<'a>> {
    // The last counts: `unified` comes after the fields.
    let value = |file: &str| {
        limits
            .iter()
            .rfind(|limit| limit.file == file)
            .map(|limit| limit.value.as_str())
    };
    // All of them are `t`, where the greatest number is "no limit".
    let number = |text: &str| match text {
        "max" | "-1" => Some(u64::MAX),
        text => text.parse().ok(),
    };
    let mut list = HashMap::new();
    for (file, property) in [
        ("memory.limit_in_bytes", "MemoryLimit"),
        ("memory.max", "MemoryMax"),
        ("memory.high", "MemoryHigh"),
        ("memory.low", "MemoryLow"),
        ("memory.min", "MemoryMin"),
        ("memory.swap.max", "MemorySwapMax"),
        ("cpu.shares", "CPUShares"),
        ("cpu.weight", "CPUWeight"),
        ("io.weight", "IOWeight"),
        ("blkio.weight", "BlockIOWeight"),
        ("pids.max", "TasksMax"),
    ] {
        if let Some(number) = value(file).and_then(number) {
            list.insert(property, Value::from(number));
        }
    }
    for (file, property) in [("cpuset.cpus", "AllowedCPUs"), ("cpuset.mems", "AllowedMemoryNodes")] {
        if let Some(bits) = value(file).and_then(bits) {
            list.insert(property, Value::from(bits));
        }
    }
    let mut both = value("cpu.max").unwrap_or_default().split_whitespace();
    let quota = both.next().or(value("cpu.cfs_quota_us")).and_then(number);
    let period = both.next().or(value("cpu.cfs_period_us")).and_then(number);
    if let Some(quota) = quota {
        let period = period.unwrap_or(100_000).max(1);
        // Microseconds a second, in steps of 10 ms, rounded up as runc does.
        let share = match quota {
            u64::MAX => u64::MAX,
            quota => quota
                .saturating_mul(1_000_000)
                .div_ceil(period)
                .div_ceil(10_000)
                .saturating_mul(10_000),
        };
        list.insert("CPUQuotaPerSecUSec", Value::from(share));
    }
    if let Some(period) = period {
        list.insert("CPUQuotaPeriodUSec", Value::from(period));
    }
    list
}

/// A list of numbers as systemd's set of bits, the least first.
fn bits(list: &str) -> Option<Vec<u8>> {
    // More processors than any kernel is built for.
    const MOST: usize = 1 << 16;
    let mut bits = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        for n in first..=last.min(MOST) {
            bits.resize(bits.len().max(n / 8 + 1), 0u8);
            *bits.get_mut(n / 8)? |= 1 << (n % 8);
        }
    }
    (!bits.is_empty()).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_as_properties() {
        let limit = |file: &'static str, value: &str| Limit::new("f", "c", file, value.to_owned(), false);
        let got = properties(&[
            limit("memory.max", "max"),
            limit("cpu.max", "33333 100000"),
            limit("pids.max", "7"),
            limit("cpuset.cpus", "0-1,9"),
            limit("pids.max", "8"),
            limit("memory.high", "5"),
        ]);
        let wanted = HashMap::from([
            ("MemoryMax", Value::from(u64::MAX)),
            ("CPUQuotaPerSecUSec", Value::from(340_000u64)),
            ("CPUQuotaPeriodUSec", Value::from(100_000u64)),
            ("TasksMax", Value::from(8u64)),
            ("MemoryHigh", Value::from(5u64)),
            ("AllowedCPUs", Value::from(vec![3u8, 2])),
        ]);
        assert_eq!(got, wanted);
        for wrong in ["", "x", "1-", "3-x"] {
            assert_eq!(bits(wrong), None, "{wrong}");
        }
    }
}
