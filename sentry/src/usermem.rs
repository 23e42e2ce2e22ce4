//! Guest memory as handlers see it: addresses are numbers, every access is a copy, and a bad address is `EFAULT`.

use abi::Errno;
use abi::errno::Result;
use abi::regs::PAGE_SIZE;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::fs::io::{IoVecs, MAX_RW_COUNT};
use crate::mm::Mm;
use crate::task::Cx;

/// A guest address: only a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserAddr(pub u64);

impl std::fmt::Debug for UserAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl UserAddr {
    /// `NULL`.
    pub const NULL: UserAddr = UserAddr(0);

    /// True for `NULL`.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `n` bytes on; `EFAULT` where that wraps.
    pub fn add(self, n: usize) -> Result<UserAddr> {
        let n = u64::try_from(n).map_err(|_| Errno::EFAULT)?;
        self.0.checked_add(n).map(UserAddr).ok_or(Errno::EFAULT)
    }

    /// `None` for `NULL`.
    pub const fn nonnull(self) -> Option<UserAddr> {
        if self.0 == 0 { None } else { Some(self) }
    }
}

impl Cx {
    /// Copies `buf.len()` bytes in.
    pub fn read_bytes(&self, addr: UserAddr, buf: &mut [u8]) -> Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        if let Some(bytes) = self.ctx.carried(addr.0, buf.len()) {
            buf.copy_from_slice(bytes);
            return Ok(());
        }
        if self.read_some(addr, buf) == buf.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Copies as many bytes in as can be read, like `copy_from_user`.
    pub fn read_some(&self, addr: UserAddr, buf: &mut [u8]) -> usize {
        let Ok(end) = addr.add(buf.len()) else { return 0 };
        let limit = self.task.kernel.platform.guest_end();
        let room = limit.saturating_sub(addr.0).min(end.0 - addr.0);
        let room = usize::try_from(room).unwrap_or(0);
        match buf.get_mut(..room) {
            Some(part) if room > 0 => self.mm().aspace().read(addr.0, part),
            _ => 0,
        }
    }

    /// Copies `data` out.
    pub fn write_bytes(&mut self, addr: UserAddr, data: &[u8]) -> Result<()> {
        if self.write_some(addr, data) == data.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Copies as many bytes out as can be written, like `copy_to_user`.
    pub fn write_some(&mut self, addr: UserAddr, data: &[u8]) -> usize {
        if data.is_empty() {
            return 0;
        }
        let limit = self.task.kernel.platform.guest_end();
        let Ok(end) = addr.add(data.len()) else { return 0 };
        let room = usize::try_from(limit.saturating_sub(addr.0).min(end.0 - addr.0)).unwrap_or(0);
        let Some(data) = data.get(..room) else { return 0 };
        if data.is_empty() {
            return 0;
        }
        // A tracer looks into memory before the task goes on.
        let carried = data.len() <= CARRY_MAX && !self.task.is_traced() && self.mm.is_writable(addr.0, data.len());
        if carried && self.ctx.carry_back(addr.0, data) {
            return data.len();
        }
        self.mm.aspace().write(addr.0, data)
    }

    /// Copies a structure in, once.
    pub fn read_obj<T: FromBytes + IntoBytes>(&self, addr: UserAddr) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_bytes(addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies in a structure that grows over time, with the size that the caller knows (`copy_struct_from_user`): shorter
    /// is filled with zeros, longer must be zeros (`E2BIG`). `EINVAL` below `min`.
    pub fn read_extensible<T: FromBytes + IntoBytes>(&self, addr: UserAddr, size: usize, min: usize) -> Result<T> {
        if size < min {
            return Err(Errno::EINVAL);
        }
        if u64::try_from(size).map_or(true, |s| s > PAGE_SIZE) {
            return Err(Errno::E2BIG);
        }
        let mut raw = vec![0u8; size];
        self.read_bytes(addr, &mut raw)?;
        let mut value = T::new_zeroed();
        let known = size_of::<T>().min(size);
        if raw.iter().skip(known).any(|&b| b != 0) {
            return Err(Errno::E2BIG);
        }
        if let (Some(to), Some(from)) = (value.as_mut_bytes().get_mut(..known), raw.get(..known)) {
            to.copy_from_slice(from);
        }
        Ok(value)
    }

    /// Copies a structure out.
    pub fn write_obj<T: IntoBytes + Immutable>(&mut self, addr: UserAddr, value: &T) -> Result<()> {
        self.write_bytes(addr, value.as_bytes())
    }

    /// Copies a string in, without its NUL. `ENAMETOOLONG` if there is no NUL in the first `max` bytes.
    pub fn read_cstr(&self, addr: UserAddr, max: usize) -> Result<Vec<u8>> {
        let mut out: Vec<u8> = Vec::new();
        let mut at = addr;
        while out.len() < max {
            // Up to the end of the page, since the next page may not be mapped.
            let in_page = usize::try_from(PAGE_SIZE - at.0 % PAGE_SIZE).unwrap_or(1);
            let want = in_page.min(max - out.len()).min(256);
            let start = out.len();
            out.resize(start + want, 0);
            let part = out.get_mut(start..).unwrap_or_default();
            let got = match self.ctx.carried(at.0, want) {
                Some(bytes) => {
                    part.copy_from_slice(bytes);
                    want
                }
                None => self.read_some(at, part),
            };
            if let Some(nul) = out.iter().skip(start).take(got).position(|&b| b == 0) {
                out.truncate(start + nul);
                return Ok(out);
            }
            if got < want {
                return Err(Errno::EFAULT);
            }
            at = at.add(want)?;
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Copies a path name in (`PATH_MAX` with its NUL). An empty one is given back as such.
    pub fn read_path(&self, addr: UserAddr) -> Result<Vec<u8>> {
        self.read_cstr(addr, 4096)
    }

    /// Copies an array of `struct iovec` in and checks it as `readv(2)` does.
    pub fn read_iovecs(&self, addr: UserAddr, count: i32) -> Result<IoVecs> {
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        if count > 1024 {
            return Err(Errno::EINVAL);
        }
        let mut raw = vec![[0u64; 2]; count];
        self.read_bytes(addr, raw.as_mut_bytes())?;
        let mut iov = IoVecs::new();
        let mut total: u64 = 0;
        for [base, len] in raw {
            if i64::try_from(len).is_err() {
                return Err(Errno::EINVAL);
            }
            // What goes beyond MAX_RW_COUNT is cut off, as the kernel does.
            let len = len.min(MAX_RW_COUNT - total);
            if base.checked_add(len).is_none() {
                return Err(Errno::EFAULT);
            }
            total += len;
            if len > 0 {
                iov.push((UserAddr(base), usize::try_from(len).map_err(|_| Errno::EINVAL)?));
            }
        }
        Ok(iov)
    }

    /// The task's memory. A task that runs guest code has one.
    pub fn mm(&self) -> &Mm {
        &self.mm
    }
}

/// Largest piece that is worth carrying with the answer to a call.
const CARRY_MAX: usize = 8192;
