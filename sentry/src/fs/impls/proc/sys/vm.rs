//! `/proc/sys/vm`

use std::sync::Arc;

use super::{constant, number};
use crate::fs::impls::proc::Proc;
use crate::fs::impls::pseudo::DirBuilder;

const INT: i64 = i32::MAX as i64;

pub(super) fn fill(dir: &mut DirBuilder<'_>, _proc: &Arc<Proc>) {
    number(dir, "overcommit_memory", 0, 0, 2);
    number(dir, "overcommit_ratio", 50, 0, INT);
    number(dir, "overcommit_kbytes", 0, 0, i64::MAX);
    constant(dir, "max_map_count", crate::mm::MAX_MAP_COUNT.to_string());
    number(dir, "mmap_min_addr", 65536, 0, i64::MAX);
    number(dir, "swappiness", 60, 0, 200);
    number(dir, "drop_caches", 0, 0, 4);
    number(dir, "nr_hugepages", 0, 0, 0);
    number(dir, "nr_overcommit_hugepages", 0, 0, 0);
    number(dir, "hugetlb_shm_group", 0, 0, INT);
    number(dir, "min_free_kbytes", 67584, 0, INT);
    number(dir, "dirty_ratio", 20, 0, 100);
    number(dir, "dirty_background_ratio", 10, 0, 100);
    number(dir, "panic_on_oom", 0, 0, 2);
    number(dir, "oom_kill_allocating_task", 0, 0, 1);
    number(dir, "oom_dump_tasks", 1, 0, 1);
    number(dir, "admin_reserve_kbytes", 8192, 0, i64::MAX);
    number(dir, "user_reserve_kbytes", 131_072, 0, i64::MAX);
    number(dir, "vfs_cache_pressure", 100, 0, INT);
    number(dir, "compact_memory", 0, 0, 1);
    number(dir, "unprivileged_userfaultfd", 0, 0, 1);
    number(dir, "mmap_rnd_bits", 28, 28, 32);
    number(dir, "page-cluster", 3, 0, 31);
}
