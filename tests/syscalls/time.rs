//! Clocks, sleeps, interval timers, POSIX timers, timerfd.

use tests::prelude::*;

fn ts(ns: i64) -> timespec {
    timespec {
        tv_sec: ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    }
}

const MS: i64 = 1_000_000;

unsafe fn clock(id: i32) -> i64 {
    let mut t: timespec = zeroed();
    ok(clock_gettime(id, &mut t));
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

unsafe fn raw_clock(id: i32) -> i64 {
    let mut t: timespec = zeroed();
    ok(syscall(SYS_clock_gettime, id, &mut t));
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

fn spec(first: i64, every: i64) -> itimerspec {
    itimerspec {
        it_value: ts(first),
        it_interval: ts(every),
    }
}

unsafe fn timerfd(first: i64, every: i64) -> i32 {
    let fd = ok(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    ok(timerfd_settime(fd, 0, &spec(first, every), null_mut()));
    fd
}

fn count_of(data: &[u8]) -> u64 {
    u64::from_ne_bytes(data.try_into().unwrap())
}

/// A POSIX timer that sends SIGRTMIN with value 7.
unsafe fn timer(id: i32) -> timer_t {
    let mut event: sigevent = zeroed();
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN();
    event.sigev_value = sigval {
        sival_ptr: 7 as *mut c_void,
    };
    let mut timer = null_mut();
    ok(timer_create(id, &mut event, &mut timer));
    timer
}

unsafe fn burn(ms: i64) {
    let start = now_ms();
    while now_ms() - start < ms {}
}

tests::cases! {
    fn clocks_agree_with_their_syscalls() {
        for id in [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW] {
            let (a, b, c) = (clock(id), raw_clock(id), clock(id));
            yes(a <= b && b <= c);
            yes(c - a < 1000 * MS);
        }
    }
    fn monotonic_never_goes_back() {
        let mut last = clock(CLOCK_MONOTONIC);
        for _ in 0..100_000 {
            let now = clock(CLOCK_MONOTONIC);
            assert!(now >= last);
            last = now;
        }
    }
    fn coarse_clocks_are_near() {
        yes((clock(CLOCK_REALTIME_COARSE) - clock(CLOCK_REALTIME)).abs() < 50 * MS);
        yes((clock(CLOCK_MONOTONIC_COARSE) - clock(CLOCK_MONOTONIC)).abs() < 50 * MS);
    }
    fn time_and_gettimeofday_match_realtime() {
        let mut tv: timeval = zeroed();
        ok(gettimeofday(&mut tv, null_mut()));
        let real = clock(CLOCK_REALTIME) / 1_000_000_000;
        yes((real - tv.tv_sec).abs() <= 1);
        yes((real - time(null_mut())).abs() <= 1);
        yes((real - syscall(SYS_time, 0)).abs() <= 1);
    }
    fn file_times_follow_the_realtime_clock() {
        put(c"f", b"x");
        yes((stat(c"f").st_mtime - time(null_mut())).abs() <= 1);
    }
    fn cpu_clocks_count_work_not_sleep() {
        let start = clock(CLOCK_PROCESS_CPUTIME_ID);
        sleep_ms(100);
        let slept = clock(CLOCK_PROCESS_CPUTIME_ID) - start;
        burn(100);
        let worked = clock(CLOCK_PROCESS_CPUTIME_ID) - start - slept;
        yes(slept < 60 * MS);
        yes(worked > 15 * MS);
    }
    fn thread_cpu_clock_is_its_own() {
        let before = clock(CLOCK_THREAD_CPUTIME_ID);
        std::thread::spawn(|| burn(80)).join().unwrap();
        yes(clock(CLOCK_THREAD_CPUTIME_ID) - before < 40 * MS);
    }
    fn cpu_clock_of_another_process() {
        let pid = spawn(|| { burn(60); pause(); 0 });
        until(|| state_of(pid) == 'S');
        let mut id = 0;
        eq(clock_getcpuclockid(pid, &mut id), 0);
        yes(clock(id) > 5 * MS);
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn clock_errors() {
        let mut t: timespec = zeroed();
        fails(EINVAL, clock_gettime(99, &mut t));
        fails(EINVAL, clock_getres(99, &mut t));
        fails(EFAULT, syscall(SYS_clock_gettime, 0, 8));
        ok(clock_getres(CLOCK_MONOTONIC, &mut t));
        eq((t.tv_sec, t.tv_nsec), (0, 1));
        as_user(1000, 1000, || fails(EPERM, clock_settime(CLOCK_REALTIME, &ts(0))));
    }
    fn nanosleep_sleeps_long_enough() {
        let start = clock(CLOCK_MONOTONIC);
        ok(nanosleep(&ts(50 * MS), null_mut()));
        let took = clock(CLOCK_MONOTONIC) - start;
        yes(took >= 50 * MS && took < 500 * MS);
    }
    fn nanosleep_errors() {
        fails(EINVAL, nanosleep(&timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }, null_mut()));
        fails(EINVAL, nanosleep(&timespec { tv_sec: -1, tv_nsec: 0 }, null_mut()));
        ok(nanosleep(&ts(0), null_mut()));
        eq(clock_nanosleep(99, 0, &ts(0), null_mut()), EINVAL);
    }
    fn clock_nanosleep_absolute() {
        let goal = clock(CLOCK_MONOTONIC) + 50 * MS;
        eq(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts(goal), null_mut()), 0);
        yes(clock(CLOCK_MONOTONIC) >= goal);
        eq(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts(1), null_mut()), 0);
        let goal = clock(CLOCK_REALTIME) + 30 * MS;
        eq(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts(goal), null_mut()), 0);
        yes(clock(CLOCK_REALTIME) >= goal);
    }
    fn alarm_fires_and_tells_the_rest() {
        catch(SIGALRM, 0);
        eq(alarm(100), 0);
        eq(alarm(1), 100);
        fails(EINTR, pause());
        eq((hits(), alarm(0)), (1, 0));
    }
    fn alarm_is_not_inherited_but_survives_exec() {
        alarm(100);
        in_child(|| eq(alarm(0), 0));
        eq(alarm(0), 100);
        let pid = spawn(|| { alarm(1); execv(p(c"/bin/sleep"), [p(c"sleep"), p(c"9"), null()].as_ptr()); 1 });
        wait_signal(pid, SIGALRM);
    }
    fn itimer_real_repeats() {
        catch(SIGALRM, SA_RESTART);
        let t = timeval { tv_sec: 0, tv_usec: 10_000 };
        ok(setitimer(ITIMER_REAL, &itimerval { it_value: t, it_interval: t }, null_mut()));
        until(|| hits() >= 5);
        let mut now: itimerval = zeroed();
        ok(getitimer(ITIMER_REAL, &mut now));
        eq(now.it_interval.tv_usec, 10_000);
        yes(now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 10_000);
    }
    fn itimer_virtual_and_prof_count_cpu() {
        catch(SIGVTALRM, SA_RESTART);
        let t = timeval { tv_sec: 0, tv_usec: 30_000 };
        ok(setitimer(ITIMER_VIRTUAL, &itimerval { it_value: t, it_interval: zeroed() }, null_mut()));
        sleep_ms(60);
        eq(hits(), 0);
        let start = now_ms();
        while hits() == 0 && now_ms() - start < 5000 {}
        eq((hits(), LAST.load(SeqCst)), (1, SIGVTALRM));
        catch(SIGPROF, SA_RESTART);
        ok(setitimer(ITIMER_PROF, &itimerval { it_value: t, it_interval: zeroed() }, null_mut()));
        let start = now_ms();
        while hits() == 1 && now_ms() - start < 5000 {}
        eq((hits(), LAST.load(SeqCst)), (2, SIGPROF));
    }
    fn itimer_errors() {
        let bad = timeval { tv_sec: 0, tv_usec: 1_000_000 };
        fails(EINVAL, setitimer(ITIMER_REAL, &itimerval { it_value: bad, it_interval: zeroed() }, null_mut()));
        fails(EINVAL, syscall(SYS_setitimer, 77, &[0_u64; 4], 0));
        fails(EINVAL, syscall(SYS_getitimer, 77, &mut [0_u64; 4]));
    }
    fn posix_timer_fires_with_its_value() {
        block(&[SIGRTMIN()]);
        let t = timer(CLOCK_MONOTONIC);
        ok(timer_settime(t, 0, &spec(20 * MS, 0), null_mut()));
        let mut info: siginfo_t = zeroed();
        ok_eq(sigtimedwait(&set_of(&[SIGRTMIN()]), &mut info, &ts(5000 * MS)), SIGRTMIN());
        eq((info.si_code, info.si_value().sival_ptr as i32), (SI_TIMER, 7));
        ok(timer_delete(t));
        fails(EINVAL, timer_delete(t));
    }
    fn posix_timer_overruns_are_counted() {
        block(&[SIGRTMIN()]);
        let t = timer(CLOCK_REALTIME);
        ok(timer_settime(t, 0, &spec(5 * MS, 5 * MS), null_mut()));
        sleep_ms(60);
        ok(sigwaitinfo(&set_of(&[SIGRTMIN()]), null_mut()));
        yes(ok(timer_getoverrun(t)) >= 5);
    }
    fn posix_timer_overruns_are_of_the_signal_taken_last() {
        block(&[SIGRTMIN()]);
        let t = timer(CLOCK_MONOTONIC);
        ok(timer_settime(t, 0, &spec(5 * MS, 5 * MS), null_mut()));
        for _ in 0..3 {
            sleep_ms(30);
            let mut info: siginfo_t = zeroed();
            ok(sigwaitinfo(&set_of(&[SIGRTMIN()]), &mut info));
            let told = *(&raw const info).cast::<i32>().add(5); // si_overrun
            yes(told >= 1);
            eq(ok(timer_getoverrun(t)), told);
            // Whatever is pending by now.
            sleep_ms(20);
            eq(ok(timer_getoverrun(t)), told);
        }
        ok(timer_settime(t, 0, &spec(0, 0), null_mut()));
        eq(ok(timer_getoverrun(t)), 0);
    }
    fn posix_timer_gettime_and_disarm() {
        let t = timer(CLOCK_MONOTONIC);
        let mut now: itimerspec = zeroed();
        ok(timer_gettime(t, &mut now));
        eq((now.it_value.tv_sec, now.it_value.tv_nsec), (0, 0));
        ok(timer_settime(t, 0, &spec(100_000 * MS, 0), null_mut()));
        ok(timer_settime(t, 0, &spec(0, 0), &mut now));
        yes(now.it_value.tv_sec >= 98);
        let at = clock(CLOCK_MONOTONIC) + 10 * MS;
        block(&[SIGRTMIN()]);
        ok(timer_settime(t, TIMER_ABSTIME, &spec(at, 0), null_mut()));
        ok(sigwaitinfo(&set_of(&[SIGRTMIN()]), null_mut()));
        yes(clock(CLOCK_MONOTONIC) >= at);
    }
    fn posix_timer_on_cpu_clock() {
        block(&[SIGRTMIN()]);
        let t = timer(CLOCK_PROCESS_CPUTIME_ID);
        ok(timer_settime(t, 0, &spec(30 * MS, 0), null_mut()));
        let start = now_ms();
        while !pending(SIGRTMIN()) && now_ms() - start < 5000 {}
        yes(pending(SIGRTMIN()));
    }
    fn posix_timer_to_a_thread() {
        let mut event: sigevent = zeroed();
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = SIGUSR1;
        event.sigev_notify_thread_id = gettid();
        catch(SIGUSR1, 0);
        let mut t = null_mut();
        ok(timer_create(CLOCK_MONOTONIC, &mut event, &mut t));
        ok(timer_settime(t, 0, &spec(10 * MS, 0), null_mut()));
        until(|| hits() == 1);
    }
    fn posix_timers_are_not_inherited() {
        let t = timer(CLOCK_MONOTONIC);
        in_child(|| fails(EINVAL, timer_settime(t, 0, &spec(MS, 0), null_mut())));
        fails(EINVAL, timer_settime(t, 0, &itimerspec { it_value: timespec { tv_sec: 0, tv_nsec: -1 }, it_interval: ts(0) }, null_mut()));
        fails(EINVAL, syscall(SYS_timer_create, 99, 0, &mut 0));
    }
    fn timerfd_expires_once() {
        let fd = timerfd(20 * MS, 0);
        fails(EAGAIN, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
        let mut poll = pollfd { fd, events: POLLIN, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 5000), 1);
        eq(count_of(&get_fd(fd, 8)), 1);
        fails(EAGAIN, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
    }
    fn timerfd_counts_expirations() {
        let fd = timerfd(5 * MS, 5 * MS);
        sleep_ms(60);
        yes(count_of(&get_fd(fd, 8)) >= 5);
    }
    fn timerfd_gettime_and_settime() {
        let fd = timerfd(100_000 * MS, 7 * MS);
        let mut now: itimerspec = zeroed();
        ok(timerfd_gettime(fd, &mut now));
        yes(now.it_value.tv_sec >= 98 && now.it_interval.tv_nsec == 7 * MS);
        ok(timerfd_settime(fd, 0, &spec(0, 0), &mut now));
        yes(now.it_value.tv_sec >= 98);
        ok(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec(1, 0), null_mut()));
        eq(count_of(&get_fd(fd, 8)), 1);
    }
    fn timerfd_blocking_read() {
        let fd = ok(timerfd_create(CLOCK_REALTIME, 0));
        ok(timerfd_settime(fd, 0, &spec(30 * MS, 0), null_mut()));
        let start = now_ms();
        eq(get_fd(fd, 8).len(), 8);
        yes(now_ms() - start >= 28);
    }
    fn timerfd_errors() {
        fails(EINVAL, timerfd_create(99, 0));
        fails(EINVAL, timerfd_create(CLOCK_MONOTONIC, 0x4000_0000));
        let fd = timerfd(MS, 0);
        fails(EINVAL, read(fd, [0_u8; 4].as_mut_ptr().cast(), 4));
        fails(EINVAL, write(fd, [0_u8; 8].as_ptr().cast(), 8));
        fails(EINVAL, timerfd_settime(0, 0, &spec(1, 0), null_mut()));
    }
    fn many_sleepers_wake_in_order() {
        let order = shared(11);
        let threads: Vec<_> = (0..10_usize).map(|n| std::thread::spawn(move || {
            sleep_ms(20 + 25 * n as u64);
            order[n].store(order[10].fetch_add(1, SeqCst), SeqCst);
        })).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        eq((0..10).map(|n| order[n].load(SeqCst)).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }
    fn adjtimex_reads() {
        let mut t: timex = zeroed();
        yes(ok(adjtimex(&mut t)) >= 0);
        as_user(1000, 1000, || {
            let mut t: timex = zeroed();
            t.modes = 0x4000;
            fails(EPERM, adjtimex(&mut t));
        });
    }
}
