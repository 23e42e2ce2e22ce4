//! Pseudo terminals: line discipline, job control, window size.

use tests::prelude::*;

/// A new terminal: (master, slave), not controlling.
unsafe fn pty() -> (i32, i32) {
    let master = open(c"/dev/ptmx", O_RDWR | O_NOCTTY);
    ok(ioctl(master, TIOCSPTLCK, &0));
    let mut n = 0;
    ok(ioctl(master, TIOCGPTN, &mut n));
    let path = format!("/dev/pts/{n}\0");
    (master, ok(libc::open(path.as_ptr().cast(), O_RDWR | O_NOCTTY)))
}

unsafe fn attributes(fd: i32) -> termios {
    let mut t: termios = zeroed();
    ok(tcgetattr(fd, &mut t));
    t
}

unsafe fn change<F: FnOnce(&mut termios)>(fd: i32, f: F) {
    let mut t = attributes(fd);
    f(&mut t);
    ok(tcsetattr(fd, TCSANOW, &t));
}

unsafe fn no_echo(fd: i32) {
    change(fd, |t| t.c_lflag &= !ECHO);
}

unsafe fn raw(fd: i32) {
    change(fd, |t| cfmakeraw(t));
}

unsafe fn readable(fd: i32, ms: i32) -> bool {
    let mut poll = pollfd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    ok(libc::poll(&mut poll, 1, ms));
    poll.revents & POLLIN != 0
}

/// Reads until the text is complete.
unsafe fn expect(fd: i32, text: &[u8]) {
    let mut got = Vec::new();
    while got.len() < text.len() && readable(fd, 2000) {
        got.extend(get_fd(fd, text.len() - got.len()));
    }
    eq(String::from_utf8_lossy(&got), String::from_utf8_lossy(text));
}

/// A child that leads a session with the terminal as its controlling one.
unsafe fn session<F: FnOnce() -> i32>(slave: i32, body: F) -> i32 {
    spawn(|| {
        ok(setsid());
        ok(ioctl(slave, TIOCSCTTY, 0));
        body()
    })
}

tests::cases! {
    fn numbers_and_names() {
        let (m, s) = pty();
        yes(isatty(m) == 1 && isatty(s) == 1);
        let mut n = 0;
        ok(ioctl(m, TIOCGPTN, &mut n));
        let link = std::fs::read_link(format!("/proc/self/fd/{s}")).unwrap();
        eq(link.to_str().unwrap(), format!("/dev/pts/{n}"));
        eq(fstat(s).st_mode & S_IFMT, S_IFCHR);
        eq(major(fstat(s).st_rdev), 136);
        eq(isatty(open(c"/dev/null", O_RDONLY)), 0);
    }
    fn locked_slave_is_eio() {
        let m = open(c"/dev/ptmx", O_RDWR | O_NOCTTY);
        let mut n = 0;
        ok(ioctl(m, TIOCGPTN, &mut n));
        ok(ioctl(m, TIOCSPTLCK, &1));
        fails(EIO, libc::open(format!("/dev/pts/{n}\0").as_ptr().cast(), O_RDWR | O_NOCTTY));
    }
    fn output_turns_newline_into_crlf() {
        let (m, s) = pty();
        put_fd(s, b"a\nb");
        expect(m, b"a\r\nb");
    }
    fn canonical_input_waits_for_the_line() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"abc");
        yes(!readable(s, 20));
        put_fd(m, b"d\nnext");
        eq(get_fd(s, 99), b"abcd\n");
    }
    fn canonical_reads_may_be_short() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"abcdef\n");
        eq(get_fd(s, 3), b"abc");
        eq(get_fd(s, 9), b"def\n");
    }
    fn one_line_a_read() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"one\ntwo\n");
        eq(get_fd(s, 99), b"one\n");
        eq(get_fd(s, 99), b"two\n");
    }
    fn input_is_echoed() {
        let (m, _s) = pty();
        put_fd(m, b"hi\n");
        expect(m, b"hi\r\n");
    }
    fn control_characters_echo_with_caret() {
        let (m, _s) = pty();
        put_fd(m, b"\x01");
        expect(m, b"^A");
    }
    fn erase_and_kill_edit_the_line() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"abx\x7fc\n");
        eq(get_fd(s, 99), b"abc\n");
        put_fd(m, b"junk\x15good\n");
        eq(get_fd(s, 99), b"good\n");
        put_fd(m, b"one two\x17three\n");
        eq(get_fd(s, 99), b"one three\n");
    }
    fn erase_echo_rubs_out() {
        let (m, _s) = pty();
        put_fd(m, b"a\x7f");
        expect(m, b"a\x08 \x08");
    }
    fn end_of_file_character() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"\x04");
        eq(get_fd(s, 9), b"");
        put_fd(m, b"ab\x04");
        eq(get_fd(s, 9), b"ab");
    }
    fn carriage_return_becomes_newline() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"x\r");
        eq(get_fd(s, 9), b"x\n");
    }
    fn literal_next_quotes() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"a\x16\x03b\n");
        eq(get_fd(s, 9), b"a\x03b\n");
    }
    fn raw_mode_passes_bytes() {
        let (m, s) = pty();
        raw(s);
        put_fd(m, b"\x03\x04\r");
        eq(get_fd(s, 9), b"\x03\x04\r");
        put_fd(s, b"\n");
        expect(m, b"\n");
        yes(!readable(m, 10));
    }
    fn raw_minimum_and_timeout() {
        let (m, s) = pty();
        raw(s);
        change(s, |t| { t.c_cc[VMIN] = 0; t.c_cc[VTIME] = 1; });
        let start = now_ms();
        eq(get_fd(s, 9), b"");
        yes(now_ms() - start >= 90);
        change(s, |t| { t.c_cc[VMIN] = 3; t.c_cc[VTIME] = 0; });
        let child = spawn(|| { for _ in 0..3 { sleep_ms(10); put_fd(m, b"x"); } 0 });
        eq(get_fd(s, 9), b"xxx");
        wait_exit(child, 0);
    }
    fn attributes_are_shared_by_both_ends() {
        let (m, s) = pty();
        change(s, |t| t.c_lflag &= !ECHO);
        eq(attributes(m).c_lflag & ECHO, 0);
        let t = attributes(s);
        yes(t.c_iflag & ICRNL != 0 && t.c_oflag & ONLCR != 0 && t.c_lflag & (ICANON | ISIG) == ICANON | ISIG);
        eq((t.c_cc[VINTR], t.c_cc[VEOF], t.c_cc[VERASE]), (3, 4, 0x7f));
    }
    fn window_size_is_kept() {
        let (m, s) = pty();
        let size = winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        ok(ioctl(m, TIOCSWINSZ, &size));
        let mut got: winsize = zeroed();
        ok(ioctl(s, TIOCGWINSZ, &mut got));
        eq((got.ws_row, got.ws_col), (33, 77));
    }
    fn window_change_signals_the_foreground() {
        let (m, s) = pty();
        let ready = shared(1);
        let pid = session(s, || {
            catch(SIGWINCH, 0);
            ready[0].store(1, SeqCst);
            until(|| hits() == 1);
            0
        });
        until(|| ready[0].load(SeqCst) == 1);
        ok(ioctl(m, TIOCSWINSZ, &winsize { ws_row: 3, ws_col: 7, ws_xpixel: 0, ws_ypixel: 0 }));
        wait_exit(pid, 0);
    }
    fn interrupt_character_signals_the_foreground() {
        for (byte, signal) in [(3, SIGINT), (0x1c, SIGQUIT)] {
            let (m, s) = pty();
            let ready = shared(1);
            ok(setrlimit(RLIMIT_CORE, &rlimit { rlim_cur: 0, rlim_max: 0 }));
            let pid = session(s, || { ready[0].store(1, SeqCst); loop { pause(); } });
            until(|| ready[0].load(SeqCst) == 1);
            put_fd(m, &[byte]);
            wait_signal(pid, signal);
        }
    }
    fn suspend_character_stops_the_foreground() {
        let (m, s) = pty();
        let pid = session(s, || {
            // The job: a child group of the session, so that it is not orphaned.
            let job = spawn(|| { setpgid(0, 0); loop { pause(); } });
            setpgid(job, job);
            signal(SIGTTOU, SIG_IGN);
            ok(tcsetpgrp(s, job));
            put_fd(m, b"\x1a");
            let mut status = 0;
            ok_eq(waitpid(job, &mut status, WUNTRACED), job);
            let stopped = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP;
            kill(job, SIGKILL);
            wait(job);
            i32::from(!stopped)
        });
        wait_exit(pid, 0);
    }
    fn controlling_terminal_ids() {
        let (_m, s) = pty();
        let pid = session(s, || {
            ok_eq(tcgetpgrp(s), getpid());
            ok_eq(tcgetsid(s), getpid());
            close(open(c"/dev/tty", O_RDWR));
            yes(text(c"/proc/self/stat").contains(&format!(" {} ", fstat(s).st_rdev)));
            0
        });
        wait_exit(pid, 0);
    }
    fn no_terminal_is_enxio() {
        in_child(|| {
            ok(setsid());
            fails(ENXIO, try_open(c"/dev/tty", O_RDWR));
        });
        let (_m, s) = pty();
        fails(ENOTTY, tcgetpgrp(s));
    }
    fn opening_without_noctty_takes_the_terminal() {
        let (m, _s) = pty();
        let mut n = 0;
        ok(ioctl(m, TIOCGPTN, &mut n));
        in_child(|| {
            ok(setsid());
            let fd = ok(libc::open(format!("/dev/pts/{n}\0").as_ptr().cast(), O_RDWR));
            ok_eq(tcgetsid(fd), getpid());
        });
    }
    fn background_read_stops_with_sigttin() {
        let (_m, s) = pty();
        let pid = session(s, || {
            let job = spawn(|| { setpgid(0, 0); get_fd(s, 1); 0 });
            setpgid(job, job);
            let mut status = 0;
            ok_eq(waitpid(job, &mut status, WUNTRACED), job);
            let right = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN;
            kill(job, SIGKILL);
            wait(job);
            i32::from(!right)
        });
        wait_exit(pid, 0);
    }
    fn background_read_with_ignored_sigttin_is_eio() {
        let (_m, s) = pty();
        let pid = session(s, || {
            let job = spawn(|| {
                signal(SIGTTIN, SIG_IGN);
                setpgid(0, 0);
                fails(EIO, read(s, [0_u8; 1].as_mut_ptr().cast(), 1));
                0
            });
            wait_exit(job, 0);
            0
        });
        wait_exit(pid, 0);
    }
    fn background_write_needs_tostop_to_stop() {
        let (_m, s) = pty();
        let pid = session(s, || {
            let job = spawn(|| { setpgid(0, 0); put_fd(s, b"x"); 0 });
            wait_exit(job, 0);
            change(s, |t| t.c_lflag |= TOSTOP);
            let job = spawn(|| { setpgid(0, 0); put_fd(s, b"x"); 0 });
            let mut status = 0;
            ok_eq(waitpid(job, &mut status, WUNTRACED), job);
            let right = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU;
            kill(job, SIGKILL);
            wait(job);
            i32::from(!right)
        });
        wait_exit(pid, 0);
    }
    fn background_tcsetpgrp_stops_with_sigttou() {
        let (_m, s) = pty();
        let pid = session(s, || {
            let job = spawn(|| { setpgid(0, 0); tcsetpgrp(s, getpgrp()); 0 });
            let mut status = 0;
            ok_eq(waitpid(job, &mut status, WUNTRACED), job);
            let right = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU;
            kill(job, SIGKILL);
            wait(job);
            i32::from(!right)
        });
        wait_exit(pid, 0);
    }
    fn master_close_hangs_up_the_session() {
        let (m, s) = pty();
        let ready = shared(1);
        let pid = session(s, || {
            close(m);
            ready[0].store(1, SeqCst);
            loop { pause(); }
        });
        until(|| ready[0].load(SeqCst) == 1);
        close(m);
        wait_signal(pid, SIGHUP);
        eq(get_fd(s, 1), b"");
        fails(EIO, write(s, c"x".as_ptr().cast(), 1));
    }
    fn leader_exit_hangs_up_the_foreground() {
        let (_m, s) = pty();
        ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
        let word = shared(1);
        let leader = session(s, || {
            word[0].store(spawn(|| loop { pause(); }), SeqCst);
            0
        });
        wait_exit(leader, 0);
        wait_signal(word[0].load(SeqCst), SIGHUP);
    }
    fn leader_exit_leaves_the_pair_in_use() {
        let (m, s) = pty();
        let leader = session(s, || {
            close(s);
            0
        });
        wait_exit(leader, 0);
        put_fd(m, b"in\n");
        expect(s, b"in\n");
        put_fd(s, b"out");
        let mut poll = pollfd { fd: m, events: 0, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 0), 0);
        fails(ENOTTY, tcgetsid(m));
        close(s);
        ok_eq(libc::poll(&mut poll, 1, 0), 1);
        yes(poll.revents & POLLHUP != 0);
    }
    fn slave_close_is_eio_on_master() {
        let (m, s) = pty();
        put_fd(s, b"last");
        close(s);
        expect(m, b"last");
        fails(EIO, read(m, [0_u8; 1].as_mut_ptr().cast(), 1));
        let mut poll = pollfd { fd: m, events: POLLIN, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 0), 1);
        yes(poll.revents & POLLHUP != 0);
    }
    fn flush_drops_input() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"gone\n");
        yes(readable(s, 1000));
        ok(tcflush(s, TCIFLUSH));
        yes(!readable(s, 10));
    }
    fn fionread_counts_a_line() {
        let (m, s) = pty();
        no_echo(s);
        put_fd(m, b"12345\n");
        yes(readable(s, 1000));
        let mut n = 0;
        ok(ioctl(s, FIONREAD, &mut n));
        eq(n, 6);
    }
    fn packet_mode_marks_data() {
        let (m, s) = pty();
        ok(ioctl(m, TIOCPKT, &1));
        put_fd(s, b"x");
        eq(get_fd(m, 9), b"\0x");
    }
    fn interactive_shell_echoes_and_runs() {
        let (m, s) = pty();
        let pid = session(s, || {
            for fd in 0..3 { dup2(s, fd); }
            execve(p(c"/bin/sh"), [p(c"sh"), p(c"-i"), null()].as_ptr(), [p(c"PS1=$ "), p(c"PATH=/bin:/usr/bin"), null()].as_ptr());
            1
        });
        close(s);
        put_fd(m, b"echo $((6*7)); exit 3\n");
        let mut all = Vec::new();
        let mut buf = [0_u8; 256];
        loop {
            let n = read(m, buf.as_mut_ptr().cast(), 256);
            if n <= 0 { break; }
            all.extend_from_slice(&buf[..n as usize]);
        }
        yes(String::from_utf8_lossy(&all).contains("\r\n42\r\n") || String::from_utf8_lossy(&all).contains("$ 42"));
        wait_exit(pid, 3);
    }
}
