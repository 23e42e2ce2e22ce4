//! `memfd_create(2)`, seals, and memory shared without a name.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use bitflags::bitflags;

use super::inode::{TmpInode, fs, ops};
use crate::fs::file::{File, FileMode, OpenFlags};
use crate::fs::inode::{NewNode, OpenHow};
use crate::fs::namei::Path;
use crate::fs::stat::FileType;
use crate::kernel::Kernel;

bitflags! {
    /// `F_SEAL_*` of `fcntl(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Seals: u32 {
        /// No more seals.
        const SEAL = 1;
        /// May not become shorter.
        const SHRINK = 2;
        /// May not become longer.
        const GROW = 4;
        /// May not be written.
        const WRITE = 8;
        /// May not be written but through mappings made before.
        const FUTURE_WRITE = 16;
        /// Executable bits do not change.
        const EXEC = 32;
    }

    /// `MFD_*` of `memfd_create(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MemfdFlags: u32 {
        /// `MFD_CLOEXEC`
        const CLOEXEC = 1;
        /// `MFD_ALLOW_SEALING`
        const ALLOW_SEALING = 2;
        /// `MFD_NOEXEC_SEAL`
        const NOEXEC_SEAL = 8;
        /// `MFD_EXEC`
        const EXEC = 16;
    }
}

/// An unnamed file, `text` standing for its path.
fn unnamed(kernel: &Kernel, text: &[u8], mode: u32, owner: (u32, u32)) -> Result<Path> {
    let mnt = &kernel.vfs.memfd_mount()?;
    let node = NewNode {
        mode: mode | FileType::Regular.mode_bits(),
        uid: owner.0,
        gid: owner.1,
        rdev: 0,
    };
    let inode = TmpInode::create(&mnt.sb, &node, None)?;
    ops(&inode)?.state.lock().nlink = 0;
    Ok(Path::new_unnamed(mnt, inode, text))
}

/// A new memfd, open for reading and writing.
pub fn memfd_create(kernel: &Kernel, name: &[u8], flags: MemfdFlags, owner: (u32, u32)) -> Result<Arc<File>> {
    let mut text = b"/memfd:".to_vec();
    text.extend_from_slice(name);
    text.extend_from_slice(b" (deleted)");
    let noexec = flags.contains(MemfdFlags::NOEXEC_SEAL);
    let path = unnamed(kernel, &text, if noexec { 0o666 } else { 0o777 }, owner)?;
    let mut seals = Seals::SEAL;
    if noexec {
        seals = Seals::EXEC;
    } else if flags.contains(MemfdFlags::ALLOW_SEALING) {
        seals = Seals::empty();
    }
    ops(path.inode())?.state.lock().seals = seals;
    let how = OpenFlags::RDWR | OpenFlags::LARGEFILE;
    let ops = path.inode().ops.open(path.inode(), &OpenHow { flags: how })?;
    // Not counted as a writer, so that it can be executed while it is open, as on Linux.
    let mode = FileMode::READ | FileMode::WRITE | FileMode::SEEK;
    Ok(File::new(ops, path, mode, how))
}

/// Zeroed memory of `len` bytes that mappings share: `MAP_SHARED | MAP_ANONYMOUS` (`text` is `/dev/zero (deleted)`) and
/// System V segments (`/SYSV00000000 (deleted)`).
pub fn shared_memory(kernel: &Kernel, text: &[u8], len: u64, mode: u32, owner: (u32, u32)) -> Result<Arc<File>> {
    let path = unnamed(kernel, text, mode, owner)?;
    let inode = path.inode();
    ops(inode)?.state.lock().data()?.set_size(fs(inode)?, len)?;
    let how = OpenFlags::RDWR | OpenFlags::LARGEFILE;
    let ops = inode.ops.open(inode, &OpenHow { flags: how })?;
    Ok(File::new(
        ops,
        path,
        FileMode::READ | FileMode::WRITE | FileMode::SEEK,
        how,
    ))
}

/// `F_GET_SEALS`
pub fn seals(file: &File) -> Result<Seals> {
    let inode = file.inode().downcast::<TmpInode>().ok_or(Errno::EINVAL)?;
    if file.inode().kind != FileType::Regular {
        return Err(Errno::EINVAL);
    }
    Ok(inode.state.lock().seals)
}

/// A shared mapping of it may not be written.
pub fn is_write_sealed(file: &File) -> bool {
    let write = Seals::WRITE | Seals::FUTURE_WRITE;
    file.inode()
        .downcast::<TmpInode>()
        .is_some_and(|inode| inode.state.lock().seals.intersects(write))
}

/// `F_ADD_SEALS`; `mapped` tells whether a mapping could write to the file.
pub fn add_seals(file: &File, new: u32, mapped: impl FnOnce() -> bool) -> Result<()> {
    if !file.mode.contains(FileMode::WRITE) {
        return Err(Errno::EPERM);
    }
    let new = Seals::from_bits(new).ok_or(Errno::EINVAL)?;
    let inode = file.inode().downcast::<TmpInode>().ok_or(Errno::EINVAL)?;
    let busy = new.contains(Seals::WRITE) && mapped();
    let mut state = inode.state.lock();
    state.data()?;
    if state.seals.contains(Seals::SEAL) {
        return Err(Errno::EPERM);
    }
    if busy && !state.seals.contains(Seals::WRITE) {
        return Err(Errno::EBUSY);
    }
    let mut new = new;
    // `F_SEAL_EXEC` implies the others where the file is executable.
    if new.contains(Seals::EXEC) && state.mode & 0o111 != 0 {
        new |= Seals::SHRINK | Seals::GROW | Seals::WRITE | Seals::FUTURE_WRITE;
    }
    state.seals |= new;
    Ok(())
}
