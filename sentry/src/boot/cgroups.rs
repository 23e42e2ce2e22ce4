//! What a container sees of control groups: a mount of type `cgroup` is, as with runc, what the host has.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::config::MountConfig;
use super::tree::{Builder, propagate};
use crate::cgroup::Hierarchy;
use crate::fs::mount::{Mount, MountFlags};
use crate::fs::{NewNode, Path, impls};

/// One directory for each hierarchy of cgroup v1 and, beside them, one of v2; or cgroup v2 alone.
pub(super) fn mount(builder: &Builder<'_>, root: &Path, mount: &MountConfig, v2: bool) -> Result<()> {
    let all = builder.shown.cgroup.hierarchies.all();
    let flags = MountFlags::from_mount(mount.flags);
    if v2 || all.iter().all(|h| h.is_v2()) {
        let hierarchy = all.iter().find(|h| h.is_v2()).ok_or(Errno::ENODEV)?;
        let at = builder.make_place(root, &mount.destination, true)?;
        let made = attach(builder, hierarchy, &at, flags, &mount.source)?;
        return propagate(&made, mount.propagation);
    }
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    let flags = (flags & MountFlags::RDONLY) | plain;
    let at = builder.make_place(root, &mount.destination, true)?;
    let sb = builder.internal("tmpfs", b"tmpfs", b"mode=755")?;
    let outer = builder.attach(sb, &at, plain, b"tmpfs")?;
    for hierarchy in all.iter().filter(|h| !h.config.directory.is_empty()) {
        let directory = &hierarchy.config.directory;
        let place = format!("{}/{directory}", mount.destination.trim_end_matches('/'));
        let at = builder.make_place(root, &place, true)?;
        let source = if directory == "systemd" { "systemd" } else { "cgroup" };
        attach(builder, hierarchy, &at, flags, source)?;
        // Controllers that share a hierarchy have links by their own names.
        if hierarchy.config.controllers.len() > 1 {
            links(&outer, hierarchy)?;
        }
    }
    propagate(&outer, mount.propagation)
}

fn attach(
    builder: &Builder<'_>,
    hierarchy: &Arc<Hierarchy>,
    at: &Path,
    flags: MountFlags,
    source: &str,
) -> Result<Arc<Mount>> {
    let shown = builder.shown;
    let sb = impls::cgroup::new(builder.kernel, shown.cgroup, hierarchy, hierarchy.top.clone());
    sb.set_origin(&shown.cgroup_ns.path(hierarchy, &hierarchy.top));
    builder.attach(sb, at, flags, source.as_bytes())
}

fn links(outer: &Arc<Mount>, hierarchy: &Hierarchy) -> Result<()> {
    let dir = outer.root_path();
    let node = NewNode {
        mode: 0o777,
        uid: 0,
        gid: 0,
        rdev: 0,
    };
    for name in hierarchy
        .config
        .controllers
        .iter()
        .filter(|name| **name != hierarchy.config.directory)
    {
        let target = hierarchy.config.directory.as_bytes();
        match dir.inode().ops.symlink(dir.inode(), name.as_bytes(), target, &node) {
            Ok(inode) => {
                dir.dentry.insert(name.as_bytes(), inode);
            }
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
