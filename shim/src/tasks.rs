//! The children of the shim: all that `runsc` leaves behind, since the shim is their subreaper. Those that stand for a process of a
//! container have a thread that waits; the rest (Gofers) are taken when they are found.

use std::collections::HashSet;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

static TRACKED: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);
static STARTING: RwLock<()> = RwLock::new(());

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a child of the standard library's runs, which waits for it itself.
pub fn starting() -> RwLockReadGuard<'static, ()> {
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

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    pub code: u32,
    pub at: SystemTime,
}

/// The end of a process, for those that wait.
#[derive(Default)]
pub struct Ending {
    exit: Mutex<Option<Exit>>,
    changed: Condvar,
}

impl Ending {
    pub fn get(&self) -> Option<Exit> {
        *lock(&self.exit)
    }

    pub fn set(&self, code: u32) -> Exit {
        let exit = Exit {
            code,
            at: SystemTime::now(),
        };
        *lock(&self.exit) = Some(exit);
        self.changed.notify_all();
        exit
    }

    pub fn wait(&self) -> Exit {
        let mut exit = lock(&self.exit);
        loop {
            match *exit {
                Some(exit) => return exit,
                None => exit = self.changed.wait(exit).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
