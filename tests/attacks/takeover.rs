//! How the hostile programs get system calls past the catch: they make the stub's text their own.
//!
//! The filter on guest processes lets a few calls through when they come from the stub's address range. A guest may jump
//! there with any registers; with the `mremap` that is let through it may even put its own code there. Whatever it does
//! then must concern only its own process.

#![allow(dead_code, reason = "each program uses its part")]

use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, c_void};

pub const STUB_BASE: usize = 0x7ff0_0000_0000;
pub const STUB_TEXT: usize = 0x1_0000;
pub const CHANNELS: usize = STUB_BASE + 0x1000_0000;
pub const SLOT: usize = 0x4000;
pub const DOORBELL: i64 = 0x2a5a;

/// Calls that the filter is meant to let through from stub text (those with conditions on arguments included).
pub const LET_THROUGH: &[i64] = &[3, 9, 10, 11, 15, 25, 26, 28, 56, 60, 131, 157, 158, DOORBELL];

/// Is there a stub to attack? A pipe tells whether its first page can be read.
pub fn has_stub() -> bool {
    // SAFETY: the kernel checks the address; nothing is dereferenced here.
    unsafe {
        let mut p = [0; 2];
        libc::pipe(p.as_mut_ptr());
        let readable = libc::write(p[1], STUB_BASE as *const c_void, 1) == 1;
        libc::close(p[0]);
        libc::close(p[1]);
        readable || probe(STUB_BASE)
    }
}

/// Reads one byte in a child, which may die of it.
pub fn probe(at: usize) -> bool {
    // SAFETY: only the child touches the address.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            (at as *const u8).read_volatile();
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(pid, &mut status, 0);
        libc::WIFEXITED(status)
    }
}

/// The page of the stub's text that holds the gate.
static PAGE: AtomicUsize = AtomicUsize::new(STUB_BASE);

/// Address of a `syscall` instruction in the stub's text.
pub unsafe fn find_syscall() -> Option<usize> {
    for page in (STUB_BASE..STUB_BASE + STUB_TEXT).step_by(4096) {
        if !probe(page) {
            continue;
        }
        let text = std::slice::from_raw_parts(page as *const u8, 4096);
        if let Some(at) = text.windows(3).position(|w| w[..2] == [0x0f, 0x05]) {
            PAGE.store(page, SeqCst);
            return Some(page + at);
        }
    }
    None
}

/// Replaces the gate's page of the stub's text by `syscall; ret`, using the stub's own `syscall`.
///
/// After it no ordinary system call of this process works any more: only [`stub_call`].
pub unsafe fn take_over() -> bool {
    let Some(gate) = find_syscall() else { return false };
    let target = PAGE.load(SeqCst);
    let page = libc::mmap(
        std::ptr::null_mut(),
        4096,
        PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    );
    let code = std::slice::from_raw_parts_mut(page.cast::<u8>(), 4096);
    // Whatever follows the gate: back to whoever jumped. The new gate stands before it.
    code.fill(0xc3);
    let own = if gate - target > 2048 { 64 } else { 3072 };
    code[own..own + 2].copy_from_slice(&[0x0f, 0x05]);
    OWN.store(target + own, SeqCst);
    // mremap(page, 4096, 4096, MAYMOVE | FIXED, target) by a jump to the gate, with a return address on the stack.
    call_at(gate, 25, [page as u64, 4096, 4096, 3, target as u64, 0]);
    *((target + own) as *const u8) == 0x0f
}

/// The new gate.
static OWN: AtomicUsize = AtomicUsize::new(0);

/// Jumps to `gate` with these registers; the code there comes back by `ret`.
pub unsafe fn call_at(gate: usize, nr: i64, args: [u64; 6]) -> i64 {
    let result;
    asm!("call {gate}", gate = in(reg) gate, inout("rax") nr => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
         in("r10") args[3], in("r8") args[4], in("r9") args[5], out("rcx") _, out("r11") _);
    result
}

/// A call from taken-over stub text.
pub unsafe fn stub_call(nr: i64, args: [u64; 6]) -> i64 {
    call_at(OWN.load(SeqCst), nr, args)
}

/// Ends this process from taken-over stub text.
pub unsafe fn stub_exit(code: u64) -> ! {
    stub_call(60, [code, 0, 0, 0, 0, 0]);
    loop {
        asm!("ud2");
    }
}

/// Memory that survives in all children.
pub unsafe fn shared(bytes: usize) -> *mut u8 {
    libc::mmap(
        std::ptr::null_mut(),
        bytes,
        PROT_READ | PROT_WRITE,
        libc::MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    )
    .cast()
}

/// A process that must notice nothing: it answers on a pipe as long as its memory is as it was.
pub struct Victim {
    pid: i32,
    to: i32,
    from: i32,
}

impl Victim {
    pub fn new() -> Victim {
        // SAFETY: plain calls; the child leaves by _exit.
        unsafe {
            let (mut a, mut b) = ([0; 2], [0; 2]);
            assert!(libc::pipe(a.as_mut_ptr()) == 0 && libc::pipe(b.as_mut_ptr()) == 0);
            let pid = libc::fork();
            if pid == 0 {
                libc::close(a[1]);
                let memory = vec![0x5a_u8; 1 << 20];
                let mut byte = 0_u8;
                while libc::read(a[0], (&raw mut byte).cast(), 1) == 1 {
                    if std::hint::black_box(&memory).iter().all(|b| *b == 0x5a) {
                        libc::write(b[1], (&raw const byte).cast(), 1);
                    }
                }
                libc::_exit(0);
            }
            libc::close(a[0]);
            libc::close(b[1]);
            Victim {
                pid,
                to: a[1],
                from: b[0],
            }
        }
    }

    /// The kernel still serves this process and the victim, and the victim's memory is whole.
    pub fn check(&self) {
        // SAFETY: plain calls on this frame's values.
        unsafe {
            let byte = 7_u8;
            assert!(
                libc::write(self.to, (&raw const byte).cast(), 1) == 1,
                "the victim is gone"
            );
            let mut poll = libc::pollfd {
                fd: self.from,
                events: libc::POLLIN,
                revents: 0,
            };
            assert!(libc::poll(&mut poll, 1, 5000) == 1, "the victim does not answer");
            let mut got = 0_u8;
            assert!(
                libc::read(self.from, (&raw mut got).cast(), 1) == 1 && got == 7,
                "the victim's memory changed"
            );
        }
    }

    pub fn end(self) {
        // SAFETY: plain calls.
        unsafe {
            libc::close(self.to);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Runs `attack` in a child and gives its wait status; a child that hangs is killed after `ms` milliseconds.
pub fn in_child<F: FnOnce()>(ms: i32, attack: F) -> i32 {
    // SAFETY: the child leaves by _exit or dies.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            attack();
            libc::_exit(0);
        }
        let mut status = 0;
        for _ in 0..ms / 5 {
            if libc::waitpid(pid, &mut status, libc::WNOHANG) == pid {
                return status;
            }
            libc::usleep(5000);
        }
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &mut status, 0);
        status
    }
}

/// A small generator of noise, the same in each run.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
