//! Process groups, sessions and job control without a terminal.

use tests::prelude::*;

unsafe fn sleeper() -> i32 {
    spawn(|| {
        loop {
            pause();
        }
    })
}

unsafe fn end(pid: i32) {
    ok(kill(pid, SIGKILL));
    wait_signal(pid, SIGKILL);
}

tests::cases! {
    fn group_is_inherited() {
        let mine = getpgrp();
        in_child(|| eq(getpgrp(), mine));
        ok_eq(getpgid(0), mine);
    }
    fn setpgid_makes_a_group() {
        in_child(|| {
            ok(setpgid(0, 0));
            eq(getpgrp(), getpid());
        });
    }
    fn setpgid_moves_a_child_into_a_group() {
        let (a, b) = (sleeper(), sleeper());
        ok(setpgid(a, a));
        ok(setpgid(b, a));
        ok_eq(getpgid(b), a);
        end(a);
        end(b);
    }
    fn setpgid_errors() {
        fails(EINVAL, setpgid(0, -1));
        fails(ESRCH, setpgid(0x3fff_fff0, 0));
        fails(ESRCH, setpgid(getppid(), 0));
        in_child(|| fails(EPERM, setpgid(0, 0x3fff_fff0)));
    }
    fn setpgid_after_exec_is_eacces() {
        let pid = spawn(|| { execv(p(c"/bin/sleep"), [p(c"sleep"), p(c"100"), null()].as_ptr()); 1 });
        until(|| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n"));
        fails(EACCES, setpgid(pid, pid));
        end(pid);
    }
    fn setsid_makes_session_and_group() {
        in_child(|| {
            ok_eq(setsid(), getpid());
            eq((getsid(0), getpgrp()), (getpid(), getpid()));
            fails(EPERM, setsid());
            fails(EPERM, setpgid(0, 0));
        });
    }
    fn setsid_of_a_group_leader_is_eperm() {
        fails(EPERM, setsid());
    }
    fn setpgid_across_sessions_is_eperm() {
        let flag = shared(1);
        let pid = spawn(|| { setsid(); flag[0].store(1, SeqCst); loop { pause(); } });
        until(|| flag[0].load(SeqCst) == 1);
        fails(EPERM, setpgid(pid, getpgrp()));
        end(pid);
    }
    fn getsid_errors() {
        fails(ESRCH, getsid(0x3fff_fff0));
        fails(ESRCH, getpgid(0x3fff_fff0));
    }
    fn kill_reaches_a_whole_group() {
        let (a, b) = (sleeper(), sleeper());
        ok(setpgid(a, a));
        ok(setpgid(b, a));
        ok(kill(-a, SIGTERM));
        wait_signal(a, SIGTERM);
        wait_signal(b, SIGTERM);
        fails(ESRCH, kill(-a, SIGTERM));
    }
    fn kill_zero_reaches_own_group() {
        catch(SIGUSR1, 0);
        let pid = spawn(|| { until(|| hits() == 1); 0 });
        until_asleep(pid);
        ok(kill(0, SIGUSR1));
        wait_exit(pid, 0);
        eq(hits(), 1);
    }
    fn orphaned_stopped_group_gets_hup_and_cont() {
        ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
        let word = shared(1);
        let leader = spawn(|| {
            setsid();
            let pid = spawn(|| { setpgid(0, 0); loop { pause(); } });
            setpgid(pid, pid);
            kill(pid, SIGSTOP);
            waitpid(pid, null_mut(), WUNTRACED);
            word[0].store(pid, SeqCst);
            0
        });
        wait_exit(leader, 0);
        wait_signal(word[0].load(SeqCst), SIGHUP);
    }
    fn stop_signals_do_not_stop_an_orphaned_group() {
        ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
        let pid = spawn(|| {
            setsid();
            kill(getpid(), SIGTSTP);
            5
        });
        wait_exit(pid, 5);
    }
    fn sigstop_stops_even_an_orphaned_group() {
        let pid = spawn(|| {
            setsid();
            kill(getpid(), SIGSTOP);
            5
        });
        let mut status = 0;
        ok_eq(waitpid(pid, &mut status, WUNTRACED), pid);
        yes(WIFSTOPPED(status));
        ok(kill(pid, SIGCONT));
        wait_exit(pid, 5);
    }
    fn stopped_process_is_killed_by_sigkill_only_at_once() {
        let pid = sleeper();
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        ok(kill(pid, SIGTERM));
        sleep_ms(30);
        ok_eq(waitpid(pid, null_mut(), WNOHANG), 0);
        ok(kill(pid, SIGCONT));
        wait_signal(pid, SIGTERM);
    }
    fn sigcont_discards_pending_stops() {
        let pid = spawn(|| {
            block(&[SIGTSTP]);
            raise(SIGTSTP);
            yes(pending(SIGTSTP));
            raise(SIGCONT);
            yes(!pending(SIGTSTP));
            unblock(&[SIGTSTP]);
            6
        });
        wait_exit(pid, 6);
    }
    fn sigcont_runs_its_handler_after_stop() {
        let pid = spawn(|| {
            catch(SIGCONT, 0);
            raise(SIGSTOP);
            until(|| hits() == 1);
            7
        });
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        ok(kill(pid, SIGCONT));
        wait_exit(pid, 7);
    }
    fn all_threads_stop() {
        let word = shared(1);
        let pid = spawn(|| {
            std::thread::spawn(|| loop { word[0].fetch_add(1, SeqCst); std::thread::yield_now(); });
            loop { pause(); }
        });
        until(|| word[0].load(SeqCst) > 10);
        ok(kill(pid, SIGSTOP));
        ok_eq(waitpid(pid, null_mut(), WUNTRACED), pid);
        let seen = word[0].load(SeqCst);
        sleep_ms(50);
        eq(word[0].load(SeqCst), seen);
        ok(kill(pid, SIGCONT));
        until(|| word[0].load(SeqCst) > seen);
        end(pid);
    }
}
