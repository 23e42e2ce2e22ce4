//! Signals and shared memory for the cases.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::check::ok;

pub static HITS: AtomicI32 = AtomicI32::new(0);
pub static LAST: AtomicI32 = AtomicI32::new(0);

pub extern "C" fn count(signal: i32) {
    LAST.store(signal, Ordering::SeqCst);
    HITS.fetch_add(1, Ordering::SeqCst);
}

/// Times that `count` ran in this process.
pub fn hits() -> i32 {
    HITS.load(Ordering::SeqCst)
}

/// Installs `count` as the handler.
#[track_caller]
pub fn catch(signal: i32, flags: i32) {
    handle(signal, count as *const () as usize, flags);
}

/// Installs any handler.
#[track_caller]
pub fn handle(signal: i32, handler: usize, flags: i32) {
    // SAFETY: sigaction is plain data.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        ok(libc::sigaction(signal, &action, std::ptr::null_mut()));
    }
}

pub fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

#[track_caller]
pub fn block(signals: &[i32]) {
    // SAFETY: plain call.
    ok(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set_of(signals), std::ptr::null_mut()) });
}

#[track_caller]
pub fn unblock(signals: &[i32]) {
    // SAFETY: plain call.
    ok(unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &set_of(signals), std::ptr::null_mut()) });
}

pub fn pending(signal: i32) -> bool {
    // SAFETY: plain call.
    unsafe {
        let mut set = std::mem::zeroed();
        ok(libc::sigpending(&mut set));
        libc::sigismember(&set, signal) == 1
    }
}

/// Shared anonymous words that survive fork, zeroed.
#[track_caller]
pub fn shared(words: usize) -> &'static [AtomicI32] {
    // SAFETY: the mapping is never removed; AtomicI32 allows sharing.
    unsafe {
        let at = ok(libc::mmap(
            std::ptr::null_mut(),
            words * 4,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        ));
        std::slice::from_raw_parts(at.cast(), words)
    }
}

/// Sends a signal to `pid` from a helper child after `ms` milliseconds; the child's pid.
pub fn kill_later(pid: i32, signal: i32, ms: u64) -> i32 {
    crate::process::spawn(|| {
        crate::process::sleep_ms(ms);
        // On a busy machine it may not have got to its call yet. One that never sleeps is not waited for for long.
        let asleep = || crate::process::state_of(pid) == 'S';
        (0..500)
            .take_while(|_| !asleep())
            .for_each(|_| crate::process::sleep_ms(2));
        // SAFETY: plain call.
        unsafe { libc::kill(pid, signal) };
        0
    })
}
