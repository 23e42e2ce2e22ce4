//! Processes: making, replacing, ending, waiting.

use abi::sched::{CloneArgs, CloneFlags};
use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

use crate::loader;
use crate::signal::info::{Detail, SigInfo};
use crate::signal::{Signal, may_kill, sender_info};
use crate::task::pidfd::PidFd;
use crate::task::wait::{Found, WaitOptions, Who};
use crate::task::{self, CloneSpec, Cx, NsFile, Usage};
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events};

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
    if flags.contains(CloneFlags::INTO_CGROUP) {
        return Err(cx
            .task
            .kernel
            .counters
            .missing("clone3", args.flags, Errno::EINVAL)
            .into());
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
    })
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

/// `execve(2)`
pub(super) async fn sys_execve(cx: &mut Cx, path: UserAddr, argv: UserAddr, envp: UserAddr) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    if path.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let file = crate::fs::open_exec(&cx.task, &path)?;
    do_exec(cx, file, &path, argv, envp).await
}

/// `execveat(2)`
pub(super) async fn sys_execveat(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    argv: UserAddr,
    envp: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    const AT_SYMLINK_NOFOLLOW: i32 = 0x100;
    const AT_EMPTY_PATH: i32 = 0x1000;
    const AT_FDCWD: i32 = -100;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = cx.read_path(path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT.into());
    }
    let file = crate::fs::open_exec_at(&cx.task, dirfd, &path, crate::fs::namei::Lookup::from_at(flags))?;
    let name = if path.starts_with(b"/") || dirfd == AT_FDCWD {
        path
    } else if path.is_empty() {
        format!("/dev/fd/{dirfd}").into_bytes()
    } else {
        [format!("/dev/fd/{dirfd}/").as_bytes(), &path].concat()
    };
    do_exec(cx, file, &name, argv, envp).await
}

async fn do_exec(
    cx: &mut Cx,
    file: std::sync::Arc<crate::fs::File>,
    name: &[u8],
    argv: UserAddr,
    envp: UserAddr,
) -> SysResult<u64> {
    let argv = read_strings(cx, argv)?;
    let envp = read_strings(cx, envp)?;
    task::exec::exec(cx, file, name, argv, envp).await?;
    Ok(0)
}

/// An array of string pointers that ends with `NULL`; `NULL` itself is an empty one.
fn read_strings(cx: &Cx, addr: UserAddr) -> abi::errno::Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if addr.is_null() {
        return Ok(strings);
    }
    let mut total = 0usize;
    let mut at = addr;
    loop {
        let pointer: u64 = cx.read_obj(at)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = match cx.read_cstr(UserAddr(pointer), loader::MAX_ARG_STRLEN) {
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            other => other?,
        };
        total = total.saturating_add(string.len() + 9);
        if total > loader::ARG_MAX {
            return Err(Errno::E2BIG);
        }
        strings.push(string);
        at = at.add(8)?;
    }
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

/// `wait4(2)`
pub(super) async fn sys_wait4(
    cx: &mut Cx,
    pid: i32,
    wstatus: UserAddr,
    options: i32,
    rusage: UserAddr,
) -> SysResult<u64> {
    let options = WaitOptions::from_bits(options.cast_unsigned()).ok_or(Errno::EINVAL)?;
    if options.intersects(WaitOptions::NOWAIT | WaitOptions::EXITED) {
        return Err(Errno::EINVAL.into());
    }
    let who = match pid {
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => Who::Any,
        0 => own_group(cx),
        1.. => process_named(cx, pid),
        _ => group_named(cx, -pid),
    };
    let Some(found) = wait_for(cx, who, options | WaitOptions::EXITED).await? else {
        return Ok(0);
    };
    if !wstatus.is_null() {
        cx.write_obj(wstatus, &found.status)?;
    }
    if !rusage.is_null() {
        cx.write_obj(rusage, &rusage_words(&found.usage))?;
    }
    Ok(u64::from(found.pid.unsigned_abs()))
}

/// `waitid(2)`
pub(super) async fn sys_waitid(
    cx: &mut Cx,
    idtype: i32,
    id: i32,
    infop: UserAddr,
    options: i32,
    rusage: UserAddr,
) -> SysResult<u64> {
    let mut options = WaitOptions::from_bits(options.cast_unsigned()).ok_or(Errno::EINVAL)?;
    if !options.intersects(WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED) {
        return Err(Errno::EINVAL.into());
    }
    let mut nonblock = false;
    let who = match idtype {
        0 => Who::Any,
        1 if id > 0 => process_named(cx, id),
        2 if id == 0 => own_group(cx),
        2 if id > 0 => group_named(cx, id),
        3 if id >= 0 => {
            let file = cx.task.files().get(id)?;
            let pidfd = file.downcast::<PidFd>().ok_or(Errno::EBADF)?;
            nonblock = file.nonblock();
            Who::Process(pidfd.group.tgid)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let asked_nohang = options.contains(WaitOptions::NOHANG);
    if nonblock {
        options |= WaitOptions::NOHANG;
    }
    let found = wait_for(cx, who, options).await?;
    if found.is_none() && nonblock && !asked_nohang {
        return Err(Errno::EAGAIN.into());
    }
    if let Some(found) = &found
        && !rusage.is_null()
    {
        cx.write_obj(rusage, &rusage_words(&found.usage))?;
    }
    if !infop.is_null() {
        write_child_info(cx, infop, found.as_ref())?;
    }
    Ok(0)
}

/// The six fields that `waitid(2)` writes; all zero if no child has changed.
fn write_child_info(cx: &mut Cx, infop: UserAddr, found: Option<&Found>) -> abi::errno::Result<()> {
    let mut words = [0i32; 7];
    if let Some(f) = found {
        let uid = cx.task.cred().user_ns.uid_out(f.uid);
        words = [
            Signal::SIGCHLD.number(),
            0,
            f.code,
            0,
            f.pid,
            uid.cast_signed(),
            f.value,
        ];
    }
    let [signo, errno, code, _, pid, uid, status] = words;
    cx.write_obj(infop, &[signo, errno, code])?;
    cx.write_obj(infop.add(16)?, &[pid, uid, status])
}

fn own_group(cx: &Cx) -> Who {
    let pgrp = cx.task.kernel.tasks.pgrp(&cx.task.group);
    Who::Group(pgrp.map_or(-1, |p| p.pid.number()))
}

fn process_named(cx: &Cx, pid: i32) -> Who {
    // A thread other than the leader is found by its tracer only.
    let task = cx.task.kernel.tasks.task(cx.task.pid_ns(), pid);
    Who::Process(task.map_or(-1, |t| t.tid))
}

fn group_named(cx: &Cx, pgid: i32) -> Who {
    let pgrp = cx.task.kernel.tasks.find_pgrp_in(cx.task.pid_ns(), pgid);
    Who::Group(pgrp.map_or(-1, |p| p.pid.number()))
}

async fn wait_for(cx: &mut Cx, who: Who, options: WaitOptions) -> SysResult<Option<Found>> {
    let task = cx.task.clone();
    let mut blocker = Blocker::new(&task, None);
    loop {
        let found = task.kernel.tasks.try_wait(&task, who, options)?;
        if found.is_some() || options.contains(WaitOptions::NOHANG) {
            return Ok(found);
        }
        let queue = &task.group.child_wait;
        if let Err(blocked) = blocker.wait_on(queue, Events::IN).await {
            // What happened just before the signal still counts.
            if let Some(found) = task.kernel.tasks.try_wait(&task, who, options)? {
                return Ok(Some(found));
            }
            return Err(blocked.or_restart(Errno::EINTR));
        }
    }
}

/// `struct rusage`
pub(super) fn rusage_words(usage: &Usage) -> [u64; 18] {
    const MICRO: u64 = 1_000;
    const SECOND: u64 = 1_000_000_000;
    let mut words = [0u64; 18];
    let head = [
        usage.user_ns / SECOND,
        usage.user_ns % SECOND / MICRO,
        usage.system_ns / SECOND,
        usage.system_ns % SECOND / MICRO,
        usage.max_rss_kib,
        0,
        0,
        0,
        usage.minor_faults,
        usage.major_faults,
    ];
    for (to, from) in words.iter_mut().zip(head) {
        *to = from;
    }
    words
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

/// `pidfd_open(2)`
pub(super) fn sys_pidfd_open(cx: &mut Cx, pid: i32, flags: u32) -> SysResult<u64> {
    const PIDFD_NONBLOCK: u32 = 0o4000;
    if flags & !PIDFD_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let kernel = cx.task.kernel.clone();
    let ns = cx.task.pid_ns();
    let Some(group) = kernel.tasks.process(ns, pid) else {
        let is_thread = kernel.tasks.task(ns, pid).is_some();
        return Err(if is_thread { Errno::ENOENT } else { Errno::ESRCH }.into());
    };
    let file = PidFd::open(&kernel, group, flags & PIDFD_NONBLOCK != 0);
    let fd = cx.task.files().add(file, true, cx.task.fd_limit())?;
    Ok(u64::from(fd.unsigned_abs()))
}

/// The process that a pidfd refers to.
pub(super) fn pidfd_target(cx: &Cx, pidfd: i32) -> abi::errno::Result<std::sync::Arc<task::ThreadGroup>> {
    let file = cx.task.files().get(pidfd)?;
    let pidfd = file.downcast::<PidFd>().ok_or(Errno::EBADF)?;
    Ok(pidfd.group.clone())
}

/// `pidfd_getfd(2)`
pub(super) fn sys_pidfd_getfd(cx: &mut Cx, pidfd: i32, targetfd: i32, flags: u32) -> SysResult<u64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = pidfd_target(cx, pidfd)?;
    let target = group.any_thread().ok_or(Errno::ESRCH)?;
    if !task::may_inspect(&cx.task, &target) {
        return Err(Errno::EPERM.into());
    }
    let file = target.files().get_any(targetfd)?;
    let fd = cx.task.files().add(file, true, cx.task.fd_limit())?;
    Ok(u64::from(fd.unsigned_abs()))
}

/// `PIDFD_SIGNAL_THREAD`, `PIDFD_SIGNAL_THREAD_GROUP`, `PIDFD_SIGNAL_PROCESS_GROUP`
const SCOPES: u32 = 7;
const SCOPE_THREAD: u32 = 1;
const SCOPE_PROCESS_GROUP: u32 = 4;

/// `pidfd_send_signal(2)`
pub(super) fn sys_pidfd_send_signal(cx: &mut Cx, pidfd: i32, sig: i32, info: UserAddr, flags: u32) -> SysResult<u64> {
    if flags & !SCOPES != 0 || flags.count_ones() > 1 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.files().get(pidfd)?;
    let group = match file.downcast::<PidFd>() {
        Some(pidfd) => pidfd.group.clone(),
        // Older than pidfds, and still taken: the directory of a process.
        None => crate::fs::impls::process_of(file.inode()).ok_or(Errno::EBADF)?,
    };
    if group.pid.in_ns(cx.task.pid_ns()) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let signal = match sig {
        0 => None,
        n => Some(Signal::new(n).ok_or(Errno::EINVAL)?),
    };
    let given = match info.nonnull() {
        None => None,
        Some(addr) => {
            let bytes: [u8; 128] = cx.read_obj(addr)?;
            let given = SigInfo::from_bytes(signal.unwrap_or(Signal::SIGCHLD), &bytes);
            let [a, b, c, d, ..] = bytes;
            if i32::from_le_bytes([a, b, c, d]) != sig {
                return Err(Errno::EINVAL.into());
            }
            let own = group.tgid == cx.task.group.tgid;
            if !own && (given.code >= 0 || given.code == crate::signal::info::code::SI_TKILL) {
                return Err(Errno::EPERM.into());
            }
            Some(given)
        }
    };
    let target = group.any_thread().ok_or(Errno::ESRCH)?;
    if !may_kill(&cx.task, &target, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(signal) = signal {
        let plain = || sender_info(&cx.task, &group, &target.cred(), signal, false);
        let info = given.unwrap_or_else(plain);
        debug_assert!(!matches!(info.detail, Detail::Fault { .. }));
        match flags {
            // A pidfd names the leader.
            SCOPE_THREAD => target.send_signal(info)?,
            SCOPE_PROCESS_GROUP => {
                if !cx.task.kernel.tasks.signal_pgrp(group.tgid, info) {
                    return Err(Errno::ESRCH.into());
                }
            }
            _ => group.send_signal(info)?,
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
