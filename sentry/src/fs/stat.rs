//! Attributes of an inode, like the kernel's `struct kstat`.

/// Seconds and nanoseconds since the epoch (`timespec(3type)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds.
    pub sec: i64,
    /// 0..1_000_000_000.
    pub nsec: u32,
}

impl Timestamp {
    /// `CLOCK_REALTIME` now.
    pub fn now() -> Timestamp {
        let ts = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp {
            sec: ts.tv_sec,
            nsec: u32::try_from(ts.tv_nsec).unwrap_or(0),
        }
    }
}

/// Type bits of a mode (`inode(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// `S_IFREG`
    Regular,
    /// `S_IFDIR`
    Directory,
    /// `S_IFLNK`
    Symlink,
    /// `S_IFCHR`
    CharDevice,
    /// `S_IFBLK`
    BlockDevice,
    /// `S_IFIFO`
    Fifo,
    /// `S_IFSOCK`
    Socket,
    /// Nodes of no type: anonymous inodes (`epoll`, `eventfd`).
    Anonymous,
}

/// `S_IFMT`
pub const S_IFMT: u32 = 0o170_000;
/// `S_ISUID`
pub const S_ISUID: u32 = 0o4000;
/// `S_ISGID`
pub const S_ISGID: u32 = 0o2000;
/// `S_ISVTX`
pub const S_ISVTX: u32 = 0o1000;

impl FileType {
    /// All.
    pub const ALL: [FileType; 7] = [
        FileType::Regular,
        FileType::Directory,
        FileType::Symlink,
        FileType::CharDevice,
        FileType::BlockDevice,
        FileType::Fifo,
        FileType::Socket,
    ];

    /// From the `S_IFMT` bits of a mode; 0 counts as a regular file, as `mknod(2)` has it.
    pub const fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & S_IFMT {
            0 | 0o100_000 => FileType::Regular,
            0o040_000 => FileType::Directory,
            0o120_000 => FileType::Symlink,
            0o020_000 => FileType::CharDevice,
            0o060_000 => FileType::BlockDevice,
            0o010_000 => FileType::Fifo,
            0o140_000 => FileType::Socket,
            _ => return None,
        })
    }

    /// The `S_IFMT` bits.
    pub const fn mode_bits(self) -> u32 {
        match self {
            FileType::Regular => 0o100_000,
            FileType::Directory => 0o040_000,
            FileType::Symlink => 0o120_000,
            FileType::CharDevice => 0o020_000,
            FileType::BlockDevice => 0o060_000,
            FileType::Fifo => 0o010_000,
            FileType::Socket => 0o140_000,
            FileType::Anonymous => 0,
        }
    }

    /// `d_type` of `getdents64(2)`.
    pub const fn dirent_type(self) -> u8 {
        match self {
            FileType::Fifo => 1,
            FileType::CharDevice => 2,
            FileType::Directory => 4,
            FileType::BlockDevice => 6,
            FileType::Regular => 8,
            FileType::Symlink => 10,
            FileType::Socket => 12,
            FileType::Anonymous => 0,
        }
    }
}

/// Everything that `stat(2)` and `statx(2)` tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Device of the file system, in the encoding of `makedev(3)`.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device that a device node stands for.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Preferred block size of I/O.
    pub blksize: u32,
    /// 512-byte units allocated.
    pub blocks: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of contents.
    pub mtime: Timestamp,
    /// Last change of attributes.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
}

impl Stat {
    /// The type in the mode.
    pub fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode).unwrap_or(FileType::Regular)
    }
}

/// `makedev(3)`.
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    ((major & 0xffff_f000) << 32) | ((major & 0xfff) << 8) | ((minor & 0xffff_ff00) << 12) | (minor & 0xff)
}

/// `major(3)`.
pub const fn major(dev: u64) -> u32 {
    abi::conv::low32(((dev >> 32) & 0xffff_f000) | ((dev >> 8) & 0xfff))
}

/// `minor(3)`.
pub const fn minor(dev: u64) -> u32 {
    abi::conv::low32(((dev >> 12) & 0xffff_ff00) | (dev & 0xff))
}
