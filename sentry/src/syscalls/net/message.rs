//! Sending and receiving messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::socket::{CmsgHdr, MMSGHDR_SIZE, MsgFlags, MsgHdr, scm, sol};
use abi::{Errno, SysError, SysResult};
use zerocopy::IntoBytes;

use super::{blocked, deadline, lookup, read_addr, write_addr};
use crate::executor::Executor;
use crate::fs::File;
use crate::fs::io::{IoVecs, MAX_RW_COUNT, UserBuf};
use crate::net::{Control, Dest, RecvMsg, SendMsg, Socket, addr, control};
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events};

/// Most messages of one `sendmmsg(2)` or `recvmmsg(2)`.
const MAX_MESSAGES: u32 = 1024;

/// One guest range, checked as `import_ubuf` does.
fn one_range(buf: UserAddr, len: usize) -> SysResult<IoVecs> {
    let len = len.min(usize::try_from(MAX_RW_COUNT).unwrap_or(usize::MAX));
    buf.add(len)?;
    let mut iov = IoVecs::new();
    if len > 0 {
        iov.push((buf, len));
    }
    Ok(iov)
}

/// Takes `n` bytes off the front.
fn advance(iov: &mut IoVecs, mut n: usize) {
    for (base, len) in iov.iter_mut() {
        let step = n.min(*len);
        *base = UserAddr(base.0.saturating_add(abi::conv::usize64(step)));
        *len -= step;
        n -= step;
    }
    iov.retain(|(_, len)| *len > 0);
}

/// Flags as the socket shall see them.
fn effective(file: &File, flags: i32) -> MsgFlags {
    let mut flags = MsgFlags::from_bits_truncate(flags.cast_unsigned());
    flags.set(
        MsgFlags::DONTWAIT,
        flags.contains(MsgFlags::DONTWAIT) || file.nonblock(),
    );
    flags
}

/// Sends all of a message, waiting for room where the caller would; the bytes sent if some were.
async fn send_all(cx: &mut Cx, socket: &Arc<dyn Socket>, mut iov: IoVecs, msg: &mut SendMsg) -> SysResult<u64> {
    let total: usize = iov.iter().map(|v| v.1).sum();
    let stream = socket.is_stream();
    let limit_ns = socket.base().sndtimeo.load(Ordering::Relaxed);
    let mut limit = None;
    let mut blocker: Option<Blocker> = None;
    let mut sent = 0usize;
    let error = loop {
        let result = socket.send(&mut UserBuf::new(cx, &iov), msg);
        match result {
            Ok(n) => {
                sent += n;
                if sent >= total || !stream {
                    return Ok(abi::conv::usize64(sent));
                }
                advance(&mut iov, n);
            }
            Err(Errno::EAGAIN) if msg.flags.contains(MsgFlags::DONTWAIT) => {
                break Errno::EAGAIN.into();
            }
            Err(Errno::EAGAIN) => {
                if blocker.is_none() {
                    limit = deadline(limit_ns);
                }
                let blocker = blocker.get_or_insert_with(|| Blocker::new(&cx.task, limit));
                if let Err(why) = blocker.wait_on(&socket.base().queue, Events::WRITE).await {
                    break blocked(why, limit, Errno::EAGAIN);
                }
            }
            Err(e) => break e.into(),
        }
        // A partial send of a socket that does not block ends the call.
        if sent > 0 && msg.flags.contains(MsgFlags::DONTWAIT) {
            break Errno::EAGAIN.into();
        }
    };
    if sent > 0 {
        return Ok(abi::conv::usize64(sent));
    }
    if error == SysError::Errno(Errno::EPIPE) && stream && !msg.flags.contains(MsgFlags::NOSIGNAL) {
        crate::net::sigpipe(&cx.task);
    }
    Err(error)
}

/// Receives into the ranges, waiting where the caller would.
async fn recv_all(cx: &mut Cx, socket: &Arc<dyn Socket>, mut iov: IoVecs, msg: &mut RecvMsg) -> SysResult<u64> {
    let total: usize = iov.iter().map(|v| v.1).sum();
    let limit_ns = socket.base().rcvtimeo.load(Ordering::Relaxed);
    let stream = socket.is_stream();
    let wait_all = msg.flags.contains(MsgFlags::WAITALL) && !msg.flags.contains(MsgFlags::PEEK) && stream;
    let mut limit = None;
    let mut blocker: Option<Blocker> = None;
    let mut got = 0usize;
    let error = loop {
        let result = socket.recv(&mut UserBuf::new(cx, &iov), msg);
        match result {
            Ok(n) => {
                got += n;
                let over = n == 0 || got >= total || !msg.control.rights.is_empty();
                if over || !wait_all {
                    return Ok(abi::conv::usize64(got));
                }
                msg.more = true;
                advance(&mut iov, n);
            }
            // The queue of errors is never waited for.
            Err(Errno::EAGAIN) if msg.flags.intersects(MsgFlags::DONTWAIT | MsgFlags::ERRQUEUE) => {
                break Errno::EAGAIN.into();
            }
            Err(Errno::EAGAIN) => {
                if blocker.is_none() {
                    limit = deadline(limit_ns);
                }
                // A datagram is for one; of a stream the one who is woken may leave some.
                let blocker = blocker.get_or_insert_with(|| match stream {
                    true => Blocker::new(&cx.task, limit),
                    false => Blocker::new(&cx.task, limit).exclusive(),
                });
                let events = if msg.flags.contains(MsgFlags::OOB) {
                    Events::PRI
                } else {
                    Events::READ
                };
                if let Err(why) = blocker.wait_on(&socket.base().queue, events).await {
                    break blocked(why, limit, Errno::EAGAIN);
                }
            }
            Err(e) => break e.into(),
        }
    };
    if got > 0 {
        Ok(abi::conv::usize64(got))
    } else {
        Err(error)
    }
}

/// `sendto(2)`
pub(in crate::syscalls) async fn sys_sendto(
    cx: &mut Cx,
    fd: i32,
    buf: UserAddr,
    len: usize,
    flags: i32,
    dest: UserAddr,
    addrlen: u32,
) -> SysResult<u64> {
    let iov = one_range(buf, len)?;
    let (file, socket) = lookup(cx, fd)?;
    let dest = if dest.is_null() {
        Dest::Peer
    } else {
        let bytes = read_addr(cx, dest, addrlen)?;
        if bytes.is_empty() {
            Dest::Peer
        } else {
            socket.resolve(cx, &bytes)?
        }
    };
    let mut msg = SendMsg {
        flags: effective(&file, flags),
        dest,
        control: Control::default(),
        task: Some(cx.task.clone()),
    };
    send_all(cx, &socket, iov, &mut msg).await
}

/// `recvfrom(2)`
pub(in crate::syscalls) async fn sys_recvfrom(
    cx: &mut Cx,
    fd: i32,
    buf: UserAddr,
    len: usize,
    flags: i32,
    src: UserAddr,
    addrlen: UserAddr,
) -> SysResult<u64> {
    let iov = one_range(buf, len)?;
    let (file, socket) = lookup(cx, fd)?;
    let mut msg = RecvMsg::plain(effective(&file, flags));
    msg.want_addr = !src.is_null();
    let n = recv_all(cx, &socket, iov, &mut msg).await?;
    if !src.is_null() {
        write_addr(cx, msg.from.as_deref().unwrap_or_default(), src, addrlen)?;
    }
    Ok(n)
}

/// `sendmsg(2)`
pub(in crate::syscalls) async fn sys_sendmsg(cx: &mut Cx, fd: i32, msg: UserAddr, flags: i32) -> SysResult<u64> {
    let (file, socket) = lookup(cx, fd)?;
    send_one(cx, &file, &socket, msg, flags).await
}

async fn send_one(cx: &mut Cx, file: &File, socket: &Arc<dyn Socket>, at: UserAddr, flags: i32) -> SysResult<u64> {
    let hdr: MsgHdr = cx.read_obj(at)?;
    if hdr.iovlen > 1024 {
        return Err(Errno::EMSGSIZE.into());
    }
    let name = read_name(cx, &hdr)?;
    let iov = cx.read_iovecs(
        UserAddr(hdr.iov),
        i32::try_from(hdr.iovlen).map_err(|_| Errno::EMSGSIZE)?,
    )?;
    let control = read_control(cx, socket, &hdr)?;
    let dest = match &name {
        Some(bytes) => socket.resolve(cx, bytes)?,
        None => Dest::Peer,
    };
    let mut msg = SendMsg {
        flags: effective(file, flags),
        dest,
        control,
        task: Some(cx.task.clone()),
    };
    send_all(cx, socket, iov, &mut msg).await
}

fn read_name(cx: &Cx, hdr: &MsgHdr) -> SysResult<Option<addr::AddrBuf>> {
    if hdr.name == 0 || hdr.namelen == 0 {
        return Ok(None);
    }
    if hdr.namelen < 0 {
        return Err(Errno::EINVAL.into());
    }
    // A length beyond any address is cut, as `__copy_msghdr` does.
    let len = usize::try_from(hdr.namelen)
        .map_err(|_| Errno::EINVAL)?
        .min(addr::MAX_ADDR);
    Ok(Some(read_addr(
        cx,
        UserAddr(hdr.name),
        u32::try_from(len).unwrap_or(0),
    )?))
}

fn read_control(cx: &Cx, socket: &Arc<dyn Socket>, hdr: &MsgHdr) -> SysResult<Control> {
    if hdr.controllen == 0 {
        return Ok(Control::default());
    }
    let len = usize::try_from(hdr.controllen).map_err(|_| Errno::ENOBUFS)?;
    if len > control::OPTMEM_MAX {
        return Err(Errno::ENOBUFS.into());
    }
    let mut bytes = vec![0u8; len];
    cx.read_bytes(UserAddr(hdr.control), &mut bytes)?;
    Ok(control::parse(cx, socket.base().family, &bytes)?)
}

/// `recvmsg(2)`
pub(in crate::syscalls) async fn sys_recvmsg(cx: &mut Cx, fd: i32, msg: UserAddr, flags: i32) -> SysResult<u64> {
    let (file, socket) = lookup(cx, fd)?;
    recv_one(cx, &file, &socket, msg, flags).await
}

async fn recv_one(cx: &mut Cx, file: &File, socket: &Arc<dyn Socket>, at: UserAddr, flags: i32) -> SysResult<u64> {
    let hdr: MsgHdr = cx.read_obj(at)?;
    if hdr.iovlen > 1024 {
        return Err(Errno::EMSGSIZE.into());
    }
    if hdr.name != 0 && hdr.namelen < 0 {
        return Err(Errno::EINVAL.into());
    }
    let iov = cx.read_iovecs(
        UserAddr(hdr.iov),
        i32::try_from(hdr.iovlen).map_err(|_| Errno::EMSGSIZE)?,
    )?;
    let mut msg = RecvMsg::plain(effective(file, flags));
    msg.want_addr = hdr.name != 0;
    msg.want_control = hdr.controllen > 0;
    let n = recv_all(cx, socket, iov, &mut msg).await?;
    if hdr.name != 0 {
        let from = msg.from.take().unwrap_or_default();
        write_addr_len(cx, &from, &hdr, at)?;
    }
    let used = write_control(cx, &hdr, &mut msg)?;
    let mut out = msg.out_flags;
    out |= msg.flags & MsgFlags::CMSG_CLOEXEC;
    cx.write_obj(at.add(48)?, &out.bits())?;
    cx.write_obj(at.add(40)?, &abi::conv::usize64(used))?;
    Ok(n)
}

fn write_addr_len(cx: &mut Cx, from: &[u8], hdr: &MsgHdr, at: UserAddr) -> SysResult<()> {
    let room = usize::try_from(hdr.namelen).map_err(|_| Errno::EINVAL)?;
    cx.write_bytes(UserAddr(hdr.name), from.get(..room.min(from.len())).unwrap_or_default())?;
    cx.write_obj(at.add(8)?, &i32::try_from(from.len()).unwrap_or(0))?;
    Ok(())
}

/// Room for control messages in the guest, filled from the front (`put_cmsg`).
struct ControlOut {
    at: UserAddr,
    room: usize,
    used: usize,
    truncated: bool,
}

const HDR: usize = size_of::<CmsgHdr>();

impl ControlOut {
    fn put(&mut self, cx: &mut Cx, level: i32, kind: i32, data: &[u8]) -> SysResult<()> {
        if self.room < HDR {
            self.truncated = true;
            return Ok(());
        }
        let full = HDR + data.len();
        let len = full.min(self.room);
        self.truncated |= len < full;
        let hdr = CmsgHdr {
            len: abi::conv::usize64(len),
            level,
            kind,
        };
        let mut bytes = hdr.as_bytes().to_vec();
        bytes.extend_from_slice(data.get(..len - HDR).unwrap_or_default());
        self.emit(cx, &bytes)
    }

    fn emit(&mut self, cx: &mut Cx, bytes: &[u8]) -> SysResult<()> {
        cx.write_bytes(self.at, bytes)?;
        let step = control::align(bytes.len()).min(self.room);
        self.at = self.at.add(step)?;
        self.room -= step;
        self.used += step;
        Ok(())
    }

    /// Opens as many of the files as there is room and numbers for (`scm_detach_fds`).
    fn put_rights(&mut self, cx: &mut Cx, files: Vec<Arc<File>>, cloexec: bool) -> SysResult<()> {
        let fit = self.room.saturating_sub(HDR) / 4;
        let table = cx.task.files();
        let limit = cx.task.fd_limit();
        let mut numbers = Vec::new();
        let count = files.len();
        for file in files.into_iter().take(fit) {
            match table.add(file, cloexec, limit) {
                Ok(fd) => numbers.push(fd),
                Err(_) => break,
            }
        }
        if numbers.len() < count {
            self.truncated = true;
        }
        if numbers.is_empty() {
            return Ok(());
        }
        let data: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        self.emit(cx, &control::encode(sol::SOCKET, scm::RIGHTS, &data))
    }
}

/// Writes the control messages that came; gives the bytes used.
fn write_control(cx: &mut Cx, hdr: &MsgHdr, msg: &mut RecvMsg) -> SysResult<usize> {
    let received = std::mem::take(&mut msg.control);
    let mut out = ControlOut {
        at: UserAddr(hdr.control),
        room: if hdr.control == 0 {
            0
        } else {
            usize::try_from(hdr.controllen).unwrap_or(usize::MAX)
        },
        used: 0,
        truncated: false,
    };
    for cmsg in &received.messages {
        out.put(cx, cmsg.level, cmsg.kind, &cmsg.data)?;
    }
    if let Some(creds) = &received.creds {
        let ucred = creds.ucred(&cx.task.cred());
        out.put(cx, sol::SOCKET, scm::CREDENTIALS, ucred.as_bytes())?;
    }
    if !received.rights.is_empty() {
        let cloexec = msg.flags.contains(MsgFlags::CMSG_CLOEXEC);
        out.put_rights(cx, received.rights, cloexec)?;
    }
    if out.truncated {
        msg.out_flags |= MsgFlags::CTRUNC;
    }
    Ok(out.used)
}

/// `sendmmsg(2)`
pub(in crate::syscalls) async fn sys_sendmmsg(
    cx: &mut Cx,
    fd: i32,
    msgvec: UserAddr,
    vlen: u32,
    flags: i32,
) -> SysResult<u64> {
    let (file, socket) = lookup(cx, fd)?;
    let mut done = 0u64;
    let mut at = msgvec;
    for _ in 0..vlen.min(MAX_MESSAGES) {
        let result = send_one(cx, &file, &socket, at, flags).await;
        let told = match result {
            Ok(n) => cx.write_obj(at.add(56)?, &u32::try_from(n).unwrap_or(u32::MAX)),
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        };
        if let Err(e) = told {
            return if done == 0 { Err(e.into()) } else { Ok(done) };
        }
        done += 1;
        at = at.add(MMSGHDR_SIZE)?;
    }
    Ok(done)
}

/// `recvmmsg(2)`
pub(in crate::syscalls) async fn sys_recvmmsg(
    cx: &mut Cx,
    fd: i32,
    msgvec: UserAddr,
    vlen: u32,
    flags: i32,
    timeout: UserAddr,
) -> SysResult<u64> {
    let limit = match timeout.nonnull() {
        Some(at) => Some(read_timeout(cx, at)?),
        None => None,
    };
    let (file, socket) = lookup(cx, fd)?;
    if let Some(e) = socket.base().take_error() {
        return Err(e.into());
    }
    let end = limit.map(|ns| Executor::now().saturating_add(ns));
    let mut flags = flags;
    let mut done = 0u64;
    let mut at = msgvec;
    let mut outcome = Ok(());
    for _ in 0..vlen.min(MAX_MESSAGES) {
        let one_flags = flags & !MsgFlags::WAITFORONE.bits().cast_signed();
        match recv_one(cx, &file, &socket, at, one_flags).await {
            Ok(n) => cx.write_obj(at.add(56)?, &u32::try_from(n).unwrap_or(u32::MAX))?,
            Err(e) => {
                outcome = Err(e);
                break;
            }
        }
        done += 1;
        at = at.add(MMSGHDR_SIZE)?;
        if MsgFlags::from_bits_truncate(flags.cast_unsigned()).contains(MsgFlags::WAITFORONE) {
            flags |= MsgFlags::DONTWAIT.bits().cast_signed();
        }
        // The time limit is looked at only between messages (recvmmsg(2), BUGS).
        if end.is_some_and(|end| Executor::now() >= end) {
            break;
        }
    }
    if let (Some(at), Some(end)) = (timeout.nonnull(), end) {
        let left = end.saturating_sub(Executor::now());
        cx.write_obj(at, &[left / 1_000_000_000, left % 1_000_000_000])?;
    }
    match outcome {
        Err(e) if done == 0 => Err(e),
        Err(SysError::Errno(e)) if e != Errno::EAGAIN => {
            // Told by the next call.
            socket.base().set_error(e);
            Ok(done)
        }
        _ => Ok(done),
    }
}

fn read_timeout(cx: &Cx, at: UserAddr) -> SysResult<u64> {
    let [sec, nsec]: [i64; 2] = cx.read_obj(at)?;
    let (Ok(sec), Ok(nsec)) = (u64::try_from(sec), u64::try_from(nsec)) else {
        return Err(Errno::EINVAL.into());
    };
    if nsec >= 1_000_000_000 {
        return Err(Errno::EINVAL.into());
    }
    Ok(sec.saturating_mul(1_000_000_000).saturating_add(nsec))
}
