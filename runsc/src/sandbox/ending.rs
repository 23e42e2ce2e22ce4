//! Why a sandbox has ended before its container's process did.

use std::path::Path;

use super::control;
use crate::cgroup;
use crate::state::Record;

/// What the Sentry said at last, or what may have ended it without a word; `dir` is the container's. None where the
/// process has ended, or was killed by a command.
pub fn why(dir: &Path, record: &Record) -> Option<String> {
    record.sandbox?;
    let text = std::fs::read_to_string(control::exit_file(dir)).unwrap_or_default();
    match text.trim() {
        "" if record.cgroup.as_ref().is_some_and(cgroup::killed) => {
            Some("killed by the host for want of memory".to_owned())
        }
        "" => Some("killed, by somebody or by the host's kernel (dmesg may tell)".to_owned()),
        status if status.parse::<i32>().is_ok() => None,
        words => words.lines().next().map(str::to_owned),
    }
}

/// Writes down that a command killed what had not been started.
pub fn killed(dir: &Path) {
    let _ = std::fs::write(control::exit_file(dir), nix::libc::SIGKILL.to_string());
}
