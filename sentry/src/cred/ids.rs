//! Changing ids (`setuid(2)` and its kin) and what that does to capabilities.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::{Cred, UserNamespace, cap, securebits};

/// "Leave it": `(uid_t)-1`.
const KEEP: u32 = u32::MAX;

impl UserNamespace {
    /// The global user id has a number here.
    pub fn has_uid(&self, uid: u32) -> bool {
        super::map_out(&self.uid_map.lock(), uid).is_some()
    }

    /// The global group id has a number here.
    pub fn has_gid(&self, gid: u32) -> bool {
        super::map_out(&self.gid_map.lock(), gid).is_some()
    }
}

impl Cred {
    fn uid_arg(&self, uid: u32) -> Result<Option<u32>> {
        if uid == KEEP {
            Ok(None)
        } else {
            self.user_ns.uid_in(uid).map(Some)
        }
    }

    fn gid_arg(&self, gid: u32) -> Result<Option<u32>> {
        if gid == KEEP {
            Ok(None)
        } else {
            self.user_ns.gid_in(gid).map(Some)
        }
    }

    /// `setuid(2)`
    pub(crate) fn with_uid(&self, uid: u32) -> Result<Cred> {
        let uid = self.user_ns.uid_in(uid)?;
        let mut new = self.clone();
        if self.has_cap(cap::SETUID) {
            new.uid = uid;
            new.suid = uid;
        } else if uid != self.uid && uid != self.suid {
            return Err(Errno::EPERM);
        }
        new.euid = uid;
        new.fsuid = uid;
        new.fix_caps(self);
        Ok(new)
    }

    /// `setgid(2)`
    pub(crate) fn with_gid(&self, gid: u32) -> Result<Cred> {
        let gid = self.user_ns.gid_in(gid)?;
        let mut new = self.clone();
        if self.has_cap(cap::SETGID) {
            new.gid = gid;
            new.sgid = gid;
        } else if gid != self.gid && gid != self.sgid {
            return Err(Errno::EPERM);
        }
        new.egid = gid;
        new.fsgid = gid;
        Ok(new)
    }

    /// `setreuid(2)`
    pub(crate) fn with_reuid(&self, ruid: u32, euid: u32) -> Result<Cred> {
        let (ruid, euid) = (self.uid_arg(ruid)?, self.uid_arg(euid)?);
        let privileged = self.has_cap(cap::SETUID);
        let mut new = self.clone();
        if let Some(uid) = ruid {
            if uid != self.uid && uid != self.euid && !privileged {
                return Err(Errno::EPERM);
            }
            new.uid = uid;
        }
        if let Some(uid) = euid {
            if uid != self.uid && uid != self.euid && uid != self.suid && !privileged {
                return Err(Errno::EPERM);
            }
            new.euid = uid;
        }
        if ruid.is_some() || euid.is_some_and(|uid| uid != self.uid) {
            new.suid = new.euid;
        }
        new.fsuid = new.euid;
        new.fix_caps(self);
        Ok(new)
    }

    /// `setregid(2)`
    pub(crate) fn with_regid(&self, rgid: u32, egid: u32) -> Result<Cred> {
        let (rgid, egid) = (self.gid_arg(rgid)?, self.gid_arg(egid)?);
        let privileged = self.has_cap(cap::SETGID);
        let mut new = self.clone();
        if let Some(gid) = rgid {
            if gid != self.gid && gid != self.egid && !privileged {
                return Err(Errno::EPERM);
            }
            new.gid = gid;
        }
        if let Some(gid) = egid {
            if gid != self.gid && gid != self.egid && gid != self.sgid && !privileged {
                return Err(Errno::EPERM);
            }
            new.egid = gid;
        }
        if rgid.is_some() || egid.is_some_and(|gid| gid != self.gid) {
            new.sgid = new.egid;
        }
        new.fsgid = new.egid;
        Ok(new)
    }

    /// `setresuid(2)`
    pub(crate) fn with_resuid(&self, ruid: u32, euid: u32, suid: u32) -> Result<Cred> {
        let ids = [self.uid_arg(ruid)?, self.uid_arg(euid)?, self.uid_arg(suid)?];
        let own = [self.uid, self.euid, self.suid];
        if !self.has_cap(cap::SETUID) && ids.iter().flatten().any(|id| !own.contains(id)) {
            return Err(Errno::EPERM);
        }
        let mut new = self.clone();
        let [ruid, euid, suid] = ids;
        new.uid = ruid.unwrap_or(self.uid);
        new.euid = euid.unwrap_or(self.euid);
        new.suid = suid.unwrap_or(self.suid);
        new.fsuid = new.euid;
        new.fix_caps(self);
        Ok(new)
    }

    /// `setresgid(2)`
    pub(crate) fn with_resgid(&self, rgid: u32, egid: u32, sgid: u32) -> Result<Cred> {
        let ids = [self.gid_arg(rgid)?, self.gid_arg(egid)?, self.gid_arg(sgid)?];
        let own = [self.gid, self.egid, self.sgid];
        if !self.has_cap(cap::SETGID) && ids.iter().flatten().any(|id| !own.contains(id)) {
            return Err(Errno::EPERM);
        }
        let mut new = self.clone();
        let [rgid, egid, sgid] = ids;
        new.gid = rgid.unwrap_or(self.gid);
        new.egid = egid.unwrap_or(self.egid);
        new.sgid = sgid.unwrap_or(self.sgid);
        new.fsgid = new.egid;
        Ok(new)
    }

    /// `setfsuid(2)`: none if refused, which the call does not tell.
    pub(crate) fn with_fsuid(&self, uid: u32) -> Option<Cred> {
        let uid = self.user_ns.uid_in(uid).ok().filter(|_| uid != KEEP)?;
        if ![self.uid, self.euid, self.suid, self.fsuid].contains(&uid) && !self.has_cap(cap::SETUID) {
            return None;
        }
        let mut new = self.clone();
        new.fsuid = uid;
        if self.securebits & securebits::NO_SETUID_FIXUP == 0 {
            let root = self.user_ns.uid_in(0).ok();
            if Some(self.fsuid) == root && Some(uid) != root {
                new.effective &= !FS_CAPS;
            } else if Some(self.fsuid) != root && Some(uid) == root {
                new.effective |= FS_CAPS & new.permitted;
            }
        }
        Some(new)
    }

    /// `setfsgid(2)`
    pub(crate) fn with_fsgid(&self, gid: u32) -> Option<Cred> {
        let gid = self.user_ns.gid_in(gid).ok().filter(|_| gid != KEEP)?;
        if ![self.gid, self.egid, self.sgid, self.fsgid].contains(&gid) && !self.has_cap(cap::SETGID) {
            return None;
        }
        Some(Cred {
            fsgid: gid,
            ..self.clone()
        })
    }

    /// `setgroups(2)`, ids as the caller sees them.
    pub(crate) fn with_groups(&self, groups: &[u32]) -> Result<Cred> {
        let mut global = Vec::with_capacity(groups.len());
        for &gid in groups {
            global.push(self.user_ns.gid_in(gid)?);
        }
        global.sort_unstable();
        Ok(Cred {
            groups: Arc::new(global),
            ..self.clone()
        })
    }

    /// Like `cap_emulate_setxuid`: leaving the user id 0 gives capabilities up.
    fn fix_caps(&mut self, old: &Cred) {
        if self.securebits & securebits::NO_SETUID_FIXUP != 0 {
            return;
        }
        let root = self.user_ns.uid_in(0).ok();
        let is_root = |uid: u32| Some(uid) == root;
        let was = is_root(old.uid) || is_root(old.euid) || is_root(old.suid);
        let stays = is_root(self.uid) || is_root(self.euid) || is_root(self.suid);
        if was && !stays {
            if self.securebits & securebits::KEEP_CAPS == 0 {
                self.permitted = 0;
                self.effective = 0;
            }
            self.ambient = 0;
        }
        if is_root(old.euid) && !is_root(self.euid) {
            self.effective = 0;
        }
        if !is_root(old.euid) && is_root(self.euid) {
            self.effective = self.permitted;
        }
    }
}

/// Capabilities that follow the file system user id (`CAP_FS_MASK`).
const FS_CAPS: u64 = (1 << cap::CHOWN)
    | (1 << cap::DAC_OVERRIDE)
    | (1 << cap::DAC_READ_SEARCH)
    | (1 << cap::FOWNER)
    | (1 << cap::FSETID)
    | (1 << cap::LINUX_IMMUTABLE)
    | (1 << cap::MKNOD)
    | (1 << cap::MAC_OVERRIDE);
