//! Children, files and time for the cases.

use std::ffi::CStr;

use crate::check::{errno, ok};

/// Runs `body` in a forked child, which ends with the status it returns.
pub fn spawn<F: FnOnce() -> i32>(body: F) -> i32 {
    // SAFETY: the child leaves by _exit, so nothing of the parent is dropped twice.
    unsafe {
        let pid = ok(libc::fork());
        if pid == 0 {
            let code = body();
            libc::_exit(code);
        }
        pid
    }
}

/// Waits for this child; its raw wait status.
#[track_caller]
pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: status is of this frame.
    crate::check::ok_eq(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status
}

/// The child exited with this code.
#[track_caller]
pub fn wait_exit(pid: i32, code: i32) {
    let status = wait(pid);
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code,
        "wait status {status:#x}, expected exit {code}"
    );
}

/// The child was killed by this signal.
#[track_caller]
pub fn wait_signal(pid: i32, signal: i32) {
    let status = wait(pid);
    assert!(
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal,
        "wait status {status:#x}, expected signal {signal}"
    );
}

/// Runs `body` in a child and demands a clean end.
#[track_caller]
pub fn in_child<F: FnOnce()>(body: F) {
    let pid = spawn(|| {
        body();
        0
    });
    wait_exit(pid, 0);
}

/// Runs `body` in a child that has given up root for this uid and gid.
#[track_caller]
pub fn as_user<F: FnOnce()>(uid: u32, gid: u32, body: F) {
    in_child(|| {
        become_user(uid, gid);
        body();
    });
}

#[track_caller]
pub fn become_user(uid: u32, gid: u32) {
    // SAFETY: plain calls.
    unsafe {
        ok(libc::setgroups(0, std::ptr::null()));
        ok(libc::setresgid(gid, gid, gid));
        ok(libc::setresuid(uid, uid, uid));
    }
}

/// Opens with mode 0644.
#[track_caller]
pub fn open(path: &CStr, flags: i32) -> i32 {
    // SAFETY: path ends with NUL.
    ok(unsafe { libc::open(path.as_ptr(), flags, 0o644) })
}

/// Opens with mode 0644 and returns the raw result.
pub fn try_open(path: &CStr, flags: i32) -> i32 {
    // SAFETY: path ends with NUL.
    unsafe { libc::open(path.as_ptr(), flags, 0o644) }
}

/// Creates or replaces a file.
#[track_caller]
pub fn put(path: &CStr, data: &[u8]) {
    let fd = open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC);
    put_fd(fd, data);
    close(fd);
}

/// Writes all of data.
#[track_caller]
pub fn put_fd(fd: i32, data: &[u8]) {
    let mut rest = data;
    while !rest.is_empty() {
        // SAFETY: the slice is valid.
        let n = ok(unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) });
        rest = &rest[n.unsigned_abs()..];
    }
}

/// One read of up to `max` bytes.
#[track_caller]
pub fn get_fd(fd: i32, max: usize) -> Vec<u8> {
    let mut buffer = vec![0; max];
    // SAFETY: the buffer has max bytes.
    let n = ok(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), max) });
    buffer.truncate(n.unsigned_abs());
    buffer
}

/// The whole file.
#[track_caller]
pub fn get(path: &CStr) -> Vec<u8> {
    let fd = open(path, libc::O_RDONLY);
    let all = get_all(fd);
    close(fd);
    all
}

/// Everything up to end of file.
#[track_caller]
pub fn get_all(fd: i32) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let part = get_fd(fd, 65536);
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

/// A file as text.
#[track_caller]
pub fn text(path: &CStr) -> String {
    String::from_utf8_lossy(&get(path)).into_owned()
}

#[track_caller]
pub fn close(fd: i32) {
    // SAFETY: closes a number.
    ok(unsafe { libc::close(fd) });
}

#[track_caller]
pub fn stat(path: &CStr) -> libc::stat {
    // SAFETY: stat is plain data.
    unsafe {
        let mut st = std::mem::zeroed();
        ok(libc::lstat(path.as_ptr(), &mut st));
        st
    }
}

#[track_caller]
pub fn fstat(fd: i32) -> libc::stat {
    // SAFETY: stat is plain data.
    unsafe {
        let mut st = std::mem::zeroed();
        ok(libc::fstat(fd, &mut st));
        st
    }
}

/// A pipe: (reader, writer).
#[track_caller]
pub fn pipe(flags: i32) -> (i32, i32) {
    let mut fds = [0; 2];
    // SAFETY: two slots.
    ok(unsafe { libc::pipe2(fds.as_mut_ptr(), flags) });
    (fds[0], fds[1])
}

pub fn sleep_ms(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

/// Monotonic milliseconds.
pub fn now_ms() -> i64 {
    // SAFETY: timespec is plain data.
    unsafe {
        let mut ts: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts);
        ts.tv_sec * 1000 + ts.tv_nsec / 1_000_000
    }
}

/// Waits up to fifty seconds for the condition, less than a case may take.
#[track_caller]
pub fn until<F: FnMut() -> bool>(mut condition: F) {
    for _ in 0..25_000 {
        if condition() {
            return;
        }
        sleep_ms(2);
    }
    panic!("condition did not come true in 50 s (errno {})", errno());
}

/// State letter of a process in /proc, for waiting until it sleeps or is stopped.
pub fn state_of(pid: i32) -> char {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next())
        .unwrap_or('?')
}

/// Waits until the process sleeps, which shows that it is inside its blocking call.
#[track_caller]
pub fn until_asleep(pid: i32) {
    until(|| state_of(pid) == 'S');
}
