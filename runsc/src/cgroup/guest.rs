//! What the guest's kernel is told of control groups: the hierarchies of the host, and what the container is given in them.
//!
//! The guest has groups of the version that the host has, with the same controllers and files. Paths are those of the container's
//! group on the host; a container without one sees the root. Controllers of cgroup v2 are shown where the host has that alone.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use sentry::boot::config::{CgroupConfig, HierarchyConfig, MountConfig, MountKind};
use sentry::cgroup::V2_CONTROLLERS;

use super::{CgroupRecord, limits};

/// Everything. `mounts` are the container's: without a mount of them nobody asks what files there are.
pub fn config(
    mounts: &[MountConfig],
    own_namespace: bool,
    resources: Option<&LinuxResources>,
    record: Option<&CgroupRecord>,
) -> CgroupConfig {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let shown = |mount: &MountConfig| matches!(&mount.kind, MountKind::Internal(name) if name.starts_with("cgroup"));
    let dirs = record.map_or(&[][..], |record| record.dirs.as_slice());
    let (own, mountinfo) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
    let mut hierarchies = parse(&own, &mountinfo, dirs);
    if let Some(hierarchy) = hierarchies.iter_mut().find(|h| h.id == 0 && super::is_unified()) {
        hierarchy.controllers = given(own_dir(dirs));
    }
    if mounts.iter().any(shown) {
        if let Some(hierarchy) = hierarchies.iter_mut().find(|h| h.id == 0) {
            hierarchy.files = own_dir(dirs).map_or_else(Vec::new, files_in);
        }
        for hierarchy in hierarchies.iter_mut().filter(|h| h.id != 0 && !h.directory.is_empty()) {
            hierarchy.files = files(&hierarchy.directory, dirs);
        }
    }
    CgroupConfig {
        hierarchies,
        controllers: controllers(&read("/proc/cgroups")),
        own_namespace,
        values: resources.map_or_else(Vec::new, |resources| values(resources, record)),
    }
}

/// Of a host with cgroup v2 alone.
fn own_dir(dirs: &[PathBuf]) -> Option<&Path> {
    dirs.first().map(PathBuf::as_path).filter(|_| super::is_unified())
}

/// Controllers that the container's group was given; without a group, those that the host has.
fn given(dir: Option<&Path>) -> Vec<String> {
    let of = dir.unwrap_or(Path::new("/sys/fs/cgroup"));
    let given = fs::read_to_string(of.join("cgroup.controllers")).unwrap_or_default();
    let given = given.split_whitespace().filter(|name| V2_CONTROLLERS.contains(name));
    given.map(str::to_owned).collect()
}

/// What the limits are called in files of the guest. The number of tasks goes another way: the guest keeps to it.
pub fn values(resources: &LinuxResources, record: Option<&CgroupRecord>) -> Vec<(String, String)> {
    let limits = match super::is_unified() {
        // Limits that the host did not take have stopped the container before.
        true => limits::in_v2(resources, record.and_then(|record| own_dir(&record.dirs))).unwrap_or_default(),
        false => limits::in_v1(resources),
    };
    values_of(limits)
}

fn values_of(limits: Vec<limits::Limit>) -> Vec<(String, String)> {
    limits
        .into_iter()
        .map(|limit| (limit.file.into_owned(), limit.value))
        .filter(|(file, _)| file != "pids.max")
        .collect()
}

/// Rows of `/proc/cgroups` that are enabled.
fn controllers(text: &str) -> Vec<String> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, _, _, "1"] => Some((*name).to_owned()),
            _ => None,
        }
    };
    text.lines().filter_map(row).collect()
}

/// The hierarchies of this process, where they are mounted, and the container's group in each.
fn parse(own: &str, mountinfo: &str, dirs: &[std::path::PathBuf]) -> Vec<HierarchyConfig> {
    let mut list = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(label), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let Ok(id) = id.parse::<u32>() else { continue };
        let mut config = HierarchyConfig {
            id,
            ..HierarchyConfig::default()
        };
        for word in label.split(',').filter(|word| !word.is_empty()) {
            match word.strip_prefix("name=") {
                Some(name) => config.name = Some(name.to_owned()),
                None => config.controllers.push(word.to_owned()),
            }
        }
        if let Some((root, place)) = mount_of(mountinfo, id == 0, label) {
            if place.parent() == Some(Path::new("/sys/fs/cgroup")) {
                config.directory = place
                    .file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            }
            if let Some(inside) = dirs.iter().find_map(|dir| dir.strip_prefix(place).ok()) {
                let whole = Path::new(root).join(inside);
                config.group = whole.to_string_lossy().trim_end_matches('/').to_owned();
            }
        }
        list.push(config);
    }
    list.reverse();
    list.sort_by_key(|config| config.id);
    list
}

/// Root and place of the first mount of a hierarchy.
fn mount_of<'a>(mountinfo: &'a str, v2: bool, label: &str) -> Option<(&'a str, &'a Path)> {
    let wanted: Vec<&str> = label.split(',').collect();
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let fits = match kind {
            "cgroup2" => v2,
            "cgroup" => !v2 && wanted.iter().all(|word| options.split(',').any(|o| o == *word)),
            _ => false,
        };
        let mut left = left.split(' ').skip(3);
        let (root, place) = (left.next()?, left.next()?);
        fits.then_some((root, Path::new(place)))
    })
}

/// Files of the container's group, or those of the top where it has none.
fn files(directory: &str, dirs: &[std::path::PathBuf]) -> Vec<String> {
    let mount = Path::new("/sys/fs/cgroup").join(directory);
    let dir = dirs.iter().find(|dir| dir.starts_with(&mount));
    let dir = dir.cloned().or_else(|| some_group(&mount)).unwrap_or(mount);
    files_in(&dir)
}

fn files_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Any group but the top, which lacks some files.
fn some_group(mount: &Path) -> Option<std::path::PathBuf> {
    let mut entries = fs::read_dir(mount).ok()?.flatten();
    let group = entries.find(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))?;
    Some(group.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid() {
        let own = "3:name=systemd:/\n2:cpu,cpuacct:/a\n1:memory:/\n0::/\n";
        let mounts = "\
            30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu\n\
            31 24 0:27 /docker/y /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            33 24 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let dirs = ["/sys/fs/cgroup/cpu,cpuacct/c/x", "/sys/fs/cgroup/memory/c/x"].map(Into::into);
        let got = parse(own, mounts, &dirs);
        let rows: Vec<(u32, &str, &str)> = got.iter().map(|h| (h.id, &*h.directory, &*h.group)).collect();
        assert_eq!(
            rows,
            [
                (0, "unified", ""),
                (1, "memory", "/docker/y/c/x"),
                (2, "cpu,cpuacct", "/c/x"),
                (3, "systemd", "")
            ]
        );
        assert_eq!(got[3].name.as_deref(), Some("systemd"));
    }

    #[test]
    fn v2_alone() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let got = parse("0::/x\n", mounts, &["/sys/fs/cgroup/c".into()]);
        assert_eq!((got.len(), &*got[0].group, &*got[0].directory), (1, "/c", ""));
    }

    #[test]
    fn values_in_v2() {
        let json = serde_json::json!({
            "memory": { "limit": 1000, "swap": 1500 }, "cpu": { "quota": 5000, "burst": 10 }, "pids": { "limit": 3 },
            "unified": { "memory.high": "900\n", "pids.max": "4" }
        });
        let got = values_of(limits::in_v2(&serde_json::from_value(json).unwrap(), None).unwrap());
        let rows: Vec<(&str, &str)> = got.iter().map(|(file, value)| (&**file, &**value)).collect();
        assert_eq!(
            rows,
            [
                ("memory.max", "1000"),
                ("memory.swap.max", "500"),
                ("cpu.max", "5000 100000"),
                ("cpu.max.burst", "10"),
                ("memory.high", "900")
            ]
        );
    }
}
