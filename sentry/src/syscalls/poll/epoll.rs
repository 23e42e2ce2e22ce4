//! `epoll(7)`

use abi::poll::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLEXCLUSIVE, EPOLLWAKEUP, EpollEvent};
use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

use super::{begin_sigmask, deadline_ms, deadline_of, end_sigmask};
use crate::executor::Executor;
use crate::fs::OpenFlags;
use crate::fs::namei::anon_file;
use crate::ipc::epoll::Epoll;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Deadline, Events};

const EPOLL_CLOEXEC: i32 = 0o2_000_000;

/// Most events that one wait may ask for (`EP_MAX_EVENTS`).
const MAX_EVENTS: i32 = i32::MAX / 12;

/// `epoll_create(2)`
pub(in crate::syscalls) fn sys_epoll_create(cx: &mut Cx, size: i32) -> SysResult<u64> {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    sys_epoll_create1(cx, 0)
}

/// `epoll_create1(2)`
pub(in crate::syscalls) fn sys_epoll_create1(cx: &mut Cx, flags: i32) -> SysResult<u64> {
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = anon_file(&cx.task.kernel, "[eventpoll]", Epoll::new(), OpenFlags::RDWR);
    let fd = cx.task.files().add(file, flags != 0, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// `epoll_ctl(2)`
pub(in crate::syscalls) fn sys_epoll_ctl(cx: &mut Cx, epfd: i32, op: i32, fd: i32, event: UserAddr) -> SysResult<u64> {
    let event: EpollEvent = if op == EPOLL_CTL_DEL {
        EpollEvent::default()
    } else {
        cx.read_obj(event)?
    };
    let files = cx.task.files();
    let outer = files.get(epfd)?;
    let file = files.get(fd)?;
    if file.ops.wait_queue().is_none() {
        return Err(Errno::EPERM.into());
    }
    let epoll = outer.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    if outer.id == file.id {
        return Err(Errno::EINVAL.into());
    }
    if event.events & EPOLLEXCLUSIVE != 0 {
        let allowed = Events::IN | Events::OUT | Events::ERR | Events::HUP;
        if op != EPOLL_CTL_ADD || event.events & !(allowed.bits() | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE) != 0 {
            return Err(Errno::EINVAL.into());
        }
    }
    match op {
        EPOLL_CTL_ADD => epoll.add(&file, fd, event)?,
        EPOLL_CTL_MOD => epoll.modify(&file, fd, event)?,
        EPOLL_CTL_DEL => epoll.remove(&file, fd)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `epoll_wait(2)`
pub(in crate::syscalls) async fn sys_epoll_wait(
    cx: &mut Cx,
    epfd: i32,
    events: UserAddr,
    maxevents: i32,
    timeout: i32,
) -> SysResult<u64> {
    do_wait(cx, epfd, events, maxevents, deadline_ms(timeout)).await
}

/// `epoll_pwait(2)`
pub(in crate::syscalls) async fn sys_epoll_pwait(
    cx: &mut Cx,
    epfd: i32,
    events: UserAddr,
    maxevents: i32,
    timeout: i32,
    sigmask: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    begin_sigmask(cx, sigmask, sigsetsize)?;
    let result = do_wait(cx, epfd, events, maxevents, deadline_ms(timeout)).await;
    end_sigmask(cx, result)
}

/// `epoll_pwait2(2)`
pub(in crate::syscalls) async fn sys_epoll_pwait2(
    cx: &mut Cx,
    epfd: i32,
    events: UserAddr,
    maxevents: i32,
    timeout: UserAddr,
    sigmask: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let deadline = deadline_of(cx, timeout)?;
    begin_sigmask(cx, sigmask, sigsetsize)?;
    let result = do_wait(cx, epfd, events, maxevents, deadline).await;
    end_sigmask(cx, result)
}

async fn do_wait(cx: &mut Cx, epfd: i32, events: UserAddr, maxevents: i32, deadline: Deadline) -> SysResult<u64> {
    if maxevents <= 0 || maxevents > MAX_EVENTS {
        return Err(Errno::EINVAL.into());
    }
    if events.0 >= cx.task.kernel.platform.guest_end() {
        return Err(Errno::EFAULT.into());
    }
    let max = usize::try_from(maxevents).map_err(|_| Errno::EINVAL)?;
    let file = cx.task.files().get(epfd)?;
    let epoll = file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let mut got = epoll.take(max);
    if got.is_empty() && deadline.is_none_or(|d| d > Executor::now()) {
        let mut blocker = Blocker::new(&cx.task, deadline).exclusive();
        while got.is_empty() {
            match blocker.wait_on(epoll.queue(), Events::READ).await {
                Ok(()) => got = epoll.take(max),
                Err(Blocked::TimedOut) => break,
                // signal(7): never restarted.
                Err(Blocked::Interrupted) => return Err(Errno::EINTR.into()),
            }
        }
    }
    cx.write_bytes(events, got.as_bytes())?;
    Ok(abi::conv::usize64(got.len()))
}
