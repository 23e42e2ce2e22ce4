//! The root of everything: one kernel per sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use platform::Platform;

use crate::boot::config::SandboxConfig;
use crate::cred::UserNamespace;
use crate::executor::Executor;
use crate::ipc::{Ipc, IpcNamespace};
use crate::syscalls::Counters;
use crate::task::{PidNamespace, TaskTable};
use crate::time::TimeNamespace;

/// All state of the sandbox hangs here; nothing is global but the log.
pub struct Kernel {
    /// How guest code runs.
    pub platform: Arc<dyn Platform>,
    /// Runs tasks.
    pub executor: Arc<Executor>,
    /// Pids, process groups, sessions and the process tree.
    pub tasks: TaskTable,
    /// The first user namespace.
    pub root_user_ns: Arc<UserNamespace>,
    /// Futexes, System V and POSIX objects.
    pub ipc: Ipc,
    /// The time namespace whose clocks are the host's.
    pub root_time_ns: Arc<TimeNamespace>,
    /// Mounts, the kernel's own file systems, device drivers.
    pub vfs: crate::fs::Vfs,
    /// The first network namespace.
    pub net: Arc<crate::net::NetNamespace>,
    /// The log that the guest sees.
    pub kmsg: Arc<crate::kmsg::Log>,
    /// Settings from the command line.
    pub config: SandboxConfig,
    /// `CLOCK_MONOTONIC` at boot, nanoseconds.
    pub boot_time_ns: u64,
    /// Numbers that the guest's administrator may change.
    pub tunables: crate::sysctl::Sysctl,
    /// What guests called that is missing.
    pub counters: Counters,
    /// `linux.sysctl`: what every procfs starts with, as names and values.
    pub sysctl: crate::sync::Mutex<Vec<(String, String)>>,
    /// `linux.uidMappings` and `gidMappings`, for `/proc/PID/uid_map`: (inside, outside, count).
    pub outer_ids: crate::sync::Mutex<[Vec<(u32, u32, u32)>; 2]>,
    next_id: AtomicU64,
}

impl Kernel {
    /// A kernel without tasks.
    pub fn new(platform: Arc<dyn Platform>, executor: Arc<Executor>, config: SandboxConfig) -> Arc<Kernel> {
        let root_user_ns = UserNamespace::root(0xeffffffd);
        let kmsg = Arc::new(crate::kmsg::Log::default());
        kmsg.add(5, crate::syscalls::banner().as_bytes());
        let tasks = TaskTable::new(PidNamespace::root(0xeffffffc, root_user_ns.clone()));
        Arc::new(Kernel {
            platform,
            executor,
            tasks,
            net: crate::net::NetNamespace::new(0xf000_0000, root_user_ns.clone(), true),
            ipc: Ipc::new(IpcNamespace::new(0xefff_ffff, root_user_ns.clone())),
            root_time_ns: TimeNamespace::root(0xefff_fffa, root_user_ns.clone()),
            root_user_ns,
            vfs: crate::fs::Vfs::new(),
            kmsg,
            config,
            boot_time_ns: Executor::now(),
            tunables: crate::sysctl::Sysctl::default(),
            counters: Counters::default(),
            sysctl: crate::sync::Mutex::default(),
            outer_ids: crate::sync::Mutex::default(),
            next_id: AtomicU64::new(0xf000_0001),
        })
    }

    /// A number never given before: inode numbers of namespaces, pipes and sockets.
    pub fn unique_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
