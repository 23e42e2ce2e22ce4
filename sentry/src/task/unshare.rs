//! New namespaces: for a child (`clone(2)`), for the caller (`unshare(2)`), and joining others' (`setns(2)`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use abi::Errno;
use abi::errno::Result;
use abi::sched::CloneFlags;

use super::ns::{Nsproxy, UtsNamespace};
use super::{Cx, PidNamespace, Task};
use crate::cgroup::CgroupNamespace;
use crate::cred::{Cred, UserNamespace, cap};
use crate::fs::FsContext;
use crate::ipc::IpcNamespace;
use crate::sync::Mutex;
use crate::time::TimeNamespace;

/// Deepest nesting of pid and of user namespaces.
const MAX_LEVEL: usize = 32;

/// `CLONE_NEWUSER`: the caller's ids mean nothing there until maps are written, but it has every capability in it.
pub(super) fn new_user_ns(task: &Task, cred: &Cred) -> Result<Cred> {
    let mut depth = 0;
    let mut at = Some(&cred.user_ns);
    while let Some(ns) = at {
        depth += 1;
        at = ns.parent.as_ref();
    }
    if depth > MAX_LEVEL {
        return Err(Errno::ENOSPC);
    }
    // The owner must be somebody in the namespace above.
    if cred.user_ns.uid_out(cred.euid) == crate::cred::OVERFLOW_ID && cred.user_ns.uid_in(cred.euid).is_err() {
        return Err(Errno::EPERM);
    }
    let ns = Arc::new(UserNamespace {
        parent: Some(cred.user_ns.clone()),
        owner: cred.euid,
        id: task.kernel.unique_id(),
        uid_map: Mutex::default(),
        gid_map: Mutex::default(),
        creator_had_setfcap: cred.has_cap_in(&cred.user_ns, cap::SETFCAP),
        setgroups_denied: AtomicBool::new(cred.user_ns.setgroups_denied.load(std::sync::atomic::Ordering::Relaxed)),
    });
    Ok(Cred {
        permitted: cap::FULL,
        effective: cap::FULL,
        inheritable: 0,
        bounding: cap::FULL,
        ambient: 0,
        securebits: 0,
        user_ns: ns,
        ..cred.clone()
    })
}

impl Nsproxy {
    /// With new namespaces as `flags` ask. `cred` are those that will own them, `fs` is moved to the new mounts.
    pub(super) fn copy(task: &Task, old: &Nsproxy, flags: CloneFlags, cred: &Cred, fs: &FsContext) -> Result<Nsproxy> {
        if !cred.has_cap(cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let kernel = &task.kernel;
        let mut new = old.clone();
        if flags.contains(CloneFlags::NEWUTS) {
            new.uts = Arc::new(UtsNamespace {
                id: kernel.unique_id(),
                user_ns: cred.user_ns.clone(),
                names: Mutex::new(old.uts.names.lock().clone()),
            });
        }
        if flags.contains(CloneFlags::NEWNET) {
            new.net = old.net.unshare(kernel.unique_id(), cred.user_ns.clone());
        }
        if flags.contains(CloneFlags::NEWIPC) {
            new.ipc = IpcNamespace::new(kernel.unique_id(), cred.user_ns.clone());
        }
        if flags.contains(CloneFlags::NEWCGROUP) {
            let (container, groups) = (&task.group.cgroup, task.groups());
            new.cgroup = CgroupNamespace::new(kernel.unique_id(), cred.user_ns.clone(), container, groups);
        }
        if flags.contains(CloneFlags::NEWPID) {
            if old.pid_for_children.level >= MAX_LEVEL {
                return Err(Errno::ENOSPC);
            }
            let id = kernel.unique_id();
            new.pid_for_children = PidNamespace::child(&old.pid_for_children, id, cred.user_ns.clone());
        }
        if flags.contains(CloneFlags::NEWTIME) {
            new.time_for_children = old.time_for_children.child(kernel.unique_id(), cred.user_ns.clone());
        }
        if flags.contains(CloneFlags::NEWNS) {
            new.mnt = old.mnt.copy(kernel, &cred.user_ns, fs)?;
        }
        Ok(new)
    }
}

const UNSHARE: CloneFlags = CloneFlags::VM
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SYSVSEM)
    .union(CloneFlags::NEWNS)
    .union(CloneFlags::NEWUTS)
    .union(CloneFlags::NEWIPC)
    .union(CloneFlags::NEWUSER)
    .union(CloneFlags::NEWPID)
    .union(CloneFlags::NEWNET)
    .union(CloneFlags::NEWCGROUP)
    .union(CloneFlags::NEWTIME);

/// `unshare(2)`
pub(crate) fn unshare(cx: &mut Cx, flags: CloneFlags) -> Result<()> {
    let task = cx.task.clone();
    let mut flags = flags;
    if flags.contains(CloneFlags::NEWUSER) {
        flags |= CloneFlags::THREAD | CloneFlags::FS;
    }
    if flags.contains(CloneFlags::VM) {
        flags |= CloneFlags::SIGHAND;
    }
    if flags.contains(CloneFlags::SIGHAND) {
        flags |= CloneFlags::THREAD;
    }
    if flags.contains(CloneFlags::NEWNS) {
        flags |= CloneFlags::FS;
    }
    if flags.intersects(UNSHARE.complement()) {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM) && task.group.thread_count() > 1 {
        return Err(Errno::EINVAL);
    }
    // `cx.mm` and the task's own slot are one user.
    if flags.contains(CloneFlags::VM) && Arc::strong_count(&cx.mm) > 2 {
        return Err(Errno::EINVAL);
    }
    let mut cred = task.cred();
    if flags.contains(CloneFlags::NEWUSER) {
        cred = Arc::new(new_user_ns(&task, &cred)?);
    }
    let fs = match flags.contains(CloneFlags::FS) {
        true => Arc::new(task.fs().fork()),
        false => task.fs(),
    };
    let namespaces = UNSHARE.difference(
        CloneFlags::VM
            | CloneFlags::FS
            | CloneFlags::FILES
            | CloneFlags::SIGHAND
            | CloneFlags::THREAD
            | CloneFlags::SYSVSEM
            | CloneFlags::NEWUSER,
    );
    if flags.intersects(namespaces) {
        let old = task.ns();
        let ns = Nsproxy::copy(&task, &old, flags, &cred, &fs)?;
        task.set_ns(Arc::new(ns));
        if flags.contains(CloneFlags::NEWIPC) {
            leave_ipc(&task, &old.ipc);
        }
    }
    if flags.contains(CloneFlags::FS) {
        task.set_fs(fs);
    }
    if flags.contains(CloneFlags::FILES) {
        let files = Arc::new(task.files().fork());
        task.set_files(files);
    }
    if flags.contains(CloneFlags::NEWUSER) {
        task.set_cred(cred);
    }
    Ok(())
}

/// The process is out of reach of its semaphores: what it asked to have undone is undone (`exit_sem`).
fn leave_ipc(task: &Task, old: &IpcNamespace) {
    if task.group.thread_count() <= 1 {
        crate::ipc::sysv::sem::exit_process(&old.sysv, task.group.tgid);
    }
}

/// What a file of `/proc/PID/ns` stands for.
#[derive(Clone)]
pub enum Namespace {
    /// `mnt`
    Mount(Arc<crate::fs::mount::MountNamespace>),
    /// `uts`
    Uts(Arc<UtsNamespace>),
    /// `net`
    Net(Arc<crate::net::NetNamespace>),
    /// `ipc`
    Ipc(Arc<IpcNamespace>),
    /// `cgroup`
    Cgroup(Arc<CgroupNamespace>),
    /// `pid` and `pid_for_children`
    Pid(Arc<PidNamespace>),
    /// `user`
    User(Arc<UserNamespace>),
    /// `time` and `time_for_children`
    Time(Arc<TimeNamespace>),
}

impl Namespace {
    /// Those of a task.
    pub fn of(task: &Task) -> Vec<Namespace> {
        let ns = task.ns();
        vec![
            Namespace::User(task.cred().user_ns.clone()),
            Namespace::Mount(ns.mnt.clone()),
            Namespace::Uts(ns.uts.clone()),
            Namespace::Net(ns.net.clone()),
            Namespace::Ipc(ns.ipc.clone()),
            Namespace::Cgroup(ns.cgroup.clone()),
            Namespace::Pid(task.pid.ns.clone()),
            Namespace::Time(ns.time.clone()),
        ]
    }

    /// Its `CLONE_NEW*` flag.
    pub fn flag(&self) -> CloneFlags {
        match self {
            Namespace::Mount(_) => CloneFlags::NEWNS,
            Namespace::Uts(_) => CloneFlags::NEWUTS,
            Namespace::Net(_) => CloneFlags::NEWNET,
            Namespace::Ipc(_) => CloneFlags::NEWIPC,
            Namespace::Cgroup(_) => CloneFlags::NEWCGROUP,
            Namespace::Pid(_) => CloneFlags::NEWPID,
            Namespace::User(_) => CloneFlags::NEWUSER,
            Namespace::Time(_) => CloneFlags::NEWTIME,
        }
    }

    /// Inode number.
    pub fn id(&self) -> u64 {
        match self {
            Namespace::Mount(ns) => ns.id,
            Namespace::Uts(ns) => ns.id,
            Namespace::Net(ns) => ns.id,
            Namespace::Ipc(ns) => ns.id,
            Namespace::Cgroup(ns) => ns.id,
            Namespace::Pid(ns) => ns.id,
            Namespace::User(ns) => ns.id,
            Namespace::Time(ns) => ns.id,
        }
    }

    /// Its name in `/proc/PID/ns` links.
    pub fn name(&self) -> &'static str {
        match self {
            Namespace::Mount(_) => "mnt",
            Namespace::Uts(_) => "uts",
            Namespace::Net(_) => "net",
            Namespace::Ipc(_) => "ipc",
            Namespace::Cgroup(_) => "cgroup",
            Namespace::Pid(_) => "pid",
            Namespace::User(_) => "user",
            Namespace::Time(_) => "time",
        }
    }

    /// Who owns it.
    pub fn user_ns(&self) -> &Arc<UserNamespace> {
        match self {
            Namespace::Mount(ns) => &ns.user_ns,
            Namespace::Uts(ns) => &ns.user_ns,
            Namespace::Net(ns) => &ns.user_ns,
            Namespace::Ipc(ns) => &ns.user_ns,
            Namespace::Cgroup(ns) => &ns.user_ns,
            Namespace::Pid(ns) => &ns.user_ns,
            Namespace::User(ns) => ns,
            Namespace::Time(ns) => &ns.user_ns,
        }
    }

    /// `setns(2)`: the task joins it.
    pub(crate) fn enter(&self, cx: &mut Cx) -> Result<()> {
        let task = cx.task.clone();
        let cred = task.cred();
        let owner = self.user_ns();
        if let Namespace::User(ns) = self {
            if ns.id == cred.user_ns.id {
                return Err(Errno::EINVAL);
            }
            if task.group.thread_count() > 1 || Arc::strong_count(&task.fs()) > 2 {
                return Err(Errno::EINVAL);
            }
        }
        let alone = || task.group.thread_count() <= 1 && Arc::strong_count(&cx.mm) <= 2;
        if matches!(self, Namespace::Time(_)) && !alone() {
            return Err(Errno::EUSERS);
        }
        // A user namespace is entered by what the caller may do there; for the others he also needs his own.
        let own = matches!(self, Namespace::User(_)) || cred.has_cap(cap::SYS_ADMIN);
        if !own || !cred.has_cap_in(owner, cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let mut proxy = (*task.ns()).clone();
        match self {
            Namespace::Mount(ns) => {
                if !cred.has_cap(cap::SYS_CHROOT) {
                    return Err(Errno::EPERM);
                }
                if Arc::strong_count(&task.fs()) > 2 {
                    return Err(Errno::EINVAL);
                }
                let root = ns.root_path()?;
                proxy.mnt = ns.clone();
                let fs = task.fs();
                fs.set_root(root.clone());
                fs.set_cwd(root);
            }
            Namespace::Net(ns) => {
                proxy.net = ns.clone();
            }
            Namespace::Uts(ns) => {
                proxy.uts = ns.clone();
            }
            Namespace::Ipc(ns) => {
                leave_ipc(&task, &proxy.ipc);
                proxy.ipc = ns.clone();
            }
            Namespace::Cgroup(ns) => {
                proxy.cgroup = ns.clone();
            }
            Namespace::Pid(ns) => {
                if !ns.is_within(task.pid_ns()) {
                    return Err(Errno::EINVAL);
                }
                proxy.pid_for_children = ns.clone();
            }
            Namespace::Time(ns) => {
                cx.mm.follow_time(ns)?;
                proxy.time_for_children = ns.clone();
                proxy.change_time();
            }
            Namespace::User(ns) => {
                task.set_cred(Arc::new(Cred {
                    permitted: cap::FULL,
                    effective: cap::FULL,
                    inheritable: 0,
                    bounding: cap::FULL,
                    ambient: 0,
                    securebits: 0,
                    user_ns: ns.clone(),
                    ..(*cred).clone()
                }));
            }
        }
        task.set_ns(Arc::new(proxy));
        Ok(())
    }
}

/// An open file of `/proc/PID/ns`.
pub struct NsFile {
    /// What it stands for; the open file keeps it alive.
    pub ns: Namespace,
}

impl crate::fs::FileOps for NsFile {
    fn ioctl(&self, cx: &mut Cx, file: &crate::fs::File, cmd: u32, arg: u64) -> abi::SysResult<u64> {
        const NS_GET_USERNS: u32 = 0xb701;
        const NS_GET_PARENT: u32 = 0xb702;
        const NS_GET_NSTYPE: u32 = 0xb703;
        const NS_GET_OWNER_UID: u32 = 0xb704;
        let _ = file;
        match cmd {
            NS_GET_USERNS => {
                let owner = match &self.ns {
                    Namespace::User(ns) => ns.parent.clone().ok_or(Errno::EPERM)?,
                    other => other.user_ns().clone(),
                };
                open_relative(cx, Namespace::User(owner))
            }
            NS_GET_PARENT => {
                let parent = match &self.ns {
                    Namespace::User(ns) => Namespace::User(ns.parent.clone().ok_or(Errno::EPERM)?),
                    Namespace::Pid(ns) => Namespace::Pid(ns.parent.clone().ok_or(Errno::EPERM)?),
                    _ => return Err(Errno::EINVAL.into()),
                };
                open_relative(cx, parent)
            }
            NS_GET_NSTYPE => Ok(self.ns.flag().bits()),
            NS_GET_OWNER_UID => {
                let Namespace::User(ns) = &self.ns else {
                    return Err(Errno::EINVAL.into());
                };
                let uid = cx.task.cred().user_ns.uid_out(ns.owner);
                cx.write_obj(crate::usermem::UserAddr(arg), &uid)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY.into()),
        }
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// A descriptor of a namespace that the caller is in or above of (`ns_get_owner`, `pidns_get_parent`); `EPERM` for others.
fn open_relative(cx: &mut Cx, ns: Namespace) -> abi::SysResult<u64> {
    let inside = match &ns {
        Namespace::User(ns) => ns.is_within(&cx.task.cred().user_ns),
        Namespace::Pid(ns) => ns.is_within(cx.task.pid_ns()),
        _ => true,
    };
    if !inside {
        return Err(Errno::EPERM.into());
    }
    let file = crate::fs::impls::ns_file(&cx.task.kernel, ns);
    let fd = cx.task.files().add(file, true, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}
