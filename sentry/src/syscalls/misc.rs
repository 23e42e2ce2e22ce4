//! Odds and ends.

use abi::{Errno, SysResult};

use crate::cred::cap;
use crate::task::Cx;
use crate::task::ns::UtsNames;
use crate::usermem::UserAddr;

/// What `uname(2)` says this kernel is.
pub(crate) const RELEASE: &str = "6.12.0";
/// Likewise, which build.
pub(crate) const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC";

/// What the kernel calls itself, in `/proc/version` and at the head of its log.
pub(crate) fn banner() -> String {
    format!("Linux version {RELEASE} (runsc@sandbox) (rustc) {VERSION}")
}

/// `arch_prctl(2)`
pub(super) fn sys_arch_prctl(cx: &mut Cx, code: i32, addr: u64) -> SysResult<u64> {
    const SET_GS: i32 = 0x1001;
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    const GET_CPUID: i32 = 0x1011;
    const SET_CPUID: i32 = 0x1012;
    const GET_XCOMP_SUPP: i32 = 0x1021;
    const GET_XCOMP_PERM: i32 = 0x1022;
    const REQ_XCOMP_PERM: i32 = 0x1023;
    let to = UserAddr(addr);
    match code {
        SET_GS | SET_FS if addr >= abi::regs::TASK_SIZE_MAX => return Err(Errno::EPERM.into()),
        SET_GS => cx.ctx.regs_mut().gs_base = addr,
        SET_FS => cx.ctx.regs_mut().fs_base = addr,
        GET_FS => {
            let base = cx.ctx.regs().fs_base;
            cx.write_obj(to, &base)?;
        }
        GET_GS => {
            let base = cx.ctx.regs().gs_base;
            cx.write_obj(to, &base)?;
        }
        GET_CPUID => return Ok(1),
        SET_CPUID if addr != 0 => {}
        SET_CPUID => return Err(Errno::ENODEV.into()),
        GET_XCOMP_SUPP | GET_XCOMP_PERM => {
            let features = xfeatures(cx)?;
            cx.write_obj(to, &features)?;
        }
        REQ_XCOMP_PERM => {
            let bit = u32::try_from(addr)
                .ok()
                .and_then(|n| 1u64.checked_shl(n))
                .ok_or(Errno::EINVAL)?;
            if xfeatures(cx)? & bit == 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// Components of the floating-point image that the processor has.
fn xfeatures(cx: &mut Cx) -> abi::errno::Result<u64> {
    const AT: usize = 472;
    let image = cx.ctx.fpu()?;
    let bytes = image.get(AT..AT + 8).and_then(|b| b.try_into().ok());
    Ok(bytes.map_or(3, u64::from_le_bytes))
}

/// `uname(2)`
pub(super) fn sys_uname(cx: &mut Cx, buf: UserAddr) -> SysResult<u64> {
    const FIELD: usize = 65;
    const PER_MASK: u32 = 0xff;
    const PER_LINUX32: u32 = 8;
    let persona = cx.task.attr.lock().personality;
    let names = cx.task.ns().uts.names.lock().clone();
    let fields: [&[u8]; 6] = [
        b"Linux",
        &names.host,
        RELEASE.as_bytes(),
        VERSION.as_bytes(),
        if persona & PER_MASK == PER_LINUX32 {
            b"i686"
        } else {
            b"x86_64"
        },
        if names.domain.is_empty() {
            b"(none)"
        } else {
            &names.domain
        },
    ];
    let mut out = [0u8; FIELD * 6];
    for (to, from) in out.chunks_mut(FIELD).zip(fields) {
        for (t, f) in to.iter_mut().take(FIELD - 1).zip(from) {
            *t = *f;
        }
    }
    cx.write_bytes(buf, &out)?;
    Ok(0)
}

/// `sysinfo(2)`
pub(super) fn sys_sysinfo(cx: &mut Cx, info: UserAddr) -> SysResult<u64> {
    let kernel = &cx.task.kernel;
    let uptime = crate::time::clock::boottime_now();
    let uptime = cx.task.ns().time.shown(crate::time::Shifted::Boottime, uptime) / 1_000_000_000;
    let tasks = kernel.tasks.all_tasks();
    let total = kernel.config.total_memory;
    let mut maps: Vec<_> = tasks.iter().filter_map(|t| t.mm()).collect();
    maps.sort_by_key(|m| m.id);
    maps.dedup_by_key(|m| m.id);
    let used: u64 = maps.iter().map(|m| m.aspace().usage().0).sum();
    let mut words = [0u64; 14];
    let procs = abi::conv::usize64(tasks.len()) & 0xffff;
    let values = [
        uptime,
        0,
        0,
        0,
        total,
        total.saturating_sub(used),
        0,
        0,
        0,
        0,
        procs,
        0,
        0,
        1,
    ];
    words.copy_from_slice(&values);
    cx.write_obj(info, &words)?;
    Ok(0)
}

/// `getcpu(2)`
pub(super) fn sys_getcpu(cx: &mut Cx, cpu: UserAddr, node: UserAddr) -> SysResult<u64> {
    let now = u32::try_from(rustix::thread::sched_getcpu()).unwrap_or(0);
    let now = now % cx.task.kernel.config.cpus.max(1);
    if !cpu.is_null() {
        cx.write_obj(cpu, &now)?;
    }
    if !node.is_null() {
        cx.write_obj(node, &0u32)?;
    }
    Ok(0)
}

/// `getrandom(2)`
pub(super) async fn sys_getrandom(cx: &mut Cx, buf: UserAddr, buflen: usize, flags: u32) -> SysResult<u64> {
    const NONBLOCK: u32 = 1;
    const RANDOM: u32 = 2;
    const INSECURE: u32 = 4;
    const MAX: usize = 0x7fff_ffff;
    if flags & !(NONBLOCK | RANDOM | INSECURE) != 0 || flags & (RANDOM | INSECURE) == RANDOM | INSECURE {
        return Err(Errno::EINVAL.into());
    }
    let len = buflen.min(MAX);
    let mut piece = vec![0u8; len.min(16384)];
    let mut done = 0;
    while done < len {
        let want = (len - done).min(piece.len());
        let part = piece.get_mut(..want).unwrap_or_default();
        let got = rustix::rand::getrandom(&mut *part, rustix::rand::GetRandomFlags::empty()).map_err(|_| Errno::EIO)?;
        let stored = cx.write_some(buf.add(done)?, part.get(..got).unwrap_or_default());
        done += stored;
        if stored < got {
            return if done > 0 {
                Ok(abi::conv::usize64(done))
            } else {
                Err(Errno::EFAULT.into())
            };
        }
        if cx.task.is_interrupted() {
            break;
        }
    }
    Ok(abi::conv::usize64(done))
}

/// Sets one of the names of the uts namespace.
fn set_name(cx: &Cx, addr: UserAddr, len: i32, pick: fn(&mut UtsNames) -> &mut Vec<u8>) -> SysResult<u64> {
    let ns = cx.task.ns();
    if !cx.task.cred().has_cap_in(&ns.uts.user_ns, cap::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let len = usize::try_from(len).ok().filter(|&n| n <= 64).ok_or(Errno::EINVAL)?;
    let mut name = vec![0u8; len];
    cx.read_bytes(addr, &mut name)?;
    name.truncate(name.iter().position(|&b| b == 0).unwrap_or(len));
    *pick(&mut ns.uts.names.lock()) = name;
    Ok(0)
}

/// `sethostname(2)`
pub(super) fn sys_sethostname(cx: &mut Cx, name: UserAddr, len: i32) -> SysResult<u64> {
    set_name(cx, name, len, |n| &mut n.host)
}

/// `setdomainname(2)`
pub(super) fn sys_setdomainname(cx: &mut Cx, name: UserAddr, len: i32) -> SysResult<u64> {
    set_name(cx, name, len, |n| &mut n.domain)
}

/// `syslog(2)`
pub(super) fn sys_syslog(cx: &mut Cx, kind: i32, bufp: UserAddr, len: i32) -> SysResult<u64> {
    const READ: i32 = 2;
    const READ_ALL: i32 = 3;
    const READ_CLEAR: i32 = 4;
    const CLEAR: i32 = 5;
    const SIZE_UNREAD: i32 = 9;
    const SIZE_BUFFER: i32 = 10;
    if !(0..=10).contains(&kind) {
        return Err(Errno::EINVAL.into());
    }
    let open = matches!(kind, READ_ALL | SIZE_BUFFER);
    if !open && !cx.task.capable(cap::SYSLOG) && !cx.task.capable(cap::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let log = cx.task.kernel.kmsg.clone();
    match kind {
        READ | READ_ALL | READ_CLEAR => {
            let room = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            if bufp.is_null() {
                return Err(Errno::EINVAL.into());
            }
            let text = match kind {
                READ => log.take(room),
                _ => log.last(room, kind == READ_CLEAR),
            };
            cx.write_bytes(bufp, &text)?;
            Ok(u64::try_from(text.len()).unwrap_or(0))
        }
        CLEAR => {
            log.clear();
            Ok(0)
        }
        8 if !(1..=8).contains(&len) => Err(Errno::EINVAL.into()),
        SIZE_UNREAD => Ok(u64::try_from(log.unread()).unwrap_or(0)),
        SIZE_BUFFER => Ok(u64::try_from(crate::kmsg::SIZE).unwrap_or(0)),
        _ => Ok(0),
    }
}

/// `personality(2)`
pub(super) fn sys_personality(cx: &mut Cx, persona: u32) -> SysResult<u64> {
    let mut attr = cx.task.attr.lock();
    let old = attr.personality;
    if persona != u32::MAX {
        attr.personality = persona;
    }
    Ok(u64::from(old))
}

/// `vhangup(2)`: of the terminal that controls the caller, if there is one
pub(super) fn sys_vhangup(cx: &mut Cx) -> SysResult<u64> {
    if !cx.task.capable(cap::SYS_TTY_CONFIG) {
        return Err(Errno::EPERM.into());
    }
    let session = cx.task.kernel.tasks.pgrp(&cx.task.group).map(|g| g.session.clone());
    let tty = session.and_then(|s| s.tty.lock().clone());
    if let Some(tty) = tty {
        tty.vhangup();
    }
    Ok(0)
}

/// `set_robust_list(2)`
pub(super) fn sys_set_robust_list(cx: &mut Cx, head: UserAddr, len: usize) -> SysResult<u64> {
    if len != 24 {
        return Err(Errno::EINVAL.into());
    }
    cx.task.attr.lock().robust_list = head.0;
    Ok(0)
}

/// `get_robust_list(2)`
pub(super) fn sys_get_robust_list(cx: &mut Cx, pid: i32, head_ptr: UserAddr, len_ptr: UserAddr) -> SysResult<u64> {
    let target = match pid {
        0 => cx.task.clone(),
        _ => cx.task.kernel.tasks.task(cx.task.pid_ns(), pid).ok_or(Errno::ESRCH)?,
    };
    if !crate::task::may_inspect(&cx.task, &target) {
        return Err(Errno::EPERM.into());
    }
    let head = target.attr.lock().robust_list;
    cx.write_obj(len_ptr, &24u64)?;
    cx.write_obj(head_ptr, &head)?;
    Ok(0)
}

/// `rseq(2)`: the C library does without.
pub(super) fn sys_rseq(cx: &mut Cx, rseq: UserAddr, len: u32, flags: i32, sig: u32) -> SysResult<u64> {
    const SIZE: u32 = 32;
    let _ = (cx, sig);
    if flags & !1 != 0 || len < SIZE || !rseq.0.is_multiple_of(u64::from(SIZE)) {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::ENOSYS.into())
}
