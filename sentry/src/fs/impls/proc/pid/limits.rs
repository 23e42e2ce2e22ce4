//! `/proc/PID/limits`

use std::fmt::Write;
use std::sync::Arc;

use abi::errno::Result;

use super::Proc;
use crate::task::{INFINITY, Resource, Task};

const NAMES: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

pub(super) fn limits(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = format!(
        "{:<25} {:<20} {:<20} {:<10}\n",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    );
    let value = |v: u64| {
        if v == INFINITY {
            "unlimited".to_owned()
        } else {
            v.to_string()
        }
    };
    for (resource, (name, unit)) in Resource::ALL.into_iter().zip(NAMES) {
        let limit = task.rlimit(resource);
        let _ = write!(out, "{name:<25} {:<20} {:<20} ", value(limit.soft), value(limit.hard));
        let _ = if unit.is_empty() {
            writeln!(out)
        } else {
            writeln!(out, "{unit:<10}")
        };
    }
    Ok(out.into_bytes())
}
