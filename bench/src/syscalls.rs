//! Calls that touch one thing each.

use std::ptr::{null, null_mut};

use libc::{O_CREAT, O_RDWR, SYS_getpid, SYS_getppid};

use crate::measure;

const FILE: &std::ffi::CStr = c"/tmp/bench-file";

pub fn run() {
    // SAFETY: each call gets buffers of this frame, of the sizes it is told.
    unsafe {
        measure("getpid", || _ = libc::syscall(SYS_getpid));
        measure("getppid", || _ = libc::syscall(SYS_getppid));
        let mut clock = std::mem::zeroed();
        measure("clock_gettime (vdso)", || {
            _ = libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut clock)
        });
        measure("clock_gettime (call)", || {
            _ = libc::syscall(libc::SYS_clock_gettime, 1, &mut clock)
        });
        files();
        pipes();
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &action, null_mut());
        let pid = libc::getpid();
        measure("signal to itself", || _ = libc::kill(pid, libc::SIGUSR1));
        let mut word = 0_u32;
        measure("futex wake, nobody waits", || {
            _ = libc::syscall(libc::SYS_futex, &mut word, libc::FUTEX_WAKE, 1)
        });
        measure("sched_yield", || _ = libc::sched_yield());
    }
}

extern "C" fn handler(_: i32) {}

unsafe fn files() {
    let fd = libc::open(FILE.as_ptr(), O_RDWR | O_CREAT, 0o644);
    let mut page = [7_u8; 4096];
    let at = page.as_mut_ptr();
    libc::write(fd, at.cast(), 4096);
    measure("pread 1 byte", || _ = libc::pread(fd, at.cast(), 1, 0));
    measure("pread 4 KiB", || _ = libc::pread(fd, at.cast(), 4096, 0));
    measure("pwrite 4 KiB", || _ = libc::pwrite(fd, at.cast(), 4096, 0));
    measure("lseek", || _ = libc::lseek(fd, 0, libc::SEEK_SET));
    let mut st = std::mem::zeroed();
    measure("fstat", || _ = libc::fstat(fd, &mut st));
    measure("stat", || _ = libc::stat(FILE.as_ptr(), &mut st));
    measure("open + close", || _ = libc::close(libc::open(FILE.as_ptr(), O_RDWR)));
    measure("create + unlink", || {
        libc::close(libc::open(c"/tmp/bench-new".as_ptr(), O_RDWR | O_CREAT, 0o644));
        libc::unlink(c"/tmp/bench-new".as_ptr());
    });
    measure("dup + close", || _ = libc::close(libc::dup(fd)));
    libc::close(fd);
    libc::unlink(FILE.as_ptr());
    let zero = libc::open(c"/dev/zero".as_ptr(), O_RDWR);
    measure("read /dev/zero 64 KiB", || {
        let mut big = [0_u8; 65536];
        libc::read(zero, big.as_mut_ptr().cast(), 65536);
    });
    libc::close(zero);
}

unsafe fn pipes() {
    let mut p = [0; 2];
    libc::pipe(p.as_mut_ptr());
    let mut byte = 0_u8;
    measure("pipe write + read in one process", || {
        libc::write(p[1], (&raw const byte).cast(), 1);
        libc::read(p[0], (&raw mut byte).cast(), 1);
    });
    let mut poll = [libc::pollfd {
        fd: p[1],
        events: libc::POLLOUT,
        revents: 0,
    }];
    measure("poll of a ready fd", || _ = libc::poll(poll.as_mut_ptr(), 1, 0));
    let ep = libc::epoll_create1(0);
    let mut event = libc::epoll_event {
        events: libc::EPOLLOUT as u32,
        u64: 0,
    };
    libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, p[1], &mut event);
    measure("epoll_wait of a ready fd", || {
        _ = libc::epoll_wait(ep, &mut event, 1, 0)
    });
    let mut s = [0; 2];
    libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, s.as_mut_ptr());
    measure("unix socket send + recv", || {
        libc::send(s[0], (&raw const byte).cast(), 1, 0);
        libc::recvfrom(s[1], (&raw mut byte).cast(), 1, 0, null_mut(), null::<u32>().cast_mut());
    });
}
