//! A host process that runsc started earlier, told apart from a later one with the same number.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// Pid and start time (clock ticks since boot, `/proc/PID/stat` field 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    pub start_time: u64,
}

impl Process {
    /// Describes a process that exists now.
    pub fn of(pid: i32) -> Option<Self> {
        let (_, start_time) = stat(pid)?;
        Some(Self { pid, start_time })
    }

    /// Whether it still runs; a zombie does not.
    pub fn alive(self) -> bool {
        matches!(stat(self.pid), Some((state, start)) if start == self.start_time && !matches!(state, 'Z' | 'X'))
    }

    /// A handle, if it still runs.
    pub fn open(self) -> Option<OwnedFd> {
        let fd = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The number is pinned by the handle now; what it names must still be the process that was meant.
        self.alive().then_some(fd)
    }

    /// Sends a signal; false if it is gone.
    pub fn signal(self, signal: Signal) -> bool {
        self.open()
            .is_some_and(|fd| rustix::process::pidfd_send_signal(fd, signal).is_ok())
    }

    /// Waits until it has ended, however long it takes.
    pub fn wait(self) {
        if let Some(fd) = self.open() {
            while !wait_gone(&fd, Duration::from_secs(3600)) && self.alive() {}
        }
    }

    /// SIGKILL, and waits until nothing of it runs. False if it would not go.
    pub fn kill_and_wait(self, limit: Duration) -> bool {
        let Some(fd) = self.open() else { return true };
        let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
        wait_gone(&fd, limit) || !self.alive()
    }
}

/// Waits until the process of a pidfd ended.
pub fn wait_gone(pidfd: &OwnedFd, limit: Duration) -> bool {
    let deadline = std::time::Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        match rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// State letter and start time.
fn stat(pid: i32) -> Option<(char, u64)> {
    if pid <= 0 {
        return None;
    }
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&text))
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The name may hold anything, blanks and parentheses included: fields are counted from its last parenthesis.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

#[cfg(test)]
mod tests {
    use super::{Process, parse_stat};

    #[test]
    fn strange_names() {
        let line = "42 (a) R 1 (b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0";
        assert_eq!(parse_stat(line), Some(('S', 987_654)));
        assert_eq!(parse_stat("42 (x"), None);
    }

    #[test]
    fn itself() {
        let me = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.alive());
        assert!(
            !Process {
                start_time: me.start_time + 1,
                ..me
            }
            .alive()
        );
    }
}
