//! futex(2): wait, wake, requeue, priority inheritance, robust lists.

use tests::prelude::*;

unsafe fn futex(word: &AtomicI32, op: i32, value: i32) -> i64 {
    syscall(SYS_futex, word, op, value, 0, 0, 0)
}

unsafe fn wake(word: &AtomicI32, count: i32) -> i64 {
    futex(word, FUTEX_WAKE, count)
}

fn ms(n: i64) -> timespec {
    timespec {
        tv_sec: n / 1000,
        tv_nsec: n % 1000 * 1_000_000,
    }
}

unsafe fn after(n: i64) -> timespec {
    let mut t: timespec = zeroed();
    ok(clock_gettime(CLOCK_MONOTONIC, &mut t));
    let all = t.tv_sec * 1_000_000_000 + t.tv_nsec + n * 1_000_000;
    timespec {
        tv_sec: all / 1_000_000_000,
        tv_nsec: all % 1_000_000_000,
    }
}

/// A child that waits on the word and exits with 0 when woken.
unsafe fn waiter(word: &'static AtomicI32) -> i32 {
    let pid = spawn(|| i32::from(futex(word, FUTEX_WAIT, 0) != 0));
    until_asleep(pid);
    pid
}

const TID: i32 = FUTEX_TID_MASK as i32;

tests::cases! {
    fn wait_with_other_value_is_eagain() {
        let w = shared(1);
        w[0].store(5, SeqCst);
        fails(EAGAIN, futex(&w[0], FUTEX_WAIT, 4));
    }
    fn wake_without_waiters_is_zero() {
        ok_eq(wake(&shared(1)[0], 10), 0);
    }
    fn wake_crosses_processes() {
        let w = shared(1);
        let pid = waiter(&w[0]);
        ok_eq(wake(&w[0], 1), 1);
        wait_exit(pid, 0);
    }
    fn wake_counts() {
        let w = shared(1);
        let pids: Vec<i32> = (0..4).map(|_| waiter(&w[0])).collect();
        ok_eq(wake(&w[0], 3), 3);
        ok_eq(wake(&w[0], 10), 1);
        pids.into_iter().for_each(|pid| wait_exit(pid, 0));
    }
    fn wait_times_out() {
        let (w, start) = (shared(1), now_ms());
        fails(ETIMEDOUT, syscall(SYS_futex, &w[0], FUTEX_WAIT, 0, &ms(50)));
        yes(now_ms() - start >= 49);
    }
    fn wait_checks_timeout() {
        let w = shared(1);
        fails(EINVAL, syscall(SYS_futex, &w[0], FUTEX_WAIT, 0, &timespec { tv_sec: 0, tv_nsec: -1 }));
        fails(EFAULT, syscall(SYS_futex, &w[0], FUTEX_WAIT, 0, 8));
    }
    fn bad_addresses() {
        let w = shared(1);
        fails(EFAULT, syscall(SYS_futex, 8, FUTEX_WAIT, 0, 0));
        fails(EINVAL, syscall(SYS_futex, (&raw const w[0]).byte_add(1), FUTEX_WAIT, 0, 0));
        fails(EINVAL, syscall(SYS_futex, (&raw const w[0]).byte_add(1), FUTEX_WAKE, 1));
        fails(ENOSYS, futex(&w[0], 99, 0));
    }
    fn private_futex_between_threads() {
        static W: AtomicI32 = AtomicI32::new(0);
        let thread = std::thread::spawn(|| futex(&W, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0));
        until(|| wake_private(&W) == 1);
        eq(thread.join().unwrap(), 0);
    }
    fn private_futex_does_not_cross_fork() {
        let w = shared(1);
        let pid = spawn(|| {
            let got = syscall(SYS_futex, &w[0], FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &ms(200));
            i32::from(got != -1 || errno() != ETIMEDOUT)
        });
        until_asleep(pid);
        ok_eq(futex(&w[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1), 0);
        wait_exit(pid, 0);
    }
    fn shared_futex_in_a_file_mapping() {
        put(c"f", &[0; 4096]);
        let map = || {
            let at = ok(mmap(null_mut(), 4096, PROT_READ | PROT_WRITE, MAP_SHARED, open(c"f", O_RDWR), 0));
            &*at.cast::<AtomicI32>()
        };
        let pid = spawn(|| i32::from(futex(map(), FUTEX_WAIT, 0) != 0));
        until_asleep(pid);
        ok_eq(wake(map(), 1), 1);
        wait_exit(pid, 0);
    }
    fn bitset_selects_waiters() {
        let w = shared(1);
        let pids = [1, 2].map(|bits| {
            let pid = spawn(|| i32::from(syscall(SYS_futex, &w[0], FUTEX_WAIT_BITSET, 0, 0, 0, bits) != 0));
            until_asleep(pid);
            pid
        });
        ok_eq(syscall(SYS_futex, &w[0], FUTEX_WAKE_BITSET, 10, 0, 0, 2), 1);
        wait_exit(pids[1], 0);
        ok_eq(syscall(SYS_futex, &w[0], FUTEX_WAKE_BITSET, 10, 0, 0, 1), 1);
        wait_exit(pids[0], 0);
        fails(EINVAL, syscall(SYS_futex, &w[0], FUTEX_WAKE_BITSET, 10, 0, 0, 0));
    }
    fn bitset_timeout_is_absolute() {
        let (w, start) = (shared(1), now_ms());
        fails(ETIMEDOUT, syscall(SYS_futex, &w[0], FUTEX_WAIT_BITSET, 0, &after(40), 0, -1));
        yes(now_ms() - start >= 38);
        let mut real: timespec = zeroed();
        ok(clock_gettime(CLOCK_REALTIME, &mut real));
        let op = FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME;
        fails(ETIMEDOUT, syscall(SYS_futex, &w[0], op, 0, &real, 0, -1));
    }
    fn requeue_moves_waiters() {
        let w = shared(2);
        let pids: Vec<i32> = (0..3).map(|_| waiter(&w[0])).collect();
        ok_eq(syscall(SYS_futex, &w[0], FUTEX_REQUEUE, 1, 10, &w[1], 0), 3);
        ok_eq(wake(&w[0], 10), 0);
        ok_eq(wake(&w[1], 10), 2);
        pids.into_iter().for_each(|pid| wait_exit(pid, 0));
    }
    fn cmp_requeue_checks_the_value() {
        let w = shared(2);
        fails(EAGAIN, syscall(SYS_futex, &w[0], FUTEX_CMP_REQUEUE, 1, 10, &w[1], 7));
        let pid = waiter(&w[0]);
        ok_eq(syscall(SYS_futex, &w[0], FUTEX_CMP_REQUEUE, 0, 10, &w[1], 0), 1);
        ok_eq(wake(&w[1], 1), 1);
        wait_exit(pid, 0);
        fails(EINVAL, syscall(SYS_futex, &w[0], FUTEX_CMP_REQUEUE, -1, 10, &w[1], 0));
    }
    fn wake_op_changes_and_wakes_both() {
        let w = shared(2);
        w[1].store(0, SeqCst);
        let (a, b) = (waiter(&w[0]), waiter(&w[1]));
        // w1 = 1 (FUTEX_OP_SET), and wake there because the old value equals 0.
        let op = (FUTEX_OP_SET << 28) | (FUTEX_OP_CMP_EQ << 24) | (1 << 12);
        ok_eq(syscall(SYS_futex, &w[0], FUTEX_WAKE_OP, 1, 1, &w[1], op), 2);
        eq(w[1].load(SeqCst), 1);
        wait_exit(a, 0);
        wait_exit(b, 0);
    }
    fn pi_lock_free_and_own() {
        let w = shared(1);
        ok_eq(futex(&w[0], FUTEX_LOCK_PI, 0), 0);
        eq(w[0].load(SeqCst) & TID, gettid());
        fails(EDEADLK, futex(&w[0], FUTEX_LOCK_PI, 0));
        ok_eq(futex(&w[0], FUTEX_UNLOCK_PI, 0), 0);
        eq(w[0].load(SeqCst), 0);
        fails(EPERM, futex(&w[0], FUTEX_UNLOCK_PI, 0));
    }
    fn pi_lock_is_handed_over() {
        let w = shared(1);
        ok(futex(&w[0], FUTEX_LOCK_PI, 0));
        let pid = spawn(|| {
            ok(futex(&w[0], FUTEX_LOCK_PI, 0));
            i32::from(w[0].load(SeqCst) & TID != gettid())
        });
        until_asleep(pid);
        yes(w[0].load(SeqCst) as u32 & FUTEX_WAITERS != 0);
        ok(futex(&w[0], FUTEX_UNLOCK_PI, 0));
        wait_exit(pid, 0);
    }
    fn pi_trylock_and_timeout() {
        let w = shared(1);
        ok(futex(&w[0], FUTEX_LOCK_PI, 0));
        in_child(|| {
            fails(EAGAIN, futex(&w[0], FUTEX_TRYLOCK_PI, 0));
            let mut real: timespec = zeroed();
            ok(clock_gettime(CLOCK_REALTIME, &mut real));
            fails(ETIMEDOUT, syscall(SYS_futex, &w[0], FUTEX_LOCK_PI, 0, &real));
        });
    }
    fn pi_lock_of_dead_owner_is_esrch() {
        let w = shared(1);
        let pid = spawn(|| 0);
        wait(pid);
        w[0].store(pid, SeqCst);
        fails(ESRCH, futex(&w[0], FUTEX_LOCK_PI, 0));
    }
    fn robust_list_marks_owner_death() {
        let w = shared(4);
        let pid = spawn(|| {
            // The list head, and one entry whose futex lies 8 bytes behind it.
            #[repr(C)]
            struct Head { next: *mut c_void, offset: i64, pending: *mut c_void }
            let entry: *mut *mut c_void = (&raw const w[0]).cast_mut().cast();
            let head = Box::leak(Box::new(Head { next: entry.cast(), offset: 8, pending: null_mut() }));
            *entry = (&raw mut *head).cast();
            ok(syscall(SYS_set_robust_list, &raw mut *head, 24));
            w[2].store(gettid() | FUTEX_WAITERS as i32, SeqCst);
            0
        });
        wait_exit(pid, 0);
        eq(w[2].load(SeqCst) as u32, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    }
    fn robust_list_can_be_read_and_checks_size() {
        let mut head = 0_usize;
        let mut len = 0_usize;
        ok(syscall(SYS_get_robust_list, 0, &mut head, &mut len));
        eq(len, 24);
        fails(EINVAL, syscall(SYS_set_robust_list, head, 23));
        fails(ESRCH, syscall(SYS_get_robust_list, 0x3fff_fff0, &mut head, &mut len));
    }
    fn waitv_waits_for_any() {
        let w = shared(2);
        let pid = spawn(|| {
            let list: Vec<[u64; 3]> = w.iter().map(|w| [0, &raw const *w as u64, 2]).collect();
            syscall(SYS_futex_waitv, list.as_ptr(), 2, 0, 0, 0) as i32
        });
        until_asleep(pid);
        ok_eq(wake(&w[1], 1), 1);
        wait_exit(pid, 1);
    }
    fn killed_waiter_leaves_the_queue() {
        let w = shared(1);
        let pid = waiter(&w[0]);
        ok(kill(pid, SIGKILL));
        wait(pid);
        ok_eq(wake(&w[0], 1), 0);
    }
    fn mutex_under_contention() {
        let counter = std::sync::Arc::new(std::sync::Mutex::new(0_u32));
        let threads: Vec<_> = (0..8).map(|_| {
            let counter = counter.clone();
            std::thread::spawn(move || for _ in 0..2000 { *counter.lock().unwrap() += 1; })
        }).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        eq(*counter.lock().unwrap(), 16_000);
    }
    fn condition_variable_ping_pong() {
        let pair = std::sync::Arc::new((std::sync::Mutex::new(0_u32), std::sync::Condvar::new()));
        let other = pair.clone();
        let thread = std::thread::spawn(move || {
            for n in 0..500 {
                let mut turn = other.1.wait_while(other.0.lock().unwrap(), |t| *t != 2 * n + 1).unwrap();
                *turn += 1;
                other.1.notify_one();
            }
        });
        for n in 0..500 {
            let mut turn = pair.1.wait_while(pair.0.lock().unwrap(), |t| *t != 2 * n).unwrap();
            *turn += 1;
            pair.1.notify_one();
        }
        thread.join().unwrap();
    }
}

unsafe fn wake_private(word: &AtomicI32) -> i64 {
    futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1)
}
