//! Signals: delivery, masks, queues, siginfo, waiting for them.

use tests::prelude::*;

static CODE: AtomicI32 = AtomicI32::new(0);
static PID: AtomicI32 = AtomicI32::new(0);
static UID: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicI32 = AtomicI32::new(0);
static ORDER: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];

extern "C" fn with_info(signal: i32, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        CODE.store((*info).si_code, SeqCst);
        PID.store((*info).si_pid(), SeqCst);
        UID.store((*info).si_uid() as i32, SeqCst);
        VALUE.store((*info).si_value().sival_ptr as i32, SeqCst);
    }
    note(signal);
}

extern "C" fn note(signal: i32) {
    let at = HITS.fetch_add(1, SeqCst);
    ORDER[at as usize & 7].store(signal, SeqCst);
}

/// Raises another signal inside the handler and notes both.
extern "C" fn nested(signal: i32) {
    note(signal);
    if hits() == 1 {
        unsafe { raise(signal) };
        note(-signal);
    }
}

extern "C" fn exit_on_signal(signal: i32) {
    unsafe { _exit(100 + signal) }
}

fn order() -> Vec<i32> {
    (0..hits() as usize).map(|n| ORDER[n].load(SeqCst)).collect()
}

unsafe fn info_handler(signal: i32, flags: i32) {
    handle(signal, with_info as *const () as usize, SA_SIGINFO | flags);
}

unsafe fn queue(signal: i32, value: usize) {
    ok(sigqueue(
        getpid(),
        signal,
        sigval {
            sival_ptr: value as *mut c_void,
        },
    ));
}

fn sec(n: i64) -> timespec {
    timespec { tv_sec: n, tv_nsec: 0 }
}

tests::cases! {
    fn handler_runs_before_kill_returns() {
        catch(SIGUSR1, 0);
        ok(kill(getpid(), SIGUSR1));
        eq((hits(), LAST.load(SeqCst)), (1, SIGUSR1));
    }
    fn ignored_signal_does_nothing() {
        signal(SIGUSR1, SIG_IGN);
        ok(raise(SIGUSR1));
        signal(SIGUSR1, SIG_DFL);
    }
    fn default_actions() {
        for signal in [SIGCHLD, SIGURG, SIGWINCH, SIGCONT] {
            in_child(|| { ok(raise(signal)); });
        }
        for signal in [SIGHUP, SIGINT, SIGUSR1, SIGIO, SIGPROF, SIGVTALRM, SIGSTKFLT, SIGPWR, 34, 64] {
            let pid = spawn(|| { kill(getpid(), signal); 0 });
            wait_signal(pid, signal);
        }
    }
    fn core_flag_follows_rlimit_and_signal() {
        ok(setrlimit(RLIMIT_CORE, &rlimit { rlim_cur: 0, rlim_max: 0 }));
        let pid = spawn(|| { kill(getpid(), SIGQUIT); 0 });
        wait_signal(pid, SIGQUIT);
    }
    fn sigaction_returns_the_old_one() {
        info_handler(SIGUSR1, SA_NODEFER);
        let mut old: sigaction = zeroed();
        ok(sigaction(SIGUSR1, null(), &mut old));
        eq(old.sa_sigaction, with_info as *const () as usize);
        eq(old.sa_flags & !0x0400_0000, SA_SIGINFO | SA_NODEFER);
    }
    fn kill_and_stop_cannot_be_caught() {
        let action: sigaction = zeroed();
        fails(EINVAL, sigaction(SIGKILL, &action, null_mut()));
        fails(EINVAL, sigaction(SIGSTOP, &action, null_mut()));
        fails(EINVAL, sigaction(65, &action, null_mut()));
        fails(EINVAL, sigaction(0, &action, null_mut()));
    }
    fn kill_and_stop_cannot_be_blocked() {
        block(&[SIGKILL, SIGSTOP, SIGUSR1]);
        let mut now = set_of(&[]);
        ok(sigprocmask(SIG_BLOCK, null(), &mut now));
        eq((sigismember(&now, SIGKILL), sigismember(&now, SIGSTOP), sigismember(&now, SIGUSR1)), (0, 0, 1));
    }
    fn blocked_signal_waits() {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        eq(hits(), 0);
        yes(pending(SIGUSR1));
        unblock(&[SIGUSR1]);
        eq(hits(), 1);
        yes(!pending(SIGUSR1));
    }
    fn sigprocmask_errors() {
        fails(EINVAL, syscall(SYS_rt_sigprocmask, 77, &set_of(&[]), 0, 8));
        fails(EINVAL, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set_of(&[]), 0, 16));
        fails(EFAULT, syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, 0, 8));
    }
    fn standard_signals_do_not_queue() {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        for _ in 0..3 {
            ok(kill(getpid(), SIGUSR1));
        }
        unblock(&[SIGUSR1]);
        eq(hits(), 1);
    }
    fn realtime_signals_queue_in_order() {
        info_handler(SIGRTMIN(), 0);
        block(&[SIGRTMIN()]);
        for value in 1..=3 {
            queue(SIGRTMIN(), value);
        }
        unblock(&[SIGRTMIN()]);
        eq((hits(), VALUE.load(SeqCst), CODE.load(SeqCst)), (3, 3, SI_QUEUE));
    }
    fn lowest_signal_comes_first() {
        for signal in [40, 36, SIGUSR2, SIGUSR1] {
            handle(signal, note as *const () as usize, 0);
        }
        let mut all = set_of(&[]);
        sigfillset(&mut all);
        for signal in [40, 36, SIGUSR2, SIGUSR1] {
            handle(signal, note as *const () as usize, 0);
            let mut action: sigaction = zeroed();
            action.sa_sigaction = note as *const () as usize;
            action.sa_mask = all;
            ok(sigaction(signal, &action, null_mut()));
        }
        block(&[40, 36, SIGUSR2, SIGUSR1]);
        for signal in [40, SIGUSR2, 36, SIGUSR1] {
            ok(raise(signal));
        }
        unblock(&[40, 36, SIGUSR2, SIGUSR1]);
        eq(order(), [SIGUSR1, SIGUSR2, 36, 40]);
    }
    fn siginfo_of_kill() {
        info_handler(SIGUSR1, 0);
        ok(kill(getpid(), SIGUSR1));
        eq((CODE.load(SeqCst), PID.load(SeqCst), UID.load(SeqCst)), (SI_USER, getpid(), 0));
    }
    fn siginfo_of_tgkill() {
        info_handler(SIGUSR1, 0);
        ok(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
        eq((CODE.load(SeqCst), PID.load(SeqCst)), (-6, getpid()));
    }
    fn siginfo_of_sigqueue() {
        info_handler(SIGUSR1, 0);
        queue(SIGUSR1, 0x1234);
        eq((CODE.load(SeqCst), PID.load(SeqCst), VALUE.load(SeqCst)), (SI_QUEUE, getpid(), 0x1234));
    }
    fn siginfo_of_sigchld() {
        info_handler(SIGCHLD, 0);
        let pid = spawn(|| 3);
        until(|| hits() == 1);
        eq((CODE.load(SeqCst), PID.load(SeqCst)), (CLD_EXITED, pid));
    }
    fn siginfo_names_the_sending_user() {
        ok(setresuid(1000, 1000, 0));
        info_handler(SIGUSR1, SA_RESTART);
        let pid = getpid();
        wait_exit(spawn(|| { kill(pid, SIGUSR1); 0 }), 0);
        until(|| hits() == 1);
        eq(UID.load(SeqCst), 1000);
    }
    fn kill_permissions() {
        let target = spawn(|| { loop { pause(); } });
        as_user(1000, 1000, || {
            fails(EPERM, kill(target, SIGTERM));
            fails(EPERM, kill(target, 0));
        });
        let other = spawn(|| { become_user(1000, 1000); loop { pause(); } });
        until(|| std::fs::read_to_string(format!("/proc/{other}/status")).unwrap().contains("Uid:\t1000"));
        as_user(1000, 1000, || { ok(kill(other, SIGTERM)); });
        wait_signal(other, SIGTERM);
        ok(kill(target, SIGKILL));
        wait(target);
    }
    fn kill_errors() {
        fails(ESRCH, kill(0x3fff_fff0, SIGUSR1));
        fails(EINVAL, kill(getpid(), 65));
        fails(EINVAL, kill(getpid(), -1));
        ok(kill(getpid(), 0));
        fails(ESRCH, syscall(SYS_tgkill, getpid(), 0x3fff_fff0, 0));
        fails(EINVAL, syscall(SYS_tgkill, 0, 0, 0));
        fails(ESRCH, syscall(SYS_tgkill, getppid(), gettid(), 0));
        fails(EINVAL, syscall(SYS_tkill, -1, 0));
    }
    fn rt_sigqueueinfo_cannot_fake_kernel_codes() {
        let mut info: siginfo_t = zeroed();
        info.si_signo = SIGUSR1;
        info.si_code = SI_USER;
        let parent = getppid();
        fails(EPERM, syscall(SYS_rt_sigqueueinfo, parent, SIGUSR1, &info));
    }
    fn same_signal_is_blocked_in_its_handler() {
        handle(SIGUSR1, nested as *const () as usize, 0);
        ok(raise(SIGUSR1));
        eq(order(), [SIGUSR1, -SIGUSR1, SIGUSR1]);
    }
    fn nodefer_lets_it_nest() {
        handle(SIGUSR1, nested as *const () as usize, SA_NODEFER);
        ok(raise(SIGUSR1));
        eq(order(), [SIGUSR1, SIGUSR1, -SIGUSR1]);
    }
    fn resethand_works_once() {
        let pid = spawn(|| {
            catch(SIGUSR1, SA_RESETHAND);
            raise(SIGUSR1);
            yes(hits() == 1);
            raise(SIGUSR1);
            0
        });
        wait_signal(pid, SIGUSR1);
    }
    fn mask_in_handler_is_restored() {
        let mut action: sigaction = zeroed();
        action.sa_sigaction = note as *const () as usize;
        action.sa_mask = set_of(&[SIGUSR2]);
        ok(sigaction(SIGUSR1, &action, null_mut()));
        ok(raise(SIGUSR1));
        let mut now = set_of(&[]);
        ok(sigprocmask(SIG_BLOCK, null(), &mut now));
        eq((sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2)), (0, 0));
    }
    fn sigsuspend_swaps_the_mask() {
        catch(SIGUSR1, 0);
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        fails(EINTR, sigsuspend(&set_of(&[])));
        eq(hits(), 1);
        let mut now = set_of(&[]);
        ok(sigprocmask(SIG_BLOCK, null(), &mut now));
        eq(sigismember(&now, SIGUSR1), 1);
    }
    fn pause_ends_with_eintr() {
        catch(SIGUSR1, SA_RESTART);
        let killer = kill_later(getpid(), SIGUSR1, 30);
        fails(EINTR, pause());
        wait_exit(killer, 0);
    }
    fn sigtimedwait_takes_a_pending_signal() {
        block(&[SIGUSR1]);
        queue(SIGUSR1, 55);
        let mut info: siginfo_t = zeroed();
        ok_eq(sigtimedwait(&set_of(&[SIGUSR1]), &mut info, &sec(0)), SIGUSR1);
        eq((info.si_signo, info.si_code, info.si_value().sival_ptr as i32), (SIGUSR1, SI_QUEUE, 55));
        yes(!pending(SIGUSR1));
    }
    fn sigtimedwait_times_out() {
        let start = now_ms();
        let wait = timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        fails(EAGAIN, sigtimedwait(&set_of(&[SIGUSR1]), null_mut(), &wait));
        yes(now_ms() - start >= 49);
        let bad = timespec { tv_sec: 0, tv_nsec: -1 };
        fails(EINVAL, sigtimedwait(&set_of(&[SIGUSR1]), null_mut(), &bad));
    }
    fn sigtimedwait_is_interrupted_by_others() {
        catch(SIGUSR2, 0);
        let killer = kill_later(getpid(), SIGUSR2, 30);
        fails(EINTR, sigtimedwait(&set_of(&[SIGUSR1]), null_mut(), &sec(5)));
        wait_exit(killer, 0);
    }
    fn sigwaitinfo_blocks_until_sent() {
        block(&[SIGUSR1]);
        let killer = kill_later(getpid(), SIGUSR1, 30);
        ok_eq(sigwaitinfo(&set_of(&[SIGUSR1]), null_mut()), SIGUSR1);
        wait_exit(killer, 0);
    }
    fn thread_signal_goes_to_that_thread() {
        static TID: AtomicI32 = AtomicI32::new(0);
        extern "C" fn which(_: i32) {
            TID.store(unsafe { gettid() }, SeqCst);
            HITS.fetch_add(1, SeqCst);
        }
        handle(SIGUSR1, which as *const () as usize, 0);
        let word = shared(1);
        let thread = std::thread::spawn(|| {
            word[0].store(gettid(), SeqCst);
            until(|| hits() == 1);
        });
        until(|| word[0].load(SeqCst) != 0);
        ok(syscall(SYS_tgkill, getpid(), word[0].load(SeqCst), SIGUSR1));
        thread.join().unwrap();
        eq(TID.load(SeqCst), word[0].load(SeqCst));
    }
    fn process_signal_finds_an_unblocked_thread() {
        catch(SIGUSR1, 0);
        let word = shared(1);
        let thread = std::thread::spawn(|| {
            word[0].store(1, SeqCst);
            until(|| hits() == 1);
        });
        until(|| word[0].load(SeqCst) == 1);
        ok(pthread_sigmask(SIG_BLOCK, &set_of(&[SIGUSR1]), null_mut()));
        ok(kill(getpid(), SIGUSR1));
        thread.join().unwrap();
    }
    fn handlers_are_shared_masks_are_not() {
        block(&[SIGUSR2]);
        std::thread::spawn(|| {
            catch(SIGUSR1, 0);
            unblock(&[SIGUSR2]);
        }).join().unwrap();
        let mut now = set_of(&[]);
        ok(pthread_sigmask(SIG_BLOCK, null(), &mut now));
        eq(sigismember(&now, SIGUSR2), 1);
        ok(raise(SIGUSR1));
        eq(hits(), 1);
    }
    fn signal_ends_every_thread() {
        let pid = spawn(|| {
            for _ in 0..4 {
                std::thread::spawn(|| loop { pause(); });
            }
            sleep_ms(20);
            kill(getpid(), SIGTERM);
            loop { pause(); }
        });
        wait_signal(pid, SIGTERM);
    }
    fn handler_may_leave_by_exit() {
        handle(SIGUSR1, exit_on_signal as *const () as usize, 0);
        wait_exit(spawn(|| { raise(SIGUSR1); 0 }), 100 + SIGUSR1);
    }
    fn fork_clears_pending_but_keeps_mask() {
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        in_child(|| {
            yes(!pending(SIGUSR1));
            let mut now = set_of(&[]);
            ok(sigprocmask(SIG_BLOCK, null(), &mut now));
            eq(sigismember(&now, SIGUSR1), 1);
        });
    }
    fn sigpending_limit_is_eagain() {
        ok(setrlimit(RLIMIT_SIGPENDING, &rlimit { rlim_cur: 5, rlim_max: 5 }));
        block(&[SIGRTMIN()]);
        let mut sent = 0;
        while sigqueue(getpid(), SIGRTMIN(), sigval { sival_ptr: null_mut() }) == 0 {
            sent += 1;
        }
        eq((errno(), sent <= 5), (EAGAIN, true));
    }
    fn signalfd_reads_pending() {
        block(&[SIGUSR1, SIGRTMIN()]);
        let fd = ok(signalfd(-1, &set_of(&[SIGUSR1, SIGRTMIN()]), SFD_NONBLOCK));
        let mut info: [signalfd_siginfo; 4] = zeroed();
        fails(EAGAIN, read(fd, info.as_mut_ptr().cast(), 128));
        queue(SIGRTMIN(), 77);
        ok(raise(SIGUSR1));
        let mut poll = pollfd { fd, events: POLLIN, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 0), 1);
        ok_eq(read(fd, info.as_mut_ptr().cast(), 512), 256);
        eq((info[0].ssi_signo, info[0].ssi_pid), (SIGUSR1 as u32, getpid() as u32));
        eq((info[1].ssi_signo as i32, info[1].ssi_int, info[1].ssi_code), (SIGRTMIN(), 77, SI_QUEUE));
        fails(EINVAL, read(fd, info.as_mut_ptr().cast(), 127));
    }
    fn signalfd_mask_can_change() {
        block(&[SIGUSR1, SIGUSR2]);
        let fd = ok(signalfd(-1, &set_of(&[SIGUSR1]), SFD_NONBLOCK));
        ok(raise(SIGUSR2));
        let mut info: signalfd_siginfo = zeroed();
        fails(EAGAIN, read(fd, (&raw mut info).cast(), 128));
        ok_eq(signalfd(fd, &set_of(&[SIGUSR2]), 0), fd);
        ok_eq(read(fd, (&raw mut info).cast(), 128), 128);
        fails(EINVAL, signalfd(0, &set_of(&[SIGUSR2]), 0));
        fails(EINVAL, signalfd(-1, &set_of(&[SIGUSR2]), 0x4000_0000));
    }
    fn signalfd_blocks_until_sent() {
        block(&[SIGUSR1]);
        let fd = ok(signalfd(-1, &set_of(&[SIGUSR1]), 0));
        let killer = kill_later(getpid(), SIGUSR1, 30);
        eq(get_fd(fd, 128).len(), 128);
        wait_exit(killer, 0);
    }
    fn sigpipe_on_broken_pipe() {
        catch(SIGPIPE, 0);
        let (r, w) = pipe(0);
        close(r);
        fails(EPIPE, write(w, c"x".as_ptr().cast(), 1));
        eq(hits(), 1);
        signal(SIGPIPE, SIG_DFL);
        wait_signal(spawn(|| { write(w, c"x".as_ptr().cast(), 1); 0 }), SIGPIPE);
    }
    fn sigabrt_by_abort_survives_a_block() {
        let pid = spawn(|| {
            setrlimit(RLIMIT_CORE, &rlimit { rlim_cur: 0, rlim_max: 0 });
            block(&[SIGABRT]);
            abort()
        });
        wait_signal(pid, SIGABRT);
    }
    fn two_processes_signal_each_other() {
        catch(SIGUSR1, SA_RESTART);
        let parent = getpid();
        let pid = spawn(|| {
            for n in 1..=100 {
                ok(kill(parent, SIGUSR1));
                until(|| hits() == n);
            }
            0
        });
        for n in 1..=100 {
            until(|| hits() == n);
            ok(kill(pid, SIGUSR1));
        }
        wait_exit(pid, 0);
    }
    fn storm_of_signals_loses_no_realtime_one() {
        catch(SIGRTMIN(), SA_RESTART);
        let parent = getpid();
        let pids: Vec<i32> = (0..4).map(|_| spawn(|| {
            for _ in 0..200 {
                while sigqueue(parent, SIGRTMIN(), sigval { sival_ptr: null_mut() }) != 0 {
                    sched_yield();
                }
            }
            0
        })).collect();
        pids.into_iter().for_each(|pid| wait_exit(pid, 0));
        until(|| hits() == 800);
    }
    fn status_shows_masks() {
        block(&[SIGUSR1]);
        catch(SIGUSR2, 0);
        signal(SIGHUP, SIG_IGN);
        let status = text(c"/proc/self/status");
        yes(status.contains("SigBlk:\t0000000000000200\n"));
        yes(status.contains("SigCgt:\t0000000000000800\n"));
        yes(status.contains("SigIgn:\t0000000000000001\n"));
    }
}
