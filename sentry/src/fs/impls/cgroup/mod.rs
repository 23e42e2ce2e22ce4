//! The unified cgroup hierarchy as a container sees it from inside: its own group, without controllers to set. Limits are
//! the host's, put on the sandbox as a whole.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::pseudo::{DirBuilder, PseudoFs, Text, fixed, parse_number};
use crate::fs::{FileType, FsType, MountArgs, SuperBlock};
use crate::kernel::Kernel;
use crate::task::{ThreadGroup, current};

/// `CGROUP2_SUPER_MAGIC`
const MAGIC: u64 = 0x6367_7270;

/// `cgroup2`, and `cgroup`, which engines ask for on hosts with the old hierarchies.
pub struct CgroupFsType(pub &'static str);

impl FsType for CgroupFsType {
    fn name(&self) -> &'static str {
        self.0
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let sb = SuperBlock::new(Box::new(PseudoFs::new(MAGIC, String::new())), "cgroup2");
        let mut root = DirBuilder::new(&sb);
        root.file("cgroup.procs", 0o644, Procs(args.kernel.clone()));
        root.file("cgroup.threads", 0o644, Procs(args.kernel.clone()));
        root.text("cgroup.controllers", || Ok("\n".to_owned()));
        root.file("cgroup.subtree_control", 0o644, || Ok(b"\n".to_vec()));
        root.text("cgroup.type", || Ok("domain\n".to_owned()));
        root.text("cgroup.events", || Ok("populated 1\nfrozen 0\n".to_owned()));
        root.text("cgroup.stat", || {
            Ok("nr_descendants 0\nnr_dying_descendants 0\n".to_owned())
        });
        let kernel = args.kernel.clone();
        root.text("cpu.stat", move || {
            let mut used = 0u64;
            let all = kernel.tasks.processes(&kernel.tasks.root_ns);
            let mine = current().map(|task| task.group.cgroup.clone());
            let within = |group: &ThreadGroup| mine.as_ref().is_none_or(|m| Arc::ptr_eq(m, &group.cgroup));
            for (_, group) in all.iter().filter(|(_, group)| within(group)) {
                let usage = group.usage();
                used = used.saturating_add(usage.user_ns).saturating_add(usage.system_ns);
            }
            Ok(format!("usage_usec {0}\nuser_usec {0}\nsystem_usec 0\n", used / 1000))
        });
        sb.set_root(fixed(&sb, FileType::Directory, root.into_ops()));
        Ok(sb)
    }
}

/// All processes of the container are in the one group.
struct Procs(Arc<Kernel>);

impl Text for Procs {
    fn read(&self) -> Result<Vec<u8>> {
        let Some(me) = current() else { return Ok(Vec::new()) };
        let all = self.0.tasks.processes(me.pid_ns());
        Ok(all
            .iter()
            .filter(|(_, process)| Arc::ptr_eq(&process.cgroup, &me.group.cgroup))
            .map(|(pid, _)| format!("{pid}\n"))
            .collect::<String>()
            .into_bytes())
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let pid = i32::try_from(parse_number(data)?).map_err(|_| Errno::EINVAL)?;
        let me = current().ok_or(Errno::EPERM)?;
        let known = pid == 0 || self.0.tasks.process(me.pid_ns(), pid).is_some();
        // It is there already.
        if known { Ok(data.len()) } else { Err(Errno::ESRCH) }
    }
}
