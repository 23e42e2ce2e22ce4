//! Starting a helper process in new namespaces with exactly the descriptors that it is given.
//!
//! The child is *held* between `clone3` and `execveat`: the parent may write its id maps and put it into a cgroup, then
//! lets it go. Nothing but the listed descriptors survives, whatever the caller had inherited.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{WaitId, WaitIdOptions};

/// What to start.
pub struct Spawn<'a> {
    /// The program, an open file.
    pub program: BorrowedFd<'a>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    /// `CLONE_NEW*`.
    pub namespaces: u64,
    /// (descriptor here, its number there); numbers are distinct.
    pub fds: Vec<(BorrowedFd<'a>, i32)>,
    /// In a new user namespace: become its id 0 (needs a map of it). Otherwise ids stay, and capabilities of the new
    /// namespace are kept over the exec.
    pub become_root: bool,
    /// Start a new session, without controlling terminal.
    pub new_session: bool,
    /// When it is let go: have a mount namespace of its own, a copy of the caller's.
    pub own_mounts: bool,
}

/// A child that waits before its exec. Dropped unreleased, it ends and is waited for.
pub struct Held {
    pid: i32,
    pidfd: Option<OwnedFd>,
    go: Option<OwnedFd>,
    failed: OwnedFd,
}

impl Held {
    /// Pid in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets the child go on; returns when its exec was done.
    pub fn release(mut self) -> io::Result<(i32, OwnedFd)> {
        if let Some(go) = &self.go {
            rustix::io::write(go, &[1])?;
        }
        let mut errno = [0; 4];
        loop {
            match rustix::io::read(&self.failed, &mut errno) {
                Ok(4) => return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let pidfd = self
            .pidfd
            .take()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        Ok((self.pid, pidfd))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.go = None;
        if let Some(pidfd) = &self.pidfd {
            let _ = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

/// Everything that the child touches, made before the clone: afterwards it allocates nothing.
struct Child<'a> {
    argv: &'a [*const c_char],
    env: &'a [*const c_char],
    /// (source, target).
    fds: &'a mut [(i32, i32)],
    program: i32,
    go: i32,
    go_parent: i32,
    failed: i32,
    new_user: bool,
    become_root: bool,
    new_session: bool,
    own_mounts: bool,
}

/// Clones a held child.
pub fn spawn(what: &Spawn<'_>) -> io::Result<Held> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let (go_read, go) = pipe_with(PipeFlags::CLOEXEC)?;
    let (failed, failed_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let argv: Vec<*const c_char> = what.argv.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
    let env: Vec<*const c_char> = what.env.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
    let mut fds: Vec<(i32, i32)> = what.fds.iter().map(|(fd, number)| (fd.as_raw_fd(), *number)).collect();
    let child = Child {
        argv: &argv,
        env: &env,
        fds: &mut fds,
        program: what.program.as_raw_fd(),
        go: go_read.as_raw_fd(),
        go_parent: go.as_raw_fd(),
        failed: failed_write.as_raw_fd(),
        new_user: what.namespaces & u64::from(libc::CLONE_NEWUSER.unsigned_abs()) != 0,
        become_root: what.become_root,
        new_session: what.new_session,
        own_mounts: what.own_mounts,
    };
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain data for which all zeroes is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = what.namespaces | u64::from(libc::CLONE_PIDFD.unsigned_abs());
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    // SAFETY: without CLONE_VM the child has a copy of this memory, so it can break nothing of the parent's; `args` is
    // valid for its size and `pidfd` outlives the call. The child runs only `child_main`, which makes bare calls of the
    // kernel and takes no lock (another thread may have held one at the clone) and never returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        0 => child_main(child),
        -1 => Err(io::Error::last_os_error()),
        pid => {
            // SAFETY: CLONE_PIDFD stored a new descriptor there, and nobody else owns it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Held {
                pid: i32::try_from(pid).unwrap_or(-1),
                pidfd: Some(pidfd),
                go: Some(go),
                failed,
            })
        }
    }
}

/// Turns the last errno into a result.
fn check(result: i64) -> Result<i64, i32> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the location is this thread's own.
    Err(unsafe { *libc::__errno_location() })
}

fn child_main(mut child: Child<'_>) -> ! {
    let errno = match run_child(&mut child) {
        Ok(()) => libc::EIO,
        Err(errno) => errno,
    };
    // SAFETY: writes 4 bytes of a live variable to a pipe that was moved to this number, and leaves without running
    // the parent's exit handlers.
    unsafe {
        libc::write(child.failed, (&raw const errno).cast(), 4);
        libc::_exit(127)
    }
}

fn run_child(child: &mut Child<'_>) -> Result<(), i32> {
    // SAFETY: no memory involved; the copy of the parent's end would hide that the parent is gone.
    unsafe { libc::close(child.go_parent) };
    let mut byte = 0u8;
    // SAFETY: reads at most one byte into a live variable.
    match check(unsafe { libc::read(child.go, (&raw mut byte).cast(), 1) } as i64) {
        Ok(1) => {}
        Ok(_) => return Err(libc::ECANCELED),
        Err(errno) => return Err(errno),
    }
    if child.new_session {
        // SAFETY: no memory involved.
        check(unsafe { libc::setsid() }.into())?;
    }
    if child.new_user {
        credentials(child.become_root)?;
    }
    if child.own_mounts {
        // SAFETY: no memory involved.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
    }
    signals()?;
    descriptors(child)?;
    // SAFETY: both arrays end with a null pointer and their strings outlive the call; the path is an empty C string.
    check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            child.program,
            c"".as_ptr(),
            child.argv.as_ptr(),
            child.env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    })?;
    Ok(())
}

/// Ids and capabilities in a new user namespace.
fn credentials(become_root: bool) -> Result<(), i32> {
    if become_root {
        // SAFETY: no memory involved; bare calls, as glibc's would signal other threads, of which there are none here.
        unsafe {
            // Refused where the map was written without privilege; then there is nothing to give up either.
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>());
            check(libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
            check(libc::syscall(libc::SYS_setresuid, 0, 0, 0))?;
        }
        return Ok(());
    }
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    // Version 3 of the interface: two words of each set.
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let mut data = [[0u32; 3]; 2];
    // SAFETY: header and data have the layout that version 3 asks for and outlive both calls.
    unsafe {
        check(libc::syscall(libc::SYS_capget, &raw const header, &raw mut data))?;
        for word in &mut data {
            word[2] = word[1];
        }
        check(libc::syscall(libc::SYS_capset, &raw const header, &raw const data))?;
    }
    for cap in 0..64u64 {
        if data[usize::from(cap >= 32)][1] & (1 << (cap % 32)) != 0 {
            // SAFETY: no memory involved.
            check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, cap, 0, 0) }.into())?;
        }
    }
    Ok(())
}

/// Nothing blocked, nothing ignored.
fn signals() -> Result<(), i32> {
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP || signal == 32 || signal == 33 {
            continue;
        }
        // SAFETY: sets the default action, for which no handler can be wrong.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = 0u64;
    // SAFETY: passes 8 bytes of a live variable, the size of the kernel's signal set.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            0usize,
            8usize,
        )
    })?;
    Ok(())
}

/// Moves the listed descriptors to their numbers and marks every other for closing at the exec.
fn descriptors(child: &mut Child<'_>) -> Result<(), i32> {
    // First out of the way of every target, so that no target overwrites a source.
    let base = child.fds.iter().map(|(_, target)| target + 1).max().unwrap_or(3).max(3);
    // SAFETY: (all three) descriptor numbers only, no memory involved.
    let lift = |fd: i32| check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, base) }.into());
    let narrow = |fd: i64| i32::try_from(fd).map_err(|_| libc::EMFILE);
    child.failed = narrow(lift(child.failed)?)?;
    child.program = narrow(lift(child.program)?)?;
    for (source, _) in child.fds.iter_mut() {
        *source = narrow(lift(*source)?)?;
    }
    // SAFETY: no memory involved; descriptors are only marked, and nothing in this process uses them after the exec.
    check(unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    for &(source, target) in child.fds.iter() {
        // SAFETY: no memory involved; `target` is below `base`, so it is none of the lifted ones.
        check(unsafe { libc::dup2(source, target) }.into())?;
    }
    Ok(())
}
