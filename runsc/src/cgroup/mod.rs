//! The control group of a container: Sentry, Gofer and guest processes are in it together.
//!
//! v1 hierarchies and v2 are served by the same steps: find the directories, make them, write limits, move processes in.
//! A controller that the host does not have is noted, not fatal, as long as nothing was to be limited by it.

mod bus;
mod combined;
pub mod devices;
pub mod guest;
mod hierarchy;
mod limits;
mod oom;
mod rare;
mod stats;
mod systemd;
mod threads;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use crate::cli::{CgroupManager, Globals};
use crate::config::Plan;
use crate::error::{Context, Error, Result};
use hierarchy::Hierarchy;
#[cfg(test)]
pub use limits::limits_something;
pub use limits::pids_limit;
pub use oom::{Oom, killed};
pub use stats::stats;

/// What a container has of the host's control groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    /// One directory for v2, one per hierarchy for v1: where processes are moved.
    pub dirs: Vec<PathBuf>,
    /// Those that did not exist before, parents first.
    pub made: Vec<PathBuf>,
    /// Where systemd manages the groups.
    #[serde(default)]
    pub unit: Option<systemd::Unit>,
}

/// Puts on record what is about to be made, so that it is removed whenever this process dies.
type Intent<'a> = &'a mut dyn FnMut(&CgroupRecord) -> Result<()>;

/// Whether the host has cgroup v2 alone.
pub fn is_unified() -> bool {
    const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.f_type == CGROUP2_SUPER_MAGIC)
}

/// Makes the container's group and sets its limits. None where the configuration asks for nothing.
pub fn create(
    plan: &Plan,
    globals: &Globals,
    intent: Intent<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<CgroupRecord>> {
    let limited = plan.resources.as_ref().is_some_and(limits::limits_something);
    let disabled = globals.cgroup_manager == Some(CgroupManager::Disabled);
    if disabled || plan.cgroups_path.is_none() && !limited {
        return Ok(None);
    }
    let mut wanted = path(plan.cgroups_path.as_deref(), &plan.container.id, globals.systemd())?;
    let hierarchies = hierarchy::find()?;
    let by_systemd = globals.systemd() && systemd::runs();
    let of_user = if by_systemd { systemd::group_of_user()? } else { None };
    if let Some(group) = &of_user {
        wanted = group.join(wanted.strip_prefix("/").unwrap_or(&wanted));
    }
    let mut record = intended(&hierarchies, &wanted);
    if by_systemd {
        record.unit = unit(&wanted, of_user.is_some());
    } else if globals.systemd() {
        notes.push("--systemd-cgroup: systemd does not run here: groups are made as it names them".to_owned());
    }
    check_existing(&record, notes)?;
    intent(&record)?;
    if record.unit.is_some() {
        return Ok(Some(record));
    }
    match fill(&record, &hierarchies, plan.resources.as_ref(), notes) {
        Ok(()) => Ok(Some(record)),
        // An ordinary user rarely has a group of his own to divide.
        Err(e) if globals.is_rootless() => {
            remove(&record);
            notes.push(format!("no cgroup: {e}"));
            Ok(None)
        }
        Err(e) => {
            remove(&record);
            Err(e)
        }
    }
}

/// What there will be.
fn intended(hierarchies: &[Hierarchy], wanted: &Path) -> CgroupRecord {
    let dirs: Vec<PathBuf> = hierarchies.iter().map(|h| h.directory(wanted)).collect();
    let missing = |dir: &PathBuf| {
        let mut missing: Vec<PathBuf> = dir
            .ancestors()
            .take_while(|d| !d.exists())
            .map(Path::to_owned)
            .collect();
        missing.reverse();
        missing
    };
    let made = dirs.iter().flat_map(missing).collect();
    CgroupRecord { dirs, made, unit: None }
}

/// A group that somebody made before: a frozen one would never let the sandbox begin.
fn check_existing(record: &CgroupRecord, notes: &mut Vec<String>) -> Result<()> {
    let mut others = 0;
    for dir in record.dirs.iter().filter(|dir| !record.made.contains(dir)) {
        let says = |name: &str, word: &str| fs::read_to_string(dir.join(name)).is_ok_and(|text| text.trim() == word);
        if says("freezer.state", "FROZEN") || says("freezer.state", "FREEZING") || says("cgroup.freeze", "1") {
            return Err(Error::new(format!(
                "container's cgroup unexpectedly frozen: {}",
                dir.display()
            )));
        }
        let processes = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        others = processes.lines().count().max(others);
    }
    if others > 0 {
        notes.push(format!("container's cgroup is not empty: {others} process(es) found"));
    }
    Ok(())
}

fn fill(
    record: &CgroupRecord,
    hierarchies: &[Hierarchy],
    resources: Option<&LinuxResources>,
    notes: &mut Vec<String>,
) -> Result<()> {
    for (hierarchy, dir) in hierarchies.iter().zip(&record.dirs) {
        make(hierarchy, dir)?;
    }
    threads::allow(resources, hierarchies, &record.dirs)?;
    if let Some(resources) = resources {
        limits::apply(resources, hierarchies, &record.dirs, notes)?;
    }
    Ok(())
}

/// Has systemd make the group, around the container's first process, and makes the rest: systemd has no use for some
/// hierarchies, and would clear away what it finds there of a unit that it starts.
pub fn begin(
    record: &mut CgroupRecord,
    pid: i32,
    resources: Option<&LinuxResources>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let Some(unit) = &record.unit else { return Ok(()) };
    let (hierarchies, trackers): (Vec<_>, Vec<_>) = hierarchy::all()?.into_iter().partition(Hierarchy::limits);
    let limits = match resources {
        Some(resources) => told(resources, &hierarchies, &record.dirs)?,
        None => Vec::new(),
    };
    unit.start(pid, &limits)?;
    fill(record, &hierarchies, resources, notes)?;
    // A hierarchy by which it follows processes limits nothing; the others must be in there as well.
    for tracker in trackers {
        let dir = tracker.directory(&unit.path);
        if dir.is_dir() {
            record.dirs.push(dir);
        }
    }
    Ok(())
}

/// Makes a group, without limits, for a container that runs already.
pub fn adopt(id: &str, intent: Intent<'_>) -> Result<CgroupRecord> {
    let hierarchies = hierarchy::find()?;
    let record = intended(&hierarchies, Path::new(id));
    intent(&record)?;
    match fill(&record, &hierarchies, None, &mut Vec::new()) {
        Ok(()) => Ok(record),
        Err(e) => {
            remove(&record);
            Err(e)
        }
    }
}

/// Changes limits; those that are not given stay.
pub fn update(record: &CgroupRecord, resources: &LinuxResources, notes: &mut Vec<String>) -> Result<()> {
    let mut hierarchies = hierarchy::find()?;
    let dir = |h: &Hierarchy| record.dirs.iter().find(|dir| h.holds(dir)).cloned();
    hierarchies.retain(|h| dir(h).is_some());
    let dirs: Vec<PathBuf> = hierarchies.iter().filter_map(dir).collect();
    // A limit of memory and swap together takes both from what is in force now.
    let told = told(resources, &hierarchies, &dirs)?;
    limits::apply(resources, &hierarchies, &dirs, notes)?;
    let Some(unit) = &record.unit else { return Ok(()) };
    unit.update(&told)?;
    // systemd has its own idea of some files.
    limits::apply(resources, &hierarchies, &dirs, &mut Vec::new())
}

/// What systemd is told.
fn told(resources: &LinuxResources, hierarchies: &[Hierarchy], dirs: &[PathBuf]) -> Result<Vec<limits::Limit>> {
    let limits = limits::for_host(resources, hierarchies, dirs)?;
    Ok(limits::with_unified(limits, resources))
}

/// Moves a process in.
pub fn enter(cgroup: &CgroupRecord, pid: i32) -> Result<()> {
    for dir in &cgroup.dirs {
        let file = dir.join("cgroup.procs");
        fs::write(&file, pid.to_string()).context(|| format!("cgroup {}", file.display()))?;
    }
    Ok(())
}

/// Lets what is killed end: somebody may have frozen the group.
pub fn thaw(cgroup: &CgroupRecord) {
    for dir in &cgroup.made {
        for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            if dir.join(file).exists() {
                let _ = fs::write(dir.join(file), word);
            }
        }
    }
}

/// Removes what was made. A group in which something else runs stays.
pub fn remove(cgroup: &CgroupRecord) {
    if let Some(unit) = &cgroup.unit {
        unit.stop();
    }
    for dir in cgroup.made.iter().rev() {
        // A process that has just ended may be counted for a moment longer.
        for _ in 0..50 {
            match fs::remove_dir(dir) {
                Err(e) if e.kind() == ErrorKind::ResourceBusy && !has_groups(dir) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => break,
            }
        }
    }
}

/// Whether there are groups below it: other containers', which may live on for long.
fn has_groups(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// The group's path: absolute ones begin at a hierarchy's top, others near this process's own group.
fn path(wanted: Option<&str>, id: &str, systemd: bool) -> Result<PathBuf> {
    let text = match wanted {
        None if systemd => return path(Some(&format!(":runsc:{id}")), id, systemd),
        None => id.to_owned(),
        Some(text) if systemd || text.matches(':').count() == 2 => {
            let mut parts = text.split(':');
            let (slice, prefix, name) = (parts.next(), parts.next(), parts.next());
            let (Some(slice), Some(prefix), Some(name)) = (slice, prefix, name) else {
                return Err(Error::new(format!(
                    "config.json: linux.cgroupsPath: {text:?}: want slice:prefix:name"
                )));
            };
            let slice = match slice {
                "" if bus::user().is_some() => "user.slice",
                "" => "system.slice",
                slice => slice,
            };
            // A name that is a slice of its own has no scope, and lies where that name says.
            if name.ends_with(".slice") {
                return Ok(slice_path(name)?.into());
            }
            let last = if prefix.is_empty() {
                format!("{name}.scope")
            } else {
                format!("{prefix}-{name}.scope")
            };
            format!("{}/{last}", slice_path(slice)?)
        }
        Some(text) => text.to_owned(),
    };
    if text.split('/').any(|part| part == "..") {
        return Err(Error::new(format!(
            "config.json: linux.cgroupsPath: {text:?} contains '..'"
        )));
    }
    Ok(text.into())
}

/// The unit of a path that was made of a slice's and a unit's name.
fn unit(path: &Path, user: bool) -> Option<systemd::Unit> {
    let text = |part: &std::ffi::OsStr| part.to_str().map(str::to_owned);
    let name = path.file_name().and_then(text)?;
    let slice = path.parent().and_then(Path::file_name).and_then(text);
    Some(systemd::Unit {
        name,
        path: path.to_owned(),
        slice: slice.unwrap_or_else(|| "-.slice".to_owned()),
        user,
    })
}

/// `a-b.slice` is `/a.slice/a-b.slice`, as `systemd.slice(5)` has it.
fn slice_path(slice: &str) -> Result<String> {
    let wrong = || {
        Error::new(format!(
            "config.json: linux.cgroupsPath: {slice:?} is no name of a slice"
        ))
    };
    if slice == "-.slice" {
        return Ok(String::new());
    }
    let stem = slice.strip_suffix(".slice").ok_or_else(wrong)?;
    let parts: Vec<&str> = stem.split('-').collect();
    if stem.contains('/') || parts.iter().any(|part| part.is_empty()) {
        return Err(wrong());
    }
    let mut path = String::new();
    let mut name = String::new();
    for part in parts {
        name.push_str(if name.is_empty() { "" } else { "-" });
        name.push_str(part);
        path.push_str(&format!("/{name}.slice"));
    }
    Ok(path)
}

fn make(hierarchy: &Hierarchy, dir: &Path) -> Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|d| !d.exists()).collect();
    for dir in missing.into_iter().rev() {
        let what = || format!("cgroup {}", dir.display());
        match fs::create_dir(dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
            other => other.context(what)?,
        }
        hierarchy.inherit_cpuset(dir).context(what)?;
    }
    hierarchy.delegate(dir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn paths() {
        assert_eq!(path(Some("/docker/x"), "i", false).unwrap().to_str(), Some("/docker/x"));
        assert_eq!(
            path(None, "i", true).unwrap().to_str(),
            Some("/system.slice/runsc-i.scope")
        );
        assert_eq!(path(None, "i", false).unwrap().to_str(), Some("i"));
        assert_eq!(
            path(Some("a.slice:cri:x"), "i", true).unwrap().to_str(),
            Some("/a.slice/cri-x.scope")
        );
        assert_eq!(
            path(Some("user-7.slice:docker:x"), "i", true).unwrap().to_str(),
            Some("/user.slice/user-7.slice/docker-x.scope")
        );
        assert_eq!(
            path(Some("system.slice:cri:a-b.slice"), "i", true).unwrap().to_str(),
            Some("/a.slice/a-b.slice")
        );
        assert!(path(Some("a--b.slice:cri:x"), "i", true).is_err());
        assert!(path(Some("/a/../../b"), "i", false).is_err());
        assert!(path(Some("x"), "i", true).is_err());
    }
}
