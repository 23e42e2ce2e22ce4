//! The root of `/proc`.

use std::sync::Arc;

use abi::errno::Result;

use super::pid::Processes;
use super::{Proc, machine, sys, sysvipc};
use crate::fs::impls::pseudo::{DirBuilder, fixed};
use crate::fs::{FileType, Inode, Link, SuperBlock};
use crate::kernel::Kernel;
use crate::task::Task;

pub(super) fn build(sb: &Arc<SuperBlock>, proc: &Arc<Proc>) -> Arc<Inode> {
    let mut root = DirBuilder::new(sb);
    if proc.options.pids_only {
        links(&mut root, proc);
        root.dynamic(Processes(proc.clone()));
        return fixed(sb, FileType::Directory, root.into_ops());
    }
    machine_files(&mut root, proc);
    links(&mut root, proc);
    root.dir("sys", |d| sys::fill(d, proc));
    root.dir("sysvipc", |d| sysvipc::fill(d, &proc.kernel));
    root.dir("fs", |_| {});
    root.dir("bus", |_| {});
    root.dir("irq", |_| {});
    root.dir("tty", |d| {
        d.text("drivers", || {
            Ok("/dev/tty             /dev/tty        5       0 system:/dev/tty\n\
                /dev/ptmx            /dev/ptmx       5       2 system\n\
                pty_slave            /dev/pts      136 0-1048575 pty:slave\n\
                pty_master           /dev/ptm      128 0-1048575 pty:master\n"
                .to_owned())
        });
    });
    root.dir("driver", |_| {});
    root.dynamic(Processes(proc.clone()));
    fixed(sb, FileType::Directory, root.into_ops())
}

fn machine_files(root: &mut DirBuilder<'_>, proc: &Arc<Proc>) {
    let mut add = |name: &str, make: fn(&Kernel) -> Result<String>| {
        let kernel = proc.kernel.clone();
        root.text(name, move || make(&kernel));
    };
    add("cpuinfo", machine::cpuinfo);
    add("meminfo", machine::meminfo);
    add("stat", machine::stat);
    add("uptime", machine::uptime);
    add("vmstat", machine::vmstat);
    add("filesystems", filesystems);
    let this = proc.clone();
    root.text("loadavg", move || machine::loadavg(&this));
    root.text("version", machine::version);
    root.text("cmdline", || Ok("console=hvc0\n".to_owned()));
    root.text("devices", || {
        Ok("Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n128 ptm\n136 pts\n\n\
            Block devices:\n"
            .to_owned())
    });
    root.text("misc", || Ok(String::new()));
    root.text("modules", || Ok(String::new()));
    root.text("diskstats", || Ok(String::new()));
    root.text("interrupts", || Ok(String::new()));
    root.text("partitions", || Ok("major minor  #blocks  name\n\n".to_owned()));
    root.text("swaps", || {
        Ok("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned())
    });
    root.text("zoneinfo", || Ok(String::new()));
    root.text("buddyinfo", || Ok(String::new()));
    root.text("locks", || Ok(String::new()));
    root.text("cgroups", super::pid::cgroup::cgroups);
    root.text("kallsyms", || Ok(String::new()));
    root.file("sysrq-trigger", 0o200, || Err(abi::Errno::EIO));
}

fn filesystems(_: &Kernel) -> Result<String> {
    let all = crate::fs::impls::registry();
    let line = |t: &&dyn crate::fs::FsType| format!("{}\t{}\n", if t.nodev() { "nodev" } else { "" }, t.name());
    Ok(all.iter().map(line).collect())
}

fn links(root: &mut DirBuilder<'_>, proc: &Arc<Proc>) {
    let this = proc.clone();
    let own = move |task: &Arc<Task>| match task.group.pid.in_ns(&this.ns) {
        0 => Err(abi::Errno::ENOENT),
        pid => Ok(Link::Path(pid.to_string().into_bytes())),
    };
    root.link_for("self", own);
    let this = proc.clone();
    let thread = move |task: &Arc<Task>| {
        let (pid, tid) = (task.group.pid.in_ns(&this.ns), task.pid.in_ns(&this.ns));
        if pid == 0 || tid == 0 {
            return Err(abi::Errno::ENOENT);
        }
        Ok(Link::Path(format!("{pid}/task/{tid}").into_bytes()))
    };
    root.link_for("thread-self", thread);
    root.link("mounts", "self/mounts");
    root.link("net", "self/net");
}
