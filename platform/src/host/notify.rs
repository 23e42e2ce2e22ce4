//! The supervisor's end of seccomp user notification (`seccomp_unotify(2)`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use abi::Errno;
use abi::errno::Result;

use super::checked;

/// `struct seccomp_notif`, flattened.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Notification {
    /// Names this notification in the answer.
    pub id: u64,
    /// The calling thread, in the reader's pid namespace; told by the kernel.
    pub tid: u32,
    flags: u32,
    /// System call number.
    pub nr: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Behind the instruction.
    pub rip: u64,
    /// Arguments.
    pub args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

/// How a notified call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It returns zero.
    Zero,
    /// It fails.
    Fail(Errno),
    /// It is executed. Only for calls whose arguments are all in registers.
    Continue,
}

/// The listening fd of a filter.
#[derive(Debug)]
pub struct Listener(OwnedFd);

const fn iowr(nr: u64, size: usize) -> u64 {
    (3 << 30) | ((size as u64) << 16) | (0x21 << 8) | nr
}

const NOTIF_RECV: u64 = iowr(0, size_of::<Notification>());
const NOTIF_SEND: u64 = iowr(1, size_of::<Response>());
const NOTIF_ADDFD: u64 = (1 << 30) | ((size_of::<AddFd>() as u64) << 16) | (0x21 << 8) | 3;
const NOTIF_SET_FLAGS: u64 = (1 << 30) | (8 << 16) | (0x21 << 8) | 4;

impl Listener {
    /// Takes the fd that `seccomp(2)` gave.
    pub fn new(fd: OwnedFd) -> Listener {
        Listener(fd)
    }

    fn ioctl<T>(&self, request: u64, arg: &mut T) -> Result<u64> {
        // SAFETY: each request reads and writes exactly the structure that its caller below passes.
        checked(unsafe { libc::syscall(libc::SYS_ioctl, self.0.as_raw_fd(), request, std::ptr::from_mut(arg)) })
    }

    /// Asks for wake-ups that hand the core over (Linux 6.6), or for common ones.
    pub fn set_sync_wake_up(&self, on: bool) -> Result<()> {
        // SAFETY: the argument is a number.
        let ret = unsafe { libc::syscall(libc::SYS_ioctl, self.0.as_raw_fd(), NOTIF_SET_FLAGS, u64::from(on)) };
        checked(ret).map(drop)
    }

    /// Waits for a notification. `EINTR` after a signal, `ENOENT` if the thread died meanwhile.
    pub fn recv(&self) -> Result<Notification> {
        let mut n = Notification::default();
        self.ioctl(NOTIF_RECV, &mut n)?;
        Ok(n)
    }

    /// Answers. `ENOENT` if the thread is gone.
    pub fn send(&self, id: u64, answer: Answer) -> Result<()> {
        let (error, flags) = match answer {
            Answer::Zero => (0, 0),
            Answer::Fail(e) => (-i32::from(e.raw()), 0),
            Answer::Continue => (0, 1),
        };
        self.ioctl(
            NOTIF_SEND,
            &mut Response {
                id,
                val: 0,
                error,
                flags,
            },
        )
        .map(drop)
    }

    /// Puts a copy of `fd` into the notifying process; gives its number there.
    pub fn add_fd(&self, id: u64, fd: BorrowedFd<'_>) -> Result<u64> {
        self.add(id, fd, 0)
    }

    /// As [`Listener::add_fd`], and answers with the number (Linux 5.14).
    pub fn add_fd_and_send(&self, id: u64, fd: BorrowedFd<'_>) -> Result<u64> {
        self.add(id, fd, 2)
    }

    fn add(&self, id: u64, fd: BorrowedFd<'_>, flags: u32) -> Result<u64> {
        let srcfd = u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
        self.ioctl(
            NOTIF_ADDFD,
            &mut AddFd {
                id,
                flags,
                srcfd,
                newfd: 0,
                newfd_flags: 0,
            },
        )
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
