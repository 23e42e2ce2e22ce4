//! poll, select and epoll.

use tests::prelude::*;

unsafe fn poll1(fd: i32, events: i16, ms: i32) -> i16 {
    let mut poll = pollfd { fd, events, revents: 0 };
    ok(libc::poll(&mut poll, 1, ms));
    poll.revents
}

unsafe fn epoll(fd: i32, events: i32) -> i32 {
    let ep = ok(epoll_create1(0));
    ctl(ep, EPOLL_CTL_ADD, fd, events);
    ep
}

unsafe fn try_ctl(ep: i32, op: i32, fd: i32, events: i32) -> i32 {
    epoll_ctl(
        ep,
        op,
        fd,
        &mut epoll_event {
            events: events as u32,
            u64: fd as u64,
        },
    )
}

unsafe fn ctl(ep: i32, op: i32, fd: i32, events: i32) {
    ok(try_ctl(ep, op, fd, events));
}

/// (fd, events) of all that is ready.
unsafe fn ready(ep: i32, ms: i32) -> Vec<(i32, i32)> {
    let mut all = [epoll_event { events: 0, u64: 0 }; 16];
    let n = ok(epoll_wait(ep, all.as_mut_ptr(), 16, ms));
    all[..n as usize]
        .iter()
        .map(|e| (e.u64 as i32, e.events as i32))
        .collect()
}

unsafe fn socks() -> [i32; 2] {
    let mut s = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s.as_mut_ptr()));
    s
}

const NONE: Vec<(i32, i32)> = Vec::new();

tests::cases! {
    fn poll_pipe_states() {
        let (r, w) = pipe(0);
        eq((poll1(r, POLLIN, 0), poll1(w, POLLOUT, 0)), (0, POLLOUT));
        put_fd(w, b"x");
        eq(poll1(r, POLLIN, 0), POLLIN);
        close(w);
        eq(poll1(r, POLLIN, 0), POLLIN | POLLHUP);
        get_fd(r, 1);
        eq(poll1(r, POLLIN, 0), POLLHUP);
    }
    fn poll_broken_pipe_is_pollerr() {
        let (r, w) = pipe(0);
        close(r);
        eq(poll1(w, POLLOUT, 0), POLLOUT | POLLERR);
    }
    fn poll_full_pipe_is_not_writable() {
        let (_r, w) = pipe(O_NONBLOCK);
        while write(w, [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
        eq(poll1(w, POLLOUT, 0), 0);
    }
    fn poll_regular_file_is_always_ready() {
        put(c"f", b"");
        eq(poll1(open(c"f", O_RDWR), POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
        eq(poll1(open(c".", O_RDONLY), POLLIN, 0), POLLIN);
    }
    fn poll_bad_fd_is_pollnval_and_negative_is_skipped() {
        eq(poll1(999, POLLIN, 0), POLLNVAL);
        eq(poll1(-1, POLLIN, 0), 0);
    }
    fn poll_timeout_passes() {
        let start = now_ms();
        ok_eq(libc::poll(null_mut(), 0, 50), 0);
        let took = now_ms() - start;
        yes((50..1000).contains(&took));
    }
    fn poll_wakes_on_write() {
        let (r, w) = pipe(0);
        let child = spawn(|| { sleep_ms(30); put_fd(w, b"x"); 0 });
        eq(poll1(r, POLLIN, 5000), POLLIN);
        wait_exit(child, 0);
    }
    fn poll_wakes_on_hangup() {
        let (r, w) = pipe(0);
        let child = spawn(|| { sleep_ms(30); 0 });
        close(w);
        eq(poll1(r, POLLIN, 5000), POLLHUP);
        wait_exit(child, 0);
    }
    fn poll_counts_ready_ones() {
        let (r, w) = pipe(0);
        let (r2, _w2) = pipe(0);
        put_fd(w, b"x");
        let mut all = [(r, POLLIN), (r2, POLLIN), (w, POLLOUT)].map(|(fd, events)| pollfd { fd, events, revents: 7 });
        ok_eq(libc::poll(all.as_mut_ptr(), 3, -1), 2);
        eq(all.map(|p| p.revents), [POLLIN, 0, POLLOUT]);
    }
    fn poll_errors() {
        fails(EFAULT, syscall(SYS_poll, 8, 1, 0));
        ok(setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 8, rlim_max: 8 }));
        fails(EINVAL, libc::poll([pollfd { fd: -1, events: 0, revents: 0 }; 9].as_mut_ptr(), 9, 0));
    }
    fn poll_rdhup_on_half_close() {
        let s = socks();
        ok(shutdown(s[1], SHUT_WR));
        eq(poll1(s[0], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
        close(s[1]);
        eq(poll1(s[0], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP | POLLHUP);
    }
    fn ppoll_swaps_the_mask() {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        fails(EINTR, ppoll(null_mut(), 0, null(), &set_of(&[])));
        eq(hits(), 1);
    }
    fn ppoll_updates_nothing_but_times_out() {
        let t = timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        ok_eq(ppoll(null_mut(), 0, &t, null()), 0);
        fails(EINVAL, ppoll(null_mut(), 0, &timespec { tv_sec: 0, tv_nsec: -1 }, null()));
    }
    fn select_reports_three_sets() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        let (mut reads, mut writes): (fd_set, fd_set) = (zeroed(), zeroed());
        FD_SET(r, &mut reads);
        FD_SET(w, &mut reads);
        FD_SET(w, &mut writes);
        let mut tv = timeval { tv_sec: 5, tv_usec: 0 };
        ok_eq(select(w + 1, &mut reads, &mut writes, null_mut(), &mut tv), 2);
        yes(FD_ISSET(r, &reads) && !FD_ISSET(w, &reads) && FD_ISSET(w, &writes));
        yes(tv.tv_sec == 4);
    }
    fn select_times_out_with_empty_sets() {
        let (r, _w) = pipe(0);
        let mut reads: fd_set = zeroed();
        FD_SET(r, &mut reads);
        let mut tv = timeval { tv_sec: 0, tv_usec: 30_000 };
        ok_eq(select(r + 1, &mut reads, null_mut(), null_mut(), &mut tv), 0);
        yes(!FD_ISSET(r, &reads));
        eq((tv.tv_sec, tv.tv_usec), (0, 0));
    }
    fn select_errors() {
        let mut reads: fd_set = zeroed();
        FD_SET(100, &mut reads);
        fails(EBADF, select(101, &mut reads, null_mut(), null_mut(), null_mut()));
        fails(EINVAL, select(-1, null_mut(), null_mut(), null_mut(), null_mut()));
        let mut tv = timeval { tv_sec: -1, tv_usec: 0 };
        fails(EINVAL, select(0, null_mut(), null_mut(), null_mut(), &mut tv));
    }
    fn pselect_swaps_the_mask() {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        fails(EINTR, pselect(0, null_mut(), null_mut(), null_mut(), null(), &set_of(&[])));
    }
    fn epoll_level_triggered_repeats() {
        let (r, w) = pipe(0);
        let ep = epoll(r, EPOLLIN);
        eq(ready(ep, 0), NONE);
        put_fd(w, b"xy");
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        get_fd(r, 2);
        eq(ready(ep, 0), NONE);
    }
    fn epoll_edge_triggered_reports_once() {
        let (r, w) = pipe(0);
        let ep = epoll(r, EPOLLIN | EPOLLET);
        put_fd(w, b"x");
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        eq(ready(ep, 0), NONE);
        put_fd(w, b"y");
        eq(ready(ep, 0), [(r, EPOLLIN)]);
    }
    fn epoll_edge_on_add_when_already_ready() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        let ep = epoll(r, EPOLLIN | EPOLLET);
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN | EPOLLET);
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        eq(ready(ep, 0), NONE);
    }
    fn epoll_oneshot_needs_rearming() {
        let (r, w) = pipe(0);
        let ep = epoll(r, EPOLLIN | EPOLLONESHOT);
        put_fd(w, b"x");
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        put_fd(w, b"x");
        eq(ready(ep, 0), NONE);
        ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN | EPOLLONESHOT);
        eq(ready(ep, 0), [(r, EPOLLIN)]);
    }
    fn epoll_hup_comes_unasked() {
        let (r, w) = pipe(0);
        let ep = epoll(r, 0);
        close(w);
        eq(ready(ep, 0), [(r, EPOLLHUP)]);
    }
    fn epoll_rdhup() {
        let s = socks();
        let ep = epoll(s[0], EPOLLIN | EPOLLRDHUP);
        ok(shutdown(s[1], SHUT_WR));
        eq(ready(ep, 0), [(s[0], EPOLLIN | EPOLLRDHUP)]);
    }
    fn epoll_ctl_errors() {
        let (r, _w) = pipe(0);
        let ep = epoll(r, EPOLLIN);
        fails(EEXIST, try_ctl(ep, EPOLL_CTL_ADD, r, EPOLLIN));
        ctl(ep, EPOLL_CTL_DEL, r, 0);
        fails(ENOENT, try_ctl(ep, EPOLL_CTL_DEL, r, 0));
        fails(ENOENT, try_ctl(ep, EPOLL_CTL_MOD, r, 0));
        fails(EINVAL, try_ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN));
        fails(EBADF, try_ctl(ep, EPOLL_CTL_ADD, 999, EPOLLIN));
        fails(EINVAL, try_ctl(r, EPOLL_CTL_ADD, ep, EPOLLIN));
        put(c"f", b"");
        fails(EPERM, try_ctl(ep, EPOLL_CTL_ADD, open(c"f", O_RDONLY), EPOLLIN));
        fails(EINVAL, try_ctl(ep, 77, r, EPOLLIN));
        fails(EFAULT, epoll_ctl(ep, EPOLL_CTL_ADD, r, 8 as *mut epoll_event));
    }
    fn epoll_wait_errors() {
        let ep = ok(epoll_create1(EPOLL_CLOEXEC));
        let mut one = [epoll_event { events: 0, u64: 0 }];
        fails(EINVAL, epoll_wait(ep, one.as_mut_ptr(), 0, 0));
        fails(EBADF, epoll_wait(999, one.as_mut_ptr(), 1, 0));
        fails(EINVAL, epoll_create1(77));
        fails(EINVAL, epoll_create(0));
        fails(EINVAL, epoll_wait(open(c".", O_RDONLY), one.as_mut_ptr(), 1, 0));
    }
    fn epoll_closing_removes() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        let ep = epoll(r, EPOLLIN);
        close(r);
        eq(ready(ep, 0), NONE);
    }
    fn epoll_dup_keeps_the_registration() {
        let (r, w) = pipe(0);
        put_fd(w, b"x");
        let ep = epoll(r, EPOLLIN);
        let copy = ok(dup(r));
        close(r);
        eq(ready(ep, 0), [(r, EPOLLIN)]);
        close(copy);
        eq(ready(ep, 0), NONE);
    }
    fn epoll_nests() {
        let (r, w) = pipe(0);
        let inner = epoll(r, EPOLLIN);
        let outer = epoll(inner, EPOLLIN);
        eq(ready(outer, 0), NONE);
        put_fd(w, b"x");
        eq(ready(outer, 1000), [(inner, EPOLLIN)]);
        eq(poll1(outer, POLLIN, 0), POLLIN);
        fails(ELOOP, try_ctl(inner, EPOLL_CTL_ADD, outer, EPOLLIN));
    }
    fn epoll_wait_wakes() {
        let (r, w) = pipe(0);
        let ep = epoll(r, EPOLLIN);
        let child = spawn(|| { sleep_ms(30); put_fd(w, b"x"); 0 });
        eq(ready(ep, 5000), [(r, EPOLLIN)]);
        wait_exit(child, 0);
    }
    fn epoll_timeout() {
        let start = now_ms();
        eq(ready(ok(epoll_create1(0)), 50), NONE);
        yes(now_ms() - start >= 49);
    }
    fn epoll_pwait_swaps_the_mask() {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        let ep = ok(epoll_create1(0));
        fails(EINTR, epoll_pwait(ep, [epoll_event { events: 0, u64: 0 }].as_mut_ptr(), 1, -1, &set_of(&[])));
    }
    fn epoll_pwait2_takes_nanoseconds() {
        let ep = ok(epoll_create1(0));
        let t = timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        ok_eq(syscall(SYS_epoll_pwait2, ep, &mut [epoll_event { events: 0, u64: 0 }], 1, &t, 0, 8), 0);
    }
    fn epoll_exclusive_rules() {
        let (r, _w) = pipe(0);
        let ep = epoll(r, EPOLLIN | EPOLLEXCLUSIVE);
        fails(EINVAL, try_ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN));
        let (r2, _w2) = pipe(0);
        fails(EINVAL, try_ctl(ep, EPOLL_CTL_ADD, r2, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
    }
    fn epoll_exclusive_wakes_one() {
        let (r, w) = pipe(0);
        let woken = shared(1);
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                spawn(|| {
                    let ep = epoll(r, EPOLLIN | EPOLLEXCLUSIVE);
                    if ready(ep, 1500) != NONE {
                        woken[0].fetch_add(1, SeqCst);
                    }
                    0
                })
            })
            .collect();
        sleep_ms(500);
        put_fd(w, b"x");
        for pid in waiters {
            wait_exit(pid, 0);
        }
        eq(woken[0].load(SeqCst), 1);
    }
    fn epoll_chain_of_five() {
        let (r, _w) = pipe(0);
        let mut top = epoll(r, EPOLLIN);
        for _ in 0..4 {
            top = epoll(top, EPOLLIN);
        }
        fails(ELOOP, try_ctl(ok(epoll_create1(0)), EPOLL_CTL_ADD, top, EPOLLIN));
    }
    fn epoll_round_robin_with_few_slots() {
        let pipes: Vec<_> = (0..6).map(|_| pipe(0)).collect();
        let ep = ok(epoll_create1(0));
        for (r, w) in &pipes {
            put_fd(*w, b"x");
            ctl(ep, EPOLL_CTL_ADD, *r, EPOLLIN);
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let mut two = [epoll_event { events: 0, u64: 0 }; 2];
            ok_eq(epoll_wait(ep, two.as_mut_ptr(), 2, 0), 2);
            seen.extend(two.iter().map(|e| e.u64));
        }
        eq(seen.len(), 6);
    }
    fn epoll_edge_out_on_socket() {
        let s = socks();
        let ep = epoll(s[0], EPOLLOUT | EPOLLET);
        eq(ready(ep, 0), [(s[0], EPOLLOUT)]);
        eq(ready(ep, 0), NONE);
        while write(s[0], [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
        eq(ready(ep, 0), NONE);
        while read(s[1], [0_u8; 4096].as_mut_ptr().cast(), 4096) > 0 {}
        eq(ready(ep, 1000), [(s[0], EPOLLOUT)]);
    }
    fn epoll_many_threads_share_the_events() {
        let ep = ok(epoll_create1(0));
        let (r, w) = pipe(O_NONBLOCK);
        ctl(ep, EPOLL_CTL_ADD, r, EPOLLIN);
        let got = shared(1);
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(move || {
            while got[0].load(SeqCst) < 100 {
                for _ in ready(ep, 20) {
                    let mut byte = 0_u8;
                    if read(r, (&raw mut byte).cast(), 1) == 1 {
                        got[0].fetch_add(1, SeqCst);
                    }
                }
            }
        })).collect();
        for _ in 0..100 {
            put_fd(w, b"x");
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
        eq(got[0].load(SeqCst), 100);
    }
}
