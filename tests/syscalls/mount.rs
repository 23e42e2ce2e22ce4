//! Mounts and mount name spaces; the other name spaces that a container's root may make.

use tests::prelude::*;

/// A mount name space of its own, and a tmpfs on ./m.
unsafe fn with_tmpfs(flags: u64) {
    ok(unshare(CLONE_NEWNS));
    ok(mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
    ok(mkdir(p(c"m"), 0o755));
    ok(mount(
        p(c"none"),
        p(c"m"),
        p(c"tmpfs"),
        flags,
        c"mode=755".as_ptr().cast(),
    ));
}

unsafe fn bind_mount(from: &CStr, to: &CStr) -> i32 {
    mount(p(from), p(to), null(), MS_BIND, null())
}

const SYS_STATMOUNT: i64 = 457;
const SYS_LISTMOUNT: i64 = 458;
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

unsafe fn mount_id(path: &CStr, mask: u32) -> u64 {
    let mut st: statx = zeroed();
    ok(libc::statx(AT_FDCWD, p(path), 0, mask, &mut st));
    eq(st.stx_mask & mask, mask);
    st.stx_mnt_id
}

/// `struct mnt_id_req`
fn request(id: u64, param: u64) -> [u64; 4] {
    [32, id, param, 0]
}

unsafe fn listmount(request: &[u64; 4], ids: &mut [u64], flags: u32) -> i64 {
    syscall(SYS_LISTMOUNT, request, ids.as_mut_ptr(), ids.len(), flags)
}

unsafe fn list(id: u64, after: u64, room: usize) -> Vec<u64> {
    let mut ids = vec![0; room];
    let n = ok(listmount(&request(id, after), &mut ids, 0));
    ids.truncate(n as usize);
    ids
}

unsafe fn statmount(request: &[u64; 4], out: &mut [u64; 512], len: usize) -> i64 {
    syscall(SYS_STATMOUNT, request, out.as_mut_ptr(), len, 0)
}

unsafe fn ns_number(name: &CStr) -> u64 {
    let mut st: libc::stat = zeroed();
    ok(libc::fstat(open(name, O_RDONLY), &mut st));
    st.st_ino
}

tests::cases! {
    fn tmpfs_hides_and_shows() {
        ok(unshare(CLONE_NEWNS));
        ok(mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
        ok(mkdir(p(c"m"), 0o755));
        put(c"m/below", b"x");
        ok(mount(p(c"none"), p(c"m"), p(c"tmpfs"), 0, null()));
        fails(ENOENT, access(p(c"m/below"), F_OK));
        put(c"m/above", b"y");
        ok(umount(p(c"m")));
        eq(get(c"m/below"), b"x");
        fails(ENOENT, access(p(c"m/above"), F_OK));
    }
    fn tmpfs_is_another_device() {
        with_tmpfs(0);
        yes(stat(c"m").st_dev != stat(c".").st_dev);
        put(c"m/f", b"");
        fails(EXDEV, rename(p(c"m/f"), p(c"f")));
        fails(EXDEV, link(p(c"m/f"), p(c"f")));
        let mut st: statfs = zeroed();
        ok(statfs(p(c"m"), &mut st));
        eq(st.f_type, TMPFS_MAGIC);
    }
    fn tmpfs_takes_mode_and_size() {
        ok(unshare(CLONE_NEWNS));
        ok(mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
        ok(mkdir(p(c"m"), 0o755));
        ok(mount(p(c"none"), p(c"m"), p(c"tmpfs"), 0, c"mode=1777,size=64k,uid=5".as_ptr().cast()));
        eq((stat(c"m").st_mode & 0o7777, stat(c"m").st_uid), (0o1777, 5));
        let fd = open(c"m/f", O_RDWR | O_CREAT);
        let mut sent = 0;
        while write(fd, [0_u8; 4096].as_ptr().cast(), 4096) == 4096 { sent += 1; }
        eq((errno(), sent), (ENOSPC, 16));
        fails(EINVAL, mount(p(c"none"), p(c"m"), p(c"tmpfs"), 0, c"nosuchoption=1".as_ptr().cast()));
    }
    fn busy_mount_needs_lazy_umount() {
        with_tmpfs(0);
        let fd = open(c"m/f", O_RDWR | O_CREAT);
        fails(EBUSY, umount(p(c"m")));
        ok(umount2(p(c"m"), MNT_DETACH));
        fails(ENOENT, access(p(c"m/f"), F_OK));
        put_fd(fd, b"still there");
    }
    fn what_a_namespace_got_from_more_rights_stays() {
        with_tmpfs(MS_NOSUID | MS_RDONLY);
        ok(mkdir(p(c"b"), 0o755));
        in_child(|| {
            ok(unshare(CLONE_NEWUSER | CLONE_NEWNS));
            fails(EINVAL, umount(p(c"m")));
            fails(EINVAL, umount2(p(c"m"), MNT_DETACH));
            fails(EINVAL, mount(p(c"m"), p(c"b"), null(), MS_MOVE, null()));
            // Neither restriction goes, nor do access times change; what it has already may be said again.
            fails(EPERM, mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_BIND | MS_NOSUID, null()));
            fails(EPERM, mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_BIND | MS_RDONLY, null()));
            fails(EPERM, mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOATIME, null()));
            ok(mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, null()));
            // A copy without the mount would show what is below it; one with it keeps it there.
            fails(EINVAL, bind_mount(c".", c"b"));
            ok(mount(p(c"."), p(c"b"), null(), MS_BIND | MS_REC, null()));
            fails(EINVAL, umount(p(c"b/m")));
            ok(umount2(p(c"b"), MNT_DETACH));
            // A copy of the mount alone is the caller's own, but for the restrictions.
            ok(bind_mount(c"m", c"b"));
            fails(EPERM, mount(p(c"none"), p(c"b"), null(), MS_REMOUNT | MS_BIND, null()));
            ok(umount(p(c"b")));
        });
        ok(umount(p(c"m")));
    }
    fn the_file_system_is_its_owners_to_remount() {
        with_tmpfs(0);
        in_child(|| {
            ok(unshare(CLONE_NEWUSER | CLONE_NEWNS));
            fails(EPERM, mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_RDONLY, null()));
            ok(mount(p(c"none"), p(c"m"), p(c"tmpfs"), 0, null()));
            ok(mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_RDONLY, null()));
        });
        put(c"m/f", b"");
    }
    fn a_new_proc_shows_no_more_than_the_old() {
        if text(c"/proc/self/mounts").lines().filter(|line| line.contains(" proc ")).count() != 1 {
            skip("more than one procfs");
        }
        ok(unshare(CLONE_NEWNS));
        ok(mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
        ok(mkdir(p(c"q"), 0o755));
        let within = |wanted: i32| in_child(|| {
            ok(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID));
            in_child(|| match wanted {
                0 => { ok(mount(p(c"proc"), p(c"q"), p(c"proc"), 0, null())); }
                wanted => {
                    fails(wanted, mount(p(c"proc"), p(c"q"), p(c"proc"), 0, null()));
                    fails(wanted, mount(p(c"proc"), p(c"q"), p(c"proc"), MS_RDONLY, null()));
                }
            });
        });
        within(0);
        ok(mount(p(c"none"), p(c"/proc/sys"), p(c"tmpfs"), 0, null()));
        within(EPERM);
    }
    fn umount_of_no_mount_is_einval() {
        ok(mkdir(p(c"d"), 0o755));
        fails(EINVAL, umount(p(c"d")));
        fails(ENOENT, umount(p(c"gone")));
        fails(EINVAL, umount2(p(c"d"), 0x4000_0000));
    }
    fn mount_errors() {
        ok(unshare(CLONE_NEWNS));
        fails(ENOENT, mount(p(c"none"), p(c"gone"), p(c"tmpfs"), 0, null()));
        ok(mkdir(p(c"d"), 0o755));
        fails(ENODEV, mount(p(c"none"), p(c"d"), p(c"nosuchfs"), 0, null()));
        put(c"f", b"");
        fails(ENOTDIR, mount(p(c"none"), p(c"f"), p(c"tmpfs"), 0, null()));
    }
    fn bind_shows_the_same_files() {
        with_tmpfs(0);
        put(c"m/f", b"x");
        ok(mkdir(p(c"b"), 0o755));
        ok(bind_mount(c"m", c"b"));
        eq(get(c"b/f"), b"x");
        put(c"b/f", b"new");
        eq(get(c"m/f"), b"new");
        eq(stat(c"b/f").st_ino, stat(c"m/f").st_ino);
    }
    fn bind_of_a_file() {
        with_tmpfs(0);
        put(c"m/f", b"bound");
        put(c"target", b"");
        ok(bind_mount(c"m/f", c"target"));
        eq(get(c"target"), b"bound");
        fails(EBUSY, unlink(p(c"target")));
        fails(ENOTDIR, bind_mount(c"m", c"target"));
        ok(umount(p(c"target")));
        eq(get(c"target"), b"");
    }
    fn read_only_mount_refuses_writes() {
        with_tmpfs(0);
        put(c"m/f", b"x");
        ok(mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_RDONLY, null()));
        fails(EROFS, try_open(c"m/f", O_WRONLY));
        fails(EROFS, try_open(c"m/new", O_RDWR | O_CREAT));
        fails(EROFS, mkdir(p(c"m/d"), 0o755));
        fails(EROFS, unlink(p(c"m/f")));
        fails(EROFS, chmod(p(c"m/f"), 0o600));
        fails(EROFS, access(p(c"m/f"), W_OK));
        eq(get(c"m/f"), b"x");
    }
    fn read_only_remount_with_open_writer_is_ebusy() {
        with_tmpfs(0);
        let _fd = open(c"m/f", O_RDWR | O_CREAT);
        fails(EBUSY, mount(p(c"none"), p(c"m"), null(), MS_REMOUNT | MS_RDONLY, null()));
    }
    fn read_only_bind_leaves_the_origin_writable() {
        with_tmpfs(0);
        put(c"m/f", b"x");
        ok(mkdir(p(c"b"), 0o755));
        ok(bind_mount(c"m", c"b"));
        ok(mount(p(c"none"), p(c"b"), null(), MS_REMOUNT | MS_BIND | MS_RDONLY, null()));
        fails(EROFS, try_open(c"b/f", O_WRONLY));
        put(c"m/f", b"y");
        eq(get(c"b/f"), b"y");
    }
    fn noexec_and_nodev() {
        with_tmpfs(MS_NOEXEC | MS_NODEV);
        put(c"m/sh", &std::fs::read("/bin/true").unwrap());
        ok(chmod(p(c"m/sh"), 0o755));
        fails(EACCES, execv(p(c"m/sh"), [p(c"x"), null()].as_ptr()));
        fails(EACCES, access(p(c"m/sh"), X_OK));
        ok(mknod(p(c"m/null"), S_IFCHR | 0o666, makedev(1, 3)));
        fails(EACCES, try_open(c"m/null", O_RDWR));
    }
    fn mounts_are_private_to_the_name_space() {
        ok(mkdir(p(c"m"), 0o755));
        in_child(|| {
            ok(unshare(CLONE_NEWNS));
            ok(mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
            ok(mount(p(c"none"), p(c"m"), p(c"tmpfs"), 0, null()));
            put(c"m/f", b"");
        });
        fails(ENOENT, access(p(c"m/f"), F_OK));
    }
    fn mounts_stack() {
        with_tmpfs(0);
        put(c"m/one", b"");
        ok(mount(p(c"none"), p(c"m"), p(c"tmpfs"), 0, null()));
        fails(ENOENT, access(p(c"m/one"), F_OK));
        ok(umount(p(c"m")));
        ok(access(p(c"m/one"), F_OK));
    }
    fn move_mount_moves() {
        with_tmpfs(0);
        put(c"m/f", b"x");
        ok(mkdir(p(c"to"), 0o755));
        ok(mount(p(c"m"), p(c"to"), null(), MS_MOVE, null()));
        eq(get(c"to/f"), b"x");
        fails(ENOENT, access(p(c"m/f"), F_OK));
    }
    fn dotdot_leaves_a_mount() {
        with_tmpfs(0);
        put(c"f", b"outside");
        ok(mkdir(p(c"m/d"), 0o755));
        eq(get(c"m/d/../../f"), b"outside");
    }
    fn mountinfo_shows_the_mount() {
        with_tmpfs(MS_NOSUID | MS_RDONLY);
        let at = std::env::current_dir().unwrap().join("m");
        let info = text(c"/proc/self/mountinfo");
        let line = info.lines().find(|l| l.split(' ').nth(4) == at.to_str()).unwrap();
        yes(line.contains(" ro,nosuid") && line.contains(" - tmpfs none "));
    }
    fn pivot_root_changes_the_root() {
        with_tmpfs(0);
        ok(mkdir(p(c"m/old"), 0o755));
        put(c"m/marker", b"");
        ok(syscall(SYS_pivot_root, p(c"m"), p(c"m/old")));
        ok(chdir(p(c"/")));
        ok(access(p(c"/marker"), F_OK));
        ok(access(p(c"/old/proc"), F_OK));
        ok(umount2(p(c"/old"), MNT_DETACH));
        fails(ENOENT, access(p(c"/old/proc"), F_OK));
    }
    fn uts_name_space_has_its_own_name() {
        let mut before: utsname = zeroed();
        ok(uname(&mut before));
        in_child(|| {
            ok(unshare(CLONE_NEWUTS));
            ok(sethostname(p(c"inner"), 5));
            let mut u: utsname = zeroed();
            ok(uname(&mut u));
            eq(CStr::from_ptr(u.nodename.as_ptr()), c"inner");
        });
        let mut after: utsname = zeroed();
        ok(uname(&mut after));
        eq(before.nodename, after.nodename);
    }
    fn pid_name_space_starts_at_one() {
        let word = shared(2);
        in_child(|| {
            ok(unshare(CLONE_NEWPID));
            let child = spawn(|| {
                word[0].store(getpid(), SeqCst);
                word[1].store(getppid(), SeqCst);
                0
            });
            yes(child > 1);
            wait_exit(child, 0);
        });
        eq((word[0].load(SeqCst), word[1].load(SeqCst)), (1, 0));
    }
    fn init_of_a_pid_name_space_takes_all_with_it() {
        let word = shared(1);
        in_child(|| {
            ok(unshare(CLONE_NEWPID));
            let init = spawn(|| {
                spawn(|| loop { word[0].fetch_add(1, SeqCst); sleep_ms(5); });
                sleep_ms(30);
                0
            });
            wait_exit(init, 0);
        });
        let seen = word[0].load(SeqCst);
        sleep_ms(40);
        eq(word[0].load(SeqCst), seen);
    }
    fn statx_gives_both_mount_numbers() {
        let (old, unique) = (mount_id(c".", STATX_MNT_ID), mount_id(c".", STATX_MNT_ID_UNIQUE));
        yes(unique > 1 << 31 && unique != old);
        eq(unique, mount_id(c".", STATX_MNT_ID_UNIQUE));
    }
    fn listmount_finds_what_is_below() {
        with_tmpfs(0);
        let (top, tmpfs) = (mount_id(c".", STATX_MNT_ID_UNIQUE), mount_id(c"m", STATX_MNT_ID_UNIQUE));
        yes(list(top, 0, 64).contains(&tmpfs));
        yes(list(u64::MAX, 0, 256).contains(&tmpfs));
        eq(list(tmpfs, 0, 8), []);
        ok(mkdir(p(c"m/d"), 0o755));
        ok(mount(p(c"none"), p(c"m/d"), p(c"tmpfs"), 0, null()));
        let deeper = mount_id(c"m/d", STATX_MNT_ID_UNIQUE);
        eq(list(tmpfs, 0, 8), [deeper]);
        eq(list(tmpfs, deeper, 8), []);
        let mut ids = [0_u64; 8];
        fails(ENOENT, listmount(&request(tmpfs + 1000, 0), &mut ids, 0));
        fails(EINVAL, listmount(&request(5, 0), &mut ids, 0));
        fails(EINVAL, listmount(&request(tmpfs, 0), &mut ids, 2));
        fails(EINVAL, listmount(&[8, tmpfs, 0, 0], &mut ids, 0));
    }
    fn statmount_describes_a_mount() {
        const ASKED: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20;
        with_tmpfs(MS_NOSUID);
        let tmpfs = mount_id(c"m", STATX_MNT_ID_UNIQUE);
        let mut out = [0_u64; 512];
        ok(statmount(&request(tmpfs, ASKED), &mut out, 4096));
        let bytes: Vec<u8> = out.iter().flat_map(|w| w.to_le_bytes()).collect();
        let string = |half: u64| {
            let text = &bytes[512 + half as usize..];
            String::from_utf8_lossy(&text[..text.iter().position(|&b| b == 0).unwrap()]).into_owned()
        };
        eq(out[1] & ASKED, ASKED);
        eq(out[3], 0x0102_1994);
        eq(string(out[4] >> 32), "tmpfs");
        eq(out[5], tmpfs);
        eq(out[6], mount_id(c".", STATX_MNT_ID_UNIQUE));
        eq(out[8] & 2, 2);
        eq(string(out[13] & 0xffff_ffff), "/");
        yes(string(out[13] >> 32).ends_with("/m"));
        fails(EOVERFLOW, statmount(&request(tmpfs, ASKED), &mut out, 513));
        ok(statmount(&request(tmpfs, 0x2), &mut out, 48));
        fails(ENOENT, statmount(&request(tmpfs + 1000, 2), &mut out, 4096));
        fails(EFAULT, syscall(SYS_STATMOUNT, &request(tmpfs, 2), 8, 4096, 0));
    }
    fn ipc_name_space_hides_keys() {
        let id = ok(shmget(getpid(), 4096, IPC_CREAT | 0o600));
        in_child(|| {
            ok(unshare(CLONE_NEWIPC));
            fails(ENOENT, shmget(getppid(), 4096, 0));
            fails(EINVAL, shmctl(id, IPC_STAT, &mut zeroed()));
        });
        ok(shmctl(id, IPC_RMID, null_mut()));
    }
    fn name_spaces_have_numbers_and_owners() {
        const NS_GET_USERNS: u64 = 0xb701;
        const NS_GET_PARENT: u64 = 0xb702;
        const NS_GET_NSTYPE: u64 = 0xb703;
        for (name, flag) in [(c"/proc/self/ns/ipc", CLONE_NEWIPC), (c"/proc/self/ns/cgroup", CLONE_NEWCGROUP)] {
            let old = open(name, O_RDONLY);
            ok_eq(ioctl(old, NS_GET_NSTYPE), flag);
            let number = ns_number(name);
            in_child(|| {
                ok(unshare(flag));
                yes(ns_number(name) != number);
                ok(setns(old, 0));
                eq(ns_number(name), number);
            });
            let owner = ok(ioctl(old, NS_GET_USERNS));
            ok_eq(ioctl(owner, NS_GET_NSTYPE), CLONE_NEWUSER);
            fails(EINVAL, ioctl(old, NS_GET_PARENT));
        }
        in_child(|| {
            ok(unshare(CLONE_NEWUSER));
            let parent = ioctl(open(c"/proc/self/ns/user", O_RDONLY), NS_GET_PARENT);
            fails(EPERM, parent);
        });
    }
    fn user_name_space_maps_ids() {
        as_user(1000, 1000, || {
            ok(prctl(PR_SET_DUMPABLE, 1));
            ok(unshare(CLONE_NEWUSER));
            eq(getuid(), 65534);
            put_fd(open(c"/proc/self/uid_map", O_WRONLY), b"0 1000 1\n");
            eq((getuid(), geteuid()), (0, 0));
            ok(unshare(CLONE_NEWUTS));
            ok(sethostname(p(c"mine"), 4));
        });
    }
}
