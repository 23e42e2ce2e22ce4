//! Permission checks, ownership, modes, as root and as others.

use tests::prelude::*;

const USER: u32 = 1000;
const OTHER: u32 = 1001;

/// A file with this owner and mode.
unsafe fn file(path: &CStr, uid: u32, gid: u32, mode: u32) {
    put(path, b"data");
    ok(chown(p(path), uid, gid));
    ok(chmod(p(path), mode));
}

tests::cases! {
    fn owner_bits_bind_the_owner() {
        file(c"f", USER, USER, 0o077);
        as_user(USER, OTHER, || fails(EACCES, try_open(c"f", O_RDONLY)));
    }
    fn group_bits_bind_the_group() {
        file(c"f", 0, USER, 0o707);
        as_user(OTHER, USER, || fails(EACCES, try_open(c"f", O_RDONLY)));
    }
    fn supplementary_group_counts() {
        file(c"f", 0, 77, 0o040);
        in_child(|| {
            ok(setgroups(1, &77));
            ok(setresgid(OTHER, OTHER, OTHER));
            ok(setresuid(OTHER, OTHER, OTHER));
            close(open(c"f", O_RDONLY));
            fails(EACCES, try_open(c"f", O_WRONLY));
        });
    }
    fn other_bits_bind_the_rest() {
        file(c"f", 0, 0, 0o604);
        as_user(USER, USER, || {
            close(open(c"f", O_RDONLY));
            fails(EACCES, try_open(c"f", O_RDWR));
        });
    }
    fn root_reads_and_writes_everything() {
        file(c"f", USER, USER, 0);
        close(open(c"f", O_RDWR));
    }
    fn directory_without_search_hides_names() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"");
        ok(chmod(p(c"d"), 0o644));
        as_user(USER, USER, || {
            fails(EACCES, try_open(c"d/f", O_RDONLY));
            fails(EACCES, access(p(c"d/gone"), F_OK));
            close(open(c"d", O_RDONLY));
        });
    }
    fn directory_without_read_still_resolves() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"x");
        ok(chmod(p(c"d"), 0o711));
        as_user(USER, USER, || {
            eq(get(c"d/f"), b"x");
            fails(EACCES, try_open(c"d", O_RDONLY));
        });
    }
    fn creating_needs_write_on_directory() {
        as_user(USER, USER, || {
            fails(EACCES, try_open(c"new", O_CREAT | O_RDWR));
            fails(EACCES, mkdir(p(c"new"), 0o755));
            fails(EACCES, symlink(p(c"x"), p(c"new")));
        });
    }
    fn unlink_needs_write_on_directory_not_on_file() {
        ok(mkdir(p(c"d"), 0o755));
        file(c"d/f", 0, 0, 0o600);
        as_user(USER, USER, || fails(EACCES, unlink(p(c"d/f"))));
        ok(chown(p(c"d"), USER, USER));
        as_user(USER, USER, || assert!(ok(unlink(p(c"d/f"))) == 0));
    }
    fn sticky_directory_protects_others_files() {
        ok(mkdir(p(c"d"), 0o755));
        ok(chmod(p(c"d"), 0o1777));
        file(c"d/f", USER, USER, 0o666);
        as_user(OTHER, OTHER, || {
            fails(EPERM, unlink(p(c"d/f")));
            fails(EPERM, rename(p(c"d/f"), p(c"d/g")));
        });
        as_user(USER, USER, || assert!(ok(unlink(p(c"d/f"))) == 0));
    }
    fn access_uses_real_ids() {
        file(c"f", 0, 0, 0o600);
        in_child(|| {
            ok(setresuid(USER, 0, 0));
            fails(EACCES, access(p(c"f"), R_OK));
            ok(faccessat(AT_FDCWD, p(c"f"), R_OK, AT_EACCESS));
        });
    }
    fn access_checks_each_bit() {
        file(c"f", 0, 0, 0o640);
        ok(access(p(c"f"), R_OK | W_OK));
        fails(EACCES, access(p(c"f"), X_OK));
        fails(EINVAL, access(p(c"f"), 64));
    }
    fn chmod_by_stranger_is_eperm() {
        file(c"f", USER, USER, 0o644);
        as_user(OTHER, OTHER, || {
            fails(EPERM, chmod(p(c"f"), 0o777));
            fails(EPERM, fchmodat(AT_FDCWD, p(c"f"), 0o777, 0));
        });
    }
    fn chmod_by_owner_in_foreign_group_drops_setgid() {
        file(c"f", USER, 0, 0o644);
        as_user(USER, USER, || {
            ok(chmod(p(c"f"), 0o2755));
        });
        eq(stat(c"f").st_mode & 0o7777, 0o755);
    }
    fn chown_by_user_is_eperm() {
        file(c"f", USER, USER, 0o644);
        as_user(USER, USER, || {
            fails(EPERM, chown(p(c"f"), OTHER, u32::MAX));
            fails(EPERM, chown(p(c"f"), u32::MAX, OTHER));
            ok(chown(p(c"f"), USER, USER));
        });
    }
    fn chown_to_own_supplementary_group() {
        file(c"f", USER, USER, 0o644);
        in_child(|| {
            ok(setgroups(1, &77));
            ok(setresgid(USER, USER, USER));
            ok(setresuid(USER, USER, USER));
            ok(chown(p(c"f"), u32::MAX, 77));
        });
        eq(stat(c"f").st_gid, 77);
    }
    fn chown_clears_setuid_bits() {
        file(c"f", 0, 0, 0o6755);
        ok(chown(p(c"f"), USER, USER));
        eq(stat(c"f").st_mode & 0o7777, 0o755);
    }
    fn chown_minus_one_changes_nothing() {
        file(c"f", USER, OTHER, 0o644);
        ok(chown(p(c"f"), u32::MAX, u32::MAX));
        eq((stat(c"f").st_uid, stat(c"f").st_gid), (USER, OTHER));
    }
    fn lchown_changes_the_link() {
        file(c"f", 0, 0, 0o644);
        ok(symlink(p(c"f"), p(c"l")));
        ok(lchown(p(c"l"), USER, USER));
        eq(stat(c"l").st_uid, USER);
        eq(stat(c"f").st_uid, 0);
    }
    fn new_files_take_effective_ids() {
        ok(chmod(p(c"."), 0o777));
        as_user(USER, OTHER, || put(c"f", b""));
        eq((stat(c"f").st_uid, stat(c"f").st_gid), (USER, OTHER));
    }
    fn setgid_directory_passes_its_group_on() {
        ok(mkdir(p(c"d"), 0o755));
        ok(chown(p(c"d"), 0, 77));
        ok(chmod(p(c"d"), 0o2777));
        as_user(USER, USER, || {
            put(c"d/f", b"");
            ok(mkdir(p(c"d/e"), 0o755));
        });
        eq(stat(c"d/f").st_gid, 77);
        eq(stat(c"d/e").st_gid, 77);
        eq(stat(c"d/e").st_mode & 0o7777, 0o2755);
    }
    fn setfsuid_decides_file_access() {
        file(c"f", 0, 0, 0o600);
        in_child(|| {
            eq(setfsuid(USER), 0);
            fails(EACCES, try_open(c"f", O_RDONLY));
            eq(setfsuid(0), USER as i32);
            close(open(c"f", O_RDONLY));
        });
    }
    fn umask_masks_and_returns_old() {
        eq(umask(0o077), 0o022);
        eq(umask(0o7777), 0o077);
        eq(umask(0), 0o777);
    }
    fn execute_needs_a_bit_even_for_root() {
        file(c"f", 0, 0, 0o644);
        fails(EACCES, execv(p(c"f"), [p(c"f"), null()].as_ptr()));
    }
    fn trunc_needs_write_permission() {
        file(c"f", 0, 0, 0o644);
        as_user(USER, USER, || {
            fails(EACCES, truncate(p(c"f"), 0));
            fails(EACCES, try_open(c"f", O_RDONLY | O_TRUNC));
        });
        eq(stat(c"f").st_size, 4);
    }
    fn fd_keeps_its_rights_after_chmod() {
        file(c"f", USER, USER, 0o644);
        as_user(USER, USER, || {
            let fd = open(c"f", O_RDWR);
            ok(chmod(p(c"f"), 0));
            put_fd(fd, b"x");
        });
    }
    fn noatime_by_stranger_is_eperm() {
        file(c"f", 0, 0, 0o644);
        as_user(USER, USER, || fails(EPERM, try_open(c"f", O_RDONLY | O_NOATIME)));
    }
    fn mknod_device_by_user_is_eperm() {
        ok(chmod(p(c"."), 0o777));
        as_user(USER, USER, || {
            fails(EPERM, mknod(p(c"n"), S_IFCHR | 0o600, makedev(1, 3)));
            ok(mkfifo(p(c"q"), 0o600));
        });
    }
    fn chroot_by_user_is_eperm() {
        as_user(USER, USER, || fails(EPERM, chroot(p(c"."))));
    }
    fn chdir_needs_search() {
        ok(mkdir(p(c"d"), 0o700));
        as_user(USER, USER, || fails(EACCES, chdir(p(c"d"))));
    }
    fn fchmodat2_changes_no_link() {
        ok(symlink(p(c"gone"), p(c"l")));
        fails(EOPNOTSUPP, syscall(452, AT_FDCWD, p(c"l"), 0o600, AT_SYMLINK_NOFOLLOW));
    }
}
