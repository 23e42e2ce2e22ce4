//! Small files of a process, most of them writable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

use super::{Proc, check_access};
use crate::cred::cap;
use crate::fs::impls::pseudo::{DirBuilder, parse_number, trim};
use crate::fs::{InodeOps, SuperBlock};
use crate::task::{Task, current};

fn line(value: impl std::fmt::Display) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

pub(super) fn comm(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = task.comm();
    out.push(b'\n');
    Ok(out)
}

pub(super) fn set_comm(_: &Proc, task: &Arc<Task>, data: &[u8], _: u64) -> Result<usize> {
    // Only threads of the same process may rename each other.
    if current().is_some_and(|me| me.group.tgid != task.group.tgid) {
        return Err(Errno::EINVAL);
    }
    let name = data.split(|&b| b == 0).next().unwrap_or_default();
    task.set_comm(name.strip_suffix(b"\n").unwrap_or(name));
    Ok(data.len())
}

pub(super) fn personality(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(format!("{:08x}\n", task.attr.lock().personality).into_bytes())
}

pub(super) fn autogroup(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(format!("/autogroup-1 nice {}\n", task.attr.lock().sched.nice).into_bytes())
}

pub(super) fn nothing(_: &Proc, _: &Arc<Task>) -> Result<Vec<u8>> {
    Err(Errno::EINVAL)
}

/// Takes a number that only debugging looks at.
pub(super) fn ignore(_: &Proc, _: &Arc<Task>, data: &[u8], _: u64) -> Result<usize> {
    parse_number(data)?;
    Ok(data.len())
}

pub(super) fn refuse(_: &Proc, _: &Arc<Task>, _: &[u8], _: u64) -> Result<usize> {
    Err(Errno::EPERM)
}

pub(super) fn clear_refs(_: &Proc, _: &Arc<Task>, data: &[u8], _: u64) -> Result<usize> {
    match parse_number(data)? {
        1..=5 => Ok(data.len()),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn unset_id(_: &Proc, _: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(b"4294967295".to_vec())
}

pub(super) fn coredump_filter(_: &Proc, _: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(b"00000033\n".to_vec())
}

/// Roughly as the kernel does: share of memory in thousandths, shifted by the adjustment.
pub(super) fn oom_score(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let adj = i64::from(task.group.oom_score_adj.load(Ordering::Relaxed));
    let used = task.mm().map_or(0, |mm| mm.memory_use().resident);
    let total = proc.kernel.config.total_memory.max(1);
    let share = i64::try_from(u128::from(used) * 1000 / u128::from(total)).unwrap_or(1000);
    let score = if adj == -1000 {
        0
    } else {
        ((share + adj + 1000) * 2 / 3).clamp(0, 2000)
    };
    Ok(line(score))
}

pub(super) fn oom_score_adj(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    Ok(line(task.group.oom_score_adj.load(Ordering::Relaxed)))
}

fn store_oom(task: &Arc<Task>, value: i64) -> Result<()> {
    let old = i64::from(task.group.oom_score_adj.load(Ordering::Relaxed));
    let privileged = current().is_none_or(|me| me.capable(cap::SYS_RESOURCE));
    if value < old && !privileged {
        return Err(Errno::EACCES);
    }
    let value = i32::try_from(value).map_err(|_| Errno::EINVAL)?;
    task.group.oom_score_adj.store(value, Ordering::Relaxed);
    Ok(())
}

pub(super) fn set_oom_score_adj(_: &Proc, task: &Arc<Task>, data: &[u8], _: u64) -> Result<usize> {
    let value = parse_number(data)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    store_oom(task, value)?;
    Ok(data.len())
}

/// The old scale of -17..=15.
pub(super) fn oom_adj(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let adj = task.group.oom_score_adj.load(Ordering::Relaxed);
    Ok(line(if adj == 1000 { 15 } else { adj * 17 / 1000 }))
}

pub(super) fn set_oom_adj(_: &Proc, task: &Arc<Task>, data: &[u8], _: u64) -> Result<usize> {
    let value = parse_number(data)?;
    if !(-17..=15).contains(&value) {
        return Err(Errno::EINVAL);
    }
    store_oom(task, if value == 15 { 1000 } else { value * 1000 / 17 })?;
    Ok(data.len())
}

pub(super) fn timers(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    check_access(task)?;
    Ok(crate::time::posix::show(task).into_bytes())
}

pub(super) fn timerslack(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    check_access(task).map_err(|_| Errno::EPERM)?;
    Ok(line(task.attr.lock().timer_slack_ns))
}

pub(super) fn set_timerslack(_: &Proc, task: &Arc<Task>, data: &[u8], _: u64) -> Result<usize> {
    if current().is_some_and(|me| me.tid != task.tid && !me.capable(cap::SYS_NICE)) {
        return Err(Errno::EPERM);
    }
    let text = std::str::from_utf8(trim(data)).map_err(|_| Errno::EINVAL)?;
    let value: u64 = text.parse().map_err(|_| Errno::EINVAL)?;
    let mut attr = task.attr.lock();
    attr.timer_slack_ns = if value == 0 { attr.timer_slack_default_ns } else { value };
    Ok(data.len())
}

/// `/proc/PID/attr`: there is no security module.
pub(super) fn attr_dir(_: &Arc<Proc>, sb: &Arc<SuperBlock>, _: &Arc<Task>, _: u64) -> Box<dyn InodeOps> {
    let mut dir = DirBuilder::new(sb);
    for name in ["current", "prev", "exec", "fscreate", "keycreate", "sockcreate"] {
        dir.file(name, if name == "prev" { 0o444 } else { 0o666 }, || Err(Errno::EINVAL));
    }
    dir.into_ops()
}
