//! Waiting for children.

use abi::{Errno, SysResult};

use crate::signal::Signal;
use crate::task::pidfd::PidFd;
use crate::task::wait::{Found, WaitOptions, Who};
use crate::task::{Cx, Usage};
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events};

/// `wait4(2)`
pub(in crate::syscalls) async fn sys_wait4(
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
pub(in crate::syscalls) async fn sys_waitid(
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
pub(in crate::syscalls) fn rusage_words(usage: &Usage) -> [u64; 18] {
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
