//! Which guest bytes travel with a system call, so that the Sentry need not fetch them through the host kernel.
//!
//! A wrong row costs time, never safety: the Sentry asks for the range it wants and falls back to reading memory.

use crate::copy;
use crate::stub_abi::{CONTROL_BYTES, Carried, Control, DATA_BYTES, MAX_CARRIED};

/// One thing to carry.
#[derive(Clone, Copy)]
enum Take {
    /// The string at this argument.
    Path(usize),
    /// So many bytes at this argument.
    Fixed(usize, u64),
    /// At this argument, as many bytes as that argument times a unit says.
    Sized(usize, usize, u64),
    /// An `iovec` array at this argument, of that many; with the bytes that they point to if the flag is set.
    Iov(usize, usize, bool),
    /// The `msghdr` at this argument and what it points to, with the bytes to be sent if the flag is set.
    Msg(usize, bool),
}

use Take::{Fixed, Iov, Msg, Path, Sized};

/// Longest carried path: nearly all are shorter, and the rest is read another way.
const PATH_CAP: u64 = 1024;
/// Longest carried buffer.
const BUFFER_CAP: u64 = 8192;

/// The rows, by system call number.
fn table(nr: u64, args: &[u64; 6]) -> &'static [Take] {
    match nr {
        // write, pwrite64
        1 | 18 => &[Sized(1, 2, 1)],
        // open, stat, lstat, access, execve, truncate, chdir, mkdir, rmdir, creat, unlink, readlink, chmod, chown, lchown,
        // utime, mknod, statfs, chroot, utimes, inotify_add_watch has its path second.
        2 | 4 | 6 | 21 | 59 | 76 | 80 | 83 | 84 | 85 | 87 | 89 | 90 | 92 | 94 | 132 | 133 | 137 | 161 | 235 => &[Path(0)],
        // rename, link, symlink, getxattr, lgetxattr
        82 | 86 | 88 | 191 | 192 => &[Path(0), Path(1)],
        // openat, mkdirat, mknodat, fchownat, futimesat, newfstatat, unlinkat, readlinkat, fchmodat, faccessat, execveat,
        // statx, faccessat2, fchmodat2, inotify_add_watch
        257..=263 | 267..=269 | 322 | 332 | 439 | 452 | 254 => &[Path(1)],
        // utimensat
        280 => &[Path(1), Fixed(2, 32)],
        // openat2
        437 => &[Path(1), Sized(2, 3, 1)],
        // renameat, linkat, renameat2
        264 | 265 | 316 => &[Path(1), Path(3)],
        // symlinkat
        266 => &[Path(0), Path(2)],
        // readv, preadv, preadv2
        19 | 295 | 327 => &[Iov(1, 2, false)],
        // writev, pwritev, pwritev2
        20 | 296 | 328 => &[Iov(1, 2, true)],
        // sendto
        44 => &[Sized(1, 2, 1), Sized(4, 5, 1)],
        // recvfrom
        45 => &[Fixed(5, 4)],
        // sendmsg, recvmsg
        46 => &[Msg(1, true)],
        47 => &[Msg(1, false)],
        // connect, bind
        42 | 49 => &[Sized(1, 2, 1)],
        // accept, getsockname, getpeername, accept4
        43 | 51 | 52 | 288 => &[Fixed(2, 4)],
        // setsockopt, getsockopt
        54 => &[Sized(3, 4, 1)],
        55 => &[Fixed(4, 4)],
        // poll, ppoll
        7 => &[Sized(0, 1, 8)],
        271 => &[Sized(0, 1, 8), Fixed(2, 16), Fixed(3, 8)],
        // select, pselect6
        23 => &[Fixed(1, 128), Fixed(2, 128), Fixed(3, 128), Fixed(4, 16)],
        270 => &[Fixed(1, 128), Fixed(2, 128), Fixed(3, 128), Fixed(4, 16), Fixed(5, 16)],
        // epoll_ctl, epoll_pwait, epoll_pwait2
        233 => &[Fixed(3, 12)],
        281 => &[Fixed(4, 8)],
        441 => &[Fixed(3, 16), Fixed(4, 8)],
        // rt_sigaction, rt_sigprocmask, rt_sigsuspend, rt_sigtimedwait
        13 => &[Fixed(1, 32)],
        14 => &[Fixed(1, 8)],
        130 => &[Fixed(0, 8)],
        128 => &[Fixed(0, 8), Fixed(2, 16)],
        // sigaltstack
        131 => &[Fixed(0, 24)],
        // nanosleep, clock_nanosleep, setitimer, timer_settime, timerfd_settime
        35 => &[Fixed(0, 16)],
        230 => &[Fixed(2, 16)],
        38 => &[Fixed(1, 32)],
        223 | 286 => &[Fixed(2, 32)],
        // futex: the time-out of the waiting operations. Never the word itself: the Sentry must see it at the moment of waiting.
        202 => match args[1] & 0x7f {
            0 | 6 | 9 | 11 | 13 => &[Fixed(3, 16)],
            _ => &[],
        },
        // fcntl: record locks
        72 => match args[1] {
            5..=7 | 36..=38 => &[Fixed(2, 32)],
            _ => &[],
        },
        // setrlimit, prlimit64, sched_setaffinity, clone3
        160 => &[Fixed(1, 16)],
        302 => &[Fixed(2, 16)],
        203 => &[Sized(2, 1, 1)],
        435 => &[Sized(0, 1, 1)],
        _ => &[],
    }
}

/// Where the next piece goes.
struct Carrier {
    control: *mut Control,
    used: u64,
    count: usize,
}

impl Carrier {
    /// Takes `len` bytes (at most what is left) at `addr`; gives where they are in the data area, and how many.
    fn take(&mut self, addr: u64, len: u64, string: bool) -> (u64, u64) {
        let offset = self.used;
        let len = len.min(DATA_BYTES - offset);
        // Small values are null pointers or numbers: do not pay for the fault.
        if addr < 4096 || len == 0 || self.count == MAX_CARRIED {
            return (offset, 0);
        }
        let dst = self.control as u64 + CONTROL_BYTES + offset;
        // SAFETY: the destination is this slot's data area, the source is guest memory or faults.
        let got = unsafe { if string { copy::string(dst, addr, len) } else { copy::bytes(dst, addr, len) } };
        if got > 0 {
            // SAFETY: the control page is ours to write in our turn; `count` is below its bound.
            unsafe {
                let slot = (&raw mut (*self.control).carried).cast::<Carried>().add(self.count);
                slot.write(Carried { addr, len: got as u32, offset: offset as u32 });
            }
            self.count += 1;
            self.used = (offset + got + 7) & !7;
            if self.used > DATA_BYTES {
                self.used = DATA_BYTES;
            }
        }
        (offset, got)
    }

    /// An 8-byte word of what was taken.
    fn word(&self, offset: u64) -> u64 {
        let at = (self.control as u64 + CONTROL_BYTES + offset) as *const u64;
        // SAFETY: callers stay inside the data area, on multiples of 8.
        unsafe { at.read_volatile() }
    }

    fn iov(&mut self, addr: u64, count: u64, payload: bool) {
        let (offset, got) = self.take(addr, count.min(64) * 16, false);
        if payload {
            for i in 0..(got / 16).min(8) {
                let (base, len) = (self.word(offset + i * 16), self.word(offset + i * 16 + 8));
                self.take(base, len.min(BUFFER_CAP), false);
            }
        }
    }
}

/// Copies what the call's row says into the data area.
pub fn carry(control: *mut Control, nr: u64, args: &[u64; 6]) {
    let mut c = Carrier { control, used: 0, count: 0 };
    for &what in table(nr, args) {
        match what {
            Path(i) => {
                c.take(args[i], PATH_CAP, true);
            }
            Fixed(i, n) => {
                c.take(args[i], n, false);
            }
            Sized(i, j, unit) => {
                c.take(args[i], args[j].min(BUFFER_CAP).wrapping_mul(unit).min(BUFFER_CAP), false);
            }
            Iov(i, j, payload) => c.iov(args[i], args[j], payload),
            Msg(i, payload) => {
                let (at, got) = c.take(args[i], 56, false);
                if got == 56 {
                    let [name, name_len, iov, n, ctl, ctl_len] = [0, 8, 16, 24, 32, 40].map(|o| c.word(at + o));
                    if payload {
                        c.take(name, name_len & 0xff, false);
                        c.take(ctl, ctl_len.min(512), false);
                    }
                    c.iov(iov, n, payload);
                }
            }
        }
    }
    // SAFETY: our turn.
    unsafe { (*control).n_carried = c.count as u32 };
}
