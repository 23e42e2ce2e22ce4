//! Linux AIO (`io_setup(2)`).

use std::sync::Arc;

use abi::conv::usize64;
use abi::time::Timespec;
use abi::{Errno, SysError, SysResult};
use platform::Prot;
use zerocopy::{FromBytes, IntoBytes};

use super::poll::{begin_sigmask, end_sigmask};
use super::rw::{self, How};
use crate::executor::Executor;
use crate::fs::aio::{AioContext, Request};
use crate::fs::{File, FileMode};
use crate::ipc::eventfd::EventFd;
use crate::mm::{MapRequest, Placement, VmaFlags};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Deadline, Events};

/// `struct iocb`
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    reqprio: i16,
    fildes: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved2: u64,
    flags: u32,
    resfd: u32,
}

/// `IOCB_CMD_*`
mod cmd {
    pub(super) const PREAD: u16 = 0;
    pub(super) const PWRITE: u16 = 1;
    pub(super) const FSYNC: u16 = 2;
    pub(super) const FDSYNC: u16 = 3;
    pub(super) const POLL: u16 = 5;
    pub(super) const PREADV: u16 = 7;
    pub(super) const PWRITEV: u16 = 8;
}

/// Bytes of a context's page. Programs peek there for completions and find none: they then ask.
const RING: u64 = 4096;

fn context(cx: &Cx, id: u64) -> SysResult<Arc<AioContext>> {
    let found = cx.mm.aio.lock().get(&id).cloned();
    Ok(found.ok_or(Errno::EINVAL)?)
}

/// `io_setup(2)`
pub(super) async fn sys_io_setup(cx: &mut Cx, nr_events: u32, ctxp: UserAddr) -> SysResult<u64> {
    const EVENT: u32 = 32;
    let old: u64 = cx.read_obj(ctxp)?;
    if old != 0 || nr_events == 0 || nr_events > 0x1000_0000 / EVENT {
        return Err(Errno::EINVAL.into());
    }
    let vfs = &cx.task.kernel.vfs;
    let limit = cx.task.kernel.tunables.aio_max_nr.count();
    let aio = AioContext::new(
        usize::try_from(nr_events).map_err(|_| Errno::EINVAL)?,
        &vfs.aio_nr,
        limit,
    )?;
    let request = MapRequest {
        place: Placement::Hint(0),
        len: RING,
        prot: Prot::READ | Prot::WRITE,
        flags: VmaFlags::empty(),
        object: None,
        populate: false,
    };
    let (mm, limits) = (cx.mm.clone(), cx.task.group.rlimits());
    let id = mm.map(&mut *cx.ctx, &request, &limits)?;
    if let Err(e) = cx.write_obj(ctxp, &id) {
        mm.unmap(&mut *cx.ctx, id, RING)?;
        return Err(e.into());
    }
    mm.aio.lock().insert(id, aio);
    Ok(0)
}

/// `io_destroy(2)`
pub(super) async fn sys_io_destroy(cx: &mut Cx, ctx: u64) -> SysResult<u64> {
    let mm = cx.mm.clone();
    let aio = mm.aio.lock().remove(&ctx).ok_or(Errno::EINVAL)?;
    aio.destroy();
    mm.unmap(&mut *cx.ctx, ctx, RING)?;
    Ok(0)
}

/// `io_submit(2)`: gives how many were accepted, or the error of the first.
pub(super) async fn sys_io_submit(cx: &mut Cx, ctx: u64, nr: i64, iocbpp: UserAddr) -> SysResult<u64> {
    let nr = usize::try_from(nr).map_err(|_| Errno::EINVAL)?;
    let aio = context(cx, ctx)?;
    let mut done = 0;
    while done < nr.min(aio.max) {
        let result = match cx.read_obj::<u64>(iocbpp.add(done.saturating_mul(8))?) {
            Ok(at) => submit(cx, &aio, UserAddr(at)).await,
            Err(e) => Err(e.into()),
        };
        match result {
            Ok(()) => done += 1,
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(usize64(done))
}

async fn submit(cx: &mut Cx, aio: &Arc<AioContext>, at: UserAddr) -> SysResult<()> {
    let iocb: Iocb = cx.read_obj(at)?;
    if iocb.reserved2 != 0 || i64::try_from(iocb.nbytes).is_err() {
        return Err(Errno::EINVAL.into());
    }
    aio.reserve()?;
    let result = start(cx, aio, at, &iocb).await;
    if result.is_err() {
        aio.unreserve();
    }
    result
}

async fn start(cx: &mut Cx, aio: &Arc<AioContext>, at: UserAddr, iocb: &Iocb) -> SysResult<()> {
    const FLAG_RESFD: u32 = 1;
    const FLAG_IOPRIO: u32 = 2;
    const KEY_OFFSET: usize = 8;
    let file = cx.task.files().get(iocb.fildes.cast_signed())?;
    let resfd = match iocb.flags & FLAG_RESFD {
        0 => None,
        _ => {
            let resfd = cx.task.files().get(iocb.resfd.cast_signed())?;
            resfd.downcast::<EventFd>().ok_or(Errno::EINVAL)?;
            Some(resfd)
        }
    };
    // `KIOCB_KEY`
    cx.write_obj(at.add(KEY_OFFSET)?, &0u32)?;
    if iocb.flags & FLAG_IOPRIO != 0 {
        super::limits::check_ioprio(cx, i32::from(iocb.reqprio))?;
    }
    let request = Request {
        data: iocb.data,
        obj: at.0,
        resfd,
    };
    match iocb.opcode {
        cmd::PREAD | cmd::PREADV => transfer(cx, aio, request, &file, iocb, false).await,
        cmd::PWRITE | cmd::PWRITEV => transfer(cx, aio, request, &file, iocb, true).await,
        cmd::FSYNC | cmd::FDSYNC => {
            if iocb.buf != 0 || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            let result = file.ops.fsync(&file, iocb.opcode == cmd::FDSYNC);
            // A file that knows no `fsync` refuses the request itself.
            if result == Err(Errno::EINVAL) {
                return Err(Errno::EINVAL.into());
            }
            aio.complete(&request, outcome(result.map(|()| 0).map_err(Into::into)));
            Ok(())
        }
        cmd::POLL => {
            let mask = u32::from(abi::conv::low16(iocb.buf));
            if u64::from(mask) != iocb.buf || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            let executor = cx.task.kernel.executor.clone();
            aio.poll(&executor, request, &file, Events::from_bits_truncate(mask))?;
            Ok(())
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

async fn transfer(
    cx: &mut Cx,
    aio: &Arc<AioContext>,
    request: Request,
    file: &Arc<File>,
    iocb: &Iocb,
    write: bool,
) -> SysResult<()> {
    let needed = if write { FileMode::WRITE } else { FileMode::READ };
    if !file.mode.contains(needed) {
        return Err(Errno::EBADF.into());
    }
    if file.inode().is_dir() {
        return Err(Errno::EINVAL.into());
    }
    let at = u64::try_from(iocb.offset).map_err(|_| Errno::EINVAL)?;
    let how = How::at(at).with_flags(iocb.rw_flags)?;
    let iov = match iocb.opcode {
        cmd::PREADV | cmd::PWRITEV => {
            let count = i32::try_from(iocb.nbytes).map_err(|_| Errno::EINVAL)?;
            cx.read_iovecs(UserAddr(iocb.buf), count)?
        }
        _ => {
            let len = usize::try_from(iocb.nbytes).map_err(|_| Errno::EINVAL)?;
            rw::buffer(cx, UserAddr(iocb.buf), len)?.into_iter().collect()
        }
    };
    let result = match write {
        true => rw::write_from(cx, file, &iov, how).await,
        false => rw::read_into(cx, file, &iov, how).await,
    };
    aio.complete(&request, outcome(result));
    Ok(())
}

/// What an event says.
fn outcome(result: SysResult<u64>) -> i64 {
    match result {
        Ok(n) => n.cast_signed(),
        Err(SysError::Errno(e)) => e.as_return().cast_signed(),
        // A request is not taken up again.
        Err(SysError::Restart(_)) => Errno::EINTR.as_return().cast_signed(),
    }
}

/// `io_cancel(2)`
pub(super) fn sys_io_cancel(cx: &mut Cx, ctx: u64, iocb: UserAddr, result: UserAddr) -> SysResult<u64> {
    let _ = result;
    let request: Iocb = cx.read_obj(iocb)?;
    if request.key != 0 {
        return Err(Errno::EINVAL.into());
    }
    context(cx, ctx)?.cancel(iocb.0)?;
    // Its event comes all the same.
    Err(Errno::EINPROGRESS.into())
}

fn deadline_of(cx: &Cx, timeout: UserAddr) -> SysResult<Deadline> {
    let Some(timeout) = timeout.nonnull() else {
        return Ok(None);
    };
    let spec: Timespec = cx.read_obj(timeout)?;
    let ns = spec.to_ns().ok_or(Errno::EINVAL)?;
    Ok(Some(Executor::now().saturating_add(ns)))
}

/// `io_getevents(2)`
pub(super) async fn sys_io_getevents(
    cx: &mut Cx,
    ctx: u64,
    min_nr: i64,
    nr: i64,
    events: UserAddr,
    timeout: UserAddr,
) -> SysResult<u64> {
    let deadline = deadline_of(cx, timeout)?;
    get_events(cx, ctx, (min_nr, nr), events, deadline).await
}

/// `io_pgetevents(2)`
pub(super) async fn sys_io_pgetevents(
    cx: &mut Cx,
    ctx: u64,
    min_nr: i64,
    nr: i64,
    events: UserAddr,
    timeout: UserAddr,
    sig: UserAddr,
) -> SysResult<u64> {
    let deadline = deadline_of(cx, timeout)?;
    let (mask, size) = match sig.nonnull() {
        Some(sig) => {
            let [mask, size]: [u64; 2] = cx.read_obj(sig)?;
            (UserAddr(mask), abi::conv::size(size))
        }
        None => (UserAddr::NULL, 0),
    };
    begin_sigmask(cx, mask, size)?;
    let result = get_events(cx, ctx, (min_nr, nr), events, deadline).await;
    end_sigmask(cx, result)
}

async fn get_events(
    cx: &mut Cx,
    ctx: u64,
    (min_nr, nr): (i64, i64),
    at: UserAddr,
    deadline: Deadline,
) -> SysResult<u64> {
    const EVENT: usize = 32;
    let aio = context(cx, ctx)?;
    if min_nr > nr || min_nr < 0 {
        return Err(Errno::EINVAL.into());
    }
    let (min, max) = (
        abi::conv::size(min_nr.unsigned_abs()),
        abi::conv::size(nr.unsigned_abs()),
    );
    let mut done = 0;
    let mut blocker = Blocker::new(&cx.task, deadline);
    loop {
        let got = aio.take(max - done)?;
        cx.write_bytes(at.add(done.saturating_mul(EVENT))?, got.as_bytes())?;
        done += got.len();
        if done >= min {
            return Ok(usize64(done));
        }
        match blocker.wait_on(aio.queue(), Events::READ).await {
            Ok(()) => {}
            Err(Blocked::TimedOut) => return Ok(usize64(done)),
            Err(Blocked::Interrupted) if done > 0 => return Ok(usize64(done)),
            Err(Blocked::Interrupted) => return Err(Errno::EINTR.into()),
        }
    }
}
