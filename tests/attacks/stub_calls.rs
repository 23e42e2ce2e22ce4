//! Makes every system call from taken-over stub text: all but a handful must kill the process, and none may reach outside.

mod takeover;

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use takeover::{LET_THROUGH, Victim, find_syscall, has_stub, in_child, shared, stub_call, stub_exit, take_over};

const UNSET: i64 = i64::MIN;

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
        let victim = Victim::new();
        let result = &*shared(4096).cast::<AtomicI64>();
        if every_number(&victim, result) {
            descriptors(result);
            forks(&victim, result);
        }
        victim.check();
        victim.end();
        println!("survived");
    }
}

unsafe fn attempt(result: &AtomicI64, nr: i64, args: [u64; 6]) -> (i32, i64) {
    result.store(UNSET, SeqCst);
    let status = in_child(10_000, || {
        if !take_over() {
            libc::_exit(88);
        }
        result.store(UNSET + 1, SeqCst);
        let got = stub_call(nr, args);
        result.store(got, SeqCst);
        stub_exit(0);
    });
    (status, result.load(SeqCst))
}

/// Numbers that the filter has no business with kill the caller, whatever the arguments. False if the stub's text is out of
/// reach: where each of its calls is caught too, there is nothing more to try.
unsafe fn every_number(victim: &Victim, result: &AtomicI64) -> bool {
    let (_, first) = attempt(result, 11, [0x1000, 4096, 0, 0, 0, 0]);
    if first == UNSET {
        println!("the stub's text cannot be replaced");
        return false;
    }
    let path = c"/etc/passwd".as_ptr() as u64;
    for nr in (0..470).chain([512, 1000, 0x4000_0000, 0x4000_0002]) {
        // 335 and 336 (uretprobe, uprobe) never meet a seccomp filter: the host answers them with SIGILL and ENXIO, and they do
        // nothing but from a probe's own trampoline.
        if LET_THROUGH.contains(&nr) || nr == 335 || nr == 336 {
            continue;
        }
        let (status, got) = attempt(result, nr, [path, 0, 0, 0, 0, 0]);
        assert!(
            !libc::WIFEXITED(status) && got == UNSET + 1,
            "call {nr} from stub text: status {status:#x}, result {got}"
        );
        if nr % 50 == 0 {
            victim.check();
        }
    }
    println!("every other number kills");
    true
}

/// A guest process holds no descriptor but its channel: nothing else can be mapped.
unsafe fn descriptors(result: &AtomicI64) {
    let mut mapped = 0;
    for fd in 0..64_u64 {
        let (_, got) = attempt(result, 9, [0, 4096, 1, 1, fd, 0]);
        if got > 0 {
            mapped += 1;
        }
    }
    assert!(mapped <= 1, "{mapped} descriptors can be mapped by the guest process");
    println!("descriptors: {mapped} can be mapped");
}

/// Clones that nobody ordered make nothing.
unsafe fn forks(victim: &Victim, result: &AtomicI64) {
    for flags in [
        17,
        0x8000 | 17,
        0x100 | 17,
        0x5_0f00,
        0x2000_0000 | 17,
        0x1000_0000 | 17,
        0x0002_0000 | 17,
    ] {
        let (status, got) = attempt(result, 56, [flags, 0, 0, 0, 0, 0]);
        assert!(
            got < 0 || !libc::WIFEXITED(status),
            "clone({flags:#x}) from stub text gave {got}"
        );
        victim.check();
    }
    for (nr, args) in [
        (157, [1, 0, 0, 0, 0, 0]),
        (157, [22, 0, 0, 0, 0, 0]),
        (157, [38, 1, 0, 0, 0, 0]),
        (9, [0, 4096, 3, 0x2021, u64::MAX, 0]),
        (9, [0, 1 << 21, 3, 0x4_0022, u64::MAX, 0]),
        (28, [0x40_0000, 4096, 100, 0, 0, 0]),
        (28, [0x40_0000, 4096, 12, 0, 0, 0]),
    ] {
        let (status, got) = attempt(result, nr, args);
        assert!(
            !libc::WIFEXITED(status) && got == UNSET + 1,
            "call {nr} {args:x?}: status {status:#x}, result {got}"
        );
    }
    println!("unordered clones and odd arguments give nothing");
}
