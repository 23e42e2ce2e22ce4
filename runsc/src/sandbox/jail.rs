//! What both processes of the sandbox give up before they do their work.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::process::Resource;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{Context, Error, Result};

/// Cuts this mount namespace off from the host's: what is mounted here stays here.
pub fn private_mounts() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context(|| "make mounts private")
}

/// The same, but what the host mounts in what it shares spreads to here.
pub fn slave_mounts() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(|| "make mounts slaves")
}

/// A procfs that shows this process's pid namespace, attached nowhere.
pub fn own_proc() -> Result<OwnedFd> {
    let what = || "mount a procfs of the sandbox";
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).context(what)?;
    rustix::mount::fsconfig_create(context.as_fd()).context(what)?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).context(what)
}

/// Leaves the host's file tree for an empty directory that nobody can write.
pub fn empty_root() -> Result<()> {
    let what = || "change to an empty root";
    let place = place();
    rustix::mount::mount("runsc", place, "tmpfs", EMPTY_FLAGS, Some(EMPTY)).context(what)?;
    leave_for(place).context(what)
}

/// The same for the Sentry, whose mount namespace engines enter to see the container's files (`view.rs`). Its own root hangs
/// in no namespace: nothing that is mounted later can be reached from it. Gives a procfs that hangs nowhere either; the
/// namespace has only another mount of that.
pub fn root_in_no_namespace() -> Result<OwnedFd> {
    let what = || "change to an empty root";
    let place = place();
    let proc = own_proc()?;
    move_mount(&proc, place).context(what)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let own = rustix::mount::open_tree(&proc, "", flags).context(what)?;
    drop(proc);
    leave_for(place).context(what)?;
    rustix::process::fchdir(empty_directory()?).context(what)?;
    rustix::process::chroot(".").context(what)?;
    Ok(own)
}

const EMPTY_FLAGS: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const EMPTY: &CStr = c"size=4k,nr_inodes=2,mode=555";

/// Any directory serves: it is only where the new root hangs until the old one is gone.
fn place() -> &'static str {
    ["/proc", "/tmp", "/dev"]
        .into_iter()
        .find(|dir| std::path::Path::new(dir).is_dir())
        .unwrap_or("/")
}

/// An empty directory that nobody can write, in no mount namespace.
pub fn empty_directory() -> Result<OwnedFd> {
    let what = || "an empty directory";
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).context(what)?;
    for (key, value) in [("source", "runsc"), ("size", "4k"), ("nr_inodes", "2"), ("mode", "555")] {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, value).context(what)?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).context(what)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).context(what)
}

/// Hangs a mount that hangs nowhere yet.
pub fn move_mount(mount: impl AsFd, to: &str) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", rustix::fs::CWD, to, flags)
}

/// Makes what is mounted at `place` the root, and lets the old one go.
fn leave_for(place: &str) -> rustix::io::Result<()> {
    rustix::process::chdir(place)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => rustix::mount::unmount(".", UnmountFlags::DETACH)?,
        // The host runs on its initramfs, which cannot be pivoted away: it is mounted over instead.
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_move(".", "/")?;
            rustix::process::chroot(".")?;
        }
        Err(e) => return Err(e),
    }
    rustix::process::chdir("/")
}

/// Keeps `keep` of the capabilities, and lets no exec bring others.
pub fn drop_capabilities(keep: CapabilitySet) -> Result<()> {
    let what = || "drop capabilities";
    rustix::thread::set_no_new_privs(true).context(what)?;
    rustix::thread::clear_ambient_capability_set().context(what)?;
    for number in 0..64 {
        let cap = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(cap) {
            Ok(()) => {}
            // No capability of that number in this kernel, nor above it.
            Err(rustix::io::Errno::INVAL) => break,
            Err(e) => return Err(e).context(what),
        }
    }
    let have = rustix::thread::capabilities(None).context(what)?;
    let keep = keep & have.permitted;
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).context(what)
}

/// What a sandbox needs for itself; each open file of a guest is one more.
const FEW_FDS: u64 = 256;

/// As many descriptors as this process may have at all.
pub fn raise_fd_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// The same, for `runsc`, which knows whom to tell when there are too few.
pub fn enough_fds() -> Result<()> {
    raise_fd_limit();
    match rustix::process::getrlimit(Resource::Nofile).maximum {
        Some(most) if most < FEW_FDS => Err(Error::new(format!(
            "too few file descriptors: a sandbox needs {FEW_FDS}, RLIMIT_NOFILE is {most}"
        ))),
        _ => Ok(()),
    }
}

/// Reads everything of a donated file.
pub fn read_all(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    let mut file = std::fs::File::from(fd.try_clone_to_owned().context(|| "donated configuration")?);
    file.read_to_end(&mut text).context(|| "donated configuration")?;
    Ok(text)
}
