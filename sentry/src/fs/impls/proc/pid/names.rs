//! The names in `/proc/PID` and `/proc/PID/task/TID`, and what each is.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::{cgroup, fd, idmap, limits, list, maps, mem, mounts, ns, settings, stat, status, timens};
use crate::fs::impls::proc::Proc;
use crate::fs::{FileType, InodeOps, Path, SuperBlock};
use crate::task::Task;

/// Makes a file's text.
pub(super) type Read = fn(&Proc, &Arc<Task>) -> Result<Vec<u8>>;
/// Takes what was written, at a position.
pub(super) type Write = fn(&Proc, &Arc<Task>, &[u8], u64) -> Result<usize>;
/// Finds where a magic link leads.
pub(super) type Follow = fn(&Arc<Task>) -> Result<Path>;

/// What a name in a process's directory is.
pub(super) enum Kind {
    /// Anybody may read it as far as its mode says.
    Plain(Read, Option<Write>),
    /// Opening it needs the right to look into the process.
    Private(Read, Option<Write>),
    /// A link; following it needs that right.
    Magic(Follow),
    /// A directory or a file of its own kind.
    Other(
        FileType,
        fn(&Arc<Proc>, &Arc<SuperBlock>, &Arc<Task>, u64) -> Box<dyn InodeOps>,
    ),
}

/// Where a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    /// In both.
    Both,
    /// Only in `/proc/PID`.
    Process,
    /// Only in `/proc/PID/task/TID`.
    Thread,
}

pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) place: In,
    pub(super) kind: Kind,
}

const fn name(name: &'static str, mode: u32, place: In, kind: Kind) -> Name {
    Name {
        name,
        mode,
        place,
        kind,
    }
}

pub(super) static NAMES: &[Name] = &[
    name(
        "task",
        0o555,
        In::Process,
        Kind::Other(FileType::Directory, list::threads),
    ),
    name("fd", 0o500, In::Both, Kind::Other(FileType::Directory, fd::dir)),
    name(
        "fdinfo",
        0o500,
        In::Both,
        Kind::Other(FileType::Directory, fd::info_dir),
    ),
    name("ns", 0o511, In::Both, Kind::Other(FileType::Directory, ns::dir)),
    name(
        "net",
        0o555,
        In::Both,
        Kind::Other(FileType::Directory, crate::fs::impls::proc::net::dir),
    ),
    name("environ", 0o400, In::Both, Kind::Private(mem::environ, None)),
    name("auxv", 0o400, In::Both, Kind::Private(mem::auxv, None)),
    name("status", 0o444, In::Both, Kind::Plain(status::status, None)),
    name(
        "personality",
        0o400,
        In::Both,
        Kind::Private(settings::personality, None),
    ),
    name("limits", 0o444, In::Both, Kind::Plain(limits::limits, None)),
    name(
        "sched",
        0o644,
        In::Both,
        Kind::Plain(stat::sched, Some(settings::ignore)),
    ),
    name(
        "autogroup",
        0o644,
        In::Process,
        Kind::Plain(settings::autogroup, Some(settings::ignore)),
    ),
    name(
        "comm",
        0o644,
        In::Both,
        Kind::Plain(settings::comm, Some(settings::set_comm)),
    ),
    name("syscall", 0o400, In::Both, Kind::Private(stat::syscall, None)),
    name("cmdline", 0o444, In::Both, Kind::Plain(mem::cmdline, None)),
    name("stat", 0o444, In::Both, Kind::Plain(stat::stat, None)),
    name("statm", 0o444, In::Both, Kind::Plain(stat::statm, None)),
    name("maps", 0o444, In::Both, Kind::Private(maps::maps, None)),
    name("numa_maps", 0o444, In::Both, Kind::Private(maps::numa_maps, None)),
    name("children", 0o444, In::Thread, Kind::Plain(stat::children, None)),
    name("mem", 0o600, In::Both, Kind::Other(FileType::Regular, mem::node)),
    name("cwd", 0o777, In::Both, Kind::Magic(|t| Ok(t.fs().cwd()))),
    name("root", 0o777, In::Both, Kind::Magic(|t| Ok(t.fs().root()))),
    name("exe", 0o777, In::Both, Kind::Magic(exe)),
    name("mounts", 0o444, In::Both, Kind::Plain(mounts::mounts, None)),
    name("mountinfo", 0o444, In::Both, Kind::Plain(mounts::mountinfo, None)),
    name("mountstats", 0o400, In::Process, Kind::Plain(mounts::mountstats, None)),
    name(
        "clear_refs",
        0o200,
        In::Both,
        Kind::Plain(settings::nothing, Some(settings::clear_refs)),
    ),
    name("smaps", 0o444, In::Both, Kind::Private(maps::smaps, None)),
    name("smaps_rollup", 0o444, In::Both, Kind::Private(maps::smaps_rollup, None)),
    name(
        "pagemap",
        0o400,
        In::Both,
        Kind::Private(|_, _| Err(Errno::EPERM), None),
    ),
    name(
        "attr",
        0o555,
        In::Both,
        Kind::Other(FileType::Directory, settings::attr_dir),
    ),
    name("wchan", 0o444, In::Both, Kind::Plain(|_, _| Ok(b"0".to_vec()), None)),
    name("stack", 0o400, In::Both, Kind::Private(|_, _| Err(Errno::EPERM), None)),
    name("schedstat", 0o444, In::Both, Kind::Plain(stat::schedstat, None)),
    name("cgroup", 0o444, In::Both, Kind::Plain(cgroup::cgroup, None)),
    name("cpuset", 0o444, In::Both, Kind::Plain(cgroup::cpuset, None)),
    name("oom_score", 0o444, In::Both, Kind::Plain(settings::oom_score, None)),
    name(
        "oom_adj",
        0o644,
        In::Both,
        Kind::Plain(settings::oom_adj, Some(settings::set_oom_adj)),
    ),
    name(
        "oom_score_adj",
        0o644,
        In::Both,
        Kind::Plain(settings::oom_score_adj, Some(settings::set_oom_score_adj)),
    ),
    name(
        "loginuid",
        0o644,
        In::Both,
        Kind::Plain(settings::unset_id, Some(settings::refuse)),
    ),
    name("sessionid", 0o444, In::Both, Kind::Plain(settings::unset_id, None)),
    name(
        "coredump_filter",
        0o644,
        In::Process,
        Kind::Plain(settings::coredump_filter, Some(settings::ignore)),
    ),
    name("io", 0o400, In::Both, Kind::Private(stat::io, None)),
    name(
        "uid_map",
        0o644,
        In::Both,
        Kind::Plain(idmap::uid_map, Some(idmap::set_uid_map)),
    ),
    name(
        "gid_map",
        0o644,
        In::Both,
        Kind::Plain(idmap::gid_map, Some(idmap::set_gid_map)),
    ),
    name(
        "projid_map",
        0o644,
        In::Both,
        Kind::Plain(idmap::projid_map, Some(settings::refuse)),
    ),
    name(
        "setgroups",
        0o644,
        In::Both,
        Kind::Plain(idmap::setgroups, Some(idmap::set_setgroups)),
    ),
    name(
        "timens_offsets",
        0o644,
        In::Process,
        Kind::Other(FileType::Regular, timens::node),
    ),
    name("timers", 0o444, In::Process, Kind::Plain(settings::timers, None)),
    name(
        "timerslack_ns",
        0o666,
        In::Process,
        Kind::Plain(settings::timerslack, Some(settings::set_timerslack)),
    ),
];

fn exe(task: &Arc<Task>) -> Result<Path> {
    let file = task.mm().and_then(|mm| mm.exe()).ok_or(Errno::ENOENT)?;
    Ok(file.path.clone())
}
