//! read, write and their vectored and positioned forms, lseek, truncate, fallocate.

use tests::prelude::*;

fn iov(data: &[u8]) -> iovec {
    iovec {
        iov_base: data.as_ptr() as *mut c_void,
        iov_len: data.len(),
    }
}

fn iov_mut(data: &mut [u8]) -> iovec {
    iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    }
}

tests::cases! {
    fn offset_moves_with_read_and_write() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        put_fd(fd, b"abcdef");
        ok_eq(lseek(fd, 0, SEEK_CUR), 6);
        ok_eq(lseek(fd, 2, SEEK_SET), 2);
        eq(get_fd(fd, 2), b"cd");
        ok_eq(lseek(fd, 0, SEEK_CUR), 4);
    }
    fn read_at_end_is_zero() {
        put(c"f", b"ab");
        let fd = open(c"f", O_RDONLY);
        ok_eq(lseek(fd, 100, SEEK_SET), 100);
        eq(get_fd(fd, 8), b"");
    }
    fn read_is_cut_at_end() {
        put(c"f", b"ab");
        eq(get_fd(open(c"f", O_RDONLY), 100), b"ab");
    }
    fn zero_bytes_are_allowed() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok_eq(write(fd, null(), 0), 0);
        ok_eq(read(fd, null_mut(), 0), 0);
    }
    fn read_to_bad_pointer_is_efault() {
        put(c"f", b"ab");
        fails(EFAULT, read(open(c"f", O_RDONLY), 8 as *mut c_void, 2));
    }
    fn read_at_end_ignores_bad_pointer() {
        put(c"f", b"");
        ok_eq(read(open(c"f", O_RDONLY), 8 as *mut c_void, 2), 0);
    }
    fn write_from_bad_pointer_is_efault() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        fails(EFAULT, write(fd, 8 as *const c_void, 2));
        eq(fstat(fd).st_size, 0);
    }
    fn bad_fd_is_ebadf() {
        fails(EBADF, read(999, null_mut(), 0));
        fails(EBADF, write(-1, null(), 0));
        fails(EBADF, lseek(999, 0, SEEK_SET));
    }
    fn large_write_and_read_back() {
        let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        put(c"f", &data);
        yes(get(c"f") == data);
    }
    fn read_of_directory_is_eisdir() {
        fails(EISDIR, read(open(c".", O_RDONLY), [0_u8; 4].as_mut_ptr().cast(), 4));
    }
    fn pread_leaves_offset() {
        put(c"f", b"abcdef");
        let fd = open(c"f", O_RDONLY);
        let mut b = [0_u8; 3];
        ok_eq(pread(fd, b.as_mut_ptr().cast(), 3, 2), 3);
        eq(&b, b"cde");
        ok_eq(lseek(fd, 0, SEEK_CUR), 0);
    }
    fn pwrite_past_end_leaves_hole() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok_eq(pwrite(fd, c"x".as_ptr().cast(), 1, 4), 1);
        eq(get(c"f"), b"\0\0\0\0x");
    }
    fn negative_offset_is_einval() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        fails(EINVAL, pread(fd, [0_u8; 1].as_mut_ptr().cast(), 1, -1));
        fails(EINVAL, pwrite(fd, c"x".as_ptr().cast(), 1, -1));
    }
    fn pread_on_pipe_is_espipe() {
        let (r, w) = pipe(0);
        fails(ESPIPE, pread(r, [0_u8; 1].as_mut_ptr().cast(), 1, 0));
        fails(ESPIPE, pwrite(w, c"x".as_ptr().cast(), 1, 0));
        fails(ESPIPE, lseek(r, 0, SEEK_CUR));
    }
    fn readv_fills_in_order() {
        put(c"f", b"abcdef");
        let fd = open(c"f", O_RDONLY);
        let (mut a, mut b) = ([0_u8; 2], [0_u8; 8]);
        let v = [iov_mut(&mut a), iov_mut(&mut b)];
        ok_eq(readv(fd, v.as_ptr(), 2), 6);
        eq(&a, b"ab");
        eq(&b[..4], b"cdef");
    }
    fn writev_gathers() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        let v = [iov(b"abc"), iov(b""), iov(b"de")];
        ok_eq(writev(fd, v.as_ptr(), 3), 5);
        eq(get(c"f"), b"abcde");
    }
    fn writev_too_many_is_einval() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        let v = vec![iov(b"a"); 1025];
        fails(EINVAL, writev(fd, v.as_ptr(), 1025));
        fails(EINVAL, syscall(SYS_writev, fd, v.as_ptr(), -1_i64));
        ok_eq(writev(fd, v.as_ptr(), 1024), 1024);
    }
    fn writev_stops_at_the_bad_part() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        let v = [iov(b"abc"), iovec { iov_base: 8 as *mut c_void, iov_len: 4 }];
        ok_eq(writev(fd, v.as_ptr(), 2), 3);
        eq(get(c"f"), b"abc");
    }
    fn preadv_and_pwritev_use_the_offset() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        let v = [iov(b"abc"), iov(b"de")];
        ok_eq(pwritev(fd, v.as_ptr(), 2, 1), 5);
        let mut b = [0_u8; 8];
        ok_eq(preadv(fd, [iov_mut(&mut b)].as_ptr(), 1, 2), 4);
        eq(&b[..4], b"bcde");
    }
    fn preadv2_minus_one_uses_file_offset() {
        put(c"f", b"abcd");
        let fd = open(c"f", O_RDONLY);
        let mut b = [0_u8; 2];
        ok_eq(preadv2(fd, [iov_mut(&mut b)].as_ptr(), 1, -1, 0), 2);
        ok_eq(lseek(fd, 0, SEEK_CUR), 2);
    }
    fn pwritev2_append_flag_appends() {
        put(c"f", b"abcd");
        let fd = open(c"f", O_RDWR);
        ok_eq(pwritev2(fd, [iov(b"x")].as_ptr(), 1, 0, RWF_APPEND), 1);
        eq(get(c"f"), b"abcdx");
    }
    fn pwritev2_unknown_flag_is_eopnotsupp() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        fails(EOPNOTSUPP, pwritev2(fd, [iov(b"x")].as_ptr(), 1, 0, 0x4000_0000));
    }
    fn lseek_end_and_negative() {
        put(c"f", b"abcd");
        let fd = open(c"f", O_RDONLY);
        ok_eq(lseek(fd, -1, SEEK_END), 3);
        fails(EINVAL, lseek(fd, -5, SEEK_END));
        fails(EINVAL, lseek(fd, 0, 77));
        ok_eq(lseek(fd, 0, SEEK_CUR), 3);
    }
    fn lseek_data_and_hole_without_holes() {
        put(c"f", b"abcd");
        let fd = open(c"f", O_RDONLY);
        ok_eq(lseek(fd, 1, SEEK_DATA), 1);
        ok_eq(lseek(fd, 1, SEEK_HOLE), 4);
        fails(ENXIO, lseek(fd, 4, SEEK_DATA));
        fails(ENXIO, lseek(fd, 9, SEEK_HOLE));
    }
    fn lseek_data_skips_hole() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok_eq(pwrite(fd, c"x".as_ptr().cast(), 1, 1 << 20), 1);
        ok_eq(lseek(fd, 0, SEEK_DATA), 1 << 20);
        ok_eq(lseek(fd, 0, SEEK_HOLE), 0);
    }
    fn truncate_shrinks_and_grows_with_zeros() {
        put(c"f", b"abcdef");
        ok(truncate(p(c"f"), 2));
        ok(truncate(p(c"f"), 5));
        eq(get(c"f"), b"ab\0\0\0");
    }
    fn truncate_errors() {
        put(c"f", b"");
        fails(EINVAL, truncate(p(c"f"), -1));
        fails(EISDIR, truncate(p(c"."), 0));
        fails(ENOENT, truncate(p(c"gone"), 0));
        let (r, _w) = pipe(0);
        fails(EINVAL, ftruncate(r, 0));
    }
    fn file_size_limit_sends_sigxfsz() {
        catch(SIGXFSZ, 0);
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(setrlimit(RLIMIT_FSIZE, &rlimit { rlim_cur: 4, rlim_max: 4 }));
        ok_eq(write(fd, c"abcdef".as_ptr().cast(), 6), 4);
        fails(EFBIG, write(fd, c"x".as_ptr().cast(), 1));
        eq(hits(), 1);
        fails(EFBIG, ftruncate(fd, 9));
    }
    fn fallocate_grows_unless_keep_size() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8192));
        eq(fstat(fd).st_size, 0);
        ok(fallocate(fd, 0, 0, 8192));
        eq(fstat(fd).st_size, 8192);
    }
    fn fallocate_punches_hole() {
        put(c"f", &[7_u8; 12288]);
        let fd = open(c"f", O_RDWR);
        ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
        let all = get(c"f");
        eq(all.len(), 12288);
        eq((all[4095], all[4096], all[8191], all[8192]), (7, 0, 0, 7));
    }
    fn fallocate_errors() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        fails(EINVAL, fallocate(fd, 0, 0, 0));
        fails(EINVAL, fallocate(fd, 0, -1, 1));
        fails(EBADF, fallocate(open(c"f", O_RDONLY), 0, 0, 1));
        let (_r, w) = pipe(0);
        fails(ESPIPE, fallocate(w, 0, 0, 1));
    }
    fn dup_shares_offset_but_open_does_not() {
        put(c"f", b"abcdef");
        let a = open(c"f", O_RDONLY);
        let b = ok(dup(a));
        let c = open(c"f", O_RDONLY);
        get_fd(a, 2);
        eq(get_fd(b, 2), b"cd");
        eq(get_fd(c, 2), b"ab");
    }
    fn fork_shares_offset() {
        put(c"f", b"abcdef");
        let fd = open(c"f", O_RDONLY);
        in_child(|| {
            get_fd(fd, 3);
        });
        eq(get_fd(fd, 3), b"def");
    }
    fn write_clears_setuid_of_other_owner() {
        put(c"f", b"x");
        ok(chmod(p(c"f"), 0o6777));
        as_user(1000, 1000, || put_fd(open(c"f", O_WRONLY), b"y"));
        eq(stat(c"f").st_mode & 0o7777, 0o777);
    }
    fn write_updates_mtime_and_ctime() {
        put(c"f", b"x");
        let before = stat(c"f");
        sleep_ms(20);
        put_fd(open(c"f", O_WRONLY), b"y");
        let after = stat(c"f");
        yes((after.st_mtime, after.st_mtime_nsec) > (before.st_mtime, before.st_mtime_nsec));
        yes((after.st_ctime, after.st_ctime_nsec) > (before.st_ctime, before.st_ctime_nsec));
    }
    fn fsync_family_succeeds_on_files() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        ok(fsync(fd));
        ok(fdatasync(fd));
        ok(syncfs(fd));
        fails(EBADF, fsync(999));
        let (r, _w) = pipe(0);
        fails(EINVAL, fsync(r));
    }
    fn fadvise_checks_its_arguments() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        eq(posix_fadvise(fd, 0, 0, 99), EINVAL);
        let (r, _w) = pipe(0);
        eq(posix_fadvise(r, 0, 0, 0), ESPIPE);
    }
    fn readahead_wants_a_readable_file() {
        put(c"f", b"abc");
        ok_eq(readahead(open(c"f", O_RDONLY), 0, 3), 0);
        fails(EBADF, readahead(open(c"f", O_WRONLY), 0, 3));
    }
    fn size_in_sparse_file_past_4g() {
        let fd = open(c"f", O_RDWR | O_CREAT);
        let at = 5_i64 << 30;
        ok_eq(pwrite(fd, c"x".as_ptr().cast(), 1, at), 1);
        eq(fstat(fd).st_size, at + 1);
        yes(fstat(fd).st_blocks < 1000);
    }
}
