//! pidfd, uname, sysinfo, getrandom, personality, membarrier and other single calls.

use tests::prelude::*;

unsafe fn pidfd(pid: i32) -> i32 {
    ok(syscall(SYS_pidfd_open, pid, 0)) as i32
}

unsafe fn pidfd_send(fd: i32, signal: i32) -> i64 {
    syscall(SYS_pidfd_send_signal, fd, signal, 0, 0)
}

unsafe fn sleeper() -> i32 {
    spawn(|| {
        loop {
            pause();
        }
    })
}

/// The parent, as `/proc/self/stat` has it.
unsafe fn getppid_by_stat() -> i32 {
    let text = text(c"/proc/self/stat");
    let rest = text.rsplit_once(')').unwrap().1;
    rest.split_whitespace().nth(1).unwrap().parse().unwrap()
}

unsafe fn poll_in(fd: i32, ms: i32) -> i32 {
    let mut poll = pollfd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    ok(libc::poll(&mut poll, 1, ms))
}

/// A child that has `getppid` answered by a listener, which it made with these flags; and a copy of that listener.
unsafe fn notifying(flags: u64, then: impl FnOnce(i32) -> i32) -> (i32, i32) {
    const NEW_LISTENER: u64 = 8;
    let (r, w) = pipe(0);
    let (copied_r, copied_w) = pipe(0);
    let pid = spawn(|| {
        let filter = [
            sock_filter {
                code: 0x20,
                jt: 0,
                jf: 0,
                k: 0,
            },
            sock_filter {
                code: 0x15,
                jt: 0,
                jf: 1,
                k: SYS_getppid as u32,
            },
            sock_filter {
                code: 6,
                jt: 0,
                jf: 0,
                k: 0x7fc0_0000,
            },
            sock_filter {
                code: 6,
                jt: 0,
                jf: 0,
                k: 0x7fff_0000,
            },
        ];
        let program = sock_fprog {
            len: 4,
            filter: filter.as_ptr().cast_mut(),
        };
        ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        let fd = ok(syscall(SYS_seccomp, 1, NEW_LISTENER | flags, &program)) as i32;
        fails(EBUSY, syscall(SYS_seccomp, 1, NEW_LISTENER, &program));
        put_fd(w, &fd.to_ne_bytes());
        get_fd(copied_r, 1);
        then(fd)
    });
    let number = i32::from_ne_bytes(get_fd(r, 4).try_into().unwrap());
    let listener = ok(syscall(SYS_pidfd_getfd, pidfd(pid), number, 0)) as i32;
    put_fd(copied_w, b"x");
    (pid, listener)
}

const NOTIF_RECV: u64 = 0xc050_2100;
const NOTIF_SEND: u64 = 0xc018_2101;
const NOTIF_ID_VALID: u64 = 0x4008_2102;
const NOTIF_ADDFD: u64 = 0x4018_2103;

tests::cases! {
    fn pidfd_polls_when_the_process_ends() {
        let pid = sleeper();
        let fd = pidfd(pid);
        eq(poll_in(fd, 0), 0);
        ok(pidfd_send(fd, SIGTERM));
        eq(poll_in(fd, 5000), 1);
        wait_signal(pid, SIGTERM);
        fails(ESRCH, pidfd_send(fd, SIGTERM));
    }
    fn pidfd_waitid() {
        let pid = spawn(|| 4);
        let fd = pidfd(pid);
        let mut info: siginfo_t = zeroed();
        ok(waitid(P_PIDFD, fd as u32, &mut info, WEXITED));
        eq((info.si_pid(), info.si_status()), (pid, 4));
    }
    fn pidfd_errors() {
        fails(ESRCH, syscall(SYS_pidfd_open, 0x3fff_fff0, 0));
        fails(EINVAL, syscall(SYS_pidfd_open, 0, 0));
        fails(EINVAL, syscall(SYS_pidfd_open, getpid(), 1));
        fails(EBADF, pidfd_send(open(c".", O_RDONLY), 0));
        ok_eq(fcntl(pidfd(getpid()), F_GETFD), FD_CLOEXEC);
    }
    fn pidfd_getfd_copies_a_descriptor() {
        let (r, w) = pipe(0);
        let pid = sleeper();
        let copy = ok(syscall(SYS_pidfd_getfd, pidfd(pid), r, 0)) as i32;
        put_fd(w, b"x");
        eq(get_fd(copy, 1), b"x");
        fails(EBADF, syscall(SYS_pidfd_getfd, pidfd(pid), 999, 0));
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn pidfd_in_epoll() {
        let pid = spawn(|| { sleep_ms(30); 0 });
        let ep = ok(epoll_create1(0));
        let mut event = epoll_event { events: EPOLLIN as u32, u64: 9 };
        ok(epoll_ctl(ep, EPOLL_CTL_ADD, pidfd(pid), &mut event));
        ok_eq(epoll_wait(ep, &mut event, 1, 5000), 1);
        wait_exit(pid, 0);
    }
    fn uname_is_linux() {
        let mut u: utsname = zeroed();
        ok(uname(&mut u));
        eq(CStr::from_ptr(u.sysname.as_ptr()), c"Linux");
        eq(CStr::from_ptr(u.machine.as_ptr()), c"x86_64");
        let release = CStr::from_ptr(u.release.as_ptr()).to_str().unwrap();
        yes(release.split('.').next().unwrap().parse::<u32>().unwrap() >= 5);
        fails(EFAULT, syscall(SYS_uname, 8));
    }
    fn sysinfo_is_plausible() {
        let mut s: sysinfo = zeroed();
        ok(sysinfo(&mut s));
        yes(s.totalram >= s.freeram && s.freeram > 0 && s.procs > 0 && s.mem_unit > 0 && s.uptime >= 0);
    }
    fn getrandom_fills() {
        let (mut a, mut b) = ([0_u8; 64], [0_u8; 64]);
        ok_eq(getrandom(a.as_mut_ptr().cast(), 64, 0), 64);
        ok_eq(getrandom(b.as_mut_ptr().cast(), 64, GRND_NONBLOCK), 64);
        yes(a != b && a != [0; 64]);
        fails(EINVAL, getrandom(a.as_mut_ptr().cast(), 1, 99));
        fails(EFAULT, getrandom(8 as *mut c_void, 8, 0));
        ok_eq(getrandom(null_mut(), 0, 0), 0);
    }
    fn getcpu_is_within_range() {
        let (mut cpu, mut node) = (99999_u32, 99999_u32);
        ok(syscall(SYS_getcpu, &mut cpu, &mut node, 0));
        yes(i64::from(cpu) < sysconf(_SC_NPROCESSORS_CONF) && node < 64);
    }
    fn uname_under_linux32() {
        in_child(|| {
            ok(personality(8));
            let mut u: utsname = zeroed();
            ok(uname(&mut u));
            eq(CStr::from_ptr(u.machine.as_ptr()), c"i686");
        });
    }
    fn personality_reads_and_sets() {
        in_child(|| {
            ok_eq(personality(0xffff_ffff), 0);
            ok_eq(personality(0x004_0000), 0);
            ok_eq(personality(0xffff_ffff), 0x004_0000);
            in_child(|| ok_eq(personality(0xffff_ffff), 0x004_0000));
        });
    }
    fn membarrier_private_expedited() {
        let commands = ok(syscall(SYS_membarrier, 0, 0, 0));
        yes(commands & 8 != 0);
        fails(EPERM, syscall(SYS_membarrier, 8, 0, 0));
        ok_eq(syscall(SYS_membarrier, 16, 0, 0), 0);
        ok_eq(syscall(SYS_membarrier, 8, 0, 0), 0);
        fails(EINVAL, syscall(SYS_membarrier, 1 << 20, 0, 0));
    }
    fn pidfd_info_names_the_process() {
        const PIDFD_GET_INFO: u64 = 0xc050_ff0b;
        let pid = sleeper();
        let fd = pidfd(pid);
        let mut info = [0_u64; 10];
        info[0] = 3;
        ok(ioctl(fd, PIDFD_GET_INFO, info.as_mut_ptr()));
        eq(info[0] & 3, 3);
        eq(info[2], u64::from(pid as u32) << 32 | u64::from(pid as u32));
        eq(info[3] as u32, getpid() as u32);
        fails(EINVAL, ioctl(fd, PIDFD_GET_INFO, 0));
        fails(ENOTTY, ioctl(fd, 0x1234, 0));
    }
    fn pidfd_info_tells_of_the_end() {
        const PIDFD_GET_INFO: u64 = 0xc050_ff0b;
        let pid = spawn(|| 5);
        let fd = pidfd(pid);
        wait_exit(pid, 5);
        let mut info = [8_u64, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        ok(ioctl(fd, PIDFD_GET_INFO, info.as_mut_ptr()));
        eq(info[0] & 8, 8);
        eq((info[7] >> 32) as i32, 5 << 8);
    }
    fn a_pidfd_gives_name_spaces() {
        let ns = ok(ioctl(pidfd(getpid()), 0xff0a, 0));
        ok_eq(ioctl(ns, 0xb703), CLONE_NEWUTS);
    }
    fn the_directory_of_a_process_takes_signals() {
        let pid = sleeper();
        let name = format!("/proc/{pid}\0");
        let dir = ok(libc::open(name.as_ptr().cast(), O_RDONLY | O_DIRECTORY));
        ok(pidfd_send(dir, 0));
        ok(pidfd_send(dir, SIGTERM));
        wait_signal(pid, SIGTERM);
        fails(EBADF, pidfd_send(open(c"/proc/self/fd", O_RDONLY | O_DIRECTORY), 0));
    }
    fn pidfd_send_signal_to_a_group() {
        const PROCESS_GROUP: i32 = 4;
        let pid = spawn(|| {
            setpgid(0, 0);
            loop {
                pause();
            }
        });
        setpgid(pid, pid);
        ok(syscall(SYS_pidfd_send_signal, pidfd(pid), SIGKILL, 0, PROCESS_GROUP));
        wait_signal(pid, SIGKILL);
        fails(EINVAL, syscall(SYS_pidfd_send_signal, pidfd(getpid()), 0, 0, 3));
    }
    fn process_madvise_hints_and_checks() {
        let pid = sleeper();
        let fd = pidfd(pid);
        let page = ok(mmap(null_mut(), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        let iov = iovec { iov_base: page, iov_len: 4096 };
        let own = pidfd(getpid());
        ok_eq(syscall(SYS_process_madvise, own, &iov, 1, MADV_COLD, 0), 4096);
        fails(EINVAL, syscall(SYS_process_madvise, fd, &iov, 1, MADV_DONTNEED, 0));
        fails(EINVAL, syscall(SYS_process_madvise, own, &iov, 1, MADV_COLD, 1));
        ok(munmap(page, 4096));
        fails(ENOMEM, syscall(SYS_process_madvise, own, &iov, 1, MADV_COLD, 0));
        fails(EBADF, syscall(SYS_process_madvise, 999, &iov, 1, MADV_COLD, 0));
    }
    fn process_mrelease_wants_a_dying_process() {
        let fd = pidfd(sleeper());
        fails(EINVAL, syscall(SYS_process_mrelease, fd, 0));
        fails(EINVAL, syscall(SYS_process_mrelease, fd, 1));
        fails(EBADF, syscall(SYS_process_mrelease, 999, 0));
    }
    fn vhangup_wants_a_privilege() {
        as_user(1000, 1000, || fails(EPERM, vhangup()));
        in_child(|| {
            ok(setsid());
            ok(vhangup());
        });
    }
    fn uptime_is_the_boot_clock() {
        let mut info: sysinfo = zeroed();
        ok(libc::sysinfo(&mut info));
        let mut now: timespec = zeroed();
        ok(clock_gettime(CLOCK_BOOTTIME, &mut now));
        yes(now.tv_sec - info.uptime <= 2);
    }
    fn set_tid_address_returns_tid() {
        let mut word = 0;
        ok_eq(syscall(SYS_set_tid_address, &mut word), i64::from(gettid()));
    }
    fn sethostname_limits() {
        in_child(|| {
            ok(unshare(CLONE_NEWUTS));
            fails(EINVAL, sethostname(p(c"x"), 65));
            ok(sethostname(p(c"abcdef"), 3));
            let mut buf = [0_u8; 8];
            ok(gethostname(buf.as_mut_ptr().cast(), 8));
            eq(&buf[..4], b"abc\0");
        });
    }
    fn rseq_rejects_nonsense() {
        fails(EINVAL, syscall(SYS_rseq, 8, 7, 0, 0));
    }
    fn ptrace_reads_a_stopped_child() {
        let word = shared(1);
        let pid = spawn(|| {
            ok(ptrace(PTRACE_TRACEME, 0, 0, 0));
            raise(SIGSTOP);
            word[0].store(7, SeqCst);
            5
        });
        let mut status = 0;
        ok_eq(waitpid(pid, &mut status, 0), pid);
        yes(WIFSTOPPED(status));
        let mut regs: user_regs_struct = zeroed();
        ok(ptrace(PTRACE_GETREGS, pid, 0, &mut regs));
        yes(regs.rip != 0 && regs.orig_rax != 0);
        ok(ptrace(PTRACE_CONT, pid, 0, 0));
        wait_exit(pid, 5);
    }
    fn ptrace_steps_over_system_calls() {
        let pid = spawn(|| {
            ok(ptrace(PTRACE_TRACEME, 0, 0, 0));
            raise(SIGSTOP);
            syscall(SYS_getppid);
            6
        });
        let mut status = 0;
        ok_eq(waitpid(pid, &mut status, 0), pid);
        ok(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
        let mut seen = false;
        loop {
            ok(ptrace(PTRACE_SYSCALL, pid, 0, 0));
            ok_eq(waitpid(pid, &mut status, 0), pid);
            if WIFEXITED(status) { break; }
            let mut regs: user_regs_struct = zeroed();
            ok(ptrace(PTRACE_GETREGS, pid, 0, &mut regs));
            seen |= WSTOPSIG(status) == SIGTRAP | 0x80 && regs.orig_rax == SYS_getppid as u64;
        }
        yes(seen && WEXITSTATUS(status) == 6);
    }
    fn seccomp_strict_and_filter() {
        let pid = spawn(|| {
            // Allow everything but getppid, which fails with errno 99.
            let code = [
                sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
                sock_filter { code: 0x15, jt: 0, jf: 1, k: SYS_getppid as u32 },
                sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | 99 },
                sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 },
            ];
            let program = sock_fprog { len: 4, filter: code.as_ptr().cast_mut() };
            ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
            ok(prctl(PR_SET_SECCOMP, 2, &program));
            fails(99, syscall(SYS_getppid));
            yes(text(c"/proc/self/status").contains("Seccomp:\t2\n"));
            0
        });
        wait_exit(pid, 0);
    }
    fn ioprio_and_sync_calls() {
        yes(ok(syscall(SYS_ioprio_get, 1, 0)) >= 0);
        sync();
        fails(EINVAL, syscall(SYS_ioprio_get, 77, 0));
    }
    fn getpid_is_stable_under_load() {
        let pid = getpid();
        for _ in 0..20_000 {
            assert!(syscall(SYS_getpid) as i32 == pid);
        }
    }
    fn mempolicy_default() {
        let mut mode = 99;
        let got = syscall(SYS_get_mempolicy, &mut mode, 0, 0, 0, 0);
        yes((got == 0 && mode == 0) || errno() == ENOSYS);
    }
    fn io_uring_and_bpf_answer_cleanly() {
        yes(syscall(SYS_bpf, 9999, 0, 0) == -1);
        yes(syscall(SYS_io_uring_setup, 0, 0) == -1);
        yes(syscall(SYS_kexec_load, 0, 0, 0, 0x4000_0000_i64) == -1);
    }
    fn seccomp_listener_answers_calls() {
        let (pid, listener) = notifying(0, |_| {
            eq(syscall(SYS_getppid), 4711);
            fails(EXDEV, syscall(SYS_getppid));
            yes(syscall(SYS_getppid) == i64::from(getppid_by_stat()));
            3
        });
        for round in 0..3 {
            eq(poll_in(listener, 5000), 1);
            let mut notif = [0_u64; 10];
            ok(ioctl(listener, NOTIF_RECV, notif.as_mut_ptr()));
            eq(notif[1] as i32, pid);
            eq(notif[2] as u32, SYS_getppid as u32);
            ok(ioctl(listener, NOTIF_ID_VALID, &notif[0]));
            fails(ENOENT, ioctl(listener, NOTIF_ID_VALID, &(notif[0] + 9)));
            let id = notif[0];
            let answer = match round {
                0 => [id, 4711, 0],
                1 => [id, 0, u64::from((-EXDEV) as u32)],
                _ => [id, 0, 1 << 32],
            };
            fails(ENOENT, ioctl(listener, NOTIF_SEND, &[id + 9, 0, 0]));
            fails(EINVAL, ioctl(listener, NOTIF_SEND, &[id, 1, 1 << 32]));
            ok(ioctl(listener, NOTIF_SEND, &answer));
        }
        wait_exit(pid, 3);
        eq(poll_in(listener, 5000), 1);
    }
    fn seccomp_listener_gives_files() {
        let (r, w) = pipe(0);
        let (pid, listener) = notifying(0, |_| {
            let fd = ok(syscall(SYS_getppid)) as i32;
            put_fd(fd, b"given");
            0
        });
        let mut notif = [0_u64; 10];
        ok(ioctl(listener, NOTIF_RECV, notif.as_mut_ptr()));
        // Any free number, close-on-exec, and it is the answer.
        let wish = [notif[0], u64::from(w as u32) << 32 | 2, u64::from(O_CLOEXEC as u32) << 32];
        ok(ioctl(listener, NOTIF_ADDFD, &wish));
        eq(get_fd(r, 5), b"given");
        wait_exit(pid, 0);
    }
    fn seccomp_without_its_listener() {
        let (pid, listener) = notifying(0, |own| {
            close(own);
            fails(ENOSYS, syscall(SYS_getppid));
            fails(ENOSYS, syscall(SYS_getppid));
            0
        });
        // Whoever waits when the last copy goes is told, and whoever comes later.
        eq(poll_in(listener, 5000), 1);
        close(listener);
        wait_exit(pid, 0);
    }
    fn seccomp_sizes_and_actions() {
        let mut sizes = [0_u16; 3];
        ok(syscall(SYS_seccomp, 3, 0, &mut sizes));
        eq(sizes, [80, 24, 64]);
        ok(syscall(SYS_seccomp, 2, 0, &0x7fc0_0000_u32));
        fails(EINVAL, syscall(SYS_seccomp, 1, 8 | 1, &[0_u64; 2]));
    }
}
