//! Mount points that a read-only root lacks. Inside nobody can make them any more, so they are made here before the Gofer has
//! the tree, as runc does.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sentry::boot::config::{ContainerConfig, MountConfig, MountKind, Overlay};
use sentry::fs::impls::dev::DEFAULT_DEVICES;

/// Makes what is missing, the working directory too. What cannot be made is left to the Sentry, which says what it could not
/// mount.
pub fn make(rootfs: &Path, container: &ContainerConfig) {
    if !container.root_readonly || container.root_overlay != Overlay::None {
        return;
    }
    let mounts = &container.mounts;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(rootfs, flags, Mode::empty()) else {
        return;
    };
    let root = File::from(root);
    let make = |place: &Path, file| {
        if !covered(place, mounts.iter()) {
            let _ = place_in(&root, place, file);
        }
    };
    make(Path::new(&container.process.cwd), false);
    for (i, mount) in mounts.iter().enumerate() {
        let earlier = mounts.iter().take(i);
        if !covered(
            Path::new(&mount.destination),
            earlier.filter(|e| e.destination != mount.destination),
        ) {
            let file = matches!(mount.kind, MountKind::Bind { file: true, .. });
            let _ = place_in(&root, Path::new(&mount.destination), file);
        }
    }
    // No node stands there on the host: the guest's are mounted on these files.
    for (name, ..) in DEFAULT_DEVICES {
        make(&Path::new("/dev").join(name), true);
    }
    for device in &container.devices {
        make(Path::new(&device.path), true);
    }
}

/// Whether it is within a mount, which may be writable, and whose content is not known here.
fn covered<'a>(place: &Path, mut mounts: impl Iterator<Item = &'a MountConfig>) -> bool {
    mounts.any(|mount| place.starts_with(&mount.destination))
}

fn place_in(root: &File, place: &Path, file: bool) -> rustix::io::Result<()> {
    // The container's own links lead nowhere but into it.
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path, flags| rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), within);
    if open(place, OFlags::PATH).is_ok() {
        return Ok(());
    }
    let mut at = Path::new("/").to_owned();
    let mut dir = rustix::fs::openat(root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let names: Vec<_> = place.iter().skip(1).collect();
    for (n, name) in names.iter().enumerate() {
        at.push(name);
        if file && n + 1 == names.len() {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            return rustix::fs::openat(&dir, *name, flags, Mode::from_raw_mode(0o755)).map(drop);
        }
        match open(&at, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(next) => dir = next,
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&dir, *name, Mode::from_raw_mode(0o755))?;
                dir = open(&at, OFlags::PATH | OFlags::DIRECTORY)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_only_within() {
        let dir = tempfile::TempDir::new().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("/..", root.join("up")).unwrap();
        let open = File::open(&root).unwrap();
        place_in(&open, Path::new("/a/b"), false).unwrap();
        place_in(&open, Path::new("/a/f"), true).unwrap();
        place_in(&open, Path::new("/up/c"), false).unwrap();
        assert!(root.join("a/b").is_dir() && root.join("a/f").is_file() && root.join("c").is_dir());
        assert!(!dir.path().join("c").exists());
    }
}
