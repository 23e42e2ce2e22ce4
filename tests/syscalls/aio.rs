//! Linux AIO: contexts, reads and writes, polls, eventfds.

use tests::prelude::*;

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FDSYNC: u16 = 3;
const POLL: u16 = 5;
const PREADV: u16 = 7;

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    reqprio: i16,
    fildes: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved2: u64,
    flags: u32,
    resfd: u32,
}

#[repr(C)]
#[derive(Default, Clone, Copy, Debug, PartialEq)]
struct Event {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

unsafe fn setup(n: u32) -> u64 {
    let mut ctx = 0_u64;
    ok(syscall(SYS_io_setup, n, &mut ctx));
    ctx
}

unsafe fn submit(ctx: u64, iocb: &mut Iocb) -> i64 {
    let list = [iocb as *mut Iocb];
    syscall(SYS_io_submit, ctx, 1_i64, list.as_ptr())
}

/// `struct timespec` of so many milliseconds.
fn ms(n: i64) -> timespec {
    timespec {
        tv_sec: n / 1000,
        tv_nsec: n % 1000 * 1_000_000,
    }
}

unsafe fn events(ctx: u64, min: i64, wait_ms: i64) -> Vec<Event> {
    let mut out = [Event::default(); 8];
    let n = ok(syscall(
        SYS_io_getevents,
        ctx,
        min,
        8_i64,
        out.as_mut_ptr(),
        &ms(wait_ms),
    ));
    out[..n as usize].to_vec()
}

fn request(opcode: u16, fd: i32, buf: &mut [u8], offset: i64) -> Iocb {
    Iocb {
        data: 7,
        opcode,
        fildes: fd as u32,
        buf: buf.as_mut_ptr() as u64,
        nbytes: buf.len() as u64,
        offset,
        ..Iocb::default()
    }
}

tests::cases! {
    fn writes_and_reads_a_file() {
        let ctx = setup(4);
        let fd = open(c"f", O_RDWR | O_CREAT);
        let mut text = *b"hello";
        let mut write = request(PWRITE, fd, &mut text, 3);
        ok_eq(submit(ctx, &mut write), 1);
        eq(events(ctx, 1, 5000), [Event { data: 7, obj: &write as *const Iocb as u64, res: 5, res2: 0 }]);
        let mut back = [1_u8; 8];
        let mut read = request(PREAD, fd, &mut back, 0);
        ok_eq(submit(ctx, &mut read), 1);
        eq(events(ctx, 1, 5000)[0].res, 8);
        eq(&back, b"\0\0\0hello");
        let mut sync = request(FDSYNC, fd, &mut [], 0);
        sync.buf = 0;
        ok_eq(submit(ctx, &mut sync), 1);
        eq(events(ctx, 1, 5000)[0].res, 0);
        eq(events(ctx, 0, 0), []);
        ok(syscall(SYS_io_destroy, ctx));
        fails(EINVAL, syscall(SYS_io_destroy, ctx));
    }
    fn reads_into_several_buffers() {
        let ctx = setup(1);
        put(c"f", b"abcdef");
        let (mut one, mut two) = ([0_u8; 2], [0_u8; 4]);
        let iov = [
            iovec { iov_base: one.as_mut_ptr().cast(), iov_len: 2 },
            iovec { iov_base: two.as_mut_ptr().cast(), iov_len: 4 },
        ];
        let mut read = request(PREADV, open(c"f", O_RDONLY), &mut [], 0);
        (read.buf, read.nbytes) = (iov.as_ptr() as u64, 2);
        ok_eq(submit(ctx, &mut read), 1);
        eq(events(ctx, 1, 5000)[0].res, 6);
        eq((&one, &two), (b"ab", b"cdef"));
    }
    fn setup_errors() {
        let mut ctx = 0_u64;
        fails(EINVAL, syscall(SYS_io_setup, 0, &mut ctx));
        fails(EINVAL, syscall(SYS_io_setup, -1, &mut ctx));
        fails(EFAULT, syscall(SYS_io_setup, 1, 0));
        ctx = 1;
        fails(EINVAL, syscall(SYS_io_setup, 1, &mut ctx));
    }
    fn submit_errors() {
        let ctx = setup(2);
        let mut buf = [0_u8; 4];
        put(c"f", b"text");
        let fd = open(c"f", O_RDWR);
        fails(EBADF, submit(ctx, &mut request(PREAD, 99, &mut buf, 0)));
        fails(EINVAL, submit(ctx, &mut request(66, fd, &mut buf, 0)));
        fails(EBADF, submit(ctx, &mut request(PWRITE, open(c"f", O_RDONLY), &mut buf, 0)));
        fails(EINVAL, submit(ctx, &mut request(PREAD, fd, &mut buf, -1)));
        let mut bad = request(PREAD, fd, &mut buf, 0);
        bad.reserved2 = 1;
        fails(EINVAL, submit(ctx, &mut bad));
        let mut bad = request(PREAD, fd, &mut buf, 0);
        (bad.flags, bad.resfd) = (1, fd as u32);
        fails(EINVAL, submit(ctx, &mut bad));
        fails(EINVAL, submit(ctx + 1, &mut request(PREAD, fd, &mut buf, 0)));
        fails(EFAULT, syscall(SYS_io_submit, ctx, 1_i64, &[8_usize]));
        fails(EINVAL, syscall(SYS_io_submit, ctx, -1_i64, 0));
        ok_eq(syscall(SYS_io_submit, ctx, 0_i64, 0), 0);
    }
    fn getevents_checks_its_numbers() {
        let ctx = setup(1);
        let mut out = [Event::default(); 2];
        fails(EINVAL, syscall(SYS_io_getevents, ctx, 2_i64, 1_i64, &mut out, 0));
        fails(EINVAL, syscall(SYS_io_getevents, ctx, -1_i64, 1_i64, &mut out, 0));
        fails(EINVAL, syscall(SYS_io_getevents, ctx + 1, 0_i64, 1_i64, &mut out, 0));
        eq(events(ctx, 1, 20), []);
    }
    fn polls_complete_later() {
        let ctx = setup(2);
        let (r, w) = pipe(0);
        let mut poll = request(POLL, r, &mut [], 0);
        poll.buf = POLLIN as u64;
        ok_eq(submit(ctx, &mut poll), 1);
        eq(events(ctx, 0, 0), []);
        put_fd(w, b"x");
        // Other bits of readiness may come along.
        eq(events(ctx, 1, 5000)[0].res & i64::from(POLLIN), i64::from(POLLIN));
        eq(get_fd(r, 1), b"x");
    }
    fn a_poll_can_be_cancelled() {
        let ctx = setup(2);
        let (r, _w) = pipe(0);
        let mut poll = request(POLL, r, &mut [], 0);
        poll.buf = POLLIN as u64;
        ok_eq(submit(ctx, &mut poll), 1);
        let mut out = Event::default();
        fails(EINPROGRESS, syscall(SYS_io_cancel, ctx, &poll, &mut out));
        eq(events(ctx, 1, 5000)[0].obj, &poll as *const Iocb as u64);
        fails(EINVAL, syscall(SYS_io_cancel, ctx, &poll, &mut out));
    }
    fn an_eventfd_hears_of_completions() {
        let ctx = setup(2);
        let count = ok(eventfd(0, 0));
        let mut buf = [0_u8; 4];
        let mut read = request(PREAD, open(c"f", O_RDWR | O_CREAT), &mut buf, 0);
        (read.flags, read.resfd) = (1, count as u32);
        ok_eq(submit(ctx, &mut read), 1);
        eq(get_fd(count, 8), 1_u64.to_ne_bytes());
        eq(events(ctx, 1, 5000).len(), 1);
    }
    fn a_wait_ends_with_a_signal() {
        let ctx = setup(1);
        catch(SIGUSR1, 0);
        kill_later(getpid(), SIGUSR1, 30);
        let mut out = [Event::default(); 1];
        fails(EINTR, syscall(SYS_io_getevents, ctx, 1_i64, 1_i64, &mut out, 0));
    }
    fn contexts_are_not_inherited() {
        let ctx = setup(1);
        let pid = spawn(|| {
            fails(EINVAL, syscall(SYS_io_destroy, ctx));
            0
        });
        wait_exit(pid, 0);
        ok(syscall(SYS_io_destroy, ctx));
    }
}
