//! Races the channel from a second thread while the first makes ordinary calls.

mod takeover;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use takeover::{CHANNELS, Noise, SLOT, Victim, has_stub, in_child};

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    if !has_stub() {
        println!("no stub in this process: nothing to race");
        return;
    }
    let victim = Victim::new();
    for round in 0..12 {
        // SAFETY: the damage is done in a child.
        in_child(2000, || unsafe { race(round) });
        victim.check();
    }
    victim.end();
    println!("survived");
}

unsafe fn race(round: u64) {
    let offsets: &[usize] = match round % 4 {
        0 => &[0, 4, 16, 20, 24, 28],
        1 => &[288, 296, 304, 312, 392, 400, 408, 416],
        2 => &[80, 88, 96, 104, 112, 120],
        _ => &[504, 508, 512, 516, 520, 524, 528, 536, 544],
    };
    for _ in 0..2 {
        std::thread::spawn(move || {
            let mut noise = Noise(round * 31 + 7);
            while !STOP.load(SeqCst) {
                for slot in 0..4 {
                    for offset in offsets {
                        ((CHANNELS + slot * SLOT + offset) as *mut u32)
                            .write_volatile((noise.next() >> (noise.0 & 31)) as u32);
                    }
                }
            }
        });
    }
    let mut buffer = [0_u8; 512];
    let fd = libc::open(c"/proc/self/status".as_ptr(), libc::O_RDONLY);
    for _ in 0..3000 {
        libc::pread(fd, buffer.as_mut_ptr().cast(), 512, 0);
        libc::getppid();
        let at = libc::mmap(
            std::ptr::null_mut(),
            8192,
            3,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        libc::munmap(at, 8192);
    }
    STOP.store(true, SeqCst);
}
