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
}
