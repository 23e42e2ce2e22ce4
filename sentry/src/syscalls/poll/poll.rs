//! `poll(2)`

use abi::poll::PollFd;
use abi::{Errno, SysError, SysResult};
use zerocopy::IntoBytes;

use super::{RESTART_NOHAND, Watched, begin_sigmask, deadline_ms, deadline_of, end_sigmask, wait, write_left};
use crate::task::{Cx, Resource};
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Deadline, Events};

/// `poll(2)`
pub(in crate::syscalls) async fn sys_poll(cx: &mut Cx, fds: UserAddr, nfds: u32, timeout: i32) -> SysResult<u64> {
    let deadline = cx.deadline(deadline_ms(timeout));
    match do_poll(cx, fds, nfds, deadline).await? {
        Ok(n) => Ok(n),
        Err(_) => Err(cx.restart_with(deadline)),
    }
}

/// `ppoll(2)`
pub(in crate::syscalls) async fn sys_ppoll(
    cx: &mut Cx,
    fds: UserAddr,
    nfds: u32,
    tmo: UserAddr,
    sigmask: UserAddr,
    sigsetsize: usize,
) -> SysResult<u64> {
    let deadline = deadline_of(cx, tmo)?;
    begin_sigmask(cx, sigmask, sigsetsize)?;
    let result = match do_poll(cx, fds, nfds, deadline).await {
        Ok(Ok(n)) => Ok(n),
        Ok(Err(_)) => Err(RESTART_NOHAND),
        Err(e) => Err(SysError::Errno(e)),
    };
    write_left(cx, tmo, deadline);
    end_sigmask(cx, result)
}

async fn do_poll(cx: &mut Cx, fds: UserAddr, nfds: u32, deadline: Deadline) -> Result<Result<u64, Blocked>, Errno> {
    if u64::from(nfds) > cx.task.rlimit(Resource::Nofile).soft {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(nfds).map_err(|_| Errno::EINVAL)?;
    let mut array = vec![PollFd::default(); count];
    cx.read_bytes(fds, array.as_mut_bytes())?;
    let files = cx.task.files();
    let mut watched: Vec<Watched> = array
        .iter()
        .map(|p| {
            let file = if p.fd < 0 { None } else { files.get(p.fd).ok() };
            let revents = if p.fd >= 0 && file.is_none() {
                Events::NVAL
            } else {
                Events::empty()
            };
            Watched {
                file,
                events: Events::from_bits_truncate(u32::from(p.events)),
                revents,
            }
        })
        .collect();
    drop(files);
    let ready = match wait(&cx.task, &mut watched, deadline).await {
        Ok(n) => n,
        Err(why) => return Ok(Err(why)),
    };
    for (p, w) in array.iter_mut().zip(&watched) {
        p.revents = u16::try_from(w.revents.bits()).unwrap_or(0);
    }
    cx.write_bytes(fds, array.as_bytes())?;
    Ok(Ok(abi::conv::usize64(ready)))
}
