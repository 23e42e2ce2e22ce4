//! Attributes: stat, statx, statfs, times, extended attributes.

use tests::prelude::*;

unsafe fn try_statx(path: &CStr, flags: i32, mask: u32) -> statx {
    let mut st: statx = zeroed();
    ok(libc::statx(AT_FDCWD, p(path), flags, mask, &mut st));
    st
}

fn ts(sec: i64, nsec: i64) -> timespec {
    timespec {
        tv_sec: sec,
        tv_nsec: nsec,
    }
}

tests::cases! {
    fn stat_of_a_file() {
        put(c"f", b"abc");
        let st = stat(c"f");
        eq((st.st_size, st.st_nlink, st.st_uid, st.st_gid), (3, 1, 0, 0));
        eq(st.st_mode, S_IFREG | 0o644);
        yes(st.st_blksize >= 512);
        yes(st.st_ino != 0);
    }
    fn stat_follows_and_lstat_does_not() {
        put(c"f", b"abc");
        ok(symlink(p(c"f"), p(c"l")));
        let mut st: libc::stat = zeroed();
        ok(libc::stat(p(c"l"), &mut st));
        eq(st.st_ino, stat(c"f").st_ino);
        yes(stat(c"l").st_ino != st.st_ino);
    }
    fn fstatat_flags() {
        put(c"f", b"abc");
        let fd = open(c"f", O_RDONLY);
        let mut st: libc::stat = zeroed();
        ok(fstatat(fd, p(c""), &mut st, AT_EMPTY_PATH));
        eq(st.st_size, 3);
        fails(ENOENT, fstatat(fd, p(c""), &mut st, 0));
        fails(EINVAL, fstatat(AT_FDCWD, p(c"f"), &mut st, 0x4000_0000));
        fails(EFAULT, syscall(SYS_newfstatat, AT_FDCWD, p(c"f"), 8, 0));
    }
    fn device_numbers_of_dev_null() {
        let st = stat(c"/dev/null");
        eq(st.st_mode & S_IFMT, S_IFCHR);
        eq((major(st.st_rdev), minor(st.st_rdev)), (1, 3));
    }
    fn statx_matches_stat() {
        put(c"f", b"abc");
        let (x, st) = (try_statx(c"f", 0, STATX_BASIC_STATS), stat(c"f"));
        eq(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
        eq((x.stx_size, x.stx_ino, u32::from(x.stx_mode)), (3, st.st_ino, st.st_mode));
        eq(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
        eq(x.stx_mtime.tv_sec, st.st_mtime);
    }
    fn statx_errors() {
        let mut st: statx = zeroed();
        fails(EINVAL, libc::statx(AT_FDCWD, p(c"."), 0, 0x8000_0000_u32, &mut st));
        fails(EINVAL, libc::statx(AT_FDCWD, p(c"."), AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &mut st));
        fails(ENOENT, libc::statx(AT_FDCWD, p(c"gone"), 0, 0, &mut st));
    }
    fn utimensat_sets_nanoseconds() {
        put(c"f", b"");
        ok(utimensat(AT_FDCWD, p(c"f"), [ts(11, 22), ts(33, 44)].as_ptr(), 0));
        let st = stat(c"f");
        eq((st.st_atime, st.st_atime_nsec, st.st_mtime, st.st_mtime_nsec), (11, 22, 33, 44));
    }
    fn utimensat_omit_and_now() {
        put(c"f", b"");
        ok(utimensat(AT_FDCWD, p(c"f"), [ts(11, 22), ts(33, 44)].as_ptr(), 0));
        ok(utimensat(AT_FDCWD, p(c"f"), [ts(0, UTIME_OMIT), ts(0, UTIME_NOW)].as_ptr(), 0));
        let st = stat(c"f");
        eq(st.st_atime, 11);
        yes((st.st_mtime - time(null_mut())).abs() < 5);
    }
    fn utimensat_on_link_and_errors() {
        ok(symlink(p(c"gone"), p(c"l")));
        ok(utimensat(AT_FDCWD, p(c"l"), [ts(11, 0), ts(33, 0)].as_ptr(), AT_SYMLINK_NOFOLLOW));
        eq(stat(c"l").st_mtime, 33);
        put(c"f", b"");
        fails(EINVAL, utimensat(AT_FDCWD, p(c"f"), [ts(0, 1_000_000_000), ts(0, 0)].as_ptr(), 0));
        fails(ENOENT, utimensat(AT_FDCWD, p(c"gone"), null(), 0));
    }
    fn utimes_rights() {
        put(c"f", b"");
        ok(chmod(p(c"f"), 0o666));
        as_user(1000, 1000, || {
            fails(EPERM, utimensat(AT_FDCWD, p(c"f"), [ts(1, 0), ts(1, 0)].as_ptr(), 0));
            ok(utimensat(AT_FDCWD, p(c"f"), null(), 0));
        });
        ok(chmod(p(c"f"), 0o600));
        as_user(1000, 1000, || fails(EACCES, utimensat(AT_FDCWD, p(c"f"), null(), 0)));
    }
    fn futimens_on_fd() {
        let fd = open(c"f", O_RDONLY | O_CREAT);
        ok(futimens(fd, [ts(5, 6), ts(7, 8)].as_ptr()));
        eq(fstat(fd).st_mtime_nsec, 8);
    }
    fn ctime_changes_with_chmod() {
        put(c"f", b"");
        let before = stat(c"f");
        sleep_ms(20);
        ok(chmod(p(c"f"), 0o600));
        let after = stat(c"f");
        yes((after.st_ctime, after.st_ctime_nsec) > (before.st_ctime, before.st_ctime_nsec));
        eq((after.st_mtime, after.st_mtime_nsec), (before.st_mtime, before.st_mtime_nsec));
    }
    fn statfs_has_plausible_numbers() {
        let mut st: statfs = zeroed();
        ok(statfs(p(c"."), &mut st));
        yes(st.f_bsize >= 512 && st.f_namelen == 255 && st.f_blocks > 0);
        ok(statfs(p(c"/proc"), &mut st));
        eq(st.f_type, PROC_SUPER_MAGIC);
        fails(ENOENT, statfs(p(c"gone"), &mut st));
        fails(EBADF, fstatfs(999, &mut st));
    }
    fn xattr_set_get_list_remove() {
        put(c"f", b"");
        ok(setxattr(p(c"f"), p(c"user.a"), c"value".as_ptr().cast(), 5, 0));
        let mut b = [0_u8; 16];
        ok_eq(getxattr(p(c"f"), p(c"user.a"), b.as_mut_ptr().cast(), 16), 5);
        eq(&b[..5], b"value");
        ok_eq(getxattr(p(c"f"), p(c"user.a"), null_mut(), 0), 5);
        fails(ERANGE, getxattr(p(c"f"), p(c"user.a"), b.as_mut_ptr().cast(), 2));
        ok_eq(listxattr(p(c"f"), b.as_mut_ptr().cast(), 16), 7);
        eq(&b[..7], b"user.a\0");
        ok(removexattr(p(c"f"), p(c"user.a")));
        fails(ENODATA, getxattr(p(c"f"), p(c"user.a"), null_mut(), 0));
    }
    fn xattr_create_and_replace() {
        put(c"f", b"");
        fails(ENODATA, setxattr(p(c"f"), p(c"user.a"), null(), 0, XATTR_REPLACE));
        ok(setxattr(p(c"f"), p(c"user.a"), null(), 0, XATTR_CREATE));
        fails(EEXIST, setxattr(p(c"f"), p(c"user.a"), null(), 0, XATTR_CREATE));
        fails(EINVAL, setxattr(p(c"f"), p(c"user.a"), null(), 0, 4));
    }
    fn xattr_names_are_checked() {
        put(c"f", b"");
        fails(EOPNOTSUPP, setxattr(p(c"f"), p(c"nosuchspace.a"), null(), 0, 0));
        fails(ERANGE, setxattr(p(c"f"), p(c""), null(), 0, 0));
        fails(ENODATA, removexattr(p(c"f"), p(c"user.gone")));
    }
    fn user_xattr_on_symlink_is_eperm() {
        ok(symlink(p(c"gone"), p(c"l")));
        fails(EPERM, lsetxattr(p(c"l"), p(c"user.a"), null(), 0, 0));
    }
    fn xattr_rights() {
        put(c"f", b"");
        ok(setxattr(p(c"f"), p(c"user.a"), c"v".as_ptr().cast(), 1, 0));
        as_user(1000, 1000, || {
            ok_eq(getxattr(p(c"f"), p(c"user.a"), null_mut(), 0), 1);
            fails(EACCES, setxattr(p(c"f"), p(c"user.a"), null(), 0, 0));
        });
    }
    fn trusted_xattr_is_hidden_from_users() {
        put(c"f", b"");
        ok(setxattr(p(c"f"), p(c"trusted.a"), c"v".as_ptr().cast(), 1, 0));
        as_user(1000, 1000, || {
            fails(ENODATA, getxattr(p(c"f"), p(c"trusted.a"), null_mut(), 0));
            fails(EPERM, setxattr(p(c"f"), p(c"trusted.a"), null(), 0, 0));
        });
    }
    fn directory_link_count_and_size() {
        ok(mkdir(p(c"d"), 0o755));
        yes(stat(c"d").st_nlink >= 1);
        eq(stat(c"d").st_mode & S_IFMT, S_IFDIR);
    }
    fn inodes_differ_and_last() {
        put(c"a", b"");
        put(c"b", b"");
        yes(stat(c"a").st_ino != stat(c"b").st_ino);
        let ino = stat(c"a").st_ino;
        put(c"a", b"more");
        eq(stat(c"a").st_ino, ino);
        eq(fstat(open(c"a", O_RDONLY)).st_ino, ino);
    }
    fn atime_needs_no_second_thought_when_noatime() {
        put(c"f", b"abc");
        ok(utimensat(AT_FDCWD, p(c"f"), [ts(1, 0), ts(1, 0)].as_ptr(), 0));
        get_fd(open(c"f", O_RDONLY | O_NOATIME), 3);
        eq(stat(c"f").st_atime, 1);
    }
}
