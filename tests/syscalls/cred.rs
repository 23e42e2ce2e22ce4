//! User and group ids, capabilities, securebits.

use tests::prelude::*;

unsafe fn uids() -> (u32, u32, u32) {
    let (mut r, mut e, mut s) = (0, 0, 0);
    ok(getresuid(&mut r, &mut e, &mut s));
    (r, e, s)
}

unsafe fn gids() -> (u32, u32, u32) {
    let (mut r, mut e, mut s) = (0, 0, 0);
    ok(getresgid(&mut r, &mut e, &mut s));
    (r, e, s)
}

/// (effective, permitted, inheritable) of this thread.
unsafe fn caps() -> (u64, u64, u64) {
    let head = [0x2008_0522_u32, 0];
    let mut d = [0_u32; 6];
    ok(syscall(SYS_capget, head.as_ptr(), d.as_mut_ptr()));
    let wide = |n: usize| u64::from(d[n]) | u64::from(d[n + 3]) << 32;
    (wide(0), wide(1), wide(2))
}

unsafe fn set_caps(effective: u64, permitted: u64, inheritable: u64) -> i64 {
    let head = [0x2008_0522_u32, 0];
    let low = |v: u64| v as u32;
    let high = |v: u64| (v >> 32) as u32;
    let d = [
        low(effective),
        low(permitted),
        low(inheritable),
        high(effective),
        high(permitted),
        high(inheritable),
    ];
    syscall(SYS_capset, head.as_ptr(), d.as_ptr())
}

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const SETUID: u64 = 1 << 7;
const SETFCAP: u64 = 1 << 31;

tests::cases! {
    fn setuid_as_root_sets_all_three() {
        in_child(|| {
            ok(setuid(1000));
            eq(uids(), (1000, 1000, 1000));
            fails(EPERM, setuid(0));
        });
    }
    fn setuid_as_user_switches_between_own_ids() {
        in_child(|| {
            ok(setresuid(1000, 1000, 1001));
            ok(setuid(1001));
            eq(uids(), (1000, 1001, 1001));
            fails(EPERM, setuid(1002));
        });
    }
    fn setresuid_rules() {
        in_child(|| {
            ok(setresuid(1, 2, 3));
            eq(uids(), (1, 2, 3));
            ok(setresuid(3, 1, 2));
            eq(uids(), (3, 1, 2));
            fails(EPERM, setresuid(4, u32::MAX, u32::MAX));
            ok(setresuid(u32::MAX, u32::MAX, u32::MAX));
        });
    }
    fn setreuid_changes_saved() {
        in_child(|| {
            ok(setreuid(1000, 1001));
            eq(uids(), (1000, 1001, 1001));
        });
    }
    fn seteuid_and_back() {
        in_child(|| {
            ok(seteuid(1000));
            eq((getuid(), geteuid()), (0, 1000));
            ok(seteuid(0));
            eq(geteuid(), 0);
        });
    }
    fn group_ids_work_alike() {
        in_child(|| {
            ok(setresgid(1, 2, 3));
            eq(gids(), (1, 2, 3));
            ok(setregid(u32::MAX, 9));
            eq(gids(), (1, 9, 9));
            ok(setgid(5));
            eq(gids(), (5, 5, 5));
            ok(setuid(1000));
            fails(EPERM, setgid(6));
        });
    }
    fn supplementary_groups() {
        in_child(|| {
            ok(setgroups(3, [30, 10, 20].as_ptr()));
            let mut got = [0; 8];
            ok_eq(getgroups(8, got.as_mut_ptr()), 3);
            eq(&got[..3], [10, 20, 30]);
            ok_eq(getgroups(0, null_mut()), 3);
            fails(EINVAL, getgroups(2, got.as_mut_ptr()));
            become_user(1000, 1000);
            fails(EPERM, setgroups(1, [5].as_ptr()));
            ok_eq(getgroups(8, got.as_mut_ptr()), 0);
        });
    }
    fn too_many_groups_is_einval() {
        fails(EINVAL, setgroups(65537, vec![1; 65537].as_ptr()));
    }
    fn ids_are_inherited_by_fork() {
        in_child(|| {
            ok(setresuid(1, 2, 3));
            in_child(|| eq(uids(), (1, 2, 3)));
        });
    }
    fn raw_setuid_is_per_thread() {
        in_child(|| {
            std::thread::spawn(|| {
                ok(syscall(SYS_setresuid, 7, 7, 7));
                eq(syscall(SYS_getuid), 7);
            }).join().unwrap();
            eq(syscall(SYS_getuid), 0);
        });
    }
    fn capabilities_drop_with_uid() {
        in_child(|| {
            yes(caps().0 & KILL != 0);
            ok(setresuid(1000, 1000, 1000));
            eq((caps().0, caps().1), (0, 0));
        });
    }
    fn capabilities_return_with_euid() {
        in_child(|| {
            let before = caps();
            ok(seteuid(1000));
            eq((caps().0, caps().1), (0, before.1));
            ok(seteuid(0));
            eq(caps().0, before.0);
        });
    }
    fn keepcaps_keeps_permitted() {
        in_child(|| {
            let before = caps();
            ok(prctl(PR_SET_KEEPCAPS, 1));
            ok(setresuid(1000, 1000, 1000));
            eq((caps().0, caps().1), (0, before.1));
            ok(set_caps(CHOWN, CHOWN, 0));
            eq(caps().0, CHOWN);
        });
    }
    fn capset_rules() {
        in_child(|| {
            ok(set_caps(CHOWN | SETUID, CHOWN | SETUID, 0));
            fails(EPERM, set_caps(KILL, CHOWN | SETUID, 0));
            fails(EPERM, set_caps(0, KILL, 0));
            ok(set_caps(0, CHOWN, CHOWN));
            eq(caps(), (0, CHOWN, CHOWN));
        });
    }
    fn root_above_is_mapped_only_with_setfcap() {
        let one = b"0 0 1\n";
        in_child(|| {
            let now = caps();
            ok(set_caps(now.0 & !SETFCAP, now.1, now.2));
            ok(unshare(CLONE_NEWUSER));
            let map = open(c"/proc/self/uid_map", O_WRONLY);
            fails(EPERM, write(map, one.as_ptr().cast(), one.len()));
        });
        in_child(|| {
            ok(unshare(CLONE_NEWUSER));
            put_fd(open(c"/proc/self/uid_map", O_WRONLY), one);
            eq(getuid(), 0);
        });
    }
    fn capget_versions_and_pids() {
        let mut head = [0x1234_u32, 0];
        fails(EINVAL, syscall(SYS_capget, head.as_mut_ptr(), [0_u32; 6].as_mut_ptr()));
        eq(head[0], 0x2008_0522);
        let head = [0x2008_0522_u32, 0x3fff_fff0];
        fails(ESRCH, syscall(SYS_capget, head.as_ptr(), [0_u32; 6].as_mut_ptr()));
    }
    fn lost_chown_capability_is_eperm() {
        put(c"f", b"");
        in_child(|| {
            let now = caps();
            ok(set_caps(now.0 & !CHOWN, now.1, now.2));
            fails(EPERM, chown(p(c"f"), 5, 5));
            ok(set_caps(now.0, now.1, now.2));
            ok(chown(p(c"f"), 5, 5));
        });
    }
    fn lost_dac_override_binds_root() {
        put(c"f", b"");
        ok(chmod(p(c"f"), 0));
        in_child(|| {
            let now = caps();
            let dac = 0b110;
            ok(set_caps(now.0 & !dac, now.1, now.2));
            fails(EACCES, try_open(c"f", O_RDONLY));
        });
    }
    fn bounding_set_can_only_shrink() {
        in_child(|| {
            ok_eq(prctl(PR_CAPBSET_READ, 0), 1);
            ok(prctl(PR_CAPBSET_DROP, 0));
            ok_eq(prctl(PR_CAPBSET_READ, 0), 0);
            fails(EINVAL, prctl(PR_CAPBSET_READ, 99));
            yes(!text(c"/proc/self/status").contains("CapBnd:\tffffffffffffffff"));
        });
    }
    fn ambient_needs_permitted_and_inheritable() {
        in_child(|| {
            fails(EPERM, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 5, 0, 0));
            let now = caps();
            ok(set_caps(now.0, now.1, KILL));
            ok(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 5, 0, 0));
            ok_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 5, 0, 0), 1);
            ok(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
            ok_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 5, 0, 0), 0);
        });
    }
    fn ambient_survives_exec_of_an_ordinary_user() {
        let (r, w) = pipe(O_CLOEXEC);
        let pid = spawn(|| {
            ok(prctl(PR_SET_KEEPCAPS, 1));
            ok(setresuid(1000, 1000, 1000));
            ok(set_caps(KILL, KILL, KILL));
            ok(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 5, 0, 0));
            dup2(w, 1);
            execv(p(c"/bin/grep"), [p(c"grep"), p(c"CapEff"), p(c"/proc/self/status"), null()].as_ptr());
            1
        });
        wait_exit(pid, 0);
        eq(get_fd(r, 99), b"CapEff:\t0000000000000020\n");
    }
    fn exec_as_root_regains_capabilities() {
        let (r, w) = pipe(O_CLOEXEC);
        let full = caps().1;
        let pid = spawn(|| {
            ok(set_caps(0, full, 0));
            dup2(w, 1);
            execv(p(c"/bin/grep"), [p(c"grep"), p(c"CapEff"), p(c"/proc/self/status"), null()].as_ptr());
            1
        });
        wait_exit(pid, 0);
        eq(get_fd(r, 99), format!("CapEff:\t{full:016x}\n").into_bytes());
    }
    fn status_shows_ids_and_groups() {
        in_child(|| {
            ok(setgroups(2, [7, 8].as_ptr()));
            ok(setresgid(4, 5, 6));
            ok(setresuid(1, 2, 3));
            let status = text(c"/proc/thread-self/status");
            yes(status.contains("Uid:\t1\t2\t3\t2\n") && status.contains("Gid:\t4\t5\t6\t5\n"));
            yes(status.contains("Groups:\t7 8 \n"));
        });
    }
    fn securebits_read_and_set() {
        in_child(|| {
            ok_eq(prctl(PR_GET_SECUREBITS), 0);
            ok(prctl(PR_SET_SECUREBITS, 1 << 2));
            let before = caps();
            ok(setresuid(1000, 1000, 1000));
            eq(caps().0, before.0);
            fails(EPERM, { ok(set_caps(0, 0, 0)); prctl(PR_SET_SECUREBITS, 0) });
        });
    }
    fn uid_minus_one_is_invalid() {
        fails(EINVAL, setuid(u32::MAX));
        fails(EINVAL, setgid(u32::MAX));
    }
    fn user_may_not_raise_priority_or_limits() {
        as_user(1000, 1000, || {
            fails(EACCES, setpriority(PRIO_PROCESS, 0, -5));
            fails(EPERM, sethostname(p(c"x"), 1));
            fails(EPERM, mount(p(c"none"), p(c"/tmp"), p(c"tmpfs"), 0, null()));
            fails(EPERM, unshare(CLONE_NEWNS));
            fails(EPERM, syscall(SYS_reboot, 0, 0, 0, 0));
        });
    }
}
