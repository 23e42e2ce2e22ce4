//! Sockets (`socket(2)`).

mod message;
mod option;

use std::sync::Arc;

use abi::socket::{sock, sol};
use abi::{Errno, SysResult};

use crate::executor::Executor;
use crate::fs::{File, FileMode, OpenFlags, Path};
use crate::net::{self, AddrBuf, Shut, Socket, SocketFile, addr};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Blocked, Blocker, Deadline, Events};

pub(super) use message::{sys_recvfrom, sys_recvmmsg, sys_recvmsg, sys_sendmmsg, sys_sendmsg, sys_sendto};
pub(super) use option::{sys_getsockopt, sys_setsockopt};

/// The file and socket of an fd: `EBADF`, `ENOTSOCK`.
fn lookup(cx: &Cx, fd: i32) -> SysResult<(Arc<File>, Arc<dyn Socket>)> {
    let file = cx.task.files().get(fd)?;
    let socket = SocketFile::of(&file)?.clone();
    Ok((file, socket))
}

/// A time limit from now; 0 is none.
fn deadline(timeout_ns: u64) -> Deadline {
    (timeout_ns != 0).then(|| Executor::now().saturating_add(timeout_ns))
}

/// Why a wait on a socket ended, as an error: a time limit makes a call one that is not restarted (`signal(7)`).
fn blocked(why: Blocked, limit: Deadline, late: Errno) -> abi::SysError {
    match (why, limit) {
        (Blocked::Interrupted, Some(_)) => Errno::EINTR.into(),
        _ => why.or_restart(late),
    }
}

/// The open file of a new socket.
fn new_file(cx: &Cx, socket: Arc<dyn Socket>, flags: i32) -> Arc<File> {
    let path = Path::new_socket(&cx.task.kernel, socket.base().ino, &cx.task.cred());
    let mut open = OpenFlags::RDWR;
    open.set(OpenFlags::NONBLOCK, flags & sock::NONBLOCK != 0);
    let ops = Arc::new(SocketFile { socket });
    File::new(ops, path, FileMode::READ | FileMode::WRITE, open)
}

/// Copies an address in: `EINVAL` for a length out of range, `EFAULT`.
fn read_addr(cx: &Cx, at: UserAddr, len: u32) -> SysResult<AddrBuf> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > addr::MAX_ADDR {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = AddrBuf::from_elem(0, len);
    cx.read_bytes(at, &mut bytes)?;
    Ok(bytes)
}

/// Copies an address out, cut to the caller's room, and its full length (`move_addr_to_user`).
fn write_addr(cx: &mut Cx, bytes: &[u8], at: UserAddr, len_at: UserAddr) -> SysResult<()> {
    let room: i32 = cx.read_obj(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    cx.write_bytes(at, bytes.get(..room.min(bytes.len())).unwrap_or_default())?;
    cx.write_obj(len_at, &i32::try_from(bytes.len()).unwrap_or(0))?;
    Ok(())
}

/// Splits `type` of `socket(2)` into type and flags.
fn split_type(kind: i32) -> SysResult<(i32, i32)> {
    let flags = kind & !sock::TYPE_MASK;
    if flags & !(sock::NONBLOCK | sock::CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok((kind & sock::TYPE_MASK, flags))
}

/// `socket(2)`
pub(super) fn sys_socket(cx: &mut Cx, domain: i32, kind: i32, protocol: i32) -> SysResult<u64> {
    let (kind, flags) = split_type(kind)?;
    let socket = net::create(cx, domain, kind, protocol)?;
    let file = new_file(cx, socket, flags);
    let limit = cx.task.fd_limit();
    let fd = cx.task.files().add(file, flags & sock::CLOEXEC != 0, limit)?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// `socketpair(2)`
pub(super) fn sys_socketpair(cx: &mut Cx, domain: i32, kind: i32, protocol: i32, sv: UserAddr) -> SysResult<u64> {
    let (kind, flags) = split_type(kind)?;
    let files = cx.task.files();
    // Linux makes the numbers known first: a full table and a bad address come before the family's errors.
    let reserved = files.reserve(2, cx.task.fd_limit())?;
    let mut numbers = [0i32; 2];
    for (to, from) in numbers.iter_mut().zip(reserved.numbers()) {
        *to = *from;
    }
    cx.write_obj(sv, &numbers)?;
    if domain != i32::from(abi::socket::af::UNIX) {
        drop(net::create(cx, domain, kind, protocol)?);
        return Err(Errno::EOPNOTSUPP.into());
    }
    let ns = net::namespace_of(&cx.task);
    let (one, two) = net::unix::pair(&cx.task, &ns, kind, protocol)?;
    let pair = [new_file(cx, one, flags), new_file(cx, two, flags)];
    reserved.commit(pair, flags & sock::CLOEXEC != 0);
    Ok(0)
}

/// `bind(2)`
pub(super) fn sys_bind(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: u32) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    let bytes = read_addr(cx, addr, addrlen)?;
    socket.bind(cx, &bytes)?;
    Ok(0)
}

/// `listen(2)`
pub(super) fn sys_listen(cx: &mut Cx, fd: i32, backlog: i32) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    // Negative counts as very large.
    let most = i32::try_from(cx.task.kernel.tunables.somaxconn.get()).unwrap_or(i32::MAX);
    let backlog = if backlog < 0 { most } else { backlog.min(most) };
    socket.listen(backlog)?;
    Ok(0)
}

/// `accept(2)`
pub(super) async fn sys_accept(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<u64> {
    sys_accept4(cx, fd, addr, addrlen, 0).await
}

/// `accept4(2)`
pub(super) async fn sys_accept4(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr, flags: i32) -> SysResult<u64> {
    if flags & !(sock::NONBLOCK | sock::CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (file, socket) = lookup(cx, fd)?;
    let files = cx.task.files();
    let reserved = files.reserve(1, cx.task.fd_limit())?;
    let number = reserved.numbers().first().copied().ok_or(Errno::EMFILE)?;
    let accepted = wait_accept(cx, &file, &socket).await?;
    let peer = accepted.accepted_from();
    // From here on the end of `new` releases the connection.
    let new = new_file(cx, accepted, flags);
    if !addr.is_null() {
        let name = peer.map_err(|_| Errno::ECONNABORTED)?;
        write_addr(cx, &name, addr, addrlen)?;
    }
    reserved.commit([new], flags & sock::CLOEXEC != 0);
    Ok(u64::from(number.cast_unsigned()))
}

async fn wait_accept(cx: &mut Cx, file: &File, socket: &Arc<dyn Socket>) -> SysResult<Arc<dyn Socket>> {
    let first = socket.accept();
    if !matches!(first, Err(Errno::EAGAIN)) || file.nonblock() {
        return Ok(first?);
    }
    let base = socket.base();
    let limit = deadline(base.rcvtimeo.load(std::sync::atomic::Ordering::Relaxed));
    let mut blocker = Blocker::new(&cx.task, limit).exclusive();
    loop {
        match socket.accept() {
            Err(Errno::EAGAIN) => blocker
                .wait_on(&base.queue, Events::READ)
                .await
                .map_err(|why| blocked(why, limit, Errno::EAGAIN))?,
            done => return Ok(done?),
        }
    }
}

/// `connect(2)`
pub(super) async fn sys_connect(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: u32) -> SysResult<u64> {
    let (file, socket) = lookup(cx, fd)?;
    let bytes = read_addr(cx, addr, addrlen)?;
    let mut result = socket.connect(cx, &bytes);
    if file.nonblock() || !matches!(result, Err(Errno::EAGAIN | Errno::EINPROGRESS | Errno::EALREADY)) {
        result?;
        return Ok(0);
    }
    let base = socket.base().clone();
    let limit = deadline(base.sndtimeo.load(std::sync::atomic::Ordering::Relaxed));
    let mut blocker = Blocker::new(&cx.task, limit);
    loop {
        let late = match result {
            Err(Errno::EAGAIN) => {
                result = socket.connect(cx, &bytes);
                Errno::EAGAIN
            }
            Err(Errno::EINPROGRESS | Errno::EALREADY) => {
                result = socket.connect_result();
                Errno::EINPROGRESS
            }
            done => {
                done?;
                return Ok(0);
            }
        };
        if matches!(result, Err(Errno::EAGAIN | Errno::EINPROGRESS)) {
            blocker
                .wait_on(&base.queue, Events::WRITE)
                .await
                .map_err(|why| blocked(why, limit, late))?;
        }
    }
}

/// `getsockname(2)`
pub(super) fn sys_getsockname(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    let name = socket.getsockname()?;
    write_addr(cx, &name, addr, addrlen)?;
    Ok(0)
}

/// `getpeername(2)`
pub(super) fn sys_getpeername(cx: &mut Cx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    let name = socket.getpeername()?;
    write_addr(cx, &name, addr, addrlen)?;
    Ok(0)
}

/// `shutdown(2)`
pub(super) fn sys_shutdown(cx: &mut Cx, fd: i32, how: i32) -> SysResult<u64> {
    let (_, socket) = lookup(cx, fd)?;
    if !(0..=2).contains(&how) {
        return Err(Errno::EINVAL.into());
    }
    socket.shutdown(Shut {
        read: how != 1,
        write: how != 0,
    })?;
    Ok(0)
}

/// True for the level whose options every socket has.
fn is_common(level: i32) -> bool {
    level == sol::SOCKET
}
