//! Mounting a container's root as containerd's snapshotter orders, and taking it away.

use std::path::{Path, PathBuf};

use containerd_shim::protos::api::Mount;
use containerd_shim::{Error, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// What the kernel takes as options of one mount: a page, and its zero.
const MAX_DATA: usize = 4095;

/// Mounts these at the root, the later over the earlier; none stays when one fails.
pub fn set_up(mounts: &[Mount], rootfs: &Path) -> Result<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(rootfs).map_err(|e| Error::Other(format!("{}: {e}", rootfs.display())))?;
    for entry in mounts {
        let target = rootfs.join(entry.target.trim_start_matches('/'));
        one(entry, &target).inspect_err(|_| take_down(rootfs))?;
    }
    Ok(())
}

/// Unmounts all that is at the root.
pub fn take_down(rootfs: &Path) {
    loop {
        match umount2(rootfs, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there, or nothing is there.
            Err(Errno::EINVAL | Errno::ENOENT) => return,
            Err(e) => return containerd_shim::warn!("unmount {}: {e}", rootfs.display()),
        }
    }
}

fn one(entry: &Mount, target: &Path) -> Result<()> {
    let failed = |e: Errno| Error::Other(format!("mount {} at {}: {}", entry.source, target.display(), e.desc()));
    let mut wish = Wish::parse(&entry.options);
    if wish.data.iter().any(|option| option == "loop") {
        return Err(Error::Other(format!(
            "mount {}: option loop is not supported",
            entry.source
        )));
    }
    let base = match entry.type_.as_str() {
        "overlay" if wish.data().len() > MAX_DATA => wish.shorten(),
        _ => None,
    };
    let data = wish.data();
    let data = Some(data.as_str()).filter(|data| !data.is_empty());
    let kind = Some(entry.type_.as_str()).filter(|kind| !kind.is_empty() && !wish.flags.contains(MsFlags::MS_BIND));
    let call = || mount(Some(entry.source.as_str()), target, kind, wish.flags, data);
    match base {
        None => call().map_err(failed)?,
        Some(base) => in_directory(&base, call).map_err(failed)?,
    }
    // A bind mount takes its flags in a second call only.
    if wish.flags.contains(MsFlags::MS_BIND) && wish.flags.intersects(!(MsFlags::MS_BIND | MsFlags::MS_REC)) {
        let flags = wish.flags | MsFlags::MS_REMOUNT;
        mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(failed)?;
    }
    if let Some(propagation) = wish.propagation {
        mount(None::<&str>, target, None::<&str>, propagation, None::<&str>).map_err(failed)?;
    }
    Ok(())
}

/// Calls with another working directory, in a thread that shares its own with nobody.
fn in_directory(dir: &Path, call: impl Fn() -> nix::Result<()> + Sync) -> nix::Result<()> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
            nix::unistd::chdir(dir)?;
            call()
        });
        thread.join().unwrap_or(Err(Errno::EIO))
    })
}

/// The options of a mount.
struct Wish {
    flags: MsFlags,
    propagation: Option<MsFlags>,
    /// What the file system reads itself.
    data: Vec<String>,
}

impl Wish {
    fn parse(options: &[String]) -> Self {
        let mut wish = Self {
            flags: MsFlags::empty(),
            propagation: None,
            data: Vec::new(),
        };
        for option in options {
            let (set, clear) = match option.as_str() {
                "defaults" | "" => (MsFlags::empty(), MsFlags::empty()),
                "ro" => (MsFlags::MS_RDONLY, MsFlags::empty()),
                "rw" => (MsFlags::empty(), MsFlags::MS_RDONLY),
                "bind" => (MsFlags::MS_BIND, MsFlags::empty()),
                "rbind" => (MsFlags::MS_BIND | MsFlags::MS_REC, MsFlags::empty()),
                "nosuid" => (MsFlags::MS_NOSUID, MsFlags::empty()),
                "suid" => (MsFlags::empty(), MsFlags::MS_NOSUID),
                "nodev" => (MsFlags::MS_NODEV, MsFlags::empty()),
                "dev" => (MsFlags::empty(), MsFlags::MS_NODEV),
                "noexec" => (MsFlags::MS_NOEXEC, MsFlags::empty()),
                "exec" => (MsFlags::empty(), MsFlags::MS_NOEXEC),
                "sync" => (MsFlags::MS_SYNCHRONOUS, MsFlags::empty()),
                "async" => (MsFlags::empty(), MsFlags::MS_SYNCHRONOUS),
                "dirsync" => (MsFlags::MS_DIRSYNC, MsFlags::empty()),
                "noatime" => (MsFlags::MS_NOATIME, MsFlags::empty()),
                "atime" => (MsFlags::empty(), MsFlags::MS_NOATIME),
                "nodiratime" => (MsFlags::MS_NODIRATIME, MsFlags::empty()),
                "diratime" => (MsFlags::empty(), MsFlags::MS_NODIRATIME),
                "relatime" => (MsFlags::MS_RELATIME, MsFlags::empty()),
                "norelatime" => (MsFlags::empty(), MsFlags::MS_RELATIME),
                "strictatime" => (MsFlags::MS_STRICTATIME, MsFlags::empty()),
                "nostrictatime" => (MsFlags::empty(), MsFlags::MS_STRICTATIME),
                other => {
                    match propagation(other) {
                        Some(kind) => wish.propagation = Some(kind),
                        None => wish.data.push(option.clone()),
                    }
                    continue;
                }
            };
            wish.flags = (wish.flags | set) & !clear;
        }
        wish
    }

    fn data(&self) -> String {
        self.data.join(",")
    }

    /// Names an overlay's lower layers as seen from a directory that all of them are below, and gives that directory.
    fn shorten(&mut self) -> Option<PathBuf> {
        let option = self.data.iter_mut().find(|option| option.starts_with("lowerdir="))?;
        let layers: Vec<&str> = option.strip_prefix("lowerdir=")?.split(':').collect();
        let mut base = Path::new(layers.first()?).parent()?;
        while !layers.iter().all(|layer| Path::new(layer).starts_with(base)) {
            base = base.parent()?;
        }
        let base = base.to_owned();
        let short: Option<Vec<&str>> = layers
            .iter()
            .map(|layer| Path::new(layer).strip_prefix(&base).ok()?.to_str())
            .collect();
        *option = format!("lowerdir={}", short?.join(":"));
        Some(base)
    }
}

fn propagation(option: &str) -> Option<MsFlags> {
    let (all, kind) = match option.strip_prefix('r') {
        Some(kind) => (MsFlags::MS_REC, kind),
        None => (MsFlags::empty(), option),
    };
    let kind = match kind {
        "private" => MsFlags::MS_PRIVATE,
        "shared" => MsFlags::MS_SHARED,
        "slave" => MsFlags::MS_SLAVE,
        "unbindable" => MsFlags::MS_UNBINDABLE,
        _ => return None,
    };
    Some(kind | all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Wish {
        Wish::parse(&options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        let wish = parse(&["rbind", "ro", "nosuid", "suid", "rprivate", "size=1m", "mode=755"]);
        assert_eq!(wish.flags, MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_RDONLY);
        assert_eq!(wish.propagation, Some(MsFlags::MS_PRIVATE | MsFlags::MS_REC));
        assert_eq!(wish.data(), "size=1m,mode=755");
        // Starts like `r` and a kind, and is neither.
        assert_eq!(parse(&["relatime", "rw", "redirect_dir=on"]).data(), "redirect_dir=on");
    }

    #[test]
    fn many_layers() {
        let mut wish = parse(&["upperdir=/v/s/9/fs", "lowerdir=/v/s/10/fs:/v/s/1/fs:/v/s/2/fs"]);
        assert_eq!(wish.shorten().as_deref(), Some(Path::new("/v/s")));
        assert_eq!(wish.data(), "upperdir=/v/s/9/fs,lowerdir=10/fs:1/fs:2/fs");
        assert_eq!(parse(&["lowerdir=a:b"]).shorten().as_deref(), Some(Path::new("")));
        assert!(parse(&["upperdir=/x"]).shorten().is_none());
    }
}
