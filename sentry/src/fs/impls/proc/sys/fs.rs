//! `/proc/sys/fs`

use std::sync::Arc;

use super::{constant, number};
use crate::fs::impls::proc::Proc;
use crate::fs::impls::pseudo::DirBuilder;

const INT: i64 = i32::MAX as i64;

pub(super) fn fill(dir: &mut DirBuilder<'_>, _proc: &Arc<Proc>) {
    number(dir, "file-max", i64::MAX, 0, i64::MAX);
    constant(dir, "file-nr", format!("0\t0\t{}", i64::MAX));
    number(dir, "nr_open", 1_048_576, 64, INT);
    constant(dir, "inode-nr", "0\t0");
    constant(dir, "inode-state", "0\t0\t0\t0\t0\t0\t0");
    constant(dir, "dentry-state", "0\t0\t45\t0\t0\t0");
    number(dir, "overflowuid", 65534, 0, 65535);
    number(dir, "overflowgid", 65534, 0, 65535);
    number(dir, "pipe-max-size", 1_048_576, 4096, INT);
    number(dir, "pipe-user-pages-soft", 16384, 0, INT);
    number(dir, "pipe-user-pages-hard", 0, 0, INT);
    number(dir, "aio-max-nr", 65536, 0, INT);
    constant(dir, "aio-nr", "0");
    number(dir, "lease-break-time", 45, 0, INT);
    number(dir, "leases-enable", 1, 0, 1);
    number(dir, "mount-max", 100_000, 1, INT);
    number(dir, "protected_hardlinks", 1, 0, 1);
    number(dir, "protected_symlinks", 1, 0, 1);
    number(dir, "protected_fifos", 1, 0, 2);
    number(dir, "protected_regular", 2, 0, 2);
    number(dir, "suid_dumpable", 0, 0, 2);
    dir.dir("inotify", |d| {
        number(d, "max_queued_events", 16384, 0, INT);
        number(d, "max_user_instances", 128, 0, INT);
        number(d, "max_user_watches", 65536, 0, INT);
    });
    dir.dir("epoll", |d| number(d, "max_user_watches", 1_000_000, 0, INT));
    dir.dir("mqueue", |d| {
        number(d, "queues_max", 256, 0, INT);
        number(d, "msg_max", 10, 1, 65536);
        number(d, "msgsize_max", 8192, 128, 16 << 20);
        number(d, "msg_default", 10, 1, 65536);
        number(d, "msgsize_default", 8192, 128, 16 << 20);
    });
    dir.dir("binfmt_misc", |_| {});
}
