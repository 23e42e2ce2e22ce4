//! Credentials across `execve(2)`: set-user-id programs, file capabilities, ambient ones (`capabilities(7)`).

use crate::fs::mount::MountFlags;
use crate::fs::{File, Stat};

use super::{Cred, cap, securebits};

const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o010;

/// Capabilities that a file gives.
#[derive(Clone, Copy, Default)]
struct FileCaps {
    permitted: u64,
    inheritable: u64,
    effective: bool,
}

/// The credentials that the new program runs with.
pub(crate) fn transition(old: &Cred, file: &File, stat: &Stat, traced: bool) -> Cred {
    let mut new = old.clone();
    let nosuid = file.path.mnt.flags().contains(MountFlags::NOSUID);
    if !nosuid && !old.no_new_privs {
        if stat.mode & S_ISUID != 0 && old.user_ns.has_uid(stat.uid) {
            new.euid = stat.uid;
        }
        if stat.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP && old.user_ns.has_gid(stat.gid) {
            new.egid = stat.gid;
        }
    }
    let root = old.user_ns.uid_in(0).ok();
    let is_root = |uid: u32| Some(uid) == root;
    let noroot = old.securebits & securebits::NOROOT != 0;
    let plain_root = is_root(new.uid) && is_root(new.euid) && !noroot;
    // What a file would add to root's capabilities root has anyway; the look-up is spared.
    let caps = match nosuid || plain_root {
        true => None,
        false => file_caps(file, root),
    };
    let (mut permitted, mut effective) = match caps {
        Some(c) => (
            (old.bounding & c.permitted) | (old.inheritable & c.inheritable),
            c.effective,
        ),
        None => (0, false),
    };
    if !noroot && !(caps.is_some() && !is_root(new.uid) && is_root(new.euid)) {
        if is_root(new.euid) || is_root(new.uid) {
            permitted = old.bounding | old.inheritable;
        }
        effective |= is_root(new.euid);
    }
    let set_id = new.euid != new.uid && new.euid != old.euid || new.egid != new.gid && new.egid != old.egid;
    let gained = permitted & !(old.permitted | old.ambient) != 0;
    if (set_id || gained) && (old.no_new_privs || traced && !old.has_cap(cap::SYS_PTRACE)) {
        if !old.has_cap(cap::SETUID) || old.no_new_privs {
            new.euid = new.uid;
            new.egid = new.gid;
        }
        permitted &= old.permitted;
    }
    new.suid = new.euid;
    new.fsuid = new.euid;
    new.sgid = new.egid;
    new.fsgid = new.egid;
    if caps.is_some() || set_id {
        new.ambient = 0;
    }
    new.permitted = permitted | new.ambient;
    new.effective = if effective { new.permitted } else { new.ambient };
    new.securebits &= !securebits::KEEP_CAPS;
    new
}

/// The attribute `security.capability`, version 2 or 3.
fn file_caps(file: &File, root: Option<u32>) -> Option<FileCaps> {
    let value = file.inode().ops.getxattr(file.inode(), b"security.capability").ok()?;
    let word = |i: usize| {
        let bytes = value.get(i * 4..i * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let magic = word(0)?;
    match (magic & 0xff00_0000, value.len()) {
        (0x0200_0000, 20) => {}
        // Meant for the namespace whose root is that user.
        (0x0300_0000, 24) if word(5) == root => {}
        _ => return None,
    }
    let wide = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)) & cap::FULL;
    Some(FileCaps {
        permitted: wide(word(1)?, word(3)?),
        inheritable: wide(word(2)?, word(4)?),
        effective: magic & 1 != 0,
    })
}
