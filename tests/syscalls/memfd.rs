//! memfd_create and seals.

use tests::prelude::*;

unsafe fn memfd(flags: u32) -> i32 {
    ok(memfd_create(p(c"name"), flags))
}

unsafe fn map(fd: i32, prot: i32, flags: i32) -> *mut c_void {
    mmap(null_mut(), 4096, prot, flags, fd, 0)
}

tests::cases! {
    fn behaves_as_a_file() {
        let fd = memfd(0);
        put_fd(fd, b"abc");
        eq(fstat(fd).st_size, 3);
        ok(ftruncate(fd, 1));
        ok_eq(lseek(fd, 0, SEEK_SET), 0);
        eq(get_fd(fd, 9), b"a");
        eq(fstat(fd).st_nlink, 0);
    }
    fn name_shows_in_proc() {
        let fd = memfd(0);
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        eq(link.to_str().unwrap(), "/memfd:name (deleted)");
    }
    fn cloexec_flag() {
        ok_eq(fcntl(memfd(MFD_CLOEXEC), F_GETFD), FD_CLOEXEC);
        ok_eq(fcntl(memfd(0), F_GETFD), 0);
    }
    fn errors() {
        fails(EINVAL, memfd_create(p(c"x"), 0x4000));
        let long = "n".repeat(250) + "\0";
        fails(EINVAL, memfd_create(long.as_ptr().cast(), 0));
        fails(EFAULT, memfd_create(8 as *const c_char, 0));
    }
    fn mapping_is_shared_across_fork() {
        let fd = memfd(0);
        ok(ftruncate(fd, 4096));
        let at = ok(map(fd, PROT_READ | PROT_WRITE, MAP_SHARED)).cast::<u8>();
        in_child(|| at.write_volatile(7));
        eq(at.read_volatile(), 7);
        eq(get_fd(fd, 1), [7]);
    }
    fn sealing_needs_the_flag() {
        let fd = memfd(0);
        ok_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
        fails(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    }
    fn seal_write_stops_writes() {
        let fd = memfd(MFD_ALLOW_SEALING);
        put_fd(fd, b"abc");
        ok(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
        fails(EPERM, write(fd, c"x".as_ptr().cast(), 1));
        fails(EPERM, map(fd, PROT_READ | PROT_WRITE, MAP_SHARED));
        ok(map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE));
        ok(map(fd, PROT_READ, MAP_SHARED));
    }
    fn seal_write_is_refused_while_mapped() {
        let fd = memfd(MFD_ALLOW_SEALING);
        ok(ftruncate(fd, 4096));
        let at = ok(map(fd, PROT_READ | PROT_WRITE, MAP_SHARED));
        fails(EBUSY, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
        ok(munmap(at, 4096));
        ok(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    }
    fn seal_shrink_and_grow() {
        let fd = memfd(MFD_ALLOW_SEALING);
        ok(ftruncate(fd, 100));
        ok(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
        fails(EPERM, ftruncate(fd, 50));
        fails(EPERM, ftruncate(fd, 200));
        ok_eq(pwrite(fd, c"x".as_ptr().cast(), 1, 0), 1);
        fails(EPERM, pwrite(fd, c"x".as_ptr().cast(), 1, 8192));
    }
    fn seal_seal_is_final() {
        let fd = memfd(MFD_ALLOW_SEALING);
        ok(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
        fails(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
        ok_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    }
    fn seal_future_write_keeps_old_maps() {
        let fd = memfd(MFD_ALLOW_SEALING);
        ok(ftruncate(fd, 4096));
        let at = ok(map(fd, PROT_READ | PROT_WRITE, MAP_SHARED)).cast::<u8>();
        ok(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
        at.write_volatile(3);
        fails(EPERM, map(fd, PROT_READ | PROT_WRITE, MAP_SHARED));
        fails(EPERM, write(fd, c"x".as_ptr().cast(), 1));
    }
    fn seals_on_ordinary_files_are_einval() {
        let (r, _w) = pipe(0);
        fails(EINVAL, fcntl(r, F_GET_SEALS));
    }
    fn reopen_by_proc_gives_a_second_offset() {
        let fd = memfd(0);
        put_fd(fd, b"abc");
        let path = format!("/proc/self/fd/{fd}\0");
        let again = ok(libc::open(path.as_ptr().cast(), O_RDONLY));
        eq(get_fd(again, 9), b"abc");
    }
    fn executable_from_memfd() {
        let fd = memfd(MFD_CLOEXEC);
        put_fd(fd, &std::fs::read("/proc/self/exe").unwrap());
        let pid = spawn(|| {
            ok(dup2(open(c"/dev/null", O_WRONLY), 1));
            let args = [p(c"x"), p(c"--list"), null()];
            ok(syscall(SYS_execveat, fd, p(c""), args.as_ptr(), [null::<c_char>()].as_ptr(), AT_EMPTY_PATH));
            1
        });
        wait_exit(pid, 0);
    }
}
