//! The container's file system tree: root, mounts, devices, masked and read-only paths.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use gofer::client::Client;

use super::config::{ContainerConfig, MountConfig, MountKind, Overlay};
use super::{copy, devices};
use crate::cgroup::CgroupNamespace;
use crate::cred::Cred;
use crate::fs::impls::gofer::Sharing;
use crate::fs::impls::overlay::{self, Upper};
use crate::fs::mount::{Mount, MountFlags, MountNamespace, tree};
use crate::fs::namei::{Lookup, Walker};
use crate::fs::{MountArgs, NewNode, Path, SuperBlock, impls};
use crate::ipc::IpcNamespace;
use crate::kernel::Kernel;
use crate::task::{Cgroup, PidNamespace};

/// A step that failed, in words for the operator.
pub struct Failure {
    /// What was to be done, on what.
    pub what: String,
    /// How it failed.
    pub errno: Errno,
}

pub(super) trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> std::result::Result<T, Failure>;
}

impl<T> During<T> for Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> std::result::Result<T, Failure> {
        self.map_err(|errno| Failure { what: what(), errno })
    }
}

/// What of the container its file systems show.
pub struct Shown<'a> {
    pub pid_ns: &'a Arc<PidNamespace>,
    pub ipc: &'a Arc<IpcNamespace>,
    pub cgroup: &'a Arc<Cgroup>,
    pub cgroup_ns: &'a CgroupNamespace,
}

/// Builds the tree; gives its mount namespace.
pub fn build(
    kernel: &Arc<Kernel>,
    client: &Arc<Client>,
    config: &ContainerConfig,
    cred: &Arc<Cred>,
    shown: &Shown<'_>,
) -> std::result::Result<Arc<MountNamespace>, Failure> {
    let sharing = if kernel.config.exclusive_rootfs {
        Sharing::Exclusive
    } else {
        Sharing::Shared
    };
    impls::dev::register(kernel);
    let builder = Builder {
        kernel,
        client,
        cred,
        sharing,
        shown,
    };
    let root = builder.root(config).during(|| "root file system".to_owned())?;
    let flags = if config.root_readonly {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    } | MountFlags::RELATIME;
    // Mount points are made before the root becomes read-only.
    let ns = MountNamespace::new_root(kernel, root, MountFlags::empty(), b"none").during(|| "mount root".to_owned())?;
    let at = ns.root_path().during(|| "mount root".to_owned())?;
    builder.sysctl(&config.sysctl)?;
    for mount in &config.mounts {
        builder.ordinary(&at, mount)?;
        builder.mount(&at, mount).during(|| match mount.data.as_slice() {
            [] => format!("mount {:?}", mount.destination),
            options => format!("mount {:?} with {:?}", mount.destination, options.join(",")),
        })?;
    }
    devices::make(&builder, &at, config)?;
    for path in &config.masked_paths {
        builder.mask(&at, path).during(|| format!("mask {path:?}"))?;
    }
    for path in &config.readonly_paths {
        builder
            .make_readonly(&at, path)
            .during(|| format!("make {path:?} read-only"))?;
    }
    let root = ns.root().during(|| "root".to_owned())?;
    root.set_flags(flags);
    propagate(&root, config.root_propagation).during(|| "linux.rootfsPropagation".to_owned())?;
    Ok(ns)
}

pub(super) struct Builder<'a> {
    pub(super) kernel: &'a Arc<Kernel>,
    client: &'a Arc<Client>,
    cred: &'a Arc<Cred>,
    sharing: Sharing,
    pub(super) shown: &'a Shown<'a>,
}

/// `mount(2)`
const MS_REMOUNT: u64 = 32;

/// `MS_SHARED` and its like; 0: as it is.
pub(super) fn propagate(mount: &Arc<Mount>, kind: u64) -> Result<()> {
    const MS_REC: u64 = 0x4000;
    match kind & !MS_REC {
        0 => Ok(()),
        kind_only => tree::set_propagation(mount, kind_only, kind & MS_REC != 0),
    }
}

fn is_mount_root(at: &Path) -> bool {
    Arc::ptr_eq(&at.mnt.root, &at.dentry)
}

fn lookup(root: &Path, path: &[u8], cred: &Arc<Cred>) -> Result<Path> {
    Walker::with_root(root, cred.clone(), Lookup::FOLLOW)
        .start(-1, path)?
        .finish(path)
}

/// The place of that name; missing directories are made, and the last component as a directory or an empty file.
fn make_place(root: &Path, path: &str, directory: bool, cred: &Arc<Cred>) -> Result<Path> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    let mut at = lookup(root, b"/", cred)?;
    let mut so_far = String::new();
    for (i, part) in parts.iter().enumerate() {
        so_far.push('/');
        so_far.push_str(part);
        at = match lookup(root, so_far.as_bytes(), cred) {
            Ok(there) => there,
            Err(Errno::ENOENT) => {
                let last = i + 1 == parts.len();
                let mode = if last && !directory { 0o100_644 } else { 0o040_755 };
                let node = NewNode {
                    mode,
                    uid: cred.fsuid,
                    gid: cred.fsgid,
                    rdev: 0,
                };
                let inode = at.inode().ops.create(at.inode(), part.as_bytes(), &node)?;
                let dentry = at.dentry.insert(part.as_bytes(), inode);
                Path {
                    mnt: at.mnt.clone(),
                    dentry,
                }
            }
            Err(e) => return Err(e),
        };
    }
    Ok(at)
}

impl Builder<'_> {
    fn root(&self, config: &ContainerConfig) -> Result<Arc<SuperBlock>> {
        let lower = impls::gofer::mount(
            self.client,
            Some(&self.kernel.executor),
            config.root_gofer_mount,
            self.sharing,
            None,
        )?;
        match config.root_overlay {
            Overlay::None => Ok(lower),
            Overlay::Memory => {
                let upper = self.internal("tmpfs", b"", b"mode=755")?;
                overlay::new(&self.kernel.vfs.mounts, &upper, &lower, Upper::Memory)
            }
            Overlay::Gofer(index) => {
                let upper = impls::gofer::mount(self.client, Some(&self.kernel.executor), index, self.sharing, None)?;
                overlay::new(&self.kernel.vfs.mounts, &upper, &lower, Upper::Directory)
            }
        }
    }

    pub(super) fn internal(&self, name: &str, source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>> {
        let fstype = impls::registry()
            .iter()
            .find(|t| t.name() == name)
            .ok_or(Errno::ENODEV)?;
        fstype.mount(&MountArgs {
            kernel: self.kernel,
            task: None,
            pid_ns: self.shown.pid_ns,
            ipc: self.shown.ipc,
            source,
            data,
            flags: 0,
        })
    }

    pub(super) fn lookup(&self, root: &Path, path: &[u8]) -> Result<Path> {
        lookup(root, path, self.cred)
    }

    pub(super) fn make_place(&self, root: &Path, path: &str, directory: bool) -> Result<Path> {
        make_place(root, path, directory, self.cred)
    }

    pub(super) fn attach(
        &self,
        sb: Arc<SuperBlock>,
        at: &Path,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Mount>> {
        let dentry = crate::fs::dentry::Dentry::new_root(sb.root()?);
        let mount = Mount::new(&self.kernel.vfs.mounts, sb, dentry, flags, source);
        tree::attach(&mount, at)?;
        Ok(mount)
    }

    /// A window into the kernel is not to be redirected by what an image has in its place.
    fn ordinary(&self, root: &Path, mount: &MountConfig) -> std::result::Result<(), Failure> {
        if !matches!(&mount.kind, MountKind::Internal(name) if matches!(name.as_str(), "proc" | "sysfs")) {
            return Ok(());
        }
        let place = Walker::with_root(root, self.cred.clone(), Lookup::empty())
            .start(-1, mount.destination.as_bytes())
            .and_then(|walk| walk.finish(mount.destination.as_bytes()));
        match place {
            Ok(at) if !at.inode().is_dir() => Err(Failure {
                what: format!("mount {:?}: must be mounted on ordinary directory", mount.destination),
                errno: Errno::ENOTDIR,
            }),
            _ => Ok(()),
        }
    }

    fn mount(&self, root: &Path, mount: &MountConfig) -> Result<()> {
        let flags = MountFlags::from_mount(mount.flags);
        if mount.flags & MS_REMOUNT != 0 {
            let at = self.lookup(root, mount.destination.as_bytes())?;
            if !is_mount_root(&at) {
                return Err(Errno::EINVAL);
            }
            at.mnt.set_flags(flags);
            return Ok(());
        }
        match &mount.kind {
            MountKind::Bind { gofer_mount, file } => {
                let at = self.make_place(root, &mount.destination, !file)?;
                // What is bound is shared with the host and others: asked again at each walk. Other containers of a pod may
                // have it too.
                let sb = impls::gofer::mount(
                    self.client,
                    Some(&self.kernel.executor),
                    *gofer_mount,
                    Sharing::Shared,
                    Some(&self.kernel.vfs.commons),
                )?;
                if mount.source.starts_with('/') {
                    sb.set_origin(mount.source.as_bytes());
                }
                let made = self.attach(sb, &at, flags, mount.source.as_bytes())?;
                propagate(&made, mount.propagation)?;
            }
            MountKind::Internal(name) if matches!(name.as_str(), "cgroup" | "cgroup2") => {
                super::cgroups::mount(self, root, mount, name == "cgroup2")?;
            }
            MountKind::Internal(name) => {
                let at = self.make_place(root, &mount.destination, true)?;
                let copies = name == "tmpfs" && mount.data.iter().any(|o| o == "tmpcopyup");
                let data: Vec<&str> = mount
                    .data
                    .iter()
                    .map(String::as_str)
                    .filter(|o| !(copies && *o == "tmpcopyup"))
                    .collect();
                let data = data.join(",");
                let sb = match self.internal(name, mount.source.as_bytes(), data.as_bytes()) {
                    // Engines list it for every container and nearly none uses it: a container without is better than none.
                    Err(Errno::ENODEV) if name == "mqueue" => {
                        self.kernel.counters.missing("mount mqueue", 0, Errno::ENODEV);
                        return Ok(());
                    }
                    other => other?,
                };
                if copies {
                    copy::tree(&at, &sb.root()?)?;
                }
                let made = self.attach(sb, &at, flags, mount.source.as_bytes())?;
                propagate(&made, mount.propagation)?;
            }
        }
        Ok(())
    }

    /// `linux.sysctl`: found settable once, then given to every procfs.
    fn sysctl(&self, values: &[(String, String)]) -> std::result::Result<(), Failure> {
        if values.is_empty() {
            return Ok(());
        }
        let sb = self.internal("proc", b"proc", b"").during(|| "sysctl".to_owned())?;
        let root = sb.root().during(|| "sysctl".to_owned())?;
        for (name, value) in values {
            impls::proc::sys::set(&root, name, value).during(|| format!("sysctl {name:?} = {value:?}"))?;
        }
        // Those of a pod's later containers come on top.
        let mut all = self.kernel.sysctl.lock();
        all.retain(|(name, _)| !values.iter().any(|(new, _)| new == name));
        all.extend_from_slice(values);
        Ok(())
    }

    /// Hides a path: a directory behind an empty read-only one, anything else behind `/dev/null` (`linux.maskedPaths`).
    fn mask(&self, root: &Path, path: &str) -> Result<()> {
        let at = match self.lookup(root, path.as_bytes()) {
            Ok(at) => at,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(e) => return Err(e),
        };
        if at.inode().is_dir() {
            let sb = self.internal("tmpfs", b"", b"size=0")?;
            self.attach(sb, &at, MountFlags::RDONLY, b"tmpfs")?;
        } else {
            let null = self.lookup(root, b"/dev/null")?;
            let mount = tree::bind_copy(&null, false)?;
            tree::attach(&mount, &at)?;
        }
        Ok(())
    }

    /// Binds a path over itself, read-only (`linux.readonlyPaths`).
    fn make_readonly(&self, root: &Path, path: &str) -> Result<()> {
        let at = match self.lookup(root, path.as_bytes()) {
            Ok(at) => at,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(e) => return Err(e),
        };
        if is_mount_root(&at) {
            at.mnt.set_flags(at.mnt.flags() | MountFlags::RDONLY);
            return Ok(());
        }
        let mount = tree::bind_copy(&at, true)?;
        mount.set_flags(mount.flags() | MountFlags::RDONLY);
        tree::attach(&mount, &at)
    }
}

/// `/dev/console` is the terminal of the container's first process.
pub fn console(ns: &Arc<MountNamespace>, terminal: &Path, cred: &Arc<Cred>) -> Result<()> {
    let at = make_place(&ns.root_path()?, "/dev/console", false, cred)?;
    tree::attach(&tree::bind_copy(terminal, false)?, &at)
}

/// The working directory of a process; as with runc, the first process's is made if it is missing.
pub fn directory(root: &Path, path: &str, cred: &Arc<Cred>, make: bool) -> Result<Path> {
    let walker = Walker::with_root(root, cred.clone(), Lookup::FOLLOW | Lookup::DIRECTORY);
    match walker.start(-1, path.as_bytes())?.finish(path.as_bytes()) {
        Err(Errno::ENOENT) if make => make_place(root, path, true, cred),
        other => other,
    }
}
