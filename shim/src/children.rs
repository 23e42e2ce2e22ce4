//! The children of the shim: all that `runsc` leaves behind, since the shim is their subreaper. Those that stand for a process of a
//! container have a thread that waits; the rest (Gofers) are taken when they are found.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

static TRACKED: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);
static STARTING: RwLock<()> = RwLock::new(());

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a child of the standard library's runs, which waits for it itself.
pub type Starting = RwLockReadGuard<'static, ()>;

pub fn starting() -> Starting {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody waits for that child.
pub fn track(pid: i32) {
    lock(&TRACKED).insert(pid);
}

pub fn untrack(pid: i32) {
    lock(&TRACKED).remove(&pid);
}

/// Waits for a tracked child; gives the exit code that a shell would.
pub fn wait(pid: i32) -> u32 {
    let code = loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, code)) => break code,
            Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as i32,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            // Not a child any more: nothing is known of its end.
            Err(_) => break 255,
        }
    };
    untrack(pid);
    code.cast_unsigned()
}

/// Takes the dead that nobody waits for.
pub fn reap_orphans() {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let tracked = lock(&TRACKED).clone();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if !tracked.contains(&pid) {
                let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            }
        }
    }
}
