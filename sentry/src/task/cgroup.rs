//! What the processes of one container share on top of namespaces: the freezer (`runsc pause`) and the pids limit. Every process is
//! born into the group of its parent and cannot leave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use abi::Errno;
use abi::errno::Result;
use serde::{Deserialize, Serialize};

use super::{Task, TaskTable, ThreadGroup};
use crate::fs::FileType;
use crate::fs::stat::{major, minor};
use crate::sync::Mutex;

/// The control group of a container, as far as the guest's kernel is concerned.
#[derive(Default)]
pub struct Cgroup {
    frozen: AtomicBool,
    sleepers: Mutex<Vec<Waker>>,
    /// Threads that have not been released. Changed under the table's lock.
    pub(super) tasks: AtomicU64,
    /// Most that `clone(2)` may make of them.
    limit: Mutex<Option<u64>>,
    devices: Vec<DeviceRule>,
}

/// One rule of the device controller. The last one that fits decides; where none does, a device may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// It may be used, or may not.
    pub allow: bool,
    /// Block devices (true), character devices (false), or both.
    pub block: Option<bool>,
    /// Major number, or all.
    pub major: Option<u32>,
    /// Minor number, or all.
    pub minor: Option<u32>,
    /// Bits of [`DeviceRule::MKNOD`], [`DeviceRule::READ`] and [`DeviceRule::WRITE`].
    pub access: u32,
}

impl DeviceRule {
    /// To make a node.
    pub const MKNOD: u32 = 1;
    /// To read.
    pub const READ: u32 = 2;
    /// To write.
    pub const WRITE: u32 = 4;
}

impl Cgroup {
    /// A group without processes.
    pub fn new(limit: Option<u64>, devices: Vec<DeviceRule>) -> Arc<Cgroup> {
        let group = Cgroup {
            devices,
            ..Cgroup::default()
        };
        group.set_limit(limit);
        Arc::new(group)
    }

    /// Sets the pids limit; those there are stay.
    pub fn set_limit(&self, limit: Option<u64>) {
        *self.limit.lock() = limit;
    }

    /// Whether the pids limit lets one more be made.
    pub(super) fn has_room(&self) -> bool {
        self.limit
            .lock()
            .is_none_or(|limit| self.tasks.load(Ordering::Relaxed) < limit)
    }

    /// `EPERM` where the rules forbid any of `access` to the device (`devcgroup_check_permission`).
    pub fn check_device(&self, kind: FileType, rdev: u64, access: u32) -> Result<()> {
        let block = match kind {
            FileType::BlockDevice => true,
            FileType::CharDevice => false,
            _ => return Ok(()),
        };
        let fits = |rule: &&DeviceRule, bit: u32| {
            rule.access & bit != 0
                && rule.block.is_none_or(|b| b == block)
                && rule.major.is_none_or(|n| n == major(rdev))
                && rule.minor.is_none_or(|n| n == minor(rdev))
        };
        let bits = [DeviceRule::MKNOD, DeviceRule::READ, DeviceRule::WRITE];
        for bit in bits.into_iter().filter(|bit| access & bit != 0) {
            let rule = self.devices.iter().rev().find(|rule| fits(rule, bit));
            if rule.is_some_and(|rule| !rule.allow) {
                return Err(Errno::EPERM);
            }
        }
        Ok(())
    }

    /// True between [`TaskTable::freeze`] and [`TaskTable::thaw`].
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }
}

impl TaskTable {
    /// Stops every task of the group before it runs guest code again.
    pub fn freeze(&self, group: &Cgroup) {
        group.frozen.store(true, Ordering::SeqCst);
        for task in self.tasks_in(group) {
            task.interrupt();
        }
    }

    /// Lets all go on.
    pub fn thaw(&self, group: &Cgroup) {
        group.frozen.store(false, Ordering::SeqCst);
        for waker in group.sleepers.lock().drain(..) {
            waker.wake();
        }
    }

    /// Whether any task of the group is in guest code.
    pub fn runs_guest(&self, group: &Cgroup) -> bool {
        self.tasks_in(group)
            .iter()
            .any(|task| task.in_guest.load(Ordering::SeqCst))
    }

    /// Processes of the group. Zombies included.
    pub fn processes_in(&self, group: &Cgroup) -> Vec<Arc<ThreadGroup>> {
        let all = self.processes(&self.root_ns).into_iter();
        all.map(|(_, process)| process)
            .filter(|process| std::ptr::eq(&*process.cgroup, group))
            .collect()
    }

    fn tasks_in(&self, group: &Cgroup) -> Vec<Arc<Task>> {
        let mut tasks = self.all_tasks();
        tasks.retain(|task| std::ptr::eq(&*task.group.cgroup, group));
        tasks
    }
}

impl Task {
    /// Sleeps while the container is frozen.
    pub(crate) async fn while_frozen(&self) {
        let group = &self.group.cgroup;
        if !group.is_frozen() {
            return;
        }
        let thawed = || {
            if !group.is_frozen() {
                return Some(());
            }
            group.sleepers.lock().push(self.waker());
            // The thaw may have come between the look and the registration.
            (!group.is_frozen()).then_some(())
        };
        let _ = self.park(thawed).await;
    }
}
