//! The controllers cpu and cpuacct.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};

/// Shares of cpu time that Linux takes.
const SHARES: (i64, i64) = (2, 262_144);

/// A period, in microseconds.
const PERIOD: std::ops::RangeInclusive<i64> = 1000..=1_000_000;

/// A hundredth of a second, in nanoseconds.
const TICK: u64 = 10_000_000;

pub fn shares() -> Vec<Def> {
    vec![
        def("cpu.cfs_burst_us", Kind::Number(0, 0..=i64::MAX)),
        def("cpu.cfs_period_us", Kind::Number(100_000, PERIOD)),
        def("cpu.cfs_quota_us", Kind::Change(quota, set_quota)),
        def("cpu.idle", Kind::Number(0, 0..=1)),
        def("cpu.rt_period_us", Kind::Number(1_000_000, 1..=i64::MAX)),
        def("cpu.rt_runtime_us", Kind::Number(0, -1..=i64::MAX)),
        def("cpu.shares", Kind::Change(weight, set_weight)),
        def(
            "cpu.stat",
            Kind::Fixed("nr_periods 0\nnr_throttled 0\nthrottled_time 0\nnr_bursts 0\nburst_time 0\n"),
        ),
        def("cpu.stat.local", Kind::Fixed("throttled_time 0\n")),
    ]
}

fn quota(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", at.number(at.name).unwrap_or(-1)))
}

fn set_quota(at: &At<'_>, text: &str) -> Result<()> {
    let quota: i64 = text.parse().map_err(|_| Errno::EINVAL)?;
    let quota = match quota {
        ..0 => -1,
        0..1000 => return Err(Errno::EINVAL),
        _ => quota,
    };
    at.group.set_value(at.name, quota.to_string());
    Ok(())
}

fn weight(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", at.number(at.name).unwrap_or(1024)))
}

fn set_weight(at: &At<'_>, text: &str) -> Result<()> {
    let shares: u64 = text.parse().map_err(|_| Errno::EINVAL)?;
    let shares = i64::try_from(shares).unwrap_or(i64::MAX).clamp(SHARES.0, SHARES.1);
    at.group.set_value(at.name, shares.to_string());
    Ok(())
}

pub fn accounting() -> Vec<Def> {
    vec![
        def("cpuacct.stat", Kind::Read(stat)),
        def("cpuacct.usage", Kind::Change(|at| Ok(line(total(at))), reset)),
        def("cpuacct.usage_all", Kind::Read(all)),
        def("cpuacct.usage_percpu", Kind::Read(|at| Ok(each(at, total(at))))),
        def("cpuacct.usage_percpu_sys", Kind::Read(|at| Ok(each(at, now(at)[1])))),
        def("cpuacct.usage_percpu_user", Kind::Read(|at| Ok(each(at, now(at)[0])))),
        def("cpuacct.usage_sys", Kind::Read(|at| Ok(line(now(at)[1])))),
        def("cpuacct.usage_user", Kind::Read(|at| Ok(line(now(at)[0])))),
    ]
}

/// User and system time of a group and those beneath it, in nanoseconds.
pub fn times(at: &At<'_>) -> [u64; 2] {
    let threads = at.threads(true);
    let (mut sum, top) = match at.group.is_top() {
        true => (at.container.ended(), true),
        false => (at.group.used(), false),
    };
    for task in threads {
        let own = match top {
            true => [task.cpu_ns(), task.system_ns()],
            false => task.times_in_groups(),
        };
        for (sum, own) in sum.iter_mut().zip(own) {
            *sum = sum.saturating_add(own);
        }
    }
    sum
}

const RESET: [&str; 2] = ["user at reset", "system at reset"];

/// Since `cpuacct.usage` was set back.
fn now(at: &At<'_>) -> [u64; 2] {
    let mut times = times(at);
    for (time, name) in times.iter_mut().zip(RESET) {
        let before = at.number(name).unwrap_or(0).unsigned_abs();
        *time = time.saturating_sub(before);
    }
    times
}

fn reset(at: &At<'_>, text: &str) -> Result<()> {
    match text.parse::<u64>() {
        Ok(0) => {}
        _ => return Err(Errno::EINVAL),
    }
    for (time, name) in times(at).into_iter().zip(RESET) {
        at.group.set_value(name, time.to_string());
    }
    Ok(())
}

fn total(at: &At<'_>) -> u64 {
    let [user, system] = now(at);
    user.saturating_add(system)
}

fn line(number: u64) -> String {
    format!("{number}\n")
}

fn stat(at: &At<'_>) -> Result<String> {
    let [user, system] = now(at).map(|ns| ns / TICK);
    Ok(format!("user {user}\nsystem {system}\n"))
}

/// The guest's kernel does not know on which processor its tasks run: all was used on the first.
fn each(at: &At<'_>, number: u64) -> String {
    let cpus = at.kernel.config.cpus.max(1);
    let mut text = number.to_string();
    text.push(' ');
    text.extend((1..cpus).map(|_| "0 "));
    text.push('\n');
    text
}

fn all(at: &At<'_>) -> Result<String> {
    let [user, system] = now(at);
    let mut text = format!("cpu user system\n0 {user} {system}\n");
    for cpu in 1..at.kernel.config.cpus {
        text.push_str(&format!("{cpu} 0 0\n"));
    }
    Ok(text)
}
