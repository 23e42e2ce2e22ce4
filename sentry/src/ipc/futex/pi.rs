//! Locks whose owner is in the word (`FUTEX_LOCK_PI`). Priorities are not inherited: every guest thread runs at the same one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::{Errno, Restart, SysError, SysResult};

use super::ops::{key, load};
use super::table::Waiter;
use super::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, MATCH_ANY};
use crate::task::Cx;
use crate::wait::{Blocked, Blocker, Deadline};

/// `FUTEX_LOCK_PI`, `FUTEX_LOCK_PI2`, and `FUTEX_TRYLOCK_PI` if `try_only`.
pub async fn lock_pi(cx: &mut Cx, addr: u64, shared: bool, deadline: Deadline, try_only: bool) -> SysResult<u64> {
    let key = key(cx, addr, shared)?;
    let own = cx.task.pid.own().cast_unsigned();
    let mut owner_gone = false;
    loop {
        let word = load(cx, addr)?;
        let owner = word & FUTEX_TID_MASK;
        if owner == own {
            return Err(Errno::EDEADLK.into());
        }
        let queued = cx
            .task
            .kernel
            .ipc
            .futexes
            .bucket(&key)
            .is_some_and(|b| b.has(&key, |w| w.pi));
        if owner == 0 || owner_gone {
            // Free, or its owner died while we waited: ours, if nobody is quicker.
            let mut new = own | (word & FUTEX_OWNER_DIED);
            if owner_gone {
                new |= FUTEX_OWNER_DIED;
            }
            if queued || owner_gone {
                new |= FUTEX_WAITERS;
            }
            if cx.ctx.cmpxchg(addr, word, new).await? == word {
                return Ok(0);
            }
            continue;
        }
        if try_only {
            return Err(Errno::EAGAIN.into());
        }
        if !is_alive(cx, owner) {
            return Err(Errno::ESRCH.into());
        }
        let marked = word | FUTEX_WAITERS;
        if marked != word && cx.ctx.cmpxchg(addr, word, marked).await? != word {
            continue;
        }
        let mut blocker = Blocker::new(&cx.task, deadline);
        let mut waiter = Waiter::new(key, MATCH_ANY, cx.task.pid.own(), blocker.fired(), blocker.waker());
        waiter.pi = true;
        let waiter = Arc::new(waiter);
        {
            let mut bucket = cx.task.kernel.ipc.futexes.bucket(&key).ok_or(Errno::EFAULT)?;
            if load(cx, addr)? != marked {
                continue;
            }
            bucket.push(waiter.clone());
        }
        let ended = loop {
            if waiter.is_done() {
                break None;
            }
            if let Err(why) = blocker.sleep().await {
                if cx.task.kernel.ipc.futexes.cancel(&waiter) {
                    break Some(why);
                }
                // The unlocker took us off the queue and hands over in a moment.
                crate::wait::yield_now().await;
            }
        };
        match ended {
            None if waiter.granted.load(Ordering::SeqCst) => return Ok(0),
            None => owner_gone = !is_alive(cx, owner),
            Some(Blocked::TimedOut) => return Err(Errno::ETIMEDOUT.into()),
            Some(Blocked::Interrupted) => return Err(SysError::Restart(Restart::NoIntr)),
        }
    }
}

/// `FUTEX_UNLOCK_PI`: hands the lock to the longest waiting thread. `EPERM` unless it is the caller's.
pub async fn unlock_pi(cx: &mut Cx, addr: u64, shared: bool) -> SysResult<u64> {
    let key = key(cx, addr, shared)?;
    let own = cx.task.pid.own().cast_unsigned();
    loop {
        let word = load(cx, addr)?;
        if word & FUTEX_TID_MASK != own {
            return Err(Errno::EPERM.into());
        }
        let next = cx
            .task
            .kernel
            .ipc
            .futexes
            .bucket(&key)
            .and_then(|mut b| b.take(&key, |w| w.pi));
        // With a next owner the mark stays: who queues meanwhile must not be forgotten.
        let new = next.as_ref().map_or(0, |w| w.tid.cast_unsigned() | FUTEX_WAITERS);
        let result = cx.ctx.cmpxchg(addr, word, new).await;
        if let Some(waiter) = next {
            waiter.granted.store(result == Ok(word), Ordering::SeqCst);
            waiter.finish();
        }
        if result? == word {
            return Ok(0);
        }
    }
}

fn is_alive(cx: &Cx, owner: u32) -> bool {
    cx.task
        .kernel
        .tasks
        .task(cx.task.pid_ns(), owner.cast_signed())
        .is_some()
}
