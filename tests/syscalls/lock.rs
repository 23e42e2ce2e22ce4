//! flock, POSIX record locks, open-file-description locks, leases.

use tests::prelude::*;

fn region(kind: i32, start: i64, len: i64) -> flock {
    flock {
        l_type: kind as i16,
        l_whence: SEEK_SET as i16,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

unsafe fn set(fd: i32, kind: i32, start: i64, len: i64) -> i32 {
    fcntl(fd, F_SETLK, &region(kind, start, len))
}

tests::cases! {
    fn flock_excludes_other_opens() {
        let (a, b) = (open(c"f", O_RDWR | O_CREAT), open(c"f", O_RDWR));
        ok(libc::flock(a, LOCK_EX));
        fails(EWOULDBLOCK, libc::flock(b, LOCK_SH | LOCK_NB));
        ok(libc::flock(a, LOCK_UN));
        ok(libc::flock(b, LOCK_EX | LOCK_NB));
    }
    fn flock_shared_locks_coexist() {
        let (a, b) = (open(c"f", O_RDWR | O_CREAT), open(c"f", O_RDONLY));
        ok(libc::flock(a, LOCK_SH));
        ok(libc::flock(b, LOCK_SH | LOCK_NB));
        fails(EWOULDBLOCK, libc::flock(b, LOCK_EX | LOCK_NB));
    }
    fn flock_belongs_to_the_description() {
        let a = open(c"f", O_RDWR | O_CREAT);
        let copy = ok(dup(a));
        ok(libc::flock(a, LOCK_EX));
        ok(libc::flock(copy, LOCK_EX | LOCK_NB));
        close(a);
        let b = open(c"f", O_RDWR);
        fails(EWOULDBLOCK, libc::flock(b, LOCK_EX | LOCK_NB));
        close(copy);
        ok(libc::flock(b, LOCK_EX | LOCK_NB));
    }
    fn flock_survives_fork_until_both_close() {
        let a = open(c"f", O_RDWR | O_CREAT);
        ok(libc::flock(a, LOCK_EX));
        let child = spawn(|| { pause(); 0 });
        close(a);
        let b = open(c"f", O_RDWR);
        fails(EWOULDBLOCK, libc::flock(b, LOCK_EX | LOCK_NB));
        ok(kill(child, SIGKILL));
        wait_signal(child, SIGKILL);
        ok(libc::flock(b, LOCK_EX | LOCK_NB));
    }
    fn flock_waits_for_release() {
        let a = open(c"f", O_RDWR | O_CREAT);
        ok(libc::flock(a, LOCK_EX));
        let child = spawn(|| { ok(libc::flock(open(c"f", O_RDWR), LOCK_EX)); 0 });
        until_asleep(child);
        ok(libc::flock(a, LOCK_UN));
        wait_exit(child, 0);
    }
    fn flock_wait_is_interrupted() {
        let a = open(c"f", O_RDWR | O_CREAT);
        ok(libc::flock(a, LOCK_EX));
        catch(SIGUSR1, 0);
        let killer = kill_later(getpid(), SIGUSR1, 50);
        fails(EINTR, libc::flock(open(c"f", O_RDWR), LOCK_EX));
        wait_exit(killer, 0);
    }
    fn flock_bad_operation_is_einval() {
        fails(EINVAL, libc::flock(open(c"f", O_RDWR | O_CREAT), 64));
        fails(EBADF, libc::flock(999, LOCK_EX));
    }
    fn record_lock_excludes_other_processes() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 10, 10));
        in_child(|| {
            let fd = open(c"f", O_RDWR);
            fails(EAGAIN, set(fd, F_RDLCK, 15, 1));
            ok(set(fd, F_WRLCK, 20, 5));
            ok(set(fd, F_WRLCK, 0, 10));
        });
    }
    fn record_lock_does_not_exclude_itself() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 0, 0));
        ok(set(open(c"f", O_RDWR), F_WRLCK, 0, 0));
    }
    fn getlk_names_the_holder() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 10, 10));
        let holder = getpid();
        in_child(|| {
            let mut l = region(F_RDLCK, 0, 0);
            ok(fcntl(open(c"f", O_RDWR), F_GETLK, &mut l));
            eq((i32::from(l.l_type), l.l_start, l.l_len, l.l_pid), (F_WRLCK, 10, 10, holder));
        });
    }
    fn getlk_of_free_region_says_unlocked() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        let mut l = region(F_WRLCK, 0, 0);
        ok(fcntl(fd, F_GETLK, &mut l));
        eq(i32::from(l.l_type), F_UNLCK);
    }
    fn unlocking_the_middle_splits() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 0, 30));
        ok(set(fd, F_UNLCK, 10, 10));
        in_child(|| {
            let fd = open(c"f", O_RDWR);
            ok(set(fd, F_WRLCK, 10, 10));
            fails(EAGAIN, set(fd, F_WRLCK, 9, 1));
            fails(EAGAIN, set(fd, F_WRLCK, 20, 1));
        });
    }
    fn any_close_drops_record_locks() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 0, 0));
        close(open(c"f", O_RDONLY));
        in_child(|| { ok(set(open(c"f", O_RDWR), F_WRLCK, 0, 0)); });
    }
    fn record_lock_is_not_inherited() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 0, 0));
        in_child(|| fails(EAGAIN, set(fd, F_WRLCK, 0, 0)));
    }
    fn setlkw_waits() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 0, 0));
        let child = spawn(|| { ok(fcntl(open(c"f", O_RDWR), F_SETLKW, &region(F_WRLCK, 0, 0))); 0 });
        until_asleep(child);
        ok(set(fd, F_UNLCK, 0, 0));
        wait_exit(child, 0);
    }
    fn setlkw_finds_deadlock() {
        let (fd, flag) = (open(c"f", O_RDWR | O_CREAT), shared(1));
        ok(set(fd, F_WRLCK, 0, 1));
        let child = spawn(|| {
            let fd = open(c"f", O_RDWR);
            ok(set(fd, F_WRLCK, 1, 1));
            flag[0].store(1, SeqCst);
            ok(fcntl(fd, F_SETLKW, &region(F_WRLCK, 0, 1)));
            0
        });
        until(|| flag[0].load(SeqCst) == 1);
        until_asleep(child);
        fails(EDEADLK, fcntl(fd, F_SETLKW, &region(F_WRLCK, 1, 1)));
        ok(set(fd, F_UNLCK, 0, 0));
        wait_exit(child, 0);
    }
    fn record_lock_needs_matching_access() {
        put(c"f", b"");
        fails(EBADF, set(open(c"f", O_RDONLY), F_WRLCK, 0, 0));
        fails(EBADF, set(open(c"f", O_WRONLY), F_RDLCK, 0, 0));
        fails(EINVAL, set(open(c"f", O_RDWR), 9, 0, 0));
        fails(EINVAL, set(open(c"f", O_RDWR), F_RDLCK, -1, 0));
    }
    fn ofd_locks_belong_to_the_description() {
        let (a, b) = (open(c"f", O_RDWR | O_CREAT), open(c"f", O_RDWR));
        ok(fcntl(a, F_OFD_SETLK, &region(F_WRLCK, 0, 0)));
        fails(EAGAIN, fcntl(b, F_OFD_SETLK, &region(F_WRLCK, 0, 0)));
        close(open(c"f", O_RDONLY));
        let mut l = region(F_WRLCK, 0, 0);
        ok(fcntl(b, F_OFD_GETLK, &mut l));
        eq(l.l_pid, -1);
        close(a);
        ok(fcntl(b, F_OFD_SETLK, &region(F_WRLCK, 0, 0)));
    }
    fn ofd_locks_conflict_with_record_locks() {
        let (a, b) = (open(c"f", O_RDWR | O_CREAT), open(c"f", O_RDWR));
        ok(set(a, F_WRLCK, 0, 0));
        fails(EAGAIN, fcntl(b, F_OFD_SETLK, &region(F_RDLCK, 0, 0)));
        let mut l = region(F_WRLCK, 0, 0);
        l.l_pid = 1;
        fails(EINVAL, fcntl(b, F_OFD_SETLK, &l));
    }
    fn negative_length_locks_backwards() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(set(fd, F_WRLCK, 10, -5));
        in_child(|| {
            let fd = open(c"f", O_RDWR);
            fails(EAGAIN, set(fd, F_WRLCK, 5, 1));
            ok(set(fd, F_WRLCK, 10, 1));
            ok(set(fd, F_WRLCK, 4, 1));
        });
    }
    fn exit_releases_record_locks() {
        let (fd, flag) = (open(c"f", O_RDWR | O_CREAT), shared(1));
        let child = spawn(|| {
            ok(set(fd, F_WRLCK, 0, 0));
            flag[0].store(1, SeqCst);
            pause();
            0
        });
        until(|| flag[0].load(SeqCst) == 1);
        fails(EAGAIN, set(fd, F_WRLCK, 0, 0));
        ok(kill(child, SIGKILL));
        wait_signal(child, SIGKILL);
        ok(set(fd, F_WRLCK, 0, 0));
    }
    fn lease_needs_a_file_nobody_writes() {
        put(c"f", b"x");
        let fd = open(c"f", O_RDONLY);
        ok_eq(fcntl(fd, F_GETLEASE), F_UNLCK);
        ok(fcntl(fd, F_SETLEASE, F_RDLCK));
        ok_eq(fcntl(fd, F_GETLEASE), F_RDLCK);
        ok(fcntl(fd, F_SETLEASE, F_UNLCK));
        fails(EAGAIN, fcntl(fd, F_SETLEASE, F_UNLCK));
        let other = open(c"f", O_RDWR);
        fails(EAGAIN, fcntl(other, F_SETLEASE, F_RDLCK));
        fails(EAGAIN, fcntl(fd, F_SETLEASE, F_RDLCK));
        fails(EAGAIN, fcntl(fd, F_SETLEASE, F_WRLCK));
        close(other);
        ok(fcntl(fd, F_SETLEASE, F_WRLCK));
        fails(EINVAL, fcntl(fd, F_SETLEASE, 77));
        fails(EINVAL, fcntl(open(c".", O_RDONLY), F_SETLEASE, F_RDLCK));
        close(fd);
        let again = open(c"f", O_RDONLY);
        ok_eq(fcntl(again, F_GETLEASE), F_UNLCK);
    }
    fn lease_is_broken_by_an_open() {
        put(c"f", b"x");
        let fd = open(c"f", O_RDONLY);
        catch(SIGIO, 0);
        ok(fcntl(fd, F_SETLEASE, F_WRLCK));
        fails(EAGAIN, libc::open(p(c"f"), O_RDONLY | O_NONBLOCK));
        while hits() == 0 {
            sleep_ms(1);
        }
        ok_eq(fcntl(fd, F_GETLEASE), F_RDLCK);
        ok(fcntl(fd, F_SETLEASE, F_RDLCK));
        close(open(c"f", O_RDONLY));
        let writer = spawn(|| {
            close(open(c"f", O_WRONLY));
            0
        });
        while hits() < 2 {
            sleep_ms(1);
        }
        ok_eq(fcntl(fd, F_GETLEASE), F_UNLCK);
        ok(fcntl(fd, F_SETLEASE, F_UNLCK));
        wait_exit(writer, 0);
    }
    fn lease_is_broken_by_truncate() {
        put(c"f", b"x");
        let fd = open(c"f", O_RDONLY);
        catch(SIGIO, 0);
        ok(fcntl(fd, F_SETLEASE, F_RDLCK));
        let other = spawn(|| {
            ok(truncate(p(c"f"), 0));
            0
        });
        while hits() == 0 {
            sleep_ms(1);
        }
        ok(fcntl(fd, F_SETLEASE, F_UNLCK));
        wait_exit(other, 0);
        eq(get(c"f"), b"");
    }
    fn lease_of_anothers_file_needs_a_capability() {
        put(c"f", b"x");
        ok(chmod(p(c"f"), 0o644));
        let fd = open(c"f", O_RDONLY);
        as_user(1000, 1000, || fails(EACCES, fcntl(fd, F_SETLEASE, F_RDLCK)));
    }
    fn notify_tells_of_changes_in_a_directory() {
        const DN_CREATE: u32 = 4;
        const DN_RENAME: u32 = 0x10;
        const DN_MULTISHOT: u32 = 0x8000_0000;
        let dir = open(c".", O_RDONLY);
        catch(SIGIO, 0);
        let wait_for = |n: i32| {
            while hits() < n {
                sleep_ms(1);
            }
        };
        ok(fcntl(dir, F_NOTIFY, DN_CREATE));
        put(c"one", b"");
        wait_for(1);
        // Once only.
        put(c"two", b"");
        ok(fcntl(dir, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
        ok(rename(p(c"one"), p(c"three")));
        wait_for(2);
        ok(rename(p(c"two"), p(c"four")));
        wait_for(3);
        ok(fcntl(dir, F_NOTIFY, 0));
        ok(rename(p(c"four"), p(c"five")));
        sleep_ms(50);
        eq(hits(), 3);
        put(c"f", b"");
        fails(ENOTDIR, fcntl(open(c"f", O_RDONLY), F_NOTIFY, DN_CREATE));
    }
    fn created_query_tells_who_made_the_file() {
        const F_CREATED_QUERY: i32 = 1028;
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok_eq(fcntl(fd, F_CREATED_QUERY), 1);
        ok_eq(fcntl(open(c"f", O_RDWR | O_CREAT), F_CREATED_QUERY), 0);
    }
}
