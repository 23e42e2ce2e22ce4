//! The whole configuration as the sandbox is started from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxResources, Spec};
use sentry::boot::config::{CgroupConfig, ContainerConfig, Overlay as SentryOverlay};

use super::{
    Bundle, GoferMount, Hooks, IdMap, Network, bad, check_string, container_path, devices, hooks, mempolicy, mounts,
    namespaces, pod, process, scheduling, seccomp,
};
use super::{First, Notes, Role, Wish, Wishes, uts};
use crate::cli::{Globals, Overlay};
use crate::error::{Context, Result};

/// What to start.
pub struct Plan {
    pub container: ContainerConfig,
    pub gofer: Vec<GoferMount>,
    pub rootfs: PathBuf,
    pub network: Network,
    pub wishes: Wishes,
    pub role: Role,
    /// Of the Gofer's own user namespace, for ordinary users; empty: it has none.
    pub gofer_uid_map: IdMap,
    pub gofer_gid_map: IdMap,
    pub cgroups_path: Option<String>,
    pub resources: Option<LinuxResources>,
    /// Directories to make, and to remove with the container.
    pub scratch: Vec<PathBuf>,
    /// Directories of the host that are beneath a mount but not served.
    pub hide: Vec<PathBuf>,
    pub annotations: BTreeMap<String, String>,
    pub hooks: Hooks,
    pub notes: Notes,
}

impl Plan {
    /// Most tasks of the guest.
    pub fn pids_limit(&self) -> Option<u64> {
        let limit = self.resources.as_ref().and_then(crate::cgroup::pids_limit)?;
        u64::try_from(limit).ok()
    }
}

/// Judges a bundle's configuration.
pub fn plan(id: &str, bundle: Bundle, globals: &Globals) -> Result<Plan> {
    let Bundle { dir, spec, mut notes } = bundle;
    let process = spec.process().as_ref().ok_or_else(|| bad("process", "missing"))?;
    let process = process::process_config(process)?;
    let root = spec.root().as_ref().ok_or_else(|| bad("root", "missing"))?;
    let root_text = root.path().to_str().ok_or_else(|| bad("root.path", "not UTF-8"))?;
    check_string("root.path", root_text)?;
    if root_text.is_empty() {
        return Err(bad("root.path", "empty"));
    }
    let rootfs = dir.join(root.path());
    let rootfs = rootfs
        .canonicalize()
        .context(|| format!("config.json: root.path: {}", rootfs.display()))?;
    if !rootfs.is_dir() {
        return Err(bad(
            "root.path",
            format_args!("{} is not a directory", rootfs.display()),
        ));
    }
    let root_readonly = root.readonly().unwrap_or(false);
    let mut gofer = vec![GoferMount {
        source: rootfs.clone(),
        recursive: true,
        readonly: root_readonly || globals.overlay2 != Overlay::None,
        devices: true,
        atime: 0,
        follow: false,
    }];
    let mount_list = mounts::mounts(
        spec.mounts().as_deref().unwrap_or_default(),
        &dir,
        &mut gofer,
        &mut notes,
    )?;
    let mut scratch = Vec::new();
    let root_overlay = overlay(id, &globals.overlay2, &mut gofer, &mut scratch)?;

    let linux = spec.linux().as_ref();
    let annotations: BTreeMap<String, String> = spec.annotations().clone().into_iter().flatten().collect();
    let role = pod::role(&annotations)?;
    let ns = namespaces::namespaces(linux, &role, &mut notes)?;
    // With a user namespace the Gofer lives in it: the host itself checks and translates the ids of files.
    let gofer_maps = if globals.is_rootless() {
        rootless_maps(&ns)
    } else {
        (ns.uid_map.clone(), ns.gid_map.clone())
    };
    unheeded(&spec).into_iter().for_each(|note| notes.push(note));
    let root_propagation = match linux.and_then(|l| l.rootfs_propagation().as_deref()) {
        Some(word) => root_propagation(word)?,
        None => 0,
    };
    let mut process = process;
    process.personality = scheduling::personality(linux, &mut notes);
    process.memory_policy = mempolicy::memory_policy(linux)?;
    if let Some(profile) = linux.and_then(|l| l.seccomp().as_ref()) {
        // Nonsense is refused even where it would not be used.
        let program = seccomp::program(profile)?;
        if globals.oci_seccomp {
            process.seccomp = Some(program);
        }
    }
    let hostname = match spec.hostname() {
        Some(name) => name.clone(),
        // A name that is not given is the one that a new namespace begins with.
        None => {
            let given = matches!(&role, Role::Member(membership) if membership.first == First::Given);
            let names = match &ns.wishes.uts {
                Wish::Join(path) if !given => uts::names(path)?,
                _ => rustix::system::uname(),
            };
            names.nodename().to_str().unwrap_or_default().to_owned()
        }
    };
    let container = ContainerConfig {
        id: id.to_owned(),
        bare: false,
        root_gofer_mount: 0,
        root_readonly,
        root_propagation,
        root_overlay,
        hostname: host_name("hostname", Some(&hostname))?,
        domainname: host_name("domainname", spec.domainname().as_deref())?,
        mounts: mount_list,
        masked_paths: paths("maskedPaths", linux.and_then(|l| l.masked_paths().as_deref()))?,
        readonly_paths: paths("readonlyPaths", linux.and_then(|l| l.readonly_paths().as_deref()))?,
        cgroups: CgroupConfig {
            own_namespace: ns.own_cgroup,
            ..CgroupConfig::default()
        },
        device_rules: device_rules(linux.and_then(|l| l.resources().as_ref()))?,
        devices: devices::devices(linux.and_then(|l| l.devices().as_deref()).unwrap_or_default())?,
        sysctl: sysctl(linux.and_then(|l| l.sysctl().as_ref()))?,
        process,
        mortal_init: false,
        uid_map: ns.uid_map,
        gid_map: ns.gid_map,
        time: ns.time_offsets,
    };
    let resources = linux.and_then(|l| l.resources().clone());
    if let Some(resources) = &resources {
        check_resources(resources)?;
    }
    let cgroups_path = match linux.and_then(|l| l.cgroups_path().as_ref()) {
        Some(path) => {
            let text = path.to_str().ok_or_else(|| bad("linux.cgroupsPath", "not UTF-8"))?;
            check_string("linux.cgroupsPath", text)?;
            Some(text.to_owned()).filter(|t| !t.is_empty())
        }
        None => None,
    };
    Ok(Plan {
        container,
        gofer,
        rootfs,
        network: ns.network,
        wishes: ns.wishes,
        role,
        gofer_uid_map: gofer_maps.0,
        gofer_gid_map: gofer_maps.1,
        cgroups_path,
        resources,
        scratch,
        hide: Vec::new(),
        annotations,
        hooks: hooks::hooks(spec.hooks().as_ref())?,
        notes,
    })
}

/// Where writes to the root go; a directory on the host becomes one more Gofer mount.
pub fn overlay(
    id: &str,
    overlay: &Overlay,
    gofer: &mut Vec<GoferMount>,
    scratch: &mut Vec<PathBuf>,
) -> Result<SentryOverlay> {
    Ok(match overlay {
        Overlay::None => SentryOverlay::None,
        Overlay::Memory => SentryOverlay::Memory,
        Overlay::Dir(dir) => {
            let upper = dir.join(format!("runsc-{id}"));
            let index = u32::try_from(gofer.len()).map_err(|_| bad("mounts", "too many"))?;
            gofer.push(GoferMount {
                source: upper.clone(),
                recursive: false,
                readonly: false,
                devices: true,
                atime: 0,
                follow: false,
            });
            scratch.push(upper);
            SentryOverlay::Gofer(index)
        }
    })
}

/// An ordinary user's Gofer maps what config.json says, or root to the user alone.
fn rootless_maps(ns: &namespaces::Namespaces) -> (IdMap, IdMap) {
    let single = |id: u32| vec![(0, id, 1)];
    let or = |map: &IdMap, id: u32| if map.is_empty() { single(id) } else { map.clone() };
    (
        or(&ns.uid_map, rustix::process::geteuid().as_raw()),
        or(&ns.gid_map, rustix::process::getegid().as_raw()),
    )
}

/// Fields that are known and change nothing here, because what they steer is the host's kernel.
fn unheeded(spec: &Spec) -> Vec<String> {
    let process = spec.process().as_ref();
    let linux = spec.linux().as_ref();
    let given = |text: Option<&String>| text.is_some_and(|t| !t.is_empty());
    let fields = [
        (
            "process.apparmorProfile",
            given(process.and_then(|p| p.apparmor_profile().as_ref())),
            "the guest's calls do not reach the host's security modules",
        ),
        (
            "process.selinuxLabel",
            given(process.and_then(|p| p.selinux_label().as_ref())),
            "the guest's calls do not reach the host's security modules",
        ),
        (
            "linux.mountLabel",
            given(linux.and_then(|l| l.mount_label().as_ref())),
            "the guest's calls do not reach the host's security modules",
        ),
        (
            "linux.intelRdt",
            linux.is_some_and(|l| l.intel_rdt().is_some()),
            "not supported",
        ),
    ];
    let fields = fields.into_iter().filter(|(_, given, _)| *given);
    fields
        .map(|(field, _, why)| format!("config.json: {field}: ignored: {why}"))
        .collect()
}

fn device_rules(resources: Option<&LinuxResources>) -> Result<Vec<sentry::task::DeviceRule>> {
    let rules = resources.map(crate::cgroup::devices::for_guest);
    rules
        .transpose()
        .map(Option::unwrap_or_default)
        .map_err(|(i, e)| bad(format_args!("linux.resources.devices[{i}]"), e))
}

/// What no kernel can be asked for; the rest is for the host's to judge when it is written.
fn check_resources(resources: &LinuxResources) -> Result<()> {
    for (i, huge) in resources.hugepage_limits().iter().flatten().enumerate() {
        let size = huge.page_size();
        let number = size
            .strip_suffix("KB")
            .or(size.strip_suffix("MB"))
            .or(size.strip_suffix("GB"));
        if !number.is_some_and(|n| !n.is_empty() && n.len() < 8 && n.chars().all(|c| c.is_ascii_digit())) {
            return Err(bad(
                format_args!("linux.resources.hugepageLimits[{i}].pageSize"),
                format_args!("{size:?} is no size like 2MB"),
            ));
        }
    }
    Ok(())
}

/// Propagation ends at the sandbox's border.
fn root_propagation(word: &str) -> Result<u64> {
    match (word, mounts::propagation(word)) {
        ("", _) => Ok(0),
        (_, Some(kind)) => Ok(kind),
        (_, None) => Err(bad(
            "linux.rootfsPropagation",
            format_args!("{word:?} is not shared, slave, private or unbindable"),
        )),
    }
}

fn host_name(field: &str, name: Option<&str>) -> Result<String> {
    let name = name.unwrap_or_default();
    check_string(field, name)?;
    if name.len() > 64 {
        return Err(bad(field, format_args!("{name:?} is longer than 64 bytes")));
    }
    Ok(name.to_owned())
}

fn paths(field: &str, list: Option<&[String]>) -> Result<Vec<String>> {
    let list = list.unwrap_or_default();
    // Relative ones are none to the specification; runc takes them from the root.
    let absolute = |path: &str| match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    list.iter()
        .enumerate()
        .map(|(i, path)| container_path(format_args!("linux.{field}[{i}]"), &absolute(path)))
        .collect()
}

fn sysctl(map: Option<&std::collections::HashMap<String, String>>) -> Result<Vec<(String, String)>> {
    let mut list: Vec<(String, String)> = Vec::new();
    for (key, value) in map.into_iter().flatten() {
        check_string("linux.sysctl", key)?;
        check_string(format_args!("linux.sysctl.{key}"), value)?;
        if matches!(key.as_str(), "kernel.hostname" | "kernel/hostname") {
            return Err(bad(
                "linux.sysctl",
                format_args!("{key}: it is the field hostname that sets it"),
            ));
        }
        if key.is_empty() || key.split(['.', '/']).any(|part| part.is_empty() || part == "..") {
            return Err(bad("linux.sysctl", format_args!("{key:?} is no sysctl")));
        }
        list.push((key.clone(), value.clone()));
    }
    list.sort();
    Ok(list)
}
