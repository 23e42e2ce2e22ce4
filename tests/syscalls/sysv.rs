//! System V shared memory, semaphores and message queues; POSIX message queues.

use tests::prelude::*;

unsafe fn shm(size: usize) -> i32 {
    ok(shmget(IPC_PRIVATE, size, IPC_CREAT | 0o600))
}

unsafe fn sem(count: i32) -> i32 {
    ok(semget(IPC_PRIVATE, count, IPC_CREAT | 0o600))
}

unsafe fn op(id: i32, num: u16, value: i16, flags: i32) -> i32 {
    semop(
        id,
        &mut sembuf {
            sem_num: num,
            sem_op: value,
            sem_flg: flags as i16,
        },
        1,
    )
}

unsafe fn queue() -> i32 {
    ok(msgget(IPC_PRIVATE, IPC_CREAT | 0o600))
}

#[repr(C)]
struct Message {
    kind: i64,
    text: [u8; 16],
}

unsafe fn send_msg(id: i32, kind: i64, text: &[u8], flags: i32) -> i32 {
    let mut m = Message { kind, text: [0; 16] };
    m.text[..text.len()].copy_from_slice(text);
    msgsnd(id, (&raw const m).cast(), text.len(), flags)
}

unsafe fn take_msg(id: i32, kind: i64, flags: i32) -> (i64, Vec<u8>) {
    let mut m = Message { kind: 0, text: [0; 16] };
    let n = ok(msgrcv(id, (&raw mut m).cast(), 16, kind, flags));
    (m.kind, m.text[..n as usize].to_vec())
}

unsafe fn mq(flags: i32) -> i32 {
    let name = std::ffi::CString::new(format!("/test-{}", getpid())).unwrap();
    let mut attr: mq_attr = zeroed();
    attr.mq_maxmsg = 4;
    attr.mq_msgsize = 32;
    let fd = ok(mq_open(p(&name), O_CREAT | O_EXCL | O_RDWR | flags, 0o600, &attr));
    ok(mq_unlink(p(&name)));
    fd
}

tests::cases! {
    fn shm_is_shared_and_zero() {
        let id = shm(5000);
        let at = ok(shmat(id, null(), 0)).cast::<u8>();
        eq(at.read(), 0);
        in_child(|| at.add(4999).write(7));
        eq(at.add(4999).read(), 7);
        ok(shmctl(id, IPC_RMID, null_mut()));
        ok(shmdt(at.cast()));
        fails(EINVAL, shmdt(at.cast()));
    }
    fn shm_found_by_key() {
        let key = getpid();
        let id = ok(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600));
        fails(EEXIST, shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600));
        ok_eq(shmget(key, 0, 0), id);
        fails(EINVAL, shmget(key, 8192, 0));
        ok(shmctl(id, IPC_RMID, null_mut()));
        fails(ENOENT, shmget(key, 4096, 0));
    }
    fn shm_removed_lives_until_last_detach() {
        let id = shm(4096);
        let at = ok(shmat(id, null(), 0)).cast::<u8>();
        ok(shmctl(id, IPC_RMID, null_mut()));
        let mut ds: shmid_ds = zeroed();
        ok(shmctl(id, IPC_STAT, &mut ds));
        eq((ds.shm_nattch, ds.shm_segsz), (1, 4096));
        at.write(1);
        ok(shmdt(at.cast()));
        fails(EINVAL, shmctl(id, IPC_STAT, &mut ds));
    }
    fn shm_read_only_attach() {
        let id = shm(4096);
        let at = ok(shmat(id, null(), SHM_RDONLY)).cast::<u8>();
        ok(shmctl(id, IPC_RMID, null_mut()));
        wait_signal(spawn(|| { at.write_volatile(1); 0 }), SIGSEGV);
    }
    fn shm_attach_count_follows_fork_and_exit() {
        let id = shm(4096);
        ok(shmat(id, null(), 0));
        let mut ds: shmid_ds = zeroed();
        in_child(|| {
            ok(shmctl(id, IPC_STAT, &mut ds));
            eq(ds.shm_nattch, 2);
        });
        ok(shmctl(id, IPC_STAT, &mut ds));
        eq(ds.shm_nattch, 1);
        ok(shmctl(id, IPC_RMID, null_mut()));
    }
    fn shm_attach_rules() {
        let id = shm(4096);
        fails(EINVAL, shmat(id, 1 as *const c_void, 0));
        fails(EINVAL, shmat(0x7fff_0000, null(), 0));
        let at = ok(shmat(id, null(), 0));
        fails(EINVAL, shmat(id, at, 0));
        as_user(1000, 1000, || {
            fails(EACCES, shmat(id, null(), 0));
            fails(EPERM, shmctl(id, IPC_RMID, null_mut()));
        });
        ok(shmctl(id, IPC_RMID, null_mut()));
        fails(EINVAL, shmget(IPC_PRIVATE, 0, 0o600));
    }
    fn sem_counts() {
        let id = sem(2);
        ok(semctl(id, 1, SETVAL, 5));
        ok_eq(semctl(id, 1, GETVAL), 5);
        ok(op(id, 1, -3, 0));
        ok_eq(semctl(id, 1, GETVAL), 2);
        fails(EAGAIN, op(id, 1, -3, IPC_NOWAIT));
        fails(EAGAIN, op(id, 1, 0, IPC_NOWAIT));
        ok(op(id, 0, 0, 0));
        ok_eq(semctl(id, 1, GETPID), getpid());
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_blocks_until_raised() {
        let id = sem(1);
        let pid = spawn(|| op(id, 0, -2, 0));
        until_asleep(pid);
        ok_eq(semctl(id, 0, GETNCNT), 1);
        ok(op(id, 0, 1, 0));
        ok(op(id, 0, 1, 0));
        wait_exit(pid, 0);
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_waits_for_zero() {
        let id = sem(1);
        ok(semctl(id, 0, SETVAL, 1));
        let pid = spawn(|| op(id, 0, 0, 0));
        until_asleep(pid);
        ok_eq(semctl(id, 0, GETZCNT), 1);
        ok(op(id, 0, -1, 0));
        wait_exit(pid, 0);
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_operations_are_all_or_nothing() {
        let id = sem(2);
        ok(semctl(id, 0, SETVAL, 1));
        let mut ops = [(0, -1), (1, -1)].map(|(sem_num, sem_op)| sembuf { sem_num, sem_op, sem_flg: IPC_NOWAIT as i16 });
        fails(EAGAIN, semop(id, ops.as_mut_ptr(), 2));
        ok_eq(semctl(id, 0, GETVAL), 1);
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_undo_at_exit() {
        let id = sem(1);
        ok(semctl(id, 0, SETVAL, 3));
        in_child(|| { ok(op(id, 0, -2, SEM_UNDO)); });
        ok_eq(semctl(id, 0, GETVAL), 3);
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_removal_wakes_with_eidrm() {
        let id = sem(1);
        let pid = spawn(|| { fails(EIDRM, op(id, 0, -1, 0)); 0 });
        until_asleep(pid);
        ok(semctl(id, 0, IPC_RMID));
        wait_exit(pid, 0);
        fails(EINVAL, op(id, 0, 1, 0));
    }
    fn sem_timeout() {
        let id = sem(1);
        let t = timespec { tv_sec: 0, tv_nsec: 40_000_000 };
        let start = now_ms();
        let mut o = sembuf { sem_num: 0, sem_op: -1, sem_flg: 0 };
        fails(EAGAIN, syscall(SYS_semtimedop, id, &mut o, 1, &t));
        yes(now_ms() - start >= 39);
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_errors() {
        let id = sem(1);
        fails(EFBIG, op(id, 5, 1, 0));
        fails(ERANGE, op(id, 0, 32767, 0).max(op(id, 0, 1, 0)).min(-1));
        fails(ERANGE, semctl(id, 0, SETVAL, -1));
        fails(EINVAL, semop(id, null_mut(), 0));
        fails(EINVAL, semctl(id, 9, GETVAL));
        fails(EINVAL, semget(IPC_PRIVATE, -1, 0o600));
        as_user(1000, 1000, || fails(EACCES, op(id, 0, -1, IPC_NOWAIT)));
        ok(semctl(id, 0, IPC_RMID));
    }
    fn sem_setall_getall() {
        let id = sem(3);
        ok(semctl(id, 0, SETALL, [1_u16, 2, 3].as_ptr()));
        let mut got = [0_u16; 3];
        ok(semctl(id, 0, GETALL, got.as_mut_ptr()));
        eq(got, [1, 2, 3]);
        ok(semctl(id, 0, IPC_RMID));
    }
    fn msg_in_order_and_by_type() {
        let id = queue();
        for (kind, text) in [(3, b"a"), (1, b"b"), (2, b"c"), (1, b"d")] {
            ok(send_msg(id, kind, text, 0));
        }
        eq(take_msg(id, 1, 0), (1, b"b".to_vec()));
        eq(take_msg(id, -2, 0), (1, b"d".to_vec()));
        eq(take_msg(id, 3, MSG_EXCEPT), (2, b"c".to_vec()));
        eq(take_msg(id, 0, 0), (3, b"a".to_vec()));
        fails(ENOMSG, msgrcv(id, [0_u64; 3].as_mut_ptr().cast(), 16, 0, IPC_NOWAIT));
        ok(msgctl(id, IPC_RMID, null_mut()));
    }
    fn msg_receive_blocks() {
        let id = queue();
        let pid = spawn(|| i32::from(take_msg(id, 0, 0).1 != b"wake"));
        until_asleep(pid);
        ok(send_msg(id, 1, b"wake", 0));
        wait_exit(pid, 0);
        ok(msgctl(id, IPC_RMID, null_mut()));
    }
    fn msg_too_small_buffer() {
        let id = queue();
        ok(send_msg(id, 1, b"abcdef", 0));
        let mut m = Message { kind: 0, text: [0; 16] };
        fails(E2BIG, msgrcv(id, (&raw mut m).cast(), 3, 0, 0));
        ok_eq(msgrcv(id, (&raw mut m).cast(), 3, 0, MSG_NOERROR), 3);
        ok(msgctl(id, IPC_RMID, null_mut()));
    }
    fn msg_queue_full() {
        let id = queue();
        let mut ds: msqid_ds = zeroed();
        ok(msgctl(id, IPC_STAT, &mut ds));
        ds.msg_qbytes = 20;
        ok(msgctl(id, IPC_SET, &mut ds));
        ok(send_msg(id, 1, &[0; 16], 0));
        fails(EAGAIN, send_msg(id, 1, &[0; 16], IPC_NOWAIT));
        let pid = spawn(|| send_msg(id, 2, &[0; 16], 0));
        until_asleep(pid);
        take_msg(id, 1, 0);
        wait_exit(pid, 0);
        ok(msgctl(id, IPC_STAT, &mut ds));
        eq((ds.msg_qnum, ds.msg_lspid), (1, pid));
        ok(msgctl(id, IPC_RMID, null_mut()));
    }
    fn msg_errors() {
        let id = queue();
        fails(EINVAL, send_msg(id, 0, b"x", 0));
        fails(EINVAL, msgsnd(id, [1_u64; 2].as_ptr().cast(), usize::MAX, 0));
        as_user(1000, 1000, || fails(EACCES, send_msg(id, 1, b"x", 0)));
        let pid = spawn(|| { fails(EIDRM, msgrcv(id, [0_u64; 3].as_mut_ptr().cast(), 16, 0, 0)); 0 });
        until_asleep(pid);
        ok(msgctl(id, IPC_RMID, null_mut()));
        wait_exit(pid, 0);
        fails(EINVAL, send_msg(id, 1, b"x", 0));
    }
    fn mq_keeps_priority_order() {
        let q = mq(0);
        for (prio, text) in [(1, c"low"), (9, c"high"), (1, c"low2")] {
            ok(mq_send(q, p(text), text.to_bytes().len(), prio));
        }
        let (mut buf, mut prio) = ([0_u8; 32], 0);
        ok_eq(mq_receive(q, buf.as_mut_ptr().cast(), 32, &mut prio), 4);
        eq((prio, &buf[..4]), (9, &b"high"[..]));
        ok_eq(mq_receive(q, buf.as_mut_ptr().cast(), 32, &mut prio), 3);
        let mut attr: mq_attr = zeroed();
        ok(mq_getattr(q, &mut attr));
        eq((attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs), (4, 32, 1));
    }
    fn mq_limits() {
        let q = mq(O_NONBLOCK);
        let mut buf = [0_u8; 32];
        fails(EAGAIN, mq_receive(q, buf.as_mut_ptr().cast(), 32, null_mut()));
        fails(EMSGSIZE, mq_receive(q, buf.as_mut_ptr().cast(), 31, null_mut()));
        fails(EMSGSIZE, mq_send(q, buf.as_ptr().cast(), 33, 0));
        for _ in 0..4 {
            ok(mq_send(q, buf.as_ptr().cast(), 1, 0));
        }
        fails(EAGAIN, mq_send(q, buf.as_ptr().cast(), 1, 0));
        fails(ENOENT, mq_open(p(c"/no-such-queue"), O_RDWR));
        fails(EINVAL, mq_send(q, buf.as_ptr().cast(), 1, 40000));
    }
    fn mq_blocks_and_times_out() {
        let q = mq(0);
        let pid = spawn(|| {
            let mut buf = [0_u8; 32];
            i32::from(mq_receive(q, buf.as_mut_ptr().cast(), 32, null_mut()) != 2)
        });
        until_asleep(pid);
        ok(mq_send(q, p(c"hi"), 2, 0));
        wait_exit(pid, 0);
        let past = timespec { tv_sec: 1, tv_nsec: 0 };
        fails(ETIMEDOUT, mq_timedreceive(q, [0 as c_char; 32].as_mut_ptr(), 32, null_mut(), &past));
    }
    fn mq_notifies() {
        let q = mq(0);
        catch(SIGUSR1, 0);
        let mut event: sigevent = zeroed();
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR1;
        ok(mq_notify(q, &event));
        in_child(|| fails(EBUSY, mq_notify(q, &event)));
        ok(mq_send(q, p(c"hi"), 2, 0));
        until(|| hits() == 1);
    }
    fn limits_of_a_name_space_steer() {
        ok(unshare(CLONE_NEWIPC));
        put(c"/proc/sys/kernel/msgmax", b"100\n");
        let q = ok(msgget(IPC_PRIVATE, 0o600));
        let mut message = [0_u8; 208];
        message[0] = 1;
        fails(EINVAL, msgsnd(q, message.as_ptr().cast(), 101, IPC_NOWAIT));
        ok(msgsnd(q, message.as_ptr().cast(), 100, IPC_NOWAIT));
        put(c"/proc/sys/kernel/shmmax", b"8192\n");
        fails(EINVAL, shmget(IPC_PRIVATE, 8193, 0o600));
        ok(shmget(IPC_PRIVATE, 8192, 0o600));
        put(c"/proc/sys/kernel/sem", b"5 100 3 7\n");
        fails(EINVAL, semget(IPC_PRIVATE, 6, 0o600));
        eq(text(c"/proc/sys/kernel/sem"), "5\t100\t3\t7\n");
        put(c"/proc/sys/kernel/msgmni", b"1\n");
        fails(ENOSPC, msgget(IPC_PRIVATE, 0o600));
    }
    fn stat_any_takes_an_id() {
        let q = ok(msgget(IPC_PRIVATE, 0o600));
        let mut ds: msqid_ds = zeroed();
        ok_eq(msgctl(q, 13, &mut ds), q);
        ok(msgctl(q, IPC_RMID, null_mut()));
    }
}
