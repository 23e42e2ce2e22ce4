//! `select(2)`

use abi::time::{Timespec, Timeval};
use abi::{Errno, SysResult};

use super::{RESTART_NOHAND, Watched, begin_sigmask, deadline_of, end_sigmask, wait, write_left};
use crate::executor::Executor;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Deadline, Events};

const READ: Events = Events::READ.union(Events::RDBAND).union(Events::ALWAYS);
const WRITE: Events = Events::WRITE.union(Events::WRBAND).union(Events::ERR);

/// `select(2)`
pub(in crate::syscalls) async fn sys_select(
    cx: &mut Cx,
    nfds: i32,
    readfds: UserAddr,
    writefds: UserAddr,
    exceptfds: UserAddr,
    timeout: UserAddr,
) -> SysResult<u64> {
    let deadline = match timeout.nonnull() {
        None => None,
        Some(at) => {
            let tv: Timeval = cx.read_obj(at)?;
            // More than a second of microseconds is allowed here.
            let spec = Timespec {
                sec: tv.sec.saturating_add(tv.usec.div_euclid(1_000_000)),
                nsec: tv.usec.rem_euclid(1_000_000) * 1000,
            };
            if tv.usec < 0 || tv.sec < 0 {
                return Err(Errno::EINVAL.into());
            }
            Some(Executor::now().saturating_add(spec.to_ns().ok_or(Errno::EINVAL)?))
        }
    };
    let result = do_select(cx, nfds, [readfds, writefds, exceptfds], deadline).await;
    if let (Some(at), Some(deadline)) = (timeout.nonnull(), deadline) {
        let left = Timeval::from_ns(deadline.saturating_sub(Executor::now()));
        let _ = cx.write_obj(at, &left);
    }
    result
}

/// `pselect6(2)`
pub(in crate::syscalls) async fn sys_pselect6(
    cx: &mut Cx,
    nfds: i32,
    readfds: UserAddr,
    writefds: UserAddr,
    exceptfds: UserAddr,
    timeout: UserAddr,
    sigmask: UserAddr,
) -> SysResult<u64> {
    let (mask, size) = match sigmask.nonnull() {
        None => (UserAddr::NULL, 8),
        Some(at) => {
            let [mask, size]: [u64; 2] = cx.read_obj(at)?;
            (UserAddr(mask), abi::conv::size(size))
        }
    };
    let deadline = deadline_of(cx, timeout)?;
    begin_sigmask(cx, mask, size)?;
    let result = do_select(cx, nfds, [readfds, writefds, exceptfds], deadline).await;
    write_left(cx, timeout, deadline);
    end_sigmask(cx, result)
}

async fn do_select(cx: &mut Cx, nfds: i32, sets: [UserAddr; 3], deadline: Deadline) -> SysResult<u64> {
    let asked = usize::try_from(nfds).map_err(|_| Errno::EINVAL)?;
    let files = cx.task.files();
    // Numbers beyond the table are cut off, as Linux does.
    let highest = files
        .list()
        .last()
        .map_or(0, |(fd, _)| usize::try_from(*fd).unwrap_or(0));
    let n = asked.min((highest + 1).next_multiple_of(64).max(64));
    let words = n.div_ceil(64);
    let mut masks: [Vec<u64>; 3] = Default::default();
    for (mask, at) in masks.iter_mut().zip(sets) {
        mask.resize(words, 0);
        if let Some(at) = at.nonnull() {
            cx.read_bytes(at, zerocopy::IntoBytes::as_mut_bytes(mask.as_mut_slice()))?;
        }
    }
    let bit = |mask: &[u64], fd: usize| mask.get(fd / 64).is_some_and(|w| w & (1 << (fd % 64)) != 0);
    let mut watched = Vec::new();
    let mut numbers = Vec::new();
    let [reads, writes, excepts] = &masks;
    for fd in 0..n {
        let mut events = Events::empty();
        if bit(reads, fd) {
            events |= READ;
        }
        if bit(writes, fd) {
            events |= WRITE;
        }
        if bit(excepts, fd) {
            events |= Events::PRI;
        }
        if events.is_empty() {
            continue;
        }
        let file = files.get(i32::try_from(fd).map_err(|_| Errno::EBADF)?)?;
        numbers.push(fd);
        watched.push(Watched {
            file: Some(file),
            events,
            revents: Events::empty(),
        });
    }
    drop(files);
    if wait(&cx.task, &mut watched, deadline).await.is_err() {
        return Err(RESTART_NOHAND);
    }
    let mut count = 0;
    let mut result: [Vec<u64>; 3] = std::array::from_fn(|_| vec![0u64; words]);
    for (&fd, w) in numbers.iter().zip(&watched) {
        let kinds = [READ, WRITE, Events::PRI];
        for ((mask, out), kind) in masks.iter().zip(&mut result).zip(kinds) {
            if bit(mask, fd)
                && w.revents.intersects(kind)
                && let Some(word) = out.get_mut(fd / 64)
            {
                *word |= 1 << (fd % 64);
                count += 1;
            }
        }
    }
    for (mask, at) in result.iter().zip(sets) {
        if let Some(at) = at.nonnull() {
            cx.write_bytes(at, zerocopy::IntoBytes::as_bytes(mask.as_slice()))?;
        }
    }
    Ok(count)
}
