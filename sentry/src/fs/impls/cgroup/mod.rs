//! Control groups as file systems: `cgroup`, one for each hierarchy of cgroup v1, and `cgroup2`.
//!
//! What is set is in force where the guest's kernel has it in its hands: who is in a group, `pids.max`, `devices.*`,
//! `freezer.state`, `cgroup.freeze` and which groups have which controllers. Memory and processors are shared out by the host's kernel, which knows the container as a
//! whole: the container's own files say what was given to it; what is written to them inside is kept, and no more.

mod dir;
mod file;
mod members;
mod options;
mod v1;
mod v2;

pub use v2::KNOWN as V2_CONTROLLERS;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::pseudo::PseudoFs;
use crate::boot::config::CgroupConfig;
use crate::cgroup::{Group, Groups, Hierarchy};
use crate::cred::cap;
use crate::fs::{FsType, Inode, MountArgs, SuperBlock};
use crate::kernel::Kernel;
use crate::task::{Cgroup, Task};

/// `CGROUP_SUPER_MAGIC`
const MAGIC: u64 = 0x27_e0eb;

/// `CGROUP2_SUPER_MAGIC`
const MAGIC2: u64 = 0x6367_7270;

/// `cgroup`
pub struct CgroupFsType;

/// `cgroup2`
pub struct Cgroup2FsType;

impl FsType for CgroupFsType {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let task = mounter(args)?;
        let wanted = options::Wanted::parse(args.data, &task.group.cgroup.hierarchies.controllers)?;
        let first = task.ns().cgroup.is_first();
        let hierarchy = wanted.hierarchy(args.kernel, &task.group.cgroup.hierarchies, first)?;
        mount_for(task, &hierarchy)
    }
}

impl FsType for Cgroup2FsType {
    fn name(&self) -> &'static str {
        "cgroup2"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let task = mounter(args)?;
        options::check_v2(args.data)?;
        let hierarchy = task.group.cgroup.hierarchies.find(0).ok_or(Errno::ENODEV)?;
        mount_for(task, &hierarchy)
    }
}

/// Who administers the cgroup namespace may mount.
fn mounter<'a>(args: &MountArgs<'a>) -> Result<&'a Arc<Task>> {
    let task = args.task.ok_or(Errno::ENODEV)?;
    match task.cred().has_cap_in(&task.ns().cgroup.user_ns, cap::SYS_ADMIN) {
        true => Ok(task),
        false => Err(Errno::EPERM),
    }
}

/// What a task's mount shows: the tree below the root of its cgroup namespace.
fn mount_for(task: &Arc<Task>, hierarchy: &Arc<Hierarchy>) -> Result<Arc<SuperBlock>> {
    let (ns, container) = (task.ns().cgroup.clone(), &task.group.cgroup);
    let top = ns.root_of(container, hierarchy);
    let sb = new(&task.kernel, container, hierarchy, top.clone());
    sb.set_origin(&ns.path(hierarchy, &top));
    Ok(sb)
}

/// The tree from `top` on.
pub fn new(
    kernel: &Arc<Kernel>,
    container: &Arc<Cgroup>,
    hierarchy: &Arc<Hierarchy>,
    top: Arc<Group>,
) -> Arc<SuperBlock> {
    let (magic, name, options) = match hierarchy.is_v2() {
        true => (MAGIC2, "cgroup2", String::new()),
        false => (MAGIC, "cgroup", format!(",{}", hierarchy.label())),
    };
    let sb = SuperBlock::new(Box::new(PseudoFs::new(magic, options)), name);
    let view = dir::View {
        kernel: kernel.clone(),
        container: container.clone(),
        hierarchy: hierarchy.clone(),
        files: Arc::new(file::files_of(hierarchy)),
    };
    sb.set_root(dir::inode(&sb, &Arc::new(view), top));
    sb
}

/// Writes what config.json gives the container to the files of its groups; what the guest's kernel has no file for is the host's
/// alone.
pub fn configure(kernel: &Arc<Kernel>, container: &Arc<Cgroup>, values: &[(String, String)]) {
    for hierarchy in container.hierarchies.all() {
        let files = file::files_of(&hierarchy);
        for (name, value) in values {
            let Some(def) = files.iter().find(|def| def.name == *name) else {
                continue;
            };
            let at = file::At {
                kernel,
                container,
                hierarchy: &hierarchy,
                group: &hierarchy.top,
                name,
                by: None,
            };
            if let Err(e) = def.write(&at, value) {
                crate::log::debug(format_args!("cgroup: {name}: {value:?}: {e:?}"));
            }
        }
    }
}

/// The group that the directory stands for, if the task may start a child, or a thread, there (`cgroup_css_set_fork`).
pub fn for_child(task: &Arc<Task>, inode: &Inode, thread: bool) -> Result<Arc<Group>> {
    let (view, group) = dir::of(inode).ok_or(Errno::EBADF)?;
    if !view.hierarchy.is_v2() || !Arc::ptr_eq(&view.container, &task.group.cgroup) {
        return Err(Errno::EBADF);
    }
    if group.is_removed() {
        return Err(Errno::ENOENT);
    }
    if thread && !Arc::ptr_eq(group, &task.group_in(&view.hierarchy)) {
        return Err(Errno::EOPNOTSUPP);
    }
    members::may_move_v2(&view.hierarchy, group, task, task)?;
    Ok(group.clone())
}

/// Groups for a process made from outside: those that are named; where the container's own may have no processes any more, as
/// with runc, that of its first process.
pub fn for_process(
    kernel: &Arc<Kernel>,
    container: &Arc<Cgroup>,
    wanted: &[(Option<String>, String)],
) -> std::result::Result<Option<Arc<Groups>>, String> {
    let groups = container.place(wanted)?;
    let Some(hierarchy) = container.hierarchies.find(0).filter(|_| wanted.is_empty()) else {
        return Ok(groups);
    };
    let own = file::At {
        kernel,
        container,
        hierarchy: &hierarchy,
        group: &hierarchy.top,
        name: "cgroup.procs",
        by: None,
    };
    if v2::may_hold(&own).is_ok() {
        return Ok(groups);
    }
    let processes = kernel.tasks.processes_in(container);
    let first = processes
        .first()
        .and_then(|process| process.threads().into_iter().next());
    Ok(first.and_then(|task| Groups::moved(None, &task.group_in(&hierarchy), &container.hierarchies)))
}

/// A container's groups, with what it is given.
pub fn container(
    kernel: &Arc<Kernel>,
    pids_limit: Option<u64>,
    rules: Vec<crate::task::DeviceRule>,
    config: &CgroupConfig,
) -> Arc<Cgroup> {
    let made = Cgroup::new(kernel, pids_limit, rules, config);
    configure(kernel, &made, &config.values);
    made
}
