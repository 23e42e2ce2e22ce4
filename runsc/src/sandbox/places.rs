//! Mount points that a read-only root lacks. Inside nobody can make them any more, so they are made here before the Gofer has
//! the tree, as runc does.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sentry::boot::config::{MountConfig, MountKind};

/// Makes what is missing, the working directory too. What cannot be made is left to the Sentry, which says what it could not
/// mount.
pub fn make(rootfs: &Path, mounts: &[MountConfig], cwd: &str) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(rootfs, flags, Mode::empty()) else {
        return;
    };
    let root = File::from(root);
    let cwd = Path::new(cwd);
    if !mounts.iter().any(|mount| cwd.starts_with(&mount.destination)) {
        let _ = place_in(&root, cwd, false);
    }
    for (i, mount) in mounts.iter().enumerate() {
        let place = Path::new(&mount.destination);
        // Within another mount, which may be writable, and whose content is not known here.
        let covered = mounts
            .iter()
            .take(i)
            .any(|earlier| place != Path::new(&earlier.destination) && place.starts_with(&earlier.destination));
        if !covered {
            let _ = place_in(&root, place, matches!(mount.kind, MountKind::Bind { file: true, .. }));
        }
    }
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
