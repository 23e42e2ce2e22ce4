//! Names of merged directories.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::OverlayFs;
use super::copy_up::{Data, copy_up};
use super::dir;
use super::inode::{OverlayInode, Place};
use crate::fs::inode::{Inode, NewNode};
use crate::fs::stat::FileType;

const NOREPLACE: u32 = 1;
const EXCHANGE: u32 = 2;

/// A name in a layer's directory; none if there is no such name.
pub(super) fn find(dir: Option<&Arc<Inode>>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
    let Some(dir) = dir else { return Ok(None) };
    match dir.ops.lookup(dir, name) {
        Ok(inode) => Ok(Some(inode)),
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A name removed above: hides what is below.
pub(super) fn is_whiteout(inode: &Inode) -> Result<bool> {
    Ok(inode.kind == FileType::CharDevice && inode.stat()?.rdev == 0)
}

fn put_whiteout(up: &Arc<Inode>, name: &[u8]) -> Result<()> {
    let node = NewNode {
        mode: FileType::CharDevice.mode_bits(),
        uid: 0,
        gid: 0,
        rdev: 0,
    };
    up.ops.create(up, name, &node).map(drop)
}

/// Removes the whiteout of that name, if there is one; tells whether.
fn clear_whiteout(up: &Arc<Inode>, name: &[u8]) -> Result<bool> {
    match find(Some(up), name)? {
        Some(inode) if is_whiteout(&inode)? => {
            up.ops.unlink(up, name, &inode)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The child of that name. The caller holds the directory's `names`.
pub(super) fn lookup(own: &OverlayInode, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
    let (upper, lower) = own.layers();
    let above = find(upper.as_ref(), name)?;
    if let Some(above) = &above {
        if is_whiteout(above)? {
            return Err(Errno::ENOENT);
        }
        if !above.is_dir() || own.fs.is_opaque(above) {
            return own.fs.inode(&dir.sb, Some(above.clone()), None, None);
        }
    }
    let below = find(lower.as_ref(), name)?.filter(|below| above.is_none() || below.is_dir());
    let place = Place {
        dir: dir.clone(),
        name: name.into(),
    };
    own.fs.inode(&dir.sb, above, below, Some(place))
}

/// Several names. Where nothing is above, the lower layer can answer them at once.
pub(super) fn lookup_path(own: &OverlayInode, dir: &Arc<Inode>, names: &[&[u8]]) -> (Vec<Arc<Inode>>, Option<Errno>) {
    let Some(first) = names.first() else {
        return (Vec::new(), None);
    };
    let (upper, lower) = own.layers();
    let above = match find(upper.as_ref(), first) {
        Ok(above) => above,
        Err(e) => return (Vec::new(), Some(e)),
    };
    let (None, Some(lower)) = (above, lower) else {
        return match lookup(own, dir, first) {
            Ok(inode) => (vec![inode], None),
            Err(e) => (Vec::new(), Some(e)),
        };
    };
    let (below, error) = lower.ops.lookup_path(&lower, names);
    let mut found: Vec<Arc<Inode>> = Vec::new();
    for (lower, name) in below.into_iter().zip(names) {
        let at = found.last().unwrap_or(dir).clone();
        let place = Place {
            dir: at.clone(),
            name: (*name).into(),
        };
        match own.fs.inode(&dir.sb, None, Some(lower), Some(place)) {
            Ok(inode) => {
                // Copied up under another name or since: from here on the upper layer has a say.
                let mixed = OverlayInode::of(&inode).is_ok_and(|i| i.lock().upper.is_some());
                found.push(inode);
                if mixed {
                    return (found, None);
                }
            }
            Err(e) => return (found, Some(e)),
        }
    }
    (found, error)
}

/// Makes something new above: `make` is given the upper directory.
pub(super) fn make<T>(
    own: &OverlayInode,
    dir: &Arc<Inode>,
    name: &[u8],
    make: impl FnOnce(&Arc<Inode>) -> Result<(Arc<Inode>, T)>,
) -> Result<(Arc<Inode>, T)> {
    let up = copy_up(dir, Data::Copy)?;
    let _names = own.names.lock();
    let hidden = clear_whiteout(&up, name)?;
    let made = make(&up).and_then(|(upper, extra)| {
        if hidden && upper.is_dir() {
            own.fs.set_opaque(&upper)?;
        }
        Ok((upper, extra))
    });
    match made {
        Ok((upper, extra)) => Ok((own.fs.inode(&dir.sb, Some(upper), None, None)?, extra)),
        Err(e) => {
            if hidden {
                put_whiteout(&up, name)?;
            }
            Err(e)
        }
    }
}

pub(super) fn link(own: &OverlayInode, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
    let file = copy_up(target, Data::Copy)?;
    let up = copy_up(dir, Data::Copy)?;
    let _names = own.names.lock();
    let hidden = clear_whiteout(&up, name)?;
    if let Err(e) = up.ops.link(&up, name, &file) {
        if hidden {
            put_whiteout(&up, name)?;
        }
        return Err(e);
    }
    let linked = OverlayInode::of(target)?;
    linked.lock().unlinked = false;
    counted(linked, 1);
    Ok(())
}

/// Keeps the count of names of a file that has several below.
fn counted(own: &OverlayInode, by: i64) {
    if own.linked
        && let (_, Some(lower)) = own.layers()
    {
        own.fs.count_names(lower.ino, by);
    }
}

/// An object lost its name.
fn lost(target: &Arc<Inode>) -> Result<()> {
    let own = OverlayInode::of(target)?;
    counted(own, -1);
    let upper = {
        let mut st = own.lock();
        st.unlinked = true;
        st.upper.clone()
    };
    if own.linked && target.stat()?.nlink == 0 {
        own.fs.forget_copy(own);
    }
    if let Some(upper) = upper
        && (upper.is_dir() || upper.stat().is_ok_and(|st| st.nlink == 0))
        && !own.linked
    {
        own.fs.forget_number(upper.ino);
    }
    Ok(())
}

pub(super) fn remove(own: &OverlayInode, dir: &Arc<Inode>, name: &[u8], target: &Arc<Inode>) -> Result<()> {
    if target.is_dir() && !dir::is_empty(target)? {
        return Err(Errno::ENOTEMPTY);
    }
    let up = copy_up(dir, Data::Copy)?;
    let _names = own.names.lock();
    let (_, lower) = own.layers();
    let hides = find(lower.as_ref(), name)?.is_some();
    if let Some(above) = find(Some(&up), name)? {
        remove_above(&own.fs, &up, name, &above)?;
    }
    if hides {
        put_whiteout(&up, name)?;
    }
    lost(target)
}

/// Removes an object of the upper layer; a directory may hold whiteouts, nothing else.
fn remove_above(fs: &Arc<OverlayFs>, up: &Arc<Inode>, name: &[u8], above: &Arc<Inode>) -> Result<()> {
    if !above.is_dir() {
        return up.ops.unlink(up, name, above);
    }
    clear_whiteouts(fs, above)?;
    up.ops.rmdir(up, name, above)
}

/// Empties an upper directory that looks empty.
fn clear_whiteouts(fs: &Arc<OverlayFs>, above: &Arc<Inode>) -> Result<()> {
    for name in dir::whiteouts(fs, above)? {
        clear_whiteout(above, &name)?;
    }
    Ok(())
}

pub(super) fn rename(from: (&Arc<Inode>, &[u8]), to: (&Arc<Inode>, &[u8]), flags: u32) -> Result<()> {
    if flags & !(NOREPLACE | EXCHANGE) != 0 {
        return Err(Errno::EINVAL);
    }
    let exchange = flags & EXCHANGE != 0;
    let (own, own_to) = (OverlayInode::of(from.0)?, OverlayInode::of(to.0)?);
    let moved = from.0.ops.lookup(from.0, from.1)?;
    let victim = match to.0.ops.lookup(to.0, to.1) {
        Ok(victim) => Some(victim),
        Err(Errno::ENOENT) => None,
        Err(e) => return Err(e),
    };
    match &victim {
        Some(_) if flags & NOREPLACE != 0 => return Err(Errno::EEXIST),
        Some(victim) if Arc::ptr_eq(victim, &moved) => return Ok(()),
        None if exchange => return Err(Errno::ENOENT),
        _ => {}
    }
    movable(&moved)?;
    if let (Some(victim), true) = (&victim, exchange) {
        movable(victim)?;
        copy_up(victim, Data::Copy)?;
    } else if let Some(victim) = &victim {
        match (moved.is_dir(), victim.is_dir()) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !dir::is_empty(victim)? => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
    }
    let above = copy_up(&moved, Data::Copy)?;
    let (up, up_to) = (copy_up(from.0, Data::Copy)?, copy_up(to.0, Data::Copy)?);
    let _names = lock_both(own, own_to);
    let hides = find(own.layers().1.as_ref(), from.1)?.is_some();
    let hidden = find(own_to.layers().1.as_ref(), to.1)?.is_some();
    if exchange {
        up.ops.rename(&up, from.1, &up_to, to.1, EXCHANGE)?;
        if let Some(victim) = &victim
            && victim.is_dir()
            && hides
        {
            own.fs.set_opaque(&OverlayInode::of(victim)?.real()?)?;
        }
    } else {
        if let Some(there) = find(Some(&up_to), to.1)? {
            if there.is_dir() {
                clear_whiteouts(&own.fs, &there)?;
            } else if above.is_dir() && is_whiteout(&there)? {
                up_to.ops.unlink(&up_to, to.1, &there)?;
            }
        }
        up.ops.rename(&up, from.1, &up_to, to.1, 0)?;
        if hides {
            put_whiteout(&up, from.1)?;
        }
    }
    if above.is_dir() && hidden {
        own.fs.set_opaque(&above)?;
    }
    if let (Some(victim), false) = (&victim, exchange) {
        lost(victim)?;
    }
    Ok(())
}

/// A directory of which a part is below cannot move with it: programs then copy it, as they do between file systems.
fn movable(inode: &Arc<Inode>) -> Result<()> {
    if inode.is_dir() && OverlayInode::of(inode)?.lock().lower.is_some() {
        Err(Errno::EXDEV)
    } else {
        Ok(())
    }
}

/// Both directories' `names`, by address, or the one.
fn lock_both<'a>(a: &'a OverlayInode, b: &'a OverlayInode) -> impl Sized + 'a {
    if std::ptr::eq(a, b) {
        return (Some(a.names.lock()), None);
    }
    let (first, second) = if std::ptr::from_ref(a) < std::ptr::from_ref(b) {
        (a, b)
    } else {
        (b, a)
    };
    (Some(first.names.lock()), Some(second.names.lock()))
}
