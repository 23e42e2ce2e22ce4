//! Pipes, fifos, eventfd.

use tests::prelude::*;

unsafe fn event(initial: u32, flags: i32) -> i32 {
    ok(eventfd(initial, flags))
}

unsafe fn add(fd: i32, value: u64) -> isize {
    write(fd, (&raw const value).cast(), 8)
}

unsafe fn take(fd: i32) -> u64 {
    let mut value = 0_u64;
    ok_eq(read(fd, (&raw mut value).cast(), 8), 8);
    value
}

tests::cases! {
    fn bytes_come_in_order() {
        let (r, w) = pipe(0);
        put_fd(w, b"abc");
        put_fd(w, b"def");
        eq(get_fd(r, 4), b"abcd");
        eq(get_fd(r, 4), b"ef");
    }
    fn end_of_file_when_writers_are_gone() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        close(w);
        eq(get_fd(r, 4), b"x");
        eq(get_fd(r, 4), b"");
    }
    fn end_of_file_waits_for_the_last_writer() {
        let (r, w) = pipe(0);
        let child = spawn(|| { sleep_ms(50); 0 });
        close(w);
        let start = now_ms();
        eq(get_fd(r, 4), b"");
        yes(now_ms() - start >= 30);
        wait_exit(child, 0);
    }
    fn empty_nonblocking_is_eagain() {
        let (r, _w) = pipe(O_NONBLOCK);
        fails(EAGAIN, read(r, [0_u8; 1].as_mut_ptr().cast(), 1));
    }
    fn capacity_is_64k_then_eagain() {
        let (r, w) = pipe(O_NONBLOCK);
        let big = vec![1_u8; 100_000];
        ok_eq(write(w, big.as_ptr().cast(), big.len()), 65536);
        fails(EAGAIN, write(w, big.as_ptr().cast(), 1));
        get_fd(r, 4096);
        ok_eq(write(w, big.as_ptr().cast(), 4096), 4096);
    }
    fn small_writes_are_atomic() {
        let (r, w) = pipe(0);
        let pids: Vec<i32> = (0..4_u8).map(|n| spawn(|| {
            close(r);
            for _ in 0..100 {
                put_fd(w, &[n; 100]);
            }
            0
        })).collect();
        close(w);
        let mut all = Vec::new();
        loop {
            let part = get_fd(r, 100);
            if part.is_empty() { break; }
            all.extend(part);
        }
        eq(all.len(), 40_000);
        yes(all.chunks(100).all(|c| c.iter().all(|b| *b == c[0])));
        pids.into_iter().for_each(|pid| wait_exit(pid, 0));
    }
    fn atomic_write_waits_for_room_for_all() {
        let (r, w) = pipe(O_NONBLOCK);
        ok_eq(write(w, vec![0_u8; 65536].as_ptr().cast(), 65536), 65536);
        get_fd(r, 4095);
        fails(EAGAIN, write(w, vec![0_u8; 4096].as_ptr().cast(), 4096));
    }
    fn blocked_writer_wakes_when_read() {
        let (r, w) = pipe(0);
        let child = spawn(|| { close(r); put_fd(w, &vec![5; 300_000]); 0 });
        close(w);
        eq(get_all(r).len(), 300_000);
        wait_exit(child, 0);
    }
    fn size_can_be_set_and_read() {
        let (_r, w) = pipe(0);
        ok_eq(fcntl(w, F_GETPIPE_SZ), 65536);
        ok_eq(fcntl(w, F_SETPIPE_SZ, 5000), 8192);
        ok_eq(fcntl(w, F_GETPIPE_SZ), 8192);
        put_fd(w, &[0; 8000]);
        fails(EBUSY, fcntl(w, F_SETPIPE_SZ, 4096));
    }
    fn wrong_direction_is_ebadf() {
        let (r, w) = pipe(0);
        fails(EBADF, write(r, c"x".as_ptr().cast(), 1));
        fails(EBADF, read(w, [0_u8; 1].as_mut_ptr().cast(), 1));
    }
    fn pipe2_flags() {
        let (r, w) = pipe(O_CLOEXEC | O_NONBLOCK);
        ok_eq(fcntl(r, F_GETFD), FD_CLOEXEC);
        ok_eq(fcntl(w, F_GETFL), O_WRONLY | O_NONBLOCK);
        fails(EINVAL, pipe2([0; 2].as_mut_ptr(), O_APPEND));
        fails(EFAULT, pipe2(8 as *mut i32, 0));
    }
    fn packet_mode_keeps_boundaries() {
        let (r, w) = pipe(O_DIRECT);
        put_fd(w, b"abc");
        put_fd(w, b"de");
        eq(get_fd(r, 2), b"ab");
        eq(get_fd(r, 9), b"de");
    }
    fn stat_says_fifo() {
        let (r, _w) = pipe(0);
        eq(fstat(r).st_mode & S_IFMT, S_IFIFO);
        let link = std::fs::read_link(format!("/proc/self/fd/{r}")).unwrap();
        eq(link.to_str().unwrap(), format!("pipe:[{}]", fstat(r).st_ino));
    }
    fn ping_pong_between_processes() {
        let ((r1, w1), (r2, w2)) = (pipe(0), pipe(0));
        let child = spawn(|| {
            for _ in 0..500 {
                put_fd(w2, &get_fd(r1, 1));
            }
            0
        });
        for n in 0..500_u32 {
            put_fd(w1, &[n as u8]);
            eq(get_fd(r2, 1), [n as u8]);
        }
        wait_exit(child, 0);
    }
    fn fifo_connects_processes() {
        ok(mkfifo(p(c"q"), 0o600));
        let child = spawn(|| { put_fd(open(c"q", O_WRONLY), b"through"); 0 });
        eq(get_all(open(c"q", O_RDONLY)), b"through");
        wait_exit(child, 0);
    }
    fn fifo_nonblocking_opens() {
        ok(mkfifo(p(c"q"), 0o600));
        fails(ENXIO, try_open(c"q", O_WRONLY | O_NONBLOCK));
        let r = open(c"q", O_RDONLY | O_NONBLOCK);
        eq(get_fd(r, 1), b"");
        let w = open(c"q", O_WRONLY | O_NONBLOCK);
        put_fd(w, b"x");
        eq(get_fd(r, 1), b"x");
        fails(EAGAIN, read(r, [0_u8; 1].as_mut_ptr().cast(), 1));
    }
    fn fifo_read_write_open_does_not_block() {
        ok(mkfifo(p(c"q"), 0o600));
        let fd = open(c"q", O_RDWR);
        put_fd(fd, b"x");
        eq(get_fd(fd, 1), b"x");
    }
    fn reopening_a_pipe_by_proc() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        let again = std::fs::File::open(format!("/proc/self/fd/{r}")).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&again);
        eq(get_fd(fd, 1), b"x");
    }
    fn reopening_a_pipe_without_writers_does_not_block() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        close(w);
        let again = ok(libc::open(format!("/proc/self/fd/{r}\0").as_ptr().cast(), O_RDONLY));
        eq(get_all(again), b"x");
    }
    fn eventfd_adds_and_clears() {
        let fd = event(3, EFD_NONBLOCK);
        ok_eq(add(fd, 4), 8);
        eq(take(fd), 7);
        fails(EAGAIN, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
    }
    fn eventfd_semaphore_counts_down() {
        let fd = event(2, EFD_NONBLOCK | EFD_SEMAPHORE);
        eq((take(fd), take(fd)), (1, 1));
        fails(EAGAIN, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
    }
    fn eventfd_overflow() {
        let fd = event(0, EFD_NONBLOCK);
        fails(EINVAL, add(fd, u64::MAX));
        ok_eq(add(fd, u64::MAX - 1), 8);
        fails(EAGAIN, add(fd, 1));
        fails(EINVAL, write(fd, c"x".as_ptr().cast(), 4));
        fails(EINVAL, read(fd, [0_u8; 4].as_mut_ptr().cast(), 4));
    }
    fn eventfd_wakes_a_reader() {
        let fd = event(0, 0);
        let child = spawn(|| take(fd) as i32);
        until_asleep(child);
        add(fd, 9);
        wait_exit(child, 9);
    }
    fn eventfd_polls() {
        let fd = event(0, 0);
        let mut poll = pollfd { fd, events: POLLIN | POLLOUT, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 0), 1);
        eq(poll.revents, POLLOUT);
        add(fd, u64::MAX - 1);
        ok_eq(libc::poll(&mut poll, 1, 0), 1);
        eq(poll.revents, POLLIN);
        fails(EINVAL, eventfd(0, 0x4000_0000));
    }
}
