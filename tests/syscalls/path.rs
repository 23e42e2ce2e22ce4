//! Names: rename, link, symlink, unlink, path walks and their errors.

use tests::prelude::*;

unsafe fn renameat2(from: &CStr, to: &CStr, flags: u32) -> i64 {
    syscall(SYS_renameat2, AT_FDCWD, p(from), AT_FDCWD, p(to), flags)
}

tests::cases! {
    fn rename_replaces_target() {
        put(c"a", b"A");
        put(c"b", b"B");
        ok(rename(p(c"a"), p(c"b")));
        eq(get(c"b"), b"A");
        fails(ENOENT, access(p(c"a"), F_OK));
    }
    fn rename_keeps_inode() {
        put(c"a", b"A");
        let ino = stat(c"a").st_ino;
        ok(rename(p(c"a"), p(c"b")));
        eq(stat(c"b").st_ino, ino);
    }
    fn rename_open_target_stays_readable() {
        put(c"a", b"A");
        put(c"b", b"B");
        let fd = open(c"b", O_RDONLY);
        ok(rename(p(c"a"), p(c"b")));
        eq(get_fd(fd, 2), b"B");
    }
    fn rename_missing_is_enoent() {
        fails(ENOENT, rename(p(c"a"), p(c"b")));
    }
    fn rename_dir_over_file_is_enotdir() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"f", b"");
        fails(ENOTDIR, rename(p(c"d"), p(c"f")));
    }
    fn rename_file_over_dir_is_eisdir() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"f", b"");
        fails(EISDIR, rename(p(c"f"), p(c"d")));
    }
    fn rename_over_full_dir_is_enotempty() {
        ok(mkdir(p(c"a"), 0o755));
        ok(mkdir(p(c"b"), 0o755));
        put(c"b/f", b"");
        fails(ENOTEMPTY, rename(p(c"a"), p(c"b")));
    }
    fn rename_over_empty_dir_works() {
        ok(mkdir(p(c"a"), 0o755));
        put(c"a/f", b"x");
        ok(mkdir(p(c"b"), 0o755));
        ok(rename(p(c"a"), p(c"b")));
        eq(get(c"b/f"), b"x");
    }
    fn rename_into_own_child_is_einval() {
        ok(mkdir(p(c"a"), 0o755));
        fails(EINVAL, rename(p(c"a"), p(c"a/b")));
    }
    fn rename_dot_is_ebusy() {
        ok(mkdir(p(c"a"), 0o755));
        fails(EBUSY, rename(p(c"a/."), p(c"b")));
        fails(EBUSY, rename(p(c"a"), p(c"..")));
    }
    fn rename_between_links_of_one_file_does_nothing() {
        put(c"a", b"A");
        ok(link(p(c"a"), p(c"b")));
        ok(rename(p(c"a"), p(c"b")));
        ok(access(p(c"a"), F_OK));
        eq(stat(c"b").st_nlink, 2);
    }
    fn rename_dir_updates_parent_links() {
        ok(mkdir(p(c"a"), 0o755));
        ok(mkdir(p(c"a/d"), 0o755));
        ok(mkdir(p(c"b"), 0o755));
        put(c"b/f", b"x");
        ok(rename(p(c"a/d"), p(c"b/d")));
        ok(chdir(p(c"b/d")));
        eq(get(c"../f"), b"x");
    }
    fn renameat2_noreplace() {
        put(c"a", b"A");
        put(c"b", b"B");
        fails(EEXIST, renameat2(c"a", c"b", RENAME_NOREPLACE));
        ok(renameat2(c"a", c"c", RENAME_NOREPLACE));
        eq(get(c"c"), b"A");
    }
    fn renameat2_exchange() {
        put(c"a", b"A");
        ok(mkdir(p(c"d"), 0o755));
        ok(renameat2(c"a", c"d", RENAME_EXCHANGE));
        eq(get(c"d"), b"A");
        eq(stat(c"a").st_mode & S_IFMT, S_IFDIR);
        fails(ENOENT, renameat2(c"a", c"gone", RENAME_EXCHANGE));
    }
    fn renameat2_bad_flags() {
        put(c"a", b"A");
        fails(EINVAL, renameat2(c"a", c"b", RENAME_NOREPLACE | RENAME_EXCHANGE));
        fails(EINVAL, renameat2(c"a", c"b", 1 << 20));
    }
    fn link_counts_and_shares_data() {
        put(c"a", b"A");
        ok(link(p(c"a"), p(c"b")));
        eq(stat(c"a").st_nlink, 2);
        eq(stat(c"a").st_ino, stat(c"b").st_ino);
        put(c"b", b"new");
        eq(get(c"a"), b"new");
        ok(unlink(p(c"a")));
        eq(stat(c"b").st_nlink, 1);
    }
    fn link_errors() {
        put(c"a", b"A");
        put(c"b", b"B");
        ok(mkdir(p(c"d"), 0o755));
        fails(EEXIST, link(p(c"a"), p(c"b")));
        fails(EPERM, link(p(c"d"), p(c"e")));
        fails(ENOENT, link(p(c"gone"), p(c"e")));
        fails(ENOTDIR, link(p(c"a"), p(c"b/x")));
    }
    fn link_does_not_follow_unless_asked() {
        put(c"a", b"A");
        ok(symlink(p(c"a"), p(c"l")));
        ok(link(p(c"l"), p(c"m")));
        eq(stat(c"m").st_mode & S_IFMT, S_IFLNK);
        ok(linkat(AT_FDCWD, p(c"l"), AT_FDCWD, p(c"n"), AT_SYMLINK_FOLLOW));
        eq(stat(c"n").st_ino, stat(c"a").st_ino);
    }
    fn linkat_empty_path_from_fd() {
        put(c"a", b"A");
        let fd = open(c"a", O_RDONLY);
        ok(linkat(fd, p(c""), AT_FDCWD, p(c"b"), AT_EMPTY_PATH));
        eq(stat(c"a").st_nlink, 2);
    }
    fn symlink_holds_its_text() {
        ok(symlink(p(c"some/text"), p(c"l")));
        let mut b = [0_u8; 4];
        ok_eq(readlink(p(c"l"), b.as_mut_ptr().cast(), 4), 4);
        eq(&b, b"some");
        let st = stat(c"l");
        eq(st.st_size, 9);
        eq(st.st_mode, S_IFLNK | 0o777);
    }
    fn symlink_errors() {
        put(c"f", b"");
        fails(EEXIST, symlink(p(c"x"), p(c"f")));
        fails(ENOENT, symlink(p(c""), p(c"l")));
        fails(EINVAL, readlink(p(c"f"), [0 as c_char; 4].as_mut_ptr(), 4));
        fails(EINVAL, readlink(p(c"f"), [0 as c_char; 4].as_mut_ptr(), 0));
    }
    fn symlink_is_relative_to_its_directory() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"x");
        ok(symlink(p(c"f"), p(c"d/l")));
        eq(get(c"d/l"), b"x");
    }
    fn symlink_loop_is_eloop() {
        ok(symlink(p(c"b"), p(c"a")));
        ok(symlink(p(c"a"), p(c"b")));
        fails(ELOOP, try_open(c"a", O_RDONLY));
        fails(ELOOP, access(p(c"a/x"), F_OK));
    }
    fn forty_symlinks_pass_forty_one_do_not() {
        put(c"l0", b"x");
        for n in 1..=41 {
            let (to, from) = (format!("l{}\0", n - 1), format!("l{n}\0"));
            ok(symlink(to.as_ptr().cast(), from.as_ptr().cast()));
        }
        eq(get(c"l40"), b"x");
        fails(ELOOP, try_open(c"l41", O_RDONLY));
    }
    fn name_of_255_passes_256_does_not() {
        let name = format!("{}\0", "n".repeat(255));
        close(ok(libc::open(name.as_ptr().cast(), O_CREAT | O_RDWR, 0o644)));
        let name = format!("{}\0", "n".repeat(256));
        fails(ENAMETOOLONG, libc::open(name.as_ptr().cast(), O_CREAT | O_RDWR, 0o644));
    }
    fn path_of_4096_is_too_long() {
        let path = format!("{}f\0", "./".repeat(2048));
        fails(ENAMETOOLONG, libc::open(path.as_ptr().cast(), O_RDONLY));
        put(c"f", b"");
        let path = format!("{}f\0", "./".repeat(2047));
        close(ok(libc::open(path.as_ptr().cast(), O_RDONLY)));
    }
    fn slashes_and_dots_collapse() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"x");
        eq(get(c".//d/.././d///f"), b"x");
    }
    fn dotdot_of_root_is_root() {
        eq(stat(c"/..").st_ino, stat(c"/").st_ino);
    }
    fn dotdot_follows_the_link_target() {
        ok(mkdir(p(c"a"), 0o755));
        ok(mkdir(p(c"a/b"), 0o755));
        put(c"a/f", b"x");
        ok(symlink(p(c"a/b"), p(c"l")));
        eq(get(c"l/../f"), b"x");
    }
    fn unlink_errors() {
        ok(mkdir(p(c"d"), 0o755));
        fails(EISDIR, unlink(p(c"d")));
        fails(ENOENT, unlink(p(c"gone")));
        put(c"f", b"");
        fails(ENOTDIR, unlink(p(c"f/")));
        fails(EINVAL, unlinkat(AT_FDCWD, p(c"f"), 0x4000_0000));
    }
    fn unlink_removes_link_not_target() {
        put(c"f", b"x");
        ok(symlink(p(c"f"), p(c"l")));
        ok(unlink(p(c"l")));
        eq(get(c"f"), b"x");
    }
    fn rmdir_errors() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"");
        fails(ENOTEMPTY, rmdir(p(c"d")));
        fails(ENOTDIR, rmdir(p(c"d/f")));
        fails(EINVAL, rmdir(p(c"d/.")));
        fails(ENOTEMPTY, rmdir(p(c"d/..")));
        fails(ENOENT, rmdir(p(c"gone")));
    }
    fn rmdir_by_unlinkat() {
        ok(mkdir(p(c"d"), 0o755));
        ok(unlinkat(AT_FDCWD, p(c"d"), AT_REMOVEDIR));
        fails(ENOENT, access(p(c"d"), F_OK));
    }
    fn mkdir_errors() {
        put(c"f", b"");
        fails(EEXIST, mkdir(p(c"f"), 0o755));
        fails(EEXIST, mkdir(p(c"/"), 0o755));
        fails(ENOENT, mkdir(p(c"a/b"), 0o755));
        fails(ENOTDIR, mkdir(p(c"f/b"), 0o755));
    }
    fn mkdir_counts_links_and_takes_trailing_slash() {
        ok(mkdir(p(c"d/"), 0o777));
        ok(mkdir(p(c"d/e"), 0o777));
        eq(stat(c"d").st_mode, S_IFDIR | 0o755);
    }
    fn mknod_fifo_and_regular() {
        ok(mkfifo(p(c"p"), 0o600));
        eq(stat(c"p").st_mode, S_IFIFO | 0o600);
        ok(mknod(p(c"f"), S_IFREG | 0o640, 0));
        eq(stat(c"f").st_mode, S_IFREG | 0o640);
        fails(EEXIST, mknod(p(c"f"), S_IFREG | 0o640, 0));
        fails(EPERM, mknod(p(c"d"), S_IFDIR | 0o755, 0));
    }
    fn many_names_in_one_directory() {
        for n in 0..500 {
            let name = format!("n{n}\0");
            close(ok(libc::open(name.as_ptr().cast(), O_CREAT | O_EXCL | O_RDWR, 0o644)));
        }
        eq(std::fs::read_dir(".").unwrap().count(), 500);
        for n in 0..500 {
            ok(unlink(format!("n{n}\0").as_ptr().cast()));
        }
        eq(std::fs::read_dir(".").unwrap().count(), 0);
    }
    fn name_bytes_need_not_be_text() {
        put(c"\xff\xfe \n", b"x");
        eq(get(c"\xff\xfe \n"), b"x");
    }
    fn concurrent_renames_never_lose_the_file() {
        put(c"a", b"x");
        let pids: Vec<i32> = (0..3).map(|n| spawn(|| {
            let mine = format!("m{n}\0");
            for _ in 0..200 {
                if rename(p(c"a"), mine.as_ptr().cast()) == 0 {
                    ok(rename(mine.as_ptr().cast(), p(c"a")));
                }
            }
            0
        })).collect();
        pids.iter().for_each(|pid| wait_exit(*pid, 0));
        eq(get(c"a"), b"x");
    }
}
