//! open(2), openat(2), openat2(2) and their flags.

use tests::prelude::*;

unsafe fn try_openat2(dir: i32, path: &CStr, flags: i32, resolve: u64) -> i64 {
    let how = [flags as u64, 0_u64, resolve];
    syscall(SYS_openat2, dir, p(path), how.as_ptr(), 24_usize)
}

tests::cases! {
    fn creates_with_mode_and_umask() {
        umask(0o027);
        close(ok(libc::open(p(c"f"), O_CREAT | O_WRONLY, 0o666)));
        eq(stat(c"f").st_mode, S_IFREG | 0o640);
    }
    fn create_keeps_existing_mode_and_data() {
        put(c"f", b"abc");
        close(ok(libc::open(p(c"f"), O_CREAT | O_WRONLY, 0o777)));
        eq(stat(c"f").st_mode & 0o777, 0o644);
        eq(get(c"f"), b"abc");
    }
    fn missing_file_is_enoent() {
        fails(ENOENT, try_open(c"f", O_RDONLY));
    }
    fn empty_path_is_enoent() {
        fails(ENOENT, try_open(c"", O_RDONLY));
    }
    fn excl_on_existing_is_eexist() {
        put(c"f", b"");
        fails(EEXIST, try_open(c"f", O_CREAT | O_EXCL | O_RDWR));
    }
    fn excl_does_not_follow_dangling_link() {
        ok(symlink(p(c"gone"), p(c"l")));
        fails(EEXIST, try_open(c"l", O_CREAT | O_EXCL | O_RDWR));
        fails(ENOENT, access(p(c"gone"), F_OK));
    }
    fn create_follows_dangling_link() {
        ok(symlink(p(c"new"), p(c"l")));
        close(open(c"l", O_CREAT | O_RDWR));
        ok(access(p(c"new"), F_OK));
    }
    fn trunc_empties_file() {
        put(c"f", b"abc");
        close(open(c"f", O_WRONLY | O_TRUNC));
        eq(stat(c"f").st_size, 0);
    }
    fn append_writes_at_end_whatever_the_offset() {
        put(c"f", b"abc");
        let fd = open(c"f", O_RDWR | O_APPEND);
        ok_eq(lseek(fd, 0, SEEK_SET), 0);
        put_fd(fd, b"d");
        ok_eq(lseek(fd, 0, SEEK_CUR), 4);
        eq(get(c"f"), b"abcd");
    }
    fn append_makes_pwrite_append_too() {
        put(c"f", b"abc");
        let fd = open(c"f", O_RDWR | O_APPEND);
        ok_eq(pwrite(fd, c"x".as_ptr().cast(), 1, 0), 1);
        eq(get(c"f"), b"abcx");
    }
    fn directory_flag_on_file_is_enotdir() {
        put(c"f", b"");
        fails(ENOTDIR, try_open(c"f", O_RDONLY | O_DIRECTORY));
    }
    fn directory_opens_read_only() {
        ok(mkdir(p(c"d"), 0o755));
        close(open(c"d", O_RDONLY | O_DIRECTORY));
    }
    fn directory_for_writing_is_eisdir() {
        ok(mkdir(p(c"d"), 0o755));
        fails(EISDIR, try_open(c"d", O_WRONLY));
        fails(EISDIR, try_open(c"d", O_RDWR));
        fails(EISDIR, try_open(c"d", O_RDONLY | O_CREAT));
    }
    fn create_with_trailing_slash_is_eisdir() {
        fails(EISDIR, try_open(c"f/", O_CREAT | O_WRONLY));
    }
    fn file_with_trailing_slash_is_enotdir() {
        put(c"f", b"");
        fails(ENOTDIR, try_open(c"f/", O_RDONLY));
    }
    fn file_as_directory_part_is_enotdir() {
        put(c"f", b"");
        fails(ENOTDIR, try_open(c"f/x", O_RDONLY));
    }
    fn nofollow_on_link_is_eloop() {
        put(c"f", b"");
        ok(symlink(p(c"f"), p(c"l")));
        fails(ELOOP, try_open(c"l", O_RDONLY | O_NOFOLLOW));
    }
    fn nofollow_applies_to_the_last_part_only() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"x");
        ok(symlink(p(c"d"), p(c"l")));
        close(open(c"l/f", O_RDONLY | O_NOFOLLOW));
    }
    fn nofollow_directory_on_link_is_enotdir() {
        ok(mkdir(p(c"d"), 0o755));
        ok(symlink(p(c"d"), p(c"l")));
        fails(ENOTDIR, try_open(c"l", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    }
    fn path_fd_reads_nothing() {
        put(c"f", b"abc");
        let fd = open(c"f", O_PATH);
        fails(EBADF, read(fd, [0_u8; 4].as_mut_ptr().cast(), 4));
        fails(EBADF, write(fd, c"x".as_ptr().cast(), 1));
        fails(EBADF, fchmod(fd, 0o600));
        eq(fstat(fd).st_size, 3);
    }
    fn path_fd_shows_only_path_flags() {
        put(c"f", b"abc");
        let fd = open(c"f", O_PATH | O_CLOEXEC | O_RDWR | O_APPEND);
        ok_eq(fcntl(fd, F_GETFL), O_PATH);
        ok_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
    fn path_nofollow_holds_the_link_itself() {
        ok(symlink(p(c"gone"), p(c"l")));
        let fd = open(c"l", O_PATH | O_NOFOLLOW);
        eq(fstat(fd).st_mode & S_IFMT, S_IFLNK);
        let mut buf = [0_u8; 8];
        ok_eq(readlinkat(fd, p(c""), buf.as_mut_ptr().cast(), 8), 4);
        eq(&buf[..4], b"gone");
    }
    fn path_dir_fd_serves_openat() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"abc");
        let dir = open(c"d", O_PATH | O_DIRECTORY);
        let fd = ok(openat(dir, p(c"f"), O_RDONLY));
        eq(get_fd(fd, 9), b"abc");
    }
    fn tmpfile_has_no_name_until_linked() {
        let fd = open(c".", O_TMPFILE | O_RDWR);
        put_fd(fd, b"abc");
        eq(fstat(fd).st_nlink, 0);
        let path = format!("/proc/self/fd/{fd}\0");
        ok(linkat(AT_FDCWD, path.as_ptr().cast(), AT_FDCWD, p(c"named"), AT_SYMLINK_FOLLOW));
        eq(get(c"named"), b"abc");
    }
    fn tmpfile_excl_cannot_be_linked() {
        let fd = open(c".", O_TMPFILE | O_RDWR | O_EXCL);
        let path = format!("/proc/self/fd/{fd}\0");
        fails(ENOENT, linkat(AT_FDCWD, path.as_ptr().cast(), AT_FDCWD, p(c"named"), AT_SYMLINK_FOLLOW));
    }
    fn tmpfile_read_only_is_einval() {
        fails(EINVAL, try_open(c".", O_TMPFILE | O_RDONLY));
    }
    fn access_mode_three_allows_neither() {
        put(c"f", b"abc");
        let fd = open(c"f", O_ACCMODE);
        fails(EBADF, read(fd, [0_u8; 4].as_mut_ptr().cast(), 4));
        fails(EBADF, write(fd, c"x".as_ptr().cast(), 1));
    }
    fn read_only_fd_rejects_write() {
        put(c"f", b"abc");
        let fd = open(c"f", O_RDONLY);
        fails(EBADF, write(fd, c"x".as_ptr().cast(), 1));
        fails(EINVAL, ftruncate(fd, 0));
    }
    fn write_only_fd_rejects_read() {
        put(c"f", b"abc");
        let fd = open(c"f", O_WRONLY);
        fails(EBADF, read(fd, [0_u8; 4].as_mut_ptr().cast(), 4));
    }
    fn lowest_free_fd_is_taken() {
        let a = open(c".", O_RDONLY);
        let b = open(c".", O_RDONLY);
        close(a);
        eq(open(c".", O_RDONLY), a);
        close(b);
    }
    fn openat_ignores_dirfd_for_absolute_paths() {
        close(ok(openat(-77, p(c"/"), O_RDONLY)));
    }
    fn openat_bad_dirfd_is_ebadf() {
        fails(EBADF, openat(-77, p(c"x"), O_RDONLY));
    }
    fn openat_file_as_dirfd_is_enotdir() {
        put(c"f", b"");
        let fd = open(c"f", O_RDONLY);
        fails(ENOTDIR, openat(fd, p(c"x"), O_RDONLY));
    }
    fn bad_pointer_is_efault() {
        fails(EFAULT, libc::open(1 as *const c_char, O_RDONLY));
    }
    fn getfl_reports_status_flags() {
        let fd = open(c"f", O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK);
        ok_eq(fcntl(fd, F_GETFL) & !0o100000, O_RDWR | O_APPEND | O_NONBLOCK);
    }
    fn creat_truncates_write_only() {
        put(c"f", b"abc");
        let fd = ok(creat(p(c"f"), 0o600));
        fails(EBADF, read(fd, [0_u8; 4].as_mut_ptr().cast(), 4));
        eq(stat(c"f").st_size, 0);
    }
    fn read_only_mode_file_may_be_created_for_writing() {
        let fd = ok(libc::open(p(c"f"), O_CREAT | O_WRONLY | O_EXCL, 0o400));
        put_fd(fd, b"x");
        eq(stat(c"f").st_mode & 0o777, 0o400);
    }
    fn unlinked_file_stays_readable() {
        put(c"f", b"abc");
        let fd = open(c"f", O_RDONLY);
        ok(unlink(p(c"f")));
        eq(get_fd(fd, 9), b"abc");
        eq(fstat(fd).st_nlink, 0);
    }
    fn dev_null_swallows_and_ends() {
        let fd = open(c"/dev/null", O_RDWR);
        put_fd(fd, b"abc");
        eq(get_fd(fd, 9), b"");
    }
    fn dev_zero_gives_zeros() {
        let fd = open(c"/dev/zero", O_RDWR);
        eq(get_fd(fd, 5000), vec![0_u8; 5000]);
    }
    fn dev_full_is_enospc() {
        let fd = open(c"/dev/full", O_RDWR);
        fails(ENOSPC, write(fd, c"x".as_ptr().cast(), 1));
    }
    fn dev_urandom_differs() {
        let fd = open(c"/dev/urandom", O_RDONLY);
        yes(get_fd(fd, 16) != get_fd(fd, 16));
    }
    fn openat2_beneath_rejects_escape() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"x");
        let dir = open(c"d", O_RDONLY | O_DIRECTORY);
        fails(EXDEV, try_openat2(dir, c"../d/f", O_RDONLY, RESOLVE_BENEATH));
        fails(EXDEV, try_openat2(dir, c"/etc/passwd", O_RDONLY, RESOLVE_BENEATH));
        close(ok(try_openat2(dir, c"f", O_RDONLY, RESOLVE_BENEATH)) as i32);
    }
    fn openat2_no_symlinks_is_eloop() {
        put(c"f", b"x");
        ok(symlink(p(c"f"), p(c"l")));
        fails(ELOOP, try_openat2(AT_FDCWD, c"l", O_RDONLY, RESOLVE_NO_SYMLINKS));
    }
    fn openat2_in_root_confines_absolute_links() {
        ok(mkdir(p(c"d"), 0o755));
        put(c"d/f", b"inside");
        ok(symlink(p(c"/f"), p(c"d/l")));
        let dir = open(c"d", O_RDONLY | O_DIRECTORY);
        let fd = ok(try_openat2(dir, c"l", O_RDONLY, RESOLVE_IN_ROOT)) as i32;
        eq(get_fd(fd, 9), b"inside");
    }
    fn openat2_unknown_flags_are_einval() {
        fails(EINVAL, try_openat2(AT_FDCWD, c".", 1 << 30, 0));
        fails(EINVAL, try_openat2(AT_FDCWD, c".", O_RDONLY, 1 << 40));
    }
    fn open_of_socket_file_is_enxio() {
        let fd = ok(socket(AF_UNIX, SOCK_STREAM, 0));
        let mut addr: sockaddr_un = zeroed();
        addr.sun_family = AF_UNIX as u16;
        addr.sun_path[0] = b's' as c_char;
        ok(bind(fd, (&raw const addr).cast(), 4));
        fails(ENXIO, try_open(c"s", O_RDWR));
    }
}
