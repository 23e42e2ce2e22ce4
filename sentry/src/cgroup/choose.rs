//! Groups of a container that a process of `runsc exec` is started in.

use std::sync::Arc;

use super::{Group, Groups, Hierarchies, Hierarchy};

impl Hierarchies {
    /// From pairs of a controller (none: every hierarchy) and a path below the container's group. An error says what is wrong.
    pub fn choose(&self, wanted: &[(Option<String>, String)]) -> Result<Option<Arc<Groups>>, String> {
        let mut groups: Option<Arc<Groups>> = None;
        for (controller, path) in wanted {
            let hierarchies = match controller {
                None => self.all(),
                Some(name) => vec![self.named(name).ok_or_else(|| format!("unknown controller {name}"))?],
            };
            for hierarchy in hierarchies {
                let group = below(&hierarchy, path)?;
                groups = Groups::moved(groups.as_deref(), &group, self);
            }
        }
        Ok(groups)
    }

    /// By controller, or as `name=`.
    fn named(&self, word: &str) -> Option<Arc<Hierarchy>> {
        let by_name = |h: &Arc<Hierarchy>| h.config.name.as_deref() == word.strip_prefix("name=");
        match word.starts_with("name=") {
            true => self.all().into_iter().find(by_name),
            false => self.with(word),
        }
    }
}

fn below(hierarchy: &Hierarchy, path: &str) -> Result<Arc<Group>, String> {
    let mut group = hierarchy.top.clone();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(format!("{path} is not a sub cgroup path"));
        }
        group = group.child(part.as_bytes()).ok_or_else(|| {
            let (label, path) = (hierarchy.label(), path.trim_matches('/'));
            format!("adding pid to cgroup {label}:/{path}/cgroup.procs: no such file or directory")
        })?;
    }
    Ok(group)
}
