//! fork, clone, threads, exit, orphans, prctl, limits, usage.

use tests::prelude::*;

/// clone without a new stack: like fork, with these flags.
unsafe fn raw_clone(flags: i32) -> i64 {
    syscall(SYS_clone, flags, 0, 0, 0, 0)
}

extern "C" fn thread_sets(word: *mut c_void) -> i32 {
    unsafe { (*word.cast::<AtomicI32>()).store(gettid(), SeqCst) };
    0
}

extern "C" fn slow_set(word: *mut c_void) -> i32 {
    unsafe {
        usleep(50_000);
        (*word.cast::<AtomicI32>()).store(getpid(), SeqCst);
        _exit(0)
    }
}

const THREAD: i32 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

unsafe fn stack() -> *mut c_void {
    let at = ok(mmap(
        null_mut(),
        1 << 16,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    ));
    at.byte_add(1 << 16)
}

/// Processor time in milliseconds.
unsafe fn used_ms(who: i32) -> i64 {
    let mut u: rusage = zeroed();
    ok(getrusage(who, &mut u));
    (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000
}

tests::cases! {
    fn fork_returns_twice() {
        let word = shared(2);
        let pid = spawn(|| { word[0].store(getpid(), SeqCst); word[1].store(getppid(), SeqCst); 3 });
        wait_exit(pid, 3);
        eq((word[0].load(SeqCst), word[1].load(SeqCst)), (pid, getpid()));
    }
    fn exit_code_is_eight_bits() {
        wait_exit(spawn(|| 0x1ff), 0xff);
        wait_exit(spawn(|| -1), 255);
    }
    fn many_forks() {
        for n in 0..200 {
            wait_exit(spawn(|| n & 0x7f), n & 0x7f);
        }
    }
    fn many_children_at_once() {
        let pids: Vec<i32> = (0..60).map(|n| spawn(|| n)).collect();
        for (n, pid) in pids.into_iter().enumerate() {
            wait_exit(pid, n as i32);
        }
        fails(ECHILD, libc::wait(null_mut()));
    }
    fn nested_forks() {
        fn nest(n: i32) -> i32 {
            if n == 0 { return 0; }
            let pid = spawn(|| nest(n - 1));
            wait_exit(pid, n - 1);
            n
        }
        wait_exit(spawn(|| nest(8)), 8);
    }
    fn vfork_shares_memory_and_suspends() {
        let word = AtomicI32::new(0);
        let pid = ok(libc::clone(slow_set, stack(), CLONE_VM | CLONE_VFORK | SIGCHLD, (&raw const word).cast_mut().cast()));
        eq(word.load(SeqCst), pid);
        wait_exit(pid, 0);
    }
    fn vfork_parent_waits_for_exec() {
        let word = shared(1);
        let pid = raw_clone(CLONE_VFORK | SIGCHLD);
        if pid == 0 {
            sleep_ms(100);
            word[0].store(1, SeqCst);
            _exit(4);
        }
        // The parent goes on when the child has given up its memory, a moment before it is a zombie.
        eq(word[0].load(SeqCst), 1);
        wait_exit(pid as i32, 4);
    }
    fn thread_by_clone_runs_in_same_process() {
        let word = shared(1);
        let tid = ok(libc::clone(thread_sets, stack(), THREAD, (&raw const word[0]).cast_mut().cast()));
        until(|| word[0].load(SeqCst) == tid);
        yes(tid != getpid());
    }
    fn clone_child_cleartid_wakes_futex() {
        let word = shared(2);
        word[1].store(1, SeqCst);
        let flags = THREAD | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;
        let mut parent_tid = 0;
        let arg = (&raw const word[0]).cast_mut();
        let tid = ok(libc::clone(thread_sets, stack(), flags, arg.cast(), &mut parent_tid, 0, arg.add(1)));
        eq(parent_tid, tid);
        until(|| word[1].load(SeqCst) == 0);
        eq(word[0].load(SeqCst), tid);
    }
    fn clone_flag_combinations_are_checked() {
        fails(EINVAL, raw_clone(CLONE_THREAD | SIGCHLD));
        fails(EINVAL, raw_clone(CLONE_SIGHAND | SIGCHLD));
        fails(EINVAL, raw_clone(CLONE_VM | CLONE_THREAD));
        fails(EINVAL, raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD));
    }
    fn clone_files_shares_descriptors() {
        let pid = raw_clone(CLONE_FILES | SIGCHLD) as i32;
        if pid == 0 {
            _exit(open(c".", O_RDONLY));
        }
        let status = wait(pid);
        ok(fcntl(WEXITSTATUS(status), F_GETFD));
    }
    fn clone_fs_shares_cwd_and_umask() {
        let pid = raw_clone(CLONE_FS | SIGCHLD) as i32;
        if pid == 0 {
            umask(0o11);
            _exit(chdir(p(c"/")));
        }
        wait_exit(pid, 0);
        eq(std::env::current_dir().unwrap().to_str().unwrap(), "/");
        eq(umask(0), 0o11);
    }
    fn clone_without_signal_needs_wclone() {
        let pid = raw_clone(0) as i32;
        if pid == 0 {
            _exit(3);
        }
        fails(ECHILD, waitpid(pid, null_mut(), 0));
        let mut status = 0;
        ok_eq(waitpid(pid, &mut status, __WCLONE), pid);
        eq(WEXITSTATUS(status), 3);
    }
    fn clone_parent_makes_a_sibling() {
        let word = shared(1);
        wait_exit(spawn(|| {
            let pid = raw_clone(CLONE_PARENT | SIGCHLD) as i32;
            if pid == 0 {
                _exit(6);
            }
            word[0].store(pid, SeqCst);
            0
        }), 0);
        wait_exit(word[0].load(SeqCst), 6);
    }
    fn clone3_forks_and_gives_pidfd() {
        let mut pidfd = -1;
        let mut args = [0_u64; 11];
        args[0] = CLONE_PIDFD as u64;
        args[1] = &raw mut pidfd as u64;
        args[4] = SIGCHLD as u64;
        let pid = syscall(SYS_clone3, args.as_ptr(), 88) as i32;
        if pid == 0 {
            _exit(8);
        }
        let mut poll = pollfd { fd: pidfd, events: POLLIN, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 5000), 1);
        wait_exit(pid, 8);
    }
    fn clone3_checks_size_and_flags() {
        let args = [0_u64; 16];
        fails(EINVAL, syscall(SYS_clone3, args.as_ptr(), 8));
        fails(EFAULT, syscall(SYS_clone3, 8, 88));
        let mut args = [0_u64; 11];
        args[4] = 0x1ff;
        fails(EINVAL, syscall(SYS_clone3, args.as_ptr(), 88));
    }
    fn exit_group_ends_all_threads() {
        let pid = spawn(|| {
            for _ in 0..5 {
                std::thread::spawn(|| loop { pause(); });
            }
            std::thread::spawn(|| { syscall(SYS_exit_group, 9); });
            loop { pause(); }
        });
        wait_exit(pid, 9);
    }
    fn exit_of_leader_leaves_threads_running() {
        let word = shared(1);
        let pid = spawn(|| {
            std::thread::spawn(|| {
                sleep_ms(50);
                word[0].store(1, SeqCst);
                syscall(SYS_exit_group, 7);
            });
            syscall(SYS_exit, 0);
            0
        });
        wait_exit(pid, 7);
        eq(word[0].load(SeqCst), 1);
    }
    fn last_thread_exit_gives_the_code() {
        let pid = spawn(|| { syscall(SYS_exit, 5); 0 });
        wait_exit(pid, 5);
    }
    fn many_threads_count_together() {
        let total = std::sync::Arc::new(std::sync::Mutex::new(0));
        let threads: Vec<_> = (0..30).map(|_| {
            let total = total.clone();
            std::thread::spawn(move || for _ in 0..300 { *total.lock().unwrap() += 1; })
        }).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        eq(*total.lock().unwrap(), 9000);
    }
    fn thread_ids() {
        eq(getpid(), gettid());
        let main = getpid();
        let (pid, tid) = std::thread::spawn(|| (getpid(), gettid())).join().unwrap();
        eq(pid, main);
        yes(tid != main);
    }
    fn orphan_is_adopted_by_subreaper() {
        ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
        let mut set = 0;
        ok(prctl(PR_GET_CHILD_SUBREAPER, &mut set));
        eq(set, 1);
        let word = shared(2);
        wait_exit(spawn(|| {
            spawn(|| {
                until(|| word[1].load(SeqCst) == 1);
                word[0].store(getppid(), SeqCst);
                12
            });
            0
        }), 0);
        word[1].store(1, SeqCst);
        let mut status = 0;
        yes(ok(libc::wait(&mut status)) > 0);
        eq(WEXITSTATUS(status), 12);
        eq(word[0].load(SeqCst), getpid());
    }
    fn parent_death_signal() {
        let word = shared(2);
        ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
        let parent = spawn(|| {
            let child = spawn(|| {
                ok(prctl(PR_SET_PDEATHSIG, SIGUSR1));
                word[1].store(1, SeqCst);
                loop { pause(); }
            });
            word[0].store(child, SeqCst);
            until(|| word[1].load(SeqCst) == 1);
            0
        });
        wait_exit(parent, 0);
        wait_signal(word[0].load(SeqCst), SIGUSR1);
    }
    fn pdeathsig_is_cleared_by_fork() {
        ok(prctl(PR_SET_PDEATHSIG, SIGUSR1));
        let mut signal = 0;
        ok(prctl(PR_GET_PDEATHSIG, &mut signal));
        eq(signal, SIGUSR1);
        in_child(|| {
            ok(prctl(PR_GET_PDEATHSIG, &mut signal));
            eq(signal, 0);
        });
        fails(EINVAL, prctl(PR_SET_PDEATHSIG, 99));
    }
    fn name_is_fifteen_bytes() {
        ok(prctl(PR_SET_NAME, p(c"a-name-that-is-far-too-long")));
        let mut b = [0_u8; 16];
        ok(prctl(PR_GET_NAME, b.as_mut_ptr()));
        eq(&b, b"a-name-that-is-\0");
        eq(text(c"/proc/self/comm"), "a-name-that-is-\n");
    }
    fn dumpable_and_keepcaps_and_timerslack() {
        ok_eq(prctl(PR_GET_DUMPABLE), 1);
        ok(prctl(PR_SET_DUMPABLE, 0));
        ok_eq(prctl(PR_GET_DUMPABLE), 0);
        fails(EINVAL, prctl(PR_SET_DUMPABLE, 7));
        ok(prctl(PR_SET_KEEPCAPS, 1));
        ok_eq(prctl(PR_GET_KEEPCAPS), 1);
        ok(prctl(PR_SET_TIMERSLACK, 12345));
        ok_eq(prctl(PR_GET_TIMERSLACK), 12345);
        fails(EINVAL, prctl(99999));
    }
    fn rlimits_follow_the_rules() {
        let mut l: rlimit = zeroed();
        ok(setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 100, rlim_max: 200 }));
        ok(getrlimit(RLIMIT_NOFILE, &mut l));
        eq((l.rlim_cur, l.rlim_max), (100, 200));
        fails(EINVAL, setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 300, rlim_max: 200 }));
        as_user(1000, 1000, || {
            fails(EPERM, setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 100, rlim_max: 300 }));
            ok(setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 200, rlim_max: 200 }));
        });
        fails(EINVAL, getrlimit(99, &mut l));
    }
    fn prlimit_reads_and_sets_another_process() {
        let pid = spawn(|| { pause(); 0 });
        let (mut old, new): (rlimit, _) = (zeroed(), rlimit { rlim_cur: 77, rlim_max: 88 });
        ok(prlimit(pid, RLIMIT_NOFILE, &new, &mut old));
        ok(prlimit(pid, RLIMIT_NOFILE, null(), &mut old));
        eq((old.rlim_cur, old.rlim_max), (77, 88));
        fails(ESRCH, prlimit(0x3fff_fff0, RLIMIT_NOFILE, null(), &mut old));
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn nproc_limit_is_eagain() {
        as_user(54321, 54321, || {
            ok(setrlimit(RLIMIT_NPROC, &rlimit { rlim_cur: 1, rlim_max: 1 }));
            fails(EAGAIN, fork());
        });
    }
    fn getrusage_counts_cpu_time() {
        let start = now_ms();
        while used_ms(RUSAGE_SELF) <= 30 {}
        yes(used_ms(RUSAGE_SELF) < now_ms() - start + 1000);
        let mut u: rusage = zeroed();
        ok(getrusage(RUSAGE_SELF, &mut u));
        yes(u.ru_maxrss > 100);
        fails(EINVAL, getrusage(5, &mut u));
    }
    fn children_usage_appears_after_wait() {
        wait_exit(spawn(|| {
            while used_ms(RUSAGE_SELF) <= 30 {}
            0
        }), 0);
        yes(used_ms(RUSAGE_CHILDREN) > 20);
        let mut t: tms = zeroed();
        yes(times(&mut t) > 0);
        yes(t.tms_cutime + t.tms_cstime > 1);
    }
    fn priority_and_nice() {
        ok(setpriority(PRIO_PROCESS, 0, 5));
        eq(getpriority(PRIO_PROCESS, 0), 5);
        in_child(|| eq(getpriority(PRIO_PROCESS, 0), 5));
        as_user(1000, 1000, || fails(EACCES, setpriority(PRIO_PROCESS, 0, 1)));
        fails(ESRCH, setpriority(PRIO_PROCESS, 0x3fff_fff0, 1));
        fails(EINVAL, setpriority(77, 0, 1));
    }
    fn sched_calls() {
        ok_eq(sched_getscheduler(0), SCHED_OTHER);
        let mut sp: sched_param = zeroed();
        ok(sched_getparam(0, &mut sp));
        eq(sp.sched_priority, 0);
        ok_eq(sched_get_priority_max(SCHED_FIFO), 99);
        ok_eq(sched_get_priority_min(SCHED_FIFO), 1);
        fails(EINVAL, sched_get_priority_max(77));
        ok(sched_yield());
        let mut ts: timespec = zeroed();
        ok(sched_rr_get_interval(0, &mut ts));
    }
    fn affinity_is_kept() {
        let mut set: cpu_set_t = zeroed();
        ok(sched_getaffinity(0, size_of::<cpu_set_t>(), &mut set));
        yes(CPU_COUNT(&set) >= 1);
        let first = (0..1024).find(|n| CPU_ISSET(*n, &set)).unwrap();
        let mut one: cpu_set_t = zeroed();
        CPU_SET(first, &mut one);
        ok(sched_setaffinity(0, size_of::<cpu_set_t>(), &one));
        ok(sched_getaffinity(0, size_of::<cpu_set_t>(), &mut set));
        eq(CPU_COUNT(&set), 1);
        in_child(|| {
            let mut set: cpu_set_t = zeroed();
            ok(sched_getaffinity(0, size_of::<cpu_set_t>(), &mut set));
            eq(CPU_COUNT(&set), 1);
        });
        fails(EINVAL, sched_setaffinity(0, size_of::<cpu_set_t>(), &zeroed()));
    }
    fn fs_base_is_per_thread() {
        let mut base = 0_u64;
        ok(syscall(SYS_arch_prctl, 0x1003, &mut base));
        yes(base != 0);
        let other = std::thread::spawn(|| {
            let mut base = 0_u64;
            ok(syscall(SYS_arch_prctl, 0x1003, &mut base));
            base
        }).join().unwrap();
        yes(other != base);
        fails(EINVAL, syscall(SYS_arch_prctl, 0x9999, 0));
        fails(EPERM, syscall(SYS_arch_prctl, 0x1002, 1_u64 << 63));
    }
    fn gs_base_survives_switches() {
        let data = [0x55_u64; 4];
        ok(syscall(SYS_arch_prctl, 0x1001, data.as_ptr()));
        sched_yield();
        sleep_ms(5);
        let value: u64;
        std::arch::asm!("mov {}, gs:[8]", out(reg) value);
        eq(value, 0x55);
        in_child(|| {
            let value: u64;
            std::arch::asm!("mov {}, gs:[16]", out(reg) value);
            eq(value, 0x55);
        });
    }
    fn registers_survive_system_calls() {
        let (a, b, c, d, e): (u64, u64, u64, u64, u64);
        std::arch::asm!(
            "syscall",
            inout("rax") 39_u64 => a, inout("rdi") 11_u64 => b, inout("rsi") 12_u64 => c, inout("rdx") 13_u64 => d,
            inout("r8") 14_u64 => e, out("rcx") _, out("r11") _,
        );
        eq((a, b, c, d, e), (getpid() as u64, 11, 12, 13, 14));
    }
    fn unknown_syscall_is_enosys() {
        fails(ENOSYS, syscall(5000));
        fails(ENOSYS, syscall(-1));
        fails(ENOSYS, syscall(400));
    }
}
