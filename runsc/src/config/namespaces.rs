//! `linux.namespaces` and id mappings.
//!
//! The guest's namespaces are the Sentry's objects. On the host only the network namespace matters, for `--network=host`
//! and for engines that look into it; and the user namespace of an ordinary user, without which nothing works.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};

use sentry::boot::config::TimeOffsets;

use super::pod::Role;
use super::{Notes, bad, timens};
use crate::error::{Result, words};

/// (id in the container, id outside, how many).
pub type IdMap = Vec<(u32, u32, u32)>;

/// Network namespace of the Sentry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    New,
    Join(PathBuf),
    /// That of runsc.
    Inherit,
}

/// A namespace of the guest's, as config.json wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Not in the list.
    #[default]
    None,
    New,
    Join(PathBuf),
}

/// Namespaces that containers of a pod can share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub pid: Wish,
    pub ipc: Wish,
    pub uts: Wish,
    pub time: Wish,
}

/// What the list comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    pub network: Network,
    pub wishes: Wishes,
    /// A cgroup namespace: the container's groups are its roots.
    pub own_cgroup: bool,
    /// Of a new time namespace.
    pub time_offsets: Option<TimeOffsets>,
    pub uid_map: IdMap,
    pub gid_map: IdMap,
}

pub fn namespaces(linux: Option<&Linux>, role: &Role, notes: &mut Notes) -> Result<Namespaces> {
    let mut out = Namespaces {
        network: Network::Inherit,
        wishes: Wishes::default(),
        own_cgroup: false,
        time_offsets: None,
        uid_map: Vec::new(),
        gid_map: Vec::new(),
    };
    let Some(linux) = linux else { return Ok(out) };
    let mut seen = Vec::new();
    let mut user = false;
    for (i, ns) in linux.namespaces().iter().flatten().enumerate() {
        let (typ, path) = (ns.typ(), ns.path());
        if seen.contains(&typ) {
            return Err(bad(
                format_args!("linux.namespaces[{i}].type"),
                format_args!("{typ} is given twice"),
            ));
        }
        seen.push(typ);
        if let Some(path) = path
            && !path.is_absolute()
        {
            return Err(bad(
                format_args!("linux.namespaces[{i}].path"),
                format_args!("{path:?} is not absolute"),
            ));
        }
        if let Some(path) = path {
            check_kind(i, typ, path)?;
        }
        let wish = path.as_ref().map_or(Wish::New, |path| Wish::Join(path.clone()));
        match typ {
            LinuxNamespaceType::Pid => out.wishes.pid = wish,
            LinuxNamespaceType::Ipc => out.wishes.ipc = wish,
            LinuxNamespaceType::Uts => out.wishes.uts = wish,
            LinuxNamespaceType::Cgroup => out.own_cgroup = true,
            LinuxNamespaceType::Time => out.wishes.time = timens::wish(path.as_deref(), role),
            _ => {}
        }
        match (typ, path) {
            (LinuxNamespaceType::Network, None) => out.network = Network::New,
            (LinuxNamespaceType::Network, Some(path)) => out.network = Network::Join(path.clone()),
            (LinuxNamespaceType::User, None) => user = true,
            // Its names are taken over, or those of the container whose it is.
            (LinuxNamespaceType::Uts, Some(_)) => {}
            (LinuxNamespaceType::Time, Some(path)) => {
                timens::check(path, role).map_err(|what| {
                    bad(
                        format_args!("linux.namespaces[{i}].path"),
                        format_args!("{}: {what}", path.display()),
                    )
                })?;
            }
            // Those of a container are shared (`sandbox/shared.rs`).
            (LinuxNamespaceType::Pid | LinuxNamespaceType::Ipc, Some(_)) => {}
            (_, Some(path)) => notes.push(format!(
                "config.json: linux.namespaces[{i}].path: {}: the sandbox has its own {typ} namespace",
                path.display()
            )),
            (_, None) => {}
        }
    }
    out.time_offsets = timens::offsets(linux, &out.wishes.time)?;
    let maps = [("uid", linux.uid_mappings()), ("gid", linux.gid_mappings())];
    for (name, list) in maps {
        let map = id_map(name, list.as_deref().unwrap_or_default())?;
        if user && map.is_empty() {
            return Err(bad(
                format_args!("linux.{name}Mappings"),
                "missing for a new user namespace",
            ));
        }
        if !user {
            continue;
        }
        if name == "uid" {
            out.uid_map = map
        } else {
            out.gid_map = map
        }
    }
    Ok(out)
}

/// Refuses what is not there, and what says of itself that it is of another kind. A file at which a namespace is mounted says nothing.
fn check_kind(i: usize, typ: LinuxNamespaceType, path: &Path) -> Result<()> {
    let field = format!("linux.namespaces[{i}].path");
    std::fs::metadata(path).map_err(|e| bad(&field, format_args!("{}: {}", path.display(), words(&e))))?;
    let name = typ.to_string();
    let link = std::fs::read_link(path).unwrap_or_default();
    match link.to_str().and_then(|text| text.strip_suffix(']')?.split_once(":[")) {
        Some((kind, _)) if kind != name => Err(bad(
            field,
            format_args!("{} is of a {kind} namespace, not of {typ}", path.display()),
        )),
        _ => Ok(()),
    }
}

fn id_map(name: &str, list: &[LinuxIdMapping]) -> Result<IdMap> {
    // The kernel's own limit.
    if list.len() > 340 {
        return Err(bad(format_args!("linux.{name}Mappings"), "more than 340 entries"));
    }
    let mut out: IdMap = Vec::new();
    for (i, m) in list.iter().enumerate() {
        let field = format!("linux.{name}Mappings[{i}]");
        let end = |start: u32| start.checked_add(m.size());
        let (Some(inside_end), Some(outside_end)) = (end(m.container_id()), end(m.host_id())) else {
            return Err(bad(field, "goes beyond the largest id"));
        };
        if m.size() == 0 {
            return Err(bad(format_args!("{field}.size"), "0"));
        }
        let overlaps = |a: u32, a_end: u32, b: u32, size: u32| a < b.saturating_add(size) && b < a_end;
        if out.iter().any(|&(inside, outside, size)| {
            overlaps(m.container_id(), inside_end, inside, size) || overlaps(m.host_id(), outside_end, outside, size)
        }) {
            return Err(bad(field, "overlaps an earlier entry"));
        }
        out.push((m.container_id(), m.host_id(), m.size()));
    }
    Ok(out)
}
