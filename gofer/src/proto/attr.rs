//! File attributes as they travel.

use rustix::fs::makedev;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A point in time, like Linux's `struct statx_timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Time {
    pub sec: i64,
    pub nsec: u32,
    pub pad: u32,
}

/// What `statx(2)` tells of a file. Device numbers are in the encoding of `makedev(3)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attr {
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub dev: u64,
    pub rdev: u64,
    pub mount_id: u64,
    pub attributes: u64,
    pub attributes_mask: u64,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub blksize: u32,
    /// The `STATX_*` bits that the host filled in: says whether `btime` is real.
    pub mask: u32,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub btime: Time,
}

impl From<rustix::fs::Statx> for Attr {
    /// What was not asked for is 0, as the host gives it.
    fn from(st: rustix::fs::Statx) -> Attr {
        let time = |t: rustix::fs::StatxTimestamp| Time {
            sec: t.tv_sec,
            nsec: t.tv_nsec,
            pad: 0,
        };
        Attr {
            ino: st.stx_ino,
            size: st.stx_size,
            blocks: st.stx_blocks,
            dev: makedev(st.stx_dev_major, st.stx_dev_minor),
            rdev: makedev(st.stx_rdev_major, st.stx_rdev_minor),
            mount_id: st.stx_mnt_id,
            attributes: st.stx_attributes.bits(),
            attributes_mask: st.stx_attributes_mask.bits(),
            mode: u32::from(st.stx_mode),
            nlink: st.stx_nlink,
            uid: st.stx_uid,
            gid: st.stx_gid,
            blksize: st.stx_blksize,
            mask: st.stx_mask,
            atime: time(st.stx_atime),
            mtime: time(st.stx_mtime),
            ctime: time(st.stx_ctime),
            btime: time(st.stx_btime),
        }
    }
}

/// The file type bits of `mode`.
pub const S_IFMT: u32 = 0o170_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFDIR: u32 = 0o040_000;
pub const S_IFLNK: u32 = 0o120_000;
pub const S_IFCHR: u32 = 0o020_000;
pub const S_IFBLK: u32 = 0o060_000;
pub const S_IFIFO: u32 = 0o010_000;
pub const S_IFSOCK: u32 = 0o140_000;

impl Attr {
    /// The type bits of the mode.
    pub const fn file_type(&self) -> u32 {
        self.mode & S_IFMT
    }

    pub const fn is_dir(&self) -> bool {
        self.file_type() == S_IFDIR
    }

    pub const fn is_regular(&self) -> bool {
        self.file_type() == S_IFREG
    }

    pub const fn is_symlink(&self) -> bool {
        self.file_type() == S_IFLNK
    }
}
