//! What `runsc` tells a new Sentry: everything about the container, already checked, and the numbers of donated fds.
//!
//! JSON over an inherited fd. The Sentry opens no host path: every file it may use arrives here as an open fd.

use serde::{Deserialize, Serialize};

/// The whole message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootConfig {
    /// Sandbox-wide settings.
    pub sandbox: SandboxConfig,
    /// The first container.
    pub container: ContainerConfig,
    /// Donated fds.
    pub fds: BootFds,
}

/// Settings of the sandbox, from global flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// `--platform`.
    pub platform: String,
    /// `--strace`: log each system call of the guest.
    pub strace: bool,
    /// `--debug`: log at debug level.
    pub debug: bool,
    /// `--network`.
    pub network: NetworkMode,
    /// `--file-access=exclusive`: dentries and attributes of the rootfs are cached without asking again.
    pub exclusive_rootfs: bool,
    /// Processors that the guest sees.
    pub cpus: u32,
    /// Bytes of memory that the guest is told of (`/proc/meminfo`).
    pub total_memory: u64,
    /// Most tasks of the guest; the host's own limit leaves room for the sandbox's threads.
    #[serde(default)]
    pub pids_limit: Option<u64>,
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Loopback of the sandbox only.
    None,
    /// Socket calls go to the host's stack in the network namespace that the Sentry was put in.
    Host,
}

/// Numbers of fds that the Sentry inherits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BootFds {
    /// Connected SOCK_SEQPACKET sockets to the container's Gofer, all equal.
    pub gofer: Vec<i32>,
    /// Standard input, output and error of the first process (three), or one terminal fd if `terminal`.
    pub stdio: Vec<i32>,
    /// Listening SOCK_SEQPACKET Unix socket for control messages (`boot::control`).
    pub control: Option<i32>,
    /// Where log lines go.
    pub log: Option<i32>,
    /// Read end of a pipe: the Sentry builds the container, writes one status line to `ready`, then waits for one byte here
    /// before it runs the first process (`runsc start`). End of file instead ends the sandbox.
    pub start: Option<i32>,
    /// Write end of a pipe: a JSON [`BootStatus`] line once the container is built or has failed.
    pub ready: Option<i32>,
    /// Read end of a pipe that the Gofer holds open: its end is the end of the container's files, and of the sandbox.
    #[serde(default)]
    pub gofer_alive: Option<i32>,
    /// A directory fd of a host procfs that shows the Sentry's pid namespace.
    pub proc: Option<i32>,
    /// A signalfd, readable when the size of the first process's terminal has changed.
    #[serde(default)]
    pub resized: Option<i32>,
    /// A file for the wait status of the first process, as a decimal number.
    #[serde(default)]
    pub exit: Option<i32>,
    /// Further fds for the guest: (fd in the guest, inherited fd). `--preserve-fds`.
    pub extra: Vec<(i32, i32)>,
}

/// What the Sentry reports on `ready`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootStatus {
    /// None: the container is built and its program was found executable.
    pub error: Option<BootError>,
}

/// A start that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootError {
    /// One line for people; names the file, field or value.
    pub message: String,
    /// Exit code for `runsc`: 127 program not found, 126 not executable, 128 otherwise.
    pub exit_code: i32,
}

/// One container: root, mounts, names, first process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Container id.
    pub id: String,
    /// It is there for those that join only: it ends when the last of them has.
    #[serde(default)]
    pub bare: bool,
    /// Gofer mount index of the root file system.
    pub root_gofer_mount: u32,
    /// `root.readonly`.
    pub root_readonly: bool,
    /// `linux.rootfsPropagation`: `MS_SHARED` and its like, with `MS_REC`; or 0.
    #[serde(default)]
    pub root_propagation: u64,
    /// Overlay above the root.
    pub root_overlay: Overlay,
    /// `hostname`.
    pub hostname: String,
    /// `domainname`.
    pub domainname: String,
    /// `mounts`, in order.
    pub mounts: Vec<MountConfig>,
    /// `linux.maskedPaths`.
    pub masked_paths: Vec<String>,
    /// `linux.readonlyPaths`.
    pub readonly_paths: Vec<String>,
    /// `linux.devices` beyond the default ones.
    pub devices: Vec<DeviceConfig>,
    /// `linux.resources.devices`, in order; none: every device may be used.
    #[serde(default)]
    pub device_rules: Vec<crate::task::DeviceRule>,
    /// What it sees of control groups.
    #[serde(default)]
    pub cgroups: CgroupConfig,
    /// `linux.sysctl`.
    pub sysctl: Vec<(String, String)>,
    /// The first process.
    pub process: ProcessConfig,
    /// The first process is a command and no init: signals have their default effects on it.
    #[serde(default)]
    pub mortal_init: bool,
    /// `linux.namespaces` has a new time namespace.
    #[serde(default)]
    pub time: Option<TimeOffsets>,
    /// `linux.namespaces` has a user namespace with these mappings (container id, host id as the Gofer sees it, size); empty:
    /// ids are used as they are.
    pub uid_map: Vec<(u32, u32, u32)>,
    /// Likewise for groups.
    pub gid_map: Vec<(u32, u32, u32)>,
}

/// Control groups as the host has them for the container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CgroupConfig {
    /// The host's hierarchies, in its order; none: nothing is known of them.
    pub hierarchies: Vec<HierarchyConfig>,
    /// Controllers of the host's kernel, in its order.
    pub controllers: Vec<String>,
    /// It has a cgroup namespace of its own: its group is the root.
    pub own_namespace: bool,
    /// What files of its groups hold, beyond what is in new groups.
    pub values: Vec<(String, String)>,
}

/// One hierarchy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HierarchyConfig {
    /// The host's number; 0: of cgroup v2.
    pub id: u32,
    /// Its controllers, in the kernel's order.
    pub controllers: Vec<String>,
    /// `name=`
    pub name: Option<String>,
    /// Name of its directory in `/sys/fs/cgroup`.
    pub directory: String,
    /// Path of the container's group.
    pub group: String,
    /// Files that the host's kernel has there; none: all that the guest's has.
    pub files: Vec<String>,
}

/// `linux.timeOffsets`: seconds, and nanoseconds below a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOffsets {
    /// Of `CLOCK_MONOTONIC`.
    pub monotonic: (i64, u32),
    /// Of `CLOCK_BOOTTIME`.
    pub boottime: (i64, u32),
}

/// `--overlay2` for the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlay {
    /// Writes go through to the rootfs.
    None,
    /// Writes go to the Sentry's memory.
    Memory,
    /// Writes go to the Gofer mount of this index.
    Gofer(u32),
}

/// One mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountConfig {
    /// Absolute path in the container; missing directories (or the file, for a file bind) are made.
    pub destination: String,
    /// What to mount.
    pub kind: MountKind,
    /// Name shown in `/proc/mounts` as the source.
    pub source: String,
    /// File-system specific options (`mode=`, `size=`, `gid=`, `newinstance` ...).
    pub data: Vec<String>,
    /// `MS_*` flags of `mount(2)`: RDONLY, NOSUID, NODEV, NOEXEC, NOATIME ...
    pub flags: u64,
    /// How it takes part in propagation: `MS_SHARED` and its like, with `MS_REC`; or 0.
    #[serde(default)]
    pub propagation: u64,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A host directory or file that the Gofer serves.
    Bind {
        /// Index of the Gofer mount.
        gofer_mount: u32,
        /// A regular file, not a directory.
        file: bool,
    },
    /// A file system of the Sentry's own, by its Linux name: proc, sysfs, tmpfs, devpts, mqueue, cgroup2. `cgroup` is what the host
    /// has: one directory per hierarchy of cgroup v1, or cgroup2.
    Internal(String),
}

/// A device node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Absolute path.
    pub path: String,
    /// `c`, `b` or `p`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// `process` of config.json.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// `args`.
    pub args: Vec<String>,
    /// What to run, where that is not `args[0]`.
    #[serde(default)]
    pub program: Option<String>,
    /// `env`.
    pub env: Vec<String>,
    /// `cwd`.
    pub cwd: String,
    /// `terminal`: stdio is one host terminal fd, the guest gets a pty of its own on it.
    pub terminal: bool,
    /// `consoleSize`: rows, columns.
    pub console_size: Option<(u16, u16)>,
    /// `user.uid`.
    pub uid: u32,
    /// `user.gid`.
    pub gid: u32,
    /// `user.additionalGids`.
    pub additional_gids: Vec<u32>,
    /// `user.umask`.
    pub umask: u32,
    /// `capabilities`, each a mask of `1 << CAP_*`.
    pub capabilities: Capabilities,
    /// `rlimits`: (RLIMIT_* number, soft, hard).
    pub rlimits: Vec<(u32, u64, u64)>,
    /// `noNewPrivileges`.
    pub no_new_privileges: bool,
    /// `oomScoreAdj`.
    pub oom_score_adj: i32,
    /// `scheduler`.
    #[serde(default)]
    pub scheduler: Option<Scheduling>,
    /// `ioPriority`, as `ioprio_set(2)` has it.
    #[serde(default)]
    pub io_priority: i32,
    /// `execCPUAffinity.final`; all processors if empty.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// `exec --cgroup`: groups below the container's own, each with its controller or for all hierarchies.
    #[serde(default)]
    pub cgroups: Vec<(Option<String>, String)>,
    /// `linux.memoryPolicy`: mode as `set_mempolicy(2)` has it, and nodes.
    #[serde(default)]
    pub memory_policy: Option<(u32, Vec<u32>)>,
    /// `linux.personality`, as `personality(2)` has it.
    #[serde(default)]
    pub personality: u32,
    /// `linux.seccomp` as a program of classic BPF: code, jt, jf, k of each instruction.
    #[serde(default)]
    pub seccomp: Option<Vec<(u16, u8, u8, u32)>>,
}

/// `scheduler`, in the terms of `sched_setattr(2)`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Scheduling {
    /// `SCHED_*`
    pub policy: i32,
    /// Of a real-time policy.
    pub priority: i32,
    /// -20..=19
    pub nice: i32,
    /// `SCHED_FLAG_RESET_ON_FORK`
    pub reset_on_fork: bool,
    /// Runtime, deadline, period of `SCHED_DEADLINE`.
    pub deadline: (u64, u64, u64),
}

/// Capability sets as masks.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Bounding set.
    pub bounding: u64,
    /// Effective set.
    pub effective: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Permitted set.
    pub permitted: u64,
    /// Ambient set.
    pub ambient: u64,
}

/// A container that comes to a running sandbox, and whose namespaces it shares: the id of a container there, or none for one of
/// its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinConfig {
    /// The container. Its first process waits for [`super::control::Request::Start`].
    pub container: ContainerConfig,
    /// Of processes.
    pub pids_of: Option<String>,
    /// The container whose time namespace it is in, if another's.
    #[serde(default)]
    pub time_of: Option<String>,
    /// Of IPC objects.
    pub ipc_of: Option<String>,
    /// Of names.
    pub uts_of: Option<String>,
    /// Of the network. One of its own has a loopback alone.
    pub net_of: Option<String>,
    /// It has cgroups of its own on the host.
    pub own_cgroup: bool,
    /// Most tasks.
    pub pids_limit: Option<u64>,
}
