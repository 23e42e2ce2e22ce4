//! Memory: mmap and its kin, brk, faults.

use tests::prelude::*;

const PAGE: usize = 4096;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const RW: i32 = PROT_READ | PROT_WRITE;
const ANON: i32 = MAP_PRIVATE | MAP_ANONYMOUS;

unsafe fn anon(pages: usize) -> *mut u8 {
    ok(mmap(null_mut(), pages * PAGE, RW, ANON, -1, 0)).cast()
}

unsafe fn file(path: &CStr, pages: usize, byte: u8) -> i32 {
    put(path, &vec![byte; pages * PAGE]);
    open(path, O_RDWR)
}

unsafe fn map_fd(fd: i32, prot: i32, flags: i32, offset: i64) -> *mut c_void {
    mmap(null_mut(), PAGE, prot, flags, fd, offset)
}

static CODE: AtomicI32 = AtomicI32::new(-1);
static ADDR: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
static REPAIR: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Notes the fault, then maps a page there so that the access goes on.
extern "C" fn on_fault(signal: i32, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        LAST.store(signal, SeqCst);
        CODE.store((*info).si_code, SeqCst);
        ADDR.store((*info).si_addr() as usize, SeqCst);
        HITS.fetch_add(1, SeqCst);
        let page = REPAIR.load(SeqCst);
        if mmap(page as *mut c_void, PAGE, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED {
            _exit(9);
        }
    }
}

/// Exits with 33 when the kernel reports a general protection fault, which has no address.
extern "C" fn on_protection(_: i32, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        _exit(if (*info).si_code == SI_KERNEL && (*info).si_addr().is_null() {
            33
        } else {
            34
        })
    }
}

/// Catches the next fault at `at`; afterwards (signal, code, address) can be read by `fault`.
unsafe fn expect_fault(at: *mut u8) {
    REPAIR.store(at as usize & !(PAGE - 1), SeqCst);
    handle(SIGSEGV, on_fault as *const () as usize, SA_SIGINFO);
    handle(SIGBUS, on_fault as *const () as usize, SA_SIGINFO);
}

fn fault() -> (i32, i32, usize) {
    (LAST.load(SeqCst), CODE.load(SeqCst), ADDR.load(SeqCst))
}

/// Permissions column of the mapping that holds this address.
fn perms(at: *mut u8) -> Option<String> {
    vma(at).map(|(_, _, perms)| perms)
}

fn vma(at: *mut u8) -> Option<(usize, usize, String)> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap();
    text.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (
            usize::from_str_radix(from, 16).ok()?,
            usize::from_str_radix(to, 16).ok()?,
        );
        (from <= at as usize && (at as usize) < to).then(|| (from, to, rest[..4].to_string()))
    })
}

unsafe fn resident(at: *mut u8, pages: usize) -> Vec<u8> {
    let mut v = vec![9_u8; pages];
    ok(mincore(at.cast(), pages * PAGE, v.as_mut_ptr()));
    v.iter().map(|b| b & 1).collect()
}

tests::cases! {
    fn anonymous_memory_is_zero_and_writable() {
        let at = anon(16);
        yes((0..16 * PAGE).all(|n| *at.add(n) == 0));
        at.write_volatile(1);
        eq(at.read_volatile(), 1);
    }
    fn munmap_then_touch_is_segv_maperr() {
        let at = anon(1);
        ok(munmap(at.cast(), PAGE));
        expect_fault(at);
        at.add(5).write_volatile(1);
        eq(fault(), (SIGSEGV, SEGV_MAPERR, at as usize + 5));
    }
    fn write_to_read_only_is_segv_accerr() {
        let at = anon(1);
        ok(mprotect(at.cast(), PAGE, PROT_READ));
        expect_fault(at);
        at.add(8).write_volatile(1);
        eq(fault(), (SIGSEGV, SEGV_ACCERR, at as usize + 8));
    }
    fn read_of_prot_none_is_segv_accerr() {
        let at = ok(mmap(null_mut(), PAGE, PROT_NONE, ANON, -1, 0)).cast::<u8>();
        expect_fault(at);
        at.read_volatile();
        eq(fault(), (SIGSEGV, SEGV_ACCERR, at as usize));
    }
    fn execute_of_data_is_segv() {
        let at = anon(1);
        at.write(0xc3);
        let pid = spawn(|| {
            let call: extern "C" fn() = std::mem::transmute(at);
            call();
            0
        });
        wait_signal(pid, SIGSEGV);
    }
    fn execute_after_mprotect_runs() {
        let at = anon(1);
        std::ptr::copy_nonoverlapping([0xb8_u8, 42, 0, 0, 0, 0xc3].as_ptr(), at, 6);
        ok(mprotect(at.cast(), PAGE, PROT_READ | PROT_EXEC));
        let call: extern "C" fn() -> i32 = std::mem::transmute(at);
        eq(call(), 42);
    }
    fn null_page_fault() {
        let pid = spawn(|| { (8 as *mut u8).write_volatile(1); 0 });
        wait_signal(pid, SIGSEGV);
    }
    fn non_canonical_address_faults_without_address() {
        handle(SIGSEGV, on_protection as *const () as usize, SA_SIGINFO);
        let pid = spawn(|| { (0x8000_0000_0000_0000_u64 as *mut u8).read_volatile(); 0 });
        wait_exit(pid, 33);
    }
    fn touch_past_end_of_file_is_sigbus() {
        let fd = file(c"f", 1, 1);
        let at = ok(mmap(null_mut(), 2 * PAGE, RW, MAP_SHARED, fd, 0)).cast::<u8>();
        expect_fault(at.add(PAGE));
        at.add(PAGE + 3).read_volatile();
        eq(fault(), (SIGBUS, BUS_ADRERR, at as usize + PAGE + 3));
    }
    fn rest_of_the_last_page_is_zero() {
        put(c"f", b"abc");
        let at = ok(map_fd(open(c"f", O_RDONLY), PROT_READ, MAP_PRIVATE, 0)).cast::<u8>();
        eq(std::slice::from_raw_parts(at, 5), b"abc\0\0");
        yes((3..PAGE).all(|n| *at.add(n) == 0));
    }
    fn truncating_a_mapped_file_makes_sigbus() {
        let fd = file(c"f", 2, 1);
        let at = ok(mmap(null_mut(), 2 * PAGE, RW, MAP_SHARED, fd, 0)).cast::<u8>();
        eq(at.add(PAGE).read_volatile(), 1);
        ok(ftruncate(fd, PAGE as i64));
        expect_fault(at.add(PAGE));
        at.add(PAGE).read_volatile();
        eq(fault().0, SIGBUS);
    }
    fn shared_file_mapping_writes_the_file() {
        let fd = file(c"f", 1, b'a');
        let at = ok(map_fd(fd, RW, MAP_SHARED, 0)).cast::<u8>();
        at.add(10).write_volatile(b'z');
        eq(get(c"f")[10], b'z');
        ok_eq(pwrite(fd, c"y".as_ptr().cast(), 1, 11), 1);
        eq(at.add(11).read_volatile(), b'y');
    }
    fn private_file_mapping_does_not_write_the_file() {
        let at = ok(map_fd(file(c"f", 1, b'a'), RW, MAP_PRIVATE, 0)).cast::<u8>();
        at.write_volatile(b'z');
        eq(get(c"f")[0], b'a');
    }
    fn two_shared_mappings_see_each_other() {
        let fd = file(c"f", 1, b'a');
        let a = ok(map_fd(fd, RW, MAP_SHARED, 0)).cast::<u8>();
        let b = ok(map_fd(open(c"f", O_RDONLY), PROT_READ, MAP_SHARED, 0)).cast::<u8>();
        a.write_volatile(b'q');
        eq(b.read_volatile(), b'q');
    }
    fn offset_selects_the_page() {
        put(c"f", &[vec![1; PAGE], vec![2; PAGE]].concat());
        let at = ok(map_fd(open(c"f", O_RDONLY), PROT_READ, MAP_PRIVATE, PAGE as i64)).cast::<u8>();
        eq(at.read(), 2);
    }
    fn mapping_survives_close_and_unlink() {
        let fd = file(c"f", 1, b'a');
        let at = ok(map_fd(fd, RW, MAP_SHARED, 0)).cast::<u8>();
        close(fd);
        ok(unlink(p(c"f")));
        at.write_volatile(b'b');
        eq(at.read_volatile(), b'b');
    }
    fn mmap_argument_errors() {
        fails(EINVAL, mmap(null_mut(), 0, RW, ANON, -1, 0));
        fails(EINVAL, mmap(null_mut(), PAGE, RW, MAP_ANONYMOUS, -1, 0));
        fails(EBADF, mmap(null_mut(), PAGE, RW, MAP_PRIVATE, 999, 0));
        let fd = file(c"f", 1, 0);
        fails(EINVAL, mmap(null_mut(), PAGE, RW, MAP_PRIVATE, fd, 1));
        fails(ENOMEM, mmap(null_mut(), 1 << 47, RW, ANON, -1, 0));
        fails(EINVAL, mmap(1 as *mut c_void, PAGE, RW, ANON | MAP_FIXED, -1, 0));
        let (r, _w) = pipe(0);
        fails(ENODEV, map_fd(r, PROT_READ, MAP_PRIVATE, 0));
        fails(ENODEV, map_fd(open(c".", O_RDONLY), PROT_READ, MAP_PRIVATE, 0));
    }
    fn mmap_checks_how_the_file_was_opened() {
        put(c"f", b"abc");
        let (r, w) = (open(c"f", O_RDONLY), open(c"f", O_WRONLY));
        fails(EACCES, map_fd(r, RW, MAP_SHARED, 0));
        fails(EACCES, map_fd(w, PROT_READ, MAP_PRIVATE, 0));
        fails(EACCES, map_fd(w, PROT_WRITE, MAP_SHARED, 0));
        ok(map_fd(r, RW, MAP_PRIVATE, 0));
    }
    fn mprotect_cannot_write_a_read_only_share() {
        put(c"f", b"abc");
        let at = ok(map_fd(open(c"f", O_RDONLY), PROT_READ, MAP_SHARED, 0));
        fails(EACCES, mprotect(at, PAGE, RW));
    }
    fn mprotect_errors_and_holes() {
        let at = anon(3);
        fails(EINVAL, mprotect(at.add(1).cast(), PAGE, PROT_READ));
        ok(munmap(at.add(PAGE).cast(), PAGE));
        fails(ENOMEM, mprotect(at.cast(), 3 * PAGE, PROT_READ));
        ok(mprotect(at.cast(), 0, PROT_READ));
    }
    fn fixed_replaces_what_is_there() {
        let at = anon(3);
        at.add(PAGE).write(5);
        ok_eq(mmap(at.add(PAGE).cast(), PAGE, RW, ANON | MAP_FIXED, -1, 0), at.add(PAGE).cast());
        eq(at.add(PAGE).read(), 0);
    }
    fn fixed_noreplace_refuses_overlap() {
        let at = anon(2);
        fails(EEXIST, mmap(at.cast(), PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
        ok(munmap(at.cast(), PAGE));
        ok_eq(mmap(at.cast(), PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), at.cast());
    }
    fn hint_is_taken_when_free() {
        let at = anon(4);
        ok(munmap(at.cast(), 4 * PAGE));
        ok_eq(mmap(at.cast(), PAGE, RW, ANON, -1, 0), at.cast());
        yes(ok(mmap(at.cast(), PAGE, RW, ANON, -1, 0)) != at.cast());
    }
    fn map_32bit_stays_low() {
        yes((ok(mmap(null_mut(), PAGE, RW, ANON | MAP_32BIT, -1, 0)) as usize) < 1 << 31);
    }
    fn munmap_middle_keeps_the_ends() {
        let at = anon(3);
        at.write(1);
        at.add(2 * PAGE).write(3);
        ok(munmap(at.add(PAGE).cast(), PAGE));
        eq((at.read(), at.add(2 * PAGE).read()), (1, 3));
        eq(perms(at.add(PAGE)), None);
        ok(munmap(at.cast(), 3 * PAGE));
        fails(EINVAL, munmap(at.cast(), 0));
        fails(EINVAL, munmap(at.add(1).cast(), PAGE));
    }
    fn private_memory_is_copied_by_fork() {
        let at = anon(1);
        at.write(1);
        in_child(|| {
            eq(at.read_volatile(), 1);
            at.write_volatile(2);
        });
        eq(at.read_volatile(), 1);
    }
    fn shared_anonymous_memory_is_shared_by_fork() {
        let word = shared(1);
        in_child(|| word[0].store(7, SeqCst));
        eq(word[0].load(SeqCst), 7);
    }
    fn mremap_grows_with_its_contents() {
        let at = anon(1);
        at.write(9);
        let at = ok(mremap(at.cast(), PAGE, 64 * PAGE, MREMAP_MAYMOVE)).cast::<u8>();
        eq((at.read(), at.add(63 * PAGE).read()), (9, 0));
    }
    fn mremap_shrinks_in_place() {
        let at = anon(4);
        ok_eq(mremap(at.cast(), 4 * PAGE, PAGE, 0), at.cast());
        eq(perms(at.add(PAGE)), None);
    }
    fn mremap_in_place_fails_when_blocked() {
        let at = anon(2);
        ok(mprotect(at.add(PAGE).cast(), PAGE, PROT_READ));
        fails(ENOMEM, mremap(at.cast(), PAGE, 2 * PAGE, 0));
    }
    fn mremap_fixed_moves_there() {
        let (at, to) = (anon(1), anon(2));
        at.write(9);
        ok_eq(mremap(at.cast(), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to.cast());
        eq(to.read(), 9);
        eq(perms(at), None);
    }
    fn mremap_dontunmap_leaves_an_empty_source() {
        let at = anon(1);
        at.write(9);
        let to = ok(mremap(at.cast(), PAGE, PAGE, MREMAP_MAYMOVE | 4, 0)).cast::<u8>();
        eq((to.read(), at.read()), (9, 0));
    }
    fn mremap_errors() {
        let at = anon(2);
        fails(EINVAL, mremap(at.add(1).cast(), PAGE, PAGE, 0));
        fails(EINVAL, mremap(at.cast(), PAGE, 0, 0));
        fails(EINVAL, mremap(at.cast(), PAGE, PAGE, 64));
        fails(EINVAL, mremap(at.cast(), PAGE, PAGE, MREMAP_FIXED, at));
        ok(munmap(at.cast(), 2 * PAGE));
        fails(EFAULT, mremap(at.cast(), PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    }
    fn mremap_of_shared_keeps_sharing() {
        let at = ok(mmap(null_mut(), 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)).cast::<u8>();
        ok(munmap(at.add(PAGE).cast(), PAGE));
        let at = ok(mremap(at.cast(), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, anon(1))).cast::<u8>();
        in_child(|| at.write_volatile(4));
        eq(at.read_volatile(), 4);
    }
    fn madvise_dontneed_zeroes_anonymous() {
        let at = anon(1);
        at.write(9);
        ok(madvise(at.cast(), PAGE, MADV_DONTNEED));
        eq(at.read_volatile(), 0);
    }
    fn madvise_dontneed_rereads_private_file() {
        let at = ok(map_fd(file(c"f", 1, b'a'), RW, MAP_PRIVATE, 0)).cast::<u8>();
        at.write_volatile(b'z');
        ok(madvise(at.cast(), PAGE, MADV_DONTNEED));
        eq(at.read_volatile(), b'a');
    }
    fn madvise_errors() {
        let at = anon(2);
        fails(EINVAL, madvise(at.add(1).cast(), PAGE, MADV_DONTNEED));
        fails(EINVAL, madvise(at.cast(), PAGE, 9999));
        ok(munmap(at.add(PAGE).cast(), PAGE));
        fails(ENOMEM, madvise(at.cast(), 2 * PAGE, MADV_NORMAL));
    }
    fn madvise_wipeonfork_and_dontfork() {
        let (wiped, gone) = (anon(1), anon(1));
        wiped.write(5);
        ok(madvise(wiped.cast(), PAGE, MADV_WIPEONFORK));
        ok(madvise(gone.cast(), PAGE, MADV_DONTFORK));
        in_child(|| {
            eq(wiped.read_volatile(), 0);
            eq(perms(gone), None);
        });
        eq(wiped.read_volatile(), 5);
    }
    fn madvise_remove_punches_shared_memory() {
        let at = ok(mmap(null_mut(), PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)).cast::<u8>();
        at.write_volatile(5);
        ok(madvise(at.cast(), PAGE, MADV_REMOVE));
        eq(at.read_volatile(), 0);
    }
    fn mincore_tells_touched_pages() {
        let at = anon(4);
        ok(madvise(at.cast(), 4 * PAGE, MADV_NOHUGEPAGE));
        at.add(2 * PAGE).write_volatile(1);
        eq(resident(at, 4), [0, 0, 1, 0]);
        ok(munmap(at.cast(), 4 * PAGE));
        fails(ENOMEM, mincore(at.cast(), PAGE, [0_u8].as_mut_ptr()));
    }
    fn msync_checks() {
        let at = ok(map_fd(file(c"f", 1, 0), RW, MAP_SHARED, 0)).cast::<u8>();
        at.write_volatile(1);
        ok(msync(at.cast(), PAGE, MS_SYNC));
        fails(EINVAL, msync(at.cast(), PAGE, MS_SYNC | MS_ASYNC));
        fails(EINVAL, msync(at.add(1).cast(), PAGE, MS_SYNC));
        ok(munmap(at.cast(), PAGE));
        fails(ENOMEM, msync(at.cast(), PAGE, MS_SYNC));
    }
    fn mlock_counts_in_status() {
        let at = anon(2);
        ok(mlock(at.cast(), 2 * PAGE));
        yes(text(c"/proc/self/status").contains("VmLck:\t       8 kB"));
        ok(munlock(at.cast(), 2 * PAGE));
        yes(text(c"/proc/self/status").contains("VmLck:\t       0 kB"));
    }
    fn brk_grows_and_shrinks() {
        let start = syscall(SYS_brk, 0) as usize;
        eq(syscall(SYS_brk, start + 10 * PAGE) as usize, start + 10 * PAGE);
        let top = (start + 9 * PAGE) as *mut u8;
        eq(top.read_volatile(), 0);
        top.write_volatile(1);
        eq(syscall(SYS_brk, start) as usize, start);
        eq(syscall(SYS_brk, start + 10 * PAGE) as usize, start + 10 * PAGE);
        eq(top.read_volatile(), 0);
    }
    fn brk_below_start_changes_nothing() {
        let now = syscall(SYS_brk, 0);
        eq(syscall(SYS_brk, 4096), now);
        eq(syscall(SYS_brk, -4096_i64), now);
    }
    fn brk_is_limited_by_rlimit_data() {
        let now = syscall(SYS_brk, 0) as usize;
        ok(setrlimit(RLIMIT_DATA, &rlimit { rlim_cur: 0, rlim_max: 0 }));
        eq(syscall(SYS_brk, now + 100 * PAGE) as usize, now);
    }
    fn address_space_limit_is_enomem() {
        ok(setrlimit(RLIMIT_AS, &rlimit { rlim_cur: 1 << 28, rlim_max: 1 << 28 }));
        fails(ENOMEM, mmap(null_mut(), 1 << 29, RW, ANON, -1, 0));
    }
    fn maps_tells_the_truth() {
        let at = anon(4);
        ok(mprotect(at.add(PAGE).cast(), PAGE, PROT_READ));
        ok(mprotect(at.add(2 * PAGE).cast(), PAGE, PROT_READ | PROT_EXEC));
        eq(perms(at).unwrap(), "rw-p");
        eq(vma(at.add(PAGE)).unwrap(), (at as usize + PAGE, at as usize + 2 * PAGE, "r--p".into()));
        eq(perms(at.add(2 * PAGE)).unwrap(), "r-xp");
    }
    fn maps_names_files_and_areas() {
        let at = ok(map_fd(file(c"named-file", 2, 0), RW, MAP_SHARED, PAGE as i64)) as usize;
        let all = text(c"/proc/self/maps");
        let line = all.lines().find(|l| l.contains("named-file")).unwrap();
        yes(line.starts_with(&format!("{at:x}-{:x} rw-s 00001000 ", at + PAGE)));
        yes(line.contains(&format!(" {} ", fstat(open(c"named-file", O_RDONLY)).st_ino)));
        yes(all.contains("[stack]") && all.contains("[heap]") && all.contains("[vdso]"));
    }
    fn adjacent_mappings_merge() {
        let at = anon(4);
        ok(mprotect(at.cast(), 2 * PAGE, PROT_READ));
        ok(mprotect(at.cast(), 2 * PAGE, RW));
        yes(vma(at).unwrap() == vma(at.add(3 * PAGE)).unwrap());
    }
    fn stack_grows_by_itself() {
        fn deep(n: usize) -> usize {
            let space = [n; 1024];
            if n == 0 { space[5] } else { deep(n - 1) + std::hint::black_box(&space)[1023] }
        }
        eq(deep(400), 400 * 401 / 2);
    }
    fn stack_overflow_is_segv() {
        let pid = spawn(|| {
            setrlimit(RLIMIT_STACK, &rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 });
            fn deep(n: usize) -> usize {
                let space = [n; 1024];
                if std::hint::black_box(n) == usize::MAX { 0 } else { deep(n + 1) + std::hint::black_box(&space)[3] }
            }
            deep(0) as i32
        });
        wait_signal(pid, SIGSEGV);
    }
    fn growsdown_mapping_grows() {
        let area = anon(64);
        let at = area.add(32 * PAGE);
        ok(munmap(area.cast(), 64 * PAGE));
        ok_eq(mmap(at.cast(), PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0), at.cast());
        at.write_volatile(1);
        at.sub(8).write_volatile(1);
        eq(vma(at).unwrap().0, at as usize - PAGE);
    }
    fn noreserve_and_populate_and_huge_sizes() {
        let at = ok(mmap(null_mut(), 1 << 36, RW, ANON | MAP_NORESERVE, -1, 0)).cast::<u8>();
        at.add(1 << 35).write_volatile(3);
        let at = ok(mmap(null_mut(), 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0)).cast::<u8>();
        eq(resident(at, 4), [1, 1, 1, 1]);
    }
    fn syscalls_see_protections() {
        let at = anon(2);
        ok(mprotect(at.add(PAGE).cast(), PAGE, PROT_NONE));
        let (r, w) = pipe(0);
        fails(EFAULT, write(w, at.add(PAGE).cast(), 1));
        put_fd(w, b"abc");
        ok(mprotect(at.cast(), PAGE, PROT_READ));
        fails(EFAULT, read(r, at.cast(), 3));
    }
    fn partial_copy_across_a_bad_page() {
        put(c"f", &[7; 200]);
        let at = anon(2);
        ok(munmap(at.add(PAGE).cast(), PAGE));
        let fd = open(c"f", O_RDONLY);
        let got = read(fd, at.add(PAGE - 100).cast(), 200);
        yes(got == 100 || (got == -1 && errno() == EFAULT));
    }
    fn process_vm_readv_reads_a_child() {
        let at = anon(1);
        let ready = shared(1);
        let pid = spawn(|| {
            at.write(77);
            ready[0].store(1, SeqCst);
            pause();
            0
        });
        until(|| ready[0].load(SeqCst) == 1);
        let mut byte = 0_u8;
        let local = iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let remote = iovec { iov_base: at.cast(), iov_len: 1 };
        ok_eq(process_vm_readv(pid, &local, 1, &remote, 1, 0), 1);
        eq(byte, 77);
        std::hint::black_box(&raw mut byte).write_volatile(78);
        ok_eq(process_vm_writev(pid, &local, 1, &remote, 1, 0), 1);
        fails(ESRCH, process_vm_readv(0x3fff_fff0, &local, 1, &remote, 1, 0));
        ok(kill(pid, SIGKILL));
        wait(pid);
    }
    fn self_modifying_code_is_seen() {
        let at = ok(mmap(null_mut(), PAGE, RW | PROT_EXEC, ANON, -1, 0)).cast::<u8>();
        let call: extern "C" fn() -> i32 = std::mem::transmute(at);
        for n in 1..50_u8 {
            std::ptr::copy_nonoverlapping([0xb8_u8, n, 0, 0, 0, 0xc3].as_ptr(), at, 6);
            eq(call(), i32::from(n));
        }
    }
    fn threads_map_and_unmap_at_once() {
        let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(move || {
            for _ in 0..200 {
                let at = anon(3);
                at.write_volatile(n);
                eq(at.read_volatile(), n);
                ok(munmap(at.cast(), 3 * PAGE));
            }
        })).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}
