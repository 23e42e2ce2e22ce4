//! Pods: what annotations say of a container's place in one, in the words of the engines.

use std::collections::BTreeMap;

use super::bad;
use crate::error::Result;

/// A container's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// In a sandbox of its own.
    #[default]
    Alone,
    /// The first container of a pod, whose sandbox takes the others in.
    Sandbox,
    /// In the sandbox of a pod.
    Member(Membership),
}

/// Which pod, by the id of its first container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub pod: String,
    pub first: First,
}

/// Who makes the first container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The engine, always.
    Given,
    /// The engine, if it thinks that it needs one: CRI-O does without (`drop_infra_ctr`), and gives only its id.
    Made,
}

/// (annotation of the type, its word for the first container, annotation of the first container's id, who makes that): containerd,
/// CRI-O, Docker.
const DIALECTS: [(&str, &str, &str, First); 3] = [
    (
        "io.kubernetes.cri.container-type",
        "sandbox",
        "io.kubernetes.cri.sandbox-id",
        First::Given,
    ),
    (
        "io.kubernetes.cri-o.ContainerType",
        "sandbox",
        "io.kubernetes.cri-o.SandboxID",
        First::Made,
    ),
    (
        "io.kubernetes.docker.type",
        "podsandbox",
        "io.kubernetes.sandbox.id",
        First::Given,
    ),
];

/// Reads the annotations.
pub fn role(annotations: &BTreeMap<String, String>) -> Result<Role> {
    for (kind, word, id, first) in DIALECTS {
        match annotations.get(kind).map(String::as_str) {
            None => {}
            Some(given) if given == word => return Ok(Role::Sandbox),
            Some("container") => {
                let field = format_args!("annotations[{id:?}]");
                let id = annotations.get(id).filter(|id| !id.is_empty());
                let id = id.ok_or_else(|| bad(field, "missing for a container of a pod"))?;
                let pod = id.clone();
                return Ok(Role::Member(Membership { pod, first }));
            }
            Some(other) => {
                let field = format_args!("annotations[{kind:?}]");
                return Err(bad(field, format_args!("{other:?} is neither {word} nor container")));
            }
        }
    }
    Ok(Role::Alone)
}

#[cfg(test)]
mod tests {
    use super::{DIALECTS, Membership, Role, role};

    #[test]
    fn roles() {
        let map = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!(role(&map(&[("other", "sandbox")])).unwrap(), Role::Alone);
        for (kind, word, id, first) in DIALECTS {
            assert_eq!(role(&map(&[(kind, word), (id, "p")])).unwrap(), Role::Sandbox);
            let member = role(&map(&[(kind, "container"), (id, "p")])).unwrap();
            let pod = "p".to_owned();
            assert_eq!(member, Role::Member(Membership { pod, first }));
            for wrong in [
                &[(kind, "container")][..],
                &[(kind, "pod")],
                &[(kind, "container"), (id, "")],
            ] {
                assert!(role(&map(wrong)).is_err(), "{wrong:?}");
            }
        }
    }
}
