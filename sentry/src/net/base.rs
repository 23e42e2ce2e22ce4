//! What every socket has, like Linux's `struct sock`: type, options of `SOL_SOCKET`, send budget, pending error, wait queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use abi::Errno;
use abi::socket::Ucred;

use super::namespace::NetNamespace;
use crate::cred::Cred;
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{Events, WaitQueue};

/// Default and greatest buffer sizes (`/proc/sys/net/core/{r,w}mem_{default,max}`).
pub const BUF_DEFAULT: u32 = 212_992;
/// See [`BUF_DEFAULT`].
pub const BUF_MAX: u32 = 212_992;
/// `SOCK_MIN_SNDBUF`
pub const SNDBUF_MIN: u32 = 4608;
/// `SOCK_MIN_RCVBUF`
pub const RCVBUF_MIN: u32 = 2304;

/// No more bytes are received.
pub const SHUT_RCV: u8 = 1;
/// No more bytes are sent.
pub const SHUT_SEND: u8 = 2;

/// A process as its peers see it (`SO_PEERCRED`).
#[derive(Clone)]
pub struct PeerCred {
    /// Process id in the first pid namespace; 0 for nobody.
    pub pid: i32,
    /// Its credentials.
    pub cred: Arc<Cred>,
}

impl PeerCred {
    /// Of the calling task.
    pub fn of(task: &Task) -> PeerCred {
        PeerCred {
            pid: task.group.tgid,
            cred: task.cred(),
        }
    }

    /// As the reader sees it.
    pub fn ucred(&self, reader: &Cred) -> Ucred {
        Ucred {
            pid: self.pid,
            uid: reader.user_ns.uid_out(self.cred.euid),
            gid: reader.user_ns.gid_out(self.cred.egid),
        }
    }
}

/// On-off options, each a bit of [`SockBase::flags`].
#[allow(missing_docs, reason = "socket(7) documents each name")]
pub mod flag {
    pub const DEBUG: u32 = 1;
    pub const REUSEADDR: u32 = 1 << 1;
    pub const REUSEPORT: u32 = 1 << 2;
    pub const KEEPALIVE: u32 = 1 << 3;
    pub const BROADCAST: u32 = 1 << 4;
    pub const OOBINLINE: u32 = 1 << 5;
    pub const DONTROUTE: u32 = 1 << 6;
    pub const PASSCRED: u32 = 1 << 7;
    pub const TIMESTAMP: u32 = 1 << 8;
    pub const TIMESTAMPNS: u32 = 1 << 9;
    pub const NO_CHECK: u32 = 1 << 10;
    pub const RXQ_OVFL: u32 = 1 << 11;
    pub const SNDBUF_LOCK: u32 = 1 << 12;
    pub const RCVBUF_LOCK: u32 = 1 << 13;
    pub const ZEROCOPY: u32 = 1 << 14;
    pub const PASSSEC: u32 = 1 << 15;
    pub const SELECT_ERR_QUEUE: u32 = 1 << 16;
    pub const NOFCS: u32 = 1 << 17;
    pub const PASSPIDFD: u32 = 1 << 18;
}

/// State that all families share. Atomics, since each is read on the way of every message.
pub struct SockBase {
    /// `AF_*`
    pub family: u16,
    /// `SOCK_*`
    pub kind: i32,
    /// Protocol.
    pub protocol: i32,
    /// Woken on every change of readiness.
    pub queue: Arc<WaitQueue>,
    /// Where it lives.
    pub ns: Arc<NetNamespace>,
    /// Inode number, and its name to `/proc/net` and `SO_COOKIE`.
    pub ino: u64,
    /// Who made it.
    pub owner: PeerCred,
    /// Bits of [`flag`].
    pub flags: AtomicU32,
    /// Bits of [`SHUT_RCV`] and [`SHUT_SEND`].
    pub shut: AtomicU8,
    /// `SO_ERROR`; 0 for none.
    error: AtomicI32,
    /// `SO_SNDBUF`
    pub sndbuf: AtomicU32,
    /// `SO_RCVBUF`
    pub rcvbuf: AtomicU32,
    /// `SO_RCVLOWAT`
    pub rcvlowat: AtomicI32,
    /// `SO_RCVTIMEO` in nanoseconds; 0 for ever.
    pub rcvtimeo: AtomicU64,
    /// `SO_SNDTIMEO` in nanoseconds; 0 for ever.
    pub sndtimeo: AtomicU64,
    /// Memory of messages that it sent and nobody has received yet, like `sk_wmem_alloc`.
    pub wmem: AtomicUsize,
    /// The last file is gone.
    pub dead: AtomicBool,
    /// Options that nothing but `getsockopt(2)` reads often.
    pub rare: Mutex<Rare>,
}

/// See [`SockBase::rare`].
#[derive(Clone, Debug)]
pub struct Rare {
    /// `SO_LINGER`: on, seconds.
    pub linger: Option<i32>,
    /// `SO_PRIORITY`
    pub priority: i32,
    /// `SO_MARK`
    pub mark: u32,
    /// `SO_PEEK_OFF`
    pub peek_off: i32,
    /// `SO_BINDTODEVICE`, as an interface index; 0 for none.
    pub bound_if: u32,
    /// `SO_BUSY_POLL`
    pub busy_poll: i32,
    /// `SO_MAX_PACING_RATE`
    pub pacing: u64,
    /// `SO_INCOMING_CPU`
    pub incoming_cpu: i32,
    /// Time stamp of the last message received, nanoseconds.
    pub stamp: u64,
}

impl SockBase {
    /// Of a new socket.
    pub fn new(task: &Task, ns: Arc<NetNamespace>, family: u16, kind: i32, protocol: i32) -> Arc<SockBase> {
        let ino = task.kernel.unique_id();
        SockBase::with_owner(PeerCred::of(task), ino, ns, family, kind, protocol)
    }

    fn with_owner(
        owner: PeerCred,
        ino: u64,
        ns: Arc<NetNamespace>,
        family: u16,
        kind: i32,
        protocol: i32,
    ) -> Arc<SockBase> {
        Arc::new(SockBase {
            family,
            kind,
            protocol,
            queue: Arc::new(WaitQueue::new()),
            ns,
            ino,
            owner,
            flags: AtomicU32::new(0),
            shut: AtomicU8::new(0),
            error: AtomicI32::new(0),
            sndbuf: AtomicU32::new(BUF_DEFAULT),
            rcvbuf: AtomicU32::new(BUF_DEFAULT),
            rcvlowat: AtomicI32::new(1),
            rcvtimeo: AtomicU64::new(0),
            sndtimeo: AtomicU64::new(0),
            wmem: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            rare: Mutex::new(Rare {
                linger: None,
                priority: 0,
                mark: 0,
                peek_off: -1,
                bound_if: 0,
                busy_poll: 0,
                pacing: u64::MAX,
                incoming_cpu: -1,
                stamp: 0,
            }),
        })
    }

    /// Of a socket that a listener makes for a connection: the listener's options go along, as Linux clones its `sock`.
    pub fn child(&self) -> Arc<SockBase> {
        let ino = self.ns.next_ino();
        let child = SockBase::with_owner(
            self.owner.clone(),
            ino,
            self.ns.clone(),
            self.family,
            self.kind,
            self.protocol,
        );
        child.flags.store(self.flags.load(Ordering::Relaxed), Ordering::Relaxed);
        for (to, from) in [(&child.sndbuf, &self.sndbuf), (&child.rcvbuf, &self.rcvbuf)] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        child
            .rcvlowat
            .store(self.rcvlowat.load(Ordering::Relaxed), Ordering::Relaxed);
        for (to, from) in [(&child.rcvtimeo, &self.rcvtimeo), (&child.sndtimeo, &self.sndtimeo)] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        *child.rare.lock() = self.rare.lock().clone();
        child
    }

    /// True if that option is on.
    pub fn has(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Switches an option.
    pub fn set(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// True if all of these directions have ended.
    pub fn is_shut(&self, bits: u8) -> bool {
        self.shut.load(Ordering::Acquire) & bits == bits
    }

    /// Ends directions.
    pub fn add_shut(&self, bits: u8) {
        self.shut.fetch_or(bits, Ordering::AcqRel);
    }

    /// Takes the pending error away (`SO_ERROR`).
    pub fn take_error(&self) -> Option<Errno> {
        // The plain load keeps the line shared on the way of every message.
        if self.error.load(Ordering::Acquire) == 0 {
            return None;
        }
        match self.error.swap(0, Ordering::AcqRel) {
            0 => None,
            e => Some(Errno::from_raw(e)),
        }
    }

    /// Sets the pending error and tells those who wait.
    pub fn set_error(&self, errno: Errno) {
        self.error.store(i32::from(errno.raw()), Ordering::Release);
        self.queue.wake(Events::ERR | Events::READ | Events::WRITE);
    }

    /// True if an error waits.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
    }

    /// `SO_SNDBUF` as a byte count.
    pub fn sndbuf_size(&self) -> usize {
        self.sndbuf.load(Ordering::Relaxed) as usize
    }

    /// `SO_RCVBUF` as a byte count.
    pub fn rcvbuf_size(&self) -> usize {
        self.rcvbuf.load(Ordering::Relaxed) as usize
    }

    /// Tells those who wait.
    pub fn wake(&self, events: Events) {
        self.queue.wake(events);
    }
}
