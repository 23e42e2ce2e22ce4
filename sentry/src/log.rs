//! Log lines of the Sentry: to the fd that `runsc` donated, one line each, no buffering.

use std::fmt::Arguments;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static OUT: OnceLock<OwnedFd> = OnceLock::new();
static DEBUG: AtomicBool = AtomicBool::new(false);

/// Sets where lines go; only the first call counts.
pub fn init(fd: OwnedFd, debug: bool) {
    DEBUG.store(debug, Ordering::Relaxed);
    let _ = OUT.set(fd);
}

fn line(level: &str, text: Arguments<'_>) {
    if let Some(out) = OUT.get() {
        let line = format!("{level} {text}\n");
        let _ = rustix::io::write(out, line.as_bytes());
    }
}

/// Something an operator should know.
pub fn warn(text: Arguments<'_>) {
    line("WARN", text);
}

/// What happens, in large.
pub fn info(text: Arguments<'_>) {
    line("INFO", text);
}

/// What happens, in small; only with `--debug`.
pub fn debug(text: Arguments<'_>) {
    if DEBUG.load(Ordering::Relaxed) {
        line("DEBUG", text);
    }
}
