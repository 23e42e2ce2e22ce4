//! Sockets (`socket(2)`): the trait that families implement, and the families.
//!
//! A [`Socket`] tries once and never blocks: what would wait gives `EAGAIN` (`EINPROGRESS` for a connection that is being
//! made) and the socket's own wait queue is woken when it is worth another try. Waiting, time-outs and signals are
//! `syscalls/net`'s. Address families are registered in [`create`].
//!
//! Lock order within `net`, outermost first: Unix garbage collector; reader of a socket; state of a socket (a listener
//! before what it accepts); tables of a namespace; receive queue of a socket; wait queues. Two states of equal rank are
//! never held together, but for pairs that are taken in the order of their addresses.

pub mod addr;
pub mod base;
pub mod control;
pub mod file;
pub mod host;
pub mod inet;
pub mod namespace;
pub mod netlink;
pub mod proc;
pub mod skb;
pub mod sockopt;
pub mod unix;

use std::any::Any;
use std::sync::Arc;

use abi::errno::Result;
use abi::socket::{MsgFlags, af, sock};
use abi::{Errno, SysResult};

use crate::boot::config::NetworkMode;
use crate::fs::{Sink, Source};
use crate::signal::{SigInfo, Signal};
use crate::task::{Cx, Task};
use crate::wait::Events;

pub use addr::AddrBuf;
pub use base::SockBase;
pub use control::{Control, Received};
pub use file::SocketFile;
pub use namespace::NetNamespace;
pub use sockopt::OptVal;

/// Where a message goes, found before it is sent.
pub enum Dest {
    /// Where the socket is connected to.
    Peer,
    /// A Unix socket.
    Unix(Arc<unix::UnixSocket>),
    /// An internet address.
    Inet(std::net::SocketAddr),
    /// As given, checked for length and family only.
    Raw(AddrBuf),
}

/// A message to send.
pub struct SendMsg {
    /// `MSG_*`, with `MSG_DONTWAIT` for a socket that does not block.
    pub flags: MsgFlags,
    /// Where to.
    pub dest: Dest,
    /// Control messages; taken by the attempt that sends.
    pub control: Control,
    /// The sender; none where a file operation has none at hand.
    pub task: Option<Arc<Task>>,
}

/// What a receiver wants, and what came beside the bytes.
pub struct RecvMsg {
    /// `MSG_*`, with `MSG_DONTWAIT` for a socket that does not block.
    pub flags: MsgFlags,
    /// The caller takes control messages.
    pub want_control: bool,
    /// The caller takes the address.
    pub want_addr: bool,
    /// Not the first attempt of a call that has bytes already.
    pub more: bool,
    /// `msg_flags` to give back.
    pub out_flags: MsgFlags,
    /// Who sent it.
    pub from: Option<AddrBuf>,
    /// Control messages that came.
    pub control: Received,
}

impl RecvMsg {
    /// For `read(2)` and the like.
    pub fn plain(flags: MsgFlags) -> RecvMsg {
        RecvMsg {
            flags,
            want_control: false,
            want_addr: false,
            more: false,
            out_flags: MsgFlags::empty(),
            from: None,
            control: Received::default(),
        }
    }
}

/// `shutdown(2)`: what of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// Receiving.
    pub read: bool,
    /// Sending.
    pub write: bool,
}

/// What an address family does for a kind of socket. Defaults refuse as Linux's `sock_no_*` do.
pub trait Socket: Any + Send + Sync {
    /// What all sockets have.
    fn base(&self) -> &Arc<SockBase>;

    /// Gives it a name.
    fn bind(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        let _ = (cx, addr);
        Err(Errno::EOPNOTSUPP)
    }

    /// Starts to take connections.
    fn listen(&self, backlog: i32) -> Result<()> {
        let _ = backlog;
        Err(Errno::EOPNOTSUPP)
    }

    /// Connects. `EINPROGRESS`: it is on its way, [`Socket::connect_result`] tells more when the queue is woken for writing.
    /// `EAGAIN`: nothing was done, try again after such a wake-up.
    fn connect(&self, cx: &mut Cx, addr: &[u8]) -> Result<()> {
        let _ = (cx, addr);
        Err(Errno::EOPNOTSUPP)
    }

    /// How a connection on its way ended; `EINPROGRESS` if it has not.
    fn connect_result(&self) -> Result<()> {
        Ok(())
    }

    /// The next connection that waits.
    fn accept(&self) -> Result<Arc<dyn Socket>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Its name.
    fn getsockname(&self) -> Result<AddrBuf> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The name of what it is connected to.
    fn getpeername(&self) -> Result<AddrBuf> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Who connected, for `accept(2)`: told even if the connection is over by now.
    fn accepted_from(&self) -> Result<AddrBuf> {
        self.getpeername()
    }

    /// Ends one or both directions.
    fn shutdown(&self, how: Shut) -> Result<()> {
        let _ = how;
        Err(Errno::EOPNOTSUPP)
    }

    /// Finds what an address given to `sendto(2)` means. Connected stream sockets have their own view of it.
    fn resolve(&self, cx: &mut Cx, addr: &[u8]) -> Result<Dest> {
        let _ = (cx, addr);
        Err(Errno::EOPNOTSUPP)
    }

    /// Sends what it can at once.
    fn send(&self, src: &mut dyn Source, msg: &mut SendMsg) -> Result<usize> {
        let _ = (src, msg);
        Err(Errno::EOPNOTSUPP)
    }

    /// Receives what is there.
    fn recv(&self, dst: &mut dyn Sink, msg: &mut RecvMsg) -> Result<usize> {
        let _ = (dst, msg);
        Err(Errno::EOPNOTSUPP)
    }

    /// Readiness now.
    fn poll(&self) -> Events;

    /// An option beyond those of `SOL_SOCKET` that [`SockBase`] knows, or one of those that the family wants itself.
    fn setsockopt(&self, cx: &mut Cx, level: i32, name: i32, val: &[u8]) -> Result<()> {
        let _ = (cx, level, name, val);
        Err(Errno::ENOPROTOOPT)
    }

    /// Likewise; `len` is how much the caller takes.
    fn getsockopt(&self, cx: &mut Cx, level: i32, name: i32, len: usize) -> Result<OptVal> {
        let _ = (cx, level, name, len);
        Err(Errno::ENOPROTOOPT)
    }

    /// A request that [`file`] does not know.
    fn ioctl(&self, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
        let _ = (cx, cmd, arg);
        Err(Errno::ENOTTY.into())
    }

    /// A stream: a reader may want more than one piece, a writer goes on until all is sent.
    fn is_stream(&self) -> bool {
        self.base().kind == sock::STREAM
    }

    /// The host's: even options of `SOL_SOCKET` are, but for the time limits.
    fn is_host(&self) -> bool {
        false
    }

    /// The last file that stood for it is gone.
    fn release(&self);

    /// For `downcast_ref` in the family.
    fn as_any(&self) -> &dyn Any;
}

/// The network namespace of a task.
pub fn namespace_of(task: &Task) -> Arc<NetNamespace> {
    task.ns().net.clone()
}

/// Tells the process that nobody reads what it writes (`SIGPIPE`).
pub fn sigpipe(task: &Task) {
    let me = task.cred();
    let info = SigInfo::user(Signal::SIGPIPE, task.group.tgid, me.uid);
    // It always has room: SIGPIPE is no real-time signal.
    let _ = task.send_signal(info);
}

/// `socket(2)`: a socket of that family, type (without flags) and protocol. Errors in the order of Linux's `__sock_create`.
pub fn create(cx: &Cx, family: i32, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
    if !(0..af::MAX).contains(&family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if !(0..=sock::PACKET).contains(&kind) {
        return Err(Errno::EINVAL);
    }
    let ns = namespace_of(&cx.task);
    // `SOCK_PACKET` of old is `AF_PACKET` in disguise.
    let family = u16::try_from(family).map_err(|_| Errno::EAFNOSUPPORT)?;
    let on_host = cx.task.kernel.config.network == NetworkMode::Host && Arc::ptr_eq(&ns, &cx.task.kernel.net);
    match family {
        _ if on_host && host::serves(family, kind, protocol) => host::create(cx, ns, family, kind, protocol),
        _ if on_host && host::refuses(family, kind) => Err(Errno::EPERM),
        af::UNIX => Ok(unix::create(&cx.task, ns, kind, protocol)?),
        af::INET | af::INET6 => inet::create(cx, ns, family, kind, protocol),
        af::NETLINK => Ok(netlink::create(cx, ns, kind, protocol)?),
        af::PACKET if !cx.task.cred().has_cap_in(&ns.user_ns, crate::cred::cap::NET_RAW) => Err(Errno::EPERM),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}
