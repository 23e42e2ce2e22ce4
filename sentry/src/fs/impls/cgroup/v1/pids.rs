//! The pids controller.

use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};

/// `PIDS_MAX`: more processes than a kernel can have.
const MOST: i64 = 4 << 20;

pub fn files() -> Vec<Def> {
    vec![
        def("pids.current", Kind::Read(current)),
        def("pids.events", Kind::Read(events)),
        def("pids.peak", Kind::Read(peak)),
        def("pids.max", Kind::Change(max, set_max)),
    ]
}

fn limit<'a>(at: &'a At<'_>) -> &'a AtomicU64 {
    match at.group.is_top() {
        true => at.container.own_limit(),
        false => &at.group.max_tasks,
    }
}

fn current(at: &At<'_>) -> Result<String> {
    let tasks = match at.group.is_top() {
        true => at.container.tasks(),
        false => at.group.tasks.load(Ordering::Relaxed),
    };
    Ok(format!("{tasks}\n"))
}

fn peak(at: &At<'_>) -> Result<String> {
    let most = match at.group.is_top() {
        true => at.container.most_tasks(),
        false => at.group.most_tasks.load(Ordering::Relaxed),
    };
    Ok(format!("{most}\n"))
}

fn events(at: &At<'_>) -> Result<String> {
    let refused = match at.group.is_top() {
        true => at.container.refused(),
        false => at.group.refused.load(Ordering::Relaxed),
    };
    Ok(format!("max {refused}\n"))
}

fn max(at: &At<'_>) -> Result<String> {
    Ok(match limit(at).load(Ordering::Relaxed) {
        u64::MAX => "max\n".to_owned(),
        limit => format!("{limit}\n"),
    })
}

fn set_max(at: &At<'_>, text: &str) -> Result<()> {
    let value = match text {
        "max" => u64::MAX,
        number => match number.parse::<i64>() {
            Ok(n @ 0..MOST) => n.unsigned_abs(),
            _ => return Err(Errno::EINVAL),
        },
    };
    limit(at).store(value, Ordering::Relaxed);
    Ok(())
}
