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
    /// In the sandbox of that container.
    Member(String),
}

/// (annotation of the type, its word for the first container, annotation of the first container's id): containerd, CRI-O, Docker.
const DIALECTS: [(&str, &str, &str); 3] = [
    (
        "io.kubernetes.cri.container-type",
        "sandbox",
        "io.kubernetes.cri.sandbox-id",
    ),
    (
        "io.kubernetes.cri-o.ContainerType",
        "sandbox",
        "io.kubernetes.cri-o.SandboxID",
    ),
    ("io.kubernetes.docker.type", "podsandbox", "io.kubernetes.sandbox.id"),
];

/// Reads the annotations.
pub fn role(annotations: &BTreeMap<String, String>) -> Result<Role> {
    for (kind, first, id) in DIALECTS {
        match annotations.get(kind).map(String::as_str) {
            None => {}
            Some(word) if word == first => return Ok(Role::Sandbox),
            Some("container") => {
                let field = format_args!("annotations[{id:?}]");
                let id = annotations.get(id).filter(|id| !id.is_empty());
                let id = id.ok_or_else(|| bad(field, "missing for a container of a pod"))?;
                return Ok(Role::Member(id.clone()));
            }
            Some(other) => {
                let field = format_args!("annotations[{kind:?}]");
                return Err(bad(field, format_args!("{other:?} is neither {first} nor container")));
            }
        }
    }
    Ok(Role::Alone)
}

#[cfg(test)]
mod tests {
    use super::{DIALECTS, Role, role};

    #[test]
    fn roles() {
        let map = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!(role(&map(&[("other", "sandbox")])).unwrap(), Role::Alone);
        for (kind, first, id) in DIALECTS {
            assert_eq!(role(&map(&[(kind, first), (id, "p")])).unwrap(), Role::Sandbox);
            let member = role(&map(&[(kind, "container"), (id, "p")])).unwrap();
            assert_eq!(member, Role::Member("p".to_owned()));
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
