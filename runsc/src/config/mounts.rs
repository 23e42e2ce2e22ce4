//! `mounts`: which are the Sentry's own file systems, and which the Gofer serves.

use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use oci_spec::runtime::Mount;
use sentry::boot::config::{MountConfig, MountKind};
use serde::{Deserialize, Serialize};

use super::submounts::{NO_SYMFOLLOW, Table};
use super::{Notes, bad, check_string, container_path};
use crate::error::{Result, words};

/// A host tree or file for the Gofer. Its index is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoferMount {
    pub source: PathBuf,
    /// With the mounts beneath it.
    pub recursive: bool,
    pub readonly: bool,
    /// Device nodes may be made in it.
    pub devices: bool,
    /// `MOUNT_ATTR_*` on how reading changes times of access.
    pub atime: u64,
    /// What the host mounts beneath it later is served too.
    pub follow: bool,
}

impl GoferMount {
    /// Without the mounts beneath it; `MS_*` of `flags` are in force.
    pub fn alone(source: PathBuf, flags: u64) -> Self {
        Self {
            source,
            recursive: false,
            readonly: flags & MsFlags::MS_RDONLY.bits() != 0,
            devices: flags & MsFlags::MS_NODEV.bits() == 0,
            atime: atime(flags),
            follow: false,
        }
    }
}

/// Options in the form of a mount.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `MS_*` bits.
    pub flags: u64,
    /// Bits for the mounts beneath: set, cleared.
    pub beneath: (u64, u64),
    /// `MS_SHARED` and its like, with `MS_REC`; or 0.
    pub propagation: u64,
    pub bind: bool,
    pub recursive: bool,
    /// The last word on propagation was `slave` or `shared`.
    pub follow: bool,
    pub data: Vec<String>,
}

const FILE_SYSTEMS: [&str; 8] = [
    "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs",
];

/// Converts the list; sources of binds are added to `gofer`.
pub fn mounts(
    list: &[Mount],
    bundle: &Path,
    gofer: &mut Vec<GoferMount>,
    notes: &mut Notes,
) -> Result<Vec<MountConfig>> {
    let mut all = Vec::new();
    let host = Table::default();
    for (i, mount) in list.iter().enumerate() {
        all.extend(one(i, mount, bundle, &host, gofer, notes)?);
    }
    Ok(all)
}

fn one(
    i: usize,
    mount: &Mount,
    bundle: &Path,
    host: &Table,
    gofer: &mut Vec<GoferMount>,
    notes: &mut Notes,
) -> Result<Vec<MountConfig>> {
    let field = |name: &str| format!("mounts[{i}].{name}");
    let destination = mount
        .destination()
        .to_str()
        .ok_or_else(|| bad(field("destination"), "not UTF-8"))?;
    let destination = container_path(field("destination"), destination)?;
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let source_text = source.to_str().ok_or_else(|| bad(field("source"), "not UTF-8"))?;
    check_string(field("source"), source_text)?;
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(bad(field("uidMappings"), "id-mapped mounts are not supported"));
    }
    let options = options(&field("options"), mount.options().as_deref().unwrap_or_default())?;
    let typ = mount.typ().as_deref().unwrap_or(if options.bind { "bind" } else { "" });
    let bind = options.bind || typ == "bind";
    let kind = if let (true, Some(name)) = (bind, kernel_window(source_text)) {
        notes.remark(format!(
            "config.json: mounts[{i}]: {source_text} shows the host's kernel; the sandbox's own {name} is mounted instead"
        ));
        MountKind::Internal(name.to_owned())
    } else if bind {
        if source_text.is_empty() {
            return Err(bad(field("source"), "missing for a bind mount"));
        }
        let path = bundle.join(source);
        let meta = std::fs::metadata(&path)
            .map_err(|e| bad(field("source"), format_args!("{}: {}", path.display(), words(&e))))?;
        let gofer_mount = u32::try_from(gofer.len()).map_err(|_| bad("mounts", "too many"))?;
        gofer.push(GoferMount {
            source: path,
            recursive: options.recursive,
            readonly: options.flags & MsFlags::MS_RDONLY.bits() != 0,
            devices: options.flags & MsFlags::MS_NODEV.bits() == 0,
            atime: atime(options.flags),
            follow: options.follow,
        });
        if !options.data.is_empty() {
            notes.push(format!(
                "config.json: {}: {:?} ignored on a bind mount",
                field("options"),
                options.data
            ));
        }
        MountKind::Bind {
            gofer_mount,
            file: !meta.is_dir(),
        }
    } else if FILE_SYSTEMS.contains(&typ) {
        // Memory is memory.
        MountKind::Internal(match typ {
            "ramfs" => "tmpfs".to_owned(),
            other => other.to_owned(),
        })
    } else {
        return Err(bad(
            field("type"),
            format_args!("{typ:?} is no file system that can be mounted ({destination})"),
        ));
    };
    let data = if bind { Vec::new() } else { options.data.clone() };
    let top = MountConfig {
        destination,
        kind,
        source: source_text.to_owned(),
        data,
        flags: options.flags,
        propagation: options.propagation,
    };
    match &top.kind {
        // Where mounts come and go with the host's, they are parts of the mount that they are beneath.
        MountKind::Bind { .. } if options.recursive && !options.follow => {
            with_submounts(top, &bundle.join(source), host, &options, gofer)
        }
        _ => Ok(vec![top]),
    }
}

/// File systems of a kernel's own: configurations for ordinary users bind the host's, which cannot be mounted anew there. The
/// guest has another kernel.
fn kernel_window(source: &str) -> Option<&'static str> {
    match source.trim_end_matches('/') {
        "/proc" => Some("proc"),
        "/sys" => Some("sysfs"),
        "/sys/fs/cgroup" => Some("cgroup"),
        "/dev/mqueue" => Some("mqueue"),
        _ => None,
    }
}

/// Splits options into flags and data, as `mount(8)` and runc do.
fn options(field: &str, list: &[String]) -> Result<Options> {
    let mut out = Options::default();
    for option in list {
        check_string(field, option)?;
        match option.as_str() {
            "defaults" | "async" | "loud" => {}
            "remount" => out.flags |= MsFlags::MS_REMOUNT.bits(),
            "bind" => out.bind = true,
            "rbind" => (out.bind, out.recursive) = (true, true),
            "sync" => out.flags |= MsFlags::MS_SYNCHRONOUS.bits(),
            "dirsync" => out.flags |= MsFlags::MS_DIRSYNC.bits(),
            "idmap" | "ridmap" => return Err(bad(field, "id-mapped mounts are not supported")),
            word => {
                let beneath = word.strip_prefix('r').and_then(flag);
                if let Some(kind) = propagation(word) {
                    out.propagation = kind;
                    out.follow = kind & (MsFlags::MS_SHARED | MsFlags::MS_SLAVE).bits() != 0;
                } else if let Some((set, clear)) = flag(word).or(beneath) {
                    out.flags = (out.flags & !clear) | set;
                    if beneath.is_some() {
                        out.beneath = ((out.beneath.0 & !clear) | set, (out.beneath.1 & !set) | clear);
                    }
                } else {
                    out.data.push(option.clone());
                }
            }
        }
    }
    Ok(out)
}

/// A word for flags of a mount: those it sets and those it clears. With an `r` before it the mounts beneath are meant too.
fn flag(word: &str) -> Option<(u64, u64)> {
    let (relatime, strictatime) = (MsFlags::MS_RELATIME, MsFlags::MS_STRICTATIME);
    let none = MsFlags::empty();
    let (set, clear) = match word {
        "ro" => (MsFlags::MS_RDONLY, none),
        "rw" => (none, MsFlags::MS_RDONLY),
        "nosuid" => (MsFlags::MS_NOSUID, none),
        "suid" => (none, MsFlags::MS_NOSUID),
        "nodev" => (MsFlags::MS_NODEV, none),
        "dev" => (none, MsFlags::MS_NODEV),
        "noexec" => (MsFlags::MS_NOEXEC, none),
        "exec" => (none, MsFlags::MS_NOEXEC),
        "noatime" => (MsFlags::MS_NOATIME, relatime | strictatime),
        "atime" => (none, MsFlags::MS_NOATIME),
        "nodiratime" => (MsFlags::MS_NODIRATIME, none),
        "diratime" => (none, MsFlags::MS_NODIRATIME),
        "relatime" => (relatime, MsFlags::MS_NOATIME | strictatime),
        "norelatime" => (none, relatime),
        "strictatime" => (strictatime, MsFlags::MS_NOATIME | relatime),
        "nostrictatime" => (none, strictatime),
        "nosymfollow" => return Some((NO_SYMFOLLOW, 0)),
        "symfollow" => return Some((0, NO_SYMFOLLOW)),
        _ => return None,
    };
    Some((set.bits(), clear.bits()))
}

/// Flags as `mount_setattr(2)` names them: the host's kernel keeps the times of what the Gofer serves.
fn atime(flags: u64) -> u64 {
    let has = |flag: MsFlags| flags & flag.bits() != 0;
    let files = match (has(MsFlags::MS_NOATIME), has(MsFlags::MS_STRICTATIME)) {
        (true, _) => 0x10,
        (false, true) => 0x20,
        (false, false) => 0,
    };
    files | if has(MsFlags::MS_NODIRATIME) { 0x80 } else { 0 }
}

/// A word for how a mount takes part in propagation. A mount made inside never reaches the host, whatever is asked.
pub fn propagation(word: &str) -> Option<u64> {
    let kind = |word: &str| match word {
        "private" => Some(MsFlags::MS_PRIVATE),
        "slave" => Some(MsFlags::MS_SLAVE),
        "shared" => Some(MsFlags::MS_SHARED),
        "unbindable" => Some(MsFlags::MS_UNBINDABLE),
        _ => None,
    };
    let recursive = || word.strip_prefix('r').and_then(kind).map(|kind| kind | MsFlags::MS_REC);
    kind(word).or_else(recursive).map(|flags| flags.bits())
}

/// The mounts beneath the source of an `rbind`, after it.
fn with_submounts(
    top: MountConfig,
    source: &Path,
    host: &Table,
    options: &Options,
    gofer: &mut Vec<GoferMount>,
) -> Result<Vec<MountConfig>> {
    let mut all = vec![top];
    let (set, clear) = options.beneath;
    for submount in host.beneath(source) {
        let flags = (submount.flags & !clear) | set;
        let (source, destination) = (
            submount.path.to_string_lossy().into_owned(),
            all.first().map(|top| &top.destination),
        );
        let destination = format!(
            "{}/{}",
            destination.map_or("", |d| d.trim_end_matches('/')),
            submount.relative
        );
        let index = u32::try_from(gofer.len()).map_err(|_| bad("mounts", "too many"))?;
        gofer.push(GoferMount::alone(submount.path, flags));
        all.push(MountConfig {
            destination,
            kind: MountKind::Bind {
                gofer_mount: index,
                file: submount.file,
            },
            source,
            data: Vec::new(),
            flags,
            propagation: options.propagation,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        let list = ["rbind", "ro", "nosuid", "mode=755", "suid", "rprivate"].map(str::to_owned);
        let got = options("f", &list).unwrap();
        assert!(got.bind && got.recursive);
        assert_eq!(got.flags, MsFlags::MS_RDONLY.bits());
        assert_eq!(got.data, ["mode=755"]);
        assert_eq!(got.beneath, (0, 0));
        assert_eq!(got.propagation, (MsFlags::MS_PRIVATE | MsFlags::MS_REC).bits());
        let list = ["rw", "rnoatime", "rro", "rrelatime", "shared"].map(str::to_owned);
        let got = options("f", &list).unwrap();
        let atime = MsFlags::MS_NOATIME | MsFlags::MS_STRICTATIME;
        let set = MsFlags::MS_RDONLY | MsFlags::MS_RELATIME;
        assert_eq!(got.beneath, (set.bits(), atime.bits()));
        assert_eq!((got.flags, got.propagation), (set.bits(), MsFlags::MS_SHARED.bits()));
    }
}
