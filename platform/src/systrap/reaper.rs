//! Dead guest processes: their contexts learn of it before their numbers are free again.

use std::sync::Arc;

use super::hub::Hub;
use super::thread::Thread;
use crate::host::process;

/// Runs until the last guest process is reaped.
pub(super) fn run(hub: &Arc<Hub>) {
    loop {
        match process::wait_dead(hub.group) {
            Ok(pid) => bury(hub, pid),
            Err(abi::Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn bury(hub: &Hub, pid: i32) {
    if pid == hub.group && hub.zygote.lock().strong_count() > 0 {
        // Killed from outside: no process could be made any more, and whoever waits for one would wait for ever. The Sentry
        // is the first process of its pid namespace, so that everything ends with it.
        crate::host::last_words::say(crate::guest::zygote::KILLED);
        std::process::exit(128 + libc::SIGKILL);
    }
    let known = hub.processes.lock().remove(&pid);
    let Some(known) = known else {
        // Either a fork that died at birth, and its parent will ask, or a stranger that was refused: do not collect those.
        let mut stillborn = hub.stillborn.lock();
        if stillborn.len() > 1024 {
            stillborn.clear();
        }
        stillborn.insert(pid);
        drop(stillborn);
        let _ = process::reap(pid);
        wake_births(hub);
        return;
    };
    known.host.set_dead();
    let mut dead = Vec::new();
    hub.threads.lock().retain(|_, thread| {
        let theirs = Arc::ptr_eq(&thread.process, &known);
        if theirs {
            dead.push(Arc::clone(thread));
        }
        !theirs
    });
    let _ = process::reap(pid);
    dead.iter().for_each(|thread: &Arc<Thread>| thread.set_gone());
    // One of them may have waited for a thread that was to be born in this process.
    wake_births(hub);
}

/// Whoever waits for a newcomer looks whether it can still come.
fn wake_births(hub: &Hub) {
    let waiting: Vec<_> = hub.births.lock().values().cloned().collect();
    for birth in waiting {
        birth.wake();
    }
}
