//! `/proc/PID/{mounts,mountinfo,mountstats}`

use std::sync::Arc;

use abi::errno::Result;

use super::Proc;
use crate::fs::impls::proc::escape;
use crate::fs::mount::Mount;
use crate::fs::namei::d_path_or_unreachable;
use crate::fs::stat::{major, minor};
use crate::task::Task;

const SPECIAL: &[u8] = b" \t\n\\#";

/// Mounts that the process can reach from its root, with their places.
fn reachable(task: &Arc<Task>) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let root = task.fs().root();
    let mounts = task.ns().mnt.list();
    let shown = mounts.into_iter().filter_map(|mount| {
        let place = d_path_or_unreachable(&mount.root_path(), &root)?;
        Some((mount, place))
    });
    shown.collect()
}

fn words(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = parts.join(&b' ');
    out.push(b'\n');
    out
}

fn options(mount: &Mount) -> String {
    let rw = if mount.is_readonly() { "ro" } else { "rw" };
    format!("{rw}{}{}", mount.flags().show(), mount.sb.ops.show_options())
}

fn source(mount: &Mount) -> Vec<u8> {
    if mount.source.is_empty() {
        b"none".to_vec()
    } else {
        escape(&mount.source, SPECIAL)
    }
}

pub(in crate::fs::impls::proc) fn mounts(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (mount, place) in reachable(task) {
        let opts = options(&mount);
        out.extend(words(&[
            &source(&mount),
            &escape(&place, SPECIAL),
            mount.sb.fstype.as_bytes(),
            opts.as_bytes(),
            b"0 0",
        ]));
    }
    Ok(out)
}

pub(super) fn mountinfo(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (mount, place) in reachable(task) {
        let parent = mount.mounted_on().map_or(mount.id, |p| p.mnt.id);
        let root = d_path_or_unreachable(
            &mount.root_path(),
            &crate::fs::Path {
                mnt: mount.clone(),
                dentry: mount.root.topmost(),
            },
        );
        let (shared, master, unbindable) = mount.propagation();
        let mut optional = String::new();
        if let Some(group) = shared {
            optional.push_str(&format!("shared:{group} "));
        }
        if let Some(group) = master {
            optional.push_str(&format!("master:{group} "));
        }
        if unbindable {
            optional.push_str("unbindable ");
        }
        let rw = |ro: bool| if ro { "ro" } else { "rw" };
        let flags = mount.flags();
        let own_ro = flags.contains(crate::fs::mount::MountFlags::RDONLY);
        let sb_ro = mount.sb.readonly.load(std::sync::atomic::Ordering::Relaxed);
        let head = format!("{} {parent} {}:{}", mount.id, major(mount.sb.dev), minor(mount.sb.dev));
        let opts = format!("{}{}", rw(own_ro), flags.show());
        let super_opts = format!("{}{}", rw(sb_ro), mount.sb.ops.show_options());
        let tail = format!("{optional}- {}", mount.sb.fstype);
        out.extend(words(&[
            head.as_bytes(),
            &escape(&mount.sb.path_of_root(root.unwrap_or_else(|| b"/".to_vec())), SPECIAL),
            &escape(&place, SPECIAL),
            opts.as_bytes(),
            tail.as_bytes(),
            &source(&mount),
            super_opts.as_bytes(),
        ]));
    }
    Ok(out)
}

pub(super) fn mountstats(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (mount, place) in reachable(task) {
        out.extend(words(&[
            b"device",
            &source(&mount),
            b"mounted on",
            &escape(&place, SPECIAL),
            b"with fstype",
            mount.sb.fstype.as_bytes(),
        ]));
    }
    Ok(out)
}
