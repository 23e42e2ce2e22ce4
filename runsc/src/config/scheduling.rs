//! `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity` and `linux.personality`: what the guest's kernel keeps
//! of a process and tells it. The host's scheduler hears nothing of them.

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process,
};
use sentry::boot::config::Scheduling;
use serde_json::Value;

use super::{Notes, bad};
use crate::error::Result;

/// More processors than any host has.
const MAX_CPU: u32 = 8191;

/// Flags have other names in the specification than in the crate that reads it.
pub fn spell_flags(process: &mut Value) {
    let flags = process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut);
    for flag in flags.into_iter().flatten() {
        let name = match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => LinuxSchedulerFlag::SchedResetOnFork,
            Some("SCHED_FLAG_DL_OVERRUN") => LinuxSchedulerFlag::SchedFlagDLOverrun,
            _ => continue,
        };
        if let Ok(name) = serde_json::to_value(name) {
            *flag = name;
        }
    }
}

/// `process.scheduler`.
pub fn scheduler(process: &Process) -> Result<Option<Scheduling>> {
    let Some(wanted) = process.scheduler() else {
        return Ok(None);
    };
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => return Err(bad("process.scheduler.policy", "Linux has no SCHED_ISO")),
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let nice = wanted.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(bad(
            "process.scheduler.nice",
            format_args!("{nice} is not between -20 and 19"),
        ));
    }
    let priority = wanted.priority().unwrap_or(0);
    let fits = if matches!(policy, 1 | 2) { 1..=99 } else { 0..=0 };
    if !fits.contains(&priority) {
        return Err(bad(
            "process.scheduler.priority",
            format_args!("{priority} does not go with {}", wanted.policy()),
        ));
    }
    let deadline = (
        wanted.runtime().unwrap_or(0),
        wanted.deadline().unwrap_or(0),
        wanted.period().unwrap_or(0),
    );
    // What sched_setattr(2) asks: runtime <= deadline <= period, where a period of 0 is the deadline.
    let (runtime, by, period) = deadline;
    let sound = match policy {
        6 => 1024 <= runtime && runtime <= by && (period == 0 || by <= period),
        _ => deadline == (0, 0, 0),
    };
    if !sound {
        return Err(bad(
            "process.scheduler",
            format_args!(
                "runtime {runtime}, deadline {by} and period {period} do not go with {}",
                wanted.policy()
            ),
        ));
    }
    let flags = wanted.flags().as_deref().unwrap_or_default();
    Ok(Some(Scheduling {
        policy,
        priority,
        nice,
        reset_on_fork: flags.contains(&LinuxSchedulerFlag::SchedResetOnFork),
        deadline,
    }))
}

/// `process.ioPriority`, as `ioprio_set(2)` has it.
pub fn io_priority(process: &Process) -> Result<i32> {
    let Some(wanted) = process.io_priority() else {
        return Ok(0);
    };
    let level = i32::try_from(wanted.priority())
        .ok()
        .filter(|level| (0..8).contains(level))
        .ok_or_else(|| {
            bad(
                "process.ioPriority.priority",
                format_args!("{} is not between 0 and 7", wanted.priority()),
            )
        })?;
    let class = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    Ok(class << 13 | level)
}

/// `process.execCPUAffinity.final`, for a process of `exec`.
pub fn cpus(process: &Process) -> Result<Vec<u32>> {
    let affinity = process.exec_cpu_affinity().as_ref();
    let list = affinity
        .and_then(|a| a.cpu_affinity_final().as_deref())
        .unwrap_or_default();
    let wrong = || {
        bad(
            "process.execCPUAffinity.final",
            format_args!("{list:?} is no list of processors"),
        )
    };
    let mut cpus = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            text.trim()
                .parse::<u32>()
                .ok()
                .filter(|&n| n <= MAX_CPU)
                .ok_or_else(wrong)
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// `linux.personality`, as `personality(2)` has it.
pub fn personality(linux: Option<&Linux>, notes: &mut Notes) -> u32 {
    let Some(wanted) = linux.and_then(|l| l.personality().as_ref()) else {
        return 0;
    };
    if wanted.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        notes.push("config.json: linux.personality.flags: ignored: not supported".to_owned());
    }
    match wanted.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }
}
