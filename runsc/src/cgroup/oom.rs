//! Hearing of the host's kernel that it had to kill for want of memory in a group.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::EventfdFlags;
use rustix::fs::inotify;

use super::CgroupRecord;

/// A group that is watched.
pub enum Oom {
    /// v1: the kernel counts in an eventfd.
    Counter(OwnedFd),
    /// v2: `memory.events` is modified; what it said last.
    Events { watch: OwnedFd, file: PathBuf, kills: u64 },
}

impl Oom {
    /// None where memory is not accounted.
    pub fn watch(cgroup: &CgroupRecord) -> Option<Self> {
        let find = |name: &str| cgroup.dirs.iter().map(|d| d.join(name)).find(|path| path.exists());
        if let Some(control) = find("memory.oom_control") {
            let counter = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
            let file = fs::File::open(&control).ok()?;
            let line = format!("{} {}", counter.as_raw_fd(), file.as_raw_fd());
            fs::write(control.with_file_name("cgroup.event_control"), line).ok()?;
            return Some(Self::Counter(counter));
        }
        let file = find("memory.events")?;
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
        inotify::add_watch(&watch, &file, inotify::WatchFlags::MODIFY).ok()?;
        let kills = kills(&file);
        Some(Self::Events { watch, file, kills })
    }

    /// Readable when there may be something new.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Counter(fd) | Self::Events { watch: fd, .. } => fd.as_fd(),
        }
    }

    /// Whether something was killed since the last call.
    pub fn happened(&mut self) -> bool {
        let mut buf = [0u8; 4096];
        match self {
            Self::Counter(fd) => rustix::io::read(fd, &mut buf[..8]).is_ok(),
            Self::Events {
                watch,
                file,
                kills: before,
            } => {
                while rustix::io::read(&*watch, &mut buf).is_ok_and(|n| n > 0) {}
                let now = kills(file);
                std::mem::replace(before, now) < now
            }
        }
    }
}

/// Whether the kernel had to kill something in the group, since it was made.
pub fn killed(cgroup: &CgroupRecord) -> bool {
    let files = ["memory.oom_control", "memory.events"];
    let mut paths = cgroup.dirs.iter().flat_map(|dir| files.map(|name| dir.join(name)));
    paths.any(|file| kills(&file) > 0)
}

fn kills(file: &std::path::Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}
