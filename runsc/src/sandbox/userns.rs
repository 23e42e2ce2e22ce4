//! Id maps of the sandbox's user namespaces, written while the new process is held.

use std::process::Command;

use crate::config::IdMap;
use crate::error::{Context, Error, Result};

/// Host id of a Sentry that root started: nobody.
pub const NOBODY: u32 = 65534;

/// Writes both maps. An ordinary user may map himself; everything else takes `newuidmap(1)` and its sub-ids.
pub fn write_maps(pid: i32, uid_map: &IdMap, gid_map: &IdMap) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    let own = |map: &IdMap, id: u32| matches!(map.as_slice(), [(_, outside, 1)] if *outside == id);
    if !root {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if !own(uid_map, uid) || !own(gid_map, gid) {
            helper("newuidmap", pid, uid_map)?;
            return helper("newgidmap", pid, gid_map);
        }
        // Linux wants it, so that nobody sheds a group that denies him something.
        write(pid, "setgroups", "deny")?;
    }
    write(pid, "uid_map", &text(uid_map))?;
    write(pid, "gid_map", &text(gid_map))
}

fn text(map: &IdMap) -> String {
    map.iter()
        .map(|(inside, outside, size)| format!("{inside} {outside} {size}\n"))
        .collect()
}

fn write(pid: i32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).context(|| format!("user namespace: {path}"))
}

fn helper(program: &str, pid: i32, map: &IdMap) -> Result<()> {
    let numbers = map
        .iter()
        .flat_map(|(inside, outside, size)| [inside, outside, size])
        .map(u32::to_string);
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(numbers)
        .output()
        .context(|| format!("user namespace: {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!(
        "user namespace: {program}: {}",
        said.lines().next().unwrap_or("failed")
    )))
}
