//! `execve(2)`, but for the loading of the program, which is `loader`'s.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

use super::table::Proc;
use super::{Cx, Task, TaskTable};
use crate::cred;
use crate::fs::File;
use crate::loader;
use crate::signal::{AltStack, Signal};

/// Replaces the caller's program. After an error the caller goes on with the old one, unless it was killed on the way.
pub(crate) async fn exec(
    cx: &mut Cx,
    file: Arc<File>,
    filename: &[u8],
    argv: Vec<Vec<u8>>,
    envp: Vec<Vec<u8>>,
) -> Result<()> {
    let program = loader::prepare(&cx.task, file, filename, argv, envp)?;
    let old = cx.task.cred();
    let traced = cx.task.is_traced();
    let new = cred::exec::transition(&old, &program.file, &program.stat, traced);
    let tid = cx.task.own_tid();
    become_only_thread(cx).await?;

    let task = cx.task.clone();
    super::exit::release_user_words(cx).await;
    let changed = (new.euid, new.egid) != (old.euid, old.egid) || new.permitted & !old.permitted != 0;
    let dumpable = if changed { 0 } else { 1 };
    task.group.dumpable.store(dumpable, Ordering::Relaxed);
    if changed {
        task.attr.lock().pdeath_signal = 0;
    }
    task.set_cred(Arc::new(new));
    let mut ns = task.ns();
    if ns.changes_time() {
        Arc::make_mut(&mut ns).change_time();
        task.set_ns(ns);
    }
    reset_signals(&task);
    task.kernel.tasks.note_exec(&task);

    let loaded = loader::commit(cx, &program).await;
    // After the memory, as Linux does it: who sees the new name finds the new arguments too.
    task.set_comm(&program.comm);
    close_on_exec(&task);
    task.finish_vfork();
    if loaded.is_ok() {
        super::ptrace::exec_event(cx, tid).await;
    }
    if loaded.is_err() {
        // Neither the old program nor the new one is there any more.
        let signal = if cx.mm.aspace().is_alive() {
            Signal::SIGSEGV
        } else {
            Signal::SIGKILL
        };
        task.group.exit(signal.number());
    }
    Ok(())
}

/// Handlers of its own, all the default but for what is ignored; no alternate stack.
fn reset_signals(task: &Task) {
    let group = &task.group;
    let mut handlers = group.handlers().lock().clone();
    handlers.reset_for_exec();
    group.set_handlers(handlers);
    crate::time::exec_process(group);
    task.signals.lock().altstack = AltStack::default();
}

fn close_on_exec(task: &Arc<Task>) {
    let files = task.files();
    // One reference here, one in the task: more means that another process shares the table.
    let files = if Arc::strong_count(&files) > 2 {
        let own = Arc::new(files.fork());
        task.set_files(own.clone());
        own
    } else {
        files
    };
    for file in files.take_cloexec() {
        let _ = file.ops.flush(&file);
    }
}

/// Like `de_thread`: ends all other threads of the process and makes the caller its leader.
async fn become_only_thread(cx: &mut Cx) -> Result<()> {
    let group = cx.task.group.clone();
    let tid = cx.task.tid;
    {
        let mut state = group.state.lock();
        if state.is_exiting() || state.exec.is_some() {
            return Err(Errno::EAGAIN);
        }
        state.exec = Some(tid);
        for thread in state.threads.iter().filter(|t| t.tid != tid) {
            thread.kill_within(30_000_000_000);
        }
    }
    let alone = || (group.state.lock().threads.len() <= 1).then_some(());
    let task = cx.task.clone();
    if task.park(alone).await.is_err() {
        return Err(Errno::EINTR);
    }
    if !task.is_leader()
        && let Some(leader) = task.kernel.tasks.take_over_leader(&task)
    {
        cx.task = leader;
    }
    let mut state = group.state.lock();
    state.exec = None;
    state.stop = None;
    state.stopped = false;
    Ok(())
}

impl TaskTable {
    /// The last thread takes the place, and with it the number, of the leader, which has ended.
    fn take_over_leader(&self, task: &Arc<Task>) -> Option<Arc<Task>> {
        let mut table = self.lock();
        let leader = table.procs.get(&task.group.tgid)?.leader.clone();
        table.remove_task(&task.pid);
        table.count_out(&leader);
        {
            // A kill reaches either the old object, and is copied, or the new one.
            let mut state = task.group.state.lock();
            leader.adopt(task);
            state.threads = vec![leader.clone()];
        }
        // It is where the other one was.
        table.count_in(&leader);
        for proc in table.procs.values_mut() {
            if proc.parent_tid == task.tid {
                proc.parent_tid = leader.tid;
            }
        }
        Some(leader)
    }

    fn note_exec(&self, task: &Task) {
        let mut table = self.lock();
        if let Some(proc) = table.procs.get_mut(&task.group.tgid) {
            note_exec(proc);
        }
    }
}

fn note_exec(proc: &mut Proc) {
    proc.execed = true;
    if proc.exit_signal != 0 || proc.parent != 0 {
        proc.exit_signal = Signal::SIGCHLD.number();
    }
}

impl Task {
    /// Takes the state of another thread of the same process, whose future goes on as this task.
    fn adopt(&self, from: &Task) {
        *self.slots.lock() = from.slots.lock().clone();
        *self.signals.lock() = std::mem::take(&mut *from.signals.lock());
        *self.attr.lock() = from.attr.lock().clone();
        *self.waker.lock() = from.waker.lock().clone();
        *self.interrupter.lock() = from.interrupter.lock().take();
        *self.vfork.lock() = from.vfork.lock().take();
        self.interrupted.store(true, Ordering::SeqCst);
        self.in_guest.store(false, Ordering::SeqCst);
        let filtered = from.filtered.load(Ordering::SeqCst);
        self.filtered.store(filtered, Ordering::SeqCst);
        self.killed.store(from.is_killed(), Ordering::SeqCst);
        self.cpu_ns.store(from.cpu_ns(), Ordering::Relaxed);
        for (mine, other) in self.charged.iter().zip(&from.charged) {
            mine.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        from.slots.lock().mm = None;
    }
}
