//! Sockets of the host for `--network=host`: addresses, options and control messages pass as the bytes that they are.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use abi::errno::Result;

use super::checked;

fn socklen(n: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(n).unwrap_or(libc::socklen_t::MAX)
}

/// The descriptor that a call gave.
fn owned(ret: i64) -> Result<OwnedFd> {
    let fd = checked(ret)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(abi::conv::int(fd)) })
}

/// `socket(2)`, close-on-exec and without blocking.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointer is passed.
    owned(i64::from(unsafe { libc::socket(family, kind, protocol) }))
}

/// `accept4(2)`, close-on-exec and without blocking.
pub fn accept(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: null asks for no address.
    owned(i64::from(unsafe {
        libc::accept4(fd.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
    }))
}

/// `bind(2)`
pub fn bind(fd: BorrowedFd<'_>, addr: &[u8]) -> Result<()> {
    // SAFETY: the address is readable for its length.
    let ret = unsafe { libc::bind(fd.as_raw_fd(), addr.as_ptr().cast(), socklen(addr.len())) };
    checked(i64::from(ret)).map(|_| ())
}

/// `connect(2)`
pub fn connect(fd: BorrowedFd<'_>, addr: &[u8]) -> Result<()> {
    // SAFETY: the address is readable for its length.
    let ret = unsafe { libc::connect(fd.as_raw_fd(), addr.as_ptr().cast(), socklen(addr.len())) };
    checked(i64::from(ret)).map(|_| ())
}

/// `getsockname(2)`, or `getpeername(2)`; gives the length of the address.
pub fn name(fd: BorrowedFd<'_>, peer: bool, addr: &mut [u8]) -> Result<usize> {
    let mut len = socklen(addr.len());
    let call = if peer { libc::getpeername } else { libc::getsockname };
    // SAFETY: the buffer is writable for `len` bytes.
    let ret = unsafe { call(fd.as_raw_fd(), addr.as_mut_ptr().cast(), &raw mut len) };
    checked(i64::from(ret))?;
    Ok((len as usize).min(addr.len()))
}

/// `setsockopt(2)`. Only for options whose value holds no pointer.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
    // SAFETY: the value is readable for its length.
    let ret = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), socklen(value.len())) };
    checked(i64::from(ret)).map(|_| ())
}

/// `getsockopt(2)`; gives the length of the value. Only for options whose value holds no pointer.
pub fn option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> Result<usize> {
    let mut len = socklen(value.len());
    // SAFETY: the buffer is writable for `len` bytes.
    let ret = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) };
    checked(i64::from(ret))?;
    Ok((len as usize).min(value.len()))
}

/// `sendmsg(2)` of one piece, without a signal.
pub fn send(fd: BorrowedFd<'_>, data: &[u8], addr: &[u8], control: &[u8], flags: i32) -> Result<usize> {
    let mut iov = libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    };
    let hdr = header(
        (addr.as_ptr().cast_mut(), addr.len()),
        &raw mut iov,
        (control.as_ptr().cast_mut(), control.len()),
    );
    // SAFETY: the header points to the piece, which points to `data`; the kernel reads all three and writes none.
    let ret = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const hdr, flags | libc::MSG_NOSIGNAL) };
    checked(i64::try_from(ret).unwrap_or(-1)).map(abi::conv::size)
}

/// What [`receive`] got.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    /// Bytes; with `MSG_TRUNC` perhaps more than fit.
    pub bytes: usize,
    /// Length of the address.
    pub addr: usize,
    /// Length of the control messages.
    pub control: usize,
    /// `msg_flags`
    pub flags: i32,
}

/// `recvmsg(2)` of one piece.
pub fn receive(fd: BorrowedFd<'_>, data: &mut [u8], addr: &mut [u8], control: &mut [u8], flags: i32) -> Result<Got> {
    let mut iov = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    let mut hdr = header(
        (addr.as_mut_ptr(), addr.len()),
        &raw mut iov,
        (control.as_mut_ptr(), control.len()),
    );
    // SAFETY: all that the header points to is writable for the lengths given.
    let ret = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut hdr, flags | libc::MSG_CMSG_CLOEXEC) };
    let bytes = checked(i64::try_from(ret).unwrap_or(-1)).map(abi::conv::size)?;
    Ok(Got {
        bytes,
        addr: (hdr.msg_namelen as usize).min(addr.len()),
        control: hdr.msg_controllen.min(control.len()),
        flags: hdr.msg_flags,
    })
}

fn header(addr: (*mut u8, usize), iov: *mut libc::iovec, control: (*mut u8, usize)) -> libc::msghdr {
    libc::msghdr {
        msg_name: if addr.1 == 0 { ptr::null_mut() } else { addr.0.cast() },
        msg_namelen: socklen(addr.1),
        msg_iov: iov,
        msg_iovlen: 1,
        msg_control: if control.1 == 0 {
            ptr::null_mut()
        } else {
            control.0.cast()
        },
        msg_controllen: control.1,
        msg_flags: 0,
    }
}
