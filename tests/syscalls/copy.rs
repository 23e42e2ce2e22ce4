//! sendfile, splice, tee, vmsplice, copy_file_range.

use tests::prelude::*;

tests::cases! {
    fn sendfile_moves_input_offset() {
        put(c"a", b"abcdef");
        let (a, b) = (open(c"a", O_RDONLY), open(c"b", O_RDWR | O_CREAT));
        ok_eq(sendfile(b, a, null_mut(), 4), 4);
        eq(get_fd(a, 9), b"ef");
        eq(get(c"b"), b"abcd");
    }
    fn sendfile_with_offset_leaves_input_offset() {
        put(c"a", b"abcdef");
        let (a, b) = (open(c"a", O_RDONLY), open(c"b", O_RDWR | O_CREAT));
        let mut at = 2;
        ok_eq(sendfile(b, a, &mut at, 100), 4);
        eq(at, 6);
        ok_eq(lseek(a, 0, SEEK_CUR), 0);
        eq(get(c"b"), b"cdef");
    }
    fn sendfile_to_socket_and_pipe() {
        put(c"a", b"abcdef");
        let a = open(c"a", O_RDONLY);
        let (r, w) = pipe(0);
        ok_eq(sendfile(w, a, null_mut(), 3), 3);
        eq(get_fd(r, 9), b"abc");
        let mut s = [0; 2];
        ok(socketpair(AF_UNIX, SOCK_STREAM, 0, s.as_mut_ptr()));
        ok_eq(sendfile(s[0], a, null_mut(), 3), 3);
        eq(get_fd(s[1], 9), b"def");
    }
    fn sendfile_errors() {
        put(c"a", b"abc");
        let a = open(c"a", O_RDONLY);
        fails(EBADF, sendfile(a, a, null_mut(), 1));
        fails(EBADF, sendfile(999, a, null_mut(), 1));
        fails(EINVAL, sendfile(open(c"b", O_CREAT | O_WRONLY | O_APPEND), a, null_mut(), 1));
        let (r, w) = pipe(0);
        fails(EINVAL, sendfile(w, open(c".", O_RDONLY), null_mut(), 1));
        let mut at = 0;
        fails(ESPIPE, sendfile(open(c"c", O_CREAT | O_WRONLY), r, &mut at, 1));
    }
    fn sendfile_wants_an_input_that_can_be_sought() {
        let terminal = open(c"/dev/ptmx", O_RDWR | O_NOCTTY);
        fails(EINVAL, sendfile(open(c"a", O_CREAT | O_WRONLY), terminal, null_mut(), 1));
        ok_eq(sendfile(open(c"b", O_CREAT | O_WRONLY), open(c"/dev/zero", O_RDONLY), null_mut(), 3), 3);
        eq(get(c"b"), [0; 3]);
    }
    fn splice_file_to_pipe_to_file() {
        put(c"a", b"abcdef");
        let (a, b) = (open(c"a", O_RDONLY), open(c"b", O_RDWR | O_CREAT));
        let (r, w) = pipe(0);
        let mut at = 1;
        ok_eq(splice(a, &mut at, w, null_mut(), 4, 0), 4);
        eq(at, 5);
        ok_eq(splice(r, null_mut(), b, null_mut(), 100, 0), 4);
        eq(get(c"b"), b"bcde");
    }
    fn splice_between_pipes() {
        let ((r1, w1), (r2, w2)) = (pipe(0), pipe(0));
        put_fd(w1, b"abcd");
        ok_eq(splice(r1, null_mut(), w2, null_mut(), 3, 0), 3);
        eq(get_fd(r2, 9), b"abc");
        eq(get_fd(r1, 9), b"d");
    }
    fn splice_errors() {
        put(c"a", b"abc");
        let (a, (r, w)) = (open(c"a", O_RDONLY), pipe(O_NONBLOCK));
        fails(EINVAL, splice(a, null_mut(), open(c"b", O_CREAT | O_WRONLY), null_mut(), 1, 0));
        let mut at = 0;
        fails(ESPIPE, splice(a, null_mut(), w, &mut at, 1, 0));
        fails(EAGAIN, splice(r, null_mut(), open(c"b", O_WRONLY), null_mut(), 1, 0));
        fails(EBADF, splice(a, null_mut(), r, null_mut(), 1, 0));
        fails(EINVAL, splice(a, null_mut(), w, null_mut(), 1, 0x100));
        close(w);
        ok_eq(splice(r, null_mut(), open(c"b", O_WRONLY), null_mut(), 1, 0), 0);
    }
    fn tee_copies_without_consuming() {
        let ((r1, w1), (r2, w2)) = (pipe(0), pipe(0));
        put_fd(w1, b"abcd");
        ok_eq(tee(r1, w2, 100, 0), 4);
        eq(get_fd(r2, 9), b"abcd");
        eq(get_fd(r1, 9), b"abcd");
        put(c"f", b"");
        fails(EINVAL, tee(open(c"f", O_RDONLY), w2, 1, 0));
    }
    fn vmsplice_fills_a_pipe() {
        let (r, w) = pipe(0);
        let v = iovec { iov_base: c"abcd".as_ptr() as *mut c_void, iov_len: 4 };
        ok_eq(vmsplice(w, &v, 1, 0), 4);
        eq(get_fd(r, 9), b"abcd");
    }
    fn copy_file_range_with_offsets() {
        put(c"a", b"abcdef");
        let (a, b) = (open(c"a", O_RDONLY), open(c"b", O_RDWR | O_CREAT));
        let (mut from, mut to) = (1, 2);
        ok_eq(copy_file_range(a, &mut from, b, &mut to, 3, 0), 3);
        eq((from, to), (4, 5));
        eq(get(c"b"), b"\0\0bcd");
    }
    fn copy_file_range_uses_file_offsets() {
        put(c"a", b"abcdef");
        let (a, b) = (open(c"a", O_RDONLY), open(c"b", O_RDWR | O_CREAT));
        ok_eq(copy_file_range(a, null_mut(), b, null_mut(), 4, 0), 4);
        ok_eq(copy_file_range(a, null_mut(), b, null_mut(), 4, 0), 2);
        ok_eq(copy_file_range(a, null_mut(), b, null_mut(), 4, 0), 0);
        eq(get(c"b"), b"abcdef");
    }
    fn copy_file_range_errors() {
        put(c"a", b"abcdef");
        let a = open(c"a", O_RDWR);
        let (mut from, mut to) = (0, 2);
        fails(EINVAL, copy_file_range(a, &mut from, a, &mut to, 4, 0));
        fails(EINVAL, copy_file_range(a, null_mut(), open(c"b", O_CREAT | O_WRONLY), null_mut(), 4, 1));
        fails(EISDIR, copy_file_range(open(c".", O_RDONLY), null_mut(), a, null_mut(), 4, 0));
        fails(EBADF, copy_file_range(a, null_mut(), open(c"b", O_WRONLY | O_APPEND), null_mut(), 4, 0));
        let (_r, w) = pipe(0);
        fails(EINVAL, copy_file_range(a, null_mut(), w, null_mut(), 4, 0));
    }
    fn sendfile_of_megabytes_through_a_socket() {
        let data: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 253) as u8).collect();
        put(c"a", &data);
        let mut s = [0; 2];
        ok(socketpair(AF_UNIX, SOCK_STREAM, 0, s.as_mut_ptr()));
        let child = spawn(|| {
            close(s[1]);
            let a = open(c"a", O_RDONLY);
            while ok(sendfile(s[0], a, null_mut(), 1 << 20)) > 0 {}
            0
        });
        close(s[0]);
        yes(get_all(s[1]) == data);
        wait_exit(child, 0);
    }
}
