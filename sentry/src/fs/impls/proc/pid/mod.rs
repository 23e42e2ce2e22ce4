//! `/proc/PID` and `/proc/PID/task/TID`.

mod fd;
mod idmap;
mod limits;
mod maps;
mod mem;
pub(super) mod mounts;
pub(crate) mod ns;
mod settings;
mod stat;
mod status;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::Proc;
use crate::fs::impls::pseudo::{Attr, Dir, DirBuilder, Dynamic, Entry, LinkNode, Text, TextNode, live};
use crate::fs::{FileType, Inode, InodeOps, Link, Path, SuperBlock};
use crate::task::{Task, current, may_inspect};

/// Makes a file's text.
type Read = fn(&Proc, &Arc<Task>) -> Result<Vec<u8>>;
/// Takes what was written, at a position.
type Write = fn(&Proc, &Arc<Task>, &[u8], u64) -> Result<usize>;
/// Finds where a magic link leads.
type Follow = fn(&Arc<Task>) -> Result<Path>;

/// What a name in a process's directory is.
enum Kind {
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
enum In {
    /// In both.
    Both,
    /// Only in `/proc/PID`.
    Process,
    /// Only in `/proc/PID/task/TID`.
    Thread,
}

struct Name {
    name: &'static str,
    mode: u32,
    place: In,
    kind: Kind,
}

const fn name(name: &'static str, mode: u32, place: In, kind: Kind) -> Name {
    Name {
        name,
        mode,
        place,
        kind,
    }
}

static NAMES: &[Name] = &[
    name("task", 0o555, In::Process, Kind::Other(FileType::Directory, threads)),
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
        Kind::Other(FileType::Directory, super::net::dir),
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
    name(
        "cgroup",
        0o444,
        In::Both,
        Kind::Plain(|_, _| Ok(b"0::/\n".to_vec()), None),
    ),
    name("cpuset", 0o444, In::Both, Kind::Plain(|_, _| Ok(b"/\n".to_vec()), None)),
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

/// The caller may look into the process.
fn check_access(task: &Arc<Task>) -> Result<()> {
    match current() {
        Some(me) if !may_inspect(&me, task) => Err(Errno::EACCES),
        _ => Ok(()),
    }
}

/// Owner of a process's files: its effective ids, or root if it is not dumpable.
fn owner(task: &Task, mode: u32) -> Attr {
    let cred = task.cred();
    if mode == 0o555 || task.group.dumpable.load(Ordering::Relaxed) == 1 {
        Attr {
            mode,
            uid: cred.euid,
            gid: cred.egid,
        }
    } else {
        Attr::root(mode)
    }
}

/// Names of one process or thread.
struct TaskDir {
    proc: Arc<Proc>,
    task: Weak<Task>,
    place: In,
}

impl TaskDir {
    fn task(&self) -> Result<Arc<Task>> {
        self.task.upgrade().ok_or(Errno::ENOENT)
    }

    fn is_here(&self, name: &Name) -> bool {
        name.place == In::Both || name.place == self.place
    }

    /// Numbers of threads' directories lie apart from those of processes'.
    fn ino(&self, task: &Arc<Task>, index: usize) -> u64 {
        let thread = if self.place == In::Thread { 1 << 31 } else { 0 };
        self.proc.ino_base(task) + thread + 1 + abi::conv::usize64(index)
    }
}

impl Dynamic for TaskDir {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let task = self.task()?;
        let found = NAMES
            .iter()
            .enumerate()
            .find(|(_, n)| n.name.as_bytes() == name && self.is_here(n));
        let (index, name) = found.ok_or(Errno::ENOENT)?;
        let ino = self.ino(&task, index);
        let kind = match &name.kind {
            Kind::Plain(..) | Kind::Private(..) => FileType::Regular,
            Kind::Magic(_) => FileType::Symlink,
            Kind::Other(kind, _) => *kind,
        };
        Ok(live(&dir.sb, ino, kind, || make(&self.proc, &dir.sb, &task, name, ino)))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let task = self.task()?;
        let names = NAMES.iter().enumerate().filter(|(_, n)| self.is_here(n));
        let entries = names.map(|(i, n)| Entry {
            key: abi::conv::usize64(i),
            name: n.name.as_bytes().to_vec(),
            ino: self.ino(&task, i),
            kind: match &n.kind {
                Kind::Plain(..) | Kind::Private(..) => FileType::Regular,
                Kind::Magic(_) => FileType::Symlink,
                Kind::Other(kind, _) => *kind,
            },
        });
        Ok(entries.filter(|e| e.key >= from).collect())
    }

    fn is_valid(&self, _name: &[u8], _child: &Inode) -> bool {
        self.task.strong_count() > 0
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, 0o555))
    }

    fn permission(&self, reader: &Arc<Task>, _want: u32) -> Option<Result<()>> {
        let task = self.task.upgrade()?;
        let denied = !self.proc.options.opens(reader, &task);
        denied.then_some(Err(Errno::EPERM))
    }
}

fn make(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, name: &'static Name, ino: u64) -> Box<dyn InodeOps> {
    match &name.kind {
        Kind::Plain(..) | Kind::Private(..) => TextNode::new(
            Attr::root(name.mode),
            TaskText {
                proc: proc.clone(),
                task: Arc::downgrade(task),
                name,
            },
        ),
        Kind::Magic(follow) => {
            let task = Arc::downgrade(task);
            let leads = move |me: &Arc<Task>| {
                let task = task.upgrade().ok_or(Errno::ENOENT)?;
                if !may_inspect(me, &task) {
                    return Err(Errno::EACCES);
                }
                Ok(Link::Jump(follow(&task)?))
            };
            LinkNode::new(Attr::root(name.mode), leads)
        }
        Kind::Other(_, make) => make(proc, sb, task, ino),
    }
}

/// A file of a process.
struct TaskText {
    proc: Arc<Proc>,
    task: Weak<Task>,
    name: &'static Name,
}

impl Text for TaskText {
    fn read(&self) -> Result<Vec<u8>> {
        let task = self.task.upgrade().ok_or(Errno::ESRCH)?;
        match &self.name.kind {
            Kind::Plain(read, _) | Kind::Private(read, _) => read(&self.proc, &task),
            Kind::Magic(_) | Kind::Other(..) => Err(Errno::EINVAL),
        }
    }

    fn write(&self, data: &[u8], pos: u64) -> Result<usize> {
        let task = self.task.upgrade().ok_or(Errno::ESRCH)?;
        match &self.name.kind {
            Kind::Plain(_, Some(write)) | Kind::Private(_, Some(write)) => write(&self.proc, &task, data, pos),
            _ => Err(Errno::EINVAL),
        }
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, self.name.mode))
    }

    fn open(&self) -> Result<()> {
        match self.name.kind {
            Kind::Private(..) => check_access(&self.task.upgrade().ok_or(Errno::ESRCH)?),
            _ => Ok(()),
        }
    }
}

fn task_dir(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, place: In) -> Arc<Inode> {
    let thread = if place == In::Thread { 1 << 31 } else { 0 };
    let ino = proc.ino_base(task) + thread;
    live(sb, ino, FileType::Directory, || {
        let mut dir = DirBuilder::new(sb);
        dir.dynamic(TaskDir {
            proc: proc.clone(),
            task: Arc::downgrade(task),
            place,
        });
        dir.into_ops() as Box<Dir>
    })
}

/// The process whose directory this is, for `pidfd_send_signal(2)`.
pub(crate) fn process_of(inode: &Inode) -> Option<Arc<crate::task::ThreadGroup>> {
    let dir = inode.ops.as_any().downcast_ref::<Dir>()?;
    let task = dir.dynamic::<TaskDir>().filter(|d| d.place == In::Process)?;
    task.task.upgrade().map(|t| t.group.clone())
}

/// A number as it must be written: no sign, no leading zero.
fn number(name: &[u8]) -> Result<i32> {
    if name.first().is_none_or(|&b| b == b'0' && name.len() > 1) || !name.iter().all(u8::is_ascii_digit) {
        return Err(Errno::ENOENT);
    }
    let text = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    text.parse().map_err(|_| Errno::ENOENT)
}

/// The processes in the root of an instance.
pub(super) struct Processes(pub(super) Arc<Proc>);

impl Dynamic for Processes {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let proc = &self.0;
        // Threads are found by their number too, though not listed.
        let task = proc.kernel.tasks.task(&proc.ns, number(name)?).ok_or(Errno::ENOENT)?;
        if !proc.options.shows(current().as_ref(), &task) {
            return Err(Errno::ENOENT);
        }
        Ok(task_dir(proc, &dir.sb, &task, In::Process))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let proc = &self.0;
        let all = proc.kernel.tasks.processes(&proc.ns);
        let entries = all.iter().filter_map(|(pid, _)| {
            let task = proc.kernel.tasks.task(&proc.ns, *pid)?;
            if !proc.options.shows(current().as_ref(), &task) {
                return None;
            }
            Some(Entry {
                key: u64::try_from(*pid).ok()?,
                name: pid.to_string().into_bytes(),
                ino: proc.ino_base(&task),
                kind: FileType::Directory,
            })
        });
        Ok(entries.filter(|e| e.key >= from).collect())
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        let proc = &self.0;
        let task = number(name).ok().and_then(|n| proc.kernel.tasks.task(&proc.ns, n));
        task.is_some_and(|t| proc.ino_base(&t) == child.ino && proc.options.shows(current().as_ref(), &t))
    }
}

/// `/proc/PID/task`
struct Threads {
    proc: Arc<Proc>,
    task: Weak<Task>,
}

fn threads(proc: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, _ino: u64) -> Box<dyn InodeOps> {
    let mut dir = DirBuilder::new(sb);
    dir.dynamic(Threads {
        proc: proc.clone(),
        task: Arc::downgrade(task),
    });
    dir.into_ops()
}

impl Threads {
    fn find(&self, name: &[u8]) -> Result<Arc<Task>> {
        let group = self.task.upgrade().ok_or(Errno::ENOENT)?.group.tgid;
        let task = self.proc.kernel.tasks.task(&self.proc.ns, number(name)?);
        task.filter(|t| t.group.tgid == group).ok_or(Errno::ENOENT)
    }
}

impl Dynamic for Threads {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        Ok(task_dir(&self.proc, &dir.sb, &self.find(name)?, In::Thread))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let leader = self.task.upgrade().ok_or(Errno::ENOENT)?;
        let mut tasks = leader.group.threads();
        if tasks.is_empty() {
            tasks.push(leader);
        }
        let mut entries: Vec<Entry> = tasks
            .iter()
            .filter_map(|task| {
                let tid = task.pid.in_ns(&self.proc.ns);
                Some(Entry {
                    key: u64::try_from(tid).ok()?,
                    name: tid.to_string().into_bytes(),
                    ino: self.proc.ino_base(task) + (1 << 31),
                    kind: FileType::Directory,
                })
            })
            .collect();
        entries.retain(|e| e.key >= from);
        entries.sort_by_key(|e| e.key);
        Ok(entries)
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        self.find(name)
            .is_ok_and(|t| self.proc.ino_base(&t) + (1 << 31) == child.ino)
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.task.upgrade()?, 0o555))
    }
}
