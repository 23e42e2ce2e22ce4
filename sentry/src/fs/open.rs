//! Opening files: names, flags and permission to open file descriptions (`open(2)`).

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::dentry::Child;
use super::file::{File, FileMode, FileOps, OpenFlags, SeekFrom};
use super::inode::{NewNode, OpenHow, SetAttr};
use super::mount::MountFlags;
use super::namei::{AT_FDCWD, Last, Lookup, Path, Walker};
use super::perm::{self, MAY_EXEC, MAY_READ, MAY_WRITE};
use super::stat::FileType;
use super::{attr, watch};
use crate::task::Task;

/// What a call asks for, checked.
#[derive(Clone, Copy, Debug)]
pub struct OpenArgs {
    /// `O_*`
    pub flags: OpenFlags,
    /// Permission bits of a new file, before the umask.
    pub mode: u32,
    /// `RESOLVE_*` as lookup flags.
    pub resolve: Lookup,
}

/// What came of it.
pub enum Opened {
    /// Done.
    File(Arc<File>),
    /// A fifo, to be opened by `ipc::pipe::open_fifo`, which can wait for the other side.
    Fifo(Path, OpenFlags),
    /// A lease on it is to be broken first (`lease::wait_broken`, for writing?); then [`open_place`].
    Leased(Path, bool),
}

/// All flags that `open(2)` knows (`VALID_OPEN_FLAGS`).
pub const VALID: OpenFlags = OpenFlags::all();

/// Flags that stay with the file description.
pub fn kept(flags: OpenFlags) -> OpenFlags {
    flags.difference(OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::NOCTTY | OpenFlags::TRUNC | OpenFlags::CLOEXEC)
}

impl OpenArgs {
    /// As `open(2)` has it: unknown flags are dropped. `EINVAL` for what does not go together (`build_open_flags`).
    pub fn new(flags: u32, mode: u32) -> Result<OpenArgs> {
        let mut flags = OpenFlags::from_bits_truncate(flags) | OpenFlags::LARGEFILE;
        if flags.contains(OpenFlags::PATH) {
            flags &= OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::PATH | OpenFlags::CLOEXEC;
        }
        OpenArgs {
            flags,
            mode: mode & 0o7777,
            resolve: Lookup::empty(),
        }
        .check()
    }

    /// Checks what does not go together.
    pub fn check(self) -> Result<OpenArgs> {
        let flags = self.flags;
        if flags.contains(OpenFlags::TMPFILE) {
            let write = flags.file_mode().contains(FileMode::WRITE) || flags.bits() & 3 == 3;
            if !flags.contains(OpenFlags::DIRECTORY) || flags.contains(OpenFlags::CREAT) || !write {
                return Err(Errno::EINVAL);
            }
        } else if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        Ok(self)
    }

    fn access(&self) -> u32 {
        let mut want = match self.flags.bits() & 3 {
            0 => MAY_READ,
            1 => MAY_WRITE,
            _ => MAY_READ | MAY_WRITE,
        };
        if self.flags.contains(OpenFlags::TRUNC) {
            want |= MAY_WRITE;
        }
        want
    }
}

/// Opens what a path names.
pub fn open(task: &Arc<Task>, dirfd: i32, path: &[u8], args: OpenArgs) -> Result<Opened> {
    let flags = args.flags;
    if super::file::open_files() >= task.kernel.tunables.file_max.count() && !task.capable(crate::cred::cap::SYS_ADMIN)
    {
        return Err(Errno::ENFILE);
    }
    let creates = flags.contains(OpenFlags::CREAT);
    let exclusive = creates && flags.contains(OpenFlags::EXCL);
    let mut lookup = args.resolve;
    if !flags.contains(OpenFlags::NOFOLLOW) && !exclusive {
        lookup |= Lookup::FOLLOW;
    }
    if flags.contains(OpenFlags::DIRECTORY) {
        lookup |= Lookup::DIRECTORY;
    }
    let mut walker = Walker::new(task, lookup).start(dirfd, path)?;
    if flags.contains(OpenFlags::TMPFILE) {
        return tmpfile(task, walker.finish(path)?, args);
    }
    let mut rest = path.to_vec();
    loop {
        let (last, slash) = walker.to_parent(&rest)?;
        let text = match &last {
            Last::Norm(name) if creates => {
                if slash {
                    return Err(Errno::EISDIR);
                }
                match create_or_find(task, &walker, name, args)? {
                    Found::New(opened) => return Ok(opened),
                    Found::Old(child) => walker.enter(child, lookup.contains(Lookup::FOLLOW))?,
                }
            }
            _ => {
                if slash {
                    walker.require_dir();
                }
                walker.step(&last, walker.flags().contains(Lookup::FOLLOW), slash)?
            }
        };
        match text {
            Some(text) => rest = text,
            None => break,
        }
    }
    let place = walker.place().clone();
    if flags.contains(OpenFlags::PATH) {
        if walker.flags().contains(Lookup::DIRECTORY) && !place.inode().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        return Ok(Opened::File(File::new(
            Arc::new(PathOnly),
            place,
            FileMode::PATH,
            kept(flags),
        )));
    }
    if exclusive {
        return Err(Errno::EEXIST);
    }
    if creates && place.inode().is_dir() {
        return Err(Errno::EISDIR);
    }
    if walker.flags().contains(Lookup::DIRECTORY) && !place.inode().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    open_place(task, place, args)
}

enum Found {
    New(Opened),
    Old(Arc<super::dentry::Dentry>),
}

/// The last step of an open with `O_CREAT` (`lookup_open`).
fn create_or_find(task: &Arc<Task>, walker: &Walker<'_>, name: &[u8], args: OpenArgs) -> Result<Found> {
    let dir = walker.place();
    let lock = dir.dentry.lock_dir();
    if let Child::Positive(child) = super::namei::child_locked(&dir.dentry, name)? {
        return Ok(Found::Old(child));
    }
    perm::want_write(&dir.mnt)?;
    perm::may_create(Some(task), walker.cred(), dir)?;
    let st = dir.inode().stat()?;
    let mode = (args.mode & !task.fs().umask()) | FileType::Regular.mode_bits();
    let (uid, gid, mode) = perm::new_owner(walker.cred(), &st, mode);
    let node = NewNode {
        mode,
        uid,
        gid,
        rdev: 0,
    };
    let how = OpenHow {
        flags: kept(args.flags),
    };
    let (inode, ops) = dir.inode().ops.create_open(dir.inode(), name, &node, &how)?;
    let child = dir.dentry.insert(name, inode);
    drop(lock);
    watch::notify_dir(dir.inode(), watch::mask::CREATE, name, false, 0);
    let path = Path {
        mnt: dir.mnt.clone(),
        dentry: child,
    };
    finish_as(path, ops, args.flags, FileMode::CREATED)
        .map(Opened::File)
        .map(Found::New)
}

/// `O_TMPFILE`
fn tmpfile(task: &Arc<Task>, dir: Path, args: OpenArgs) -> Result<Opened> {
    let cred = task.cred();
    if !dir.inode().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    perm::want_write(&dir.mnt)?;
    perm::may_create(Some(task), &cred, &dir)?;
    let st = dir.inode().stat()?;
    let mode = (args.mode & !task.fs().umask()) | FileType::Regular.mode_bits();
    let (uid, gid, mode) = perm::new_owner(&cred, &st, mode);
    let node = NewNode {
        mode,
        uid,
        gid,
        rdev: 0,
    };
    let inode = dir.inode().ops.tmpfile(dir.inode(), &node)?;
    let linkable = !args.flags.contains(OpenFlags::EXCL);
    inode.linkable.store(linkable, std::sync::atomic::Ordering::Release);
    let name = format!("#{}", inode.ino);
    let how = OpenHow {
        flags: kept(args.flags),
    };
    let ops = inode.ops.open(&inode, &how)?;
    let path = Path {
        mnt: dir.mnt.clone(),
        dentry: super::dentry::Dentry::new_unnamed(inode, &dir.dentry, name.as_bytes()),
    };
    finish(path, ops, args.flags).map(Opened::File)
}

/// Opens what stands at a place, with Linux's checks (`may_open`, `do_open`).
pub fn open_place(task: &Arc<Task>, place: Path, args: OpenArgs) -> Result<Opened> {
    let inode = place.inode();
    let flags = args.flags;
    let want = args.access();
    let truncate = inode.kind == FileType::Regular && flags.contains(OpenFlags::TRUNC);
    if truncate {
        perm::want_write(&place.mnt)?;
    }
    match inode.kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory if want & MAY_WRITE != 0 => return Err(Errno::EISDIR),
        FileType::CharDevice | FileType::BlockDevice if place.mnt.flags().contains(MountFlags::NODEV) => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    let cred = task.cred();
    perm::inode(Some(task), &cred, inode, want)?;
    if flags.contains(OpenFlags::NOATIME) && !perm::owner_or_capable(&cred, &inode.stat()?) {
        return Err(Errno::EPERM);
    }
    if inode.kind == FileType::Regular && super::lease::in_the_way(inode, want & MAY_WRITE != 0) {
        return Ok(Opened::Leased(place.clone(), want & MAY_WRITE != 0));
    }
    let how = OpenHow { flags: kept(flags) };
    let ops = match inode.kind {
        FileType::Fifo => return Ok(Opened::Fifo(place, flags)),
        FileType::Socket | FileType::BlockDevice => return Err(Errno::ENXIO),
        FileType::CharDevice => {
            let rdev = inode.stat()?.rdev;
            task.kernel.vfs.devices.open(task, rdev, &place, &how)?
        }
        FileType::Regular if flags.file_mode().contains(FileMode::WRITE) => {
            if inode.writers.load(std::sync::atomic::Ordering::Acquire) < 0 {
                return Err(Errno::ETXTBSY);
            }
            perm::want_write(&place.mnt)?;
            inode.ops.open(inode, &how)?
        }
        _ => inode.ops.open(inode, &how)?,
    };
    let file = finish(place, ops, flags)?;
    if truncate {
        let cleared = attr::without_privileges(&cred, &file.inode().stat()?);
        let change = SetAttr {
            size: Some(0),
            mode: cleared,
            ..SetAttr::default()
        };
        file.inode().ops.set_attr(file.inode(), &change)?;
        watch::notify(&file.path.dentry, watch::mask::MODIFY);
    }
    Ok(Opened::File(file))
}

/// Makes the description of an opened file.
pub fn finish(path: Path, ops: Arc<dyn FileOps>, flags: OpenFlags) -> Result<Arc<File>> {
    finish_as(path, ops, flags, FileMode::empty())
}

fn finish_as(path: Path, ops: Arc<dyn FileOps>, flags: OpenFlags, more: FileMode) -> Result<Arc<File>> {
    let kind = path.inode().kind;
    let mut mode = flags.file_mode() | more;
    if kind == FileType::Regular && mode.contains(FileMode::WRITE) {
        path.inode().begin_write()?;
        mode |= FileMode::WRITER;
    }
    mode |= match kind {
        FileType::Regular | FileType::Directory => FileMode::SEEK,
        _ => FileMode::empty(),
    };
    watch::notify(&path.dentry, watch::mask::OPEN);
    if kind != FileType::CharDevice {
        return Ok(File::new(ops, path, mode, kept(flags)));
    }
    // Whether a device has a position only its driver knows.
    let file = File::new(ops.clone(), path.clone(), mode, kept(flags));
    if ops.seek(&file, SeekFrom::Current(0), 0) == Err(Errno::ESPIPE) {
        return Ok(file);
    }
    Ok(File::new(ops, path, mode | FileMode::SEEK, kept(flags)))
}

/// Opens a program or an interpreter for execution, from the task's root and working directory: a regular file with
/// execute permission on a mount without `noexec` (`EACCES`), which nobody writes (`ETXTBSY`).
pub fn open_exec(task: &Arc<Task>, path: &[u8]) -> Result<Arc<File>> {
    open_exec_at(task, AT_FDCWD, path, Lookup::FOLLOW)
}

/// Likewise for `execveat(2)`.
pub fn open_exec_at(task: &Arc<Task>, dirfd: i32, path: &[u8], lookup: Lookup) -> Result<Arc<File>> {
    let place = super::namei::lookup(task, dirfd, path, lookup)?;
    let inode = place.inode();
    match inode.kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Regular => {}
        _ => return Err(Errno::EACCES),
    }
    if place.mnt.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    perm::inode(Some(task), &task.cred(), inode, MAY_EXEC)?;
    inode.deny_write()?;
    let how = OpenHow {
        flags: OpenFlags::LARGEFILE,
    };
    let ops = inode.ops.open(inode, &how).inspect_err(|_| inode.allow_write())?;
    watch::notify(&place.dentry, watch::mask::OPEN);
    let mode = FileMode::READ | FileMode::EXEC | FileMode::SEEK;
    Ok(File::new(ops, place, mode, OpenFlags::LARGEFILE))
}

/// `O_PATH`: nothing can be done with it.
struct PathOnly;

impl FileOps for PathOnly {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
