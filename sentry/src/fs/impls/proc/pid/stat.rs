//! `/proc/PID/{stat,statm,sched,schedstat,io,children,syscall}`

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::errno::Result;

use super::{Proc, check_access};
use crate::signal::{SIG_DFL, SIG_IGN, Signal};
use crate::task::{Resource, Task, ThreadGroup, current};
use crate::time::Shifted;

/// Nanoseconds of a clock tick.
const TICK_NS: u64 = 10_000_000;
const PAGE: u64 = 4096;

/// The letter of `State:`.
pub(super) fn state(task: &Arc<Task>) -> (char, &'static str) {
    if task.group.has_ended() {
        return ('Z', "zombie");
    }
    if task.group.is_stopped() {
        return ('T', "stopped");
    }
    // Who reads of itself runs.
    let own = crate::task::current().is_some_and(|me| me.tid == task.tid);
    if own || task.is_running() {
        ('R', "running")
    } else {
        ('S', "sleeping")
    }
}

/// Ignored and caught signals.
pub(super) fn dispositions(group: &ThreadGroup) -> (u64, u64) {
    let handlers = group.handlers();
    let handlers = handlers.lock();
    let (mut ignored, mut caught) = (0, 0);
    for signal in (1..=64).filter_map(Signal::new) {
        match handlers.get(signal).handler {
            SIG_DFL => {}
            SIG_IGN => ignored |= signal.bit(),
            _ => caught |= signal.bit(),
        }
    }
    (ignored, caught)
}

/// Start time on `CLOCK_BOOTTIME`, as the reader has it.
fn start_ns(task: &Task) -> u64 {
    let asleep = crate::time::clock::boottime_now().saturating_sub(crate::executor::Executor::now());
    let start = task.group.start_ns.saturating_add(asleep);
    current().map_or(start, |me| me.ns().time.shown(Shifted::Boottime, start))
}

pub(super) fn stat(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let tasks = &proc.kernel.tasks;
    let group = &task.group;
    let (letter, _) = state(task);
    let pgrp = tasks.pgrp(group);
    let pgid = pgrp.as_ref().map_or(0, |p| p.pid.in_ns(&proc.ns));
    let sid = pgrp.as_ref().map_or(0, |p| p.session.pid.in_ns(&proc.ns));
    let tty = pgrp.as_ref().and_then(|p| p.session.tty.lock().clone());
    let tty_nr = tty.as_ref().map_or(0, |t| t.device());
    let tpgid = tty
        .as_ref()
        .and_then(|t| t.foreground())
        .map_or(-1, |pgid| tasks.find_pgrp(pgid).map_or(pgid, |p| p.pid.in_ns(&proc.ns)));
    let usage = group.usage();
    let children = group.children_usage();
    let sched = task.attr.lock().sched.clone();
    let private = check_access(task).is_ok();
    let mm = task.mm();
    let used = mm.as_ref().map(|m| m.memory_use()).unwrap_or_default();
    let layout = mm.as_ref().filter(|_| private).map(|m| m.layout()).unwrap_or_default();
    let (ignored, caught) = dispositions(group);
    let (pending, blocked) = {
        let signals = task.signals.lock();
        (signals.pending.set().0, signals.blocked.0)
    };
    let realtime = sched.policy == 1 || sched.policy == 2;
    let priority = if realtime { -1 - sched.priority } else { 20 + sched.nice };
    let exit = if private { group.exit_status().unwrap_or(0) } else { 0 };
    let mut out = format!("{} (", task.pid.in_ns(&proc.ns)).into_bytes();
    out.extend_from_slice(&task.comm());
    let mut rest = format!(
        ") {letter} {} {pgid} {sid} {tty_nr} {tpgid} 4194304 {} {} {} {} ",
        tasks.parent_in(group, &proc.ns),
        usage.minor_faults,
        children.minor_faults,
        usage.major_faults,
        children.major_faults,
    );
    let _ = write!(
        rest,
        "{} {} {} {} {priority} {} {} 0 {} ",
        usage.user_ns / TICK_NS,
        usage.system_ns / TICK_NS,
        children.user_ns / TICK_NS,
        children.system_ns / TICK_NS,
        sched.nice,
        group.thread_count().max(1),
        start_ns(task) / TICK_NS,
    );
    let _ = write!(
        rest,
        "{} {} {} {} {} {} 0 0 {} {} {ignored} {caught} 0 0 0 17 0 {} {} 0 0 0 ",
        used.total,
        used.resident / PAGE,
        task.rlimit(Resource::Rss).soft,
        layout.start_code,
        layout.end_code,
        layout.start_stack,
        pending & 0x7fff_ffff,
        blocked & 0x7fff_ffff,
        sched.priority,
        sched.policy,
    );
    let _ = writeln!(
        rest,
        "{} {} {} {} {} {} {} {exit}",
        layout.start_data,
        layout.end_data,
        layout.start_brk,
        layout.arg_start,
        layout.arg_end,
        layout.env_start,
        layout.env_end,
    );
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

pub(super) fn statm(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let used = task.mm().map(|mm| mm.memory_use()).unwrap_or_default();
    let text = format!(
        "{} {} {} {} 0 {} 0\n",
        used.total / PAGE,
        used.resident / PAGE,
        used.resident.min(used.exe + used.lib) / PAGE,
        used.exe / PAGE,
        (used.data + used.stack) / PAGE
    );
    Ok(text.into_bytes())
}

pub(super) fn sched(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let sched = task.attr.lock().sched.clone();
    let mut out = task.comm();
    let ns = task.cpu_ns();
    let text = format!(
        " ({}, #threads: {})\n{}\nse.sum_exec_runtime{:>29}.{:06}\npolicy{:>39}\nprio{:>41}\n",
        task.pid.in_ns(&proc.ns),
        task.group.thread_count(),
        "-".repeat(67),
        format!(": {}", ns / 1_000_000),
        ns % 1_000_000,
        format!(": {}", sched.policy),
        format!(": {}", 120 + sched.nice),
    );
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

pub(super) fn schedstat(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(format!("{} 0 0\n", task.cpu_ns()).into_bytes())
}

/// What moved to and from disks only the host knows: nothing is charged for it.
pub(super) fn io(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let io = &task.group.io;
    let rows = [
        ("rchar", io.read_bytes.load(Ordering::Relaxed)),
        ("wchar", io.written_bytes.load(Ordering::Relaxed)),
        ("syscr", io.reads.load(Ordering::Relaxed)),
        ("syscw", io.writes.load(Ordering::Relaxed)),
        ("read_bytes", 0),
        ("write_bytes", 0),
        ("cancelled_write_bytes", 0),
    ];
    let lines = rows.iter().map(|(name, n)| format!("{name}: {n}\n"));
    Ok(lines.collect::<String>().into_bytes())
}

/// Children that this thread has made or adopted.
pub(super) fn children(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    if !task.is_leader() {
        return Ok(Vec::new());
    }
    let children = proc.kernel.tasks.children(&task.group);
    let pids = children.iter().map(|c| c.pid.in_ns(&proc.ns)).filter(|&n| n > 0);
    Ok(pids.map(|n| format!("{n} ")).collect::<String>().into_bytes())
}

/// The call that it waits in, with its arguments, stack and instruction pointer.
pub(super) fn syscall(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let call = *task.call.lock();
    let text = match call.filter(|_| !task.is_running()) {
        None => "running\n".to_owned(),
        Some(call) => {
            let args = call.args.map(|a| format!(" {a:#x}")).concat();
            format!("{}{args} {:#x} {:#x}\n", call.nr, call.sp, call.ip)
        }
    };
    Ok(text.into_bytes())
}
