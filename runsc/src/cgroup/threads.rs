//! cgroup v2: groups in a tree where processes are divided by threads (cgroups(7), "thread mode"). One comes about below a group
//! that has processes of its own and passes controllers on.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::hierarchy::Hierarchy;
use super::limits;
use crate::error::{Context, Error, Result};

/// Makes a group in such a tree fit for processes, where no controller is wanted that has no business there.
pub(super) fn allow(resources: Option<&LinuxResources>, hierarchies: &[Hierarchy], dirs: &[PathBuf]) -> Result<()> {
    for (hierarchy, dir) in hierarchies.iter().zip(dirs).filter(|(h, _)| h.v2) {
        let limits = match resources {
            Some(resources) => limits::for_host(resources, hierarchies, dirs)?,
            None => Vec::new(),
        };
        let domain = limits.iter().any(limits::Limit::is_of_a_domain);
        let mut groups: Vec<&Path> = dir.ancestors().take_while(|dir| hierarchy.holds(dir)).collect();
        groups.reverse();
        groups.into_iter().try_for_each(|group| settle(group, domain))?;
    }
    Ok(())
}

fn settle(group: &Path, domain: bool) -> Result<()> {
    let file = group.join("cgroup.type");
    // The one at the top has no such file.
    let kind = fs::read_to_string(&file).unwrap_or_default();
    match kind.trim() {
        kind @ ("domain invalid" | "domain threaded" | "threaded") if domain => Err(Error::new(format!(
            "cgroup {}: it is {kind:?}: a group among those of threads cannot limit what config.json: linux.resources wants",
            group.display()
        ))),
        "domain invalid" => fs::write(&file, "threaded").context(|| format!("cgroup {}", file.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let dir = std::env::temp_dir().join(format!("runsc-threads-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let after = |kind: &str, domain| {
            fs::write(dir.join("cgroup.type"), kind).unwrap();
            settle(&dir, domain).map(|()| fs::read_to_string(dir.join("cgroup.type")).unwrap())
        };
        assert_eq!(after("domain\n", true).unwrap(), "domain\n");
        assert_eq!(after("domain invalid\n", false).unwrap(), "threaded");
        assert_eq!(after("threaded\n", false).unwrap(), "threaded\n");
        assert!(after("domain invalid\n", true).is_err() && after("threaded\n", true).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
