//! `mounts`: which are the Sentry's own file systems, and which the Gofer serves.

use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use oci_spec::runtime::Mount;
use sentry::boot::config::{MountConfig, MountKind};
use serde::{Deserialize, Serialize};

use super::{bad, check_string, container_path};
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
    /// What the host mounts beneath it later is served too.
    pub follow: bool,
}

/// Options in the form of a mount.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `MS_*` bits.
    pub flags: u64,
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
    notes: &mut Vec<String>,
) -> Result<Vec<MountConfig>> {
    list.iter()
        .enumerate()
        .map(|(i, mount)| one(i, mount, bundle, gofer, notes))
        .collect()
}

fn one(
    i: usize,
    mount: &Mount,
    bundle: &Path,
    gofer: &mut Vec<GoferMount>,
    notes: &mut Vec<String>,
) -> Result<MountConfig> {
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
        notes.push(format!(
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
        // One hierarchy is shown, whatever the host has; and memory is memory.
        MountKind::Internal(match typ {
            "cgroup2" => "cgroup".to_owned(),
            "ramfs" => "tmpfs".to_owned(),
            other => other.to_owned(),
        })
    } else {
        return Err(bad(
            field("type"),
            format_args!("{typ:?} is no file system that can be mounted ({destination})"),
        ));
    };
    let data = if bind { Vec::new() } else { options.data };
    Ok(MountConfig {
        destination,
        kind,
        source: source_text.to_owned(),
        data,
        flags: options.flags,
    })
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
    let set = |out: &mut Options, flag: MsFlags| out.flags |= flag.bits();
    let clear = |out: &mut Options, flag: MsFlags| out.flags &= !flag.bits();
    for option in list {
        check_string(field, option)?;
        match option.as_str() {
            "defaults" | "async" | "norelatime" | "nostrictatime" | "loud" => {}
            "remount" => set(&mut out, MsFlags::MS_REMOUNT),
            "bind" => out.bind = true,
            "rbind" => (out.bind, out.recursive) = (true, true),
            "ro" | "rro" => set(&mut out, MsFlags::MS_RDONLY),
            "rw" | "rrw" => clear(&mut out, MsFlags::MS_RDONLY),
            "nosuid" | "rnosuid" => set(&mut out, MsFlags::MS_NOSUID),
            "suid" | "rsuid" => clear(&mut out, MsFlags::MS_NOSUID),
            "nodev" | "rnodev" => set(&mut out, MsFlags::MS_NODEV),
            "dev" | "rdev" => clear(&mut out, MsFlags::MS_NODEV),
            "noexec" | "rnoexec" => set(&mut out, MsFlags::MS_NOEXEC),
            "exec" | "rexec" => clear(&mut out, MsFlags::MS_NOEXEC),
            "noatime" | "rnoatime" => set(&mut out, MsFlags::MS_NOATIME),
            "atime" | "ratime" => clear(&mut out, MsFlags::MS_NOATIME),
            "nodiratime" | "rnodiratime" => set(&mut out, MsFlags::MS_NODIRATIME),
            "diratime" | "rdiratime" => clear(&mut out, MsFlags::MS_NODIRATIME),
            "relatime" | "rrelatime" => set(&mut out, MsFlags::MS_RELATIME),
            "strictatime" | "rstrictatime" => set(&mut out, MsFlags::MS_STRICTATIME),
            "sync" => set(&mut out, MsFlags::MS_SYNCHRONOUS),
            "dirsync" => set(&mut out, MsFlags::MS_DIRSYNC),
            // A mount made inside never reaches the host, whatever is asked.
            "slave" | "rslave" | "shared" | "rshared" => out.follow = true,
            "private" | "rprivate" | "unbindable" | "runbindable" => out.follow = false,
            "idmap" | "ridmap" => return Err(bad(field, "id-mapped mounts are not supported")),
            _ => out.data.push(option.clone()),
        }
    }
    Ok(out)
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
    }
}
