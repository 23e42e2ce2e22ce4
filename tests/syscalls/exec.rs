//! execve: arguments, environment, formats, errors, what survives.

use tests::prelude::*;

const SH: &CStr = c"/bin/sh";

/// Runs a shell command in a child; (wait status, output).
unsafe fn shell(command: &str) -> (i32, String) {
    let (r, w) = pipe(O_CLOEXEC);
    let command = std::ffi::CString::new(command).unwrap();
    let pid = spawn(|| {
        dup2(w, 1);
        execv(p(SH), [p(c"sh"), p(c"-c"), p(&command), null()].as_ptr());
        120
    });
    close(w);
    let out = String::from_utf8_lossy(&get_all(r)).into_owned();
    close(r);
    (wait(pid), out)
}

unsafe fn exec(path: &CStr, args: &[*const c_char]) -> i32 {
    let mut args = args.to_vec();
    args.push(null());
    execv(p(path), args.as_ptr())
}

unsafe fn script(path: &CStr, body: &str) {
    put(path, body.as_bytes());
    ok(chmod(p(path), 0o755));
}

/// Output of a program run in a child.
unsafe fn output(path: &CStr, args: &[*const c_char]) -> String {
    let (r, w) = pipe(O_CLOEXEC);
    let pid = spawn(|| {
        dup2(w, 1);
        exec(path, args);
        120
    });
    close(w);
    let out = String::from_utf8_lossy(&get_all(r)).into_owned();
    wait_exit(pid, 0);
    out
}

tests::cases! {
    fn exit_status_of_a_shell() {
        let (status, out) = shell("echo hi; exit 7");
        eq(out, "hi\n");
        eq(WEXITSTATUS(status), 7);
    }
    fn arguments_arrive_in_order() {
        eq(output(SH, &[p(c"sh"), p(c"-c"), p(c"echo $# $0 $1 $2"), p(c"zero"), p(c"a b"), p(c"")]), "2 zero a b\n");
    }
    fn environment_is_what_was_passed() {
        let (r, w) = pipe(O_CLOEXEC);
        let pid = spawn(|| {
            dup2(w, 1);
            let env = [p(c"A=1"), p(c"B=two"), null()];
            execve(p(SH), [p(c"sh"), p(c"-c"), p(c"echo $A $B $HOME"), null()].as_ptr(), env.as_ptr());
            120
        });
        close(w);
        eq(get_all(r), b"1 two\n");
        wait_exit(pid, 0);
    }
    fn errors_for_bad_files() {
        put(c"plain", b"echo hi\n");
        script(c"garbage", "\x01\x02\x03\x04garbage that is no program");
        script(c"empty", "");
        script(c"shortelf", "\x7fELF");
        ok(mkdir(p(c"d"), 0o755));
        fails(ENOENT, exec(c"gone", &[p(c"x")]));
        fails(EACCES, exec(c"plain", &[p(c"x")]));
        fails(EACCES, exec(c"d", &[p(c"x")]));
        fails(ENOEXEC, exec(c"garbage", &[p(c"x")]));
        fails(ENOEXEC, exec(c"empty", &[p(c"x")]));
        fails(ENOEXEC, exec(c"shortelf", &[p(c"x")]));
        fails(ENOTDIR, exec(c"plain/x", &[p(c"x")]));
        fails(EFAULT, execv(8 as *const c_char, [null()].as_ptr()));
    }
    fn bad_argument_pointers_are_efault() {
        fails(EFAULT, execv(p(SH), [p(c"sh"), 8 as *const c_char, null()].as_ptr()));
        fails(EFAULT, execv(p(SH), 8 as *const *const c_char));
    }
    fn interpreter_line() {
        script(c"s", "#!/bin/sh\necho $0 $1\n");
        eq(output(c"./s", &[p(c"ignored"), p(c"arg")]), "./s arg\n");
    }
    fn interpreter_line_with_one_argument() {
        script(c"s", "#!/bin/echo  one two  \n");
        eq(output(c"./s", &[p(c"x"), p(c"arg")]), "one two ./s arg\n");
    }
    fn interpreter_may_be_a_script() {
        script(c"a", "#!./b\n");
        script(c"b", "#!/bin/echo\n");
        eq(output(c"./a", &[p(c"x")]), "./b ./a\n");
    }
    fn interpreter_errors() {
        script(c"s", "#!/no/such/interpreter\n");
        fails(ENOENT, exec(c"./s", &[p(c"x")]));
        script(c"t", "#!\n");
        fails(ENOEXEC, exec(c"./t", &[p(c"x")]));
        script(c"loop", "#!./loop\n");
        fails(ELOOP, exec(c"./loop", &[p(c"x")]));
    }
    fn too_long_arguments_are_e2big() {
        let big = "x".repeat(131_072) + "\0";
        fails(E2BIG, exec(SH, &[big.as_ptr().cast()]));
        let many = vec![p(c"0123456789012345678901234567890123456789"); 200_000];
        fails(E2BIG, exec(SH, &many));
    }
    fn long_arguments_within_the_limit_pass() {
        let big = "x".repeat(100_000) + "\0";
        eq(output(SH, &[p(c"sh"), p(c"-c"), p(c"echo ${#1}"), p(c"x"), big.as_ptr().cast()]), "100000\n");
    }
    fn cloexec_closes_and_others_stay() {
        let a = ok(fcntl(open(c"/dev/null", O_RDONLY), F_DUPFD, 60));
        let b = ok(fcntl(a, F_DUPFD_CLOEXEC, 61));
        eq((a, b), (60, 61));
        let (_, out) = shell("for n in 60 61; do test -e /proc/self/fd/$n && echo $n; done");
        eq(out, "60\n");
    }
    fn handlers_reset_and_ignores_stay() {
        catch(SIGUSR1, 0);
        yes(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
        let (status, out) = shell("kill -USR2 $$; echo alive; kill -USR1 $$; echo dead");
        eq(out, "alive\n");
        eq(WTERMSIG(status), SIGUSR1);
    }
    fn blocked_signals_stay_blocked() {
        block(&[SIGUSR1]);
        let out = output(c"/bin/grep", &[p(c"grep"), p(c"SigBlk"), p(c"/proc/self/status")]);
        eq(out, "SigBlk:\t0000000000000200\n");
    }
    fn pending_signals_survive() {
        block(&[SIGUSR1]);
        ok(raise(SIGUSR1));
        in_child(|| yes(!pending(SIGUSR1)));
        let pid = spawn(|| {
            raise(SIGUSR1);
            kill(getpid(), SIGUSR1);
            exec(c"/bin/grep", &[p(c"grep"), p(c"-q"), p(c"ShdPnd:.*200"), p(c"/proc/self/status")]);
            120
        });
        wait_exit(pid, 0);
    }
    fn pid_and_cwd_survive() {
        let pid = spawn(|| {
            let mine = format!("test $$ = {} -a \"$(pwd -P)\" = \"{}\"\0", getpid(), std::env::current_dir().unwrap().display());
            exec(SH, &[p(c"sh"), p(c"-c"), mine.as_ptr().cast()]);
            120
        });
        wait_exit(pid, 0);
    }
    fn exec_from_a_thread_becomes_the_leader() {
        let pid = spawn(|| {
            let mine = format!("test $$ = {}\0", getpid());
            std::thread::spawn(move || { exec(SH, &[p(c"sh"), p(c"-c"), mine.as_ptr().cast()]); });
            loop { pause(); }
        });
        wait_exit(pid, 0);
    }
    fn exec_ends_other_threads() {
        let pid = spawn(|| {
            for _ in 0..5 {
                std::thread::spawn(|| loop { pause(); });
            }
            exec(SH, &[p(c"sh"), p(c"-c"), p(c"test $(ls /proc/$$/task | wc -l) = 1")]);
            120
        });
        wait_exit(pid, 0);
    }
    fn setuid_program_changes_effective_id() {
        put(c"id", &std::fs::read("/usr/bin/id").unwrap());
        ok(chown(p(c"id"), 1234, 1234));
        ok(chmod(p(c"id"), 0o4755));
        let (r, w) = pipe(O_CLOEXEC);
        let pid = spawn(|| {
            become_user(1000, 1000);
            dup2(w, 1);
            exec(c"./id", &[p(c"id"), p(c"-u")]);
            120
        });
        wait_exit(pid, 0);
        eq(get_fd(r, 20), b"1234\n");
    }
    fn no_new_privs_ignores_setuid() {
        put(c"id", &std::fs::read("/usr/bin/id").unwrap());
        ok(chown(p(c"id"), 1234, 1234));
        ok(chmod(p(c"id"), 0o4755));
        let (r, w) = pipe(O_CLOEXEC);
        let pid = spawn(|| {
            become_user(1000, 1000);
            ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
            dup2(w, 1);
            exec(c"./id", &[p(c"id"), p(c"-u")]);
            120
        });
        wait_exit(pid, 0);
        eq(get_fd(r, 20), b"1000\n");
        fails(EINVAL, prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    }
    fn running_file_cannot_be_written() {
        put(c"prog", &std::fs::read("/bin/sleep").unwrap());
        ok(chmod(p(c"prog"), 0o755));
        let pid = spawn(|| { exec(c"./prog", &[p(c"sleep"), p(c"100")]); 120 });
        until(|| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "prog\n"));
        fails(ETXTBSY, try_open(c"prog", O_WRONLY));
        fails(ETXTBSY, truncate(p(c"prog"), 0));
        ok(kill(pid, SIGKILL));
        wait(pid);
        close(open(c"prog", O_WRONLY));
    }
    fn file_open_for_writing_cannot_run() {
        put(c"prog", &std::fs::read("/bin/true").unwrap());
        ok(chmod(p(c"prog"), 0o755));
        let _fd = open(c"prog", O_WRONLY);
        fails(ETXTBSY, exec(c"./prog", &[p(c"x")]));
    }
    fn execveat_relative_and_empty_path() {
        let dir = open(c"/bin", O_PATH | O_DIRECTORY);
        let run = |fd: i32, path: &CStr, flags: i32| {
            let args = [p(c"sh"), p(c"-c"), p(c"exit 5"), null()];
            let path = path.to_owned();
            spawn(move || {
                syscall(SYS_execveat, fd, p(&path), args.as_ptr(), [null::<c_char>()].as_ptr(), flags);
                errno()
            })
        };
        wait_exit(run(dir, c"sh", 0), 5);
        wait_exit(run(open(SH, O_RDONLY), c"", AT_EMPTY_PATH), 5);
        wait_exit(run(dir, c"sh", 0x4000), EINVAL);
        ok(symlink(p(SH), p(c"l")));
        wait_exit(run(AT_FDCWD, c"l", AT_SYMLINK_NOFOLLOW), ELOOP);
    }
    fn auxiliary_vector_is_sane() {
        yes(getauxval(AT_PAGESZ) == 4096);
        yes(getauxval(AT_CLKTCK) == 100);
        yes(getauxval(AT_RANDOM) != 0 && getauxval(AT_SYSINFO_EHDR) != 0);
        eq(getauxval(AT_UID), u64::from(getuid()));
        eq(getauxval(AT_SECURE), 0);
        yes(!CStr::from_ptr(getauxval(AT_EXECFN) as *const c_char).is_empty());
    }
    fn comm_and_cmdline_follow_exec() {
        let pid = spawn(|| { exec(c"/bin/sleep", &[p(c"first"), p(c"100")]); 120 });
        until(|| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n"));
        // The name is set before the arguments are: for a moment there are none.
        until(|| !std::fs::read(format!("/proc/{pid}/cmdline")).unwrap().is_empty());
        eq(std::fs::read(format!("/proc/{pid}/cmdline")).unwrap(), b"first\x00100\0");
        eq(std::fs::read_link(format!("/proc/{pid}/exe")).unwrap(), std::fs::canonicalize("/bin/sleep").unwrap());
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn shell_pipeline() {
        eq(shell("seq 1 1000 | grep 7 | wc -l").1.trim(), "271");
    }
    fn more_stack_allowed_than_address_space_is_no_hindrance() {
        let pid = spawn(|| {
            setrlimit(RLIMIT_STACK, &rlimit { rlim_cur: 64 << 20, rlim_max: RLIM_INFINITY });
            setrlimit(RLIMIT_AS, &rlimit { rlim_cur: 32 << 20, rlim_max: 32 << 20 });
            exec(SH, &[p(c"sh"), p(c"-c"), p(c"exit 5")])
        });
        wait_exit(pid, 5);
    }
    fn stack_is_not_executable_and_random() {
        let maps = text(c"/proc/self/maps");
        yes(maps.lines().find(|l| l.contains("[stack]")).unwrap().contains(" rw-p "));
    }
}
