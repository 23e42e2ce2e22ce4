//! `futex(2)` and its successors.

use abi::time::Timespec;
use abi::{Errno, Restart, SysError, SysResult};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::executor::Executor;
use crate::ipc::futex::{self, MATCH_ANY, WaitOn, WakeOp};
use crate::task::Cx;
use crate::time::Shifted;
use crate::time::clock::{Clock, realtime_now};
use crate::usermem::UserAddr;
use crate::wait::Blocked;

const FUTEX_PRIVATE_FLAG: i32 = 128;
const FUTEX_CLOCK_REALTIME: i32 = 256;

const FUTEX_WAIT: i32 = 0;
const FUTEX_WAKE: i32 = 1;
const FUTEX_REQUEUE: i32 = 3;
const FUTEX_CMP_REQUEUE: i32 = 4;
const FUTEX_WAKE_OP: i32 = 5;
const FUTEX_LOCK_PI: i32 = 6;
const FUTEX_UNLOCK_PI: i32 = 7;
const FUTEX_TRYLOCK_PI: i32 = 8;
const FUTEX_WAIT_BITSET: i32 = 9;
const FUTEX_WAKE_BITSET: i32 = 10;
const FUTEX_WAIT_REQUEUE_PI: i32 = 11;
const FUTEX_CMP_REQUEUE_PI: i32 = 12;
const FUTEX_LOCK_PI2: i32 = 13;

/// A count given as an unsigned argument but used as an `int`.
fn count(n: u32) -> Result<usize, Errno> {
    usize::try_from(n.cast_signed()).map_err(|_| Errno::EINVAL)
}

/// As [`count`] for wakes, where Linux takes a negative one as "one".
fn wake_count(n: u32) -> usize {
    usize::try_from(n.cast_signed()).unwrap_or(0).max(1)
}

/// A point of a clock of the guest's as one of the host's `CLOCK_MONOTONIC`.
fn to_monotonic(cx: &Cx, at: u64, realtime: bool) -> u64 {
    if !realtime {
        return cx.task.ns().time.on_host(Shifted::Monotonic, at);
    }
    Executor::now().saturating_add(at.saturating_sub(realtime_now()))
}

/// `futex(2)`
pub(super) async fn sys_futex(
    cx: &mut Cx,
    uaddr: u64,
    op: i32,
    val: u32,
    timeout: u64,
    uaddr2: u64,
    val3: u32,
) -> SysResult<u64> {
    let cmd = op & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let shared = op & FUTEX_PRIVATE_FLAG == 0;
    let mut realtime = op & FUTEX_CLOCK_REALTIME != 0;
    let waits = matches!(
        cmd,
        FUTEX_WAIT | FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI
    );
    let mut deadline = None;
    if waits && timeout != 0 {
        let spec: Timespec = cx.read_obj(UserAddr(timeout))?;
        let ns = spec.to_ns().ok_or(Errno::EINVAL)?;
        // LOCK_PI has always been on the realtime clock.
        realtime |= cmd == FUTEX_LOCK_PI;
        deadline = Some(if cmd == FUTEX_WAIT {
            Executor::now().saturating_add(ns)
        } else {
            to_monotonic(cx, ns, realtime)
        });
        deadline = cx.deadline(deadline);
    }
    let allowed = matches!(
        cmd,
        FUTEX_WAIT | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI | FUTEX_LOCK_PI2
    );
    if op & FUTEX_CLOCK_REALTIME != 0 && (!allowed || cmd == FUTEX_LOCK_PI) {
        return Err(Errno::ENOSYS.into());
    }
    match cmd {
        FUTEX_WAIT => wait(cx, uaddr, shared, val, MATCH_ANY, deadline).await,
        FUTEX_WAIT_BITSET if val3 == 0 => Err(Errno::EINVAL.into()),
        FUTEX_WAIT_BITSET => wait(cx, uaddr, shared, val, val3, deadline).await,
        FUTEX_WAKE => done(futex::wake(cx, uaddr, shared, wake_count(val), MATCH_ANY)?),
        FUTEX_WAKE_BITSET if val3 == 0 => Err(Errno::EINVAL.into()),
        FUTEX_WAKE_BITSET => done(futex::wake(cx, uaddr, shared, wake_count(val), val3)?),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let (wake, requeue) = (count(val)?, count(abi::conv::low32(timeout))?);
            let expected = (cmd == FUTEX_CMP_REQUEUE).then_some(val3);
            let (woken, moved) = futex::cmp_requeue(cx, (uaddr, shared), (uaddr2, shared), expected, wake, requeue)?;
            done(woken + moved)
        }
        FUTEX_WAKE_OP => {
            let (n, n2) = (wake_count(val), wake_count(abi::conv::low32(timeout)));
            done(futex::wake_op(cx, uaddr, uaddr2, shared, n, n2, WakeOp::decode(val3)?).await?)
        }
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => futex::lock_pi(cx, uaddr, shared, deadline, false).await,
        FUTEX_TRYLOCK_PI => futex::lock_pi(cx, uaddr, shared, None, true).await,
        FUTEX_UNLOCK_PI => futex::unlock_pi(cx, uaddr, shared).await,
        FUTEX_WAIT_REQUEUE_PI => futex::wait_requeue(cx, uaddr, uaddr2, shared, val, MATCH_ANY, deadline).await,
        FUTEX_CMP_REQUEUE_PI => {
            if val != 1 {
                return Err(Errno::EINVAL.into());
            }
            let requeue = count(abi::conv::low32(timeout))?;
            done(futex::cmp_requeue_pi(cx, uaddr, uaddr2, shared, val3, requeue)?)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn done(n: usize) -> SysResult<u64> {
    Ok(abi::conv::usize64(n))
}

async fn wait(cx: &mut Cx, addr: u64, shared: bool, val: u32, bitset: u32, deadline: Option<u64>) -> SysResult<u64> {
    match futex::wait(cx, addr, shared, val, bitset, deadline).await? {
        Ok(()) => Ok(0),
        Err(Blocked::TimedOut) => Err(Errno::ETIMEDOUT.into()),
        Err(Blocked::Interrupted) if deadline.is_none() => Err(SysError::Restart(Restart::Sys)),
        Err(Blocked::Interrupted) => Err(cx.restart_with(deadline)),
    }
}

/// `struct futex_waitv`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Waitv {
    val: u64,
    uaddr: u64,
    flags: u32,
    reserved: u32,
}

const FUTEX2_SIZE_MASK: u32 = 3;
const FUTEX2_SIZE_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = 128;
const FUTEX_WAITV_MAX: u32 = 128;

/// Flags of the `futex2` calls: gives whether the futex may be shared.
fn futex2_flags(flags: u32) -> Result<bool, Errno> {
    if flags & !(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE) != 0 || flags & FUTEX2_SIZE_MASK != FUTEX2_SIZE_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & FUTEX2_PRIVATE == 0)
}

fn futex2_word(waiter: &Waitv) -> Result<WaitOn, Errno> {
    let shared = futex2_flags(waiter.flags)?;
    if waiter.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(WaitOn {
        addr: waiter.uaddr,
        val: u32::try_from(waiter.val).map_err(|_| Errno::EINVAL)?,
        shared,
    })
}

/// An absolute time-out on the clock named.
fn futex2_deadline(cx: &Cx, timeout: UserAddr, clockid: i32) -> Result<Option<u64>, Errno> {
    if timeout.is_null() {
        return Ok(None);
    }
    let realtime = match Clock::new(clockid) {
        Some(Clock::Realtime) => true,
        Some(Clock::Monotonic) => false,
        _ => return Err(Errno::EINVAL),
    };
    let spec: Timespec = cx.read_obj(timeout)?;
    Ok(Some(to_monotonic(cx, spec.to_ns().ok_or(Errno::EINVAL)?, realtime)))
}

/// `futex_waitv(2)`
pub(super) async fn sys_futex_waitv(
    cx: &mut Cx,
    waiters: UserAddr,
    nr: u32,
    flags: u32,
    timeout: UserAddr,
    clockid: i32,
) -> SysResult<u64> {
    if flags != 0 || nr == 0 || nr > FUTEX_WAITV_MAX || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = futex2_deadline(cx, timeout, clockid)?;
    let mut words = Vec::new();
    for i in 0..usize::try_from(nr).map_err(|_| Errno::EINVAL)? {
        let waiter: Waitv = cx.read_obj(waiters.add(i * size_of::<Waitv>())?)?;
        words.push(futex2_word(&waiter)?);
    }
    futex::wait_many(cx, &words, deadline).await
}

/// `futex_wake(2)`
pub(super) async fn sys_futex_wake(cx: &mut Cx, uaddr: u64, mask: u64, nr: i32, flags: u32) -> SysResult<u64> {
    let shared = futex2_flags(flags)?;
    let mask = u32::try_from(mask).ok().filter(|&m| m != 0).ok_or(Errno::EINVAL)?;
    let n = usize::try_from(nr).unwrap_or(0);
    done(futex::wake(cx, uaddr, shared, n, mask)?)
}

/// `futex_wait(2)`
pub(super) async fn sys_futex_wait(
    cx: &mut Cx,
    uaddr: u64,
    val: u64,
    mask: u64,
    flags: u32,
    timeout: UserAddr,
    clockid: i32,
) -> SysResult<u64> {
    let shared = futex2_flags(flags)?;
    let val = u32::try_from(val).map_err(|_| Errno::EINVAL)?;
    let mask = u32::try_from(mask).ok().filter(|&m| m != 0).ok_or(Errno::EINVAL)?;
    let deadline = futex2_deadline(cx, timeout, clockid)?;
    wait(cx, uaddr, shared, val, mask, deadline).await
}

/// `futex_requeue(2)`
pub(super) async fn sys_futex_requeue(
    cx: &mut Cx,
    waiters: UserAddr,
    flags: u32,
    nr_wake: i32,
    nr_requeue: i32,
) -> SysResult<u64> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let from = futex2_word(&cx.read_obj(waiters)?)?;
    let to = futex2_word(&cx.read_obj(waiters.add(size_of::<Waitv>())?)?)?;
    let wake = usize::try_from(nr_wake).map_err(|_| Errno::EINVAL)?;
    let requeue = usize::try_from(nr_requeue).map_err(|_| Errno::EINVAL)?;
    let (from_at, to_at) = ((from.addr, from.shared), (to.addr, to.shared));
    let (woken, moved) = futex::cmp_requeue(cx, from_at, to_at, Some(from.val), wake, requeue)?;
    done(woken + moved)
}
