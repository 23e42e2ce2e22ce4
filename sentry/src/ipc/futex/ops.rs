//! Waiting, waking, requeueing.

use std::sync::Arc;

use abi::errno::Result;
use abi::{Errno, Restart, SysError, SysResult};

use super::table::{Waiter, requeue_in, wake_in};
use super::{FutexKey, MATCH_ANY, pi};
use crate::kernel::Kernel;
use crate::task::Cx;
use crate::wait::{Blocked, Blocker, Deadline};

/// Reads the word now, whatever travelled with the call: the waker's store must be seen.
pub(super) fn load(cx: &Cx, addr: u64) -> Result<u32> {
    let mut word = [0u8; 4];
    if addr >= cx.task.kernel.platform.guest_end() || cx.mm().aspace().read(addr, &mut word) != 4 {
        return Err(Errno::EFAULT);
    }
    Ok(u32::from_le_bytes(word))
}

/// The futex of an address. `EINVAL` unless aligned.
pub(super) fn key(cx: &Cx, addr: u64, shared: bool) -> Result<FutexKey> {
    if !addr.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if addr >= cx.task.kernel.platform.guest_end() {
        return Err(Errno::EFAULT);
    }
    cx.mm().futex_key(addr, shared)
}

/// One word to wait on.
#[derive(Clone, Copy, Debug)]
pub struct WaitOn {
    /// Address of the word.
    pub addr: u64,
    /// Expected there.
    pub val: u32,
    /// May be shared between address spaces.
    pub shared: bool,
}

/// Queues a waiter if the word is as expected: `EAGAIN` if not.
fn enqueue(cx: &Cx, on: WaitOn, bitset: u32, blocker: &Blocker, requeue_to: Option<FutexKey>) -> Result<Arc<Waiter>> {
    let key = key(cx, on.addr, on.shared)?;
    let mut waiter = Waiter::new(key, bitset, cx.task.pid.own(), blocker.fired(), blocker.waker());
    waiter.requeue_to = requeue_to;
    let waiter = Arc::new(waiter);
    let mut bucket = cx.task.kernel.ipc.futexes.bucket(&key).ok_or(Errno::EFAULT)?;
    if load(cx, on.addr)? != on.val {
        return Err(Errno::EAGAIN);
    }
    bucket.push(waiter.clone());
    Ok(waiter)
}

/// `FUTEX_WAIT`, `FUTEX_WAIT_BITSET`. An interruption is for the caller to turn into a restart.
pub async fn wait(
    cx: &mut Cx,
    addr: u64,
    shared: bool,
    val: u32,
    bitset: u32,
    deadline: Deadline,
) -> Result<std::result::Result<(), Blocked>> {
    let mut blocker = Blocker::new(&cx.task, deadline);
    let on = WaitOn { addr, val, shared };
    let waiter = enqueue(cx, on, bitset, &blocker, None)?;
    loop {
        match blocker.sleep().await {
            Ok(()) if waiter.is_woken() => return Ok(Ok(())),
            Ok(()) => {}
            Err(why) => {
                // A waker that came first has spent a wake-up on us: then the wait succeeded.
                let ours = cx.task.kernel.ipc.futexes.cancel(&waiter);
                return Ok(if ours { Err(why) } else { Ok(()) });
            }
        }
    }
}

/// `futex_waitv(2)`: gives the index of a woken one.
pub async fn wait_many(cx: &mut Cx, words: &[WaitOn], deadline: Deadline) -> SysResult<u64> {
    let mut blocker = Blocker::new(&cx.task, deadline);
    let mut waiters: Vec<Arc<Waiter>> = Vec::with_capacity(words.len());
    let mut failed = None;
    for &on in words {
        match enqueue(cx, on, MATCH_ANY, &blocker, None) {
            Ok(waiter) => waiters.push(waiter),
            Err(e) => {
                failed = Some(e);
                break;
            }
        }
    }
    let mut ended: Option<SysError> = failed.map(SysError::from);
    while ended.is_none() && !waiters.iter().any(|w| w.is_woken()) {
        ended = match blocker.sleep().await {
            Ok(()) => None,
            Err(Blocked::TimedOut) => Some(Errno::ETIMEDOUT.into()),
            Err(Blocked::Interrupted) => Some(SysError::Restart(Restart::Sys)),
        };
    }
    let mut woken = None;
    for (i, waiter) in waiters.iter().enumerate() {
        if !cx.task.kernel.ipc.futexes.cancel(waiter) {
            woken = Some(abi::conv::usize64(i));
        }
    }
    match (woken, ended) {
        (Some(i), _) => Ok(i),
        (None, Some(e)) => Err(e),
        (None, None) => Err(Errno::EAGAIN.into()),
    }
}

/// `FUTEX_WAKE`, `FUTEX_WAKE_BITSET`.
pub fn wake(cx: &Cx, addr: u64, shared: bool, n: usize, bitset: u32) -> Result<usize> {
    let key = key(cx, addr, shared)?;
    wake_key(&cx.task.kernel, &key, n, bitset)
}

fn wake_key(kernel: &Kernel, key: &FutexKey, n: usize, bitset: u32) -> Result<usize> {
    let done = kernel.ipc.futexes.wake(key, n, bitset);
    if done == 0 && kernel.ipc.futexes.has_pi(key) {
        return Err(Errno::EINVAL);
    }
    Ok(done)
}

/// `FUTEX_REQUEUE` (no value), `FUTEX_CMP_REQUEUE`. Gives (woken, requeued).
pub fn cmp_requeue(
    cx: &Cx,
    from: (u64, bool),
    to: (u64, bool),
    expected: Option<u32>,
    wake: usize,
    requeue: usize,
) -> Result<(usize, usize)> {
    let from_key = key(cx, from.0, from.1)?;
    let to_key = key(cx, to.0, to.1)?;
    let mut pair = cx
        .task
        .kernel
        .ipc
        .futexes
        .pair(&from_key, &to_key)
        .ok_or(Errno::EFAULT)?;
    if let Some(expected) = expected
        && load(cx, from.0)? != expected
    {
        return Err(Errno::EAGAIN);
    }
    let woken = wake_in(pair.from(), &from_key, wake, MATCH_ANY);
    let moved = requeue_in(&mut pair, &from_key, &to_key, requeue);
    Ok((woken, moved))
}

/// The operation of `FUTEX_WAKE_OP`, decoded.
#[derive(Clone, Copy, Debug)]
pub struct WakeOp {
    op: u32,
    cmp: u32,
    oparg: u32,
    cmparg: u32,
}

impl WakeOp {
    /// From `val3`. `ENOSYS` for an operation or comparison that does not exist.
    pub fn decode(raw: u32) -> Result<WakeOp> {
        let sign_extend = |v: u32| (v << 20).cast_signed() >> 20;
        let mut oparg = sign_extend((raw >> 12) & 0xfff).cast_unsigned();
        let op = (raw >> 28) & 7;
        let cmp = (raw >> 24) & 15;
        if raw >> 31 != 0 {
            // FUTEX_OP_OPARG_SHIFT
            oparg = 1u32 << (oparg & 31);
        }
        if op > 4 || cmp > 5 {
            return Err(Errno::ENOSYS);
        }
        Ok(WakeOp {
            op,
            cmp,
            oparg,
            cmparg: sign_extend(raw & 0xfff).cast_unsigned(),
        })
    }

    fn apply(&self, old: u32) -> u32 {
        match self.op {
            0 => self.oparg,
            1 => old.wrapping_add(self.oparg),
            2 => old | self.oparg,
            3 => old & !self.oparg,
            _ => old ^ self.oparg,
        }
    }

    fn holds(&self, old: u32) -> bool {
        let (a, b) = (old.cast_signed(), self.cmparg.cast_signed());
        match self.cmp {
            0 => a == b,
            1 => a != b,
            2 => a < b,
            3 => a <= b,
            4 => a > b,
            _ => a >= b,
        }
    }
}

/// `FUTEX_WAKE_OP`
pub async fn wake_op(cx: &mut Cx, a: u64, b: u64, shared: bool, n: usize, n2: usize, op: WakeOp) -> Result<usize> {
    let key_a = key(cx, a, shared)?;
    let key_b = key(cx, b, shared)?;
    let mut old = load(cx, b)?;
    loop {
        let seen = cx.ctx.cmpxchg(b, old, op.apply(old)).await?;
        if seen == old {
            break;
        }
        old = seen;
    }
    let kernel = &cx.task.kernel;
    let mut done = wake_key(kernel, &key_a, n, MATCH_ANY)?;
    if op.holds(old) {
        done += wake_key(kernel, &key_b, n2, MATCH_ANY)?;
    }
    Ok(done)
}

/// `FUTEX_WAIT_REQUEUE_PI`: waits on `addr`, and once chosen by `FUTEX_CMP_REQUEUE_PI` takes the lock at `lock`.
pub async fn wait_requeue(
    cx: &mut Cx,
    addr: u64,
    lock: u64,
    shared: bool,
    val: u32,
    bitset: u32,
    deadline: Deadline,
) -> SysResult<u64> {
    if addr == lock {
        return Err(Errno::EINVAL.into());
    }
    let lock_key = key(cx, lock, shared)?;
    let mut blocker = Blocker::new(&cx.task, deadline);
    let on = WaitOn { addr, val, shared };
    let waiter = enqueue(cx, on, bitset, &blocker, Some(lock_key))?;
    while !waiter.is_woken() {
        if let Err(why) = blocker.sleep().await
            && cx.task.kernel.ipc.futexes.cancel(&waiter)
        {
            return Err(match why {
                Blocked::TimedOut => Errno::ETIMEDOUT.into(),
                Blocked::Interrupted => SysError::Restart(Restart::NoIntr),
            });
        }
    }
    drop(blocker);
    pi::lock_pi(cx, lock, shared, deadline, false).await
}

/// `FUTEX_CMP_REQUEUE_PI`: lets up to `1 + requeue` waiters go on to the lock; gives how many.
pub fn cmp_requeue_pi(cx: &Cx, from: u64, to: u64, shared: bool, expected: u32, requeue: usize) -> Result<usize> {
    if from == to {
        return Err(Errno::EINVAL);
    }
    let from_key = key(cx, from, shared)?;
    let to_key = key(cx, to, shared)?;
    let mut bucket = cx.task.kernel.ipc.futexes.bucket(&from_key).ok_or(Errno::EFAULT)?;
    if load(cx, from)? != expected {
        return Err(Errno::EAGAIN);
    }
    if bucket.has(&from_key, |w| w.requeue_to != Some(to_key)) {
        return Err(Errno::EINVAL);
    }
    let mut done = 0;
    while done <= requeue {
        let Some(waiter) = bucket.take(&from_key, |_| true) else {
            break;
        };
        waiter.finish();
        done += 1;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::WakeOp;
    use abi::Errno;

    #[test]
    fn wake_op_decodes_as_the_man_page_says() {
        // FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_GT, 1)
        let raw = (1 << 28) | (4 << 24) | (1 << 12) | 1;
        let op = WakeOp::decode(raw).expect("valid");
        assert_eq!(op.apply(5), 6);
        assert!(op.holds(2));
        assert!(!op.holds(1));
        // Arguments are signed 12-bit numbers.
        let minus = WakeOp::decode((1 << 28) | (0xfff << 12)).expect("valid");
        assert_eq!(minus.apply(5), 4);
        // FUTEX_OP_OPARG_SHIFT
        let shift = WakeOp::decode((1 << 31) | (2 << 28) | (4 << 12)).expect("valid");
        assert_eq!(shift.apply(1), 17);
        assert_eq!(WakeOp::decode(5 << 28).err(), Some(Errno::ENOSYS));
        assert_eq!(WakeOp::decode(6 << 24).err(), Some(Errno::ENOSYS));
    }
}
