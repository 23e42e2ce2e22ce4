//! Namespaces of a task (`namespaces(7)`), like `struct nsproxy`.

use std::sync::Arc;

use super::pid::PidNamespace;
use crate::cgroup::CgroupNamespace;
use crate::cred::UserNamespace;
use crate::fs::mount::MountNamespace;
use crate::ipc::IpcNamespace;
use crate::kernel::Kernel;
use crate::net::NetNamespace;
use crate::sync::Mutex;
use crate::time::TimeNamespace;

/// Host and domain name (`uts_namespaces(7)`).
pub struct UtsNamespace {
    /// Inode number in `/proc/PID/ns`.
    pub id: u64,
    /// Who may set the names.
    pub user_ns: Arc<UserNamespace>,
    /// `sethostname(2)`, `setdomainname(2)`.
    pub names: Mutex<UtsNames>,
}

/// What `uname(2)` gives of the namespace.
#[derive(Clone, Default)]
pub struct UtsNames {
    /// Host name.
    pub host: Vec<u8>,
    /// Domain name.
    pub domain: Vec<u8>,
}

/// Namespaces other than the user namespace, which is part of the credentials. Replaced, never changed.
#[derive(Clone)]
pub struct Nsproxy {
    /// Names of the machine.
    pub uts: Arc<UtsNamespace>,
    /// Mounts.
    pub mnt: Arc<MountNamespace>,
    /// Interfaces, ports, abstract names.
    pub net: Arc<NetNamespace>,
    /// System V objects and message queues.
    pub ipc: Arc<IpcNamespace>,
    /// The root of cgroups.
    pub cgroup: Arc<CgroupNamespace>,
    /// Where children get their numbers.
    pub pid_for_children: Arc<PidNamespace>,
    /// Where the clocks stand.
    pub time: Arc<TimeNamespace>,
    /// That of children, and of the task itself once it executes a program.
    pub time_for_children: Arc<TimeNamespace>,
}

impl Nsproxy {
    /// The first namespaces of a container: its mounts, new names, and pids of the first pid namespace.
    pub fn new(kernel: &Kernel, mnt: Arc<MountNamespace>, host: &[u8], domain: &[u8]) -> Nsproxy {
        Nsproxy {
            uts: Arc::new(UtsNamespace {
                id: kernel.unique_id(),
                user_ns: kernel.root_user_ns.clone(),
                names: Mutex::new(UtsNames {
                    host: host.to_vec(),
                    domain: domain.to_vec(),
                }),
            }),
            mnt,
            net: kernel.net.clone(),
            ipc: kernel.ipc.root_ns.clone(),
            cgroup: CgroupNamespace::first(0xefff_fffb, kernel.root_user_ns.clone()),
            pid_for_children: kernel.tasks.root_ns.clone(),
            time: kernel.root_time_ns.clone(),
            time_for_children: kernel.root_time_ns.clone(),
        }
    }

    /// A new memory is in the time namespace for children.
    pub fn change_time(&mut self) {
        self.time = self.time_for_children.clone();
        self.time.enter();
    }

    /// Whether [`Nsproxy::change_time`] would change anything.
    pub fn changes_time(&self) -> bool {
        self.time.id != self.time_for_children.id
    }
}
