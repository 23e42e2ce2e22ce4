//! wait4, waitid, and the stop and continue states they report.

use tests::prelude::*;

unsafe fn info() -> siginfo_t {
    zeroed()
}

/// A child that sleeps until it is killed.
unsafe fn sleeper() -> i32 {
    spawn(|| {
        loop {
            pause();
        }
    })
}

tests::cases! {
    fn no_children_is_echild() {
        fails(ECHILD, libc::wait(null_mut()));
        fails(ECHILD, waitpid(1, null_mut(), 0));
        fails(ECHILD, waitid(P_ALL, 0, &mut info(), WEXITED));
    }
    fn nohang_returns_zero_while_running() {
        let pid = sleeper();
        ok_eq(waitpid(pid, null_mut(), WNOHANG), 0);
        ok(kill(pid, SIGTERM));
        wait_signal(pid, SIGTERM);
    }
    fn wait_blocks_until_exit() {
        let start = now_ms();
        wait_exit(spawn(|| { sleep_ms(100); 2 }), 2);
        yes(now_ms() - start >= 95);
    }
    fn signal_death_is_reported() {
        for signal in [SIGTERM, SIGKILL, SIGSEGV, SIGABRT, SIGUSR1, SIGPIPE, SIGALRM] {
            setrlimit(RLIMIT_CORE, &rlimit { rlim_cur: 0, rlim_max: 0 });
            let pid = spawn(|| { kill(getpid(), signal); 0 });
            wait_signal(pid, signal);
        }
    }
    fn wait_reaps_only_once() {
        let pid = spawn(|| 0);
        wait(pid);
        fails(ECHILD, waitpid(pid, null_mut(), 0));
    }
    fn wait_for_any_child_in_any_order() {
        let mut pids = vec![spawn(|| 0), spawn(|| 0), spawn(|| 0)];
        for _ in 0..3 {
            let pid = ok(waitpid(-1, null_mut(), 0));
            pids.retain(|p| *p != pid);
        }
        eq(pids.len(), 0);
    }
    fn wait_by_process_group() {
        let a = spawn(|| { setpgid(0, 0); sleep_ms(50); 1 });
        setpgid(a, a);
        let b = spawn(|| 2);
        let mut status = 0;
        ok_eq(waitpid(-a, &mut status, 0), a);
        eq(WEXITSTATUS(status), 1);
        ok_eq(waitpid(0, &mut status, 0), b);
        fails(ECHILD, waitpid(-a, &mut status, 0));
    }
    fn waitpid_bad_options_is_einval() {
        fails(EINVAL, waitpid(-1, null_mut(), 0x100));
        fails(EINVAL, waitid(P_ALL, 0, &mut info(), 0));
        fails(EINVAL, waitid(77, 0, &mut info(), WEXITED));
        fails(EINVAL, waitid(P_ALL, 0, &mut info(), WEXITED | 0x100));
    }
    fn waitid_fills_siginfo() {
        let pid = spawn(|| 9);
        let mut i = info();
        ok(waitid(P_PID, pid as u32, &mut i, WEXITED));
        eq((i.si_signo, i.si_code, i.si_pid(), i.si_status(), i.si_uid()), (SIGCHLD, CLD_EXITED, pid, 9, 0));
    }
    fn waitid_reports_kill() {
        let pid = sleeper();
        ok(kill(pid, SIGKILL));
        let mut i = info();
        ok(waitid(P_PID, pid as u32, &mut i, WEXITED));
        eq((i.si_code, i.si_status()), (CLD_KILLED, SIGKILL));
    }
    fn waitid_nowait_leaves_the_zombie() {
        let pid = spawn(|| 9);
        let mut i = info();
        ok(waitid(P_PID, pid as u32, &mut i, WEXITED | WNOWAIT));
        eq(i.si_status(), 9);
        eq(state_of(pid), 'Z');
        wait_exit(pid, 9);
    }
    fn waitid_nohang_zeroes_info() {
        let pid = sleeper();
        let mut i = info();
        i.si_signo = 77;
        ok(waitid(P_ALL, 0, &mut i, WEXITED | WNOHANG));
        eq((i.si_signo, i.si_pid()), (0, 0));
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn stop_and_continue_are_reported() {
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        let mut status = 0;
        ok_eq(waitpid(pid, &mut status, WUNTRACED), pid);
        yes(WIFSTOPPED(status));
        eq(WSTOPSIG(status), SIGSTOP);
        eq(state_of(pid), 'T');
        ok(kill(pid, SIGCONT));
        ok_eq(waitpid(pid, &mut status, WCONTINUED), pid);
        yes(WIFCONTINUED(status));
        ok(kill(pid, SIGKILL));
        wait_signal(pid, SIGKILL);
    }
    fn stop_is_reported_once() {
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        ok_eq(waitpid(pid, null_mut(), WUNTRACED | WNOHANG), 0);
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn waitid_stopped_and_continued() {
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        let mut i = info();
        ok(waitid(P_PID, pid as u32, &mut i, WSTOPPED));
        eq((i.si_code, i.si_status()), (CLD_STOPPED, SIGSTOP));
        ok(kill(pid, SIGCONT));
        ok(waitid(P_PID, pid as u32, &mut i, WCONTINUED));
        eq((i.si_code, i.si_status()), (CLD_CONTINUED, SIGCONT));
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn plain_wait_ignores_stops() {
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        until(|| state_of(pid) == 'T');
        ok_eq(waitpid(pid, null_mut(), WNOHANG), 0);
        ok(kill(pid, SIGKILL));
        wait_signal(pid, SIGKILL);
    }
    fn all_stop_signals_stop() {
        for signal in [SIGTSTP, SIGTTIN, SIGTTOU] {
            ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
            let pid = sleeper();
            ok(kill(pid, signal));
            let mut status = 0;
            ok_eq(waitpid(pid, &mut status, WUNTRACED), pid);
            eq(WSTOPSIG(status), signal);
            ok(kill(pid, SIGKILL));
            wait(pid);
        }
    }
    fn wait_is_interrupted_by_a_handler() {
        let pid = sleeper();
        catch(SIGUSR1, 0);
        let killer = kill_later(getpid(), SIGUSR1, 50);
        fails(EINTR, waitpid(pid, null_mut(), 0));
        wait_exit(killer, 0);
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn wait_restarts_with_sa_restart() {
        catch(SIGUSR1, SA_RESTART);
        let pid = spawn(|| { sleep_ms(150); 4 });
        let killer = kill_later(getpid(), SIGUSR1, 30);
        wait_exit(pid, 4);
        eq(hits(), 1);
        wait_exit(killer, 0);
    }
    fn ignored_sigchld_reaps_by_itself() {
        signal(SIGCHLD, SIG_IGN);
        let pid = spawn(|| 0);
        fails(ECHILD, waitpid(pid, null_mut(), 0));
    }
    fn nocldwait_reaps_by_itself() {
        catch(SIGCHLD, SA_NOCLDWAIT | SA_RESTART);
        let pid = spawn(|| 0);
        fails(ECHILD, waitpid(pid, null_mut(), 0));
    }
    fn nocldstop_sends_no_signal_for_stops() {
        catch(SIGCHLD, SA_NOCLDSTOP);
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        eq(hits(), 0);
        ok(kill(pid, SIGKILL));
        while waitpid(pid, null_mut(), 0) < 0 && errno() == EINTR {}
        eq(hits(), 1);
    }
    fn stop_sends_sigchld() {
        catch(SIGCHLD, SA_RESTART);
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        until(|| hits() == 1);
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn threads_wait_for_each_others_children() {
        let pid = spawn(|| 3);
        std::thread::spawn(move || wait_exit(pid, 3)).join().unwrap();
    }
    fn wnothread_sees_only_own_children() {
        let pid = spawn(|| 3);
        std::thread::spawn(move || fails(ECHILD, waitpid(pid, null_mut(), __WNOTHREAD))).join().unwrap();
        wait(pid);
    }
    fn rusage_of_the_child() {
        let pid = spawn(|| {
            let mut own: rusage = zeroed();
            while own.ru_utime.tv_sec * 1_000_000 + own.ru_utime.tv_usec + own.ru_stime.tv_usec < 20_000 {
                ok(getrusage(RUSAGE_SELF, &mut own));
            }
            0
        });
        let mut u: rusage = zeroed();
        ok_eq(wait4(pid, null_mut(), 0, &mut u), pid);
        yes(u.ru_utime.tv_sec * 1_000_000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec > 10_000);
    }
    fn zombie_shows_in_proc_and_takes_signals() {
        let pid = spawn(|| 0);
        until(|| state_of(pid) == 'Z');
        ok(kill(pid, 0));
        ok(kill(pid, SIGKILL));
        wait_exit(pid, 0);
        fails(ESRCH, kill(pid, 0));
    }
}
