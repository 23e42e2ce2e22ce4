//! Processes: making, replacing, ending, waiting.

mod exec;
mod pidfd;
mod wait;

use std::sync::Arc;

use abi::sched::{CloneArgs, CloneFlags};
use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

pub(super) use exec::{sys_execve, sys_execveat};
pub(super) use pidfd::{pidfd_target, sys_pidfd_getfd, sys_pidfd_open, sys_pidfd_send_signal};
pub(super) use wait::{rusage_words, sys_wait4, sys_waitid};

use crate::cgroup::Group;
use crate::signal::Signal;
use crate::task::pidfd::PidFd;
use crate::task::{self, CloneSpec, Cx, NsFile};
use crate::usermem::UserAddr;

/// `clone(2)`
pub(super) async fn sys_clone(
    cx: &mut Cx,
    flags: u64,
    stack: u64,
    parent_tid: UserAddr,
    child_tid: UserAddr,
    tls: u64,
) -> SysResult<u64> {
    let [exit_signal, ..] = flags.to_le_bytes();
    // The old call has no room for flags above 32 bits.
    let flags = CloneFlags::from_bits_truncate(u64::from(abi::conv::low32(flags)) & !0xff);
    if flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) {
        return Err(Errno::EINVAL.into());
    }
    let spec = CloneSpec {
        flags,
        pidfd: parent_tid.0,
        child_tid: child_tid.0,
        parent_tid: parent_tid.0,
        exit_signal: i32::from(exit_signal),
        stack,
        tls,
        set_tid: Vec::new(),
        cgroup: None,
    };
    task::clone(cx, &spec).await
}

/// `clone3(2)`
pub(super) async fn sys_clone3(cx: &mut Cx, args: UserAddr, size: usize) -> SysResult<u64> {
    let spec = clone3_spec(cx, args, size)?;
    task::clone(cx, &spec).await
}

/// Reads `struct clone_args` and checks it in Linux's order.
fn clone3_spec(cx: &Cx, addr: UserAddr, size: usize) -> SysResult<CloneSpec> {
    const SIZE_VER0: usize = 64;
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    if size < SIZE_VER0 {
        return Err(Errno::EINVAL.into());
    }
    let mut args = CloneArgs::default();
    let known = size_of::<CloneArgs>().min(size);
    cx.read_bytes(addr, args.as_mut_bytes().get_mut(..known).unwrap_or_default())?;
    if size > size_of::<CloneArgs>() {
        let mut rest = vec![0u8; size - size_of::<CloneArgs>()];
        cx.read_bytes(addr.add(size_of::<CloneArgs>())?, &mut rest)?;
        if rest.iter().any(|&b| b != 0) {
            return Err(Errno::E2BIG.into());
        }
    }
    let set_tid_size = abi::conv::size(args.set_tid_size);
    if set_tid_size > 32 || (args.set_tid == 0) != (set_tid_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    let exit_signal = i32::try_from(args.exit_signal).map_err(|_| Errno::EINVAL)?;
    if exit_signal != 0 && Signal::new(exit_signal).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let mut set_tid = vec![0i32; set_tid_size];
    cx.read_bytes(UserAddr(args.set_tid), set_tid.as_mut_bytes())?;
    let flags = CloneFlags::from_bits(args.flags).ok_or(Errno::EINVAL)?;
    let mut cgroup = None;
    if flags.contains(CloneFlags::INTO_CGROUP) {
        cgroup = Some(into_group(cx, args.cgroup, size, flags)?);
    }
    if flags.contains(CloneFlags::DETACHED)
        || flags.contains(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND)
        || (flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && exit_signal != 0)
        || (args.stack == 0) != (args.stack_size == 0)
    {
        return Err(Errno::EINVAL.into());
    }
    check_set_tid(cx, flags, &set_tid)?;
    Ok(CloneSpec {
        flags,
        pidfd: args.pidfd,
        child_tid: args.child_tid,
        parent_tid: args.parent_tid,
        exit_signal,
        stack: args.stack.wrapping_add(args.stack_size),
        tls: args.tls,
        set_tid,
        cgroup,
    })
}

/// `CLONE_INTO_CGROUP`: the group whose directory the descriptor is of.
fn into_group(cx: &Cx, fd: u64, size: usize, flags: CloneFlags) -> abi::errno::Result<Arc<Group>> {
    let fd = i32::try_from(fd).map_err(|_| Errno::EINVAL)?;
    if size < size_of::<CloneArgs>() {
        return Err(Errno::EINVAL);
    }
    let file = cx.task.files().get_any(fd)?;
    crate::fs::impls::cgroup::for_child(&cx.task, file.inode(), flags.contains(CloneFlags::THREAD))
}

fn check_set_tid(cx: &Cx, flags: CloneFlags, set_tid: &[i32]) -> abi::errno::Result<()> {
    if set_tid.is_empty() {
        return Ok(());
    }
    let ns = cx.task.ns().pid_for_children.clone();
    let new = usize::from(flags.contains(CloneFlags::NEWPID));
    if set_tid.len() > ns.level + 1 + new || set_tid.iter().any(|t| !(1..4_194_304).contains(t)) {
        return Err(Errno::EINVAL);
    }
    if !cx.task.cred().has_cap_in(&ns.user_ns, crate::cred::cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// `fork(2)`
pub(super) async fn sys_fork(cx: &mut Cx) -> SysResult<u64> {
    let spec = CloneSpec {
        exit_signal: Signal::SIGCHLD.number(),
        ..CloneSpec::default()
    };
    task::clone(cx, &spec).await
}

/// `vfork(2)`
pub(super) async fn sys_vfork(cx: &mut Cx) -> SysResult<u64> {
    let spec = CloneSpec {
        flags: CloneFlags::VFORK | CloneFlags::VM,
        exit_signal: Signal::SIGCHLD.number(),
        ..CloneSpec::default()
    };
    task::clone(cx, &spec).await
}

/// `exit(2)`
pub(super) async fn sys_exit(cx: &mut Cx, status: i32) -> SysResult<u64> {
    cx.exit_with((status & 0xff) << 8);
    Ok(0)
}

/// `exit_group(2)`
pub(super) async fn sys_exit_group(cx: &mut Cx, status: i32) -> SysResult<u64> {
    let status = (status & 0xff) << 8;
    cx.task.group.exit(status);
    cx.exit_with(status);
    Ok(0)
}

/// `set_tid_address(2)`
pub(super) fn sys_set_tid_address(cx: &mut Cx, tidptr: UserAddr) -> SysResult<u64> {
    cx.task.attr.lock().clear_child_tid = tidptr.0;
    Ok(u64::from(cx.task.own_tid().unsigned_abs()))
}

/// `unshare(2)`
pub(super) fn sys_unshare(cx: &mut Cx, flags: u64) -> SysResult<u64> {
    let flags = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    task::unshare(cx, flags)?;
    Ok(0)
}

/// `setns(2)`
pub(super) fn sys_setns(cx: &mut Cx, fd: i32, nstype: i32) -> SysResult<u64> {
    let file = cx.task.files().get(fd)?;
    let wanted = CloneFlags::from_bits_retain(u64::from(nstype.cast_unsigned()));
    if let Some(ns) = file.downcast::<NsFile>() {
        if nstype != 0 && wanted != ns.ns.flag() {
            return Err(Errno::EINVAL.into());
        }
        ns.ns.clone().enter(cx)?;
        return Ok(0);
    }
    let pidfd = file.downcast::<PidFd>().ok_or(Errno::EINVAL)?;
    if wanted.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let target = pidfd.group.any_thread().ok_or(Errno::ESRCH)?;
    for ns in task::Namespace::of(&target) {
        if wanted.contains(ns.flag()) {
            ns.enter(cx)?;
        }
    }
    Ok(0)
}

/// `kcmp(2)`
pub(super) fn sys_kcmp(cx: &mut Cx, pid1: i32, pid2: i32, kind: i32, idx1: u64, idx2: u64) -> SysResult<u64> {
    let tasks = &cx.task.kernel.tasks;
    let find = |pid| tasks.task(cx.task.pid_ns(), pid).ok_or(Errno::ESRCH);
    let (a, b) = (find(pid1)?, find(pid2)?);
    if !task::may_inspect(&cx.task, &a) || !task::may_inspect(&cx.task, &b) {
        return Err(Errno::EPERM.into());
    }
    let address = |p: *const ()| p.addr();
    let pair = match kind {
        0 => {
            let fd = |n: u64| i32::try_from(n).map_err(|_| Errno::EBADF);
            let one = a.files().get_any(fd(idx1)?)?;
            let two = b.files().get_any(fd(idx2)?)?;
            (abi::conv::size(one.id), abi::conv::size(two.id))
        }
        1 => {
            let id = |t: &task::Task| t.mm().map_or(0, |m| abi::conv::size(m.id));
            (id(&a), id(&b))
        }
        2 => {
            let (one, two) = (a.files(), b.files());
            (
                address(std::sync::Arc::as_ptr(&one).cast()),
                address(std::sync::Arc::as_ptr(&two).cast()),
            )
        }
        3 => {
            let (one, two) = (a.fs(), b.fs());
            (
                address(std::sync::Arc::as_ptr(&one).cast()),
                address(std::sync::Arc::as_ptr(&two).cast()),
            )
        }
        4 => {
            let (one, two) = (a.group.handlers(), b.group.handlers());
            (
                address(std::sync::Arc::as_ptr(&one).cast()),
                address(std::sync::Arc::as_ptr(&two).cast()),
            )
        }
        5..=7 => {
            return Err(cx
                .task
                .kernel
                .counters
                .missing("kcmp", u64::from(kind.unsigned_abs()), Errno::EINVAL)
                .into());
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(match pair.0.cmp(&pair.1) {
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Greater => 2,
    })
}

/// `ptrace(2)`
pub(super) async fn sys_ptrace(cx: &mut Cx, request: u64, pid: i32, addr: u64, data: u64) -> SysResult<u64> {
    task::ptrace::ptrace(cx, request, pid, addr, data)
}
