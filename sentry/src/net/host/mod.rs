//! `--network=host`: sockets of the host's stack, in the network namespace that the Sentry was put in.
//!
//! A guest's socket is a host socket that never blocks; addresses, options and control messages are the host's, as far as
//! the lists here allow.

mod allow;

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::errno::Result;
use abi::socket::{CmsgHdr, MsgFlags, af, sioc, sock};
use abi::{Errno, SysResult};
use platform::host::socket as host;
use rustix::event::{PollFd, PollFlags};
use zerocopy::FromBytes;

use super::addr::{self, MAX_ADDR};
use super::{AddrBuf, Dest, NetNamespace, OptVal, RecvMsg, SendMsg, Shut, SockBase, Socket};
use crate::executor::{FdEvents, FdKey};
use crate::fs::{Sink, Source};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::{Events, Listener, WaitQueue};

/// Most bytes moved in one host call, and in a datagram.
const PIECE: usize = 256 * 1024;
/// Room for control messages.
const CONTROL: usize = 4096;
/// `MSG_*` that pass to the host.
const PASSED: MsgFlags = MsgFlags::OOB
    .union(MsgFlags::PEEK)
    .union(MsgFlags::DONTROUTE)
    .union(MsgFlags::TRUNC)
    .union(MsgFlags::EOR)
    .union(MsgFlags::CONFIRM)
    .union(MsgFlags::ERRQUEUE)
    .union(MsgFlags::MORE);

/// A socket of the host.
pub struct HostSocket {
    base: Arc<SockBase>,
    kernel: Arc<Kernel>,
    fd: OwnedFd,
    watch: Mutex<Option<FdKey>>,
    /// Made by `connect(2)` and not told of yet.
    connecting: std::sync::atomic::AtomicBool,
}

struct Ready(Arc<WaitQueue>);

impl Listener for Ready {
    fn notify(&self, events: Events) {
        self.0.wake(events);
    }
}

/// True for families that the host serves in this mode.
pub fn serves(family: u16, kind: i32, protocol: i32) -> bool {
    match family {
        // The protocol's default, ICMP, TCP, UDP, ICMPv6, UDP-Lite: no others of the host's.
        af::INET | af::INET6 => matches!(
            (kind, protocol),
            (sock::STREAM, 0 | 6) | (sock::DGRAM, 0 | 1 | 17 | 58 | 136)
        ),
        af::NETLINK => protocol == super::netlink::NETLINK_ROUTE && matches!(kind, sock::RAW | sock::DGRAM),
        _ => false,
    }
}

/// Raw sockets take a capability that the Sentry has not, whatever the guest's: programs then try an echo socket.
pub fn refuses(family: u16, kind: i32) -> bool {
    matches!(family, af::INET | af::INET6) && kind == sock::RAW
}

/// `socket(2)`
pub fn create(cx: &Cx, ns: Arc<NetNamespace>, family: u16, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
    let fd = host::socket(i32::from(family), kind, protocol)?;
    let base = SockBase::new(&cx.task, ns, family, kind, protocol);
    Ok(HostSocket::new(base, cx.task.kernel.clone(), fd)?)
}

impl HostSocket {
    fn new(base: Arc<SockBase>, kernel: Arc<Kernel>, fd: OwnedFd) -> Result<Arc<HostSocket>> {
        let ready = Arc::new(Ready(base.queue.clone()));
        let events = FdEvents::IN | FdEvents::OUT | FdEvents::PRI | FdEvents::RDHUP;
        let key = kernel.executor.watch_fd(fd.as_fd(), events, ready)?;
        Ok(Arc::new(HostSocket {
            base,
            kernel,
            fd,
            watch: Mutex::new(Some(key)),
            connecting: std::sync::atomic::AtomicBool::new(false),
        }))
    }

    fn name(&self, peer: bool) -> Result<AddrBuf> {
        let mut bytes = [0u8; MAX_ADDR];
        let len = host::name(self.fd.as_fd(), peer, &mut bytes)?;
        Ok(AddrBuf::from_slice(bytes.get(..len).unwrap_or_default()))
    }
}

impl Socket for HostSocket {
    fn base(&self) -> &Arc<SockBase> {
        &self.base
    }

    fn is_host(&self) -> bool {
        true
    }

    fn bind(&self, cx: &mut Cx, bytes: &[u8]) -> Result<()> {
        if self.base.family != af::NETLINK {
            let local = super::inet::parse_bind(&self.base, bytes)?;
            let first = self.base.ns.unprivileged_port.load(Ordering::Relaxed);
            let privileged = (1..first).contains(&u32::from(local.port()));
            let cred = cx.task.cred();
            if privileged && !cred.has_cap_in(&self.base.ns.user_ns, crate::cred::cap::NET_BIND_SERVICE) {
                return Err(Errno::EACCES);
            }
        }
        host::bind(self.fd.as_fd(), bytes)
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        let done = rustix::net::listen(&self.fd, backlog);
        done.map_err(|e| Errno::from_raw(e.raw_os_error()))
    }

    fn connect(&self, _cx: &mut Cx, bytes: &[u8]) -> Result<()> {
        let result = host::connect(self.fd.as_fd(), bytes);
        self.connecting
            .store(result == Err(Errno::EINPROGRESS), Ordering::Release);
        result
    }

    fn connect_result(&self) -> Result<()> {
        if !self.poll().intersects(Events::WRITE | Events::ERR | Events::HUP) {
            return Err(Errno::EINPROGRESS);
        }
        self.connecting.store(false, Ordering::Release);
        let mut value = [0u8; 4];
        host::option(
            self.fd.as_fd(),
            abi::socket::sol::SOCKET,
            abi::socket::so::ERROR,
            &mut value,
        )?;
        match i32::from_ne_bytes(value) {
            0 => Ok(()),
            e => Err(Errno::from_raw(e)),
        }
    }

    fn accept(&self) -> Result<Arc<dyn Socket>> {
        let fd = host::accept(self.fd.as_fd())?;
        Ok(HostSocket::new(self.base.child(), self.kernel.clone(), fd)?)
    }

    fn getsockname(&self) -> Result<AddrBuf> {
        self.name(false)
    }

    fn getpeername(&self) -> Result<AddrBuf> {
        self.name(true)
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        let how = match (how.read, how.write) {
            (true, true) => rustix::net::Shutdown::Both,
            (true, false) => rustix::net::Shutdown::Read,
            _ => rustix::net::Shutdown::Write,
        };
        rustix::net::shutdown(&self.fd, how).map_err(|e| Errno::from_raw(e.raw_os_error()))
    }

    fn resolve(&self, _cx: &mut Cx, bytes: &[u8]) -> Result<Dest> {
        // AF_UNIX and the like never reach the host.
        if !matches!(addr::family(bytes), af::UNSPEC | af::INET | af::INET6 | af::NETLINK) {
            return Err(Errno::EAFNOSUPPORT);
        }
        Ok(Dest::Raw(AddrBuf::from_slice(bytes)))
    }

    fn send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        let want = src.remaining();
        if !self.is_stream() && want > PIECE {
            return Err(Errno::EMSGSIZE);
        }
        let mut data = vec![0u8; want.min(PIECE)];
        if want > 0 {
            let n = src.take(&mut data)?;
            data.truncate(n);
        }
        let to: &[u8] = match &msg.dest {
            Dest::Raw(bytes) => bytes,
            _ => &[],
        };
        let flags = (msg.flags & PASSED).bits().cast_signed();
        let sent = host::send(self.fd.as_fd(), &data, to, &[], flags);
        src.put_back(data.len() - sent.as_ref().copied().unwrap_or(0).min(data.len()));
        sent
    }

    fn recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        let mut data = vec![0u8; dst.remaining().min(PIECE)];
        let mut from = [0u8; MAX_ADDR];
        let mut control = [0u8; CONTROL];
        let room: &mut [u8] = if msg.want_control { &mut control } else { &mut [] };
        let flags = (msg.flags & PASSED).bits().cast_signed();
        let got = host::receive(self.fd.as_fd(), &mut data, &mut from, room, flags)?;
        let copied = got.bytes.min(data.len());
        let n = dst.put(data.get(..copied).unwrap_or_default())?;
        msg.out_flags = MsgFlags::from_bits_truncate(got.flags.cast_unsigned()) - MsgFlags::CMSG_CLOEXEC;
        if got.addr > 0 {
            msg.from = from.get(..got.addr).map(AddrBuf::from_slice);
        }
        parse_control(control.get(..got.control).unwrap_or_default(), msg);
        Ok(if msg.flags.contains(MsgFlags::TRUNC) {
            got.bytes
        } else {
            n
        })
    }

    fn poll(&self) -> Events {
        let all = PollFlags::IN | PollFlags::PRI | PollFlags::OUT | PollFlags::RDHUP;
        let all = all | PollFlags::RDNORM | PollFlags::WRNORM | PollFlags::WRBAND | PollFlags::RDBAND;
        let mut fds = [PollFd::new(&self.fd, all)];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        if rustix::event::poll(&mut fds, Some(&now)).is_err() {
            return Events::empty();
        }
        let bits = fds.first().map_or(0, |f| f.revents().bits());
        Events::from_bits_truncate(u32::from(bits))
    }

    fn setsockopt(&self, _cx: &mut Cx, level: i32, name: i32, val: &[u8]) -> Result<()> {
        if !allow::is_settable(level, name) {
            return Err(Errno::ENOPROTOOPT);
        }
        host::set_option(self.fd.as_fd(), level, name, val)
    }

    fn getsockopt(&self, _cx: &mut Cx, level: i32, name: i32, len: usize) -> Result<OptVal> {
        if !allow::is_readable(level, name) {
            return Err(Errno::ENOPROTOOPT);
        }
        let mut value = vec![0u8; len.min(1024)];
        let len = host::option(self.fd.as_fd(), level, name, &mut value)?;
        value.truncate(len);
        Ok(OptVal::from_vec(value))
    }

    fn ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        let value = match cmd {
            sioc::FIONREAD => rustix::io::ioctl_fionread(&self.fd).map_err(|e| Errno::from_raw(e.raw_os_error()))?,
            _ => return super::inet::ifreq::ioctl(cx, &self.base.ns, cmd, arg),
        };
        cx.write_obj(UserAddr(arg), &i32::try_from(value).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    fn release(&self) {
        if let Some(key) = self.watch.lock().take() {
            self.kernel.executor.unwatch_fd(self.fd.as_fd(), key);
        }
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Takes the host's control messages over, but for descriptors: none can come.
fn parse_control(bytes: &[u8], msg: &mut RecvMsg) {
    const HDR: usize = size_of::<CmsgHdr>();
    let mut rest = bytes;
    while let Some(Ok(hdr)) = rest.get(..HDR).map(CmsgHdr::read_from_bytes) {
        let len = usize::try_from(hdr.len).unwrap_or(usize::MAX);
        let Some(data) = rest.get(HDR..len) else { return };
        if allow::is_message(hdr.level, hdr.kind) {
            msg.control.push(hdr.level, hdr.kind, data);
        }
        rest = rest.get(super::control::align(len)..).unwrap_or_default();
    }
}
