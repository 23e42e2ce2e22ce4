//! What the processes of one container share on top of namespaces: the freezer (`runsc pause`), the pids limit, and the trees of
//! groups seen inside. Every process is born into the container of its parent and cannot leave it; below the container's own
//! groups it may be moved (`regroup`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use abi::Errno;
use abi::errno::Result;
use serde::{Deserialize, Serialize};

use super::{Task, TaskTable, ThreadGroup};
use crate::boot::config::CgroupConfig;
use crate::cgroup::{Group, Groups, Hierarchies};
use crate::fs::FileType;
use crate::fs::stat::{major, minor};
use crate::kernel::Kernel;
use crate::sync::Mutex;

/// The control groups of a container as a whole.
pub struct Cgroup {
    frozen: AtomicBool,
    sleepers: Mutex<Vec<Waker>>,
    /// Threads that have not been released. Changed under the table's lock.
    pub(super) tasks: AtomicU64,
    /// Most of them that there were.
    pub(super) most_tasks: AtomicU64,
    /// Most that `clone(2)` may make of them; `u64::MAX`: no limit.
    limit: AtomicU64,
    /// Likewise, as written inside.
    own_limit: AtomicU64,
    refused: AtomicU64,
    devices: Vec<DeviceRule>,
    /// User and system time of threads that have ended, in nanoseconds.
    ended: [AtomicU64; 2],
    /// What is seen of it inside.
    pub hierarchies: Hierarchies,
    /// A thread is, or was, in a group of its own.
    divided: AtomicBool,
    /// A group has other devices than the container.
    divides_devices: AtomicBool,
    /// Groups frozen from inside.
    frozen_groups: AtomicUsize,
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
    /// Groups without processes.
    pub fn new(kernel: &Kernel, limit: Option<u64>, devices: Vec<DeviceRule>, config: &CgroupConfig) -> Arc<Cgroup> {
        let group = Cgroup {
            frozen: AtomicBool::new(false),
            sleepers: Mutex::default(),
            tasks: AtomicU64::new(0),
            most_tasks: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            own_limit: AtomicU64::new(u64::MAX),
            refused: AtomicU64::new(0),
            ended: [const { AtomicU64::new(0) }; 2],
            hierarchies: Hierarchies::new(kernel, config, &devices),
            devices,
            divided: AtomicBool::new(false),
            divides_devices: AtomicBool::new(false),
            frozen_groups: AtomicUsize::new(0),
        };
        group.set_limit(limit);
        Arc::new(group)
    }

    /// Sets the pids limit; those there are stay.
    pub fn set_limit(&self, limit: Option<u64>) {
        let limit = limit.unwrap_or(u64::MAX);
        self.limit.store(limit, Ordering::Relaxed);
        self.own_limit.store(limit, Ordering::Relaxed);
    }

    /// `pids.max` of the container's group: what is written there cannot lift the limit.
    pub fn own_limit(&self) -> &AtomicU64 {
        &self.own_limit
    }

    /// Threads that have not been released.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Most of them that there ever were.
    pub fn most_tasks(&self) -> u64 {
        self.most_tasks.load(Ordering::Relaxed)
    }

    /// Threads that could not be made for want of room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether the pids limits let one more be made by a thread of `groups`.
    pub(super) fn has_room(&self, groups: Option<&Groups>) -> bool {
        let most = self
            .limit
            .load(Ordering::Relaxed)
            .min(self.own_limit.load(Ordering::Relaxed));
        let group = groups.and_then(Groups::pids);
        let room = self.tasks.load(Ordering::Relaxed) < most && group.is_none_or(super::regroup::has_room);
        if !room {
            // Counted where it was asked for, whosever limit it is.
            let count = group.map_or(&self.refused, |group| &group.refused);
            count.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    /// Groups for a process that is made from outside.
    pub fn place(&self, wanted: &[(Option<String>, String)]) -> std::result::Result<Option<Arc<Groups>>, String> {
        let groups = self.hierarchies.choose(wanted)?;
        if groups.is_some() {
            self.divide();
        }
        Ok(groups)
    }

    /// Whether its threads are in several groups.
    pub(super) fn is_divided(&self) -> bool {
        self.divided.load(Ordering::SeqCst)
    }

    pub(super) fn divide(&self) {
        self.divided.store(true, Ordering::SeqCst);
    }

    /// A thread has ended that used so much.
    pub(super) fn add_ended(&self, times: [u64; 2]) {
        for (sum, time) in self.ended.iter().zip(times) {
            sum.fetch_add(time, Ordering::Relaxed);
        }
    }

    /// User and system time of those that have ended.
    pub fn ended(&self) -> [u64; 2] {
        let [user, system] = &self.ended;
        [user.load(Ordering::Relaxed), system.load(Ordering::Relaxed)]
    }

    /// The lists of devices of its groups differ from now on.
    pub fn divide_devices(&self) {
        self.divides_devices.store(true, Ordering::SeqCst);
    }

    /// `EPERM` where the container's rules forbid any of `access` to the device (`devcgroup_check_permission`).
    fn check_device(&self, kind: FileType, rdev: u64, access: u32) -> Result<()> {
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

    fn wake_sleepers(&self) {
        for waker in self.sleepers.lock().drain(..) {
            waker.wake();
        }
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

    /// Lets all go on, but for those that were frozen from inside in a group of their own.
    pub fn thaw(&self, group: &Cgroup) {
        group.frozen.store(false, Ordering::SeqCst);
        for hierarchy in group.hierarchies.all() {
            self.freeze_group(group, &hierarchy.top, false);
        }
        group.wake_sleepers();
    }

    /// Stops the tasks of a group, and of those beneath it, or lets them go on, unless something else holds them.
    pub fn freeze_group(&self, container: &Cgroup, group: &Group, on: bool) {
        if group.set_frozen(on) == on {
            return;
        }
        if on {
            container.frozen_groups.fetch_add(1, Ordering::SeqCst);
        } else {
            container.frozen_groups.fetch_sub(1, Ordering::SeqCst);
        }
        self.refreeze(container);
    }

    /// Groups, or who is in them, have changed: all look whether they are frozen.
    pub(super) fn refreeze(&self, container: &Cgroup) {
        if container.frozen_groups.load(Ordering::SeqCst) > 0 {
            for task in self.tasks_in(container).iter().filter(|task| task.is_frozen()) {
                task.interrupt();
            }
        }
        container.wake_sleepers();
    }

    /// Whether any task of the group is in guest code.
    pub fn runs_guest(&self, group: &Cgroup) -> bool {
        self.tasks_in(group).iter().any(|task| task.runs_guest())
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
    /// Its code runs, or is about to.
    pub fn runs_guest(&self) -> bool {
        self.in_guest.load(Ordering::SeqCst)
    }

    /// It is to run no guest code.
    pub(crate) fn is_frozen(&self) -> bool {
        let container = &self.group.cgroup;
        if container.is_frozen() {
            return true;
        }
        container.frozen_groups.load(Ordering::SeqCst) > 0
            && container.hierarchies.all().iter().any(|hierarchy| {
                let group = self.group_in(hierarchy);
                group.upwards().any(|group| group.is_frozen_itself())
            })
    }

    /// `EPERM` where the container's rules, or those of its group, forbid any of `access` to the device.
    pub fn check_device(&self, kind: FileType, rdev: u64, access: u32) -> Result<()> {
        let container = &self.group.cgroup;
        container.check_device(kind, rdev, access)?;
        let block = match kind {
            FileType::BlockDevice => true,
            FileType::CharDevice => false,
            _ => return Ok(()),
        };
        if access == 0 || !container.divides_devices.load(Ordering::SeqCst) {
            return Ok(());
        }
        let Some(hierarchy) = container.hierarchies.with("devices") else {
            return Ok(());
        };
        let (major, minor) = (major(rdev), minor(rdev));
        let allows = |group: Arc<Group>| group.devices.lock().allows(block, major, minor, access);
        match self.group_in(&hierarchy).upwards().all(allows) {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }

    /// Sleeps while it is frozen.
    pub(crate) async fn while_frozen(&self) {
        if !self.is_frozen() {
            return;
        }
        let thawed = || {
            if !self.is_frozen() {
                return Some(());
            }
            self.group.cgroup.sleepers.lock().push(self.waker());
            // The thaw may have come between the look and the registration.
            (!self.is_frozen()).then_some(())
        };
        let _ = self.park(thawed).await;
    }
}
