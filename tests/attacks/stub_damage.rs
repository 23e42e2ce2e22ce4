//! Destroys what the platform keeps in the guest process: text, channels, signal stacks, registers, descriptors.

mod takeover;

use std::arch::asm;

use takeover::{
    CHANNELS, DOORBELL, Noise, SLOT, STUB_BASE, STUB_TEXT, Victim, find_syscall, has_stub, in_child, stub_call,
    stub_exit, take_over,
};

fn main() {
    if !has_stub() {
        println!("no stub in this process: nothing to damage");
        return;
    }
    // SAFETY: all damage is done in children.
    unsafe {
        let victim = Victim::new();
        for (name, attack) in ATTACKS {
            for round in 0..8 {
                in_child(1000, || attack(round));
                victim.check();
            }
            println!("{name}: survived");
        }
        victim.end();
    }
}

type Attack = unsafe fn(u64);

const ATTACKS: &[(&str, Attack)] = &[
    ("ordinary calls on the platform's range", ordinary_calls),
    ("unmapping the text", unmap_text),
    ("unmapping the channels", unmap_channels),
    ("unmapping the signal stacks", unmap_stacks),
    ("replacing the channels by private memory", replace_channels),
    ("protecting the channels", protect_channels),
    ("garbage in the channels, then a call", scribble_then_call),
    ("garbage in the channels, then the doorbell", scribble_then_ring),
    ("every word of a request changed in turn", walk_words),
    ("the doorbell without a request", ring_at_random),
    ("a forged signal frame", forged_frame),
    ("jumps into the middle of the text", jump_around),
    ("closing every descriptor", close_all),
    ("32-bit entry", legacy_entry),
    ("segment bases", segment_bases),
];

/// What guest code may ask of the Sentry about addresses that are not the guest's.
unsafe fn ordinary_calls(_: u64) {
    for at in [
        STUB_BASE,
        STUB_BASE + 0x100_0000,
        CHANNELS,
        CHANNELS + SLOT,
        STUB_BASE + 0x2000_0000,
    ] {
        let at = at as *mut libc::c_void;
        let mapped = libc::mmap(
            at,
            4096,
            7,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        );
        assert!(mapped == libc::MAP_FAILED, "mmap over the platform's range");
        libc::munmap(at, 4096);
        libc::mprotect(at, 4096, 7);
        libc::madvise(at, 4096, libc::MADV_DONTNEED);
        libc::mremap(at, 4096, 4096, libc::MREMAP_MAYMOVE);
        libc::msync(at, 4096, libc::MS_SYNC);
        libc::mlock(at, 4096);
    }
    assert!(libc::getppid() > 0);
}

unsafe fn unmap(from: usize, len: usize) {
    if take_over() {
        stub_call(11, [from as u64, len as u64, 0, 0, 0, 0]);
        if from != STUB_BASE {
            stub_exit(0);
        }
    }
}

unsafe fn unmap_text(_: u64) {
    unmap(STUB_BASE, STUB_TEXT);
}

unsafe fn unmap_channels(_: u64) {
    unmap(CHANNELS, 0x400_0000);
}

unsafe fn unmap_stacks(_: u64) {
    unmap(STUB_BASE + 0x2000_0000, 0x1000_0000);
}

unsafe fn replace_channels(round: u64) {
    let Some(gate) = find_syscall() else { return };
    // The gate runs on into the stub; what comes of it is this process's trouble.
    takeover::call_at(gate, 9, [CHANNELS as u64, 0x1_0000, 3, 0x32, u64::MAX, round]);
}

unsafe fn protect_channels(round: u64) {
    let Some(gate) = find_syscall() else { return };
    takeover::call_at(gate, 10, [CHANNELS as u64, 0x1_0000, round & 7, 0, 0, 0]);
}

/// The slot of the only thread: the one whose turn word lives in the first mapped page.
fn slots() -> impl Iterator<Item = usize> {
    (0..4).map(|n| CHANNELS + n * SLOT)
}

unsafe fn scribble(noise: &mut Noise) {
    for slot in slots() {
        for word in 0..SLOT / 8 {
            ((slot + word * 8) as *mut u64).write_volatile(noise.next());
        }
    }
}

unsafe fn scribble_then_call(round: u64) {
    let mut noise = Noise(round * 7919 + 1);
    for _ in 0..50 {
        scribble(&mut noise);
        libc::getppid();
    }
}

unsafe fn scribble_then_ring(round: u64) {
    let mut noise = Noise(round * 104_729 + 3);
    if take_over() {
        for turn in 0..200 {
            scribble(&mut noise);
            // Small values reach further than noise: kinds, counts, orders.
            for slot in slots() {
                (slot as *mut u32).write_volatile(1 + (turn & 1));
                ((slot + 16) as *mut u32).write_volatile(turn % 7);
                ((slot + 28) as *mut u32).write_volatile((noise.next() % 14) as u32);
            }
            stub_call(DOORBELL, [u64::from(turn) & 1, noise.next() & 0xff, 0, 0, 0, 0]);
        }
        stub_exit(0);
    }
}

unsafe fn walk_words(round: u64) {
    let mut noise = Noise(round + 11);
    for word in (round * 64)..(round * 64 + 64) {
        for slot in slots() {
            ((slot as u64 + word * 8) as *mut u64).write_volatile(noise.next());
        }
        libc::getppid();
    }
}

unsafe fn ring_at_random(round: u64) {
    let mut noise = Noise(round + 5);
    if take_over() {
        for _ in 0..500 {
            stub_call(
                DOORBELL,
                [noise.next() & 3, noise.next() & 0xffff, noise.next(), 0, 0, 0],
            );
        }
        stub_exit(0);
    }
}

unsafe fn forged_frame(round: u64) {
    let mut noise = Noise(round + 17);
    let frame: Vec<u64> = (0..512).map(|_| noise.next()).collect();
    if let Some(gate) = find_syscall() {
        asm!("mov rsp, {frame}", "jmp {gate}", frame = in(reg) frame.as_ptr(), gate = in(reg) gate, in("rax") 15_u64,
             options(noreturn));
    }
}

unsafe fn jump_around(round: u64) {
    // A jump that leads nowhere is ended by patience: 19 and the rounds' own beginnings reach every kind of place.
    for at in (round * 512 + round..round * 512 + 512).step_by(19) {
        let status = in_child(50, || {
            takeover::call_at(
                STUB_BASE + at as usize,
                (at % 400) as i64,
                [at, CHANNELS as u64, 4096, 3, 0, 0],
            );
        });
        let _ = status;
    }
}

unsafe fn close_all(_: u64) {
    if take_over() {
        for fd in 0..1024 {
            stub_call(3, [fd, 0, 0, 0, 0, 0]);
        }
        stub_call(DOORBELL, [0, 0, 0, 0, 0, 0]);
        stub_exit(0);
    }
}

/// `int 0x80` is served as nothing, or kills; it never reaches the host.
unsafe fn legacy_entry(_: u64) {
    let result: i64;
    asm!("push rbx", "xor ebx, ebx", "int 0x80", "pop rbx", inout("rax") 20_i64 => result, out("rcx") _, out("rdx") _);
    assert!(
        result < 0 || result == i64::from(libc::getpid()),
        "int 0x80 gave {result}"
    );
}

unsafe fn segment_bases(round: u64) {
    let Some(gate) = find_syscall() else { return };
    let code = [0x1001, 0x1002, 0x1003, 0x1004][(round & 3) as usize];
    takeover::call_at(
        gate,
        158,
        [code, if round < 4 { 0x4141_4141 } else { CHANNELS as u64 }, 0, 0, 0, 0],
    );
}
