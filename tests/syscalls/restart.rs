//! Interrupted system calls: which restart with SA_RESTART, which end with EINTR, and what they keep.

use tests::prelude::*;

/// A signal to this process in 30 ms, counted by a handler with these flags.
unsafe fn interrupt(flags: i32) -> i32 {
    catch(SIGUSR1, flags);
    kill_later(getpid(), SIGUSR1, 30)
}

unsafe fn socks() -> [i32; 2] {
    let mut s = [0; 2];
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, s.as_mut_ptr()));
    s
}

unsafe fn fill(fd: i32) {
    let flags = ok(fcntl(fd, F_GETFL));
    ok(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    while write(fd, [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
    while write(fd, [0_u8; 1].as_ptr().cast(), 1) > 0 {}
    ok(fcntl(fd, F_SETFL, flags));
}

/// Feeds the fd with a byte after 100 ms.
unsafe fn feed(fd: i32) -> i32 {
    spawn(|| {
        sleep_ms(100);
        put_fd(fd, b"x");
        0
    })
}

tests::cases! {
    fn pipe_read_eintr() {
        let (r, _w) = pipe(0);
        interrupt(0);
        fails(EINTR, read(r, [0_u8; 1].as_mut_ptr().cast(), 1));
    }
    fn pipe_read_restarts() {
        let (r, w) = pipe(0);
        interrupt(SA_RESTART);
        feed(w);
        eq(get_fd(r, 1), b"x");
        eq(hits(), 1);
    }
    fn pipe_write_eintr() {
        let (_r, w) = pipe(0);
        fill(w);
        interrupt(0);
        fails(EINTR, write(w, c"x".as_ptr().cast(), 1));
    }
    fn pipe_write_keeps_what_was_written() {
        let (_r, w) = pipe(0);
        interrupt(SA_RESTART);
        let big = vec![0_u8; 200_000];
        let n = ok(write(w, big.as_ptr().cast(), big.len()));
        eq(n, 65536);
    }
    fn socket_recv_eintr_and_restart() {
        let s = socks();
        interrupt(0);
        fails(EINTR, recv(s[0], [0_u8; 1].as_mut_ptr().cast(), 1, 0));
        interrupt(SA_RESTART);
        feed(s[1]);
        ok_eq(recv(s[0], [0_u8; 1].as_mut_ptr().cast(), 1, 0), 1);
    }
    fn socket_recv_with_timeout_never_restarts() {
        let s = socks();
        let tv = timeval { tv_sec: 5, tv_usec: 0 };
        ok(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, (&raw const tv).cast(), 16));
        interrupt(SA_RESTART);
        fails(EINTR, recv(s[0], [0_u8; 1].as_mut_ptr().cast(), 1, 0));
    }
    fn socket_send_eintr() {
        let s = socks();
        fill(s[0]);
        interrupt(0);
        fails(EINTR, send(s[0], c"x".as_ptr().cast(), 1, 0));
    }
    fn accept_eintr_and_restart() {
        let l = ok(socket(AF_UNIX, SOCK_STREAM, 0));
        let mut addr: sockaddr_un = zeroed();
        addr.sun_family = AF_UNIX as u16;
        addr.sun_path[0] = b's' as c_char;
        ok(bind(l, (&raw const addr).cast(), 4));
        ok(listen(l, 5));
        interrupt(0);
        fails(EINTR, accept(l, null_mut(), null_mut()));
        interrupt(SA_RESTART);
        spawn(|| {
            sleep_ms(100);
            ok(connect(ok(socket(AF_UNIX, SOCK_STREAM, 0)), (&raw const addr).cast(), 4));
            0
        });
        ok(accept(l, null_mut(), null_mut()));
    }
    fn poll_never_restarts() {
        let (r, _w) = pipe(0);
        let mut poll = pollfd { fd: r, events: POLLIN, revents: 0 };
        interrupt(SA_RESTART);
        fails(EINTR, libc::poll(&mut poll, 1, 5000));
    }
    fn select_never_restarts() {
        let (r, _w) = pipe(0);
        let mut set: fd_set = zeroed();
        FD_SET(r, &mut set);
        interrupt(SA_RESTART);
        fails(EINTR, select(r + 1, &mut set, null_mut(), null_mut(), null_mut()));
    }
    fn epoll_wait_never_restarts() {
        let ep = ok(epoll_create1(0));
        interrupt(SA_RESTART);
        fails(EINTR, epoll_wait(ep, [epoll_event { events: 0, u64: 0 }].as_mut_ptr(), 1, 5000));
    }
    fn nanosleep_tells_the_rest() {
        interrupt(SA_RESTART);
        let mut left: timespec = zeroed();
        fails(EINTR, nanosleep(&timespec { tv_sec: 20, tv_nsec: 0 }, &mut left));
        let ms = left.tv_sec * 1000 + left.tv_nsec / 1_000_000;
        yes(ms > 0 && ms < 19_980);
    }
    fn clock_nanosleep_absolute_restarts_only_without_handler() {
        interrupt(SA_RESTART);
        let mut at: timespec = zeroed();
        ok(clock_gettime(CLOCK_MONOTONIC, &mut at));
        at.tv_sec += 20;
        eq(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, null_mut()), EINTR);
    }
    fn stop_and_continue_resume_a_sleep() {
        let pid = spawn(|| {
            let start = now_ms();
            ok(nanosleep(&timespec { tv_sec: 0, tv_nsec: 900_000_000 }, null_mut()));
            i32::from(now_ms() - start < 900)
        });
        sleep_ms(50);
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        sleep_ms(50);
        ok(kill(pid, SIGCONT));
        wait_exit(pid, 0);
    }
    fn stop_and_continue_resume_a_read() {
        let (r, w) = pipe(0);
        let pid = spawn(|| i32::from(get_fd(r, 1) != b"k"));
        until_asleep(pid);
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        ok(kill(pid, SIGCONT));
        sleep_ms(20);
        put_fd(w, b"k");
        wait_exit(pid, 0);
    }
    fn stop_and_continue_end_epoll_wait_with_eintr_or_go_on() {
        let pid = spawn(|| {
            let (r, _w) = pipe(0);
            let mut poll = pollfd { fd: r, events: POLLIN, revents: 0 };
            i32::from(libc::poll(&mut poll, 1, 300) != 0)
        });
        until_asleep(pid);
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        ok(kill(pid, SIGCONT));
        wait_exit(pid, 0);
    }
    fn ignored_signal_interrupts_nothing() {
        signal(SIGUSR1, SIG_IGN);
        kill_later(getpid(), SIGUSR1, 20);
        let (r, w) = pipe(0);
        feed(w);
        eq(get_fd(r, 1), b"x");
    }
    fn futex_wait_restarts_or_eintr() {
        let word = shared(1);
        interrupt(0);
        fails(EINTR, syscall(SYS_futex, &word[0], FUTEX_WAIT, 0, 0));
        interrupt(SA_RESTART);
        spawn(|| {
            sleep_ms(100);
            word[0].store(1, SeqCst);
            syscall(SYS_futex, &word[0], FUTEX_WAKE, 1);
            0
        });
        ok_eq(syscall(SYS_futex, &word[0], FUTEX_WAIT, 0, 0), 0);
        eq(hits(), 2);
    }
    fn fifo_open_eintr_and_restart() {
        ok(mkfifo(p(c"q"), 0o600));
        interrupt(0);
        fails(EINTR, try_open(c"q", O_RDONLY));
        interrupt(SA_RESTART);
        spawn(|| { sleep_ms(100); open(c"q", O_WRONLY); 0 });
        open(c"q", O_RDONLY);
    }
    fn semop_never_restarts() {
        let id = ok(semget(IPC_PRIVATE, 1, 0o600));
        interrupt(SA_RESTART);
        let mut op = sembuf { sem_num: 0, sem_op: -1, sem_flg: 0 };
        fails(EINTR, semop(id, &mut op, 1));
        ok(semctl(id, 0, IPC_RMID));
    }
    fn msgrcv_never_restarts() {
        let id = ok(msgget(IPC_PRIVATE, 0o600));
        interrupt(SA_RESTART);
        fails(EINTR, msgrcv(id, [0_u64; 4].as_mut_ptr().cast(), 8, 0, 0));
        ok(msgctl(id, IPC_RMID, null_mut()));
    }
    fn eventfd_and_timerfd_reads() {
        let fd = ok(eventfd(0, 0));
        interrupt(0);
        fails(EINTR, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
        let fd = ok(timerfd_create(CLOCK_MONOTONIC, 0));
        interrupt(0);
        fails(EINTR, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
    }
    fn handler_runs_on_every_kind_of_block() {
        catch(SIGUSR1, SA_RESTART);
        let me = getpid();
        let killer = spawn(|| {
            for _ in 0..50 {
                sleep_ms(2);
                kill(me, SIGUSR1);
            }
            0
        });
        wait_exit(killer, 0);
        yes(hits() > 10);
    }
    fn rt_signals_interrupt_a_busy_loop() {
        catch(SIGRTMIN(), 0);
        kill_later(getpid(), SIGRTMIN(), 20);
        while std::hint::black_box(hits()) == 0 {}
    }
}
