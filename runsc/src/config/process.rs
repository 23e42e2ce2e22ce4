//! `process`.

use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use sentry::boot::config::ProcessConfig;

use super::{bad, capabilities, check_string, container_path, scheduling};
use crate::error::Result;

/// Linux gives a program no more than this for its arguments and environment together, with any stack limit.
const MAX_STRINGS: usize = 6 << 20;

/// The largest `fs.nr_open` that a 64-bit Linux can be given.
const MAX_NR_OPEN: u64 = 0x7fff_ffc0;

/// Checks and converts a process, of config.json or of an exec.
pub fn process_config(process: &Process) -> Result<ProcessConfig> {
    let args = process.args().clone().unwrap_or_default();
    let env = process.env().clone().unwrap_or_default();
    match args.first() {
        None => return Err(bad("process.args", "empty")),
        Some(program) if program.is_empty() => return Err(bad("process.args[0]", "empty")),
        Some(_) => {}
    }
    for (i, arg) in args.iter().enumerate() {
        check_string(format_args!("process.args[{i}]"), arg)?;
    }
    for (i, var) in env.iter().enumerate() {
        check_string(format_args!("process.env[{i}]"), var)?;
    }
    let bytes: usize = args.iter().chain(&env).map(|s| s.len() + 1).sum();
    if bytes > MAX_STRINGS {
        return Err(bad(
            "process.args and process.env",
            format_args!("{bytes} bytes are too many"),
        ));
    }
    let cwd = process.cwd().to_str().ok_or_else(|| bad("process.cwd", "not UTF-8"))?;
    if cwd.is_empty() {
        return Err(bad("process.cwd", "empty"));
    }
    let user = process.user();
    for (field, id) in [("process.user.uid", user.uid()), ("process.user.gid", user.gid())] {
        check_id(field, id)?;
    }
    let additional_gids = user.additional_gids().clone().unwrap_or_default();
    if additional_gids.len() > 65536 {
        return Err(bad("process.user.additionalGids", "more than 65536"));
    }
    for (i, gid) in additional_gids.iter().enumerate() {
        check_id(format_args!("process.user.additionalGids[{i}]"), *gid)?;
    }
    let umask = user.umask().unwrap_or(0o022);
    if umask > 0o777 {
        return Err(bad("process.user.umask", format_args!("{umask:#o} is more than 0777")));
    }
    let oom_score_adj = process.oom_score_adj().unwrap_or(0);
    if !(-1000..=1000).contains(&oom_score_adj) {
        return Err(bad(
            "process.oomScoreAdj",
            format_args!("{oom_score_adj} is not between -1000 and 1000"),
        ));
    }
    let terminal = process.terminal().unwrap_or(false);
    let console_size = match process.console_size() {
        Some(size) if terminal => Some((
            u16::try_from(size.height()).map_err(|_| bad("process.consoleSize.height", size.height()))?,
            u16::try_from(size.width()).map_err(|_| bad("process.consoleSize.width", size.width()))?,
        )),
        _ => None,
    };
    Ok(ProcessConfig {
        cgroups: Vec::new(),
        args,
        env,
        cwd: container_path("process.cwd", cwd)?,
        terminal,
        console_size,
        uid: user.uid(),
        gid: user.gid(),
        additional_gids,
        umask,
        capabilities: capabilities::masks(process.capabilities().as_ref())?,
        rlimits: rlimits(process.rlimits().as_deref().unwrap_or_default())?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj,
        scheduler: scheduling::scheduler(process)?,
        io_priority: scheduling::io_priority(process)?,
        cpus: Vec::new(),
        personality: 0,
        memory_policy: None,
        seccomp: None,
        program: None,
    })
}

/// `(uid_t) -1` means "no id" to Linux.
fn check_id(field: impl std::fmt::Display, id: u32) -> Result<()> {
    if id == u32::MAX {
        Err(bad(field, format_args!("{id} is not a valid id")))
    } else {
        Ok(())
    }
}

fn rlimits(list: &[PosixRlimit]) -> Result<Vec<(u32, u64, u64)>> {
    let mut limits: Vec<(u32, u64, u64)> = Vec::new();
    for (i, limit) in list.iter().enumerate() {
        let number = rlimit_number(limit.typ());
        if limits.iter().any(|l| l.0 == number) {
            return Err(bad(
                format_args!("process.rlimits[{i}].type"),
                format_args!("{} is given twice", limit.typ()),
            ));
        }
        if limit.soft() > limit.hard() {
            return Err(bad(
                format_args!("process.rlimits[{i}]"),
                format_args!(
                    "{}: soft limit {} is above hard limit {}",
                    limit.typ(),
                    limit.soft(),
                    limit.hard()
                ),
            ));
        }
        // Beyond that `fs.nr_open` cannot be set: `setrlimit(2)` refuses it everywhere.
        if limit.typ() == PosixRlimitType::RlimitNofile && limit.hard() > MAX_NR_OPEN {
            return Err(bad(
                format_args!("process.rlimits[{i}].hard"),
                format_args!("{}: {}: operation not permitted", limit.typ(), limit.hard()),
            ));
        }
        limits.push((number, limit.soft(), limit.hard()));
    }
    Ok(limits)
}

fn rlimit_number(typ: PosixRlimitType) -> u32 {
    match typ {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}
