//! Starting the stub, and signals and waits by number.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use abi::Errno;
use abi::errno::Result;

use super::checked;

/// Forks and executes the program in `exe` in a session of its own, with `channel` at its fd number and no other fd but
/// what is not close-on-exec. The parent is this thread: the child's death signal follows it.
pub fn spawn(exe: BorrowedFd<'_>, channel: Option<(BorrowedFd<'_>, i32)>) -> Result<i32> {
    let argv = [c"guest".as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null::<libc::c_char>()];
    let exe = exe.as_raw_fd();
    let channel = channel.map(|(fd, at)| (fd.as_raw_fd(), at));
    // SAFETY: a plain fork. The child only makes raw system calls on memory prepared above, then execs or exits, so that it
    // does not matter what other threads held at the time.
    unsafe {
        let pid = checked(libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0))?;
        if pid != 0 {
            return i32::try_from(pid).map_err(|_| Errno::EINVAL);
        }
        libc::syscall(libc::SYS_setsid);
        libc::syscall(libc::SYS_dup3, exe, 200, libc::O_CLOEXEC);
        if let Some((fd, at)) = channel {
            libc::syscall(libc::SYS_dup3, fd, at, 0);
        }
        libc::syscall(
            libc::SYS_execveat,
            200,
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        libc::syscall(libc::SYS_exit_group, 127);
        std::hint::unreachable_unchecked()
    }
}

/// A pidfd of a process.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers, gives a new fd that nobody else owns.
    unsafe {
        let fd = checked(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?))
    }
}

/// A copy of another process's fd.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers, gives a new fd that nobody else owns.
    unsafe {
        let fd = checked(libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0))?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?))
    }
}

/// `kill(2)`; negative for a process group.
pub fn kill(pid: i32, signo: i32) -> Result<()> {
    // SAFETY: takes numbers.
    checked(unsafe { libc::syscall(libc::SYS_kill, pid, signo) }).map(drop)
}

/// `tgkill(2)`.
pub fn tgkill(pid: i32, tid: i32, signo: i32) -> Result<()> {
    // SAFETY: takes numbers.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signo) }).map(drop)
}

/// Blocks until a child of that process group is dead and gives its pid, without reaping it. `ECHILD` if there is none.
pub fn wait_dead(pgid: i32) -> Result<i32> {
    // SAFETY: an all-zero siginfo is valid; the call writes it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let id = libc::id_t::try_from(pgid).map_err(|_| Errno::EINVAL)?;
        let flags = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        if libc::waitid(libc::P_PGID, id, &raw mut info, flags) != 0 {
            return Err(super::last_errno());
        }
        Ok(info.si_pid())
    }
}

/// Reaps a dead child.
pub fn reap(pid: i32) -> Result<()> {
    // SAFETY: no status is written.
    checked(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) }.into()).map(drop)
}

/// True if the process is dead and was reaped now, or does not exist.
pub fn reap_if_dead(pid: i32) -> bool {
    // SAFETY: no status is written.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) != 0 }
}

/// Whether the processor and kernel allow `rdfsbase` in user mode (`AT_HWCAP2`).
pub fn has_fsgsbase() -> bool {
    const HWCAP2_FSGSBASE: u64 = 1 << 1;
    // SAFETY: takes a number.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & HWCAP2_FSGSBASE != 0 }
}

/// A full memory barrier on every thread that runs now and whose process asked for such (`membarrier(2)`).
pub fn global_barrier() -> bool {
    const MEMBARRIER_CMD_GLOBAL_EXPEDITED: i32 = 2;
    // SAFETY: takes numbers; touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0 }
}

/// Keeps the C library's allocator to one arena: it would look at `/proc/sys/vm/overcommit_memory` before it shrinks another,
/// and a confined Sentry opens no file.
pub fn single_arena() {
    // SAFETY: no memory of ours is involved; the call only sets a number that later allocations look at.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}
