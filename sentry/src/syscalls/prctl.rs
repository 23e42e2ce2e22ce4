//! `prctl(2)`

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::{Errno, SysResult};

use crate::cred::{Cred, cap, securebits};
use crate::signal::Signal;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// `prctl(2)`
pub(super) fn sys_prctl(cx: &mut Cx, option: i32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> SysResult<u64> {
    const PR_SET_VMA: i32 = 0x5356_4d41;
    let rest = [arg3, arg4, arg5];
    let none = |args: &[u64]| {
        if args.iter().all(|&a| a == 0) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    };
    match option {
        1 => set_pdeathsig(cx, arg2),
        2 => {
            let signal = cx.task.attr.lock().pdeath_signal;
            cx.write_obj(UserAddr(arg2), &signal)?;
            Ok(0)
        }
        3 => Ok(u64::from(cx.task.group.dumpable.load(Ordering::Relaxed))),
        4 => {
            let value = u32::try_from(arg2).ok().filter(|&v| v <= 1).ok_or(Errno::EINVAL)?;
            cx.task.group.dumpable.store(value, Ordering::Relaxed);
            Ok(0)
        }
        7 => Ok(u64::from(cx.task.cred().securebits & securebits::KEEP_CAPS != 0)),
        8 => set_keepcaps(cx, arg2),
        13 => Ok(0),
        14 => none(&[arg2]).map(|()| 0).map_err(Into::into),
        15 => {
            let mut name = [0u8; 16];
            let got = cx.read_cstr(UserAddr(arg2), 16);
            match got {
                Ok(text) => set_name(cx, &text),
                Err(Errno::ENAMETOOLONG) => {
                    cx.read_bytes(UserAddr(arg2), &mut name)?;
                    set_name(cx, &name);
                }
                Err(e) => return Err(e.into()),
            }
            Ok(0)
        }
        16 => {
            let mut name = [0u8; 16];
            for (to, from) in name.iter_mut().zip(cx.task.comm()) {
                *to = from;
            }
            cx.write_bytes(UserAddr(arg2), &name)?;
            Ok(0)
        }
        21 | 22 => super::seccomp::prctl(cx, option, arg2, UserAddr(arg3)),
        23 => Ok(u64::from(cx.task.cred().bounding & bit(arg2)? != 0)),
        24 => drop_bounding(cx, arg2),
        25 => {
            let mode = cx.task.attr.lock().tsc_mode;
            cx.write_obj(UserAddr(arg2), &mode)?;
            Ok(0)
        }
        26 if arg2 == 1 => Ok(0),
        27 => Ok(u64::from(cx.task.cred().securebits)),
        28 => set_securebits(cx, arg2),
        29 => {
            let mut attr = cx.task.attr.lock();
            let default = attr.timer_slack_default_ns;
            attr.timer_slack_ns = if arg2.cast_signed() <= 0 { default } else { arg2 };
            Ok(0)
        }
        30 => Ok(cx.task.attr.lock().timer_slack_ns.min(u64::from(u32::MAX >> 1))),
        33 => mce_kill(cx, arg2, &rest),
        34 => {
            none(&[arg2])?;
            none(&rest)?;
            Ok(u64::from(cx.task.attr.lock().mce_kill))
        }
        36 => {
            cx.task.kernel.tasks.set_subreaper(&cx.task.group, arg2 != 0);
            Ok(0)
        }
        37 => {
            let on = i32::from(cx.task.kernel.tasks.is_subreaper(&cx.task.group));
            cx.write_obj(UserAddr(arg2), &on)?;
            Ok(0)
        }
        38 => {
            none(&rest)?;
            if arg2 != 1 {
                return Err(Errno::EINVAL.into());
            }
            update(cx, |new| new.no_new_privs = true);
            Ok(0)
        }
        39 => {
            none(&[arg2])?;
            none(&rest)?;
            Ok(u64::from(cx.task.cred().no_new_privs))
        }
        40 => {
            let address = cx.task.attr.lock().clear_child_tid;
            cx.write_obj(UserAddr(arg2), &address)?;
            Ok(0)
        }
        41 => {
            none(&rest)?;
            cx.task.attr.lock().thp_disable = arg2 != 0;
            Ok(0)
        }
        42 => {
            none(&[arg2])?;
            none(&rest)?;
            Ok(u64::from(cx.task.attr.lock().thp_disable))
        }
        47 => ambient(cx, arg2, arg3, &[arg4, arg5]),
        52 => {
            none(&rest)?;
            if arg2 > 2 { Err(Errno::ENODEV.into()) } else { Ok(0) }
        }
        53 => Err(if arg2 > 2 { Errno::ENODEV } else { Errno::ENXIO }.into()),
        57 | 58 => io_flusher(cx, option, arg2, &rest),
        PR_SET_VMA => set_vma_name(cx, arg2, [arg3, arg4, arg5]),
        _ => {
            let option = u64::from(option.cast_unsigned());
            Err(cx.task.kernel.counters.missing("prctl", option, Errno::EINVAL).into())
        }
    }
}

fn update(cx: &Cx, change: impl FnOnce(&mut Cred)) {
    let mut new = (*cx.task.cred()).clone();
    change(&mut new);
    cx.task.set_cred(Arc::new(new));
}

fn set_pdeathsig(cx: &Cx, arg: u64) -> SysResult<u64> {
    let number = i32::try_from(arg).map_err(|_| Errno::EINVAL)?;
    if number != 0 && Signal::new(number).is_none() {
        return Err(Errno::EINVAL.into());
    }
    cx.task.attr.lock().pdeath_signal = number;
    Ok(0)
}

fn set_keepcaps(cx: &Cx, arg: u64) -> SysResult<u64> {
    if arg > 1 {
        return Err(Errno::EINVAL.into());
    }
    if cx.task.cred().securebits & securebits::KEEP_CAPS_LOCKED != 0 {
        return Err(Errno::EPERM.into());
    }
    update(cx, |new| {
        new.securebits &= !securebits::KEEP_CAPS;
        if arg == 1 {
            new.securebits |= securebits::KEEP_CAPS;
        }
    });
    Ok(0)
}

/// The bit of a capability number.
fn bit(number: u64) -> abi::errno::Result<u64> {
    if number > u64::from(cap::LAST) {
        return Err(Errno::EINVAL);
    }
    Ok(1 << number)
}

fn drop_bounding(cx: &Cx, number: u64) -> SysResult<u64> {
    if !cx.task.capable(cap::SETPCAP) {
        return Err(Errno::EPERM.into());
    }
    let bit = bit(number)?;
    update(cx, |new| new.bounding &= !bit);
    Ok(0)
}

fn set_securebits(cx: &Cx, arg: u64) -> SysResult<u64> {
    let old = cx.task.cred().securebits;
    let new = u32::try_from(arg).map_err(|_| Errno::EPERM)?;
    let locked = (old & securebits::LOCKS) >> 1;
    if locked & (old ^ new) != 0
        || old & securebits::LOCKS & !new != 0
        || new & !securebits::ALL != 0
        || !cx.task.capable(cap::SETPCAP)
    {
        return Err(Errno::EPERM.into());
    }
    update(cx, |cred| cred.securebits = new);
    Ok(0)
}

fn mce_kill(cx: &Cx, arg2: u64, rest: &[u64; 3]) -> SysResult<u64> {
    const CLEAR: u64 = 0;
    const SET: u64 = 1;
    let [arg3, arg4, arg5] = *rest;
    if arg4 != 0 || arg5 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let value = match (arg2, arg3) {
        (CLEAR, 0) => 2,
        (SET, 0..=2) => abi::conv::low32(arg3),
        _ => return Err(Errno::EINVAL.into()),
    };
    cx.task.attr.lock().mce_kill = value;
    Ok(0)
}

fn ambient(cx: &Cx, arg2: u64, arg3: u64, rest: &[u64; 2]) -> SysResult<u64> {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if rest.iter().any(|&a| a != 0) {
        return Err(Errno::EINVAL.into());
    }
    if arg2 == CLEAR_ALL {
        if arg3 != 0 {
            return Err(Errno::EINVAL.into());
        }
        update(cx, |new| new.ambient = 0);
        return Ok(0);
    }
    let bit = bit(arg3)?;
    let cred = cx.task.cred();
    match arg2 {
        IS_SET => Ok(u64::from(cred.ambient & bit != 0)),
        RAISE => {
            let may = cred.permitted & cred.inheritable & bit != 0;
            if !may || cred.securebits & securebits::NO_CAP_AMBIENT_RAISE != 0 {
                return Err(Errno::EPERM.into());
            }
            update(cx, |new| new.ambient |= bit);
            Ok(0)
        }
        LOWER => {
            update(cx, |new| new.ambient &= !bit);
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn io_flusher(cx: &Cx, option: i32, arg2: u64, rest: &[u64; 3]) -> SysResult<u64> {
    if !cx.task.capable(cap::SYS_RESOURCE) {
        return Err(Errno::EPERM.into());
    }
    if rest.iter().any(|&a| a != 0) {
        return Err(Errno::EINVAL.into());
    }
    let mut attr = cx.task.attr.lock();
    match (option, arg2) {
        (57, 0 | 1) => {
            attr.io_flusher = arg2 == 1;
            Ok(0)
        }
        (58, 0) => Ok(u64::from(attr.io_flusher)),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// The host's `ps` shows a process by the name of its first thread.
fn set_name(cx: &mut Cx, name: &[u8]) {
    cx.task.set_comm(name);
    if cx.task.is_leader() {
        cx.mm.aspace().set_name(name);
        cx.ctx.queue(platform::MemOp::Name);
    }
}

/// `PR_SET_VMA_ANON_NAME`: a name for `/proc/PID/maps`.
fn set_vma_name(cx: &Cx, what: u64, [addr, len, name]: [u64; 3]) -> SysResult<u64> {
    const NAME_MAX: usize = 80;
    if what != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = match UserAddr(name).nonnull() {
        None => None,
        Some(at) => {
            let text = match cx.read_cstr(at, NAME_MAX) {
                Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL.into()),
                other => other?,
            };
            let allowed = |b: &u8| (0x20..0x7f).contains(b) && !b"\\`$[]".contains(b);
            if !text.iter().all(allowed) {
                return Err(Errno::EINVAL.into());
            }
            Some(String::from_utf8(text).map_err(|_| Errno::EINVAL)?)
        }
    };
    cx.mm.set_name(addr, len, name.as_deref())?;
    Ok(0)
}
