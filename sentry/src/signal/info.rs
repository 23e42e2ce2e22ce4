//! `siginfo_t` (`sigaction(2)`): what comes with a signal.

use super::Signal;

/// `si_code` values used by the kernel.
#[allow(missing_docs, reason = "sigaction(2) documents each name")]
pub mod code {
    pub const SI_USER: i32 = 0;
    pub const SI_KERNEL: i32 = 0x80;
    pub const SI_QUEUE: i32 = -1;
    pub const SI_TIMER: i32 = -2;
    pub const SI_MESGQ: i32 = -3;
    pub const SI_ASYNCIO: i32 = -4;
    pub const SI_SIGIO: i32 = -5;
    pub const SI_TKILL: i32 = -6;
    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_DUMPED: i32 = 3;
    pub const CLD_TRAPPED: i32 = 4;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;
    pub const SEGV_MAPERR: i32 = 1;
    pub const SEGV_ACCERR: i32 = 2;
    pub const POLL_IN: i32 = 1;
    pub const POLL_OUT: i32 = 2;
    pub const POLL_MSG: i32 = 3;
    pub const POLL_ERR: i32 = 4;
    pub const POLL_PRI: i32 = 5;
    pub const POLL_HUP: i32 = 6;
    pub const SYS_SECCOMP: i32 = 1;
    pub const TRAP_BRKPT: i32 = 1;
    pub const TRAP_TRACE: i32 = 2;
}

/// The part that depends on the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing more.
    None,
    /// `kill`, `tkill`: sender, and the value of `sigqueue`.
    User {
        /// `si_pid`
        pid: i32,
        /// `si_uid`
        uid: u32,
        /// `si_value`
        value: u64,
    },
    /// `SIGCHLD`
    Child {
        /// `si_pid`
        pid: i32,
        /// `si_uid`
        uid: u32,
        /// `si_status`
        status: i32,
        /// `si_utime`, clock ticks
        utime: i64,
        /// `si_stime`, clock ticks
        stime: i64,
    },
    /// `SIGSEGV` and other exceptions.
    Fault {
        /// `si_addr`
        addr: u64,
        /// Exception number for the signal frame.
        trapno: u64,
        /// Error code for the signal frame.
        err: u64,
        /// Fault address register for the signal frame.
        cr2: u64,
    },
    /// POSIX timers.
    Timer {
        /// `si_timerid`
        id: i32,
        /// `si_overrun`
        overrun: i32,
        /// `si_value`
        value: u64,
    },
    /// `SIGIO`
    Poll {
        /// `si_band`
        band: i64,
        /// `si_fd`
        fd: i32,
    },
    /// `SIGSYS`
    Sys {
        /// `si_call_addr`
        addr: u64,
        /// `si_syscall`
        nr: i32,
        /// `si_arch`
        arch: u32,
    },
    /// Set by the guest itself (`rt_sigqueueinfo`): bytes 16..128 of the structure.
    Raw([u8; 112]),
}

/// A signal on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// `si_signo`
    pub signal: Signal,
    /// `si_errno`
    pub errno: i32,
    /// `si_code`
    pub code: i32,
    /// The rest.
    pub detail: Detail,
}

impl SigInfo {
    /// Sent by the kernel, without more (`SI_KERNEL`).
    pub fn kernel(signal: Signal) -> SigInfo {
        SigInfo {
            signal,
            errno: 0,
            code: code::SI_KERNEL,
            detail: Detail::None,
        }
    }

    /// Sent by a process (`SI_USER`).
    pub fn user(signal: Signal, pid: i32, uid: u32) -> SigInfo {
        SigInfo {
            signal,
            errno: 0,
            code: code::SI_USER,
            detail: Detail::User { pid, uid, value: 0 },
        }
    }

    /// As the 128 bytes of `siginfo_t` on x86-64.
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut out = [0u8; 128];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(to) = out.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        };
        put(0, &self.signal.number().to_le_bytes());
        put(4, &self.errno.to_le_bytes());
        put(8, &self.code.to_le_bytes());
        match self.detail {
            Detail::None => {}
            Detail::User { pid, uid, value } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Detail::Child {
                pid,
                uid,
                status,
                utime,
                stime,
            } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &status.to_le_bytes());
                put(32, &utime.to_le_bytes());
                put(40, &stime.to_le_bytes());
            }
            Detail::Fault { addr, .. } => put(16, &addr.to_le_bytes()),
            Detail::Timer { id, overrun, value } => {
                put(16, &id.to_le_bytes());
                put(20, &overrun.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Detail::Poll { band, fd } => {
                put(16, &band.to_le_bytes());
                put(24, &fd.to_le_bytes());
            }
            Detail::Sys { addr, nr, arch } => {
                put(16, &addr.to_le_bytes());
                put(24, &nr.to_le_bytes());
                put(28, &arch.to_le_bytes());
            }
            Detail::Raw(bytes) => put(16, &bytes),
        }
        out
    }

    /// From the guest's 128 bytes, for `rt_sigqueueinfo(2)`.
    pub fn from_bytes(signal: Signal, bytes: &[u8; 128]) -> SigInfo {
        let word = |at: usize| {
            let mut w = [0u8; 4];
            w.copy_from_slice(bytes.get(at..at + 4).unwrap_or(&[0; 4]));
            i32::from_le_bytes(w)
        };
        let mut raw = [0u8; 112];
        raw.copy_from_slice(bytes.get(16..).unwrap_or(&[0; 112]));
        SigInfo {
            signal,
            errno: word(4),
            code: word(8),
            detail: Detail::Raw(raw),
        }
    }
}
