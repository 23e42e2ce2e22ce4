//! `mount_setattr(2)`, for which `rustix` has no call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets `MOUNT_ATTR_*` on the mount of a descriptor, and on all beneath it if `recursive`.
pub fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    set(mount, attributes, 0, recursive)
}

/// Cuts the mount of a descriptor, and all beneath it, off from its peers: nothing spreads from there or to there.
pub fn make_private(mount: BorrowedFd<'_>) -> io::Result<()> {
    set(mount, 0, libc::MS_PRIVATE, true)
}

/// Lets what is mounted beneath its peers spread to the mount of a descriptor, and to all beneath it, but nothing back.
pub fn make_slave(mount: BorrowedFd<'_>) -> io::Result<()> {
    set(mount, 0, libc::MS_SLAVE, true)
}

/// The part of `MOUNT_ATTR_*` that is one value and no set of bits; to be set, it must be cleared as a whole.
const ATIME: u64 = 0x70;

fn set(mount: BorrowedFd<'_>, attributes: u64, propagation: u64, recursive: bool) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: attributes,
        attr_clr: if attributes & ATIME != 0 { ATIME } else { 0 },
        propagation,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and `attr` has the layout of `struct mount_attr` of the size passed; both
    // outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
