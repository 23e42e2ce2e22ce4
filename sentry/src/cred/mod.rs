//! Credentials (`credentials(7)`, `capabilities(7)`) and user namespaces.

pub(crate) mod exec;
pub(crate) mod ids;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

/// Capability numbers (`capabilities(7)`).
#[allow(missing_docs, reason = "capabilities(7) documents each name")]
pub mod cap {
    pub const CHOWN: u32 = 0;
    pub const DAC_OVERRIDE: u32 = 1;
    pub const DAC_READ_SEARCH: u32 = 2;
    pub const FOWNER: u32 = 3;
    pub const FSETID: u32 = 4;
    pub const KILL: u32 = 5;
    pub const SETGID: u32 = 6;
    pub const SETUID: u32 = 7;
    pub const SETPCAP: u32 = 8;
    pub const LINUX_IMMUTABLE: u32 = 9;
    pub const NET_BIND_SERVICE: u32 = 10;
    pub const NET_BROADCAST: u32 = 11;
    pub const NET_ADMIN: u32 = 12;
    pub const NET_RAW: u32 = 13;
    pub const IPC_LOCK: u32 = 14;
    pub const IPC_OWNER: u32 = 15;
    pub const SYS_MODULE: u32 = 16;
    pub const SYS_RAWIO: u32 = 17;
    pub const SYS_CHROOT: u32 = 18;
    pub const SYS_PTRACE: u32 = 19;
    pub const SYS_PACCT: u32 = 20;
    pub const SYS_ADMIN: u32 = 21;
    pub const SYS_BOOT: u32 = 22;
    pub const SYS_NICE: u32 = 23;
    pub const SYS_RESOURCE: u32 = 24;
    pub const SYS_TIME: u32 = 25;
    pub const SYS_TTY_CONFIG: u32 = 26;
    pub const MKNOD: u32 = 27;
    pub const LEASE: u32 = 28;
    pub const AUDIT_WRITE: u32 = 29;
    pub const AUDIT_CONTROL: u32 = 30;
    pub const SETFCAP: u32 = 31;
    pub const MAC_OVERRIDE: u32 = 32;
    pub const MAC_ADMIN: u32 = 33;
    pub const SYSLOG: u32 = 34;
    pub const WAKE_ALARM: u32 = 35;
    pub const BLOCK_SUSPEND: u32 = 36;
    pub const AUDIT_READ: u32 = 37;
    pub const PERFMON: u32 = 38;
    pub const BPF: u32 = 39;
    pub const CHECKPOINT_RESTORE: u32 = 40;
    pub const LAST: u32 = 40;
    /// All of them.
    pub const FULL: u64 = (1 << (LAST + 1)) - 1;
}

/// A user namespace (`user_namespaces(7)`). Ids in [`Cred`] are global ("kuid"); maps turn them into what members see.
pub struct UserNamespace {
    /// None for the first one.
    pub parent: Option<Arc<UserNamespace>>,
    /// Creator, as a global id.
    pub owner: u32,
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// (first inside, first global, count); empty until written.
    pub uid_map: crate::sync::Mutex<Vec<(u32, u32, u32)>>,
    /// Likewise for groups.
    pub gid_map: crate::sync::Mutex<Vec<(u32, u32, u32)>>,
    /// The creator had `CAP_SETFCAP` in the parent: members may map its root, for which they could give files capabilities.
    pub creator_had_setfcap: bool,
    /// `/proc/PID/setgroups` says "deny".
    pub setgroups_denied: std::sync::atomic::AtomicBool,
}

/// Id shown for what a map does not hold (`/proc/sys/kernel/overflowuid`).
pub const OVERFLOW_ID: u32 = 65534;

fn map_in(map: &[(u32, u32, u32)], id: u32) -> Option<u32> {
    map.iter().find_map(|&(inside, global, count)| {
        let off = id.checked_sub(inside).filter(|&o| o < count)?;
        global.checked_add(off)
    })
}

fn map_out(map: &[(u32, u32, u32)], id: u32) -> Option<u32> {
    map.iter().find_map(|&(inside, global, count)| {
        let off = id.checked_sub(global).filter(|&o| o < count)?;
        inside.checked_add(off)
    })
}

impl UserNamespace {
    /// The first namespace: ids are themselves.
    pub fn root(id: u64) -> Arc<UserNamespace> {
        let all = || crate::sync::Mutex::new(vec![(0, 0, u32::MAX)]);
        Arc::new(UserNamespace {
            parent: None,
            owner: 0,
            id,
            uid_map: all(),
            gid_map: all(),
            creator_had_setfcap: true,
            setgroups_denied: std::sync::atomic::AtomicBool::new(false),
        })
    }

    /// A user id of a member as a global one; `EINVAL` where none is mapped.
    pub fn uid_in(&self, uid: u32) -> Result<u32> {
        map_in(&self.uid_map.lock(), uid).ok_or(Errno::EINVAL)
    }

    /// A group id of a member as a global one.
    pub fn gid_in(&self, gid: u32) -> Result<u32> {
        map_in(&self.gid_map.lock(), gid).ok_or(Errno::EINVAL)
    }

    /// What members see for a global user id.
    pub fn uid_out(&self, uid: u32) -> u32 {
        map_out(&self.uid_map.lock(), uid).unwrap_or(OVERFLOW_ID)
    }

    /// What members see for a global group id.
    pub fn gid_out(&self, gid: u32) -> u32 {
        map_out(&self.gid_map.lock(), gid).unwrap_or(OVERFLOW_ID)
    }

    /// True if `self` is `other` or one of its descendants.
    pub fn is_within(&self, other: &UserNamespace) -> bool {
        self.id == other.id || self.parent.as_ref().is_some_and(|p| p.is_within(other))
    }
}

/// Credentials of a task: never changed, only replaced, like `struct cred`.
#[derive(Clone)]
pub struct Cred {
    /// Real, effective, saved and file system user id (global ids).
    pub uid: u32,
    /// Effective.
    pub euid: u32,
    /// Saved.
    pub suid: u32,
    /// For file access.
    pub fsuid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Saved group.
    pub sgid: u32,
    /// For file access.
    pub fsgid: u32,
    /// Supplementary groups, sorted.
    pub groups: Arc<Vec<u32>>,
    /// Permitted capabilities.
    pub permitted: u64,
    /// Effective.
    pub effective: u64,
    /// Inheritable.
    pub inheritable: u64,
    /// Bounding.
    pub bounding: u64,
    /// Ambient.
    pub ambient: u64,
    /// `PR_SET_SECUREBITS`
    pub securebits: u32,
    /// `PR_SET_NO_NEW_PRIVS`
    pub no_new_privs: bool,
    /// Namespace in which the capabilities hold.
    pub user_ns: Arc<UserNamespace>,
}

impl Cred {
    /// Like `capable()` in the credentials' own namespace.
    pub fn has_cap(&self, cap: u32) -> bool {
        self.effective & (1u64 << (cap & 63)) != 0
    }

    /// Like `ns_capable()`: effective in `ns`, by being there, or as its owner from its parent.
    pub fn has_cap_in(&self, ns: &UserNamespace, cap: u32) -> bool {
        if ns.id == self.user_ns.id {
            return self.has_cap(cap);
        }
        let Some(parent) = &ns.parent else { return false };
        (parent.id == self.user_ns.id && ns.owner == self.euid) || self.has_cap_in(parent, cap)
    }

    /// Member of the group for file access.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.binary_search(&gid).is_ok()
    }

    /// Member of the group by effective id.
    pub fn in_egroup(&self, gid: u32) -> bool {
        self.egid == gid || self.groups.binary_search(&gid).is_ok()
    }
}

/// Bits of `PR_SET_SECUREBITS`.
#[allow(missing_docs, reason = "capabilities(7) documents each name")]
pub mod securebits {
    pub const NOROOT: u32 = 1;
    pub const NO_SETUID_FIXUP: u32 = 1 << 2;
    pub const KEEP_CAPS: u32 = 1 << 4;
    pub const KEEP_CAPS_LOCKED: u32 = 1 << 5;
    pub const NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
    /// The bits that have a lock, and their locks above them.
    pub const ALL: u32 = 0xff;
    pub const LOCKS: u32 = 0xaa;
}
