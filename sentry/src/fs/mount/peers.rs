//! Shared, slave, private and unbindable mounts: to which other mounts an event on one spreads.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Mount, MountTable};
use crate::sync::Mutex;

/// Mounts that share events: a mount or unmount on one happens on all, and on their slaves.
pub struct PeerGroup {
    /// Number, as in `/proc/PID/mountinfo`.
    pub id: u64,
    members: Mutex<Vec<Weak<Mount>>>,
    slaves: Mutex<Vec<Weak<Mount>>>,
}

/// How one mount takes part.
#[derive(Clone, Default)]
pub struct Propagation {
    /// Shared with these.
    pub group: Option<Arc<PeerGroup>>,
    /// Receives from these.
    pub master: Option<Arc<PeerGroup>>,
    /// May not be bind mounted.
    pub unbindable: bool,
}

fn add(list: &Mutex<Vec<Weak<Mount>>>, mount: &Arc<Mount>) {
    let mut list = list.lock();
    list.retain(|m| m.strong_count() > 0);
    list.push(Arc::downgrade(mount));
}

fn remove(list: &Mutex<Vec<Weak<Mount>>>, mount: &Arc<Mount>) {
    list.lock()
        .retain(|m| m.strong_count() > 0 && m.as_ptr() != Arc::as_ptr(mount));
}

fn live(list: &Mutex<Vec<Weak<Mount>>>) -> Vec<Arc<Mount>> {
    list.lock().iter().filter_map(Weak::upgrade).collect()
}

impl PeerGroup {
    pub(super) fn new(table: &MountTable) -> Arc<PeerGroup> {
        Arc::new(PeerGroup {
            id: table.next_group.fetch_add(1, Ordering::Relaxed),
            members: Mutex::new(Vec::new()),
            slaves: Mutex::new(Vec::new()),
        })
    }
}

/// Makes the mount's way of taking part this one.
pub(super) fn set(mount: &Arc<Mount>, new: Propagation) {
    let mut p = mount.propagation.lock();
    if let Some(group) = &p.group {
        remove(&group.members, mount);
    }
    if let Some(master) = &p.master {
        remove(&master.slaves, mount);
    }
    if let Some(group) = &new.group {
        add(&group.members, mount);
    }
    if let Some(master) = &new.master {
        add(&master.slaves, mount);
    }
    *p = new;
}

/// `MS_SHARED`
pub(super) fn make_shared(mount: &Arc<Mount>) {
    let mut new = mount.propagation.lock().clone();
    new.unbindable = false;
    if new.group.is_none() {
        new.group = Some(PeerGroup::new(&mount.table));
    }
    set(mount, new);
}

/// `MS_SLAVE`: of the peers that are left, if there are any, else of the master it had.
pub(super) fn make_slave(mount: &Arc<Mount>) {
    let old = mount.propagation.lock().clone();
    let peers = old.group.as_ref().is_some_and(|g| live(&g.members).len() > 1);
    let master = if peers { old.group } else { old.master };
    set(
        mount,
        Propagation {
            group: None,
            master,
            unbindable: false,
        },
    );
}

/// `MS_PRIVATE` and `MS_UNBINDABLE`
pub(super) fn make_private(mount: &Arc<Mount>, unbindable: bool) {
    set(
        mount,
        Propagation {
            group: None,
            master: None,
            unbindable,
        },
    );
}

/// Where else an event on `mount` happens: (mount, true if it receives as a slave).
pub(super) fn receivers(mount: &Arc<Mount>) -> Vec<(Arc<Mount>, bool)> {
    let mut out: Vec<(Arc<Mount>, bool)> = Vec::new();
    let Some(group) = mount.propagation.lock().group.clone() else {
        return out;
    };
    let mut groups = vec![(group, false)];
    let mut seen = Vec::new();
    while let Some((group, slave)) = groups.pop() {
        if seen.contains(&group.id) {
            continue;
        }
        seen.push(group.id);
        for member in live(&group.members) {
            if member.id != mount.id && !out.iter().any(|(m, _)| m.id == member.id) {
                out.push((member, slave));
            }
        }
        for member in live(&group.slaves) {
            if member.id == mount.id || out.iter().any(|(m, _)| m.id == member.id) {
                continue;
            }
            let own = member.propagation.lock().group.clone();
            match own {
                Some(own) => groups.push((own, true)),
                None => out.push((member, true)),
            }
        }
    }
    out
}
