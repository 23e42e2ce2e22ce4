//! `/proc/PID/status`

use std::fmt::Write;
use std::sync::Arc;

use abi::errno::Result;

use super::Proc;
use super::stat::{dispositions, state};
use crate::fs::impls::proc::machine::cpu_list;
use crate::fs::impls::proc::reader_ns;
use crate::task::{Pid, PidNamespace, Resource, Task};

/// Numbers of a `struct pid` from the instance's namespace down.
fn numbers(pid: &Pid, ns: &Arc<PidNamespace>) -> String {
    let mut chain = Vec::new();
    let mut at = Some(&pid.ns);
    while let Some(n) = at {
        chain.push(pid.in_ns(n));
        if n.id == ns.id {
            break;
        }
        at = n.parent.as_ref();
    }
    chain.iter().rev().map(|n| format!("\t{n}")).collect()
}

pub(super) fn status(proc: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = b"Name:\t".to_vec();
    for b in task.comm() {
        match b {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b => out.push(b),
        }
    }
    out.push(b'\n');
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = identity(&mut text, proc, task);
    let _ = memory(&mut text, task);
    let _ = signals(&mut text, task);
    let _ = rights(&mut text, task);
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

fn identity(out: &mut String, proc: &Proc, task: &Arc<Task>) -> std::fmt::Result {
    let ns = reader_ns(&proc.kernel);
    let cred = task.cred();
    let (letter, word) = state(task);
    let tasks = &proc.kernel.tasks;
    writeln!(out, "Umask:\t{:04o}", task.fs().umask())?;
    writeln!(out, "State:\t{letter} ({word})")?;
    writeln!(out, "Tgid:\t{}", task.group.pid.in_ns(&proc.ns))?;
    writeln!(out, "Ngid:\t0")?;
    writeln!(out, "Pid:\t{}", task.pid.in_ns(&proc.ns))?;
    writeln!(out, "PPid:\t{}", tasks.parent_in(&task.group, &proc.ns))?;
    let tracer = task.tracer().map_or(0, |t| t.pid.in_ns(&proc.ns));
    writeln!(out, "TracerPid:\t{tracer}")?;
    let (u, g) = (|id| ns.uid_out(id), |id| ns.gid_out(id));
    let uids = [u(cred.uid), u(cred.euid), u(cred.suid), u(cred.fsuid)];
    let gids = [g(cred.gid), g(cred.egid), g(cred.sgid), g(cred.fsgid)];
    let tabs = |ids: [u32; 4]| ids.map(|i| i.to_string()).join("\t");
    writeln!(out, "Uid:\t{}", tabs(uids))?;
    writeln!(out, "Gid:\t{}", tabs(gids))?;
    let highest = task.files().list().last().map_or(0, |(fd, _)| fd + 1);
    let size = u32::try_from(highest).unwrap_or(0).next_multiple_of(64).max(64);
    writeln!(out, "FDSize:\t{size}")?;
    let groups: String = cred.groups.iter().map(|&i| format!("{} ", g(i))).collect();
    writeln!(out, "Groups:\t{groups}")?;
    writeln!(out, "NStgid:{}", numbers(&task.group.pid, &proc.ns))?;
    writeln!(out, "NSpid:{}", numbers(&task.pid, &proc.ns))?;
    if let Some(pgrp) = tasks.pgrp(&task.group) {
        writeln!(out, "NSpgid:{}", numbers(&pgrp.pid, &proc.ns))?;
        writeln!(out, "NSsid:{}", numbers(&pgrp.session.pid, &proc.ns))?;
    }
    writeln!(out, "Kthread:\t0")
}

fn memory(out: &mut String, task: &Arc<Task>) -> std::fmt::Result {
    let Some(mm) = task.mm() else { return Ok(()) };
    let used = mm.memory_use();
    let anon = used.resident.min(used.data + used.stack);
    let rows = [
        ("VmPeak", used.peak),
        ("VmSize", used.total),
        ("VmLck", used.locked),
        ("VmPin", 0),
        ("VmHWM", used.resident),
        ("VmRSS", used.resident),
        ("RssAnon", anon),
        ("RssFile", used.resident - anon),
        ("RssShmem", 0),
        ("VmData", used.data),
        ("VmStk", used.stack),
        ("VmExe", used.exe),
        ("VmLib", used.lib),
        ("VmPTE", used.total / 512 / 8),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ];
    for (name, bytes) in rows {
        writeln!(out, "{name}:\t{:8} kB", bytes / 1024)?;
    }
    writeln!(out, "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff")
}

fn signals(out: &mut String, task: &Arc<Task>) -> std::fmt::Result {
    let (ignored, caught) = dispositions(&task.group);
    let shared = task.group.pending.lock().set().0;
    let (pending, blocked) = {
        let signals = task.signals.lock();
        (signals.pending.set().0, signals.blocked.0)
    };
    let queued = shared.count_ones() + pending.count_ones();
    writeln!(out, "Threads:\t{}", task.group.thread_count().max(1))?;
    writeln!(out, "SigQ:\t{queued}/{}", task.rlimit(Resource::Sigpending).soft)?;
    writeln!(out, "SigPnd:\t{pending:016x}")?;
    writeln!(out, "ShdPnd:\t{shared:016x}")?;
    writeln!(out, "SigBlk:\t{blocked:016x}")?;
    writeln!(out, "SigIgn:\t{ignored:016x}")?;
    writeln!(out, "SigCgt:\t{caught:016x}")
}

fn rights(out: &mut String, task: &Arc<Task>) -> std::fmt::Result {
    let cred = task.cred();
    writeln!(out, "CapInh:\t{:016x}", cred.inheritable)?;
    writeln!(out, "CapPrm:\t{:016x}", cred.permitted)?;
    writeln!(out, "CapEff:\t{:016x}", cred.effective)?;
    writeln!(out, "CapBnd:\t{:016x}", cred.bounding)?;
    writeln!(out, "CapAmb:\t{:016x}", cred.ambient)?;
    writeln!(out, "NoNewPrivs:\t{}", u8::from(cred.no_new_privs))?;
    let seccomp = task.attr.lock().seccomp.clone();
    writeln!(out, "Seccomp:\t{}", seccomp.mode())?;
    writeln!(out, "Seccomp_filters:\t{}", seccomp.filters())?;
    writeln!(out, "Speculation_Store_Bypass:\tvulnerable")?;
    writeln!(out, "SpeculationIndirectBranch:\tunknown")?;
    let affinity = task.attr.lock().sched.affinity.clone();
    let hex: Vec<String> = affinity
        .iter()
        .rev()
        .flat_map(|w| [w >> 32, w & 0xffff_ffff])
        .map(|half| format!("{half:08x}"))
        .collect();
    let mask = hex.iter().position(|h| h.bytes().any(|b| b != b'0')).unwrap_or(0);
    let mask = hex.get(mask..).unwrap_or_default().join(",");
    writeln!(out, "Cpus_allowed:\t{}", mask.trim_start_matches('0'))?;
    writeln!(out, "Cpus_allowed_list:\t{}", cpu_list(&affinity))?;
    writeln!(out, "Mems_allowed:\t1\nMems_allowed_list:\t0")?;
    writeln!(out, "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0")
}
