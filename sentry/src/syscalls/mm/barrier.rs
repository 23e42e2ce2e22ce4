//! `membarrier(2)`

use std::sync::atomic::Ordering;

use abi::{Errno, SysResult};

use crate::task::Cx;

/// `membarrier(2)`: one barrier of the platform's reaches every guest thread, so that the narrower commands are the same.
pub(in crate::syscalls) fn sys_membarrier(cx: &mut Cx, cmd: i32, flags: u32, cpu_id: i32) -> SysResult<u64> {
    const QUERY: i32 = 0;
    const GLOBAL: i32 = 1;
    const GLOBAL_EXPEDITED: i32 = 2;
    const REGISTER_GLOBAL_EXPEDITED: i32 = 4;
    const PRIVATE_EXPEDITED: i32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 16;
    const GET_REGISTRATIONS: i32 = 512;
    const OFFERED: i32 = GLOBAL
        | GLOBAL_EXPEDITED
        | REGISTER_GLOBAL_EXPEDITED
        | PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED
        | GET_REGISTRATIONS;
    let _ = cpu_id;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let platform = &cx.task.kernel.platform;
    let barrier = || match platform.barrier() {
        true => Ok(0),
        false => Err(Errno::EINVAL.into()),
    };
    match cmd {
        QUERY if platform.barrier() => Ok(u64::from(OFFERED.unsigned_abs())),
        QUERY => Ok(0),
        GLOBAL | GLOBAL_EXPEDITED => barrier(),
        PRIVATE_EXPEDITED
            if cx.mm.barriers.load(Ordering::Relaxed) & REGISTER_PRIVATE_EXPEDITED.unsigned_abs() == 0 =>
        {
            Err(Errno::EPERM.into())
        }
        PRIVATE_EXPEDITED => barrier(),
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => {
            barrier()?;
            cx.mm.barriers.fetch_or(cmd.unsigned_abs(), Ordering::Relaxed);
            Ok(0)
        }
        GET_REGISTRATIONS => Ok(u64::from(cx.mm.barriers.load(Ordering::Relaxed))),
        _ => {
            let value = u64::from(cmd.cast_unsigned());
            let counters = &cx.task.kernel.counters;
            Err(counters.missing("membarrier", value, Errno::EINVAL).into())
        }
    }
}
