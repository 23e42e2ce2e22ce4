//! Process ids and pid namespaces (`pid_namespaces(7)`).

use std::sync::Arc;

use smallvec::SmallVec;

use crate::cred::UserNamespace;

/// A pid namespace: a set of numbers. Its members have a number in it and in every one above.
pub struct PidNamespace {
    /// None for the first one.
    pub parent: Option<Arc<PidNamespace>>,
    /// Steps below the first one.
    pub level: usize,
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Who may administer it.
    pub user_ns: Arc<UserNamespace>,
}

impl PidNamespace {
    /// The first namespace.
    pub fn root(id: u64, user_ns: Arc<UserNamespace>) -> Arc<PidNamespace> {
        Arc::new(PidNamespace {
            parent: None,
            level: 0,
            id,
            user_ns,
        })
    }

    /// A namespace below `parent`.
    pub fn child(parent: &Arc<PidNamespace>, id: u64, user_ns: Arc<UserNamespace>) -> Arc<PidNamespace> {
        Arc::new(PidNamespace {
            parent: Some(parent.clone()),
            level: parent.level + 1,
            id,
            user_ns,
        })
    }

    /// True if `self` is `other` or below it.
    pub fn is_within(&self, other: &PidNamespace) -> bool {
        self.id == other.id || self.parent.as_ref().is_some_and(|p| p.is_within(other))
    }
}

/// The numbers of one task, process group or session, like `struct pid`.
pub struct Pid {
    /// The innermost namespace that it has a number in.
    pub ns: Arc<PidNamespace>,
    /// One number per level, the first namespace's first.
    pub(super) numbers: SmallVec<[i32; 2]>,
}

impl Pid {
    /// Number in the first namespace: the Sentry's own name for it.
    pub fn number(&self) -> i32 {
        self.numbers.first().copied().unwrap_or(0)
    }

    /// Number as members of `ns` see it; 0 if they do not see it.
    pub fn in_ns(&self, ns: &PidNamespace) -> i32 {
        if !self.ns.is_within(ns) {
            return 0;
        }
        self.numbers.get(ns.level).copied().unwrap_or(0)
    }

    /// Number in its own namespace.
    pub fn own(&self) -> i32 {
        self.numbers.last().copied().unwrap_or(0)
    }

    /// Each namespace's id with the number there.
    pub(super) fn keys(&self) -> SmallVec<[(u64, i32); 2]> {
        let mut keys = SmallVec::new();
        let mut ns = Some(&self.ns);
        while let Some(n) = ns {
            if let Some(&number) = self.numbers.get(n.level) {
                keys.push((n.id, number));
            }
            ns = n.parent.as_ref();
        }
        keys
    }
}
