//! What engines find in the mount namespace of the pid that they were given: the container's files.
//!
//! The Sentry sees nothing of it, its root hangs in no namespace (`jail.rs`). `podman cp` and `podman top` enter the
//! namespace as the host's root and look at names there. What only the guest's kernel has, such as a tmpfs, is an empty
//! directory that cannot be written, so that a file copied there is refused and not lost.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use platform::host::mount::{make_private, set_mount_attributes};
use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use sentry::boot::config::{MountConfig, MountKind, Overlay};

use super::{gofer, jail};
use crate::config::{GoferMount, Plan};
use crate::error::{Context, Error, Result};
use crate::namespace::in_namespace;

/// The mounts of one container.
pub struct View {
    gofer: Vec<GoferMount>,
    mounts: Vec<MountConfig>,
    hooked: Vec<OwnedFd>,
}

/// `MOUNT_ATTR_RDONLY` of `mount_setattr(2)`.
const RDONLY: u64 = 1;

impl View {
    /// None where the host does not have the files that the guest sees.
    pub fn of(plan: &Plan) -> Option<Self> {
        (plan.container.root_overlay == Overlay::None).then(|| Self {
            gofer: plan.gofer.clone(),
            mounts: plan.container.mounts.clone(),
            hooked: Vec::new(),
        })
    }

    /// And what hooks mounted.
    pub fn with(mut self, hooked: Vec<(MountConfig, OwnedFd)>) -> Self {
        for (mount, tree) in hooked {
            self.mounts.push(mount);
            self.hooked.push(tree);
        }
        self
    }

    /// Mounts everything in the namespace of the container's process. `guests`: the container's processes, by their numbers in the
    /// sandbox.
    pub fn build(mut self, process: i32, guests: &[i32]) -> Result<()> {
        let mut trees = self.trees()?;
        trees.append(&mut self.hooked);
        within(process, || self.assemble(trees, guests))
    }

    /// The same where that process only stands for one in the sandbox of another container: the procfs is taken from there.
    pub fn build_apart(self, process: i32, sandbox: i32, guests: &[i32]) -> Result<()> {
        if let Some(proc) = within(sandbox, procfs)? {
            within(process, || jail::move_mount(&proc, "/").context(|| "procfs"))?;
        }
        self.build(process, guests)
    }

    /// A copy of each tree that the Gofer serves. What is mounted beneath them later, on either side, stays there.
    fn trees(&self) -> Result<Vec<OwnedFd>> {
        let tree = |mount: &GoferMount| {
            let tree = gofer::detached(mount)?;
            make_private(tree.as_fd()).context(|| format!("mount {}", mount.source.display()))?;
            Ok(tree)
        };
        self.gofer.iter().map(tree).collect()
    }

    /// In the namespace, whose root is a procfs of the sandbox's pids, if there is one.
    fn assemble(&self, trees: Vec<OwnedFd>, guests: &[i32]) -> Result<()> {
        let mut empty = Empty::default();
        let mut proc = None;
        if is_procfs(&clone(CWD, "/", OpenTreeFlags::empty()).context(|| "root")?) {
            hide_helpers(guests, &mut empty)?;
            let tree = clone(CWD, "/", OpenTreeFlags::AT_RECURSIVE).context(|| "procfs")?;
            set_mount_attributes(tree.as_fd(), RDONLY, false).context(|| "procfs")?;
            proc = Some(tree);
        }
        let mut trees: Vec<Option<OwnedFd>> = trees.into_iter().map(Some).collect();
        let mut take = |at: usize| trees.get_mut(at).and_then(Option::take);
        let root = take(0).ok_or_else(|| Error::new("no root"))?;
        jail::move_mount(&root, "/").context(|| "root")?;
        for mount in &self.mounts {
            let at = match open_in(&root, &mount.destination) {
                Ok(at) => at,
                // Below something of the guest's kernel alone.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(e) => return Err(e).context(|| mount.destination.clone()),
            };
            match &mount.kind {
                MountKind::Bind { gofer_mount, .. } => match usize::try_from(*gofer_mount).ok().and_then(&mut take) {
                    Some(tree) => attach(&tree, &at, &mount.destination).map(drop)?,
                    None => continue,
                },
                MountKind::Internal(kind) if kind == "proc" => match proc.take() {
                    Some(proc) => attach(&proc, &at, &mount.destination).map(drop)?,
                    None => empty.lay_over(&at, &mount.destination)?,
                },
                MountKind::Internal(_) => empty.lay_over(&at, &mount.destination)?,
            }
        }
        Ok(())
    }
}

/// Works in the mount namespace of a process.
fn within<T: Send>(process: i32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = format!("/proc/{process}/ns/mnt");
    let namespace = File::open(&path).context(|| path)?;
    let what = || "enter the container's mount namespace".to_owned();
    in_namespace(&namespace, CloneFlags::CLONE_NEWNS, what, work)
}

/// A copy of the procfs that the namespace of a sandbox has, as its root or, beneath the files of the first container, as theirs: in
/// that one the sandbox's own processes are hidden.
fn procfs() -> Result<Option<OwnedFd>> {
    for place in ["/", "/proc"] {
        if let Ok(tree) = clone(CWD, place, OpenTreeFlags::AT_RECURSIVE)
            && is_procfs(&tree)
        {
            make_private(tree.as_fd()).context(|| "procfs")?;
            return Ok(Some(tree));
        }
    }
    Ok(None)
}

fn is_procfs(tree: &OwnedFd) -> bool {
    rustix::fs::fstatfs(tree).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// One empty directory for all places.
#[derive(Default)]
struct Empty(Option<OwnedFd>);

impl Empty {
    fn lay_over(&mut self, at: &OwnedFd, name: &str) -> Result<()> {
        if let Some(first) = &self.0 {
            let another = clone(first.as_fd(), "", OpenTreeFlags::AT_EMPTY_PATH).context(|| name.to_owned())?;
            return attach(&another, at, name).map(drop);
        }
        let first = jail::empty_directory()?;
        if attach(&first, at, name)? {
            self.0 = Some(first);
        }
        Ok(())
    }
}

/// A mount like that at `path`, hanging nowhere.
fn clone(dir: BorrowedFd<'_>, path: &str, more: OpenTreeFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | more;
    open_tree(dir, path, flags)
}

/// A place of the container, whose links cannot lead out of it.
fn open_in(root: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// False: there is a directory of the host's where the container has a file, or the other way round.
fn attach(mount: &OwnedFd, at: &OwnedFd, name: &str) -> Result<bool> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    match move_mount(mount, "", at, "", flags) {
        Err(Errno::NOTDIR) => Ok(false),
        other => other.map(|()| true).context(|| name.to_owned()),
    }
}

/// The sandbox's own processes are nobody's business: above all no link of the guest's may lead to a descriptor of the Sentry.
fn hide_helpers(guests: &[i32], empty: &mut Empty) -> Result<()> {
    let what = || "procfs";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::openat(CWD, "/", flags, Mode::empty()).context(what)?;
    for entry in Dir::read_from(&proc).context(what)? {
        let entry = entry.context(what)?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .ok()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if guests.contains(&pid) {
            continue;
        }
        match open_in(&proc, &pid.to_string()) {
            Ok(at) => empty.lay_over(&at, "procfs")?,
            // It has ended meanwhile.
            Err(_) if pid != 1 => {}
            Err(e) => return Err(e).context(what),
        }
    }
    Ok(())
}
