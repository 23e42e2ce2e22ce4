//! cgroup v2: files whose value is made of two fields of config.json. Where an update gives one of them, the group in force has the
//! other.

use std::fs;
use std::path::Path;

use oci_spec::runtime::{LinuxCpu, LinuxMemory};

use crate::error::{Error, Result};

/// `memory.swap.max`, which is of swap alone where config.json, as v1, counts it together with memory. None leaves it as it is.
pub(super) fn swap(memory: &LinuxMemory, dir: Option<&Path>) -> Result<Option<String>> {
    // None where there is no limit.
    let now = |file: &str| -> Option<i64> { fs::read_to_string(dir?.join(file)).ok()?.trim().parse().ok() };
    let wrong = |swap: i64, what: &str| {
        Err(Error::new(format!(
            "config.json: linux.resources.memory.swap: {swap}: {what}"
        )))
    };
    let given = |value: Option<i64>| value.filter(|v| *v != 0);
    match (given(memory.limit()), given(memory.swap())) {
        (_, Some(swap)) if swap < 0 => Ok(Some("max".to_owned())),
        (limit, Some(swap)) => match limit.or_else(|| now("memory.max")) {
            Some(limit) if limit > swap => wrong(swap, "less than the limit of memory, which is part of it"),
            Some(limit) if limit > 0 => Ok(Some(swap.saturating_sub(limit).to_string())),
            _ => wrong(swap, "memory itself has no limit"),
        },
        (Some(limit), None) if limit < 0 => Ok(Some("max".to_owned())),
        // A limit of both stays what it was.
        (Some(limit), None) => Ok(now("memory.max").zip(now("memory.swap.max")).map(|(memory, swap)| {
            let alone = memory.saturating_add(swap).saturating_sub(limit);
            alone.max(0).to_string()
        })),
        (None, None) => Ok(None),
    }
}

/// `cpu.max`. None leaves it as it is.
pub(super) fn cpu(cpu: &LinuxCpu, dir: Option<&Path>) -> Option<String> {
    let now = || dir.and_then(|dir| fs::read_to_string(dir.join("cpu.max")).ok());
    let (quota, period) = (cpu.quota().filter(|q| *q != 0), cpu.period().filter(|p| *p != 0));
    if quota.is_none() && period.is_none() {
        return None;
    }
    let now = now().unwrap_or_default();
    let mut now = now.split_whitespace();
    let (quota_now, period_now) = (now.next().unwrap_or("max"), now.next().unwrap_or("100000"));
    let quota = match quota {
        None => quota_now.to_owned(),
        Some(quota) if quota < 0 => "max".to_owned(),
        Some(quota) => quota.to_string(),
    };
    Some(format!(
        "{quota} {}",
        period.map_or(period_now.to_owned(), |p| p.to_string())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: i64, both: i64, dir: Option<&Path>) -> Result<Option<String>> {
        let mut memory = LinuxMemory::default();
        memory.set_limit(Some(limit)).set_swap(Some(both));
        swap(&memory, dir)
    }

    #[test]
    fn of_a_new_group() {
        for (limit, swap, wanted) in [
            (100, 150, Some("50")),
            (100, 100, Some("0")),
            (100, 0, None),
            (100, -1, Some("max")),
            (-1, 0, Some("max")),
            (0, -1, Some("max")),
            (0, 0, None),
        ] {
            assert_eq!(of(limit, swap, None).unwrap().as_deref(), wanted, "{limit} {swap}");
        }
        assert!(of(100, 50, None).is_err() && of(0, 50, None).is_err() && of(-1, 50, None).is_err());
    }

    #[test]
    fn quota_and_period() {
        let dir = std::env::temp_dir().join(format!("runsc-quota-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let of = |json, dir| cpu(&serde_json::from_value(json).unwrap(), dir);
        use serde_json::json;
        assert_eq!(of(json!({ "shares": 5 }), None), None);
        assert_eq!(of(json!({ "quota": 5000 }), None).as_deref(), Some("5000 100000"));
        assert_eq!(of(json!({ "period": 5000 }), None).as_deref(), Some("max 5000"));
        assert_eq!(
            of(json!({ "quota": -1, "period": 5000 }), None).as_deref(),
            Some("max 5000")
        );
        fs::write(dir.join("cpu.max"), "7000 50000\n").unwrap();
        assert_eq!(
            of(json!({ "quota": 5000 }), Some(dir.as_path())).as_deref(),
            Some("5000 50000")
        );
        assert_eq!(
            of(json!({ "period": 10000 }), Some(dir.as_path())).as_deref(),
            Some("7000 10000")
        );
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn of_a_group_in_force() {
        let dir = std::env::temp_dir().join(format!("runsc-swap-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let dir = dir.as_path();
        let write = |memory: &str, swap: &str| {
            fs::write(dir.join("memory.max"), memory).unwrap();
            fs::write(dir.join("memory.swap.max"), swap).unwrap();
        };
        write("100\n", "50\n");
        for (limit, swap, wanted) in [(120, 0, "30"), (200, 0, "0"), (0, 110, "10"), (10, 10, "0")] {
            assert_eq!(
                of(limit, swap, Some(dir)).unwrap().as_deref(),
                Some(wanted),
                "{limit} {swap}"
            );
        }
        assert!(of(0, 50, Some(dir)).is_err());
        write("100\n", "max\n");
        assert_eq!(of(120, 0, Some(dir)).unwrap(), None);
        write("max\n", "max\n");
        assert!(of(0, 50, Some(dir)).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
