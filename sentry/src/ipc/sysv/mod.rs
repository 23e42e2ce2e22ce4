//! System V IPC (`sysvipc(7)`): objects with ids, keys and permission bits.

pub mod msg;
pub mod sem;
pub mod shm;

use std::collections::{BTreeMap, HashMap};

use abi::Errno;
use abi::errno::Result;
use abi::ipc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IpcPerm};

use crate::cred::{Cred, cap};
use crate::sync::Mutex;
use crate::sysctl::Tunable;

/// Objects of one kind, whatever the limits say (`IPCMNI`).
pub const MAX_IDS: usize = 32768;
/// An id is a sequence number times this, plus the index.
const SEQ: i32 = 32768;

/// All three kinds.
#[derive(Default)]
pub struct SysV {
    /// Shared memory.
    pub shm: Mutex<Table<shm::Segment>>,
    /// Semaphore sets.
    pub sem: Mutex<Table<std::sync::Arc<sem::Set>>>,
    /// Message queues.
    pub msg: Mutex<Table<std::sync::Arc<msg::Queue>>>,
}

/// To read.
pub const READ: u32 = 0o444;
/// To write.
pub const WRITE: u32 = 0o222;

/// Owner, creator and permission bits. Ids are global.
#[derive(Clone, Debug)]
pub struct Perm {
    /// `IPC_PRIVATE` for none.
    pub key: i32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Creator.
    pub cuid: u32,
    /// Creator's group.
    pub cgid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Perm {
    fn new(key: i32, flags: i32, cred: &Cred) -> Perm {
        Perm {
            key,
            uid: cred.euid,
            gid: cred.egid,
            cuid: cred.euid,
            cgid: cred.egid,
            mode: flags.cast_unsigned() & 0o777,
        }
    }

    /// Like `ipcperms`: `EACCES` unless all bits of `want` (in one of its three places) are granted.
    pub fn check(&self, cred: &Cred, want: u32) -> Result<()> {
        let asked = (want >> 6) | (want >> 3) | want;
        let granted = if cred.euid == self.cuid || cred.euid == self.uid {
            self.mode >> 6
        } else if cred.in_egroup(self.cgid) || cred.in_egroup(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if asked & !granted & 7 != 0 && !cred.has_cap(cap::IPC_OWNER) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// To change or remove: owner, creator or privileged; `EPERM` otherwise.
    pub fn check_owner(&self, cred: &Cred) -> Result<()> {
        if cred.euid == self.cuid || cred.euid == self.uid || cred.has_cap(cap::SYS_ADMIN) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// `IPC_SET`
    pub fn set(&mut self, new: &IpcPerm, cred: &Cred) -> Result<()> {
        let uid = cred.user_ns.uid_in(new.uid)?;
        let gid = cred.user_ns.gid_in(new.gid)?;
        self.uid = uid;
        self.gid = gid;
        self.mode = (self.mode & !0o777) | (new.mode & 0o777);
        Ok(())
    }

    /// As the reader sees it.
    pub fn show(&self, id: i32, cred: &Cred) -> IpcPerm {
        let ns = &cred.user_ns;
        IpcPerm {
            key: self.key,
            uid: ns.uid_out(self.uid),
            gid: ns.gid_out(self.gid),
            cuid: ns.uid_out(self.cuid),
            cgid: ns.gid_out(self.cgid),
            mode: self.mode,
            seq: u16::try_from(id / SEQ).unwrap_or(0),
            ..IpcPerm::default()
        }
    }
}

/// What a namespace says about new objects of a kind.
pub struct Room<'a> {
    /// Objects, at most.
    pub max: &'a Tunable,
    /// Id of the next one; negative leaves it to the table.
    pub next: &'a Tunable,
}

/// An object as the table sees it.
pub trait Object {
    /// Its permissions now.
    fn perm(&self) -> Perm;

    /// What it counts for in the limit over all objects: semaphores, pages.
    fn weight(&self) -> u64 {
        0
    }
}

/// How a command that shows an object names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `IPC_STAT`
    Id,
    /// `*_STAT`
    Index,
    /// `*_STAT_ANY`: whoever asks.
    IndexForAll,
}

impl By {
    /// What the command gives.
    pub fn result(self, id: i32) -> u64 {
        match self {
            By::Id => 0,
            By::Index | By::IndexForAll => u64::from(id.cast_unsigned()),
        }
    }
}

/// Objects of one kind by id and key.
pub struct Table<T> {
    objects: BTreeMap<i32, (i32, T)>,
    keys: HashMap<i32, i32>,
    seq: i32,
    /// No index below this one is free.
    full_below: i32,
    weight: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            objects: BTreeMap::new(),
            keys: HashMap::new(),
            seq: 0,
            full_below: 0,
            weight: 0,
        }
    }
}

impl<T: Object> Table<T> {
    /// The `*get` calls: finds the key or makes an object of it. `check` looks at one that exists.
    pub fn get_or_make(
        &mut self,
        key: i32,
        flags: i32,
        cred: &Cred,
        room: &Room<'_>,
        check: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce(Perm) -> Result<T>,
    ) -> Result<i32> {
        if key != IPC_PRIVATE
            && let Some(&id) = self.keys.get(&key)
        {
            if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            let object = self.get(id)?;
            check(object)?;
            object.perm().check(cred, flags.cast_unsigned() & 0o777)?;
            return Ok(id);
        }
        if key != IPC_PRIVATE && flags & IPC_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        if abi::conv::usize64(self.objects.len()) >= room.max.count() || self.objects.len() >= MAX_IDS {
            return Err(Errno::ENOSPC);
        }
        let object = make(Perm::new(key, flags, cred))?;
        // An id that was asked for is given, or the next one that is free; once.
        let wanted = i32::try_from(room.next.get()).ok().filter(|&id| id >= 0);
        room.next.set(-1);
        let first = wanted.map_or(self.full_below, |id| id % SEQ);
        let free = (first..SEQ).chain(0..first).find(|i| !self.objects.contains_key(i));
        let index = free.ok_or(Errno::ENOSPC)?;
        let id = match wanted {
            Some(id) => (id / SEQ).wrapping_mul(SEQ) + index,
            None => {
                let id = self.seq.wrapping_mul(SEQ) + index;
                self.seq = (self.seq + 1) % (i32::MAX / SEQ);
                id
            }
        };
        if index == self.full_below {
            self.full_below = index + 1;
        }
        self.weight = self.weight.saturating_add(object.weight());
        self.objects.insert(index, (id, object));
        if key != IPC_PRIVATE {
            self.keys.insert(key, id);
        }
        Ok(id)
    }

    /// By id. `EINVAL` for one that is not there, or no longer.
    pub fn get(&self, id: i32) -> Result<&T> {
        let (known, object) = self.objects.get(&(id % SEQ)).filter(|_| id >= 0).ok_or(Errno::EINVAL)?;
        if *known == id { Ok(object) } else { Err(Errno::EINVAL) }
    }

    /// Likewise, to be changed.
    pub fn get_mut(&mut self, id: i32) -> Result<&mut T> {
        let (known, object) = self
            .objects
            .get_mut(&(id % SEQ))
            .filter(|_| id >= 0)
            .ok_or(Errno::EINVAL)?;
        if *known == id { Ok(object) } else { Err(Errno::EINVAL) }
    }

    /// By index, for the `*_STAT` commands of `ipcs(1)`; with its id. Of an id the index counts.
    fn at(&self, index: i32) -> Result<(i32, &T)> {
        let (id, object) = self.objects.get(&(index % SEQ)).ok_or(Errno::EINVAL)?;
        Ok((*id, object))
    }

    /// An object that is shown to somebody, with its id.
    pub fn shown(&self, number: i32, by: By, cred: &Cred) -> Result<(i32, &T)> {
        let (id, object) = match by {
            By::Id => (number, self.get(number)?),
            By::Index | By::IndexForAll => self.at(number)?,
        };
        if by != By::IndexForAll {
            object.perm().check(cred, READ)?;
        }
        Ok((id, object))
    }

    /// Highest index in use, as the `*_INFO` commands give it.
    pub fn max_index(&self) -> u64 {
        let last = self.objects.keys().next_back().copied().unwrap_or(0);
        u64::try_from(last).unwrap_or(0)
    }

    /// What all of them count for.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// All, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &T)> {
        self.objects.values().map(|(id, object)| (*id, object))
    }

    /// Forgets the key: nobody finds the object by it any more.
    pub fn forget_key(&mut self, id: i32) {
        self.keys.retain(|_, known| *known != id);
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: i32) -> Result<T> {
        self.get(id)?;
        self.forget_key(id);
        let (_, object) = self.objects.remove(&(id % SEQ)).ok_or(Errno::EINVAL)?;
        self.full_below = self.full_below.min(id % SEQ);
        self.weight = self.weight.saturating_sub(object.weight());
        Ok(object)
    }
}

/// Seconds since the epoch.
pub(super) fn now() -> i64 {
    (crate::time::clock::realtime_now() / 1_000_000_000).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Object, Perm, Room, Table};
    use abi::Errno;
    use abi::ipc::{IPC_CREAT, IPC_EXCL};

    struct Thing(Perm);

    impl Object for Thing {
        fn perm(&self) -> Perm {
            self.0.clone()
        }
    }

    fn cred(uid: u32) -> crate::cred::Cred {
        let user_ns = crate::cred::UserNamespace::root(1);
        crate::cred::Cred {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid: uid,
            egid: uid,
            sgid: uid,
            fsgid: uid,
            groups: std::sync::Arc::new(Vec::new()),
            permitted: 0,
            effective: 0,
            inheritable: 0,
            bounding: 0,
            ambient: 0,
            securebits: 0,
            no_new_privs: false,
            user_ns,
        }
    }

    #[test]
    fn keys_ids_and_permissions() {
        let mut table: Table<Thing> = Table::default();
        let get = |table: &mut Table<Thing>, key, flags, uid| {
            let room = Room {
                max: &crate::sysctl::Tunable::new(100),
                next: &crate::sysctl::Tunable::new(-1),
            };
            table.get_or_make(key, flags, &cred(uid), &room, |_| Ok(()), |p| Ok(Thing(p)))
        };
        assert_eq!(get(&mut table, 7, 0, 1), Err(Errno::ENOENT));
        let id = get(&mut table, 7, IPC_CREAT | 0o600, 1).expect("made");
        assert_eq!(get(&mut table, 7, 0o600, 1), Ok(id));
        assert_eq!(get(&mut table, 7, 0o400, 2), Err(Errno::EACCES));
        assert_eq!(get(&mut table, 7, IPC_CREAT | IPC_EXCL, 1), Err(Errno::EEXIST));
        let private = get(&mut table, 0, 0o600, 1).expect("made");
        assert_ne!(private, id);
        assert!(table.remove(id).is_ok());
        assert!(table.get(id).is_err());
        // A new object at the same index has another id.
        let again = get(&mut table, 7, IPC_CREAT | 0o600, 1).expect("made");
        assert_ne!(again, id);
        assert_eq!(again % super::SEQ, id % super::SEQ);
    }
}
