//! `/proc/sys/fs`

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{constant, number, steer};
use crate::fs::impls::proc::Proc;
use crate::fs::impls::pseudo::DirBuilder;

const INT: i64 = i32::MAX as i64;

pub(super) fn fill(dir: &mut DirBuilder<'_>, proc: &Arc<Proc>) {
    let k = &proc.kernel;
    steer::kernel(dir, k, "file-max", |s| &s.file_max, (0, i64::MAX));
    let kernel = k.clone();
    dir.text("file-nr", move || {
        let open = crate::fs::file::open_files();
        Ok(format!("{open}\t0\t{}\n", kernel.tunables.file_max.get()))
    });
    steer::kernel(dir, k, "nr_open", |s| &s.nr_open, (64, INT));
    constant(dir, "inode-nr", "0\t0");
    constant(dir, "inode-state", "0\t0\t0\t0\t0\t0\t0");
    constant(dir, "dentry-state", "0\t0\t45\t0\t0\t0");
    number(dir, "overflowuid", 65534, 0, 65535);
    number(dir, "overflowgid", 65534, 0, 65535);
    steer::kernel(dir, k, "pipe-max-size", |s| &s.pipe_max_size, (4096, INT));
    number(dir, "pipe-user-pages-soft", 16384, 0, INT);
    number(dir, "pipe-user-pages-hard", 0, 0, INT);
    steer::kernel(dir, k, "aio-max-nr", |s| &s.aio_max_nr, (0, INT));
    let kernel = k.clone();
    dir.text("aio-nr", move || {
        Ok(format!("{}\n", kernel.vfs.aio_nr.load(Ordering::Relaxed)))
    });
    steer::kernel(dir, k, "lease-break-time", |s| &s.lease_break_time, (0, INT));
    steer::kernel(dir, k, "leases-enable", |s| &s.leases_enable, (0, 1));
    number(dir, "mount-max", 100_000, 1, INT);
    number(dir, "protected_hardlinks", 1, 0, 1);
    number(dir, "protected_symlinks", 1, 0, 1);
    number(dir, "protected_fifos", 1, 0, 2);
    number(dir, "protected_regular", 2, 0, 2);
    number(dir, "suid_dumpable", 0, 0, 2);
    dir.dir("inotify", |d| {
        steer::kernel(d, k, "max_queued_events", |s| &s.inotify_queued, (0, INT));
        steer::kernel(d, k, "max_user_instances", |s| &s.inotify_instances, (0, INT));
        steer::kernel(d, k, "max_user_watches", |s| &s.inotify_watches, (0, INT));
    });
    dir.dir("epoll", |d| number(d, "max_user_watches", 1_000_000, 0, INT));
    dir.dir("mqueue", |d| {
        steer::ipc(d, k, "queues_max", |l| &l.queues_max, (0, INT));
        steer::ipc(d, k, "msg_max", |l| &l.msg_max, (1, 65536));
        steer::ipc(d, k, "msgsize_max", |l| &l.msgsize_max, (128, 16 << 20));
        steer::ipc(d, k, "msg_default", |l| &l.msg_default, (1, 65536));
        steer::ipc(d, k, "msgsize_default", |l| &l.msgsize_default, (128, 16 << 20));
    });
    dir.dir("binfmt_misc", |_| {});
}
