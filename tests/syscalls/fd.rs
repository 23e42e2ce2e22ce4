//! File descriptors: dup, fcntl, close_range, limits.

use tests::prelude::*;

fn valid(fd: i32) -> bool {
    unsafe { fcntl(fd, F_GETFD) >= 0 }
}

tests::cases! {
    fn dup_takes_lowest_and_drops_cloexec() {
        let a = open(c".", O_RDONLY | O_CLOEXEC);
        let b = ok(dup(a));
        eq(b, a + 1);
        ok_eq(fcntl(b, F_GETFD), 0);
    }
    fn dup2_closes_the_target() {
        let (r, w) = pipe(0);
        let null_fd = open(c"/dev/null", O_WRONLY);
        ok_eq(dup2(null_fd, w), w);
        eq(get_fd(r, 1), b"");
    }
    fn dup2_to_itself_does_nothing() {
        let a = open(c".", O_RDONLY | O_CLOEXEC);
        ok_eq(dup2(a, a), a);
        ok_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
        fails(EBADF, dup2(999, 999));
    }
    fn dup3_to_itself_is_einval() {
        let a = open(c".", O_RDONLY);
        fails(EINVAL, dup3(a, a, 0));
        fails(EINVAL, dup3(a, a + 1, O_APPEND));
        ok_eq(dup3(a, 77, O_CLOEXEC), 77);
        ok_eq(fcntl(77, F_GETFD), FD_CLOEXEC);
    }
    fn dup_errors() {
        fails(EBADF, dup(999));
        fails(EBADF, dup2(0, -1));
        fails(EBADF, dup2(0, 1 << 30));
    }
    fn fcntl_dupfd_starts_at_minimum() {
        let a = open(c".", O_RDONLY);
        ok_eq(fcntl(a, F_DUPFD, 60), 60);
        ok_eq(fcntl(a, F_DUPFD_CLOEXEC, 60), 61);
        ok_eq(fcntl(61, F_GETFD), FD_CLOEXEC);
        fails(EINVAL, fcntl(a, F_DUPFD, -1));
        fails(EINVAL, fcntl(a, F_DUPFD, 1 << 30));
    }
    fn getfd_setfd() {
        let a = open(c".", O_RDONLY);
        ok_eq(fcntl(a, F_GETFD), 0);
        ok(fcntl(a, F_SETFD, FD_CLOEXEC));
        ok_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
        ok(fcntl(a, F_SETFD, 0));
        ok_eq(fcntl(a, F_GETFD), 0);
    }
    fn setfl_changes_only_status_flags() {
        let a = open(c"f", O_RDWR | O_CREAT);
        ok(fcntl(a, F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_CREAT));
        ok_eq(fcntl(a, F_GETFL) & !0o100000, O_RDWR | O_APPEND | O_NONBLOCK);
        ok(fcntl(a, F_SETFL, 0));
        ok_eq(fcntl(a, F_GETFL) & !0o100000, O_RDWR);
    }
    fn status_flags_are_shared_by_dups() {
        let (r, _w) = pipe(0);
        let copy = ok(dup(r));
        ok(fcntl(copy, F_SETFL, O_NONBLOCK));
        fails(EAGAIN, read(r, [0_u8; 1].as_mut_ptr().cast(), 1));
    }
    fn fionbio_sets_nonblock() {
        let (r, _w) = pipe(0);
        ok(ioctl(r, FIONBIO, &1));
        ok_eq(fcntl(r, F_GETFL), O_NONBLOCK);
    }
    fn fioclex_sets_cloexec() {
        let a = open(c".", O_RDONLY);
        ok(ioctl(a, FIOCLEX));
        ok_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
        ok(ioctl(a, FIONCLEX));
        ok_eq(fcntl(a, F_GETFD), 0);
    }
    fn unknown_fcntl_and_ioctl() {
        let a = open(c".", O_RDONLY);
        fails(EINVAL, fcntl(a, 9999));
        fails(ENOTTY, ioctl(a, TCGETS, [0_u8; 64].as_mut_ptr()));
        fails(EBADF, fcntl(999, F_GETFD));
        fails(EBADF, ioctl(999, FIONBIO, &1));
    }
    fn close_errors() {
        fails(EBADF, libc::close(999));
        fails(EBADF, libc::close(-1));
        let a = open(c".", O_RDONLY);
        close(a);
        fails(EBADF, libc::close(a));
    }
    fn close_range_closes_a_span() {
        for fd in 50..60 {
            ok(dup2(0, fd));
        }
        ok(syscall(SYS_close_range, 52, 57, 0));
        eq((50..60).filter(|fd| valid(*fd)).collect::<Vec<_>>(), [50, 51, 58, 59]);
        fails(EINVAL, syscall(SYS_close_range, 5, 4, 0));
        fails(EINVAL, syscall(SYS_close_range, 5, 6, 64));
    }
    fn close_range_can_mark_cloexec() {
        ok(dup2(0, 50));
        ok(syscall(SYS_close_range, 50, u32::MAX, CLOSE_RANGE_CLOEXEC));
        ok_eq(fcntl(50, F_GETFD), FD_CLOEXEC);
    }
    fn close_range_unshares_the_table() {
        ok(dup2(0, 50));
        std::thread::spawn(|| {
            ok(syscall(SYS_close_range, 50, 50, CLOSE_RANGE_UNSHARE));
            fails(EBADF, fcntl(50, F_GETFD));
        }).join().unwrap();
        yes(valid(50));
    }
    fn nofile_limit_is_emfile() {
        ok(setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 20, rlim_max: 20 }));
        let mut last = 0;
        for _ in 0..30 {
            let fd = try_open(c".", O_RDONLY);
            if fd < 0 {
                break;
            }
            last = fd;
        }
        eq(last, 19);
        fails(EMFILE, dup(0));
        fails(EMFILE, socket(AF_UNIX, SOCK_STREAM, 0));
        fails(EMFILE, libc::pipe([0; 2].as_mut_ptr()));
        fails(EBADF, dup2(0, 20));
        fails(EINVAL, fcntl(0, F_DUPFD, 20));
    }
    fn pipe_with_one_free_slot_leaks_nothing() {
        ok(setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 20, rlim_max: 20 }));
        while try_open(c".", O_RDONLY) >= 0 {}
        close(7);
        fails(EMFILE, libc::pipe([0; 2].as_mut_ptr()));
        eq(open(c".", O_RDONLY), 7);
    }
    fn descriptors_are_copied_by_fork() {
        let a = open(c".", O_RDONLY);
        in_child(|| close(a));
        yes(valid(a));
    }
    fn threads_share_descriptors() {
        let a = open(c".", O_RDONLY);
        std::thread::spawn(move || close(a)).join().unwrap();
        yes(!valid(a));
    }
    fn unshare_files_splits_the_table() {
        let a = open(c".", O_RDONLY);
        std::thread::spawn(move || {
            ok(unshare(CLONE_FILES));
            close(a);
        }).join().unwrap();
        yes(valid(a));
    }
    fn proc_self_fd_lists_open_ones() {
        let a = open(c"/dev/null", O_RDONLY);
        let link = std::fs::read_link(format!("/proc/self/fd/{a}")).unwrap();
        eq(link.to_str().unwrap(), "/dev/null");
        yes(std::fs::read_dir("/proc/self/fd").unwrap().any(|e| *e.unwrap().file_name() == *a.to_string()));
    }
    fn fdinfo_tells_position_and_flags() {
        put(c"f", b"abcdef");
        let a = open(c"f", O_RDWR);
        get_fd(a, 4);
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{a}")).unwrap();
        yes(info.contains("pos:\t4\n"));
        yes(info.contains("flags:\t0100002\n"));
    }
    fn async_owner_is_remembered() {
        let (r, _w) = pipe(0);
        ok(fcntl(r, F_SETOWN, getpid()));
        ok_eq(fcntl(r, F_GETOWN), getpid());
        ok(fcntl(r, 10, SIGUSR1));
        ok_eq(fcntl(r, 11), SIGUSR1);
    }
    fn fionread_counts_bytes() {
        let (r, w) = pipe(0);
        put_fd(w, b"abcde");
        let mut n = 0;
        ok(ioctl(r, FIONREAD, &mut n));
        eq(n, 5);
    }
    fn kcmp_knows_shared_descriptions() {
        let a = open(c".", O_RDONLY);
        let (b, c) = (ok(dup(a)), open(c".", O_RDONLY));
        ok_eq(syscall(SYS_kcmp, getpid(), getpid(), 0, a, b), 0);
        yes(ok(syscall(SYS_kcmp, getpid(), getpid(), 0, a, c)) != 0);
    }
}
