//! Makes mappings of files that were opened for reading writable, by the host calls that stub text may make (S2).

mod takeover;

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use takeover::{find_syscall, has_stub, in_child, shared, stub_call, stub_exit, take_over};

const BEFORE: &[u8] = b"before";

fn main() {
    if !has_stub() {
        println!("no stub in this process: nothing to jump into");
        return;
    }
    // SAFETY: all damage is done in children.
    unsafe {
        if find_syscall().is_none() {
            println!("the stub's text has no reachable system call");
            return;
        }
        let result = &*shared(4096).cast::<AtomicI64>();
        libc::mkdir(c"/tmp".as_ptr(), 0o777);
        // The attack works where it is allowed: a mapping that was opened for writing.
        let (fd, _) = memfd();
        let got = attempt(result, || {
            libc::mmap(std::ptr::null_mut(), 4096, 1, libc::MAP_SHARED, fd, 0)
        });
        if got == i64::MIN {
            println!("the stub's text cannot be replaced");
            return;
        }
        assert!(got == 0, "a file opened for writing cannot be made writable: {got}");
        let mut seen = [0_u8; 6];
        libc::pread(fd, seen.as_mut_ptr().cast(), 6, 0);
        assert!(seen == *b"LEAKED", "the attack does not attack: {seen:?}");
        named(result);
        segment(result);
        println!("survived");
    }
}

unsafe fn memfd() -> (i32, i32) {
    let fd = libc::memfd_create(c"victim".as_ptr(), 0);
    assert!(libc::write(fd, BEFORE.as_ptr().cast(), 6) == 6, "write");
    let path = format!("/proc/self/fd/{fd}\0");
    (fd, libc::open(path.as_ptr().cast(), libc::O_RDONLY))
}

/// Maps by `map`, then asks the host to make it writable, and writes; gives what the host said.
unsafe fn attempt<F: FnOnce() -> *mut libc::c_void>(result: &AtomicI64, map: F) -> i64 {
    result.store(i64::MIN, SeqCst);
    in_child(10_000, || {
        let at = map();
        assert!(at != libc::MAP_FAILED, "map");
        std::hint::black_box(at.cast::<u8>().read_volatile());
        if !take_over() {
            libc::_exit(88);
        }
        let got = stub_call(10, [at as u64, 4096, 3, 0, 0, 0]);
        result.store(got, SeqCst);
        if got == 0 {
            std::ptr::copy_nonoverlapping(b"LEAKED".as_ptr(), at.cast::<u8>(), 6);
        }
        stub_exit(0);
    });
    result.load(SeqCst)
}

/// Files in memory, opened read-only: with a name, without one, and mapped privately though opened for writing.
unsafe fn named(result: &AtomicI64) {
    let path = c"/tmp/victim-of-mappings";
    let file = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600);
    assert!(libc::write(file, BEFORE.as_ptr().cast(), 6) == 6, "write");
    let file_ro = libc::open(path.as_ptr(), libc::O_RDONLY);
    let (mem, mem_ro) = memfd();
    for (name, keep, fd) in [("tmpfs file", file, file_ro), ("memfd", mem, mem_ro)] {
        let got = attempt(result, || {
            libc::mmap(std::ptr::null_mut(), 4096, 1, libc::MAP_SHARED, fd, 0)
        });
        let mut seen = [0_u8; 6];
        libc::pread(keep, seen.as_mut_ptr().cast(), 6, 0);
        assert!(seen == BEFORE, "{name}: changed through a read-only descriptor");
        assert!(got < 0 && got != i64::MIN, "{name}: the host made it writable ({got})");
    }
    libc::unlink(path.as_ptr());
    println!("files in memory stay as they are");
}

/// A System V segment attached for reading.
unsafe fn segment(result: &AtomicI64) {
    let id = libc::shmget(libc::IPC_PRIVATE, 4096, 0o600);
    let own = libc::shmat(id, std::ptr::null(), 0).cast::<u8>();
    std::ptr::copy_nonoverlapping(BEFORE.as_ptr(), own, 6);
    let got = attempt(result, || libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY));
    let seen = std::slice::from_raw_parts(own, 6);
    assert!(seen == BEFORE, "segment: changed through a read-only attachment");
    assert!(got < 0 && got != i64::MIN, "segment: the host made it writable ({got})");
    libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
    println!("segments stay as they are");
}
