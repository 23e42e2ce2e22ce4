//! Process file descriptors (`pidfd_open(2)`).

use std::any::Any;
use std::sync::Arc;

use abi::{Errno, SysResult};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Cx, Namespace, ThreadGroup};
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::namei::anon_file;
use crate::kernel::Kernel;
use crate::usermem::UserAddr;
use crate::wait::{Events, WaitQueue};

/// What a pidfd refers to.
pub struct PidFd {
    /// The process, which may have ended.
    pub group: Arc<ThreadGroup>,
}

impl PidFd {
    /// A new open file for the process.
    pub fn open(kernel: &Kernel, group: Arc<ThreadGroup>, nonblock: bool) -> Arc<File> {
        let mut flags = OpenFlags::RDWR;
        if nonblock {
            flags |= OpenFlags::NONBLOCK;
        }
        anon_file(kernel, "[pidfd]", Arc::new(PidFd { group }), flags)
    }
}

/// `struct pidfd_info`
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
    coredump_mask: u32,
    spare: u32,
}

/// Fields that are always given: `PIDFD_INFO_PID` and `PIDFD_INFO_CREDS`.
const INFO_ALWAYS: u64 = 1 | 2;
/// `PIDFD_INFO_EXIT`
const INFO_EXIT: u64 = 8;
/// `PIDFD_INFO_SIZE_VER0`
const INFO_MIN: usize = 64;

impl PidFd {
    fn do_ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        // `_IOWR(0xff, 11, struct pidfd_info)`, whatever the structure's length.
        const GET_INFO: u32 = 0xc000_ff0b;
        const NAMESPACES: [(u32, &str); 10] = [
            (0xff01, "cgroup"),
            (0xff02, "ipc"),
            (0xff03, "mnt"),
            (0xff04, "net"),
            (0xff05, "pid"),
            (0xff06, "pid"),
            (0xff07, "time"),
            (0xff08, "time"),
            (0xff09, "user"),
            (0xff0a, "uts"),
        ];
        const PID_FOR_CHILDREN: u32 = 0xff06;
        const TIME_FOR_CHILDREN: u32 = 0xff08;
        if cmd & 0xc000_ffff == GET_INFO {
            return self.get_info(cx, abi::conv::size(u64::from(cmd >> 16 & 0x3fff)), UserAddr(arg));
        }
        let Some((_, name)) = NAMESPACES.iter().find(|(known, _)| *known == cmd) else {
            return Err(Errno::ENOTTY.into());
        };
        if arg != 0 {
            return Err(Errno::EINVAL.into());
        }
        let target = self.group.any_thread().ok_or(Errno::ESRCH)?;
        if !super::may_inspect(&cx.task, &target) {
            return Err(Errno::EACCES.into());
        }
        let ns = match cmd {
            PID_FOR_CHILDREN => Namespace::Pid(target.ns().pid_for_children.clone()),
            TIME_FOR_CHILDREN => Namespace::Time(target.ns().time_for_children.clone()),
            _ => Namespace::of(&target)
                .into_iter()
                .find(|ns| ns.name() == *name)
                .ok_or(Errno::EOPNOTSUPP)?,
        };
        let file = crate::fs::impls::ns_file(&cx.task.kernel, ns);
        let fd = cx.task.files().add(file, true, cx.task.fd_limit())?;
        Ok(u64::from(fd.cast_unsigned()))
    }

    /// `PIDFD_GET_INFO`
    fn get_info(&self, cx: &mut Cx, len: usize, at: UserAddr) -> SysResult<u64> {
        if at.is_null() {
            return Err(Errno::EINVAL.into());
        }
        if len < INFO_MIN {
            return Err(Errno::EINVAL.into());
        }
        let wanted: u64 = cx.read_obj(at)?;
        let ns = cx.task.pid_ns().clone();
        let users = cx.task.cred().user_ns.clone();
        let mut info = PidfdInfo::default();
        let tasks = &cx.task.kernel.tasks;
        // Once it was waited for nothing but its end is left.
        let reaped = tasks
            .process(&tasks.root_ns, self.group.tgid)
            .is_none_or(|g| !Arc::ptr_eq(&g, &self.group));
        if wanted & INFO_EXIT != 0
            && reaped
            && let Some(status) = self.group.exit_status()
        {
            info.mask |= INFO_EXIT;
            info.exit_code = status;
        }
        let pid = self.group.pid.in_ns(&ns);
        let leader = tasks.task(&tasks.root_ns, self.group.tgid).filter(|_| !reaped);
        if let Some(leader) = leader.filter(|_| pid != 0) {
            let cred = leader.cred();
            info.mask |= INFO_ALWAYS;
            info.pid = pid.unsigned_abs();
            info.tgid = info.pid;
            info.ppid = tasks.parent_in(&self.group, &ns).unsigned_abs();
            let uids = [cred.uid, cred.euid, cred.suid, cred.fsuid].map(|id| users.uid_out(id));
            let gids = [cred.gid, cred.egid, cred.sgid, cred.fsgid].map(|id| users.gid_out(id));
            [info.ruid, info.euid, info.suid, info.fsuid] = uids;
            [info.rgid, info.egid, info.sgid, info.fsgid] = gids;
        } else if info.mask == 0 {
            return Err(Errno::ESRCH.into());
        }
        let bytes = info.as_bytes();
        cx.write_bytes(at, bytes.get(..bytes.len().min(len)).unwrap_or_default())?;
        Ok(0)
    }
}

impl FileOps for PidFd {
    fn poll(&self, _file: &File) -> Events {
        if self.group.has_ended() {
            Events::READ
        } else {
            Events::empty()
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.group.exit_wait)
    }

    fn ioctl(&self, cx: &mut Cx, _file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        self.do_ioctl(cx, cmd, arg)
    }

    fn fdinfo(&self, _file: &File) -> String {
        format!("Pid:\t{}\nNSpid:\t{}\n", self.group.tgid, self.group.pid.own())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
