//! `O_ASYNC`: a signal to the file's owner when it becomes ready (`fcntl(2)`, `F_SETOWN`, `F_SETSIG`).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::file::{File, FileOwner};
use crate::kernel::Kernel;
use crate::signal::info::{Detail, code};
use crate::signal::{SigInfo, Signal};
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{Events, Listener, WaitKey};

/// Files with `O_ASYNC`, by id.
#[derive(Default)]
pub struct AsyncFiles {
    keys: Mutex<HashMap<u64, (WaitKey, Weak<File>)>>,
}

struct Sender {
    file: Weak<File>,
    kernel: Weak<Kernel>,
}

impl Listener for Sender {
    fn notify(&self, events: Events) {
        let (Some(file), Some(kernel)) = (self.file.upgrade(), self.kernel.upgrade()) else {
            return;
        };
        let owner = *file.owner.lock();
        if owner.id == 0 {
            return;
        }
        let sender = kernel.clone();
        soon(&kernel, move || {
            let number = if owner.signal == 0 {
                Signal::SIGIO.number()
            } else {
                owner.signal
            };
            let Some(signal) = Signal::new(number) else { return };
            let si_code = if events.intersects(Events::READ) {
                code::POLL_IN
            } else if events.intersects(Events::WRITE) {
                code::POLL_OUT
            } else if events.intersects(Events::HUP) {
                code::POLL_HUP
            } else {
                code::POLL_ERR
            };
            let info = SigInfo {
                signal,
                errno: 0,
                code: si_code,
                detail: Detail::Poll {
                    band: i64::from(events.bits()),
                    fd: -1,
                },
            };
            let info = if owner.signal == 0 {
                SigInfo::kernel(signal)
            } else {
                info
            };
            send(&sender, owner, info);
        });
    }
}

/// Tells the file's owner of something that is no readiness (`POLL_MSG`): leases, `F_NOTIFY`.
pub(super) fn tell_of_message(kernel: &Arc<Kernel>, file: &Arc<File>, fd: i32) {
    let (owner, Some(info)) = message(file, fd) else { return };
    let sender = kernel.clone();
    soon(kernel, move || send(&sender, owner, info));
}

/// Likewise at once, for who holds no lock and is about to wait for what comes of it.
pub(super) fn tell_of_message_now(kernel: &Arc<Kernel>, file: &Arc<File>, fd: i32) {
    if let (owner, Some(info)) = message(file, fd) {
        send(kernel, owner, info);
    }
}

fn message(file: &File, fd: i32) -> (FileOwner, Option<SigInfo>) {
    /// `POLLIN | POLLRDNORM | POLLMSG`
    const BAND: i64 = 0x441;
    let owner = *file.owner.lock();
    let number = match owner.signal {
        0 => Signal::SIGIO.number(),
        number => number,
    };
    let Some(signal) = Signal::new(number) else {
        return (owner, None);
    };
    let info = match owner.signal {
        0 => SigInfo::kernel(signal),
        _ => SigInfo {
            signal,
            errno: 0,
            code: code::POLL_MSG,
            detail: Detail::Poll { band: BAND, fd },
        },
    };
    (owner, Some(info))
}

/// Sending takes locks of the task tree, which a waker may not: at the end of the call that woke, or else from a task of its own.
fn soon(kernel: &Arc<Kernel>, work: impl FnOnce() + Send + 'static) {
    match crate::task::current() {
        Some(task) => task.defer(Box::new(work)),
        None => kernel.executor.spawn(async move { work() }),
    }
}

/// Starts or ends signalling.
pub fn set_async(task: &Arc<Task>, file: &Arc<File>, on: bool) -> Result<()> {
    let Some(queue) = file.ops.wait_queue() else {
        // Files that are always ready never signal; Linux has no `fasync` for them either.
        return Ok(());
    };
    let files = &task.kernel.vfs.async_files;
    let mut keys = files.keys.lock();
    keys.retain(|_, (_, f)| f.strong_count() > 0);
    if on {
        if let std::collections::hash_map::Entry::Vacant(entry) = keys.entry(file.id) {
            let sender = Sender {
                file: Arc::downgrade(file),
                kernel: Arc::downgrade(&task.kernel),
            };
            let key = queue.listen(Events::all(), Arc::new(sender));
            entry.insert((key, Arc::downgrade(file)));
        }
    } else if let Some((key, _)) = keys.remove(&file.id) {
        queue.remove(key);
    }
    Ok(())
}

/// Sends to whom `F_SETOWN` names; ids are those of the first namespace. Who may not be signalled by then is the
/// kernel's not to ask: the owner was checked when it was set.
fn send(kernel: &Kernel, owner: FileOwner, info: SigInfo) {
    let tasks = &kernel.tasks;
    // A queue that is full loses the signal, as in Linux.
    let _ = match owner.kind {
        0 => tasks.task(&tasks.root_ns, owner.id).map(|t| t.send_signal(info)),
        1 => tasks.process(&tasks.root_ns, owner.id).map(|g| g.send_signal(info)),
        _ => {
            tasks.signal_pgrp(owner.id, info);
            None
        }
    };
}

/// The owner's number in the first namespace; `ESRCH` unless it exists.
pub fn owner_number(task: &Arc<Task>, kind: i32, id: i32) -> Result<i32> {
    let tasks = &task.kernel.tasks;
    let ns = task.pid_ns();
    let number = match kind {
        0 => tasks.task(ns, id).map(|t| t.tid),
        1 => tasks.process(ns, id).map(|g| g.tgid),
        _ => tasks.find_pgrp_in(ns, id).map(|g| g.pid.number()),
    };
    number.ok_or(Errno::ESRCH)
}
