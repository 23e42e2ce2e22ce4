//! Descriptors that the caller left open for the guest. They are looked up before this process opens any of its own, which
//! could get one of the numbers.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use crate::error::{Context, Error, Result};

static INHERITED: OnceLock<Vec<i32>> = OnceLock::new();

/// Notes which there are; the first thing that a command does.
pub fn note() {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let list: Vec<i32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // The one that reads the directory was the last to be opened, and is closed again.
    let open = |fd: &i32| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    let _ = INHERITED.set(list.into_iter().filter(open).collect());
}

/// Takes `count` of them, from 3 on, with their numbers.
pub fn take(count: u32) -> Result<Vec<(i32, OwnedFd)>> {
    let inherited = INHERITED.get().map(Vec::as_slice).unwrap_or_default();
    (3..3_i32.saturating_add(i32::try_from(count).unwrap_or(i32::MAX)))
        .map(|number| {
            let what = || format!("--preserve-fds {count}: descriptor {number}");
            if !inherited.contains(&number) {
                return Err(Error::new(format!("{}: not open", what())));
            }
            Ok((number, platform::host::inherited::take(number).context(what)?))
        })
        .collect()
}
