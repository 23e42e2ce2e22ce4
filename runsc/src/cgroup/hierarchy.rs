//! The host's cgroup mounts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    mount: PathBuf,
    /// The group that relative paths begin at, relative to `mount`: v1: this process's. v2: the one above, as a group
    /// with processes in it cannot divide what it has.
    base: PathBuf,
    /// v1: its controllers. v2: those that can be had.
    controllers: Vec<String>,
    pub v2: bool,
}

impl Hierarchy {
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    pub fn limits(&self) -> bool {
        !self.v2 || !self.controllers.is_empty()
    }

    /// Whether that directory is one of its groups.
    pub fn holds(&self, dir: &Path) -> bool {
        dir.starts_with(&self.mount)
    }

    /// Where a group's directory is.
    pub fn directory(&self, wanted: &Path) -> PathBuf {
        match wanted.strip_prefix("/") {
            Ok(rest) => self.mount.join(rest),
            Err(_) => self.mount.join(&self.base).join(wanted),
        }
    }

    /// v2: lets a group, as each one above it, have the controllers. What cannot be delegated shows when a limit is written.
    pub fn delegate(&self, dir: &Path) {
        if !self.v2 {
            return;
        }
        let above = dir.ancestors().skip(1).take_while(|above| self.holds(above));
        for above in above.collect::<Vec<_>>().into_iter().rev() {
            let file = above.join("cgroup.subtree_control");
            let has = fs::read_to_string(&file).unwrap_or_default();
            for controller in &self.controllers {
                if !has.split_whitespace().any(|c| c == controller) {
                    let _ = fs::write(&file, format!("+{controller}"));
                }
            }
        }
    }

    /// v1: a new cpuset holds no processor at all, and no process can enter it.
    pub fn inherit_cpuset(&self, dir: &Path) -> io::Result<()> {
        if self.v2 || !self.has("cpuset") {
            return Ok(());
        }
        // Those above may have been made by somebody who left them so.
        if let Some(parent) = dir
            .parent()
            .filter(|parent| **parent != *self.mount && self.holds(parent))
        {
            self.inherit_cpuset(parent)?;
        }
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if fs::read_to_string(dir.join(file))?.trim().is_empty() {
                let parent = fs::read_to_string(dir.parent().unwrap_or(dir).join(file))?;
                fs::write(dir.join(file), parent.trim())?;
            }
        }
        Ok(())
    }
}

/// All hierarchies that can limit something, as this process sees them mounted.
pub fn find() -> Result<Vec<Hierarchy>> {
    let mut all = all()?;
    all.retain(Hierarchy::limits);
    Ok(all)
}

/// Those as well that systemd has beside v1 ones, to know whose a process is: v2 without any controller.
pub fn all() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context(|| "/proc/self/mountinfo")?;
    let own = fs::read_to_string("/proc/self/cgroup").context(|| "/proc/self/cgroup")?;
    Ok(parse(&mounts, &own, |mount| {
        fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
    }))
}

fn parse(mounts: &str, own: &str, v2_controllers: impl Fn(&Path) -> String) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(mount), Some(kind), Some(options)) =
            (left.get(3), left.get(4), right.first(), right.get(2))
        else {
            continue;
        };
        let v2 = match *kind {
            "cgroup" => false,
            "cgroup2" => true,
            _ => continue,
        };
        let mount = PathBuf::from(mount);
        let controllers: Vec<String> = if v2 {
            v2_controllers(&mount).split_whitespace().map(str::to_owned).collect()
        } else {
            // Mount options stand in the same list; they do no harm, no limit is called "rw".
            options.split(',').map(str::to_owned).collect()
        };
        if found.iter().any(|h| h.v2 == v2 && h.controllers == controllers) {
            continue;
        }
        let group = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            let mine = if v2 {
                names.is_empty()
            } else {
                names.split(',').any(|n| controllers.iter().any(|c| c == n))
            };
            mine.then_some(path)
        });
        // In a container the hierarchy's mount may begin at the process's own group. One outside of what its cgroup
        // namespace shows has steps up in its path.
        let own = Path::new(group.filter(|path| !path.starts_with("/..")).unwrap_or("/"));
        let own = own.strip_prefix(root).unwrap_or(own);
        let own = own.strip_prefix("/").unwrap_or(own);
        let base = if v2 { own.parent().unwrap_or(own) } else { own };
        found.push(Hierarchy {
            mount,
            base: base.to_owned(),
            controllers,
            v2,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_beside_v2() {
        let mounts = "\
            30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
            31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            33 24 0:29 / /proc rw - proc proc rw\n";
        let own = "2:memory:/user/a\n1:cpu,cpuacct:/\n0::/x\n";
        let found = parse(mounts, own, |_| String::new());
        let limiting: Vec<_> = found.iter().filter(|h| h.limits()).collect();
        assert!(found.len() == 3 && limiting.len() == 2 && limiting.iter().all(|h| !h.v2));
        let memory = found.iter().find(|h| h.has("memory")).unwrap();
        assert_eq!(
            memory.directory(Path::new("/docker/x")),
            Path::new("/sys/fs/cgroup/memory/docker/x")
        );
        assert_eq!(
            memory.directory(Path::new("x")),
            Path::new("/sys/fs/cgroup/memory/user/a/x")
        );
    }

    #[test]
    fn v2_alone() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = parse(mounts, "0::/init.scope\n", |_| "cpu memory pids\n".to_owned());
        assert!(found.len() == 1 && found[0].v2 && found[0].has("pids"));
        let directory = |own: &str| parse(mounts, own, |_| "cpu\n".to_owned())[0].directory(Path::new("x"));
        for (own, wanted) in [
            ("0::/init.scope\n", "/sys/fs/cgroup/x"),
            ("0::/\n", "/sys/fs/cgroup/x"),
            ("0::/user.slice/a.scope\n", "/sys/fs/cgroup/user.slice/x"),
            ("0::/../../b\n", "/sys/fs/cgroup/x"),
        ] {
            assert_eq!(directory(own), Path::new(wanted), "{own}");
        }
    }
}
