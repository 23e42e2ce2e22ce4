//! `clone(2)` in all its forms.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::sched::CloneFlags;
use abi::{Errno, Restart, SysResult};
use platform::Context;

use super::ns::Nsproxy;
use super::pid::Pid;
use super::pidfd::PidFd;
use super::table::Proc;
use super::vfork::Vfork;
use super::{Cx, INFINITY, Resource, Slots, Task, ThreadGroup, ptrace};
use crate::cgroup::{Group, Groups};
use crate::cred::cap;
use crate::mm::Mm;
use crate::signal::{AltStack, SIG_IGN, Signal, TaskSignals};
use crate::sync::Mutex;

/// What `clone3(2)` takes; the other calls are put into this form.
#[derive(Clone, Default)]
pub(crate) struct CloneSpec {
    pub(crate) flags: CloneFlags,
    /// Where the pidfd goes.
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    /// Sent to the parent at the end; 0 for none.
    pub(crate) exit_signal: i32,
    /// Stack pointer; 0 keeps the caller's.
    pub(crate) stack: u64,
    pub(crate) tls: u64,
    /// Numbers asked for, innermost namespace first.
    pub(crate) set_tid: Vec<i32>,
    /// The group of cgroup v2 that the child begins in; none: the caller's.
    pub(crate) cgroup: Option<Arc<Group>>,
}

const NEW_NAMESPACES: CloneFlags = CloneFlags::NEWNS
    .union(CloneFlags::NEWUTS)
    .union(CloneFlags::NEWIPC)
    .union(CloneFlags::NEWPID)
    .union(CloneFlags::NEWNET)
    .union(CloneFlags::NEWCGROUP)
    .union(CloneFlags::NEWTIME);

/// Makes a thread or a process; gives its number as the caller sees it.
pub(crate) async fn clone(cx: &mut Cx, spec: &CloneSpec) -> SysResult<u64> {
    check(&cx.task, spec)?;
    // As in Linux: a signal that waits is seen by the parent alone.
    if cx.task.has_deliverable() {
        return Err(abi::SysError::Restart(Restart::NoIntr));
    }
    let files = cx.task.files();
    let reserved = match spec.flags.contains(CloneFlags::PIDFD) {
        true => Some(files.reserve(1, cx.task.fd_limit())?),
        false => None,
    };
    let slots = child_slots(&cx.task, spec)?;
    let kernel = &cx.task.kernel;
    let threads_max = kernel.tunables.threads_max.count();
    kernel
        .tasks
        .lock()
        .check_limit(&cx.task.group.cgroup, slots.groups.as_deref(), threads_max)?;
    let (ctx, mm) = child_thread(cx, spec).await?;
    if slots.ns.time.id != cx.task.ns().time.id {
        mm.follow_time(&slots.ns.time)?;
    }
    let child = match insert(cx, spec, slots, &mm) {
        Ok(child) => child,
        Err(e) => return Err(e.into()),
    };
    let number = child.pid.in_ns(cx.task.pid_ns());
    let event = ptrace::attach_child(&cx.task, &child, spec.flags, spec.exit_signal);
    if spec.flags.contains(CloneFlags::PARENT_SETTID) {
        // At once: the child may look before the caller goes on.
        cx.mm.aspace().write(spec.parent_tid, &number.to_le_bytes());
    }
    if spec.flags.contains(CloneFlags::CHILD_SETTID) {
        mm.aspace().write(spec.child_tid, &child.own_tid().to_le_bytes());
    }
    if let Some(reserved) = reserved {
        let fd = reserved.numbers().first().copied().unwrap_or(-1);
        cx.mm.aspace().write(spec.pidfd, &fd.to_le_bytes());
        let file = PidFd::open(&cx.task.kernel, child.group.clone(), false);
        reserved.commit([file], true);
    }
    let vfork = spec.flags.contains(CloneFlags::VFORK).then(|| Vfork::new(&cx.task));
    child.vfork.lock().clone_from(&vfork);
    let seen = cx.task.tracer().map_or(number, |t| child.pid.in_ns(t.pid_ns()));
    cx.task.kernel.start(Cx::new(child, ctx, mm));
    if let Some(event) = event {
        ptrace::event(cx, event, u64::from(seen.unsigned_abs())).await;
    }
    if let Some(vfork) = vfork {
        // A kill is seen by the task loop.
        let _ = vfork.wait().await;
        if cx.task.is_traced() {
            ptrace::event(cx, ptrace::event_code::VFORK_DONE, u64::from(seen.unsigned_abs())).await;
        }
    }
    Ok(u64::from(number.unsigned_abs()))
}

/// Checks in the order of Linux's `copy_process`.
fn check(task: &Task, spec: &CloneSpec) -> abi::errno::Result<()> {
    let flags = spec.flags;
    let has = |f: CloneFlags| flags.contains(f);
    if has(CloneFlags::NEWNS | CloneFlags::FS) || has(CloneFlags::NEWUSER | CloneFlags::FS) {
        return Err(Errno::EINVAL);
    }
    if has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND) || has(CloneFlags::SIGHAND) && !has(CloneFlags::VM) {
        return Err(Errno::EINVAL);
    }
    if has(CloneFlags::PARENT) && task.group.unkillable {
        return Err(Errno::EINVAL);
    }
    let ns = task.ns();
    if has(CloneFlags::THREAD)
        && (flags.intersects(CloneFlags::NEWUSER | CloneFlags::NEWPID) || ns.pid_for_children.id != task.pid.ns.id)
    {
        return Err(Errno::EINVAL);
    }
    if has(CloneFlags::PIDFD) && flags.intersects(CloneFlags::DETACHED) {
        return Err(Errno::EINVAL);
    }
    if has(CloneFlags::NEWIPC | CloneFlags::SYSVSEM) {
        return Err(Errno::EINVAL);
    }
    check_nproc(task)
}

/// `RLIMIT_NPROC` counts the threads of the real user.
fn check_nproc(task: &Task) -> abi::errno::Result<()> {
    let limit = task.rlimit(Resource::Nproc).soft;
    let cred = task.cred();
    if limit == INFINITY || cred.uid == 0 || cred.has_cap(cap::SYS_RESOURCE) || cred.has_cap(cap::SYS_ADMIN) {
        return Ok(());
    }
    let all = task.kernel.tasks.all_tasks();
    let mine = all.iter().filter(|t| t.cred().uid == cred.uid).count();
    if abi::conv::usize64(mine) >= limit {
        return Err(Errno::EAGAIN);
    }
    Ok(())
}

/// What the child refers to: shared with the caller, copied, or new.
fn child_slots(task: &Arc<Task>, spec: &CloneSpec) -> abi::errno::Result<Slots> {
    let flags = spec.flags;
    let mut slots = task.slots.lock().clone();
    if flags.contains(CloneFlags::NEWUSER) {
        slots.cred = Arc::new(super::unshare::new_user_ns(task, &slots.cred)?);
    }
    if !flags.contains(CloneFlags::FS) {
        slots.fs = Arc::new(slots.fs.fork());
    }
    if !flags.contains(CloneFlags::FILES) {
        slots.files = Arc::new(slots.files.fork());
    }
    if flags.intersects(NEW_NAMESPACES) {
        slots.ns = Arc::new(Nsproxy::copy(task, &slots.ns, flags, &slots.cred, &slots.fs)?);
    }
    if !flags.contains(CloneFlags::VM) && slots.ns.changes_time() {
        Arc::make_mut(&mut slots.ns).change_time();
    }
    Ok(slots)
}

/// The platform's part: a further thread here, or a copy of the address space.
async fn child_thread(cx: &mut Cx, spec: &CloneSpec) -> abi::errno::Result<(Box<dyn Context>, Arc<Mm>)> {
    let (mut ctx, mm) = if spec.flags.contains(CloneFlags::VM) {
        (cx.ctx.clone_thread().await?, cx.mm.clone())
    } else {
        let (aspace, ctx) = cx.ctx.fork().await?;
        (ctx, cx.mm.fork(aspace))
    };
    let regs = ctx.regs_mut();
    regs.rax = 0;
    if spec.stack != 0 {
        regs.rsp = spec.stack;
    }
    if spec.flags.contains(CloneFlags::SETTLS) {
        regs.fs_base = spec.tls;
    }
    Ok((ctx, mm))
}

/// Puts the child into the table. From here on others see it.
fn insert(cx: &Cx, spec: &CloneSpec, mut slots: Slots, mm: &Arc<Mm>) -> abi::errno::Result<Arc<Task>> {
    let me = &cx.task;
    let flags = spec.flags;
    let tasks = &me.kernel.tasks;
    let pid_ns = slots.ns.pid_for_children.clone();
    slots.mm = Some(mm.clone());
    let mut attr = me.attr.lock().for_child();
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        attr.clear_child_tid = spec.child_tid;
    }
    let signals = child_signals(me, flags);

    let mut table = tasks.lock();
    // The caller may have been moved since.
    slots.groups = me.groups();
    if let Some(group) = &spec.cgroup {
        if group.is_removed() {
            return Err(Errno::ENODEV);
        }
        let container = &me.group.cgroup;
        container.divide();
        slots.groups = Groups::moved(slots.groups.as_deref(), group, &container.hierarchies);
    }
    let threads_max = me.kernel.tunables.threads_max.count();
    table.check_limit(&me.group.cgroup, slots.groups.as_deref(), threads_max)?;
    let pid = table.alloc_pid(&pid_ns, &spec.set_tid, me.kernel.tunables.pid_max.get())?;
    if pid.own() != 1 {
        let init = table.pid(&pid_ns, 1).map(|p| p.number());
        if init
            .and_then(|i| table.procs.get(&i))
            .is_none_or(|p| p.group.exit_status().is_some())
        {
            return Err(Errno::ENOMEM);
        }
    }
    if flags.contains(CloneFlags::THREAD) {
        let exiting = me.group.state.lock().is_exiting();
        if exiting {
            return Err(Errno::EINTR);
        }
        let child = Task::new(&me.kernel, pid, me.group.clone(), slots, signals, attr);
        table.insert_task(&child);
        drop(table);
        // A stop, an execve or the end of the process may have begun in between.
        child.interrupt();
        if me.is_killed() {
            child.kill_now();
        }
        return Ok(child);
    }
    let group = Arc::new(child_group(me, &pid, flags));
    let child = Task::new(&me.kernel, pid, group, slots, signals, attr);
    let mine = table.procs.get(&me.group.tgid).ok_or(Errno::ESRCH)?;
    let pgrp = mine.pgrp.clone();
    let (parent, exit_signal) = if flags.contains(CloneFlags::PARENT) {
        ((mine.parent, mine.parent_tid), mine.exit_signal)
    } else {
        ((me.group.tgid, me.tid), spec.exit_signal)
    };
    table.insert_process(&child, Proc::new(&child, pgrp, parent, exit_signal));
    drop(table);
    Ok(child)
}

fn child_signals(me: &Task, flags: CloneFlags) -> TaskSignals {
    let mine = me.signals.lock();
    let keeps_stack = flags & (CloneFlags::VM | CloneFlags::VFORK) != CloneFlags::VM;
    TaskSignals {
        blocked: mine.blocked,
        altstack: if keeps_stack {
            mine.altstack
        } else {
            AltStack::default()
        },
        ..TaskSignals::default()
    }
}

fn child_group(me: &Task, pid: &Arc<Pid>, flags: CloneFlags) -> ThreadGroup {
    let mine = me.group.handlers();
    let handlers = if flags.contains(CloneFlags::SIGHAND) {
        mine
    } else {
        let mut copy = mine.lock().clone();
        if flags.contains(CloneFlags::CLEAR_SIGHAND) {
            for n in 1..=64 {
                if let Some(signal) = Signal::new(n)
                    && copy.get(signal).handler != SIG_IGN
                {
                    copy.set(signal, crate::signal::SigAction::default());
                }
            }
        }
        Arc::new(Mutex::new(copy))
    };
    let group = ThreadGroup::new(pid.clone(), me.group.cgroup.clone(), handlers, me.group.rlimits());
    let copy = |to: &std::sync::atomic::AtomicI32, from: &std::sync::atomic::AtomicI32| {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    };
    copy(&group.oom_score_adj, &me.group.oom_score_adj);
    group
        .dumpable
        .store(me.group.dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
    group
}
