//! Another process's memory and processor time.

use abi::conv::{size, usize64};

/// Copies out of process `pid`; gives the bytes before the first unreadable page.
pub fn read(pid: i32, addr: u64, buf: &mut [u8]) -> usize {
    let (len, local) = (buf.len(), buf.as_mut_ptr());
    // SAFETY: `local` is writable for `len` bytes.
    through(len, |done| unsafe {
        let (local, remote) = (iovec(local.add(done), len - done), remote(addr, done, len));
        libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0)
    })
}

/// Copies into process `pid`; gives the bytes before the first unwritable page.
pub fn write(pid: i32, addr: u64, data: &[u8]) -> usize {
    let (len, local) = (data.len(), data.as_ptr().cast_mut());
    // SAFETY: `local` is readable for `len` bytes, and the call only reads it.
    through(len, |done| unsafe {
        let (local, remote) = (iovec(local.add(done), len - done), remote(addr, done, len));
        libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0)
    })
}

fn iovec(base: *mut u8, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: base.cast(),
        iov_len: len,
    }
}

/// The rest of the other side's range; its addresses are checked by the kernel.
fn remote(addr: u64, done: usize, len: usize) -> libc::iovec {
    iovec(
        std::ptr::without_provenance_mut(size(addr.saturating_add(usize64(done)))),
        len - done,
    )
}

/// The calls give what they could copy, at page granularity, but may stop early: go on until one does not move.
fn through(len: usize, step: impl Fn(usize) -> isize) -> usize {
    let mut done = 0;
    while done < len {
        match usize::try_from(step(done)) {
            Ok(n) if n > 0 => done += n.min(len - done),
            _ => break,
        }
    }
    done
}

/// Processor time of a whole process in nanoseconds, 0 if it is gone.
pub fn process_cpu_ns(pid: i32) -> u64 {
    const CPUCLOCK_SCHED: i32 = 2;
    let clock = (!pid << 3) | CPUCLOCK_SCHED;
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the structure.
    if unsafe { libc::clock_gettime(clock, &raw mut ts) } != 0 {
        return 0;
    }
    let (s, ns) = (
        u64::try_from(ts.tv_sec).unwrap_or(0),
        u64::try_from(ts.tv_nsec).unwrap_or(0),
    );
    s.saturating_mul(1_000_000_000).saturating_add(ns)
}
